"""run_parallel: calls of different functions, all awaited, results in the order given."""

from __future__ import annotations

import pytest

import tasks
from hypern import TaskError
from sync import aside


def test_results_are_in_the_order_of_the_tasks(pool):
    assert pool.run_parallel([(tasks.square, (number,)) for number in range(50)]) == [n * n for n in range(50)]


def test_results_keep_their_order_when_later_tasks_end_first(make, gate):
    executor = make(2)
    tasks_ = [
        (gate.door.wait, ("first",)),
        *[(tasks.square, (number,)) for number in range(5)],
        (gate.door.wait, ("last",)),
    ]
    call = aside(executor.run_parallel, tasks_)
    gate.arrived(2)  # the first task and the last: all between them are done
    gate.open()
    assert call.result(20) == ["first", 0, 1, 4, 9, 16, "last"]


def test_tasks_may_have_keyword_arguments(pool):
    assert pool.run_parallel(
        [
            (tasks.greet, ("Alice",), {"greeting": "Hey"}),
            (tasks.greet, ("Bob",), None),
            (tasks.greet, ("Carol",), {}),
            (tasks.greet, ("Dave",)),
            (tasks.greet, (), {"name": "Eve"}),
        ]
    ) == ["Hey, Alice!", "Hello, Bob!", "Hello, Carol!", "Hello, Dave!", "Hello, Eve!"]


def test_no_tasks_give_no_results(pool):
    assert pool.run_parallel([]) == []


def test_one_task_gives_one_result(pool):
    assert pool.run_parallel([(tasks.square, (3,))]) == [9]


@pytest.mark.parametrize("kind", [tuple, iter])
def test_any_iterable_of_tasks_will_do(pool, kind):
    assert pool.run_parallel(kind([(tasks.square, (number,)) for number in range(5)])) == [0, 1, 4, 9, 16]


def test_tasks_run_at_the_same_time(make, gate):
    executor = make(2)
    call = aside(executor.run_parallel, [(gate.door.wait, (0,)), (gate.door.wait, (1,))])
    gate.arrived(2)
    gate.open()
    assert call.result(20) == [0, 1]


@pytest.mark.parametrize(
    "malformed",
    [
        5,
        None,
        tasks.square,
        (),
        (tasks.square,),
        (tasks.square, 5),
        (tasks.square, (), 5),
        (tasks.square, (), {}, 1),
        "ab",
    ],
    ids=["int", "None", "callable", "empty", "no args", "args int", "kwargs int", "four", "str"],
)
def test_a_malformed_task_is_a_clear_error(pool, malformed):
    with pytest.raises((TypeError, ValueError)) as caught:
        pool.run_parallel([(tasks.square, (1,)), malformed])
    assert not isinstance(caught.value, TaskError)


def test_tasks_that_are_no_iterable_are_a_type_error(pool):
    with pytest.raises(TypeError):
        pool.run_parallel(5)


def test_an_error_keeps_its_type_and_message(pool):
    with pytest.raises(ValueError, match="intentional") as caught:
        pool.run_parallel([(tasks.square, (5,)), (tasks.raises, (ValueError("intentional"),))])
    assert isinstance(caught.value, TaskError)


def test_of_several_errors_the_first_in_order_is_raised(pool):
    with pytest.raises(TaskError, match="first"):
        pool.run_parallel([(tasks.raises, (ValueError(text),)) for text in ("first", "second", "third")])


def test_all_tasks_have_run_when_one_failed(pool, ledger):
    with pytest.raises(ValueError, match="early"):
        pool.run_parallel([(tasks.raises, (ValueError("early"),)), *[(ledger.note, (number,)) for number in range(20)]])
    assert sorted(map(int, ledger.lines())) == list(range(20))


def test_many_more_tasks_than_the_queue_holds_are_run(make):
    executor = make(1, 1)
    assert executor.run_parallel([(tasks.square, (number,)) for number in range(200)]) == [n * n for n in range(200)]


@pytest.mark.shared
def test_results_are_the_very_objects(pool):
    values = [object() for _ in range(10)]
    results = pool.run_parallel([(tasks.identity, (value,)) for value in values])
    assert all(result is value for result, value in zip(results, values))


def test_something_that_cannot_be_called_is_refused_before_a_task_has_run(pool, ledger):
    with pytest.raises(TypeError, match="task 1"):
        pool.run_parallel([(ledger.note, (1,)), (5, (1,))])
    assert ledger.lines() == []
