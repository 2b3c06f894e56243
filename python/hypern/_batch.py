"""Drives the chunks of one call: hands them out, collects what comes back, adapts the size of what comes next.

The caller's thread pulls items from the iterable, never further ahead than there is room for chunks (two for each
worker), so an endless iterable ends with the first failure, and an isolated backend always has an encoded chunk
waiting.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Protocol

from hypern import _guest

if TYPE_CHECKING:
    from hypern import _core

#: Work that a chunk should hold, in seconds: long against the hand-over, short against what a user notices.
TARGET = 0.004
#: A chunk should hold this part of that at least when the end is near and the rest is spread over the workers.
TAIL = 1 / 8
#: A chunk is at most this many times larger than the one before: one measurement of a cheap item proves little.
GROWTH = 16
#: How long a chunk whose cost nobody knows runs before it is decided where the rest runs, in seconds; ``auto`` only.
PATIENCE = 0.002

#: One chunk that is done: its index, its results or None, the seconds it ran, what it raised or None. Neither results
#: nor an error: it is done no more, and comes again.
Done = tuple[int, Any | None, float, BaseException | None]
#: The same, with how many items it held in place of the seconds.
Arrived = tuple[int, int, Any | None, BaseException | None]


class Batch(Protocol):
    """The chunks of one call; ``hypern._core.Batch`` or its like."""

    def push(self, index: int, items: Sequence[Any], again: bool = False, /) -> bool: ...
    def wait(self, timeout: float | None = None, /) -> list[Done]: ...
    def cancel(self) -> None: ...
    def room(self) -> int: ...
    def decides_in(self) -> float | None: ...


class Progress(Protocol):
    """Is told how many items are done; see ``_progress``."""

    def report(self, done: int) -> None: ...
    def close(self) -> None: ...


class Source:
    """The items of an iterable, some at a time."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._snapshot: _core.Snapshot | None = None
        self._known: Sequence[Any] | None = None
        if type(items) is list:
            # It may grow or shrink while it is mapped over, by a task for one: what counts is what it is now.
            if _guest.is_guest():
                self._known = items.copy()
            else:
                from hypern import _core

                self._snapshot = _core.Snapshot(items)
        elif type(items) is tuple or type(items) is range:
            self._known = items
        else:
            self._iterator = iter(items)
        self._taken = 0
        #: What the iterable raised, after items that were not given yet.
        self._error: Exception | None = None

    def left(self) -> int | None:
        """Return how many items are left, None where nobody knows."""
        if self._snapshot is not None:
            return len(self._snapshot)
        return None if self._known is None else len(self._known) - self._taken

    def take(self, count: int) -> Sequence[Any]:
        """Return the next items, at most ``count``; none when there are no more. Raises what the iterable raises."""
        if self._snapshot is not None:
            return self._snapshot.take(count)
        if self._known is not None:
            items = self._known[self._taken : self._taken + count]
            self._taken += len(items)
            return items
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        pulled: list[Any] = []
        try:
            pulled.extend(islice(self._iterator, count))
        except Exception as error:
            if not pulled:
                raise
            # What came before it is still to be done.
            self._error = error
        return pulled


