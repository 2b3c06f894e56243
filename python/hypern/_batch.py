"""Drives ``map`` and ``run_parallel``: hands out chunks, collects results, adapts the size of what comes next.

The caller's thread pulls items from the iterable, never further ahead than there is room for chunks (two for each
worker), so an endless iterable ends with the first failure, and an isolated backend always has an encoded chunk
waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice
from typing import Any, Protocol

#: Work that a chunk should hold, in seconds: long against the hand-over, short against what a user notices.
TARGET = 0.004
#: Work that a chunk should hold at least when the end is near and the rest is spread over the workers.
TAIL = 0.0005
#: A chunk is at most this many times larger than the one before: one measurement of a cheap item proves little.
GROWTH = 16

#: One chunk that is done: its index, its results or None, the seconds it ran, what it raised or None.
Done = tuple[int, list[Any] | None, float, BaseException | None]


class Batch(Protocol):
    """The chunks of one call; ``hypern._core.Batch`` or its like in a guest."""

    def push(self, index: int, items: Sequence[Any], /) -> None: ...
    def wait(self) -> list[Done]: ...
    def cancel(self) -> None: ...
    def room(self) -> int: ...


class Source:
    """The items of an iterable, some at a time."""

    def __init__(self, items: Iterable[Any]) -> None:
        # A list may grow or shrink while it is mapped over, by a task for one: what counts is what it is now.
        self._known: Sequence[Any] | None = None
        if type(items) is list:
            self._known = items.copy()
        elif type(items) is tuple or type(items) is range:
            self._known = items
        self._iterator = iter(items) if self._known is None else iter(())
        self._taken = 0

    def left(self) -> int | None:
        """Return how many items are left, None where nobody knows."""
        return None if self._known is None else len(self._known) - self._taken

    def take(self, count: int) -> Sequence[Any]:
        """Return the next items, at most ``count``; none when there are no more."""
        if self._known is None:
            return list(islice(self._iterator, count))
        items = self._known[self._taken : self._taken + count]
        self._taken += len(items)
        return items


class ChunkSize:
    """How many items the next chunk holds: as asked for, or as measured."""

    def __init__(self, asked: int) -> None:
        self._asked = asked
        self._size = asked or 1
        self._seconds_each = 0.0

    def learn(self, items: int, seconds: float) -> None:
        """Take note of how long a chunk ran."""
        if items:
            self._seconds_each = max(seconds / items, 1e-9)
            if not self._asked:
                self._size = max(1, min(round(TARGET / self._seconds_each), self._size * GROWTH))

    def next(self, left: int | None, room: int) -> int:
        """Return the size of the next chunk, ``left`` items being left for ``room`` chunks in flight."""
        if self._asked or left is None:
            return self._size
        shared = -(-left // room)
        least = round(TAIL / self._seconds_each) if self._seconds_each else 1
        return max(1, min(self._size, max(shared, least)))


def drive(make_batch: Callable[[], Batch], items: Iterable[Any], *, chunk_size: int, finish: bool) -> list[Any]:
    """Run all items through a batch and return the results in the order of the items.

    Raises what a failing chunk raised as soon as it is known, and never runs what was not started then; with
    ``finish``, runs everything first and raises for the first chunk that failed. An error of the iterable itself is
    raised as it is.
    """
    source = Source(items)
    size = ChunkSize(chunk_size)
    results: list[list[Any]] = []
    failures: dict[int, BaseException] = {}
    in_flight: set[int] = set()
    exhausted = False
    batch = make_batch()
    try:
        while True:
            while not exhausted and len(in_flight) < (room := batch.room()):
                chunk = source.take(size.next(source.left(), room))
                if not chunk:
                    exhausted = True
                    break
                batch.push(len(results), chunk)
                in_flight.add(len(results))
                results.append([])
            if not in_flight:
                break
            for index, values, seconds, error in batch.wait():
                in_flight.discard(index)
                if error is not None:
                    failures[index] = error
                    continue
                # A chunk may be reported twice: what counts is how it went last.
                failures.pop(index, None)
                results[index] = values or []
                size.learn(len(results[index]), seconds)
            if failures and not finish:
                break
        if failures:
            raise failures[min(failures)]
        return list(chain.from_iterable(results))
    finally:
        batch.cancel()
        # The traceback of what is raised here refers to this frame.
        failures.clear()
