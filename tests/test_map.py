"""map: one function over any iterables, pulled as needed, results in order as a list."""

from __future__ import annotations

import gc
import itertools
import sys
import threading
import weakref

import pytest

import tasks
from hypern import BlockingExecutor, TaskError
from sync import aside, eventually


def squares(number):
    return [n * n for n in range(number)]


@pytest.mark.parametrize("number", [0, 1, 2, 3, 7, 100, 5000])
def test_results_are_those_of_the_builtin_map(pool, number):
    results = pool.map(tasks.square, range(number))
    assert type(results) is list
    assert results == squares(number)


@pytest.mark.parametrize("chunk_size", [0, 1, 2, 3, 10, 49, 50, 51, 10_000])
def test_chunk_size_does_not_change_the_results(pool, chunk_size):
    assert pool.map(tasks.square, range(50), chunk_size=chunk_size) == squares(50)


def test_chunk_size_may_be_given_by_place(pool):
    assert pool.map(tasks.square, list(range(50)), 10) == squares(50)


def test_chunk_size_may_be_spelt_chunksize(pool):
    assert pool.map(tasks.square, range(50), chunksize=7) == squares(50)


def test_chunk_size_may_not_be_given_in_both_spellings(pool):
    with pytest.raises(TypeError):
        pool.map(tasks.square, range(5), chunk_size=1, chunksize=1)


@pytest.mark.parametrize("chunk_size", [-1, -(10**30)])
def test_a_negative_chunk_size_is_a_value_error(pool, chunk_size):
    with pytest.raises(ValueError):
        pool.map(tasks.square, range(5), chunk_size=chunk_size)


@pytest.mark.parametrize("chunk_size", ["1", 1.5])
def test_a_chunk_size_that_is_no_integer_is_a_type_error(pool, chunk_size):
    with pytest.raises(TypeError):
        pool.map(tasks.square, range(5), chunk_size=chunk_size)


def test_an_absurdly_big_chunk_size_means_one_chunk(pool):
    assert pool.map(tasks.square, range(5), chunk_size=2**62) == squares(5)


ITERABLES = {
    "list": [3, 1, 2],
    "tuple": (3, 1, 2),
    "string": "hello",
    "bytes": b"hello",
    "dict": {"a": 1, "b": 2},
    "dict items": {"a": 1, "b": 2}.items(),
    "set": {1, 2, 3},
    "range": range(3),
}


@pytest.mark.parametrize("name", ITERABLES)
def test_any_iterable_will_do(pool, name):
    assert pool.map(tasks.identity, ITERABLES[name]) == list(ITERABLES[name])


def test_a_generator_will_do_and_is_read_once(pool):
    def numbers():
        yield from range(100)

    source = numbers()
    assert pool.map(tasks.square, source) == squares(100)
    assert list(source) == []


class OldSequence:
    """Iterable by its __getitem__ alone."""

    def __getitem__(self, index):
        return [5, 6, 7][index]


def test_a_sequence_of_the_old_protocol_will_do(pool):
    assert pool.map(tasks.identity, OldSequence()) == [5, 6, 7]


def test_a_list_is_taken_as_it_is_when_pulled(pool):
    """As with the builtin: who changes a list under an iterator sees it, and nothing crashes."""
    items = list(range(1000))

    def shrinking():
        for item in items:
            if item == 500:
                del items[501:]
            yield item

    assert pool.map(tasks.square, shrinking()) == squares(501)


def test_further_iterables_are_further_arguments(pool):
    assert pool.map(tasks.add, [1, 2, 3], [10, 20, 30]) == [11, 22, 33]
    assert pool.map(tasks.arguments, "ab", "cd", "ef") == [(("a", "c", "e"), {}), (("b", "d", "f"), {})]


def test_the_shortest_iterable_ends_it(pool):
    assert pool.map(tasks.add, itertools.count(), [1, 2, 3]) == [1, 3, 5]
    assert pool.map(tasks.add, [1, 2, 3], itertools.count()) == [1, 3, 5]
    assert pool.map(tasks.add, [], itertools.count()) == []


def test_further_iterables_come_in_chunks_too(pool):
    results = pool.map(tasks.add, range(100), range(100), chunk_size=7)
    assert results == [2 * n for n in range(100)]


@pytest.mark.parametrize("items", [5, None, tasks.square])
def test_items_that_are_no_iterable_are_a_type_error(pool, items):
    with pytest.raises(TypeError):
        pool.map(tasks.square, items)
    with pytest.raises(TypeError):
        pool.map(tasks.add, [1], items)


def test_something_that_cannot_be_called_is_a_type_error(pool):
    with pytest.raises(TypeError):
        pool.map(5, [1, 2])


def test_goes_through_submit_where_somebody_replaced_it(pool, backend):
    counted = []

    class Counting(BlockingExecutor):
        def submit(self, *call):
            counted.append(call)
            return super().submit(*call)

    with Counting(2, backend=backend) as executor:
        assert executor.map(tasks.add, range(5), range(5)) == [0, 2, 4, 6, 8]
    assert counted == [(tasks.add, n, n) for n in range(5)]


