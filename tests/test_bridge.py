"""hypern.aio.bridge: plain calls in a coroutine that wait for a worker suspend the coroutine, and not the loop."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import threading
import warnings
import weakref

import pytest

import tasks
from child import run
from hypern import BlockingExecutor, QueueFull, TaskError, TaskTimeout, _loop
from hypern.blocking import blocking, blocking_map, blocking_run
from test_async import LOOPS, until, within

try:
    from hypern.aio import BridgeMiddleware, bridge
except ImportError as error:
    pytest.skip(str(error), allow_module_level=True)

NUMBER = contextvars.ContextVar("NUMBER", default=0)


@pytest.fixture(params=LOOPS)
def in_loop(request):
    """Runs a bridged coroutine function in a loop of its own, of either kind."""

    def in_loop(function, debug=None):
        with asyncio.Runner(loop_factory=LOOPS[request.param], debug=debug) as runner:
            return runner.run(within(60, bridge(function)()))

    return in_loop


@pytest.fixture
def busy(make, gate):
    """An executor whose only worker waits at the gate."""

    async def busy(**options):
        executor = make(1, **options)
        executor.submit(gate.door.wait)
        await asyncio.to_thread(gate.arrived)
        return executor

    return busy


# What comes back


def test_each_call_gives_what_it_gives_elsewhere(pool, in_loop):
    square = blocking(executor=pool)(tasks.square)

    async def main():
        assert pool.run_sync(tasks.greet, "Ada", greeting="Hi") == "Hi, Ada!"
        assert pool.run_parallel([(tasks.square, (2,)), (tasks.add, (1, 2)), (tasks.identity, (), {"value": 5})]) == [
            4,
            3,
            5,
        ]
        assert pool.map(tasks.square, range(1000)) == [number * number for number in range(1000)]
        assert pool.map(tasks.add, [1, 2], [3, 4], chunk_size=1) == [4, 6]
        assert pool.map(tasks.square, []) == []
        assert square(7) == 49
        assert await asyncio.sleep(0, "awaited") == "awaited"
        return square(8)

    assert in_loop(main) == 64
    assert in_loop(main, debug=True) == 64


def test_the_default_executor_too(default, in_loop):
    async def main():
        return blocking_run(tasks.square, 3), blocking_map(tasks.square, [1, 2])

    assert in_loop(main) == (9, [1, 4])


def test_a_call_deep_inside_of_plain_functions_and_of_c_code(pool, in_loop):
    def slow_square(number):
        return pool.run_sync(tasks.square, number)

    def lines():
        for number in range(3):
            yield slow_square(number)

    async def main():
        return sorted([3, -2, 1], key=slow_square), list(lines()), [*map(slow_square, [4])]

    assert in_loop(main) == ([1, -2, 3], [0, 1, 4], [16])


def test_errors_are_those_of_a_plain_call(pool, in_loop):
    async def main():
        with pytest.raises(ValueError, match="no 3s!") as caught:
            pool.run_sync(tasks.fails_at, 3, 3)
        assert isinstance(caught.value, TaskError)
        assert type(caught.value.__cause__) is ValueError
        with pytest.raises(ValueError, match="no 3s!"):
            pool.map(tasks.fails_at, [1, 2, 3], [3] * 3)
        with pytest.raises(ValueError, match="no 1s!"):
            pool.run_parallel([(tasks.fails_at, (1, 1)), (tasks.fails_at, (2, 2))])
        with pytest.raises(KeyError):
            pool.map(tasks.square, (number for number in [{}["missing"]]))
        return pool.run_sync(tasks.square, 2)

    assert in_loop(main) == 4


def test_the_coroutine_raises_what_it_raises():
    @bridge
    async def fails():
        await asyncio.sleep(0)
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        asyncio.run(fails())


def test_options_hold(make, in_loop):
    executor = make(1)

    async def main():
        with pytest.raises(TaskTimeout):
            executor.options(timeout=0.05).run_sync(tasks.spins)
        return executor.run_sync(tasks.square, 3)

    assert in_loop(main) == 9


# What goes on meanwhile


def test_others_run_meanwhile(busy, gate, in_loop):
    async def main():
        executor = await busy()
        order = []

        @bridge
        async def waits():
            order.append(executor.run_sync(tasks.square, 3))

        @bridge
        async def maps():
            order.append(executor.map(tasks.square, [1, 2, 3]))

        waiting = [asyncio.create_task(waits()), asyncio.create_task(maps())]
        for number in range(100):
            await asyncio.sleep(0)
        order.append("meanwhile")
        gate.open()
        await asyncio.gather(*waiting)
        assert order[0] == "meanwhile"
        assert sorted(map(str, order[1:])) == ["9", "[1, 4, 9]"]

    in_loop(main)


def test_many_wait_at_once(pool, in_loop):
    @bridge
    async def one(number):
        first = pool.run_sync(tasks.square, number)
        await asyncio.sleep(0)
        return first, pool.map(tasks.square, [number, number + 1])

    async def main():
        return await asyncio.gather(*map(one, range(200)))

    assert in_loop(main) == [(n * n, [n * n, (n + 1) ** 2]) for n in range(200)]


def test_the_task_and_its_context_are_the_same_all_along(pool, in_loop):
    async def main():
        task = asyncio.current_task()
        NUMBER.set(5)

        def inside():
            assert asyncio.current_task() is task
            assert NUMBER.get() == 5
            NUMBER.set(6)
            pool.run_sync(tasks.nothing)
            assert asyncio.current_task() is task
            return NUMBER.get()

        assert inside() == 6
        await asyncio.sleep(0)
        assert NUMBER.get() == 6

        async def child():
            assert NUMBER.get() == 6
            NUMBER.set(7)

        await asyncio.create_task(child())
        return NUMBER.get()

    assert in_loop(main) == 6
    assert NUMBER.get() == 0


@pytest.mark.shared
def test_the_task_runs_in_the_context_of_the_call(pool, in_loop):
    async def main():
        NUMBER.set(9)
        return pool.run_sync(NUMBER.get)

    assert in_loop(main) == 9


def test_a_context_of_its_own_inside(pool, in_loop):
    async def main():
        NUMBER.set(1)

        def inside():
            NUMBER.set(2)
            pool.run_sync(tasks.nothing)
            assert NUMBER.get() == 2
            pool.map(tasks.square, range(10))
            return NUMBER.get()

        assert contextvars.copy_context().run(inside) == 2
        assert NUMBER.get() == 1
        pool.run_sync(tasks.nothing)
        return NUMBER.get()

    assert in_loop(main) == 1


def test_a_bridge_in_a_bridge(pool, in_loop):
    @bridge
    async def inner(number):
        await asyncio.sleep(0)
        return pool.run_sync(tasks.square, number)

    async def main():
        return await inner(2) + pool.run_sync(tasks.square, 3)

    assert in_loop(main) == 13


def test_an_exception_that_is_handled_stays_that_of_its_coroutine(pool, in_loop):
    import sys

    @bridge
    async def handles(number):
        try:
            raise ValueError(number)
        except ValueError:
            pool.run_sync(tasks.nothing)
            await asyncio.sleep(0)
            pool.run_sync(tasks.nothing)
            return sys.exc_info()[1].args[0]

    async def main():
        return await asyncio.gather(*map(handles, range(10)))

    assert in_loop(main) == list(range(10))


def test_async_generators_and_context_managers_inside(pool, in_loop):
    async def numbers():
        for number in range(3):
            yield pool.run_sync(tasks.square, number)
            await asyncio.sleep(0)

    async def main():
        async with asyncio.timeout(30):
            return [number async for number in numbers()]

    assert in_loop(main) == [0, 1, 4]


# Ending it


@pytest.mark.explicit
@pytest.mark.parametrize("way", ["run_sync", "map"])
def test_cancelling_takes_back_what_has_not_been_started(busy, gate, ledger, in_loop, way):
    async def main():
        executor = await busy()

        @bridge
        async def waits():
            if way == "map":
                executor.map(ledger.note, ["never"])
            else:
                executor.run_sync(ledger.note, "never")

        waiting = asyncio.create_task(waits())
        await until(lambda: executor.pending_tasks() == 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.open()
        assert executor.run_sync(tasks.square, 2) == 4
        assert ledger.lines() == []

    in_loop(main)


@pytest.mark.explicit
def test_a_deadline_of_the_loop_ends_the_call(busy, gate, in_loop):
    async def main():
        executor = await busy()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                executor.run_sync(tasks.nothing)
        assert executor.pending_tasks() == 0
        gate.open()
        return executor.run_sync(tasks.square, 3)

    assert in_loop(main) == 9


@pytest.mark.explicit
def test_a_coroutine_may_refuse_to_be_cancelled(busy, gate, in_loop):
    async def main():
        executor = await busy()

        @bridge
        async def stubborn():
            try:
                executor.run_sync(tasks.nothing)
            except asyncio.CancelledError:
                gate.open()
                return executor.run_sync(tasks.square, 4)

        waiting = asyncio.create_task(stubborn())
        await until(lambda: executor.pending_tasks() == 1)
        waiting.cancel()
        return await waiting

    assert in_loop(main) == 16


@pytest.mark.explicit
def test_a_full_queue_is_waited_for_or_refused(busy, gate, in_loop):
    async def main():
        refusing = await busy(queue_size=1, on_full="raise")
        refusing.submit(tasks.nothing)
        with pytest.raises(QueueFull) as caught:
            refusing.run_sync(tasks.square, 3)
        assert caught.value.task == (tasks.square, (3,), {})
        with pytest.raises(QueueFull):
            refusing.map(tasks.square, [1, 2])
        with pytest.raises(QueueFull):
            refusing.run_parallel([(tasks.square, (1,))])

    in_loop(main)


@pytest.mark.explicit
def test_a_full_queue_is_waited_for(busy, gate, in_loop):
    async def main():
        executor = await busy(queue_size=1)
        executor.submit(tasks.nothing)

        @bridge
        async def maps():
            return executor.map(tasks.square, range(20), chunk_size=1)

        @bridge
        async def calls():
            return executor.run_sync(tasks.square, 3)

        waiting = [asyncio.create_task(maps()), asyncio.create_task(calls())]
        for _ in range(20):
            await asyncio.sleep(0)
        gate.open()
        return await asyncio.gather(*waiting)

    assert in_loop(main) == [[number * number for number in range(20)], 9]


@pytest.mark.explicit
def test_a_full_queue_is_waited_for_so_long(busy, gate, in_loop):
    async def main():
        executor = await busy(queue_size=1, full_timeout=0.05)
        executor.submit(tasks.nothing)
        with pytest.raises(QueueFull, match=r"full for 0\.05 s"):
            executor.map(tasks.square, range(3))

    in_loop(main)


def test_nothing_is_left_of_a_coroutine_that_is_done(pool, in_loop):
    class Thing:
        pass

    async def main():
        thing = Thing()
        seen = weakref.ref(thing)

        @bridge
        async def uses(it):
            pool.run_sync(tasks.nothing)
            with pytest.raises(ValueError):
                pool.run_sync(tasks.fails_at, 1, 1)
            return it

        await uses(thing)
        del thing
        # The loop lets go of the last wake-up when it takes the next one.
        await until(lambda: gc.collect() >= 0 and seen() is None)

    in_loop(main)


def test_a_coroutine_that_nobody_finishes_is_closed(make, gate):
    executor = make(1)
    ended = []

    @bridge
    async def waits():
        try:
            executor.run_sync(gate.door.wait)
        finally:
            ended.append(True)

    loop = asyncio.new_event_loop()
    coroutine = waits()

    async def first_step():
        task = loop.create_task(coroutine)
        await asyncio.sleep(0)
        await asyncio.to_thread(gate.arrived)
        return task

    task = loop.run_until_complete(first_step())
    loop.close()
    # Nobody is to say that it was pending.
    task._log_destroy_pending = False
    del task
    coroutine.close()
    assert ended == [True]


def test_a_failure_leaves_no_cycle(pool):
    """Each would hold a task and a greenlet until the next collection."""

    @bridge
    async def fails():
        with pytest.raises(ValueError):
            pool.run_sync(tasks.fails_at, 1, 1)
        raise LookupError

    async def main():
        loop = asyncio.get_running_loop()
        seen = []
        for _ in range(5):
            task = loop.create_task(fails())
            seen.append(weakref.ref(task))
            with pytest.raises(LookupError):
                await task
            del task
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return [each() for each in seen]

    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(main()) == [None] * 5
    finally:
        gc.enable()


def test_long_items_of_a_map_are_handed_out_at_once(make):
    """Also where the pool decides only after a while that they are worth the trip."""
    executor = make(2)

    async def main():
        return executor.map(tasks.begins_and_ends, [0.4, 0.4])

    for _ in range(2):  # The first one opens the second pool of `auto`.
        times = asyncio.run(bridge(main)())
    began, ended = zip(*times)
    assert max(began) < min(ended)


# Where it does not reach


def test_a_task_that_begins_inside_is_on_its_own(pool):
    """Also one that takes its first step at once, in the greenlet of the coroutine that starts it."""
    if not hasattr(asyncio, "eager_task_factory"):
        pytest.skip("this Python has no eager tasks")

    async def plain():
        return pool.run_sync(tasks.square, 3)

    @bridge
    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        started = asyncio.create_task(plain())
        assert started.done()
        bridged = asyncio.create_task(bridge(plain)())
        return await started, await bridged, pool.run_sync(tasks.square, 4)

    assert asyncio.run(main()) == (9, 9, 16)


def test_without_it_a_call_waits_itself(pool):
    async def main():
        assert pool.run_sync(tasks.square, 3) == 9
        assert pool.map(tasks.square, [1, 2]) == [1, 4]

    asyncio.run(main())


def test_another_thread_waits_itself(pool, in_loop):
    async def main():
        return await asyncio.to_thread(pool.run_sync, tasks.square, 3)

    assert in_loop(main) == 9


def test_a_bridge_inside_of_a_task(make):
    """On threads, the task's own executor may be what it waits for."""
    executor = make(1)
    assert executor.run_sync(tasks.squares_in_a_bridge, executor, 3) == 9


