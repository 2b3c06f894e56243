"""imap: results are given out while the rest is computed, never further ahead than asked for."""

from __future__ import annotations

import contextvars
import gc
import itertools
import sys
import threading
import weakref

import pytest

import tasks
from child import STRICT, run
from hypern import ShutdownError, TaskError, TransferError, WorkerCrashed
from sync import counted, aside, count, eventually


def squares(number):
    return [n * n for n in range(number)]


@pytest.mark.parametrize("number", [0, 1, 2, 3, 7, 100, 5000])
def test_results_are_those_of_the_builtin_map(pool, number):
    assert list(pool.imap(tasks.square, range(number))) == squares(number)


@pytest.mark.parametrize("chunk_size", [0, 1, 3, 49, 50, 51, 2**62])
@pytest.mark.parametrize("buffer", [0, 1, 2, 17, 2**62])
def test_neither_chunks_nor_buffer_change_the_results(pool, chunk_size, buffer):
    results = pool.imap(tasks.square, iter(range(50)), chunk_size=chunk_size, buffer=buffer)
    assert list(results) == squares(50)


@pytest.mark.parametrize("buffer", [0, 1, 10])
@pytest.mark.parametrize("number", [0, 1, 300])
def test_in_any_order_each_result_comes_once(pool, number, buffer):
    assert sorted(pool.imap(tasks.square, range(number), ordered=False, buffer=buffer)) == squares(number)


def test_further_iterables_are_further_arguments(pool):
    assert list(pool.imap(tasks.add, itertools.count(), [1, 2, 3])) == [1, 3, 5]
    assert list(pool.imap(tasks.arguments, "ab", "cd", "ef")) == [(("a", "c", "e"), {}), (("b", "d", "f"), {})]


def test_many_at_once_keep_their_own_results(pool):
    streams = [pool.imap(tasks.identity, itertools.count(start)) for start in (0, 1000, 2000)]
    for number in range(500):
        assert [next(stream) for stream in streams] == [number, 1000 + number, 2000 + number]


def test_results_of_none_are_kept(pool):
    assert list(pool.imap(tasks.nothing, range(10))) == [None] * 10


# How far ahead


class Counted:
    """An endless source that knows how far it was read, and by whom."""

    def __init__(self, limit=None):
        self.pulled = 0
        self.pullers = set()
        self.limit = limit

    def __iter__(self):
        while self.limit is None or self.pulled < self.limit:
            self.pullers.add(threading.get_ident())
            self.pulled += 1
            yield self.pulled - 1


def test_nothing_is_pulled_before_it_is_asked_for(pool):
    source = Counted()
    with pool.imap(tasks.square, source) as results:
        assert source.pulled == 0
        assert next(results) == 0
    assert source.pullers == {threading.get_ident()}


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("chunk_size", [0, 1, 5])
@pytest.mark.parametrize("buffer", [1, 2, 7, 100])
def test_no_more_is_pulled_than_the_buffer_allows(pool, buffer, chunk_size, ordered):
    source = Counted()
    with pool.imap(tasks.square, source, buffer=buffer, chunk_size=chunk_size, ordered=ordered) as results:
        for given in range(500):
            next(results)
            assert source.pulled - given <= buffer


def test_by_default_four_chunks_for_each_worker_are_ahead_at_most(pool):
    source = Counted()
    with pool.imap(tasks.square, source, chunk_size=10) as results:
        for given in range(1000):
            next(results)
            assert source.pulled - given <= 4 * 2 * 10


def test_all_workers_work_within_a_buffer(make, gate):
    executor = make(2)
    results = executor.imap(gate.door.wait, itertools.count(), buffer=2)
    first = aside(next, results)
    gate.arrived(2)
    gate.open()
    assert first.result(20) == 0
    results.close()


def test_memory_stays_flat(pool):
    import psutil  # Not above: interpreters import this module, and not that one.

    process = psutil.Process()
    with pool.imap(bytes, itertools.repeat(20_000)) as results:
        for _ in range(2_000):
            next(results)
        before = process.memory_info().rss
        for _ in range(count(10_000, 100_000)):
            next(results)
    # The results alone are 200 MB.
    assert process.memory_info().rss - before < 60e6


@pytest.mark.shared
def test_items_and_results_are_let_go_of(pool):
    class Item:
        pass

    alive = weakref.WeakSet()

    def items():
        while True:
            item = Item()
            alive.add(item)
            yield item

    with pool.imap(tasks.identity, items(), buffer=5) as results:
        for _ in range(100):
            next(results)
            assert eventually(lambda: counted() and len(alive) <= 6)


