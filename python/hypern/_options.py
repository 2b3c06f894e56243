"""Options of single calls, and a pool seen through them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from hypern import _pool
from hypern._retry import Attempts, RetryingBatch, is_worth_another

if TYPE_CHECKING:
    from hypern import _core
    from hypern._batch import Batch
    from hypern._future import Future

#: What is more is a mistake: nothing waits between two attempts.
MOST_RETRIES = 100


class Options(NamedTuple):
    """What calls are to be made with."""

    #: Seconds that a call may run.
    timeout: float | None = None
    #: How often a call that failed is made again.
    retries: int = 0
    #: What makes it worth another attempt.
    retry_on: tuple[type[Exception], ...] = (Exception,)

    def chunk_size(self) -> int:
        """Return how many items a chunk holds where nobody says: one where the options are about single calls."""
        return 1 if self.timeout is not None or self.retries else 0

    def changed(self, **given: Any) -> Options:
        """Return the options with what is given, checked, in place of what was there; ``...`` leaves it."""
        new = {name: _CHECKS[name](value) for name, value in given.items() if value is not ...}
        return self._replace(**new)


def _checked_timeout(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"timeout must be a number of seconds or None, not {type(value).__name__}")
    if not value > 0 or math.isnan(value):
        raise ValueError(f"timeout must be more than 0 seconds, not {value}; None means no limit")
    return None if math.isinf(value) else float(value)


def _checked_retries(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"retries must be an int, not {type(value).__name__}")
    if not 0 <= value <= MOST_RETRIES:
        raise ValueError(f"retries must be between 0 and {MOST_RETRIES}, not {value}")
    return value


def _checked_retry_on(value: Any) -> tuple[type[Exception], ...]:
    kinds: tuple[Any, ...] = value if isinstance(value, tuple) else (value,)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise TypeError(f"retry_on must be a subclass of Exception or a tuple of them, not {value!r:.100}")
    return kinds


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "timeout": _checked_timeout,
    "retries": _checked_retries,
    "retry_on": _checked_retry_on,
}


class OptionsPool:
    """What runs calls of a pool, with options."""

    decides = True

    def __init__(self, pool: Any, options: Options) -> None:
        self._pool = pool
        self._options = options

    def run(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
        for _ in range(self._options.retries):
            try:
                return self._pool.run(function, args, kwargs, self._leash())
            except Exception as error:
                if not is_worth_another(error, self._options.retry_on):
                    raise
        return self._pool.run(function, args, kwargs, self._leash())

    def submit(
        self, future: Future[Any], function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None
    ) -> _core.Ticket | Attempts | None:
        if not self._options.retries:
            ticket: _core.Ticket | None = self._pool.submit(future, function, args, kwargs, self._leash())
            return ticket
        return Attempts(self._pool, future, (function, args, kwargs), self._options).submit()

    async def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
        for _ in range(self._options.retries):
            try:
                return await _pool.call(self._pool, function, args, kwargs, leash=self._leash())
            except Exception as error:
                if not is_worth_another(error, self._options.retry_on):
                    raise
        return await _pool.call(self._pool, function, args, kwargs, leash=self._leash())

    def batch(self, kind: int, function: Any, ordered: bool, letterbox: _core.Letterbox | None) -> Batch:
        timeout, retries, _ = self._options
        # A chunk that fails and is made again must not stop the others.
        batch = _pool.batch(
            self._pool, kind, function, ordered=ordered, letterbox=letterbox, stops=not retries, timeout=timeout
        )
        return RetryingBatch(batch, kind, self._options) if retries else batch

    def _leash(self) -> _core.Leash | None:
        timeout = self._options.timeout
        leash: _core.Leash | None = None if timeout is None else self._pool.leash(timeout)
        return leash