@pytest.mark.parametrize("what", [abs, lambda: None, 3, None])
def test_what_is_no_coroutine_function_is_refused(what):
    with pytest.raises(TypeError, match="coroutine functions"):
        bridge(what)


def test_an_async_generator_is_refused():
    async def numbers():
        yield 1

    with pytest.raises(TypeError, match="coroutine functions"):
        bridge(numbers)


def test_the_function_keeps_its_face():
    async def add(left: int, right: int = 2) -> int:
        """Adds."""
        return left + right

    bridged = bridge(add)
    assert inspect.iscoroutinefunction(bridged)
    assert (bridged.__name__, bridged.__doc__, bridged.__wrapped__) == ("add", "Adds.", add)
    assert inspect.signature(bridged) == inspect.signature(add)
    assert asyncio.run(bridged(1)) == 3


def test_the_middleware_bridges_an_application(pool):
    sent = []

    async def application(scope, receive, send):
        assert (await receive()) == {"type": "http.request"}
        await send(scope["kind"] * pool.run_sync(tasks.square, 2))

    async def receive():
        await asyncio.sleep(0)
        return {"type": "http.request"}

    async def send(message):
        sent.append(message)

    asyncio.run(BridgeMiddleware(application)({"kind": "x"}, receive, send))
    assert sent == ["xxxx"]


