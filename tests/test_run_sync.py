"""run_sync: one call, elsewhere, with its result here."""

from __future__ import annotations

import functools
import operator
import os
import threading

import pytest

import tasks
from sync import aside, count


def test_returns_what_the_callable_returns(pool):
    assert pool.run_sync(tasks.square, 7) == 49


@pytest.mark.parametrize(
    "value", [None, True, False, 0, "", b"", (), [], {}, {1, 2}, 1.5, 2**100, "ü€𝄞", ..., range(3)]
)
def test_plain_values_come_back_equal(pool, value):
    result = pool.run_sync(tasks.identity, value)
    assert result == value
    assert type(result) is type(value)


def test_passes_positional_and_keyword_arguments(pool):
    assert pool.run_sync(tasks.greet, "World", greeting="Hi") == "Hi, World!"
    assert pool.run_sync(tasks.arguments, 1, 2, a=3) == ((1, 2), {"a": 3})
    assert pool.run_sync(tasks.arguments) == ((), {})


@pytest.mark.parametrize(
    "name", ["self", "callable", "fn", "args", "kwargs", "timeout", "executor", "task", "chunk_size"]
)
def test_every_keyword_reaches_the_callable(pool, name):
    assert pool.run_sync(tasks.arguments, **{name: 1}) == ((), {name: 1})


def test_unpacked_containers_are_not_the_callers(pool):
    def change(*args, **kwargs):
        kwargs["more"] = 1
        return sorted(kwargs)

    options = {"some": 1}
    assert pool.run_sync(change, **options) == ["more", "some"]
    assert options == {"some": 1}


CALLABLES = {
    "builtin": (pow, (2, 5), 32),
    "type": (dict, ([(1, 2)],), {1: 2}),
    "own class": (tasks.Point, (1, 2), tasks.Point(1, 2)),
    "bound method": (tasks.Point(1, 2).shifted, (1,), tasks.Point(2, 3)),
    "class method": (tasks.Point.origin, (), tasks.Point(0, 0)),
    "static method": (tasks.Point.length, (1, -2), 3),
    "callable object": (tasks.Point(1, 2), (3,), tasks.Point(3, 6)),
    "method of a builtin": ("a-b".split, ("-",), ["a", "b"]),
    "unbound method": (str.upper, ("a",), "A"),
    "partial": (functools.partial(tasks.greet, greeting="Hi"), ("you",), "Hi, you!"),
    "operator": (operator.itemgetter(1), ("ab",), "b"),
}


@pytest.mark.parametrize("name", CALLABLES)
def test_any_callable_will_do(pool, name):
    function, args, expected = CALLABLES[name]
    assert pool.run_sync(function, *args) == expected


def test_lambdas_closures_and_local_classes_will_do(pool):
    base = 10

    class Local:
        def __init__(self, value):
            self.value = value

        def sum(self):
            return self.value + base

    def closure(value):
        return Local(value).sum()

    assert pool.run_sync(lambda value: value + base, 1) == 11
    assert pool.run_sync(closure, 2) == 12
    assert pool.run_sync(Local(3).sum) == 13
    assert isinstance(pool.run_sync(Local, 4), Local)


def test_a_closure_sees_the_value_of_the_time_of_the_call(pool):
    value = 1

    def closure():
        return value

    assert pool.run_sync(closure) == 1
    value = 2
    assert pool.run_sync(closure) == 2


def test_a_recursive_local_function_will_do(pool):
    def factorial(number):
        return 1 if number == 0 else number * factorial(number - 1)

    assert pool.run_sync(factorial, 10) == 3628800


def test_something_that_cannot_be_called_is_a_type_error(pool):
    with pytest.raises(TypeError):
        pool.run_sync(5)
    with pytest.raises(TypeError):
        pool.run_sync()


def test_wrong_arguments_are_a_type_error(pool):
    with pytest.raises(TypeError, match="greet"):
        pool.run_sync(tasks.greet)


@pytest.mark.shared
def test_runs_on_another_thread_of_this_process(pool):
    process, thread = pool.run_sync(tasks.place)
    assert process == os.getpid()
    assert thread != threading.get_ident()


@pytest.mark.own_process
def test_runs_in_another_process(pool):
    assert pool.run_sync(tasks.process_id) != os.getpid()


@pytest.mark.shared
def test_arguments_and_result_are_the_very_objects(pool):
    value = object()
    assert pool.run_sync(tasks.identity, value) is value


@pytest.mark.isolated
def test_arguments_are_copies(pool):
    def change(values):
        values.append(1)
        return values

    mine: list[int] = []
    assert pool.run_sync(change, mine) == [1]
    assert mine == []


def test_other_threads_run_while_the_caller_waits(make, gate):
    executor = make(1)
    door = gate.door
    waiting = aside(executor.run_sync, door.wait, "done")
    gate.arrived()
    # The caller waits on its own thread; this one has the interpreter and lets the task go.
    gate.open()
    assert waiting.result(20) == "done"


@pytest.mark.shared
def test_a_task_can_wait_for_another_thread(pool):
    told = threading.Event()
    helper = aside(told.set)
    assert pool.run_sync(told.wait, 20)
    helper.result(20)


def test_workers_run_at_the_same_time(make, gate):
    executor = make(3)
    calls = [aside(executor.run_sync, gate.door.wait, number) for number in range(3)]
    assert {note for _, note in gate.arrived(3)} == {"0", "1", "2"}
    gate.open()
    assert [call.result(20) for call in calls] == [0, 1, 2]


def test_callers_on_many_threads_get_their_own_results(pool):
    rounds = count(50, 1000)

    def caller(number):
        return all(pool.run_sync(tasks.add, number, step) == number + step for step in range(rounds))

    callers = [aside(caller, number * 1_000_000) for number in range(8)]
    assert all(each.result(60) for each in callers)


def test_calls_in_a_row_all_answer(pool):
    assert [pool.run_sync(tasks.square, number) for number in range(300)] == [n * n for n in range(300)]


def test_more_workers_than_processors_will_do(make):
    executor = make(6)
    assert executor.map(tasks.square, range(60), chunk_size=1) == [n * n for n in range(60)]


def test_two_pools_do_not_meet(make):
    one, two = make(1), make(1)
    assert one.run_sync(tasks.place) != two.run_sync(tasks.place)
    one.shutdown()
    assert two.run_sync(tasks.square, 3) == 9


@pytest.mark.own_process
def test_a_function_changed_after_its_first_call_is_sent_anew(make):
    executor = make(1)

    def function():
        return function.state

    function.state = 1
    assert executor.run_sync(function) == 1
    function.state = 2
    assert executor.run_sync(function) == 2


@pytest.mark.own_process
def test_functions_that_look_alike_are_told_apart(make):
    executor = make(1)

    def made(value):
        return lambda: value

    for value in range(200):  # objects that die in between, so that their addresses are used again
        assert executor.run_sync(made(value)) == value
