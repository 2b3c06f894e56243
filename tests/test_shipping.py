"""A function is sent once to each worker process, and is never an old one: what it captured counts."""

from __future__ import annotations

import gc
import math
import types

import pytest

import tasks
from hypern import BlockingExecutor, _info

FACTOR = 2


@pytest.fixture
def processes():
    with BlockingExecutor(1, backend="processes") as executor:
        yield executor


@pytest.fixture(params=[each.name for each in _info.backends() if each.available and each.name != "threads"])
def isolated(request):
    with BlockingExecutor(1, backend=request.param) as executor:
        yield executor


def reads_a_global():
    return FACTOR


def test_a_changed_cell_is_seen(processes):
    factor = 2

    def scaled(number):
        return number * factor

    assert processes.run_sync(scaled, 3) == 6
    factor = 5
    assert processes.run_sync(scaled, 3) == 15


def test_a_changed_default_is_seen(processes):
    def scaled(number, factor=2, *, offset=0):
        return number * factor, offset

    assert processes.run_sync(scaled, 3) == (6, 0)
    scaled.__defaults__ = (5,)
    scaled.__kwdefaults__ = {"offset": 0.0}
    assert repr(processes.run_sync(scaled, 3)) == "(15, 0.0)"


def test_a_changed_global_of_a_function_by_value_is_seen(processes):
    namespace = {"__name__": "__main__", "FACTOR": 2}
    exec("def scaled(number): return number * FACTOR", namespace)
    assert processes.run_sync(namespace["scaled"], 3) == 6
    namespace["FACTOR"] = 5
    assert processes.run_sync(namespace["scaled"], 3) == 15


def test_a_changed_function_behind_it_is_seen(processes):
    namespace = {"__name__": "__main__"}
    exec("def inner(): return 1\ndef outer(): return inner()", namespace)
    assert processes.run_sync(namespace["outer"]) == 1
    exec("def inner(): return 2", namespace)
    assert processes.run_sync(namespace["outer"]) == 2


def test_a_changed_attribute_of_the_function_is_seen(processes):
    def scaled():
        return getattr(scaled, "factor", 1)

    assert processes.run_sync(scaled) == 1
    scaled.factor = 3
    assert processes.run_sync(scaled) == 3


def test_a_change_inside_a_captured_list_is_seen(processes):
    seen = [1]

    def total():
        return sum(seen)

    assert processes.run_sync(total) == 1
    seen.append(2)
    assert processes.run_sync(total) == 3


def test_a_change_inside_a_module_made_by_hand_is_seen(processes):
    module = types.ModuleType("made_by_hand")
    module.factor = 1

    def scaled():
        return module.factor

    assert processes.run_sync(scaled) == 1
    module.factor = 2
    assert processes.run_sync(scaled) == 2


def test_what_a_call_changes_in_its_copy_is_not_seen_by_the_next(processes):
    seen = []

    def note():
        seen.append(1)
        return len(seen)

    assert [processes.run_sync(note) for _ in range(3)] == [1, 1, 1]
    assert seen == []


def test_functions_that_come_and_go_are_let_go_of(processes):
    from hypern import _shipping

    def once():
        def countdown(number):
            return 0 if number == 0 else countdown(number - 1)

        return processes.map(countdown, range(3))

    for _ in range(2 * _shipping.MOST_SHIPPED):
        assert once() == [0, 0, 0]
    gc.collect()
    assert len(_shipping._shipped) <= _shipping.MOST_SHIPPED


def test_a_stray_module_in_the_current_folder_does_not_break_workers(tmp_path, monkeypatch):
    (tmp_path / "struct.py").write_text("raise RuntimeError('not the one of the standard library')")
    monkeypatch.chdir(tmp_path)
    with BlockingExecutor(1, backend="processes") as executor:
        assert executor.run_sync(abs, -1) == 1


def test_a_function_by_value_is_rebuilt_without_cloudpickle(isolated):
    """Loading it takes a worker longer than all the rest of its start."""
    factor = [2]

    def scaled(number, *, loaded=("cloudpickle", "pickle", "typing")):
        import sys

        return number * factor[0], math.sqrt(4), FACTOR, [name for name in loaded if name in sys.modules]

    assert isolated.run_sync(scaled, 3) == (6, 2.0, 2, [])


def test_a_function_by_value_keeps_all_that_it_has(isolated):
    def described():
        def twice(number: int, /, by: float = 2.0, *, more=(1, 2)) -> float:
            """Doubles."""
            return number * by + sum(more) + len(rest or [])

        rest = None
        twice.note = {"a": 1}
        return twice

    function = described()

    def look(function=function):
        own = function.__name__, function.__qualname__, function.__module__, function.__doc__, function.note
        return own, function.__defaults__, function.__kwdefaults__, str(function.__annotations__), function(3)

    assert isolated.run_sync(look) == look()


def test_an_empty_cell_stays_empty(isolated):
    def early():
        try:
            return late
        except NameError:
            return "not yet"

    assert isolated.run_sync(early) == "not yet"
    late = 1
    assert isolated.run_sync(early) == 1


def test_functions_that_share_globals_share_them_in_the_worker(isolated):
    namespace = {"__name__": "__main__"}
    exec("def put(): global seen; seen = 1\ndef get(): return seen\ndef both(): put(); return get()", namespace)
    assert isolated.run_sync(namespace["both"]) == 1
    assert "seen" not in namespace


@pytest.mark.parametrize("function", [len, math.sqrt, str.upper, dict, "".join, types.SimpleNamespace])
def test_what_is_built_in_is_found_by_name(isolated, function):
    assert isolated.run_sync(repr, function)
    try:
        expected = function("a") if function is not math.sqrt else function(4)
    except (TypeError, ValueError) as error:
        with pytest.raises(type(error)):
            isolated.run_sync(function, "a")
    else:
        assert isolated.run_sync(function, 4 if function is math.sqrt else "a") == expected


@pytest.mark.isolated
@pytest.mark.parametrize("way", ["result", "exception"])
def test_what_comes_back_leaves_the_classes_of_the_caller_as_they_are(make, gate, way):
    """The worker's copy of a class is that of the time when it was sent."""

    class Thing(Exception):
        level = 1

    def makes(door):
        door.wait()
        if way == "exception":
            raise Thing("made there")
        return Thing("made there")

    future = make(1).submit(makes, gate.door)
    gate.arrived()
    Thing.level = 2
    Thing.added = lambda self: "added"
    gate.open()
    thing = future.exception(timeout=30) if way == "exception" else future.result(timeout=30)
    assert type(thing) is Thing
    assert (Thing.level, thing.added()) == (2, "added")


@pytest.mark.isolated
def test_a_class_that_a_worker_has_made_comes_whole(make):
    def makes(number):
        class Made:
            """Made there."""

            level = number

            def double(self):
                return 2 * self.level

        return Made()

    executor = make(2)
    things = [executor.run_sync(makes, number) for number in range(4)]
    assert [thing.double() for thing in things] == [0, 2, 4, 6]
    # It goes back and comes again.
    assert executor.run_sync(lambda thing: thing.double(), things[3]) == 6
    assert type(executor.run_sync(tasks.identity, things[2])) is type(things[2])
