"""shutdown: what was accepted is finished, what comes later is refused, and nothing stays behind."""

from __future__ import annotations

import concurrent.futures
import math
import threading
import time

import pytest

import tasks
from hypern import BlockingExecutor, ShutdownError
from sync import aside, children, eventually, is_alive, native_threads

CALLS = {
    "run_sync": lambda executor: executor.run_sync(tasks.square, 1),
    "map": lambda executor: executor.map(tasks.square, [1]),
    "map of nothing": lambda executor: executor.map(tasks.square, []),
    "run_parallel": lambda executor: executor.run_parallel([(tasks.square, (1,))]),
    "run_parallel of nothing": lambda executor: executor.run_parallel([]),
    "submit": lambda executor: executor.submit(tasks.square, 1),
}


@pytest.mark.parametrize("call", CALLS)
def test_every_call_after_shutdown_is_refused(make, call):
    executor = make(1)
    executor.shutdown()
    with pytest.raises(ShutdownError, match="shut down") as caught:
        CALLS[call](executor)
    assert isinstance(caught.value, RuntimeError)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("call", CALLS)
def test_every_call_during_shutdown_is_refused(make, gate, call):
    executor = make(1)
    held = executor.submit(gate.door.wait)
    gate.arrived()
    executor.shutdown(wait=False)
    with pytest.raises(ShutdownError, match="shut down"):
        CALLS[call](executor)
    gate.open()
    held.result(20)


def test_may_be_repeated(make):
    executor = make(1)
    for _ in range(3):
        executor.shutdown()
        executor.shutdown(wait=False)
        executor.shutdown(cancel_futures=True)


def test_returns_nothing(make):
    assert make(1).shutdown() is None


def test_may_come_from_many_threads_at_once(make, gate):
    executor = make(2)
    held = executor.submit(gate.door.wait, "held")
    gate.arrived()
    barrier = threading.Barrier(8)

    def shut_down():
        barrier.wait()
        executor.shutdown(timeout_secs=None)

    callers = [aside(shut_down) for _ in range(8)]
    assert eventually(lambda: not executor.is_running())
    gate.open()
    for caller in callers:
        caller.result(20)
    assert held.result(0) == "held"


def test_finishes_what_was_accepted(make, gate, ledger):
    executor = make(1)
    executor.submit(gate.door.wait)
    gate.arrived()
    futures = [executor.submit(ledger.note, number) for number in range(20)]
    ended = aside(executor.shutdown, timeout_secs=None)
    gate.open()
    ended.result(20)
    assert all(future.done() for future in futures)
    assert ledger.lines() == [str(number) for number in range(20)]


def test_waits_for_tasks_that_run_and_not_only_for_the_queue(make, gate):
    executor = make(1)
    future = executor.submit(gate.door.wait, "held")
    gate.arrived()
    ended = aside(executor.shutdown, timeout_secs=None)
    assert eventually(lambda: not executor.is_running())
    with pytest.raises(concurrent.futures.TimeoutError):
        ended.result(0.1)
    gate.open()
    ended.result(20)
    assert future.result(0) == "held"


def test_without_waiting_returns_at_once_and_finishes_later(make, gate, ledger):
    executor = make(1)
    held = executor.submit(gate.door.wait, "held")
    gate.arrived()
    later = executor.submit(ledger.note, "later")
    executor.shutdown(wait=False)
    assert not held.done()
    gate.open()
    assert held.result(20) == "held"
    later.result(20)
    assert ledger.lines() == ["later"]


def test_a_shutdown_that_did_not_wait_can_be_waited_for(make, gate):
    executor = make(1)
    held = executor.submit(gate.door.wait, "held")
    gate.arrived()
    executor.shutdown(wait=False)
    ended = aside(executor.shutdown, wait=True, timeout_secs=None)
    gate.open()
    ended.result(20)
    assert held.result(0) == "held"


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_the_timeout_ends_the_wait_and_not_the_work(make, gate, timeout):
    executor = make(1)
    future = executor.submit(gate.door.wait, "held")
    gate.arrived()
    queued = executor.submit(tasks.square, 3)
    began = time.monotonic()
    executor.shutdown(timeout_secs=timeout)
    assert time.monotonic() - began < 10
    assert not future.done()
    gate.open()
    assert future.result(20) == "held"
    assert queued.result(20) == 9


@pytest.mark.parametrize("timeout", [1e300, math.inf, 2**62, 10**400], ids=["1e300", "inf", "2**62", "10**400"])
def test_an_absurdly_long_timeout_is_no_accident(make, timeout):
    executor = make(1)
    try:
        executor.shutdown(timeout_secs=timeout)
    except (ValueError, OverflowError):
        executor.shutdown()
    assert not executor.is_running()


@pytest.mark.parametrize("timeout", [-1, -0.5, -math.inf, math.nan])
def test_a_senseless_timeout_is_no_accident(make, timeout):
    executor = make(1)
    try:
        executor.shutdown(timeout_secs=timeout)
    except ValueError:
        executor.shutdown()
    assert not executor.is_running()


def test_a_timeout_that_is_no_number_is_a_type_error(make):
    with pytest.raises(TypeError):
        make(1).shutdown(timeout_secs="soon")


def test_cancel_futures_cancels_what_has_not_started(make, gate, ledger):
    executor = make(1)
    held = executor.submit(gate.door.wait, "held")
    gate.arrived()
    futures = [executor.submit(ledger.note, number) for number in range(20)]
    executor.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in futures)
    assert not held.done()
    gate.open()
    assert held.result(20) == "held"
    done, not_done = concurrent.futures.wait(futures, 20)
    assert not not_done
    executor.shutdown()
    assert ledger.lines() == []