# In order, or as they come


def test_a_result_does_not_wait_for_the_end(make, gate):
    executor = make(2)
    results = executor.imap(gate.door.wait, ["first", "second", "third"], chunk_size=1, ordered=False)
    first = aside(next, results)
    gate.arrived(2)
    gate.let_one_go()
    assert first.result(20) in ("first", "second")
    gate.open()
    assert len(list(results)) == 2


def waits_if_asked(item):
    door, number = item
    if door is not None:
        door.wait()
    return number


def test_as_they_come_means_before_an_earlier_one(make, gate):
    executor = make(2)
    items = [(gate.door if number == 0 else None, number) for number in range(50)]
    results = executor.imap(waits_if_asked, items, ordered=False, chunk_size=1)
    assert sorted(itertools.islice(results, 49)) == list(range(1, 50))
    gate.open()
    assert list(results) == [0]


def test_in_order_means_after_an_earlier_one(make, gate):
    executor = make(2)
    items = [(gate.door if number == 0 else None, number) for number in range(50)]
    results = executor.imap(waits_if_asked, items, chunk_size=1)
    first = aside(next, results)
    gate.arrived()
    assert not first.done()
    gate.open()
    assert first.result(20) == 0
    assert list(results) == list(range(1, 50))


# Failures


@pytest.mark.parametrize("where", [0, 1, 57, 99])
@pytest.mark.parametrize("chunk_size", [0, 1, 10])
def test_a_failure_comes_after_the_results_before_it(pool, where, chunk_size):
    results = pool.imap(tasks.fails_at, range(100), itertools.repeat(where), chunk_size=chunk_size)
    assert list(itertools.islice(results, where)) == list(range(where))
    with pytest.raises(ValueError, match=f"no {where}s!") as caught:
        next(results)
    assert isinstance(caught.value, TaskError)
    assert type(caught.value.__cause__) is ValueError
    assert list(results) == []


def test_nothing_is_pulled_after_a_failure_is_known(pool):
    source = Counted()
    results = pool.imap(tasks.fails_at, source, itertools.repeat(3), chunk_size=1)
    with pytest.raises(ValueError, match="no 3s!"):
        list(results)
    assert source.pulled < 30


def fails_on_fives(number):
    if number % 5 == 3:
        raise ValueError(number)
    return number


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("chunk_size", [0, 1, 7, 100])
def test_with_return_failures_stand_in_the_place_of_their_results(pool, chunk_size, ordered):
    results = list(pool.imap(fails_on_fives, range(100), chunk_size=chunk_size, on_error="return", ordered=ordered))
    assert len(results) == 100
    failures = [result for result in results if isinstance(result, ValueError)]
    assert all(isinstance(failure, TaskError) for failure in failures)
    assert sorted(failure.args[0] for failure in failures) == list(range(3, 100, 5))
    if ordered:
        assert [result for result in results if type(result) is int] == [n for n in range(100) if n % 5 != 3]
        assert [type(result) is int for result in results] == [n % 5 != 3 for n in range(100)]


@pytest.mark.parametrize("name", tasks.BASE_EXCEPTIONS)
def test_with_return_an_exception_that_exits_is_a_task_error(pool, name):
    result, after = pool.imap(tasks.raises_named, [name, name], chunk_size=2, on_error="return")
    assert type(result) is type(after) is TaskError
    assert type(result.__cause__) is type(tasks.BASE_EXCEPTIONS[name]())


@pytest.mark.parametrize("error", [tasks.Falsey("no"), StopIteration(), StopAsyncIteration()])
def test_awkward_exceptions_are_neither_results_nor_the_end(pool, error):
    (returned,) = pool.imap(tasks.raises, [error], on_error="return")
    assert isinstance(returned, TaskError)
    with pytest.raises(TaskError) as caught:
        list(pool.imap(tasks.raises, [error]))
    assert type(caught.value.__cause__) is type(error)


@pytest.mark.shared
def test_failures_leave_nothing_behind(pool):
    """Nobody holds a failure, or its argument, once the caller has let go of it, also without the collector."""

    class Item:
        pass

    def work(item):
        if item is not None:
            raise ValueError("no")

    items = [None, Item(), None, Item()]
    gone = [weakref.ref(item) for item in items if item is not None]
    gc.disable()
    try:
        results = list(pool.imap(work, iter(items), chunk_size=4, on_error="return"))
        assert [result is None for result in results] == [True, False, True, False]
        del items, results
        assert eventually(lambda: counted() and all(reference() is None for reference in gone))
    finally:
        gc.enable()