def test_a_timeout_ends_the_wait_and_cancels_what_has_not_started(make, gate, ledger):
    executor, door = make(1), gate.door

    def wait_and_note(number):
        door.wait()
        ledger.note(number)

    with pytest.raises(TimeoutError):
        executor.map(wait_and_note, range(3), timeout=0.05)
    gate.open()
    executor.run_sync(tasks.nothing)
    assert ledger.lines() in (["0"], [])  # it may have started or not


def test_a_timeout_that_is_kept_changes_nothing(pool):
    assert pool.map(tasks.square, range(50), timeout=60) == squares(50)


def test_results_of_none_are_kept(pool):
    assert pool.map(tasks.nothing, range(10)) == [None] * 10


def test_lambdas_will_do(pool):
    power = 3
    assert pool.map(lambda number: number**power, range(20)) == [n**3 for n in range(20)]


def test_items_run_at_the_same_time(make, gate):
    executor = make(2)
    call = aside(executor.map, gate.door.wait, ["a", "b"], chunk_size=1)
    assert {note for _, note in gate.arrived(2)} == {"a", "b"}
    gate.open()
    assert call.result(20) == ["a", "b"]


def test_two_items_are_shared_out_without_being_told_to(make, gate):
    executor = make(2)
    call = aside(executor.map, gate.door.wait, ["a", "b"])
    gate.arrived(2)
    gate.open()
    assert call.result(20) == ["a", "b"]


def test_items_are_pulled_in_the_thread_of_the_caller(pool):
    pullers = []

    def numbers():
        for number in range(500):
            pullers.append(threading.get_ident())
            yield number

    assert pool.map(tasks.square, numbers(), chunk_size=3) == squares(500)
    assert set(pullers) == {threading.get_ident()}


def test_an_item_that_does_not_change_hands_before_it_is_pulled(make, gate):
    """The first item is worked on while the second is not there yet."""
    executor = make(1)

    def numbers():
        yield "first"
        gate.arrived()  # waits until a task has the first item
        gate.open()
        yield "second"

    call = aside(executor.map, gate.door.wait, numbers(), chunk_size=1)
    assert call.result(20) == ["first", "second"]


def test_reading_ahead_is_bounded(make, gate):
    """While the workers are stuck on their first items the source is not read to the end."""
    executor = make(2)
    bound = 20_000
    pulled = itertools.count(1)

    def endless():
        for number in pulled:
            if number > bound:
                raise AssertionError(f"read {bound} items ahead of two stuck workers")
            yield number

    def work(number, door=gate.door):
        door.wait()
        if number == 50:
            raise ValueError("the end")

    call = aside(executor.map, work, endless(), chunk_size=1)
    gate.arrived(2)
    gate.open()
    with pytest.raises(ValueError, match="the end"):
        call.result(30)


def test_an_endless_source_ends_with_the_first_failure(pool):
    with pytest.raises(ValueError, match="no 1000s!"):
        pool.map(tasks.fails_at, itertools.count(), itertools.repeat(1000))


def test_an_endless_source_ends_with_the_first_failure_item_by_item(pool):
    with pytest.raises(ValueError, match="no 100s!"):
        pool.map(tasks.fails_at, itertools.count(), itertools.repeat(100), chunk_size=1)


def test_an_error_keeps_its_type_and_message(pool):
    with pytest.raises(ValueError, match="no 3s!") as caught:
        pool.map(tasks.fails_at, range(10), [3] * 10)
    assert isinstance(caught.value, TaskError)
    assert pool.map(tasks.square, range(5)) == squares(5)


@pytest.mark.parametrize("where", [0, 1, 57, 98, 99])
@pytest.mark.parametrize("chunk_size", [0, 1, 10])
def test_a_failure_anywhere_is_found(pool, where, chunk_size):
    with pytest.raises(ValueError, match=f"no {where}s!"):
        pool.map(tasks.fails_at, range(100), [where] * 100, chunk_size=chunk_size)


def test_no_work_is_handed_out_after_the_first_failure(pool, ledger):
    def work(number, ledger=ledger):
        if number == 0:
            raise ValueError("at once")
        ledger.note(number)

    with pytest.raises(ValueError, match="at once"):
        pool.map(work, range(20_000), chunk_size=1)
    handed_out = len(ledger.lines())
    assert handed_out < 10_000


def test_nothing_of_it_runs_on_after_it_raised(make, ledger):
    """What was queued before the failure is not run behind the back of the caller."""
    executor = make(1)

    def work(number, ledger=ledger):
        if number == 3:
            raise ValueError("three")
        ledger.note(number)

    with pytest.raises(ValueError, match="three"):
        executor.map(work, range(1000), chunk_size=1)
    seen = ledger.lines()
    executor.run_sync(tasks.nothing)  # the only worker has gone past all that was queued
    assert len(ledger.lines()) <= len(seen) + 1  # what ran when it raised may end
    assert seen[:3] == ["0", "1", "2"] and len(seen) < 900