def test_cancel_futures_calls_their_callbacks(make, gate):
    executor = make(1)
    executor.submit(gate.door.wait)
    gate.arrived()
    calls = []
    for _ in range(3):
        executor.submit(tasks.square, 3).add_done_callback(calls.append)
    executor.shutdown(wait=False, cancel_futures=True)
    assert len(calls) == 3
    gate.open()


def test_cancel_futures_may_follow_a_plain_shutdown(make, gate):
    executor = make(1)
    executor.submit(gate.door.wait)
    gate.arrived()
    queued = executor.submit(tasks.square, 3)
    executor.shutdown(wait=False)
    executor.shutdown(wait=False, cancel_futures=True)
    assert queued.cancelled()
    gate.open()


def test_a_caller_whose_work_is_cancelled_is_told(make, gate):
    executor = make(1)
    executor.submit(gate.door.wait)
    gate.arrived()
    callers = [
        aside(executor.run_sync, tasks.square, 3),
        aside(executor.run_parallel, [(tasks.square, (3,))] * 3),
        aside(executor.map, tasks.square, range(3), chunk_size=1),
    ]
    assert eventually(lambda: executor.pending_tasks() >= 5)
    executor.shutdown(wait=False, cancel_futures=True)
    for caller in callers:
        assert isinstance(caller.exception(20), (ShutdownError, concurrent.futures.CancelledError))
    gate.open()


def test_a_caller_who_waits_gets_the_result_of_work_accepted_before(make, gate):
    executor = make(1)
    caller = aside(executor.run_sync, gate.door.wait, "held")
    gate.arrived()
    queued = aside(executor.run_sync, tasks.square, 3)
    assert eventually(lambda: executor.pending_tasks() == 1)
    executor.shutdown(wait=False)
    gate.open()
    assert caller.result(20) == "held"
    assert queued.result(20) == 9


def test_a_pool_without_work_ends_at_once(make):
    executor = make(2)
    executor.run_sync(tasks.square, 3)
    began = time.monotonic()
    executor.shutdown()
    assert time.monotonic() - began < 5


def test_waiting_uses_no_processor(make, gate):
    executor = make(1)
    executor.submit(gate.door.wait)
    gate.arrived()
    timer = threading.Timer(0.5, gate.open)  # the stretch that is measured
    before = time.process_time()
    timer.start()
    executor.shutdown(timeout_secs=None)
    assert time.process_time() - before < 0.1
    timer.join()


def test_from_a_task_of_the_pool_returns(make, backend):
    executor = make(1)
    if backend in ("threads", "auto"):
        future = executor.submit(lambda: executor.shutdown() or "returned")
        assert future.result(20) == "returned"
        assert not executor.is_running()
    else:  # the task has a copy, whose end is not the end of this pool
        assert executor.run_sync(lambda: executor.shutdown() or "returned") == "returned"
        assert executor.is_running()
    executor.shutdown()


def test_from_a_callback_returns(make, gate):
    executor = make(1)
    future = executor.submit(gate.door.wait)
    gate.arrived()
    returned = threading.Event()
    future.add_done_callback(lambda _: (executor.shutdown(), returned.set()))
    gate.open()
    assert returned.wait(20)
    executor.shutdown()


def test_from_a_callback_with_work_in_the_queue_returns(make, gate):
    executor = make(1)
    future = executor.submit(gate.door.wait)
    gate.arrived()
    queued = [executor.submit(tasks.square, number) for number in range(5)]
    returned = threading.Event()
    future.add_done_callback(lambda _: (executor.shutdown(timeout_secs=None), returned.set()))
    gate.open()
    assert returned.wait(20)
    assert [each.result(20) for each in queued] == [0, 1, 4, 9, 16]


def test_threads_and_processes_are_gone_when_it_returns(backend):
    threads, processes = native_threads(), children()
    executor = BlockingExecutor(2, backend=backend)
    executor.map(tasks.square, range(20), chunk_size=1)
    workers = children() - processes
    executor.shutdown()
    assert not any(is_alive(worker) for worker in workers)
    assert children() <= processes
    assert eventually(lambda: native_threads() <= threads, 5)


@pytest.mark.shared
def test_no_thread_is_left_in_the_list_of_threads(make):
    before = threading.active_count()
    executor = make(3)
    executor.map(lambda _: threading.current_thread().name, range(30), chunk_size=1)
    executor.shutdown()
    assert eventually(lambda: threading.active_count() <= before, 5)


# with


def test_with_shuts_down(make):
    with make(1) as executor:
        assert executor.is_running()
        assert executor.run_sync(tasks.square, 3) == 9
    assert not executor.is_running()


def test_with_gives_the_executor_itself(make):
    executor = make(1)
    with executor as entered:
        assert entered is executor


def test_with_finishes_what_was_accepted(make, ledger):
    with make(1) as executor:
        for number in range(20):
            executor.submit(ledger.note, number)
    assert len(ledger.lines()) == 20


def test_with_lets_an_exception_through(make):
    with pytest.raises(KeyError), make(1) as executor:
        raise KeyError("mine")
    assert not executor.is_running()


def test_inner_shutdown_does_not_disturb_with(make):
    with make(1) as executor:
        executor.shutdown()


def test_the_end_of_one_pool_leaves_others_alone(make, gate):
    one, other = make(1), make(1)
    held = other.submit(gate.door.wait, "held")
    gate.arrived()
    one.shutdown(cancel_futures=True)
    gate.open()
    assert held.result(20) == "held"
    assert other.run_sync(tasks.square, 3) == 9
