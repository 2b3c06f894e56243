"""``explain`` and ``stats``: where calls run, why, and what was done."""

from __future__ import annotations

import random
import sys

import pytest

import hypern
import tasks
from hypern import BlockingExecutor, _pool, _route
from hypern.blocking import explain, set_default_executor
from sync import PATIENCE

AWAY = _route.away_backend()
decides = pytest.mark.skipif(AWAY is None, reason="threads are parallel here")

LIMIT = 1000
seen: list[int] = []


def below_limit(number):
    return number < LIMIT


def remembers(number):
    seen.append(number)
    return len(seen)


def shuffles(items):
    random.shuffle(items)
    return items


def shuffles_a_copy(items, seed):
    items = list(items)
    random.Random(seed).shuffle(items)
    return items


def sorts(items):
    items.sort()
    return len(items)


@pytest.fixture
def auto():
    with BlockingExecutor(2) as executor:
        yield executor


@decides
def test_what_touches_nothing_outside_leaves(auto):
    route = auto.explain(below_limit, 1)
    assert route.backend == AWAY
    assert route.advice == ""
    assert auto.explain(shuffles_a_copy, [1, 2], seed=3).backend == AWAY
    assert auto.explain(lambda number: number**2, 3).backend == AWAY
    assert auto.explain(len, "abc").backend == AWAY


@decides
def test_what_reads_something_that_can_change_stays_and_is_told_where_and_what_to_do(auto):
    route = auto.explain(remembers, 1)
    assert route.backend == "threads"
    assert "global list 'seen'" in route.reason
    assert route.file == __file__
    assert route.line == remembers.__code__.co_firstlineno + 1
    assert route.name == "seen"
    assert "argument" in route.advice
    told = str(route)
    assert all(part in told for part in (route.backend, route.reason, route.file, str(route.line), route.advice))


@decides
@pytest.mark.parametrize(
    "argument",
    [object(), tasks, open, [object()], {"a": (lambda: None,)}],
    ids=lambda argument: type(argument).__name__,
)
def test_what_is_given_anything_but_plain_data_stays(auto, argument):
    route = auto.explain(id, argument) if argument is None else auto.explain(below_limit, argument)
    assert route.backend == "threads"
    assert "is given" in route.reason or "cannot be sent" in route.reason


@decides
def test_what_changed_its_argument_stays_from_then_on_and_that_is_told(auto):
    items = [3, 1, 2]
    assert auto.explain(sorts, items).backend == AWAY
    assert auto.run_sync(sorts, items) == 3
    assert items == [1, 2, 3]
    route = auto.explain(sorts, items)
    assert route.backend == "threads"
    assert "changes an argument" in route.reason
    (reason,) = auto.stats().came_back
    assert "changes an argument" in reason
    assert auto.run_sync(sorts, items) == 3
    assert sum(auto.stats().came_back.values()) == 1


@decides
def test_nothing_is_run_to_explain_it(auto):
    before = len(seen)
    auto.explain(remembers, 1)
    assert len(seen) == before
    assert sum(each.tasks for each in auto.stats().backends.values()) == 0


@decides
def test_stats_tell_what_ran_where(auto):
    assert auto.run_sync(below_limit, 1)
    assert auto.submit(below_limit, 2).result(PATIENCE)
    auto.run_sync(remembers, 1)
    backends = auto.stats().backends
    assert backends[AWAY].tasks == 2
    assert backends["threads"].tasks == 1
    assert all(each.seconds_running > 0 and each.seconds_queued > 0 for each in backends.values())


@decides
@pytest.mark.parametrize("switch", [sys.settrace, sys.setprofile], ids=["settrace", "setprofile"])
def test_everything_stays_while_somebody_watches_the_program(auto, switch):
    switch(lambda *_: None)
    try:
        route = auto.explain(below_limit, 1)
    finally:
        switch(None)
    assert route.backend == "threads"
    assert "this program" in route.reason
    assert auto.explain(below_limit, 1).backend == AWAY


@decides
def test_everything_stays_when_a_setting_that_workers_began_with_has_changed(auto):
    assert auto.run_sync(below_limit, 1)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(limit - 7)
    try:
        assert auto.explain(below_limit, 1).backend == "threads"
    finally:
        sys.setrecursionlimit(limit)
    assert auto.explain(below_limit, 1).backend == AWAY


@pytest.mark.explicit
def test_an_explicit_backend_is_what_was_asked_for(backend):
    with BlockingExecutor(1, backend=backend) as executor:
        route = executor.explain(remembers, 1)
        assert route.backend == backend
        assert backend in route.reason
        executor.run_sync(tasks.square, 2)
        stats = executor.stats()
        assert stats.backends[backend].tasks == 1
        assert stats.came_back == {}


@pytest.mark.skipif(AWAY is not None, reason="calls leave here")
def test_where_threads_are_parallel_everything_is_theirs(auto):
    assert auto.explain(below_limit, 1).backend == "threads"
    assert auto.run_sync(below_limit, 1)
    assert auto.stats().backends["threads"].tasks == 1


def test_what_they_return_is_public():
    with BlockingExecutor(1) as executor:
        assert isinstance(executor.explain(below_limit, 1), hypern.Route)
        assert isinstance(executor.stats(), hypern.Stats)


def test_the_default_executor_explains_too():
    with BlockingExecutor(1) as executor:
        set_default_executor(executor)
        assert explain(below_limit, 1) == executor.explain(below_limit, 1)


def test_a_task_that_asks_is_told_that_it_runs_in_place(auto):
    def asks(executor=auto):
        return executor.explain(below_limit, 1).backend, executor.stats().came_back

    assert auto.run_sync(asks)[0] in ("threads", AWAY)


@pytest.mark.skipif(sys.version_info[:2] != (3, 13) or AWAY is None, reason="of CPython 3.13")
def test_where_interpreters_leak_only_some_are_made_unasked():
    backends = []
    for _ in range(_pool.MOST_LEAKS // 2 + 2):
        with BlockingExecutor(2) as executor:
            assert executor.run_sync(below_limit, 1)
            backends.append(executor.explain(below_limit, 1).backend)
    assert backends == ["interpreters"] * (_pool.MOST_LEAKS // 2) + ["processes"] * 2