# Debug mode


def test_debug_mode_says_once_that_a_call_stops_the_loop(pool, monkeypatch):
    monkeypatch.setattr(_loop, "_has_warned", False)

    async def main():
        with pytest.warns(RuntimeWarning, match=r"hypern\.aio\.bridge") as caught:
            pool.run_sync(tasks.nothing)
        assert [warning.filename for warning in caught] == [__file__]
        with warnings.catch_warnings(record=True) as again:
            warnings.simplefilter("always")
            pool.map(tasks.square, [1])
        assert again == []

    asyncio.run(main(), debug=True)


def test_nothing_is_said_of_a_bridged_call_or_without_debug_mode(pool, monkeypatch):
    monkeypatch.setattr(_loop, "_has_warned", False)

    async def main():
        pool.run_sync(tasks.nothing)

    asyncio.run(main())
    asyncio.run(bridge(main)(), debug=True)


def test_a_program_that_ends_in_the_middle_ends_well():
    run(
        """
        import asyncio
        from hypern import BlockingExecutor
        from hypern.aio import bridge

        executor = BlockingExecutor(1)

        @bridge
        async def waits():
            executor.run_sync(__import__("time").sleep, 0.2)

        async def main():
            asyncio.create_task(waits())
            await asyncio.sleep(0.05)

        asyncio.run(main())
        print("end")
        """
    ).ok("end\n")


def test_ctrl_c_ends_a_bridged_call():
    run(
        """
        import asyncio, os, signal, threading, time
        from hypern import BlockingExecutor
        from hypern.aio import bridge

        executor = BlockingExecutor(1, backend="threads")

        @bridge
        async def waits():
            asyncio.get_running_loop().call_later(0.1, os.kill, os.getpid(), signal.SIGINT)
            try:
                executor.run_sync(time.sleep, 0.5)
            except asyncio.CancelledError:
                print("cancelled")
                raise

        try:
            asyncio.run(waits())
        except KeyboardInterrupt:
            print("interrupted")
        """
    ).ok("cancelled\ninterrupted\n")


def test_a_long_time_of_many_threads_with_loops(pool):
    """Each thread has its loop, its bridge and its greenlets."""
    results = []

    def work(base):
        @bridge
        async def one(number):
            return pool.run_sync(tasks.square, number)

        async def main():
            return await asyncio.gather(*(one(base + number) for number in range(50)))

        results.append(asyncio.run(main()))

    threads = [threading.Thread(target=work, args=(base,)) for base in range(0, 400, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sum(results, [])) == [number * number for number in range(400)]
