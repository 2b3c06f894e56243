"""The pool of an executor inside a guest: it has no workers and runs each call where it is made.

A module that makes an executor when it is imported can therefore be imported by a worker, and a task may call the
executor it runs on: the cores are already in use by the workers outside.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from hypern._chunk import run_chunk
from hypern._route import Route
from hypern._stats import Stats
from hypern._stop import StopTask
from hypern.errors import as_task_error, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypern._batch import Done
    from hypern._future import Settled


class InPlacePool:
    """Has the outside of ``hypern._core.Pool``."""

    decides = True

    def __init__(self) -> None:
        self._open = True

    def leash(self, timeout: float | None = None) -> None:
        """Return nothing: who could stop a call is outside, and stops the task that makes it."""

    def run(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None, leash: None = None
    ) -> Any:
        self._check_open()
        try:
            return function(*args, **(kwargs or {}))
        except StopTask:
            raise  # It is meant for the task that makes the call.
        except BaseException as error:
            raise as_task_error(error)  # noqa: B904 - it has its cause.

    def submit(
        self,
        future: Settled,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        leash: None = None,
        *,
        again: bool = False,
    ) -> None:
        self._check_open()
        future.set_running_or_notify_cancel()
        try:
            result = function(*args, **(kwargs or {}))
        except StopTask:
            raise
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    async def call(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None, leash: None = None
    ) -> Any:
        return self.run(function, args, kwargs)

    def batch(
        self,
        kind: int,
        function: Any,
        ordered: bool = True,
        letterbox: Any = None,
        *,
        stops: bool = True,
        timeout: float | None = None,
    ) -> InPlaceBatch:
        self._check_open()
        return InPlaceBatch(kind, function)

    def is_current(self) -> bool:
        return True

    def close(self, cancel: bool) -> None:
        self._open = False

    def wait_ended(self, timeout: float | None) -> bool:
        return True

    def live(self) -> int:
        return 0

    def pending(self) -> int:
        return 0

    def explain(self, _function: Any, _call: Any) -> Route:
        return Route("threads", "a worker runs it in place")

    def stats(self) -> Stats:
        return Stats({}, {})

    def is_open(self) -> bool:
        return self._open

    def _check_open(self) -> None:
        if not self._open:
            raise refused(None)


class InPlaceBatch:
    """Has the outside of ``hypern._core.Batch``; a chunk is done when it has been pushed."""

    def __init__(self, kind: int, function: Any) -> None:
        self._kind = kind
        self._function = function
        self._done: list[Done] = []

    def push(self, index: int, items: Any, again: bool = False) -> bool:
        began = time.perf_counter()
        results, failure = None, None
        try:
            results = run_chunk(self._kind, self._function, items)
        except StopTask:
            raise
        except BaseException as error:
            failure = as_task_error(error)
        self._done.append((index, results, time.perf_counter() - began, failure))
        return True

    def wait(self, timeout: float | None = None) -> list[Done]:
        done, self._done = self._done, []
        return done

    def cancel(self) -> None:
        self._done.clear()

    def room(self) -> int:
        return 1

    def decides_in(self) -> None:
        pass