@pytest.mark.isolated
def test_an_item_that_cannot_be_sent_fails_alone(pool):
    items = [1, tasks.ErrorAtPickle(), 2, threading.Lock(), 3]
    results = list(pool.imap(tasks.identity, items, chunk_size=5, on_error="return"))
    assert [results[0], results[2], results[4]] == [1, 2, 3]
    assert isinstance(results[1], TransferError) and isinstance(results[3], TransferError)
    results = pool.imap(tasks.identity, items, chunk_size=5)
    assert next(results) == 1
    with pytest.raises(TransferError):
        next(results)


def locks_on_odds(number):
    return threading.Lock() if number % 2 else number


@pytest.mark.isolated
def test_a_result_that_cannot_be_sent_fails_alone(pool):
    results = list(pool.imap(locks_on_odds, range(4), chunk_size=4, on_error="return"))
    assert (results[0], results[2]) == (0, 2)
    assert isinstance(results[1], TransferError) and isinstance(results[3], TransferError)


def exits_on_ones(number):
    return tasks.exits(3) if number == 1 else number


@pytest.mark.own_process
def test_a_worker_that_dies_fails_the_items_of_its_chunk(make):
    executor = make(2)
    results = list(executor.imap(exits_on_ones, range(4), chunk_size=1, on_error="return"))
    assert isinstance(results.pop(1), WorkerCrashed)
    assert results == [0, 2, 3]
    results = list(executor.imap(exits_on_ones, range(4), chunk_size=2, on_error="return"))
    assert all(isinstance(result, WorkerCrashed) for result in results[:2])
    assert results[2:] == [2, 3]
    with pytest.raises(WorkerCrashed):
        list(executor.imap(exits_on_ones, range(4), chunk_size=1))


class SourceError(Exception):
    pass


def broken_source(length):
    yield from range(length)
    raise SourceError("the source broke")


@pytest.mark.parametrize("on_error", ["raise", "return"])
@pytest.mark.parametrize("chunk_size", [0, 1, 10])
@pytest.mark.parametrize("length", [0, 1, 10, 55])
def test_an_error_of_the_source_comes_as_itself_after_the_results_before_it(pool, length, chunk_size, on_error):
    results = pool.imap(tasks.square, broken_source(length), chunk_size=chunk_size, on_error=on_error)
    assert list(itertools.islice(results, length)) == squares(length)
    with pytest.raises(SourceError) as caught:
        next(results)
    assert type(caught.value) is SourceError
    assert list(results) == []


def test_a_source_that_exits_ends_it_at_once(pool):
    def source():
        yield 1
        raise KeyboardInterrupt

    results = pool.imap(tasks.square, source())
    with pytest.raises(KeyboardInterrupt):
        list(results)
    assert list(results) == []


# The end


def close(results):
    results.close()


def leave(results):
    with results:
        pass


@pytest.mark.parametrize("end", [close, leave])
def test_closing_cancels_what_has_not_started(make, gate, ledger, end):
    executor = make(1)

    def work(number, door=gate.door, ledger=ledger):
        ledger.note(number)
        if number:
            door.wait()
        return number

    results = executor.imap(work, itertools.count(), chunk_size=1)
    assert next(results) == 0
    gate.arrived()
    end(results)
    assert list(results) == []
    assert executor.pending_tasks() == 0
    gate.open()
    assert executor.run_sync(tasks.square, 3) == 9
    assert ledger.lines() == ["0", "1"]


@pytest.mark.explicit  # auto hands out one by one until it has decided
def test_letting_go_cancels_what_has_not_started(make, gate):
    executor = make(1)
    results = executor.imap(waits_if_asked, [(None, 0), *[(gate.door, 1)] * 20], chunk_size=1)
    assert next(results) == 0
    gate.arrived()
    assert executor.pending_tasks() > 0
    del results
    assert eventually(lambda: gc.collect() + 1 and executor.pending_tasks() == 0)


def test_shutdown_meanwhile_gives_what_was_accepted_and_then_says_so(make):
    executor = make(2)
    results = executor.imap(tasks.square, itertools.count(), buffer=20)
    assert next(results) == 0
    executor.shutdown(wait=False)
    given = []
    with pytest.raises(ShutdownError):
        given.extend(results)  # keeps what came before
    assert 0 < len(given) < 40
    assert given == squares(len(given) + 1)[1:]


