"""submit: a future as concurrent.futures and asyncio know it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import io
import logging
import threading
import weakref
from functools import partial

import pytest

import tasks
from child import run
from hypern import BlockingExecutor
from sync import aside, eventually


def test_is_an_executor_of_concurrent_futures(pool):
    assert isinstance(pool, concurrent.futures.Executor)
    assert not callable(pool)  # asyncio, Dask and others tell executors from functions by that


def test_gives_a_future_of_concurrent_futures(pool):
    future = pool.submit(tasks.square, 3)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result(20) == 9
    assert future.done() and not future.running() and not future.cancelled()
    assert future.exception() is None


@pytest.mark.parametrize("name", ["self", "callable", "fn", "args", "kwargs", "timeout", "executor"])
def test_every_keyword_reaches_the_callable(pool, name):
    assert pool.submit(tasks.arguments, **{name: 1}).result(20) == ((), {name: 1})


def test_does_not_wait(make, gate):
    executor = make(1)
    future = executor.submit(gate.door.wait, "held")
    gate.arrived()
    assert not future.done()
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(timeout=0.01)
    with pytest.raises(concurrent.futures.TimeoutError):
        future.exception(timeout=0)
    gate.open()
    assert future.result(20) == "held"


def test_a_future_runs_once_its_task_does(make, gate):
    executor = make(1)
    running = executor.submit(gate.door.wait)
    gate.arrived()
    waiting = executor.submit(tasks.square, 2)
    assert running.running()
    assert not waiting.running() and not waiting.done()
    gate.open()
    assert waiting.result(20) == 4


def test_one_worker_takes_tasks_in_the_order_submitted(make, ledger):
    executor = make(1)
    futures = [executor.submit(ledger.note, number) for number in range(100)]
    concurrent.futures.wait(futures, 20)
    assert ledger.lines() == [str(number) for number in range(100)]


def test_a_task_that_waits_can_be_cancelled(make, gate, ledger):
    executor = make(1)
    held = executor.submit(gate.door.wait)
    gate.arrived()
    futures = [executor.submit(ledger.note, number) for number in range(10)]
    assert all(future.cancel() for future in futures[::2])
    assert all(future.cancelled() and future.done() for future in futures[::2])
    with pytest.raises(concurrent.futures.CancelledError):
        futures[0].result(20)
    gate.open()
    held.result(20)
    for future in futures[1::2]:
        future.result(20)
    assert ledger.lines() == ["1", "3", "5", "7", "9"]


def test_a_task_that_runs_cannot_be_cancelled(make, gate):
    executor = make(1)
    future = executor.submit(gate.door.wait, "held")
    gate.arrived()
    assert not future.cancel()
    gate.open()
    assert future.result(20) == "held"
    assert not future.cancel()


def test_wait_is_told_of_a_cancelled_future(make, gate):
    executor = make(1)
    executor.submit(gate.door.wait)
    gate.arrived()
    future = executor.submit(tasks.square, 2)
    future.cancel()
    gate.open()
    done, not_done = concurrent.futures.wait([future], timeout=20)
    assert done == {future} and not not_done


def test_an_error_is_the_exception_of_the_future(pool):
    future = pool.submit(tasks.raises, ValueError("mine"))
    assert type(future.exception(20)) is ValueError
    assert future.exception().args == ("mine",)
    with pytest.raises(ValueError, match="mine"):
        future.result()


def test_stop_iteration_passes_through_a_future(pool):
    assert type(pool.submit(tasks.raises, StopIteration(3)).exception(20)) is StopIteration


def test_callbacks_are_called_in_order_with_the_future(make, gate):
    executor = make(1)
    future = executor.submit(gate.door.wait, 1)
    gate.arrived()
    calls = []
    last = threading.Event()
    future.add_done_callback(lambda future: calls.append(("first", future.result())))
    future.add_done_callback(lambda future: calls.append(("second", future.result())))
    future.add_done_callback(lambda future: last.set())
    gate.open()
    assert last.wait(20)
    assert calls == [("first", 1), ("second", 1)]


def test_callbacks_after_one_that_raises_are_called_in_order(make, gate, caplog):
    executor = make(1)
    future = executor.submit(gate.door.wait, 1)
    gate.arrived()
    calls = []
    last = threading.Event()

    def strikes(error, future):
        calls.append(error)
        raise error("of a callback")

    future.add_done_callback(partial(strikes, ValueError))
    future.add_done_callback(lambda future: calls.append("second"))
    future.add_done_callback(partial(strikes, SystemExit))
    future.add_done_callback(lambda future: calls.append("fourth"))
    future.add_done_callback(lambda future: last.set())
    with caplog.at_level(logging.ERROR):
        gate.open()
        assert last.wait(20)
        plain = concurrent.futures.Future()
        plain.add_done_callback(partial(strikes, ValueError))
        plain.set_result(1)
    assert calls == [ValueError, "second", SystemExit, "fourth", ValueError]
    assert [record.exc_info[0] for record in caplog.records] == [ValueError, SystemExit, ValueError]
    assert len({(record.name, record.levelno, record.msg) for record in caplog.records}) == 1


def test_a_callback_of_a_future_that_is_done_is_called_at_once(pool):
    future = pool.submit(tasks.square, 3)
    future.result(20)
    calls = []
    future.add_done_callback(calls.append)
    assert calls == [future]


def test_a_callback_is_called_when_a_future_is_cancelled(make, gate):
    executor = make(1)
    executor.submit(gate.door.wait)
    gate.arrived()
    future = executor.submit(tasks.square, 3)
    calls = []
    future.add_done_callback(calls.append)
    assert future.cancel()
    assert calls == [future]
    gate.open()


def test_wait_for_the_first_of_them(make, gate):
    executor = make(2)
    held = executor.submit(gate.door.wait)
    gate.arrived()
    quick = executor.submit(tasks.square, 3)
    done, not_done = concurrent.futures.wait([held, quick], 20, concurrent.futures.FIRST_COMPLETED)
    assert done == {quick} and not_done == {held}
    gate.open()


def test_wait_for_the_first_failure(make, gate):
    executor = make(2)
    held = executor.submit(gate.door.wait)
    gate.arrived()
    failing = executor.submit(tasks.raises, ValueError())
    done, not_done = concurrent.futures.wait([held, failing], 20, concurrent.futures.FIRST_EXCEPTION)
    assert done == {failing} and not_done == {held}
    gate.open()


def test_wait_for_all(pool):
    futures = [pool.submit(tasks.square, number) for number in range(100)]
    done, not_done = concurrent.futures.wait(futures, 20)
    assert done == set(futures) and not not_done


def test_as_completed_gives_every_future_once(pool):
    futures = [pool.submit(tasks.square, number) for number in range(100)]
    results = [future.result() for future in concurrent.futures.as_completed(futures, 20)]
    assert sorted(results) == [n * n for n in range(100)]


def test_as_completed_gives_the_quick_before_the_slow(make, gate):
    executor = make(2)
    slow = executor.submit(gate.door.wait)
    gate.arrived()
    quick = executor.submit(tasks.square, 3)
    completed = concurrent.futures.as_completed([slow, quick], 20)
    assert next(completed) is quick
    gate.open()
    assert next(completed) is slow


def test_futures_of_this_and_of_other_executors_can_be_awaited_together(pool):
    with concurrent.futures.ThreadPoolExecutor(1) as other:
        futures = [pool.submit(tasks.square, 2), other.submit(tasks.square, 3)]
        done, _ = concurrent.futures.wait(futures, 20)
        assert sorted(future.result() for future in done) == [4, 9]


def test_a_future_outlives_its_pool(make):
    executor = make(1)
    future = executor.submit(tasks.square, 3)
    executor.shutdown()
    del executor
    assert future.result(0) == 9


def test_the_same_future_can_be_awaited_by_many(make, gate):
    executor = make(1)
    future = executor.submit(gate.door.wait, "held")
    gate.arrived()
    waiters = [aside(future.result, 20) for _ in range(10)]
    gate.open()
    assert [waiter.result(20) for waiter in waiters] == ["held"] * 10


@pytest.mark.parametrize("error", [tasks.Falsey("false"), tasks.Empty("empty")], ids=repr)
def test_an_exception_that_is_false_is_raised(pool, error):
    future = pool.submit(tasks.raises, error)
    with pytest.raises(type(error), match=str(error)):
        future.result(20)
    assert type(future.exception(20)) is type(error)


def test_a_future_that_raised_is_let_go_of_without_the_collector(pool):
    def raise_and_drop():
        future = pool.submit(tasks.raises, ValueError("mine"))
        gone = weakref.ref(future)
        try:
            future.result(20)
        except ValueError:
            del future  # or this frame would keep it, by the traceback
        return gone

    gc.disable()
    try:
        assert eventually(lambda gone=raise_and_drop(): gone() is None)
    finally:
        gc.enable()


@pytest.mark.shared  # tqdm gives its lock to workers, and a lock cannot cross
def test_tqdm_counts_the_items_of_its_own_map(backend):
    tqdm = pytest.importorskip("tqdm")
    from tqdm.contrib.concurrent import _executor_map

    counted = []

    class Bar(tqdm.tqdm):
        monitor_interval = 0  # no thread that outlives the test

        def update(self, n=1):
            counted.append(n)
            return super().update(n)

    shown = io.StringIO()
    make = partial(BlockingExecutor, backend=backend)
    assert _executor_map(make, tasks.square, range(50), tqdm_class=Bar, file=shown) == [n * n for n in range(50)]
    # It counts in callbacks, of which the last ones are called when it has all results.
    assert eventually(lambda: sum(counted) == 50)
    assert "/50" in shown.getvalue()


# asyncio


@pytest.fixture(params=["asyncio", "uvloop"])
def loops(request):
    """The module of each kind of event loop."""
    return pytest.importorskip(request.param, reason="there is no wheel of uvloop for this Python")


def test_run_in_executor(pool, loops):
    async def main():
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(pool, tasks.square, number) for number in range(100)))

    assert loops.run(main()) == [n * n for n in range(100)]


def test_wrap_future(pool, loops):
    async def main():
        return await asyncio.wrap_future(pool.submit(tasks.square, 3))

    assert loops.run(main()) == 9


def test_the_loop_goes_on_while_tasks_run(make, gate, loops):
    executor = make(1)

    async def main():
        loop = asyncio.get_running_loop()
        held = loop.run_in_executor(executor, gate.door.wait, "held")
        await loop.run_in_executor(None, gate.arrived)
        gate.open()  # by the loop, which nobody holds up
        return await held

    assert loops.run(main()) == "held"


def test_an_error_reaches_the_coroutine(pool, loops):
    async def main():
        with pytest.raises(ValueError, match="mine"):
            await asyncio.get_running_loop().run_in_executor(pool, tasks.raises, ValueError("mine"))

    loops.run(main())


def test_a_cancelled_coroutine_cancels_the_task_that_waits(make, gate, ledger, loops):
    executor = make(1)

    async def main():
        loop = asyncio.get_running_loop()
        executor.submit(gate.door.wait)
        await loop.run_in_executor(None, gate.arrived)
        waiting = asyncio.ensure_future(loop.run_in_executor(executor, ledger.note, "ran"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.sleep(0)  # by now the loop has told the future of the executor
        gate.open()

    loops.run(main())
    executor.run_sync(tasks.nothing)
    assert ledger.lines() == []


def test_a_timeout_of_a_coroutine_leaves_the_pool_usable(make, gate, loops):
    executor = make(1)

    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(loop.run_in_executor(executor, gate.door.wait), 0.05)
        gate.open()
        return await loop.run_in_executor(executor, tasks.square, 3)

    assert loops.run(main()) == 9


def test_two_loops_share_a_pool(pool, loops):
    async def main():
        loop = asyncio.get_running_loop()
        return [await loop.run_in_executor(pool, tasks.square, number) for number in range(50)]

    both = [aside(loops.run, main()) for _ in range(2)]
    assert [loop.result(30) for loop in both] == [[n * n for n in range(50)]] * 2


def test_a_loop_that_closed_before_its_task_ended_is_left_in_peace(backend, loops):
    run(
        """
        import asyncio, importlib, sys
        from hypern import BlockingExecutor
        from sync import Gate

        executor = BlockingExecutor(1, backend=sys.argv[1])
        with Gate() as gate:
            loop = importlib.import_module(sys.argv[2]).new_event_loop()
            future = loop.run_in_executor(executor, gate.door.wait)
            loop.call_soon(loop.stop)
            loop.run_forever()
            gate.arrived()
            future.cancel()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()
        executor.shutdown()
        print("done")
        """,
        backend,
        loops.__name__,
    ).ok("done\n")


def test_dropped_futures_still_run(make, ledger):
    executor = make(1)
    for number in range(10):
        executor.submit(ledger.note, number)
    assert eventually(lambda: len(ledger.lines()) == 10)


@pytest.mark.parametrize("task", ["abs", "python"])
def test_tasks_that_follow_one_another_without_end_let_other_threads_have_their_turn(backend, task):
    run(
        """
        import sys, threading, time
        from hypern import BlockingExecutor

        def python(number):
            return -number

        def again(_):
            if over:
                ended.set()
            else:
                executor.submit(task, -1).add_done_callback(again)

        over, ended, task = [], threading.Event(), abs if sys.argv[2] == "abs" else python
        with BlockingExecutor(1, backend=sys.argv[1]) as executor:
            again(None)
            for _ in range(50):
                time.sleep(0.0001)
            over.append(True)
            assert ended.wait(20)
        """,
        backend,
        task,
    ).ok("")


def test_garbage_that_is_collected_between_two_tasks_may_use_the_pool(backend):
    """CPython collects where a Python function begins, and a worker begins one between tasks that are C functions."""
    run(
        """
        import gc, pickle, sys
        from concurrent.futures import ThreadPoolExecutor
        from hypern import BlockingExecutor

        class Uses:
            def __init__(self):
                self.itself = self
            def __del__(self):
                used.append(executor.run_sync(abs, -1))

        used, many = [], pickle.dumps([[] for _ in range(100_000)])
        with BlockingExecutor(1, backend=sys.argv[1]) as executor, ThreadPoolExecutor(3) as callers:
            for _ in range(5):
                Uses()
                calls = [callers.submit(executor.run_sync, pickle.loads, many) for _ in range(6)]
                assert [len(call.result()) for call in calls] == [100_000] * 6
            del calls
            gc.collect()  # What is left must not be collected after the end of the pool.
            assert executor.run_sync(abs, -3) == 3
        """,
        backend,
    ).ok("")