class ChunkSize:
    """How many items the next chunk holds: as asked for, or as measured, but no more than ``largest``.

    A chunk that is measured should hold ``target`` seconds of work.
    """

    def __init__(self, asked: int, largest: int | None, target: float) -> None:
        self._asked = asked
        self._largest = largest
        self._target = target
        self._size = asked or 1
        self._seconds_each = 0.0

    def learn(self, items: int, seconds: float) -> None:
        """Take note of how long a chunk ran."""
        if items:
            self._seconds_each = max(seconds / items, 1e-9)
            if not self._asked:
                size = min(round(self._target / self._seconds_each), self._size * GROWTH, self._largest or sys.maxsize)
                self._size = max(1, size)

    def next(self, left: int | None, room: int) -> int:
        """Return the size of the next chunk, ``left`` items being left for ``room`` chunks in flight."""
        if self._asked or left is None:
            return self._size
        shared = -(-left // room)
        least = round(TAIL * self._target / self._seconds_each) if self._seconds_each else 1
        return max(1, min(self._size, max(shared, least)))


class Flow:
    """The chunks of one call on their way, and how far it has come. Used by the thread that drives the call."""

    def __init__(
        self,
        batch: Batch,
        items: Iterable[Any],
        chunk_size: int,
        largest: int | None = None,
        target: float = TARGET,
    ) -> None:
        self._batch = batch
        self._source = Source(items)
        self._size = ChunkSize(chunk_size, largest, target)
        #: Is told how far it has come.
        self.progress: Progress | None = None
        #: Items that are done, and that were last said to be.
        self._done = self._said = 0
        #: Items of the chunks in flight, by their index; 0 for one that was done before.
        self.in_flight: dict[int, int] = {}
        #: Chunks that were handed out.
        self.chunks = 0
        #: Chunks that were pulled and are to be handed out next.
        self.unsent: deque[Sequence[Any]] = deque()
        #: Items that were pulled.
        self.pulled = 0
        self.exhausted = False

    def room(self) -> int:
        """Return how many chunks may be in flight."""
        return self._batch.room()

    def pull(self, room: int, most: int | None = None) -> Sequence[Any]:
        """Return the next chunk, of at most ``most`` items; an empty one when there are no more items."""
        if self.unsent:
            return self.unsent.popleft()
        size = self._size.next(self._source.left(), room)
        chunk = self._source.take(size if most is None else min(size, most))
        self.pulled += len(chunk)
        self.exhausted = not chunk
        return chunk

    def push(self, chunk: Sequence[Any]) -> bool:
        """Hand out a chunk; false where the queue is full and nobody may wait: it is the next one then."""
        if not self._batch.push(self.chunks, chunk):
            self.unsent.appendleft(chunk)
            return False
        self.in_flight[self.chunks] = len(chunk)
        self.chunks += 1
        return True

    def has_more(self) -> bool:
        """Tell whether there may be items that nobody has pulled; a chunk that waits for space is none."""
        return not self.exhausted and not self.unsent

    def decides_in(self) -> float | None:
        """Return in how many seconds to look whether there is room for more; None: when something has come."""
        return self._batch.decides_in() if self.in_flight else None

    def refuse(self, chunk: Sequence[Any]) -> int:
        """Return the index of a chunk that cannot be handed out; it counts as done."""
        self.chunks += 1
        self._done += len(chunk)
        self._report()
        return self.chunks - 1

    def take_back(self, timeout: float | None = None) -> list[Arrived]:
        """Wait until a chunk is done, at most ``timeout`` seconds; return index, size, results, error of each one.

        Neither results nor an error: the chunk is in flight again.
        """
        arrived: list[Arrived] = []
        for index, results, seconds, error in self._batch.wait(timeout):
            if results is None and error is None:
                self.in_flight[index] = 0
                arrived.append((index, 0, None, None))
                continue
            items = self.in_flight.pop(index)
            if error is None:
                self._size.learn(items, seconds)
            self._done += items
            arrived.append((index, items, results, error))
        self._report()
        return arrived

    def _report(self) -> None:
        if self.progress is not None and self._done > self._said:
            self._said = self._done
            self.progress.report(self._done)

    def close(self) -> None:
        """Take back what has not been started."""
        self._batch.cancel()
        if self.progress is not None:
            self.progress.close()


def _gathered(parts: list[list[Any]]) -> list[Any]:
    """Return one list of what the parts hold; they are of no use afterwards."""
    if len(parts) == 1:
        return parts[0]
    if _guest.is_guest():
        return [*chain.from_iterable(parts)]
    from hypern import _core

    return _core.gathered(parts)


def drive(
    make_flow: Callable[[], Flow], *, finish: bool, wait: Callable[[Flow], list[Arrived]] | None = None
) -> list[Any]:
    """Run all items of a flow and return the results in the order of the items.

    Raises what a failing chunk raised as soon as it is known, and never runs what was not started then; with
    ``finish``, runs everything first and raises for the first chunk that failed. An error of the iterable itself is
    raised as it is. ``wait`` is how to wait for chunks, or for space in the queue, where the flow itself does not.
    """
    wait = wait or Flow.take_back
    results: dict[int, list[Any]] = {}
    failures: dict[int, BaseException] = {}
    flow = make_flow()
    try:
        while True:
            while not flow.exhausted and len(flow.in_flight) < (room := flow.room()) and (chunk := flow.pull(room)):
                if not flow.push(chunk):
                    break
            if not flow.in_flight and not flow.unsent:
                break
            for index, _, values, error in wait(flow):
                failures.pop(index, None)
                if error is not None:
                    failures[index] = error
                elif values is not None:
                    results[index] = values
            if failures and not finish:
                break
        values = None  # Of the last chunk.
        if failures:
            raise failures[min(failures)]
        return _gathered([results.pop(index) for index in range(flow.chunks)])
    finally:
        flow.close()
        # The traceback of what is raised here refers to this frame.
        failures.clear()
