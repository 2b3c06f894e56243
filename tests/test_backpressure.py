"""queue_size: who submits more than the queue holds waits, or is refused, without holding up anything else."""

from __future__ import annotations

import concurrent.futures
import pickle
import queue
import signal
import threading
import time

import pytest

import tasks
from child import Child, run
from hypern import BlockingExecutor, QueueFull, ShutdownError, _route
from sync import Gate, aside, count, eventually


def full(make, gate, queue_size=1, **options):
    """A pool of one worker that is held, with its queue full; and the futures of what waits there."""
    executor = make(1, queue_size, **options)
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
@pytest.mark.parametrize("options", [{}, {"full_timeout": 60}], ids=["for ever", "in time"])
@pytest.mark.parametrize("call", CALLS)
def test_a_call_waits_for_a_slot_and_then_runs(make, gate, call, options):
    executor, queued = full(make, gate, **options)
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


@pytest.mark.explicit
def test_cancelling_what_waits_makes_room_at_once(make, gate):
    executor, queued = full(make, gate)
    caller = aside(executor.submit, tasks.square, 5)
    with pytest.raises(concurrent.futures.TimeoutError):
        caller.result(0.1)
    assert queued[0].cancel()
    accepted = caller.result(20)
    assert executor.pending_tasks() == 1
    gate.open()
    assert accepted.result(20) == 25


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


# on_full and full_timeout


REFUSED = {
    "submit": lambda executor: executor.submit(tasks.greet, "you", greeting="Hi"),
    "run_sync": lambda executor: executor.run_sync(tasks.greet, "you", greeting="Hi"),
}
POLICIES = {"at once": {"on_full": "raise"}, "after a while": {"full_timeout": 0.05}}


@pytest.mark.explicit
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("call", REFUSED)
def test_a_refused_call_gives_the_task_back(make, gate, call, policy):
    executor, queued = full(make, gate, 2, **POLICIES[policy])
    with pytest.raises(QueueFull) as caught:
        REFUSED[call](executor)
    assert isinstance(caught.value, queue.Full)
    assert isinstance(caught.value, RuntimeError)
    assert caught.value.size == 2
    assert all(words in str(caught.value) for words in ("full", "queue_size=2", "again later"))
    assert executor.pending_tasks() == 2
    gate.open()
    assert [future.result(20) for future in queued] == [0, 1]
    function, args, kwargs = caught.value.task
    assert executor.run_sync(function, *args, **kwargs) == "Hi, you!"


def test_a_refusal_crosses_as_it_is():
    refusal = QueueFull("full", 3, (abs, (-1,), {}))
    copy = pickle.loads(pickle.dumps(refusal))
    assert (str(copy), copy.size, copy.task) == ("full", 3, (abs, (-1,), {}))


@pytest.mark.explicit
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("call", ["map", "run_parallel"])
def test_a_batch_is_refused_before_it_takes_an_item(make, gate, call, policy):
    executor, _ = full(make, gate, **POLICIES[policy])
    items = iter([1, 2, 3])
    with pytest.raises(QueueFull) as caught:
        executor.map(tasks.square, items) if call == "map" else executor.run_parallel([(tasks.square, (1,))])
    assert caught.value.task is None
    gate.open()
    assert list(items) == [1, 2, 3]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_batch_that_has_begun_waits_for_its_own_chunks(make, policy):
    executor = make(2, 1, **POLICIES[policy])
    numbers = range(300)
    assert executor.map(tasks.square, numbers, chunk_size=1) == [n * n for n in numbers]
    assert executor.run_parallel([(tasks.square, (n,)) for n in numbers]) == [n * n for n in numbers]


@pytest.mark.explicit
def test_the_time_to_wait_is_waited(make, gate):
    executor, _ = full(make, gate, full_timeout=0.2)
    for call in (*REFUSED.values(), lambda executor: executor.map(tasks.square, [1])):
        began = time.monotonic()
        with pytest.raises(QueueFull, match=r"0\.2 s"):
            call(executor)
        assert 0.19 < time.monotonic() - began < 10


