"""Calls from within tasks: to the same pool, to others, at any depth, on as little as one worker."""

from __future__ import annotations

import concurrent.futures
import os
import queue
import threading

import pytest

import tasks
import ways
from child import run
from hypern import BlockingExecutor, ShutdownError, TaskError, _route
from hypern.blocking import blocking, blocking_map, blocking_parallel, blocking_run
from sync import aside, children, eventually

DEEP = 8
WAYS = (ways.by_run_sync, ways.by_map, ways.by_run_parallel, ways.by_submit, ways.by_blocking)
WAITING_WAYS = (ways.by_wait, ways.by_as_completed)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("workers", [1, 2])
def test_calls_nest_deeper_than_there_are_workers(make, way, workers):
    executor = make(workers)

    def down(depth):
        return 0 if depth == 0 else 1 + way(executor, down, depth - 1)

    assert aside(way, executor, down, DEEP).result(60) == DEEP


@pytest.mark.parametrize("way", WAITING_WAYS, ids=lambda way: way.__name__)
def test_the_waits_of_concurrent_futures_nest_too(make, way):
    executor = make(1)

    def down(depth):
        return 0 if depth == 0 else 1 + way(executor, down, depth - 1)

    assert aside(executor.run_sync, down, DEEP).result(60) == DEEP


