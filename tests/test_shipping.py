"""A function is sent once to each worker process, and is never an old one: what it captured counts."""

from __future__ import annotations

import gc
import types

import pytest

from hypern import BlockingExecutor

FACTOR = 2


@pytest.fixture
def processes():
    with BlockingExecutor(1, backend="processes") as executor:
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