@pytest.mark.explicit
@pytest.mark.parametrize("call", CALLS)
def test_a_call_with_a_time_to_wait_is_refused_at_shutdown(make, gate, call):
    executor, _ = full(make, gate, full_timeout=60)
    caller = aside(CALLS[call][0], executor)
    with pytest.raises(concurrent.futures.TimeoutError):
        caller.result(0.1)
    executor.shutdown(wait=False)
    assert isinstance(caller.exception(10), ShutdownError)


@pytest.mark.parametrize("policy", POLICIES)
def test_what_is_refused_and_tried_again_runs_once(make, ledger, policy):
    executor = make(2, 2, **POLICIES[policy])

    def submitter(start):
        futures = []
        for number in range(start, start + 50):
            task = ledger.note, (number,), {}
            while task is not None:
                function, args, kwargs = task
                try:
                    futures.append(executor.submit(function, *args, **kwargs))
                    task = None
                except QueueFull as refusal:
                    task = refusal.task
                    concurrent.futures.wait(futures[-1:])
        return [future.result(60) for future in futures]

    for submitters in [aside(submitter, start * 50) for start in range(3)]:
        submitters.result(60)
    assert sorted(map(int, ledger.lines())) == list(range(150))


def test_a_task_is_never_refused_by_its_own_queue(make):
    executor = make(1, 1, on_full="raise")

    def submits():
        return [future.result(20) for future in [executor.submit(tasks.square, number) for number in range(10)]]

    assert aside(executor.run_sync, submits).result(30) == [n * n for n in range(10)]


@pytest.mark.skipif(_route.away_backend() is None, reason="auto has one pool here")
def test_auto_has_one_limit_for_both_of_its_pools():
    with BlockingExecutor(1, 2, on_full="raise") as executor, Gate() as gate:
        assert executor.run_sync(tasks.square, 3) == 9
        assert executor.explain(tasks.square, 3).backend == _route.away_backend()
        executor.submit(gate.door.wait)
        gate.arrived()
        waiting = [executor.submit(gate.door.wait) for _ in range(2)]
        with pytest.raises(QueueFull):
            executor.submit(tasks.square, 3)
        assert executor.pending_tasks() == 2
        assert waiting[0].cancel()
        assert executor.run_sync(tasks.square, 3) == 9


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"on_full": "wait"}, ValueError, "'block' or 'raise'"),
        ({"on_full": "raise", "full_timeout": 1}, TypeError, "on_full='block'"),
        ({"full_timeout": -1}, ValueError, "at least 0"),
        ({"full_timeout": float("nan")}, ValueError, "at least 0"),
        ({"full_timeout": "1"}, TypeError, "number of seconds"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(options, error, words):
    with pytest.raises(error, match=words):
        BlockingExecutor(1, 1, **options)


@pytest.mark.parametrize("seconds", [0, 1e300, float("inf")])
def test_any_time_to_wait_is_understood(seconds):
    with BlockingExecutor(1, 1, backend="threads", full_timeout=seconds) as executor:
        assert executor.map(tasks.square, range(50), chunk_size=1) == [n * n for n in range(50)]


@pytest.mark.parametrize("call", ["submit", "run_sync", "map"])
def test_ctrl_c_ends_a_wait_that_has_a_limit(call):
    with Child.of(
        """
        import sys, threading
        from hypern import BlockingExecutor
        executor, door = BlockingExecutor(1, 1, full_timeout=60, backend="threads"), threading.Event()
        executor.submit(door.wait)
        while executor.pending_tasks(): pass
        executor.submit(abs, 1)
        print("full", flush=True)
        try:
            getattr(executor, sys.argv[1])(abs, [-1])
        except KeyboardInterrupt:
            print("interrupted", executor.pending_tasks(), flush=True)
        door.set()
        """,
        call,
    ) as child:
        child.expect("full")
        child.asleep()
        child.signal(signal.SIGINT)
        child.finish().ok("full\ninterrupted 1\n")


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
