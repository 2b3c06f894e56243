"""queue_size: who submits more than the queue holds waits, without holding up anything else."""

from __future__ import annotations

import concurrent.futures
import threading
import time

import pytest

import tasks
from child import run
from hypern import ShutdownError
from sync import aside, count, eventually


def full(make, gate, queue_size=1):
    """A pool of one worker that is held, with its queue full; and the futures of what waits there."""
    executor = make(1, queue_size)
    executor.submit(gate.door.wait)
    gate.arrived()
    return executor, [executor.submit(tasks.square, number) for number in range(queue_size)]


CALLS = {
    "submit": (lambda executor: executor.submit(tasks.square, 5).result(20), 25),
    "run_sync": (lambda executor: executor.run_sync(tasks.square, 5), 25),
    "map": (lambda executor: executor.map(tasks.square, range(10), chunk_size=1), [n * n for n in range(10)]),
    "run_parallel": (
        lambda executor: executor.run_parallel([(tasks.square, (n,)) for n in range(10)]),
        [n * n for n in range(10)],
    ),
}


@pytest.mark.explicit
@pytest.mark.parametrize("call", CALLS)
def test_a_call_waits_for_a_slot_and_then_runs(make, gate, call):
    executor, queued = full(make, gate)
    function, expected = CALLS[call]
    caller = aside(function, executor)
    with pytest.raises(concurrent.futures.TimeoutError):
        caller.result(0.1)
    gate.open()
    assert caller.result(20) == expected
    assert [future.result(20) for future in queued] == [0]


@pytest.mark.explicit
def test_the_queue_takes_what_it_was_told_to_and_no_more(make, gate):
    executor, queued = full(make, gate, 5)
    assert executor.pending_tasks() == 5
    caller = aside(executor.submit, tasks.square, 9)
    with pytest.raises(concurrent.futures.TimeoutError):
        caller.result(0.1)
    assert executor.pending_tasks() <= 6
    gate.open()
    assert caller.result(20).result(20) == 81
    assert [future.result(20) for future in queued] == [0, 1, 4, 9, 16]


@pytest.mark.explicit
def test_without_a_size_nobody_waits(make, gate):
    executor = make(1)
    executor.submit(gate.door.wait)
    gate.arrived()
    futures = [executor.submit(tasks.square, number) for number in range(5000)]
    assert executor.pending_tasks() == 5000
    gate.open()
    assert [future.result(60) for future in futures] == [n * n for n in range(5000)]


@pytest.mark.explicit
def test_a_waiting_call_wakes_soon_after_a_slot_is_free(make, gate):
    executor, _ = full(make, gate)
    caller = aside(lambda: (executor.submit(tasks.square, 5), time.monotonic())[1])
    with pytest.raises(concurrent.futures.TimeoutError):
        caller.result(0.1)
    opened = time.monotonic()
    gate.open()
    assert caller.result(20) - opened < 1.0


@pytest.mark.explicit
@pytest.mark.parametrize("call", CALLS)
def test_a_waiting_call_is_refused_at_shutdown(make, gate, call):
    executor, queued = full(make, gate)
    function, _ = CALLS[call]
    caller = aside(function, executor)
    with pytest.raises(concurrent.futures.TimeoutError):
        caller.result(0.1)
    executor.shutdown(wait=False)
    error = caller.exception(10)
    assert isinstance(error, ShutdownError), error
    assert "shut down" in str(error)
    gate.open()
    assert [future.result(20) for future in queued] == [0]


@pytest.mark.explicit
def test_many_waiting_calls_are_all_refused_at_shutdown(make, gate):
    executor, _ = full(make, gate)
    callers = [aside(executor.submit, tasks.square, number) for number in range(10)]
    with pytest.raises(concurrent.futures.TimeoutError):
        callers[0].result(0.1)
    executor.shutdown(wait=False)
    assert all(isinstance(caller.exception(10), ShutdownError) for caller in callers)
    gate.open()


def test_cancelling_what_waits_makes_room_or_at_least_no_harm(make, gate):
    executor, queued = full(make, gate)
    queued[0].cancel()
    caller = aside(executor.run_sync, tasks.square, 5)
    gate.open()
    assert caller.result(20) == 25


def test_other_threads_run_while_a_call_waits(make, gate):
    executor, _ = full(make, gate)
    caller = aside(executor.run_sync, tasks.square, 5)
    assert aside(tasks.square, 3).result(20) == 9
    gate.open()
    assert caller.result(20) == 25


