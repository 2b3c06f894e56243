"""Options of calls: the view that ``executor.options`` returns, and calls that are made again when they fail."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import os
import signal
import threading
import weakref

import pytest

from hypern._auto_batch import AutoBatch
from hypern._batch import Flow
from hypern._crossing import Elsewhere
from hypern._kind import EACH
from hypern._options import Options
from hypern._retry import RetryingBatch

import tasks
from hypern import BlockingExecutor, QueueFull, ShutdownError, TaskError, TaskInterrupted, TransferError, WorkerCrashed
from sync import PATIENCE, Ledger, aside, counted, eventually


def fails_until(ledger, attempts, error=ValueError):
    """Note each attempt; all but the last of them fail."""
    ledger.note("attempt")
    if len(ledger.lines()) < attempts:
        raise error("not yet")
    return "done"


def fails_until_each(path_and_attempts):
    path, attempts = path_and_attempts
    return fails_until(Ledger(path), attempts)


# The view


def test_a_view_runs_calls_on_the_same_workers(make):
    executor = make(1)
    view = executor.options(timeout=60)
    assert isinstance(view, BlockingExecutor)
    assert isinstance(view, concurrent.futures.Executor)
    assert view.run_sync(threading.get_ident) == executor.run_sync(threading.get_ident)
    assert view.submit(tasks.square, 3).result() == 9
    assert view.map(tasks.square, range(5)) == [0, 1, 4, 9, 16]
    assert view.run_parallel([(tasks.square, (2,)), (tasks.add, (1,), {"right": 2})]) == [4, 3]
    assert view.explain(tasks.square, 3) == executor.explain(tasks.square, 3)
    assert view.pool_size() == view._max_workers == 1
    assert view.active_threads() == executor.active_threads()
    assert view.stats().backends.keys() == executor.stats().backends.keys()


def test_a_view_of_a_view_keeps_what_is_not_given(make):
    view = make(1).options(timeout=5).options(retries=2, retry_on=OSError)
    assert repr(view).endswith(".options(timeout=5.0, retries=2, retry_on=(<class 'OSError'>,))")
    assert repr(view.options(timeout=None)).endswith(".options(retries=2, retry_on=(<class 'OSError'>,))")
    assert repr(view).endswith(".options(timeout=5.0, retries=2, retry_on=(<class 'OSError'>,))")


def test_to_shut_down_a_view_is_to_shut_down_the_executor(make):
    executor = make(1)
    with executor.options(timeout=5) as view:
        assert view.run_sync(abs, -1) == 1
    assert not executor.is_running()
    with pytest.raises(ShutdownError):
        executor.run_sync(abs, -1)
    with pytest.raises(ShutdownError):
        view.run_sync(abs, -1)


def test_the_executor_outlives_its_views(make):
    executor = make(1)
    executor.options(retries=1).run_sync(abs, -1)
    assert executor.run_sync(abs, -1) == 1


def test_a_view_keeps_the_workers_while_the_executor_is_not_named():
    view = BlockingExecutor(1, backend="threads").options(timeout=60)
    assert view.run_sync(abs, -1) == 1
    view.shutdown()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"timeout": 0}, ValueError, "None means no limit"),
        ({"timeout": -1.0}, ValueError, "more than 0 seconds"),
        ({"timeout": float("nan")}, ValueError, "more than 0 seconds"),
        ({"timeout": True}, TypeError, "number of seconds"),
        ({"timeout": "1"}, TypeError, "number of seconds"),
        ({"retries": -1}, ValueError, "between 0 and"),
        ({"retries": 101}, ValueError, "between 0 and"),
        ({"retries": 1.0}, TypeError, "must be an int"),
        ({"retries": True}, TypeError, "must be an int"),
        ({"retry_on": "ValueError"}, TypeError, "subclass of Exception"),
        ({"retry_on": (ValueError, KeyboardInterrupt)}, TypeError, "subclass of Exception"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, error, words):
    with BlockingExecutor(1, backend="threads") as executor, pytest.raises(error, match=words):
        executor.options(**options)


def test_a_view_serves_an_event_loop(make):
    view = make(1).options(timeout=60)

    async def main():
        return await asyncio.get_running_loop().run_in_executor(view, tasks.square, 3)

    assert asyncio.run(main()) == 9


# Calls that are made again


def run_sync(view, function, *args):
    return view.run_sync(function, *args)


def submit(view, function, *args):
    return view.submit(function, *args).result()


def map_(view, function, *args):
    return view.map(lambda args: function(*args), [args])[0]


def run_parallel(view, function, *args):
    return view.run_parallel([(tasks.nothing, ()), (function, args)])[1]


def run_async(view, function, *args):
    return asyncio.run(view.run_async(function, *args))


def imap(view, function, *args):
    return next(view.imap(lambda args: function(*args), [args]))


def map_async(view, function, *args):
    async def main():
        async for result in view.map_async(lambda args: function(*args), [args]):
            return result

    return asyncio.run(main())


WAYS = [run_sync, submit, map_, run_parallel, run_async, imap, map_async]


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def way(request):
    return request.param


@pytest.mark.isolated
def test_a_view_crosses_to_a_worker_where_it_runs_calls_in_place(make, way, ledger):
    executor = make(1)
    view = executor.options(retries=3, timeout=60)
    assert aside(executor.run_sync, lambda: way(view, fails_until, ledger, 4)).result(PATIENCE) == "done"
    assert len(ledger.lines()) == 4


def test_a_call_that_fails_is_made_again(pool, way, ledger):
    assert way(pool.options(retries=2), fails_until, ledger, 3) == "done"
    assert len(ledger.lines()) == 3


def test_the_last_error_is_raised(pool, way, ledger):
    with pytest.raises(ValueError, match="not yet"):
        way(pool.options(retries=2), fails_until, ledger, 4)
    assert len(ledger.lines()) == 3


def test_without_retries_a_call_is_made_once(pool, way, ledger):
    with pytest.raises(ValueError, match="not yet"):
        way(pool.options(timeout=60), fails_until, ledger, 2)
    assert len(ledger.lines()) == 1


@pytest.mark.parametrize("retry_on", [ValueError, (KeyError, ValueError), Exception])
def test_only_what_is_named_makes_a_call_worth_another_attempt(pool, way, ledger, retry_on):
    assert way(pool.options(retries=1, retry_on=retry_on), fails_until, ledger, 2) == "done"


def test_another_error_is_raised_at_once(pool, way, ledger):
    with pytest.raises(ValueError, match="not yet"):
        way(pool.options(retries=5, retry_on=(KeyError, OSError)), fails_until, ledger, 3)
    assert len(ledger.lines()) == 1


def test_an_exit_of_a_task_is_not_made_again(pool, way, ledger):
    with pytest.raises((SystemExit, TaskError)):
        way(pool.options(retries=2), fails_until, ledger, 3, SystemExit)
    assert len(ledger.lines()) == 1


@pytest.mark.own_process
def test_a_call_whose_process_died_is_made_again(pool, way, ledger):
    def dies_once():
        ledger.note(os.getpid())
        if len(ledger.lines()) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid()

    with pytest.raises(WorkerCrashed):
        way(pool.options(retries=1, retry_on=ValueError), dies_once)
    os.unlink(ledger.path)
    assert way(pool.options(retries=1), dies_once) == int(ledger.lines()[1])


@pytest.mark.isolated
def test_what_cannot_cross_is_not_tried_again(pool, way):
    with pytest.raises(TransferError):
        way(pool.options(retries=3), tasks.identity, threading.Lock())


def test_each_item_of_a_map_is_made_again_by_itself(pool, ledger, tmp_path):
    each = [(os.fspath(tmp_path / str(number)), number % 3 + 1) for number in range(20)]
    assert pool.options(retries=2).map(fails_until_each, each) == ["done"] * 20
    counts = [len(Ledger(path).lines()) for path, _ in each]
    assert counts == [attempts for _, attempts in each]


@pytest.mark.parametrize("ordered", [True, False])
def test_each_item_of_a_stream_is_made_again_by_itself(pool, tmp_path, ordered):
    items = [(str(tmp_path / str(index)), 1 + index % 3) for index in range(9)]
    results = pool.options(retries=1).imap(fails_until_each, items, ordered=ordered, on_error="return")
    given = ["not yet" if isinstance(result, ValueError) else result for result in results]
    expected = ["done", "done", "not yet"] * 3
    assert given == expected if ordered else sorted(given) == sorted(expected)
    assert [len(Ledger(path).lines()) for path, _ in items] == [1, 2, 2] * 3


def test_a_stream_makes_calls_again_over_a_full_queue(make, tmp_path):
    items = [(str(tmp_path / str(index)), 3) for index in range(9)]
    view = make(2, 1).options(retries=2)

    async def main():
        return [result async for result in view.map_async(fails_until_each, items)]

    assert asyncio.run(main()) == ["done"] * 9


@pytest.mark.explicit
@pytest.mark.parametrize("way", [run_sync, submit, run_async], ids=lambda way: way.__name__)
def test_a_full_queue_is_no_failed_attempt(make, gate, ledger, way):
    executor = make(1, 1, on_full="raise")
    running = executor.submit(gate.door.wait)
    gate.arrived()
    waiting = executor.submit(tasks.square, 3)
    with pytest.raises(QueueFull) as caught:
        way(executor.options(retries=100), ledger.note, 1)
    assert caught.value.task[0] == ledger.note
    gate.open()
    running.result(20)
    assert waiting.result(20) == 9
    assert ledger.lines() == []


def test_a_larger_chunk_is_made_again_as_a_whole(pool, tmp_path):
    each = [(os.fspath(tmp_path / str(number)), 1 + (number == 3)) for number in range(4)]
    assert pool.options(retries=1).map(fails_until_each, each, chunk_size=4) == ["done"] * 4
    assert [len(Ledger(path).lines()) for path, _ in each] == [2, 2, 2, 2]


def test_a_future_of_several_attempts_is_cancelled_before_the_first(make, gate):
    executor = make(1)
    held = executor.submit(gate.door.wait)
    gate.arrived()
    future = executor.options(retries=2).submit(tasks.nothing)
    assert future.cancel()
    assert future.cancelled()
    gate.open()
    held.result()


def test_shutting_down_ends_the_wait_for_another_attempt(make, gate, ledger):
    """The first attempt failed; the second is in the queue when that is cleared."""
    executor = make(1)
    view = executor.options(retries=5)
    first = view.submit(tasks.raises, ValueError("first"))
    with pytest.raises(ValueError, match="first"):
        first.result()

    def waits_and_fails(door=gate.door, ledger=ledger):
        ledger.note("attempt")
        door.wait()
        raise ValueError("again")

    future = view.submit(waits_and_fails)
    gate.arrived()
    behind = executor.submit(gate.door.wait)
    gate.let_one_go()
    gate.arrived()
    executor.shutdown(wait=False, cancel_futures=True)
    gate.open()
    with pytest.raises(ValueError, match="again"):
        future.result(20)
    behind.result(20)


def test_a_pool_that_is_shut_down_finishes_a_call_with_all_its_attempts(make, gate, ledger):
    executor = make(1)

    def fails_twice(door=gate.door, ledger=ledger):
        door.wait()
        return fails_until(ledger, 3)

    future = executor.options(retries=5).submit(fails_twice)
    gate.arrived()
    executor.shutdown(wait=False)
    gate.open()
    executor.shutdown(timeout_secs=PATIENCE)
    assert future.done()
    assert future.result() == "done"
    assert len(ledger.lines()) == 3


def test_a_pool_that_is_shut_down_makes_calls_again_that_timed_out(make, ledger):
    executor = make(1)

    def spins_twice(ledger=ledger):
        ledger.note("attempt")
        while len(ledger.lines()) < 3:
            pass
        return "done"

    # More attempts: they are stopped before they begin, where the machine is busy.
    future = executor.options(timeout=0.3, retries=50).submit(spins_twice)
    executor.shutdown(timeout_secs=PATIENCE)
    assert future.done()
    assert future.result() == "done"


def test_of_a_call_that_may_leave_all_attempts_are_made_while_the_pool_shuts_down(make):
    executor = make(1)
    future = executor.options(retries=4).submit(tasks.fails_at, 7, 7)
    executor.shutdown(timeout_secs=PATIENCE)
    assert future.done()
    assert isinstance(future.exception(), ValueError)
    assert sum(each.failed for each in executor.stats().backends.values()) == 5


def test_a_pool_that_is_shut_down_and_cancels_makes_no_more_attempts(make, gate, ledger):
    executor = make(1)

    def waits_and_fails(door=gate.door, ledger=ledger):
        ledger.note("attempt")
        door.wait()
        raise ValueError("first")

    future = executor.options(retries=5).submit(waits_and_fails)
    gate.arrived()
    executor.shutdown(wait=False, cancel_futures=True)
    gate.open()
    with pytest.raises(ValueError, match="first"):
        future.result(PATIENCE)
    assert ledger.lines() == ["attempt"]


@pytest.mark.shared
@pytest.mark.parametrize("outcome", ["returns", "fails", "is cancelled"])
def test_a_future_of_several_attempts_is_in_no_cycle_and_keeps_no_arguments(make, gate, outcome):
    executor = make(1)

    class Thing:
        pass

    def call(_):
        if outcome == "fails":
            raise ValueError

    def made():
        thing = Thing()
        return executor.options(retries=1).submit(call, thing), weakref.ref(thing)

    gc.disable()
    try:
        if outcome == "is cancelled":
            held = executor.submit(gate.door.wait)
            gate.arrived()
            future, thing = made()
            assert future.cancel()
            gate.open()
            held.result()
        else:
            future, thing = made()
            future.exception()
        if outcome != "fails":  # The traceback has them.
            assert eventually(lambda: counted() and thing() is None)
        reference = weakref.ref(future)
        del future
        assert eventually(lambda: counted() and reference() is None)
        assert eventually(lambda: counted() and thing() is None)
    finally:
        gc.enable()


@pytest.mark.shared
def test_a_task_waits_for_a_call_of_its_own_that_is_made_again_on_one_worker(backend, ledger):
    executor = BlockingExecutor(1, backend=backend)

    def outer():
        # The list keeps it on threads under auto.
        return executor.options(retries=2).submit(fails_until, ledger, 3).result()

    assert aside(executor.run_sync, outer).result(20) == "done"
    executor.shutdown()


def test_a_retry_runs_in_the_context_of_its_caller(make, ledger):
    import contextvars

    executor = make(1)
    if executor.options(retries=1).run_sync(os.getpid) != os.getpid() or executor._settings.backend == "interpreters":
        pytest.skip("contexts do not cross")
    variable = contextvars.ContextVar("variable", default="other")
    variable.set("caller's")
    seen = []

    def look():
        seen.append(variable.get())
        if len(seen) < 3:
            raise ValueError

    executor.options(retries=2).submit(look).result()
    assert seen == ["caller's"] * 3


def test_interrupting_ends_all_attempts(make, gate, ledger):
    executor = make(1)

    def waits_and_fails(door=gate.door, ledger=ledger):
        ledger.note("attempt")
        door.wait()
        while True:
            pass

    future = executor.options(retries=5).submit(waits_and_fails)
    gate.arrived()
    assert future.interrupt()
    with pytest.raises(TaskInterrupted):
        future.result(20)
    gate.open()
    assert aside(executor.run_sync, abs, -1).result(20) == 1
    assert len(ledger.lines()) == 1


def test_interrupting_ends_the_wait_for_another_attempt(make, gate):
    """The first attempt failed; the second is in the queue."""
    executor = make(1)

    def waits_and_fails(door=gate.door):
        door.wait()
        raise ValueError("first")

    future = executor.options(retries=5).submit(waits_and_fails)
    gate.arrived()
    behind = executor.submit(gate.door.wait)
    gate.let_one_go()
    gate.arrived()
    assert executor.pending_tasks() == 1
    assert future.interrupt()
    with pytest.raises(TaskInterrupted):
        future.result(PATIENCE)
    assert executor.pending_tasks() == 0
    assert not behind.done()
    gate.open()
    behind.result()


# Chunks that come back while others are tried again


class _Core:
    """Stands for a batch of the core."""

    def __init__(self):
        self.pushed = []
        self.letters = []

    def push(self, number, items, again=False):
        self.pushed.append((number, items))
        return True

    def wait(self, timeout=None):
        letters, self.letters = self.letters, []
        return letters

    def cancel(self):
        pass

    def room(self):
        return 8


class _Pool:
    """Stands for a pool that decides for each call."""

    backend = "interpreters"
    opened = may_leave = is_worth = lambda *_: True

    def note(self, function, back):
        pass


def test_a_chunk_that_is_tried_again_here_is_not_run_again_for_one_that_comes_back():
    shared, away = _Core(), _Core()
    batch = AutoBatch(_Pool(), EACH, abs, shared, ordered=True)
    batch._leaves, batch._away, batch._room = True, away, 8
    flow = Flow(RetryingBatch(batch, EACH, Options(retries=5)), [0, 1, 2], 1)
    for _ in range(3):
        flow.push(flow.pull(8))

    def report(item, error):
        number = max(number for number, items in away.pushed if items == [item])
        shared.letters.append((number, None, 0.001, error))
        flow.take_back(0)

    report(1, ValueError())
    report(2, Elsewhere(True, "changes an argument"))
    report(1, ValueError())
    report(0, Elsewhere(True, "changes an argument"))
    assert sorted(items[0] for _, items in shared.pushed) == [0, 1, 2]
    for number, items in shared.pushed.copy():
        shared.letters.append((number, items, 0.001, None))
        assert [results for _, _, results, _ in flow.take_back(0)] == [items]
