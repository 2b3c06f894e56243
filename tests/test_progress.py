"""progress=: a bar of tqdm or a callable of the user's, told in the thread that waits how far a call has come."""

from __future__ import annotations

import asyncio
import io
import itertools
import threading

import pytest

import tasks
from child import run
from hypern.blocking import blocking_map, blocking_parallel
from sync import aside

try:
    import tqdm.auto
except ImportError:
    tqdm = None

needs_tqdm = pytest.mark.skipif(tqdm is None, reason="tqdm is not installed")


class Told:
    def __init__(self):
        self.calls = []
        self.threads = set()

    def __call__(self, done, total):
        self.calls.append((done, total))
        self.threads.add(threading.get_ident())


async def collected(results):
    return [result async for result in results]


#: Each gives the results for a callable and iterables.
WAYS = {
    "map": lambda pool, function, *items, **options: pool.map(function, *items, **options),
    "run_parallel": lambda pool, function, *items, **options: pool.run_parallel(
        [(function, args) for args in zip(*items)], **options
    ),
    "imap": lambda pool, function, *items, **options: list(pool.imap(function, *items, **options)),
    "imap, any order": lambda pool, function, *items, **options: sorted(
        pool.imap(function, *items, ordered=False, **options)
    ),
    "map_async": lambda pool, function, *items, **options: asyncio.run(
        collected(pool.map_async(function, *items, **options))
    ),
}
each_way = pytest.mark.parametrize("way", WAYS)


@each_way
def test_a_callable_is_told_in_the_thread_that_waits(pool, way):
    told = Told()
    assert WAYS[way](pool, tasks.square, range(500), progress=told) == [n * n for n in range(500)]
    assert told.threads == {threading.get_ident()}
    done = [done for done, _ in told.calls]
    assert done == sorted(set(done))
    assert told.calls[-1] == (500, 500)
    assert {total for _, total in told.calls} == {500}


@pytest.mark.parametrize("way", sorted(WAYS.keys() - {"run_parallel"}))
def test_what_has_no_length_has_no_total(pool, way):
    told = Told()
    assert WAYS[way](pool, tasks.square, iter(range(50)), progress=told) == [n * n for n in range(50)]
    assert told.calls[-1] == (50, None)


@pytest.mark.parametrize("way", sorted(WAYS.keys() - {"run_parallel"}))
def test_the_shortest_iterable_is_the_total(pool, way):
    told = Told()
    assert WAYS[way](pool, tasks.add, [1, 2, 3], range(50), progress=told) == [1, 3, 5]
    assert told.calls[-1] == (3, 3)
    told = Told()
    assert WAYS[way](pool, tasks.add, [1, 2, 3], itertools.count(), progress=told) == [1, 3, 5]
    assert told.calls[-1] == (3, None)


@each_way
def test_of_nothing_nothing_is_told(pool, way):
    told = Told()
    assert WAYS[way](pool, tasks.square, [], progress=told) == []
    assert told.calls == []


def test_it_is_told_while_others_still_run(make, gate):
    executor = make(2)
    told = Told()
    first = threading.Event()

    def tell(done, total):
        told(done, total)
        first.set()

    call = aside(executor.map, gate.door.wait, ["a", "b"], chunk_size=1, progress=tell)
    gate.arrived(2)
    gate.let_one_go()
    assert first.wait(20) and not call.done()
    gate.open()
    assert call.result(20) == ["a", "b"]
    assert [done for done, _ in told.calls] == [1, 2]


def test_failures_are_done_too(pool):
    told = Told()
    results = pool.imap(tasks.fails_at, range(20), itertools.repeat(7), on_error="return", progress=told)
    assert len(list(results)) == 20
    assert told.calls[-1] == (20, None)


@pytest.mark.isolated
def test_what_cannot_be_sent_is_done_too(pool):
    told = Told()
    items = [1, threading.Lock(), 2, threading.Lock()]
    assert len(list(pool.imap(tasks.identity, items, on_error="return", progress=told))) == 4
    assert told.calls[-1] == (4, 4)


@each_way
def test_what_the_callable_raises_ends_the_call(pool, way):
    def tell(done, total):
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough") as caught:
        WAYS[way](pool, tasks.square, range(500), progress=tell)
    assert type(caught.value) is KeyError


def appends(values):
    values.append(sum(i * i for i in range(3000)))
    return len(values)


@pytest.mark.shared
def test_what_comes_back_is_counted_once(make):
    told = Told()
    items = [[] for _ in range(300)]
    assert make(2).map(appends, items, progress=told) == [1] * 300
    done = [done for done, _ in told.calls]
    assert done == sorted(set(done)) and done[-1] == 300


def test_the_helpers_of_the_module_take_it(default):
    told = Told()
    assert blocking_map(tasks.square, range(5), progress=told) == [0, 1, 4, 9, 16]
    assert blocking_parallel([(tasks.square, (3,))], progress=told) == [9]
    assert told.calls[-1] == (1, 1) and (5, 5) in told.calls


@pytest.mark.parametrize("nothing", [False, None])
@each_way
def test_it_may_be_off(pool, way, nothing):
    assert WAYS[way](pool, tasks.square, range(5), progress=nothing) == [0, 1, 4, 9, 16]


@each_way
def test_anything_else_is_a_type_error(pool, way):
    with pytest.raises(TypeError, match="progress"):
        WAYS[way](pool, tasks.square, range(5), progress="yes")


@needs_tqdm
@each_way
def test_a_bar_is_shown_to_its_end_and_closed(pool, way, monkeypatch):
    bars = []

    class Bar(tqdm.auto.tqdm):
        closed = False

        def __init__(self, *args, **options):
            super().__init__(*args, file=io.StringIO(), **options)
            bars.append(self)

        def close(self):
            self.closed = True
            super().close()

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    WAYS[way](pool, tasks.square, range(500), progress=True)
    (bar,) = bars
    assert (bar.n, bar.total) == (500, 500)
    assert bar.closed
    with pytest.raises(ValueError):
        WAYS[way](pool, tasks.fails_at, range(50), range(50), progress=True)
    assert bars[1].closed


def test_without_tqdm_the_error_says_what_to_do(backend):
    run(
        """
        import asyncio, sys
        sys.modules["tqdm"] = sys.modules["tqdm.auto"] = None
        from hypern import BlockingExecutor
        async def awaited():
            async for _ in executor.map_async(abs, [1], progress=True):
                pass
        with BlockingExecutor(1, backend=sys.argv[1]) as executor:
            for way in (
                lambda: executor.map(abs, [1], progress=True),
                lambda: executor.run_parallel([(abs, (1,))], progress=True),
                lambda: executor.imap(abs, [1], progress=True),
                lambda: asyncio.run(awaited()),
            ):
                try:
                    way()
                except ImportError as error:
                    assert "pip install tqdm" in str(error) and "callable" in str(error), error
                else:
                    raise AssertionError("no error")
            assert executor.map(abs, [-1], progress=lambda done, total: None) == [1]
        """,
        backend,
    ).ok("")


@needs_tqdm
def test_a_bar_in_a_terminal(backend):
    done = run(
        """
        import sys
        from hypern import BlockingExecutor
        with BlockingExecutor(1, backend=sys.argv[1]) as executor:
            assert len(executor.map(abs, range(100), progress=True)) == 100
        """,
        backend,
    )
    assert done.rc == 0, done.report()
    assert "100/100" in done.err