@pytest.mark.parametrize("queue_size", [1, 2, 7])
def test_many_submitters_share_a_small_queue(make, queue_size):
    executor = make(2, queue_size)

    def submitter(start):
        futures = [executor.submit(tasks.identity, start + number) for number in range(100)]
        return [future.result(60) for future in futures] == list(range(start, start + 100))

    submitters = [aside(submitter, start * 1000) for start in range(4)]
    assert all(each.result(60) for each in submitters)


def test_a_task_may_submit_to_its_own_full_queue(make):
    executor = make(1, 1)

    def submits():
        futures = [executor.submit(tasks.square, number) for number in range(10)]
        return [future.result(20) for future in futures]

    assert aside(executor.run_sync, submits).result(30) == [n * n for n in range(10)]


@pytest.mark.shared
def test_a_task_may_submit_to_its_own_full_queue_and_leave(make):
    executor = make(1, 1)

    def submits():
        return [executor.submit(tasks.square, number) for number in range(10)]

    futures = aside(executor.run_sync, submits).result(30)
    assert [future.result(20) for future in futures] == [n * n for n in range(10)]


@pytest.mark.shared
def test_all_workers_may_submit_to_their_full_queue_at_once(make):
    executor = make(3, 1)
    barrier = threading.Barrier(3)

    def submits(number):
        barrier.wait(20)
        return [executor.submit(tasks.square, number) for _ in range(20)]

    futures = aside(executor.map, submits, range(3), chunk_size=1).result(30)
    for number, several in enumerate(futures):
        assert [future.result(20) for future in several] == [number * number] * 20


@pytest.mark.shared
def test_a_callback_may_submit_to_the_full_queue(make, gate):
    executor = make(1, 1)
    results = []
    done = threading.Event()
    future = executor.submit(gate.door.wait)
    gate.arrived()

    def submits(_):
        results.extend(executor.submit(tasks.square, number) for number in range(10))
        done.set()

    future.add_done_callback(submits)
    gate.open()
    assert done.wait(20)
    assert [each.result(20) for each in results] == [n * n for n in range(10)]


def test_a_crowd_that_waits_is_served_to_the_last(make, gate):
    executor, _ = full(make, gate)
    callers = [aside(executor.run_sync, tasks.identity, number) for number in range(50)]
    gate.open()
    assert [caller.result(30) for caller in callers] == list(range(50))
    assert eventually(lambda: executor.pending_tasks() == 0)


def test_memory_is_bounded_by_the_queue(backend):
    """What waits is what the queue holds, however fast the submitter is."""
    number = count(20_000, 1_000_000) if backend == "threads" else count(5_000, 100_000)
    done = run(
        """
        import resource, sys
        from hypern import BlockingExecutor
        import tasks

        backend, number = sys.argv[1], int(sys.argv[2])
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with BlockingExecutor(2, 1000, backend=backend) as executor:
            for _ in range(2000):
                executor.submit(tasks.nothing, bytes(16_384))
            before = peak()
            for _ in range(number):
                executor.submit(tasks.nothing, bytes(16_384))
            growth = peak() - before
        print(growth)
        """,
        backend,
        number,
        patience=300,
    ).ok()
    assert int(done.out) < 50 * 1024  # of 320 MB that passed through (KiB)


def test_ctrl_c_takes_no_notification_from_another_caller():
    """The main thread is told of space and interrupted at once; the other caller must get the slot."""
    run(
        """
        import os, signal, threading
        from hypern import BlockingExecutor
        for turn in range(20):
            executor, door = BlockingExecutor(1, queue_size=1, backend="threads"), threading.Event()
            executor.submit(door.wait)
            while executor.pending_tasks(): pass
            executor.submit(abs, 1)
            out = []
            other = threading.Thread(target=lambda: out.append(executor.run_sync(abs, -2)))
            def strike():
                other.start()
                os.kill(os.getpid(), signal.SIGINT)
                door.set()
            striker = threading.Thread(target=strike)
            try:
                striker.start()
                executor.run_sync(abs, -1)
                threading.Event().wait(20)
            except KeyboardInterrupt:
                pass
            striker.join(20)
            other.join(20)
            assert out == [2], out
            executor.shutdown()
        """,
        patience=100,
    ).ok()