class SourceError(Exception):
    pass


def broken_source(length):
    yield from range(length)
    raise SourceError("the source broke")


@pytest.mark.parametrize("length", [0, 1, 10, 1000])
def test_an_error_of_the_source_comes_as_itself(pool, length):
    with pytest.raises(SourceError) as caught:
        pool.map(tasks.square, broken_source(length), chunk_size=1)
    assert type(caught.value) is SourceError
    assert pool.map(tasks.square, range(5)) == squares(5)


def test_an_error_of_a_further_source_comes_as_itself(pool):
    with pytest.raises(SourceError) as caught:
        pool.map(tasks.add, itertools.count(), broken_source(10))
    assert type(caught.value) is SourceError


def test_an_error_of_iter_comes_as_itself(pool):
    class NoIterator:
        def __iter__(self):
            raise SourceError("no iterator")

    with pytest.raises(SourceError) as caught:
        pool.map(tasks.square, NoIterator())
    assert type(caught.value) is SourceError


def test_a_source_that_exits_comes_as_itself(pool):
    def source():
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pool.map(tasks.square, source())


def test_stop_iteration_of_the_function_does_not_end_it_quietly(pool):
    with pytest.raises(TaskError) as caught:
        pool.map(tasks.raises, [StopIteration("not the end")])
    assert isinstance(caught.value.__cause__, StopIteration)


def test_a_source_may_call_the_pool(pool):
    def source():
        for number in range(20):
            yield pool.run_sync(tasks.square, number)

    assert pool.map(tasks.identity, source(), chunk_size=1) == squares(20)


def test_maps_of_many_threads_keep_their_own_order(pool):
    def caller(start):
        return pool.map(tasks.identity, range(start, start + 200), chunk_size=3) == list(range(start, start + 200))

    callers = [aside(caller, start) for start in range(0, 800, 100)]
    assert all(each.result(60) for each in callers)


def test_uneven_items_keep_their_order(pool):
    def uneven(number):
        return sum(range(number % 7 * 3000)), number

    assert pool.map(uneven, range(200)) == [uneven(number) for number in range(200)]


def test_many_small_items(pool):
    assert pool.map(tasks.identity, range(50_000)) == list(range(50_000))


def test_big_items(pool):
    items = [bytes([number]) * 1_000_000 for number in range(10)]
    assert pool.map(tasks.identity, items) == items


@pytest.mark.shared
def test_items_and_results_are_the_very_objects(pool):
    items = [object() for _ in range(100)]
    assert all(result is item for result, item in zip(pool.map(tasks.identity, items), items))


# Results as one list


class Weighed:
    """Something whose references can be counted."""


def test_results_are_referred_to_as_often_as_by_any_list(make):
    things = [Weighed() for _ in range(1000)]
    before = [sys.getrefcount(thing) for thing in things]
    executor = make(2)
    for chunk_size in (0, 1, 7, 1000, 5000):
        results = executor.map(tasks.identity, things, chunk_size=chunk_size)
        assert len(results) == 1000
        if executor._settings.backend == "threads":
            assert results == things
            assert [sys.getrefcount(thing) for thing in things] == [count + 1 for count in before]
        del results
    gc.collect()
    assert eventually(lambda: [sys.getrefcount(thing) for thing in things] == before)


def test_a_list_that_others_refer_to_stays_as_it_is():
    from hypern import _core

    kept, things = [object(), object()], [object()]
    whole = [*kept, *things, *kept]
    assert _core.gathered([kept, things.copy(), [], kept]) == whole
    assert len(kept) == 2
    assert _core.gathered([]) == []
    assert _core.gathered([[]]) == []
    with pytest.raises(TypeError):
        _core.gathered([(1, 2)])


def test_a_snapshot_hands_out_each_item_once():
    from hypern import _core

    items = [object() for _ in range(5)]
    before = [sys.getrefcount(item) for item in items]
    snapshot = _core.Snapshot(items)
    kept = items.copy()
    items.clear()
    assert snapshot.take(2) == kept[:2]
    assert len(snapshot) == 3
    assert snapshot.take(0) == []
    assert snapshot.take(9) == kept[2:]
    assert snapshot.take(1) == []
    del snapshot
    assert [sys.getrefcount(item) for item in kept] == before


def test_a_snapshot_in_a_cycle_is_collected():
    from hypern import _core

    class Box:
        inside = None

    box = Box()
    gone = weakref.ref(box)
    box.inside = _core.Snapshot([box])
    del box
    gc.collect()
    assert gone() is None


def test_a_result_can_be_used_like_any_list(make):
    results = make(2).map(tasks.square, range(5000))
    results.append(1)
    results.sort(reverse=True)
    del results[10:]
    results.extend(results)
    gc.collect()
    assert results == [number * number for number in range(4999, 4989, -1)] * 2
