"""hypern.blocking: the decorator, the helpers and the default executor that they share."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import threading

import pytest

import tasks
from child import run
from hypern import BlockingExecutor, TaskError, blocking as module
from hypern.blocking import (
    blocking,
    blocking_map,
    blocking_parallel,
    blocking_run,
    get_default_executor,
    set_default_executor,
)
from sync import aside

# Helpers


def test_blocking_run_runs_on_the_default_executor(default):
    assert blocking_run(tasks.square, 7) == 49
    assert blocking_run(tasks.place) == default.run_sync(tasks.place)


@pytest.mark.parametrize("name", ["self", "callable", "fn", "executor", "args"])
def test_blocking_run_passes_every_keyword(default, name):
    assert blocking_run(tasks.arguments, **{name: 1}) == ((), {name: 1})


def test_blocking_map_maps_on_the_default_executor(default):
    assert blocking_map(tasks.square, [1, 2, 3, 4, 5]) == [1, 4, 9, 16, 25]
    assert blocking_map(tasks.square, range(100), chunk_size=7) == [n * n for n in range(100)]
    assert set(blocking_map(tasks.place, range(10))) == {default.run_sync(tasks.place)}


def test_blocking_parallel_runs_different_functions(default):
    assert blocking_parallel([(tasks.add, (1, 2)), (tasks.greet, ("you",), {"greeting": "Hi"})]) == [3, "Hi, you!"]


def test_errors_of_helpers_are_those_of_the_executor(default):
    for call in (
        lambda: blocking_run(tasks.raises, ValueError("mine")),
        lambda: blocking_map(tasks.raises, [ValueError("mine")]),
        lambda: blocking_parallel([(tasks.raises, (ValueError("mine"),))]),
    ):
        with pytest.raises(ValueError, match="mine") as caught:
            call()
        assert isinstance(caught.value, TaskError)


# The default executor


def test_the_default_executor_is_made_when_first_asked_for_and_kept():
    executor = get_default_executor()
    assert isinstance(executor, BlockingExecutor)
    assert executor.is_running()
    assert get_default_executor() is executor


def test_set_default_executor_replaces_it(default):
    assert get_default_executor() is default


def test_a_default_executor_that_was_shut_down_is_replaced(make):
    executor = make(1)
    set_default_executor(executor)
    executor.shutdown()
    assert get_default_executor() is not executor
    assert blocking_run(tasks.square, 3) == 9


def test_threads_that_ask_at_once_get_one_default_executor():
    run(
        """
        import threading
        from hypern.blocking import get_default_executor

        barrier = threading.Barrier(8)
        executors = []
        def ask():
            barrier.wait()
            executors.append(get_default_executor())
        askers = [threading.Thread(target=ask) for _ in range(8)]
        for asker in askers: asker.start()
        for asker in askers: asker.join()
        assert len(set(map(id, executors))) == 1, executors
        """
    ).ok()


SIZE_OF_DEFAULT = """
from hypern.blocking import blocking_run, get_default_executor
assert blocking_run(abs, -1) == 1
print(get_default_executor().pool_size())
"""


def test_the_environment_sets_the_size_of_the_default_executor():
    run(SIZE_OF_DEFAULT, env={"HYPERN_BLOCKING_THREADS": "3"}).ok("3\n")


@pytest.mark.parametrize("value", ["0", "", None])
def test_without_a_size_the_default_executor_has_a_worker_per_processor(value):
    done = run(SIZE_OF_DEFAULT, env={} if value is None else {"HYPERN_BLOCKING_THREADS": value}).ok()
    assert 1 <= int(done.out) <= os.cpu_count()


@pytest.mark.parametrize("value", ["many", "-1", "1.5", "1000000"])
def test_a_senseless_size_in_the_environment_is_an_error_that_names_it(value):
    done = run(SIZE_OF_DEFAULT, env={"HYPERN_BLOCKING_THREADS": value})
    done.failed(1)
    assert re.match("ValueError: .*HYPERN_BLOCKING_THREADS", done.err.splitlines()[-1]), done.report()


def test_the_environment_sets_the_stack_of_the_default_executor():
    run(SIZE_OF_DEFAULT, env={"HYPERN_BLOCKING_THREADS": "1", "HYPERN_BLOCKING_STACK": str(32 << 20)}).ok("1\n")
    run(SIZE_OF_DEFAULT, env={"HYPERN_BLOCKING_STACK": "10"}).failed(1, "ValueError")


def test_the_default_executor_need_not_be_shut_down():
    run("from hypern.blocking import blocking_run\nassert blocking_run(abs, -1) == 1\n").ok()


# The decorator


def test_a_decorated_function_runs_on_the_default_executor(default):
    @blocking
    def where():
        return os.getpid(), threading.get_ident()

    assert where() == default.run_sync(tasks.place)


def test_a_decorated_function_runs_on_the_executor_given(make):
    executor = make(1)

    @blocking(executor=executor)
    def where():
        return os.getpid(), threading.get_ident()

    assert where() == executor.run_sync(tasks.place)


def test_the_decorator_may_be_called_without_arguments(default):
    @blocking()
    def double(number):
        return number * 2

    assert double(21) == 42


def test_the_default_executor_is_looked_up_at_the_call(make):
    @blocking
    def where():
        return os.getpid(), threading.get_ident()

    first, second = make(1), make(1)
    set_default_executor(first)
    assert where() == first.run_sync(tasks.place)
    set_default_executor(second)
    assert where() == second.run_sync(tasks.place)


def test_decorating_makes_no_executor():
    run(
        """
        import sys
        from hypern.blocking import blocking
        @blocking
        def function(): pass
        assert "hypern._core" not in sys.modules
        """
    ).ok()


def documented(first: int, *rest: str, flag: bool = False) -> str:
    """Has a docstring."""
    return f"{first} {rest} {flag}"


def test_a_decorated_function_keeps_its_name_signature_and_docstring():
    decorated = blocking(documented)
    assert decorated.__name__ == "documented"
    assert decorated.__qualname__ == "documented"
    assert decorated.__module__ == documented.__module__
    assert decorated.__doc__ == "Has a docstring."
    assert inspect.signature(decorated) == inspect.signature(documented)
    assert decorated.__annotations__ == documented.__annotations__
    assert decorated.__wrapped__ is documented
    assert not inspect.iscoroutinefunction(decorated)


def test_a_decorated_function_can_be_told(default):
    assert blocking(documented).__blocking__ is True


def test_a_decorated_function_takes_its_arguments(default):
    decorated = blocking(tasks.arguments)
    assert decorated(1, self=2, callable=3) == ((1,), {"self": 2, "callable": 3})


def test_a_decorated_method_is_bound(default):
    class Counter:
        def __init__(self, start):
            self.start = start

        @blocking
        def plus(self, number):
            return self.start + number

        @classmethod
        @blocking
        def name(cls):
            return cls.__name__

        @staticmethod
        @blocking
        def double(number):
            return number * 2

    counter = Counter(5)
    assert counter.plus(3) == 8
    assert Counter.plus(counter, 4) == 9
    assert Counter.name() == "Counter"
    assert counter.double(4) == 8


def test_a_decorated_function_raises_what_the_executor_raises(default):
    @blocking
    def fails():
        raise KeyError("gone")

    with pytest.raises(KeyError) as caught:
        fails()
    assert isinstance(caught.value, TaskError)


def test_a_decorated_function_may_be_called_from_many_threads(default):
    decorated = blocking(tasks.square)
    calls = [aside(decorated, number) for number in range(50)]
    assert [call.result(20) for call in calls] == [n * n for n in range(50)]


def test_a_decorated_function_may_be_called_from_a_coroutine(default):
    decorated = blocking(tasks.square)

    async def main():
        return decorated(3), await asyncio.get_running_loop().run_in_executor(None, decorated, 4)

    assert asyncio.run(main()) == (9, 16)


@pytest.mark.parametrize("wrong", [5, "name", None])
def test_only_callables_can_be_decorated(wrong):
    if wrong is None:
        with pytest.raises(TypeError):
            blocking()(None)
    else:
        with pytest.raises(TypeError):
            blocking(wrong)


def test_the_package_does_not_hide_the_module():
    import hypern

    assert hypern.blocking is module
    assert inspect.ismodule(hypern.blocking)