@pytest.mark.parametrize("outer", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("inner", WAYS, ids=lambda way: way.__name__)
def test_every_way_nests_in_every_way(make, outer, inner):
    executor = make(1)
    assert aside(outer, executor, lambda: inner(executor, tasks.square, 3)).result(30) == 9


def test_a_tree_of_maps(make):
    executor = make(2)

    def tree(depth):
        return 1 if depth == 0 else sum(executor.map(tree, [depth - 1] * 3, chunk_size=1))

    assert aside(executor.run_sync, tree, 4).result(60) == 81


def test_a_tree_of_futures(make):
    executor = make(2)

    def fibonacci(number):
        if number < 2:
            return number
        left = executor.submit(fibonacci, number - 1)
        right = executor.submit(fibonacci, number - 2)
        return left.result() + right.result()

    assert aside(executor.run_sync, fibonacci, 10).result(60) == 55


def test_a_recursive_decorated_function_on_one_worker(default):
    @blocking
    def factorial(number):
        return 1 if number == 0 else number * factorial(number - 1)

    assert aside(factorial, 10).result(30) == 3628800


def test_helpers_nest_on_the_default_executor(default):
    def down(depth):
        if depth == 0:
            return 0
        one = blocking_run(down, depth - 1)
        (two,) = blocking_map(down, [0])
        (three,) = blocking_parallel([(down, (0,))])
        return 1 + one + two + three

    assert aside(blocking_run, down, 5).result(30) == 5


def test_an_error_from_the_depth_keeps_its_type(make):
    executor = make(1)

    def down(depth):
        if depth == 0:
            raise KeyError("at the bottom")
        return executor.run_sync(down, depth - 1)

    with pytest.raises(KeyError, match="at the bottom") as caught:
        executor.run_sync(down, 5)
    assert isinstance(caught.value, TaskError)


def test_an_inner_error_can_be_handled_in_the_task(make):
    executor = make(1)

    def handles():
        try:
            executor.run_sync(tasks.raises, KeyError("inner"))
        except KeyError:
            return "handled"

    assert executor.run_sync(handles) == "handled"


def test_a_task_waits_for_a_task_queued_behind_others(make, gate):
    executor = make(1)
    executor.submit(gate.door.wait)
    gate.arrived()
    queued = [executor.submit(tasks.square, number) for number in range(20)]
    call = aside(executor.run_sync, lambda: executor.run_sync(tasks.square, 5))
    gate.open()
    assert call.result(30) == 25
    assert [future.result(20) for future in queued] == [n * n for n in range(20)]


@pytest.mark.shared
def test_a_task_waits_for_a_future_that_somebody_else_submitted(make):
    executor = make(1)
    submitted = []
    ready = threading.Event()

    def waits():
        ready.wait(20)
        return submitted[0].result(20)

    call = executor.submit(waits)
    submitted.append(executor.submit(tasks.square, 5))
    ready.set()
    assert call.result(30) == 25


def test_a_callback_may_call_the_pool(make, gate):
    executor = make(1)
    results = []
    done = threading.Event()
    future = executor.submit(gate.door.wait)
    gate.arrived()

    def calls(_):
        try:
            results.append(executor.run_sync(tasks.square, 3))
            results.append(executor.submit(tasks.square, 4).result(20))
            results.append(executor.map(tasks.square, range(3)))
        finally:
            done.set()

    future.add_done_callback(calls)
    gate.open()
    assert done.wait(30)
    assert results == [9, 16, [0, 1, 4]]


def test_two_pools_nest(make):
    outer, inner = make(1), make(1)
    assert aside(outer.run_sync, lambda: inner.run_sync(lambda: tasks.square(3))).result(30) == 9


def test_pools_of_different_backends_nest(make, backend):
    outer = make(1)
    for name in ("threads", "processes"):
        with BlockingExecutor(1, backend=name) as inner:
            assert aside(outer.run_sync, lambda inner=inner: inner.run_sync(tasks.square, 3)).result(30) == 9


def test_two_pools_that_call_each_other(make):
    one, other = make(1), make(1)

    def ping(depth):
        return 0 if depth == 0 else 1 + other.run_sync(pong, depth - 1)

    def pong(depth):
        return 0 if depth == 0 else 1 + one.run_sync(ping, depth - 1)

    assert aside(one.run_sync, ping, DEEP).result(30) == DEEP


@pytest.mark.shared
def test_two_pools_that_call_each_other_by_future(make):
    one, other = make(1), make(1)

    def ping(depth):
        return 0 if depth == 0 else 1 + other.submit(pong, depth - 1).result()

    def pong(depth):
        return 0 if depth == 0 else 1 + one.submit(ping, depth - 1).result()

    assert aside(one.run_sync, ping, DEEP).result(30) == DEEP


@pytest.mark.shared
def test_a_waiting_worker_does_not_enter_the_locks_of_others(make):
    """Who waits for its own task while it holds a lock must not be given a task of somebody else that takes it."""
    executor = make(1)
    lock = threading.Lock()
    queued = []

    def holds():
        with lock:
            queued.append(executor.submit(takes))
            return executor.run_sync(tasks.square, 3)

    def takes():
        with lock:
            return "taken"

    assert aside(executor.run_sync, holds).result(30) == 9
    assert queued[0].result(30) == "taken"


@pytest.mark.shared
def test_nested_calls_leave_no_workers_behind(make):
    executor = make(1)

    def down(depth):
        return 0 if depth == 0 else 1 + executor.submit(down, depth - 1).result()

    for _ in range(5):
        assert executor.run_sync(down, 5) == 5
    assert executor.pool_size() == 1
    assert eventually(lambda: executor.active_threads() == 1, 10)


def test_a_callback_that_asks_for_the_result_of_its_own_future_starts_nothing(make):
    executor = make(1)
    executor.run_sync(tasks.nothing)
    workers, results = [], []
    for number in range(50):
        future = executor.submit(tasks.square, number)
        future.add_done_callback(
            lambda future: (results.append(future.result()), workers.append(executor.active_threads()))
        )
    assert eventually(lambda: len(workers) == 50)
    assert results == [n * n for n in range(50)]
    assert set(workers) == {1}


# Inside a worker that is isolated


@pytest.mark.own_process
def test_a_call_inside_a_worker_runs_where_it_is_made(make):
    executor = make(2)

    def inner():
        return (
            tasks.place(),
            executor.run_sync(tasks.place),
            executor.submit(tasks.place).result(),
            *executor.map(tasks.place, range(3)),
        )

    assert len(set(executor.run_sync(inner))) == 1


@pytest.mark.own_process
def test_a_pool_made_inside_a_worker_makes_nothing(make):
    def inner():
        before = threading.active_count()
        with BlockingExecutor(4, backend="processes") as one, BlockingExecutor(4, backend="threads") as other:
            results = one.map(tasks.process_id, range(3)) + other.map(tasks.process_id, range(3))
            return set(results), os.getpid(), threading.active_count() - before, children()

    places, here, threads, processes = make(1).run_sync(inner)
    assert places == {here}
    assert threads == 0
    assert processes == set()


@pytest.mark.own_process
def test_futures_inside_a_worker_are_done_and_keep_errors(make):
    executor = make(1)

    def inner():
        good, bad = executor.submit(tasks.square, 3), executor.submit(tasks.raises, KeyError("inner"))
        return good.done(), good.result(), type(bad.exception()).__name__

    assert executor.run_sync(inner) == (True, 9, "KeyError")


@pytest.mark.own_process
def test_an_executor_is_refused_inside_a_worker_after_its_shutdown_there(make):
    def inner():
        with BlockingExecutor(1) as executor:
            pass
        try:
            executor.run_sync(tasks.nothing)
        except ShutdownError:
            return "refused"

    assert make(1).run_sync(inner) == "refused"


@pytest.mark.own_process
def test_an_executor_may_be_an_argument_of_a_task(make):
    executor = make(1)
    assert executor.run_sync(ways.by_run_sync, executor, tasks.square, 3) == 9


def test_nested_calls_in_a_script(backend):
    run(
        """
        import sys
        from hypern import BlockingExecutor
        from hypern.blocking import blocking, blocking_run, set_default_executor

        executor = BlockingExecutor(1, backend=sys.argv[1])
        set_default_executor(executor)

        @blocking
        def twice(number):
            return number * 2

        @blocking(executor=executor)
        def four_times(number):
            return twice(twice(number))

        def eight_times(number):
            return blocking_run(four_times, number) * 2

        if True:  # no guard of __name__ is needed
            print(executor.run_sync(eight_times, 1))
        """,
        backend,
    ).ok("8\n")


def test_a_task_that_submits_its_like_goes_on_for_ever():
    """No chain of ancestors grows behind it, to be dropped on one stack in the end."""
    run(
        """
        import threading
        from hypern import BlockingExecutor
        executor, done = BlockingExecutor(1, backend="threads"), threading.Event()
        def tick(left):
            executor.submit(tick, left - 1) if left else done.set()
        executor.submit(tick, 400_000)
        assert done.wait(100)
        executor.shutdown()
        """,
        patience=110,
    ).ok()


def test_a_wait_of_another_thread_does_not_take_the_help_away(make):
    executor = make(1)
    handed = queue.Queue()
    task = executor.submit(lambda: handed.get().result(20)) if executor._settings.backend == "threads" else None
    if task is None:
        pytest.skip("a queue does not cross")
    future = executor.submit(tasks.square, 3)
    with pytest.raises(TimeoutError):
        future.result(timeout=0)
    handed.put(future)
    assert task.result(20) == 9


def test_a_task_waits_for_what_others_submitted_by_concurrent_futures_wait(make):
    executor = make(1)
    if executor._settings.backend != "threads":
        pytest.skip("a future does not cross")
    handed = queue.Queue()
    task = executor.submit(lambda: len(concurrent.futures.wait([handed.get()], timeout=20).done))
    handed.put(executor.submit(tasks.square, 3))
    assert task.result(20) == 1


@pytest.mark.skipif(_route.away_backend() is None, reason="auto has one pool here")
def test_a_callback_elsewhere_may_wait_for_a_task_here_that_waits_for_one_elsewhere():
    """The two pools of auto are one where tasks wait for each other."""
    run(
        """
        from hypern import BlockingExecutor
        executor = BlockingExecutor(1)
        results = []

        def counts(number):
            for _ in range(number):
                pass
            return number

        def waits():  # stays: it reads what can change
            results.append(last.result())

        def waits_for_that(_):
            results.append(here.result())

        assert executor.run_sync(counts, 1) == 1
        first = executor.submit(counts, 3_000_000)  # so that the next one has its callback before it is done
        called = executor.submit(counts, 2)
        called.add_done_callback(waits_for_that)
        last = executor.submit(counts, 3)
        here = executor.submit(waits)
        executor.shutdown(timeout_secs=None)
        assert results == [3, None], results
        """
    ).ok()
