"""The results of ``imap``: given out one by one while the rest is computed, never further ahead than asked for."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from hypern.errors import TaskError, WorkerCrashed, as_task_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor
    from typing import Self

    from hypern._batch import Flow

T = TypeVar("T")

#: Most items of a chunk whose size nobody chose: results that wait to be given out may be large.
LARGEST = 256


class _Raise:
    """The last result: what is raised in its place."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Stream:
    """What a flow gives out, in which order, and how far ahead it may be. Whoever drives it does the waiting.

    ``buffer`` is the number of items that may be pulled and not given out; 0 allows twice as many chunks as are in
    flight. With ``catches``, an exception is given out in the place of the result that is missing.
    """

    def __init__(self, flow: Flow, *, ordered: bool, buffer: int, catches: bool) -> None:
        self._flow = flow
        self._ordered = ordered
        self._buffer = buffer
        self._catches = catches
        self._process = os.getpid()
        #: Results that are to be given out next, and the chunks that they came in.
        self._ready: deque[Any] = deque()
        self._ready_chunks = 0
        #: Results of chunks that are done before their turn, by their index.
        self._early: dict[int, list[Any]] = {}
        #: Items of such chunks that are run again.
        self._again: dict[int, int] = {}
        #: The chunk whose turn it is.
        self._turn = 0
        #: Items whose results have become ready.
        self._passed = 0
        #: What is raised when all that was handed out has been given out.
        self._end: Exception | None = None
        self._closed = False

    def has_result(self) -> bool:
        """Tell whether ``give`` gives something."""
        return bool(self._ready)

    def decides_in(self) -> float | None:
        """Return in how many seconds to advance, if nothing has come by then; None: when something has."""
        return self._flow.decides_in()

    def is_over(self) -> bool:
        """Tell whether nothing more comes."""
        flow = self._flow
        more = self._end is not None or flow.unsent or not flow.exhausted
        return self._closed or not (self._ready or flow.in_flight or more)

    def give(self) -> Any:
        """Return the next result or raise what stands in its place."""
        result = self._ready.popleft()
        if type(result) is not _Raise:
            return result
        self.close()
        try:
            raise carried(result.error)
        finally:
            del result

    def advance(self, timeout: float | None = None) -> None:
        """Hand out what there is room for, and take what is done; wait for that, at most ``timeout`` seconds."""
        if os.getpid() != self._process:
            raise RuntimeError("the results belong to the process that asked for them; ask again in the forked one")
        if self._closed:
            return
        self._ready_chunks = bool(self._ready)
        self._hand_out()
        if self._flow.in_flight:
            for index, items, results, error in self._flow.take_back(timeout):
                if results is None and error is None:
                    # It was given to nobody.
                    self._again[index] = len(self._early.pop(index))
                else:
                    self._arrive(index, self._in_place(self._again.pop(index, items), results, error))
            # What is ready is given out while workers go on.
            self._hand_out()
        if self._end is not None and not self._ready and not self._flow.in_flight:
            self._ready.append(_Raise(self._end))

    def close(self, getpid: Callable[[], int] = os.getpid) -> None:
        """Cancel what has not been started, and forget the rest; also when the modules have been taken apart."""
        if self._closed:
            return
        self._closed = True
        self._ready.clear()
        self._early.clear()
        # A forked child has none of the threads that would let go of the locks.
        if getpid() == self._process:
            self._flow.close()

    def _hand_out(self) -> None:
        flow = self._flow
        if any(map(_fails, self._early.values())) or _fails(self._ready):
            return
        while self._end is None and not flow.exhausted and len(flow.in_flight) < (room := flow.room()):
            most = self._most(room)
            if most < 1 and not flow.unsent:
                break
            try:
                chunk = flow.pull(room, most)
            except Exception as error:  # The iterable's.
                self._end = error
                break
            if not chunk:
                break
            try:
                if not flow.push(chunk):
                    break
            except TaskError as error:  # Of an item that cannot be sent.
                if len(chunk) > 1:
                    flow.unsent.extendleft(chunk[place : place + 1] for place in reversed(range(len(chunk))))
                else:
                    self._arrive(flow.refuse(chunk), self._in_place(1, None, error))
            except Exception as error:  # The pool takes nothing more.
                self._end = error

    def _most(self, room: int) -> int:
        """Return how many items may be pulled for the next chunk."""
        if not self._buffer:
            chunks = len(self._flow.in_flight) + len(self._early) + self._ready_chunks
            return sys.maxsize if chunks < 2 * room else 0
        held = self._flow.pulled - self._passed + len(self._ready)
        # A large chunk would leave nothing for the other workers.
        return min(self._buffer - held, max(1, self._buffer // room))

    def _arrive(self, index: int, results: list[Any]) -> None:
        if not self._ordered:
            self._pass(results)
            return
        self._early[index] = results
        while self._turn in self._early:
            self._pass(self._early.pop(self._turn))
            self._turn += 1

    def _pass(self, results: list[Any]) -> None:
        if _fails(self._ready):
            return
        self._passed += len(results)
        self._ready_chunks += 1
        self._ready.extend(results)

    def _in_place(self, items: int, results: Any, error: BaseException | None) -> list[Any]:
        """Return the results of a chunk with what stands in the place of those that are missing."""
        if error is not None:
            is_of_task = isinstance(error, (TaskError, WorkerCrashed))
            return [error] * items if self._catches and is_of_task else [_Raise(error)]
        values: list[Any]
        values, failures = results
        for place, told in failures.items():
            if not self._catches:
                place = min(failures)  # noqa: PLW2901 - what comes after the first one is not given out.
                return [*values[:place], _Raise(opened(failures[place]))]
            values[place] = opened(told)
        return values


def _fails(results: Sequence[Any]) -> bool:
    """Tell whether the last of some results is raised."""
    return bool(results) and type(results[-1]) is _Raise


def opened(told: BaseException | bytes) -> BaseException:
    """Return what the caller sees of a failure that was caught in a chunk."""
    if isinstance(told, bytes):
        from hypern._raised import decode_error  # Loaded by the first failure.

        told = decode_error(told, [])
    return as_task_error(told)


def carried(error: BaseException) -> BaseException:
    """Return an error that an iterator may raise without seeming to have come to its end."""
    if not isinstance(error, (StopIteration, StopAsyncIteration)):
        return error
    told = TaskError(f"{type(error).__qualname__}: {error}")
    told.__cause__ = error.__cause__ or error
    return told


class Results(Iterator[T]):
    """The results of ``imap``, pulled and computed as they are asked for.

    Closing them (``close``, ``with``, or letting go of them) cancels what has not been started. One thread at a time
    may use them.
    """

    def __init__(self, stream: Stream, executor: Executor) -> None:
        self._stream = stream
        #: Whoever lets go of an executor shuts it down: kept until the results are closed.
        self._executor: Executor | None = executor

    def __next__(self) -> T:
        """Return the next result; raise what its call raised."""
        stream = self._stream
        try:
            while not stream.has_result() and not stream.is_over():
                stream.advance()
        except BaseException:
            self.close()
            raise
        if stream.has_result():
            return stream.give()
        self.close()
        raise StopIteration

    def close(self) -> None:
        """Cancel what has not been started, and give out nothing more."""
        self._stream.close()
        self._executor = None

    def __enter__(self) -> Self:
        """Return the results themselves."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the results."""
        self.close()

    def __del__(self) -> None:
        """Close the results."""
        stream = getattr(self, "_stream", None)
        if stream is not None:
            stream.close()
