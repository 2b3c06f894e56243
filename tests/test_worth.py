"""Where the chunks of a map go by default, by what their items cost: batches whose pools are played by the test."""

from __future__ import annotations

import pytest

import tasks
from hypern import _auto_batch
from hypern._auto_batch import CONCLUSIVE, LEAST, AutoBatch
from hypern._kind import EACH
from hypern._verdict import judge


class Played:
    """A batch of the core: what is pushed stays there until the test says how long it ran."""

    def __init__(self):
        self.pushed = []
        self.letters = []
        self.other = None

    def push(self, number, items, again=False):
        self.pushed.append((number, items))
        return True

    def wait(self, timeout=None):
        letters, self.letters = self.letters, []
        return letters

    def room(self):
        return 4

    def beside(self, pool):
        self.other = Played()
        return self.other

    def cancel(self):
        pass

    def ran(self, number, items, seconds_each, shared=None):
        (shared or self).letters.append((number, [None] * len(items), seconds_each * len(items), None))


class PlayedPool:
    backend = "interpreters"
    is_open = False

    def opened(self):
        return self.is_open

    def away(self):
        self.is_open = True
        return self

    def may_leave(self, function):
        return True

    def is_worth(self, function):
        return judge(function).worth

    def note(self, function, back):
        raise AssertionError(back)


@pytest.fixture
def clock(monkeypatch):
    """The time, which passes when the test says so."""

    class Clock:
        now = 0.0

        def perf_counter(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(_auto_batch, "time", clock)
    return clock


@pytest.fixture
def here():
    return Played()


@pytest.fixture
def batch(here):
    judge(tasks.square).worth = False
    yield AutoBatch(PlayedPool(), EACH, tasks.square, here, True)
    judge(tasks.square).worth = False


CHEAP, DEAR = LEAST["interpreters"] / 10, LEAST["interpreters"] * 10


def test_a_large_chunk_of_cheap_items_is_waited_for(batch, here, clock):
    batch.push(0, range(65536))
    clock.now = 0.004  # It runs so long: many items, each of them cheap.
    assert batch.wait(0.0) == []
    assert batch._leaves is None
    here.ran(1, range(65536), CHEAP)
    assert len(batch.wait()) == 1
    assert batch._leaves is False


def test_a_small_chunk_that_takes_long_sends_the_rest_away(batch, here, clock):
    batch.push(0, range(1))
    clock.now = 0.003
    batch.wait(0.0)
    assert batch._leaves
    batch.push(1, range(1))
    assert len(here.other.pushed) == 1


def test_a_chunk_too_short_to_tell_decides_nothing(batch, here):
    batch.push(0, range(10))
    here.ran(1, range(10), CONCLUSIVE / 20)
    batch.wait()
    assert batch._leaves is None


def test_what_was_taken_for_dear_on_a_busy_machine_comes_home(batch, here):
    judge(tasks.square).worth = True
    batch._pool.is_open = True
    batch.push(0, range(1000))
    assert [number for number, _ in here.other.pushed] == [1]
    here.ran(1, range(1000), DEAR)
    batch.wait()
    assert batch._leaves
    batch.push(1, range(10000))
    here.ran(2, range(10000), CHEAP)
    assert [index for index, *_ in batch.wait()] == [1]
    assert (batch._leaves, judge(tasks.square).worth, batch.room()) == (False, False, 1)
    batch.push(2, range(1000))
    assert [number for number, _ in here.pushed] == [3]
