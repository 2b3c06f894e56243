"""run_async and map_async: an event loop awaits what workers do, and is woken once for many results."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import itertools
import os
import threading
import weakref

import pytest

import tasks
from child import STRICT, run
from hypern import ShutdownError, TaskError, TransferError
from hypern.blocking import blocking
from sync import PATIENCE, aside, count, eventually

try:
    import uvloop
except ImportError:
    uvloop = None

LOOPS = {"asyncio": asyncio.new_event_loop}
if uvloop is not None:
    LOOPS["uvloop"] = uvloop.new_event_loop


@pytest.fixture(params=LOOPS)
def in_loop(request):
    """Runs a coroutine in a loop of its own, of either kind."""

    def in_loop(coroutine, debug=None):
        with asyncio.Runner(loop_factory=LOOPS[request.param], debug=debug) as runner:
            return runner.run(within(60, coroutine))

    return in_loop


async def within(seconds, coroutine):
    return await asyncio.wait_for(coroutine, seconds)


async def until(condition):
    """Wait for a state that has no event, without keeping the loop from running."""
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come true")


# One call


def test_what_is_awaited_is_what_the_call_returns(pool, in_loop):
    async def main():
        assert await pool.run_async(tasks.square, 3) == 9
        assert await pool.run_async(tasks.greet, "Ada", greeting="Hi") == "Hi, Ada!"
        assert await pool.run_async(tasks.nothing) is None
        assert await pool.run_async(lambda number: number + 1, 1) == 2

    in_loop(main())
    in_loop(main(), debug=True)


def test_it_is_a_coroutine_function_that_begins_when_awaited(pool):
    assert inspect.iscoroutinefunction(pool.run_async)
    assert asyncio.run(pool.run_async(tasks.square, 3)) == 9


def test_it_raises_what_run_sync_raises(pool, in_loop):
    async def main():
        with pytest.raises(ValueError, match="no 3s!") as caught:
            await pool.run_async(tasks.fails_at, 3, 3)
        assert isinstance(caught.value, TaskError)
        assert type(caught.value.__cause__) is ValueError

    in_loop(main())


@pytest.mark.parametrize("name", tasks.BASE_EXCEPTIONS)
def test_exceptions_that_exit_are_task_errors(pool, name):
    async def main():
        with pytest.raises(TaskError) as caught:
            await pool.run_async(tasks.raises_named, name)
        assert type(caught.value.__cause__) is type(tasks.BASE_EXCEPTIONS[name]())

    asyncio.run(main())


@pytest.mark.parametrize("error", [tasks.Falsey("no"), StopIteration(1), StopAsyncIteration()])
def test_awkward_exceptions_are_raised(pool, error):
    async def main():
        with pytest.raises(TaskError) as caught:
            await pool.run_async(tasks.raises, error)
        assert type(caught.value.__cause__) is type(error)
        with pytest.raises(TaskError):
            async for _ in pool.map_async(tasks.raises, [error]):
                pass

    asyncio.run(main())


@pytest.mark.isolated
def test_what_cannot_be_sent_is_a_transfer_error(pool):
    async def main():
        with pytest.raises(TransferError):
            await pool.run_async(tasks.identity, threading.Lock())
        with pytest.raises(TransferError):
            await pool.run_async(threading.Lock)

    asyncio.run(main())


def test_calls_run_at_the_same_time(make, gate, in_loop):
    executor = make(2)

    async def main():
        calls = [asyncio.create_task(executor.run_async(gate.door.wait, name)) for name in "ab"]
        await asyncio.to_thread(gate.arrived, 2)
        gate.open()
        assert await asyncio.gather(*calls) == ["a", "b"]

    in_loop(main())


def test_the_loop_goes_on_meanwhile(make, gate, in_loop):
    executor = make(1)

    async def main():
        call = asyncio.create_task(executor.run_async(gate.door.wait, "done"))
        await asyncio.to_thread(gate.arrived)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not call.done()
        gate.open()
        assert await call == "done"

    in_loop(main())


@pytest.mark.shared
def test_the_context_of_the_caller_is_carried(pool, in_loop):
    variable = contextvars.ContextVar("variable", default="outside")

    async def one(value):
        variable.set(value)
        return await pool.run_async(lambda: variable.get())

    async def main():
        assert await asyncio.gather(*map(one, range(10))) == [*range(10)]
        assert variable.get() == "outside"

    in_loop(main())


@pytest.mark.shared
def test_the_context_is_carried_past_a_full_queue(make, gate):
    executor = make(1, queue_size=1)
    variable = contextvars.ContextVar("variable")

    async def one(value):
        variable.set(value)
        return await executor.run_async(lambda: variable.get())

    async def main():
        stuck = asyncio.create_task(executor.run_async(lambda: gate.door.wait()))
        await asyncio.to_thread(gate.arrived)
        calls = [asyncio.create_task(one(value)) for value in range(10)]
        await asyncio.sleep(0)
        gate.open()
        assert await asyncio.gather(*calls) == [*range(10)]
        await stuck

    asyncio.run(main())


# Many


def test_of_many_awaits_none_is_lost_and_the_loop_is_woken_seldom(pool, in_loop, monkeypatch):
    from hypern import _async

    woken = itertools.count()
    answer = _async.Desk.answer

    def counted(desk):
        next(woken)
        answer(desk)

    monkeypatch.setattr(_async.Desk, "answer", counted)
    number = count(10_000, 100_000)

    async def main():
        return await asyncio.gather(*(pool.run_async(tasks.identity, each) for each in range(number)))

    assert in_loop(main()) == [*range(number)]
    assert next(woken) < number / 10


def test_coroutines_that_await_one_after_the_other(pool, in_loop):
    async def one(start):
        return [await pool.run_async(tasks.identity, start + number) for number in range(100)]

    async def main():
        results = await asyncio.gather(*(one(1000 * start) for start in range(20)))
        assert results == [[1000 * start + number for number in range(100)] for start in range(20)]

    in_loop(main())


def test_several_loops_at_once(pool, in_loop):
    async def main(start):
        calls = (pool.run_async(tasks.identity, start + number) for number in range(300))
        return await asyncio.gather(*calls) == [start + number for number in range(300)]

    loops = [aside(in_loop, main(1000 * start)) for start in range(5)]
    assert all(loop.result(60) for loop in loops)


def test_loops_come_and_go_and_leave_nothing(pool, in_loop):
    async def main():
        assert await pool.run_async(tasks.square, 3) == 9

    def descriptors():
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    in_loop(main())
    before = descriptors()
    for _ in range(30):
        in_loop(main())
    assert eventually(lambda: descriptors() <= before + 2)


# Cancelling


def test_cancelling_takes_back_what_has_not_started(make, gate, ledger, in_loop):
    executor = make(1)

    def notes(name, ledger=ledger):
        ledger.note(name)

    async def main():
        first = asyncio.create_task(executor.run_async(gate.door.wait, "first"))
        await asyncio.to_thread(gate.arrived)
        second = asyncio.create_task(executor.run_async(notes, "second"))
        third = asyncio.create_task(executor.run_async(notes, "third"))
        await until(lambda: executor.pending_tasks() == 2)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert executor.pending_tasks() == 1
        assert sum(each.cancelled for each in executor.stats().backends.values()) == 1
        gate.open()
        assert await first == "first"
        await third

    in_loop(main())
    assert ledger.lines() == ["third"]


def test_what_runs_goes_on_and_its_result_is_dropped(make, gate, in_loop):
    executor = make(1)

    async def main():
        call = asyncio.create_task(executor.run_async(gate.door.wait, "late"))
        await asyncio.to_thread(gate.arrived)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        gate.open()
        assert await executor.run_async(tasks.square, 3) == 9

    in_loop(main(), debug=True)


# A full queue


def test_a_full_queue_keeps_only_its_callers_waiting(make, gate, in_loop):
    executor = make(1, queue_size=2)

    async def main():
        stuck = asyncio.create_task(executor.run_async(gate.door.wait, "first"))
        await asyncio.to_thread(gate.arrived)
        calls = [asyncio.create_task(executor.run_async(tasks.square, number)) for number in range(50)]
        for _ in range(100):
            await asyncio.sleep(0)  # the loop goes on
        assert not any(call.done() for call in calls)
        assert executor.pending_tasks() <= 4  # auto has two queues
        for call in calls[::2]:
            call.cancel()
        gate.open()
        assert await stuck == "first"
        assert await asyncio.gather(*calls[1::2]) == [number * number for number in range(50)[1::2]]

    in_loop(main())


@pytest.mark.shared
def test_a_call_that_has_waited_for_space_leaves_nothing_behind(make, gate, in_loop):
    executor = make(1, queue_size=1, full_timeout=3600)

    class Thing:
        pass

    async def main():
        stuck = asyncio.create_task(executor.run_async(gate.door.wait))
        await asyncio.to_thread(gate.arrived)
        calls = [asyncio.create_task(executor.run_async(lambda: Thing())) for _ in range(10)]
        for _ in range(100):
            await asyncio.sleep(0)
        assert not any(call.done() for call in calls)
        gate.open()
        await stuck
        results = [weakref.ref(await call) for call in calls]
        calls.clear()
        assert await executor.run_async(tasks.square, 3) == 9  # something has the last one until then
        gc.collect()
        assert not any(result() for result in results)

    in_loop(main())


@pytest.mark.explicit
def test_a_queue_that_others_have_filled(make, gate, in_loop):
    executor = make(1, queue_size=1)
    futures = [executor.submit(gate.door.wait, "running")]
    gate.arrived()
    futures.append(executor.submit(gate.door.wait, "queued"))

    async def main():
        call = asyncio.create_task(executor.run_async(tasks.square, 3))
        other = aside(executor.run_sync, tasks.square, 4)  # a thread waits for space, too
        await asyncio.sleep(0.05)  # nothing is decided by it
        assert not call.done()
        gate.open()
        assert await call == 9
        assert other.result(20) == 16

    in_loop(main())
    assert [future.result(20) for future in futures] == ["running", "queued"]


@pytest.mark.explicit
def test_shutdown_while_waiting_for_space(make, gate, in_loop):
    executor = make(1, queue_size=1)

    async def main():
        calls = [asyncio.create_task(executor.run_async(gate.door.wait, name)) for name in "abc"]
        await asyncio.to_thread(gate.arrived)
        await until(lambda: executor.pending_tasks() == 1)
        executor.shutdown(wait=False)
        with pytest.raises(ShutdownError):
            await calls[2]
        gate.open()
        assert await asyncio.gather(*calls[:2]) == ["a", "b"]
        with pytest.raises(ShutdownError):
            await executor.run_async(tasks.square, 3)

    in_loop(main())


# Inside


def awaits(executor, number):
    async def main():
        return await asyncio.gather(*(executor.run_async(tasks.square, each) for each in range(number)))

    return asyncio.run(main())


def test_a_loop_in_a_task_may_await_its_own_pool(make):
    executor = make(1)
    assert executor.run_sync(awaits, executor, 5) == [0, 1, 4, 9, 16]


def streams(executor, number):
    async def main():
        return [result async for result in executor.map_async(tasks.square, range(number))]

    return asyncio.run(main())


def test_a_loop_in_a_task_may_stream_from_its_own_pool(make):
    executor = make(1)
    assert executor.run_sync(streams, executor, 30) == [number * number for number in range(30)]


def appends(values):
    values.append(sum(range(2000)))
    return len(values)


@pytest.mark.shared
def test_a_call_that_comes_back(make, in_loop):
    executor = make(2)
    values = [[] for _ in range(50)]

    async def main():
        assert await asyncio.gather(*(executor.run_async(appends, each) for each in values)) == [1] * 50

    in_loop(main())
    assert [len(each) for each in values] == [1] * 50


# The decorator


def test_decorated_functions_can_be_awaited(default, in_loop):
    @blocking
    def double(number):
        """Twice."""
        return 2 * number

    async def main():
        assert await double.run_async(21) == 42
        assert await asyncio.gather(*map(double.run_async, range(5))) == [0, 2, 4, 6, 8]

    in_loop(main())
    assert double(21) == 42
    assert double.run_async.__doc__ == "Twice."
    assert inspect.iscoroutinefunction(double.run_async)


# Streams


def squares(number):
    return [n * n for n in range(number)]


async def collected(results):
    return [result async for result in results]


@pytest.mark.parametrize("buffer", [0, 1, 7])
@pytest.mark.parametrize("chunk_size", [0, 1, 10])
def test_a_stream_gives_all_results(pool, in_loop, chunk_size, buffer):
    options = {"chunk_size": chunk_size, "buffer": buffer}

    async def main():
        assert await collected(pool.map_async(tasks.square, range(100), **options)) == squares(100)
        assert sorted(await collected(pool.map_async(tasks.square, range(100), ordered=False, **options))) == squares(
            100
        )
        assert await collected(pool.map_async(tasks.add, [1, 2], itertools.count(), **options)) == [1, 3]
        assert await collected(pool.map_async(tasks.square, [], **options)) == []

    in_loop(main())


def test_an_endless_stream_is_left(pool, in_loop):
    async def main():
        source = itertools.count()
        async for result in pool.map_async(tasks.identity, source, buffer=100):
            if result == 5000:
                break
        assert next(source) <= 5001 + 100
        assert await pool.run_async(tasks.square, 3) == 9

    in_loop(main())


def test_a_streams_failures(pool, in_loop):
    async def main():
        given = []
        with pytest.raises(ValueError, match="no 7s!"):
            async for result in pool.map_async(tasks.fails_at, range(20), itertools.repeat(7)):
                given.append(result)
        assert given == [*range(7)]
        results = await collected(pool.map_async(tasks.fails_at, range(20), itertools.repeat(7), on_error="return"))
        assert isinstance(results.pop(7), ValueError)
        assert results == [number for number in range(20) if number != 7]

        def broken():
            yield 1
            raise KeyError("the source broke")

        results = pool.map_async(tasks.square, broken())
        assert await anext(results) == 1
        with pytest.raises(KeyError, match="the source broke") as caught:
            await anext(results)
        assert type(caught.value) is KeyError
        with pytest.raises(StopAsyncIteration):
            await anext(results)

    in_loop(main())


def test_a_stream_is_pulled_in_the_thread_of_the_loop_while_others_run(pool, in_loop):
    pullers = set()

    def numbers():
        for number in range(2000):
            pullers.add(threading.get_ident())
            yield number

    async def main():
        turns = 0

        async def other():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(other())
        assert await collected(pool.map_async(tasks.square, numbers(), chunk_size=20)) == squares(2000)
        beside.cancel()
        assert pullers == {threading.get_ident()}
        assert turns >= 25

    in_loop(main())


@pytest.mark.explicit
def test_a_stream_waits_for_space_without_the_loop(make, gate, in_loop):
    executor = make(1, queue_size=1)
    futures = [executor.submit(gate.door.wait, "running")]
    gate.arrived()
    futures.append(executor.submit(gate.door.wait, "queued"))

    async def main():
        results = collected(executor.map_async(tasks.square, range(100), chunk_size=1))
        stream = asyncio.create_task(results)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not stream.done()
        gate.open()
        assert await stream == squares(100)

    in_loop(main())
    assert [future.result(20) for future in futures] == ["running", "queued"]


def waits_if_asked(item):
    door, number = item
    if door is not None:
        door.wait()
    return number


def end_by_aclose(results, waiting):
    return results.aclose()


async def end_by_with(results, waiting):
    async with results:
        pass


async def end_by_cancelling(results, waiting):
    waiting.cancel()


@pytest.mark.parametrize("end", [end_by_aclose, end_by_with, end_by_cancelling])
def test_closing_a_stream_cancels_what_has_not_started(make, gate, in_loop, end):
    executor = make(1)

    async def main():
        results = executor.map_async(waits_if_asked, [(None, 0), *[(gate.door, 1)] * 20], chunk_size=1)
        assert await anext(results) == 0
        waiting = asyncio.create_task(anext(results))
        await asyncio.to_thread(gate.arrived)
        await until(lambda: results._awaited)
        await end(results, waiting)
        with pytest.raises(asyncio.CancelledError if end is end_by_cancelling else StopAsyncIteration):
            await waiting
        assert executor.pending_tasks() == 0
        gate.open()
        with pytest.raises(StopAsyncIteration):
            await anext(results)

    in_loop(main())


def closes_while_another_task_awaits(executor):
    async def main():
        results = executor.map_async(tasks.square, itertools.count())
        waiting = asyncio.create_task(anext(results))
        await asyncio.sleep(0)
        await results.aclose()
        try:
            return await waiting
        except StopAsyncIteration:
            return "closed"

    return asyncio.run(main())


@pytest.mark.isolated
def test_a_stream_that_a_worker_runs_in_place_is_closed(make):
    executor = make(1)
    assert aside(executor.run_sync, closes_while_another_task_awaits, executor).result(PATIENCE) == "closed"


def test_two_tasks_may_not_await_one_stream(make, gate, in_loop):
    executor = make(1)

    async def main():
        results = executor.map_async(gate.door.wait, "ab")
        first = asyncio.create_task(anext(results))
        await asyncio.to_thread(gate.arrived)
        with pytest.raises(RuntimeError, match="another task"):
            await anext(results)
        gate.open()
        assert await first == "a"
        assert await anext(results) == "b"

    in_loop(main())


def changes_some(values):
    if values[0] % 40 == 20:
        values.append(sum(range(3000)))
    return sum(i * i for i in range(3000)) + values[0], len(values)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.shared
def test_in_a_stream_what_comes_back_is_given_once_and_in_its_place(make, in_loop, ordered):
    executor = make(2)
    items = [[number] for number in range(300)]
    expected = [changes_some([number]) for number in range(300)]

    async def main():
        results = await collected(executor.map_async(changes_some, items, ordered=ordered))
        assert (results if ordered else sorted(results)) == expected

    in_loop(main())
    assert [len(item) for item in items] == [1 + (number % 40 == 20) for number in range(300)]


def heavy(number):
    return sum(i * i for i in range(number))


def test_a_stream_of_long_calls_leaves_where_it_may(make, in_loop):
    """Nobody waits for the first item to end before the others begin."""
    executor = make(2)

    async def main():
        results = await collected(executor.map_async(heavy, [200_000] * 6))
        assert results == [heavy(200_000)] * 6

    in_loop(main())
    if executor.explain(heavy, 1).backend != "threads":
        assert executor.stats().backends[executor.explain(heavy, 1).backend].tasks >= 4


def test_bad_options_of_a_stream_are_refused_at_once(pool):
    with pytest.raises(ValueError):
        pool.map_async(tasks.square, [1], on_error="ignore")
    with pytest.raises(TypeError):
        pool.map_async(tasks.square)


# Loops and processes that end


def test_a_loop_that_is_closed_before_the_result_comes(backend):
    run(
        """
        import asyncio, sys
        from hypern import BlockingExecutor
        from sync import Gate
        import tasks

        executor = BlockingExecutor(1, backend=sys.argv[1])
        with Gate() as gate:
            async def main():
                call = asyncio.create_task(executor.run_async(gate.door.wait, "late"))
                stream = asyncio.create_task(anext(executor.map_async(gate.door.wait, ["later"])))
                await asyncio.to_thread(gate.arrived)
                return None  # and both are cancelled

            asyncio.run(main())
            loop = asyncio.new_event_loop()
            async def begin():
                loop.call_soon(loop.stop)
                await executor.run_async(tasks.square, 3)
            task = loop.create_task(begin())
            loop.run_forever()
            task.cancel()
            try:
                loop.run_until_complete(task)
            except asyncio.CancelledError:
                pass
            loop.close()
            gate.open()
        assert executor.run_sync(tasks.square, 3) == 9
        assert asyncio.run(executor.run_async(tasks.square, 4)) == 16
        executor.shutdown()
        """,
        backend,
    ).ok("")


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_that_is_closed_while_calls_run_that_nobody_cancelled(backend, loop):
    run(
        """
        import asyncio, gc, importlib, sys
        from hypern import BlockingExecutor
        from sync import Gate

        executor = BlockingExecutor(2, backend=sys.argv[1])
        told = []

        def close_a_loop(gate):
            loop = importlib.import_module(sys.argv[2]).new_event_loop()
            loop.set_exception_handler(lambda loop, context: told.append(context["message"]))
            call = loop.create_task(executor.run_async(gate.door.wait, "call"))
            future = loop.run_in_executor(executor, gate.door.wait, "future")
            loop.run_until_complete(asyncio.sleep(0))
            gate.arrived(2)
            loop.close()
            assert not call.done() and not future.done()
            return call, future

        def done():
            return sum(each.done for each in executor.stats().backends.values())

        with Gate() as gate:
            close_a_loop(gate)
            gc.collect()
        assert told == ["Task was destroyed but it is pending!"], told
        with Gate() as gate:
            kept = close_a_loop(gate)
        executor.shutdown(timeout_secs=None)
        assert not kept[0].done() and not kept[1].done()
        assert done() == 4, executor.stats()
        del kept
        gc.collect()
        assert told == ["Task was destroyed but it is pending!"] * 2, told
        """,
        backend,
        loop,
    ).ok("")


def test_exit_while_a_loop_awaits_in_another_thread(backend):
    run(
        """
        import asyncio, sys, threading
        from hypern import BlockingExecutor
        import tasks

        executor = BlockingExecutor(1, backend=sys.argv[1])
        begun = threading.Event()

        async def main():
            begun.set()
            try:
                while True:
                    await executor.run_async(tasks.square, 3)
            except RuntimeError as error:
                assert "shut down" in str(error), error

        threading.Thread(target=asyncio.run, args=(main(),)).start()
        begun.wait()
        """,
        backend,
    ).ok("")


def test_a_forked_child_has_loops_of_its_own(backend):
    run(
        """
        import asyncio, os, sys
        from hypern import BlockingExecutor
        import tasks

        executor = BlockingExecutor(2, backend=sys.argv[1])

        async def main():
            assert await asyncio.gather(*(executor.run_async(tasks.square, n) for n in range(20))) == [
                n * n for n in range(20)
            ]
            assert [n async for n in executor.map_async(tasks.square, range(5))] == [0, 1, 4, 9, 16]

        asyncio.run(main())
        process = os.fork()
        if process == 0:
            asyncio.run(main())
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 7
        asyncio.run(main())
        executor.shutdown()
        """,
        backend,
        flags=(*STRICT, "-W", "ignore:This process:DeprecationWarning"),
    ).ok("")


def test_importing_does_not_load_asyncio():
    run(
        """
        import sys
        import hypern.blocking
        with hypern.BlockingExecutor(1) as executor:
            assert list(executor.imap(abs, [-1])) == [1]
        assert "asyncio" not in sys.modules
        """
    ).ok("")
