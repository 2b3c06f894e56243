"""The death of a worker: a value for its own task, nothing for the others; and what a hostile task does to the wire."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import threading

import pytest

import tasks
from child import run
from hypern import TaskError, WorkerCrashed
from sync import aside, children, count, eventually, is_alive, zombies

DEATHS = {
    "exit 0": (tasks.exits, 0, "0"),
    "exit 3": (tasks.exits, 3, "3"),
    "abort": (tasks.aborts, None, "SIGABRT"),
    "segmentation fault": (tasks.dies_of, signal.SIGSEGV, "SIGSEGV"),
    "killed": (tasks.dies_of, signal.SIGKILL, "SIGKILL"),
    "terminated": (tasks.dies_of, signal.SIGTERM, "SIGTERM"),
    "bus error": (tasks.dies_of, signal.SIGBUS, "SIGBUS"),
}


def death(name):
    function, argument, word = DEATHS[name]
    return (function, () if argument is None else (int(argument),)), word


@pytest.mark.own_process
@pytest.mark.parametrize("name", DEATHS)
def test_a_death_is_an_error_that_names_its_cause(make, name):
    executor = make(1)
    (function, args), word = death(name)
    with pytest.raises(WorkerCrashed, match=rf"\b{word}\b") as caught:
        executor.run_sync(function, *args)
    assert isinstance(caught.value, RuntimeError)
    assert executor.run_sync(tasks.square, 3) == 9
    assert executor.pool_size() == 1


@pytest.mark.own_process
@pytest.mark.parametrize(
    "call",
    [
        lambda executor: executor.map(tasks.exits, [3, 3]),
        lambda executor: executor.run_parallel([(tasks.square, (3,)), (tasks.exits, (3,))]),
        lambda executor: executor.submit(tasks.exits, 3).result(20),
    ],
    ids=["map", "run_parallel", "submit"],
)
def test_every_way_to_call_raises_it(make, call):
    executor = make(2)
    with pytest.raises(WorkerCrashed):
        call(executor)
    assert executor.map(tasks.square, range(20), chunk_size=1) == [n * n for n in range(20)]


@pytest.mark.own_process
def test_it_is_the_exception_of_the_future(make):
    assert isinstance(make(1).submit(tasks.exits, 3).exception(20), WorkerCrashed)


@pytest.mark.own_process
def test_only_the_task_of_the_dead_worker_fails(make, gate):
    executor = make(2)
    held = executor.submit(gate.door.wait, "held")
    gate.arrived()
    dying = executor.submit(tasks.exits, 3)
    queued = [executor.submit(tasks.square, number) for number in range(20)]
    assert isinstance(dying.exception(20), WorkerCrashed)
    assert [future.result(20) for future in queued] == [n * n for n in range(20)]
    gate.open()
    assert held.result(20) == "held"


@pytest.mark.own_process
def test_tasks_queued_behind_it_run_on_the_replacement(make):
    executor = make(1)
    futures = [executor.submit(tasks.exits if number % 5 == 2 else tasks.square, number) for number in range(20)]
    for number, future in enumerate(futures):
        if number % 5 == 2:
            assert isinstance(future.exception(30), WorkerCrashed)
        else:
            assert future.result(30) == number * number


@pytest.mark.own_process
def test_the_worker_is_replaced(make):
    others = children()
    executor = make(2)
    assert executor.run_sync(tasks.square, 3) == 9
    assert eventually(lambda: len(children() - others) == 2)
    before = children() - others
    with pytest.raises(WorkerCrashed):
        executor.run_sync(tasks.exits, 3)
    assert executor.map(tasks.square, range(10), chunk_size=1) == [n * n for n in range(10)]
    assert eventually(lambda: executor.active_threads() == executor.pool_size() == 2)
    assert eventually(lambda: len(children() - zombies() - others) == 2)
    assert len(before & children()) == 1


@pytest.mark.own_process
def test_an_idle_worker_that_is_killed_costs_no_task(make):
    executor = make(1)
    for _ in range(5):
        worker = executor.run_sync(tasks.process_id)
        os.kill(worker, signal.SIGKILL)
        assert eventually(lambda worker=worker: not is_alive(worker))
        assert executor.run_sync(tasks.square, 3) == 9


@pytest.mark.own_process
def test_a_stopped_worker_that_is_killed_fails_its_task(make, gate):
    executor = make(1)
    future = executor.submit(gate.door.wait)
    ((worker, _),) = gate.arrived()
    os.kill(worker, signal.SIGSTOP)
    os.kill(worker, signal.SIGKILL)
    assert isinstance(future.exception(20), WorkerCrashed)
    assert "SIGKILL" in str(future.exception())
    gate.open()
    assert executor.run_sync(tasks.square, 3) == 9


@pytest.mark.own_process
def test_a_stopped_worker_that_goes_on_is_waited_for(make, gate):
    executor = make(1)
    future = executor.submit(gate.door.wait, "held")
    ((worker, _),) = gate.arrived()
    os.kill(worker, signal.SIGSTOP)
    gate.open()
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(0.1)
    os.kill(worker, signal.SIGCONT)
    assert future.result(20) == "held"


@pytest.mark.own_process
def test_deaths_in_a_row_leave_nothing_behind(make):
    others = children()
    executor = make(2)
    assert executor.run_sync(tasks.square, 3) == 9
    assert eventually(lambda: len(children() - others) == 2 and executor.active_threads() == 2)
    descriptors = len(os.listdir("/proc/self/fd"))
    processes = len(children())
    for _ in range(count(20, 500)):
        with pytest.raises(WorkerCrashed):
            executor.run_sync(tasks.dies_of, int(signal.SIGKILL))
    assert executor.map(tasks.square, range(20), chunk_size=1) == [n * n for n in range(20)]
    assert eventually(lambda: not zombies(), 10)
    assert eventually(lambda: len(children()) == processes, 10)
    assert eventually(lambda: len(os.listdir("/proc/self/fd")) <= descriptors, 10)


@pytest.mark.own_process
@pytest.mark.parametrize("number", [1, 2, 5])
def test_workers_that_kill_each_other_hang_nothing(make, number):
    executor = make(number)
    executor.map(tasks.square, range(10 * number), chunk_size=1)

    def kills(victims):
        for victim in victims:
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                pass

    workers = {executor.run_sync(tasks.process_id) for _ in range(10 * number)}
    futures = [executor.submit(kills, sorted(workers - {0})) for _ in range(number)]
    for future in futures:
        assert future.exception(30) is None or isinstance(future.exception(), WorkerCrashed)
    assert executor.run_sync(tasks.square, 3) == 9


@pytest.mark.own_process
def test_a_callback_of_a_dead_task_may_use_the_pool(make):
    executor = make(1)
    again = concurrent.futures.Future()
    executor.submit(tasks.exits, 3).add_done_callback(lambda _: again.set_result(executor.submit(tasks.square, 3)))
    assert again.result(20).result(20) == 9


@pytest.mark.own_process
def test_a_death_during_shutdown_ends_the_shutdown(make, gate):
    executor = make(1)
    future = executor.submit(gate.door.wait)
    ((worker, _),) = gate.arrived()
    queued = executor.submit(tasks.square, 3)
    ended = aside(executor.shutdown, timeout_secs=None)
    os.kill(worker, signal.SIGKILL)
    ended.result(30)
    assert isinstance(future.exception(0), WorkerCrashed)
    assert queued.result(0) == 9


@pytest.mark.own_process
def test_dead_workers_of_a_pool_that_is_shut_down_are_waited_for(make):
    executor = make(2)
    workers = {executor.run_sync(tasks.process_id) for _ in range(20)}
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    executor.shutdown()
    assert not zombies() & workers


@pytest.mark.own_process
def test_a_program_that_waits_for_any_child_does_no_harm(backend):
    """os.wait() in the program takes the exit code of a worker away from the pool."""
    run(
        """
        import os, sys
        from hypern import BlockingExecutor, WorkerCrashed
        import tasks
        executor = BlockingExecutor(1, backend=sys.argv[1])
        worker = executor.run_sync(tasks.process_id)
        os.kill(worker, 9)
        try:
            os.waitpid(worker, 0)
        except ChildProcessError:
            pass  # the pool was first
        try:
            executor.run_sync(tasks.square, 3)
        except WorkerCrashed:
            pass
        assert executor.run_sync(tasks.square, 3) == 9
        executor.shutdown()
        """,
        backend,
    ).ok()


@pytest.mark.own_process
def test_ignored_children_do_no_harm(backend):
    """Under SIG_IGN for SIGCHLD the system itself takes the exit codes."""
    run(
        """
        import os, signal, sys
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        from hypern import BlockingExecutor, WorkerCrashed
        import tasks
        with BlockingExecutor(1, backend=sys.argv[1]) as executor:
            try:
                executor.run_sync(tasks.exits, 3)
            except WorkerCrashed:
                print("crashed")
            assert executor.run_sync(tasks.square, 3) == 9
        """,
        backend,
    ).ok("crashed\n")


# What a task does to the descriptors of its worker


@pytest.mark.own_process
@pytest.mark.parametrize("garbage", [b"\xff" * 64, b"\0" * 64, b"garbage\n" * 1000], ids=["ff", "00", "text"])
def test_garbage_on_the_wire_is_an_error_and_no_accident(make, garbage):
    executor = make(1)

    def writes(garbage=garbage):
        return tasks.spoils(lambda descriptor: os.set_blocking(descriptor, False) or os.write(descriptor, garbage))

    future = executor.submit(writes)
    try:
        assert future.result(30) == "spoilt"
    except (WorkerCrashed, TaskError):
        pass
    assert _recovers(executor)


@pytest.mark.own_process
def test_a_closed_wire_is_a_death(make):
    executor = make(1)
    future = executor.submit(lambda: tasks.spoils(os.close))
    try:
        assert future.result(30) == "spoilt"
    except (WorkerCrashed, TaskError):
        pass
    assert _recovers(executor)


def _recovers(executor):
    """Whether the pool works, after at most one more task that finds its worker out of its wits."""
    for _ in range(2):
        try:
            return aside(executor.run_sync, tasks.square, 3).result(30) == 9
        except (WorkerCrashed, TaskError):
            continue
    return False


@pytest.mark.own_process
def test_a_task_that_closes_its_output_harms_only_its_worker(make):
    executor = make(1)

    def closes():
        os.close(1)
        os.close(2)

    try:
        executor.submit(closes).result(30)
    except (WorkerCrashed, TaskError):
        pass
    assert _recovers(executor)


@pytest.mark.own_process
def test_a_task_that_leaves_threads_and_programs_behind_is_done_all_the_same(make):
    executor = make(1)

    def leaves():
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        return "left"

    assert executor.run_sync(leaves) == "left"
    assert executor.run_sync(tasks.square, 3) == 9
    worker = executor.run_sync(tasks.process_id)
    executor.shutdown()
    assert not is_alive(worker)


@pytest.mark.own_process
def test_a_task_that_leaves_a_waiting_thread_does_not_hold_up_shutdown(make):
    executor = make(1)

    def leaves():
        threading.Thread(target=threading.Event().wait).start()

    executor.run_sync(leaves)
    worker = executor.run_sync(tasks.process_id)
    aside(executor.shutdown, timeout_secs=0.5).result(20)
    assert eventually(lambda: not is_alive(worker), 20)


# Where the worker is this process


@pytest.mark.shared
@pytest.mark.parametrize("name", ["exit 3", "abort", "segmentation fault", "killed"])
def test_a_death_on_a_thread_is_that_of_the_program_and_no_hang(backend, name):
    function, argument, _ = DEATHS[name]
    expected = {"exit 3": 3, "abort": -signal.SIGABRT, "segmentation fault": -signal.SIGSEGV, "killed": -signal.SIGKILL}
    done = run(
        f"""
        import sys
        from hypern import BlockingExecutor
        import tasks
        executor = BlockingExecutor(2, backend=sys.argv[1])
        executor.run_sync(tasks.{function.__name__}, *{() if argument is None else (int(argument),)!r})
        """,
        backend,
    )
    assert done.rc == expected[name], done.report()
    assert done.seconds < 20