@pytest.mark.parametrize("on_error", ["raise", "return"])
def test_a_shutdown_that_cancels_ends_it(make, gate, on_error):
    executor = make(1)
    results = executor.imap(waits_if_asked, [(None, 0), *[(gate.door, 1)] * 20], chunk_size=1, on_error=on_error)
    assert next(results) == 0
    gate.arrived()
    executor.shutdown(wait=False, cancel_futures=True)
    gate.open()
    with pytest.raises(ShutdownError):
        list(results)


def test_after_shutdown_it_is_refused(make):
    executor = make(1)
    executor.shutdown()
    with pytest.raises(ShutdownError):
        executor.imap(tasks.square, [1])


def test_a_full_queue_only_slows_it_down(make):
    executor = make(2, queue_size=1)
    assert list(executor.imap(tasks.square, range(200), chunk_size=1)) == squares(200)


# Inside


def streams(executor, number):
    return list(executor.imap(tasks.square, range(number)))


def test_a_task_may_use_it_on_its_own_pool(make):
    executor = make(1)
    assert executor.run_sync(streams, executor, 30) == squares(30)
    assert list(executor.imap(streams, [executor] * 3, range(3))) == [squares(number) for number in range(3)]


@pytest.mark.shared
def test_a_task_may_go_on_with_what_another_one_began(make):
    executor = make(1)
    results = executor.run_sync(executor.imap, tasks.square, range(30))
    assert executor.run_sync(next, results) == 0
    assert next(results) == 1
    assert executor.run_sync(list, results) == squares(30)[2:]


@pytest.mark.shared
def test_the_context_of_the_caller_is_seen(pool):
    variable = contextvars.ContextVar("variable")
    variable.set("here")
    assert list(pool.imap(lambda _: variable.get(), range(3))) == ["here"] * 3


def changes_some(values):
    """Called elsewhere, this comes back where it changes what it is given."""
    if values[0] % 40 == 20:
        values.append(sum(range(3000)))
    return sum(i * i for i in range(3000)) + values[0], len(values)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("on_error", ["raise", "return"])
@pytest.mark.shared
def test_what_comes_back_is_given_once_and_in_its_place(make, ordered, on_error):
    items = [[number] for number in range(300)]
    expected = [changes_some([number]) for number in range(300)]
    results = list(make(2).imap(changes_some, items, ordered=ordered, on_error=on_error))
    assert (results if ordered else sorted(results)) == expected
    assert [len(item) for item in items] == [1 + (number % 40 == 20) for number in range(300)]


def fails_late(number):
    if number % 100 == 99:
        raise tasks.Custom(number)
    return sum(i * i for i in range(3000)) + number


def test_failures_elsewhere_are_caught_too(pool):
    results = list(pool.imap(fails_late, range(400), on_error="return"))
    assert [number for number, result in enumerate(results) if isinstance(result, tasks.Custom)] == [99, 199, 299, 399]
    assert [results[number].args[0] for number in (99, 199, 299, 399)] == [99, 199, 299, 399]
    assert results[:99] == [fails_late(number) for number in range(99)]


# Bad input


def test_bad_options_are_refused_at_once(pool):
    for options in ({"on_error": "ignore"}, {"buffer": -1}, {"chunk_size": -1}):
        with pytest.raises(ValueError):
            pool.imap(tasks.square, [1], **options)
    for options in ({"buffer": 1.5}, {"chunk_size": "1"}, {"progress": "yes"}):
        with pytest.raises(TypeError):
            pool.imap(tasks.square, [1], **options)
    for items in ((), (5,), ([1], None)):
        with pytest.raises(TypeError):
            pool.imap(tasks.square, *items)


# Processes that end or split


def test_exit_with_open_results(backend):
    run(
        """
        import itertools, sys
        from hypern import BlockingExecutor
        import tasks
        executor = BlockingExecutor(2, backend=sys.argv[1])
        results = executor.imap(tasks.square, itertools.count())
        print([next(results) for _ in range(3)])
        """,
        backend,
    ).ok("[0, 1, 4]\n")


def test_a_forked_child_is_told_that_they_are_its_parents(backend):
    run(
        """
        import itertools, os, sys
        from hypern import BlockingExecutor
        import tasks
        executor = BlockingExecutor(2, backend=sys.argv[1])
        results = executor.imap(tasks.square, itertools.count())
        assert next(results) == 0
        process = os.fork()
        if process == 0:
            try:
                for _ in results:
                    pass
            except RuntimeError as error:
                assert "forked" in str(error), error
                del results
                assert list(executor.imap(tasks.square, range(3))) == [0, 1, 4]
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 7
        assert next(results) == 1
        results.close()
        executor.shutdown()
        """,
        backend,
        flags=(*STRICT, "-W", "ignore:This process:DeprecationWarning"),
    ).ok("")
