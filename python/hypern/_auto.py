"""The pool of ``backend="auto"``: a call leaves the shared interpreter only where the program cannot tell.

It has threads in this interpreter, and beside them, from the first call on that may leave, a pool of interpreters or
processes. What a callable does to the outside decides (``_verdict``), then whether the arguments are plain data
(``_value_types``), then guards at the other end (``_unnoticed``). Where one of them objects, the call is made here.
That it was tried elsewhere did no harm: its effects were on copies.
"""

from __future__ import annotations

import contextvars
import functools
import logging
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from hypern import _wire, errors
from hypern._auto_batch import AutoBatch
from hypern._crossing import COMES_BACK, Elsewhere, encode, holds_nothing_mutable, ship, without_partial
from hypern._in_place import InPlacePool
from hypern._kind import CALL, CALLS
from hypern._route import Route, route, why_all_stay
from hypern._stats import Stats, of_backend
from hypern._verdict import judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypern import _core
    from hypern._future import Settled
    from hypern._verdict import Verdict

_log = logging.getLogger("hypern")


class AutoPool:
    """Has the outside of ``hypern._core.Pool``, and one more: ``explain``."""

    decides = True

    def __init__(
        self, shared: _core.Pool, backend: str, open_away: Callable[[], _core.Pool], refused: str | None
    ) -> None:
        self.shared = shared
        self.backend = backend
        self._open_away = open_away
        #: Opened by the first call that may leave, under the lock.
        self._away: _core.Pool | None = None
        #: A signal handler may come here while its thread holds it.
        self._lock = threading.RLock()
        self._opening = False
        #: Settings of the interpreter that the pool elsewhere began with.
        self._settings: tuple[int, int] | None = None
        #: Why nothing leaves.
        self._refused = refused
        #: Reasons why calls came back.
        self._reasons: Counter[str] = Counter()

    # Where to

    def may_leave(self, function: Any) -> bool:
        """Tell whether calls of a callable may leave, as far as is known before one is made."""
        return self._leaving(function) is not None

    def _leaving(self, function: Any) -> Verdict | None:
        """Return the verdict on a callable whose calls may leave, None where they stay."""
        if self._refused is not None or not self.shared.is_open() or self._why_all_stay() is not None:
            return None
        verdict = judge(function)
        return verdict if verdict.leaves and not verdict.came_back else None

    def _why_all_stay(self) -> str | None:
        if self._settings is not None:
            depth, digits = self._settings
            # A call that needs a deeper stack than there is elsewhere comes back by itself.
            if sys.getrecursionlimit() < depth or sys.get_int_max_str_digits() != digits:
                return "the recursion limit, or that of digits, is not what the pool elsewhere was opened with"
        return why_all_stay()

    def explain(self, function: Any, call: Any = ((), None)) -> Route:
        """Return where a call with those arguments would run, and why."""
        reason = self._refused or self._why_all_stay()
        if reason is not None:
            return Route("threads", reason)
        found = route(function, self.backend)
        if found.backend == "threads":
            return found
        function, *data = without_partial(function, *call)
        try:
            ship(function)
            encode(CALL, function, data, True)
        except Elsewhere as elsewhere:
            return found._replace(backend="threads", reason=elsewhere.reason)
        return found

    def away(self) -> _core.Pool | None:
        """Return the pool elsewhere, opened if need be; None where none can be opened."""
        if self._away is None and self._refused is None:
            with self._lock:
                if self._away is None and self._refused is None and not self._opening:
                    self._opening = True
                    try:
                        self._open()
                    finally:
                        self._opening = False
        return self._away

    def _open(self) -> None:
        try:
            self._settings = _interpreter_settings()
            away = self._open_away()
        except (OSError, RuntimeError, ValueError) as error:
            if self._refused is None:
                self._refused = f"no pool of {self.backend} can be opened: {_wire.describe(error)}"
                if self.shared.is_open():
                    _log.warning("hypern: %s; all calls run in threads", self._refused)
            return
        self._away = away
        if self._refused is not None:  # Shut down meanwhile, by a signal handler.
            away.close(False)

    def opened(self) -> bool:
        """Tell whether the pool elsewhere is there."""
        return self._away is not None

    def note(self, function: Any, back: BaseException) -> None:
        """Take note of why a call came back."""
        self._reasons[str(back)] += 1
        if isinstance(back, errors.BrokenPool):
            self._refused = self._refused or f"the pool of {self.backend} is broken: {_wire.describe(back)}"
        elif isinstance(back, Elsewhere) and back.lasting and function is not None:
            judge(function).came_back = back.reason

    def is_worth(self, function: Any) -> bool:
        """Tell whether calls of a callable were found to be worth the trip, and may leave."""
        return judge(function).worth and self.may_leave(function)

    # Calls

    def leash(self, timeout: float | None = None) -> _core.Leash:
        return self.shared.leash(timeout)

    def run(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        leash: _core.Leash | None = None,
    ) -> Any:
        leaving = None if self.shared.is_current() else self._leaving(function)
        if leaving is not None and (away := self.away()) is not None:
            try:
                return away.run(*_packed(away, leaving, function, args, kwargs), leash)
            except COMES_BACK as back:
                self.note(function, back)
            except errors.QueueFull as full:
                raise _given_back(full, function, args, kwargs) from None
            try:
                return self.shared.run(function, args, kwargs, leash)
            except errors.ShutdownError:
                # It was accepted before the pool was shut down.
                return InPlacePool().run(function, args, kwargs)
        return self.shared.run(function, args, kwargs, leash)

    def submit(
        self,
        future: Settled,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        leash: _core.Leash | None = None,
        *,
        again: bool = False,
    ) -> _core.Ticket | None:
        leaving = None if self.shared.is_current() else self._leaving(function)
        if leaving is not None and (away := self.away()) is not None:
            leash = leash or self.leash()
            errand = _Errand(self, future, (function, args, kwargs), leash)
            try:
                ticket = away.submit(errand, *_packed(away, leaving, function, args, kwargs), leash)
            except COMES_BACK as back:
                self.note(function, back)
            except errors.QueueFull as full:
                raise _given_back(full, function, args, kwargs) from None
            else:
                return ticket or errand.ticket
        return self.shared.submit(future, function, args, kwargs, leash, again=again)

    def batch(
        self,
        kind: int,
        function: Any,
        ordered: bool = True,
        letterbox: _core.Letterbox | None = None,
        *,
        stops: bool = True,
        timeout: float | None = None,
    ) -> _core.Batch | AutoBatch:
        if self.shared.is_current() or (
            kind != CALLS and not (self.may_leave(function) and holds_nothing_mutable(function))
        ):
            return self.shared.batch(kind, function, stops, letterbox, timeout)
        # A chunk that comes back is no failure, and must not stop the others.
        shared = self.shared.batch(kind, function, False, letterbox, timeout)
        return AutoBatch(self, kind, function, shared, ordered)

    async def call(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        leash: _core.Leash | None = None,
    ) -> Any:
        from hypern._async import desk  # Only programs that use asyncio come here.

        leaving = None if self.shared.is_current() else self._leaving(function)
        if leaving is not None and (away := self.away()) is not None:
            try:
                return await desk().call(away, *_packed(away, leaving, function, args, kwargs), leash)
            except COMES_BACK as back:
                self.note(function, back)
            except errors.QueueFull as full:
                raise _given_back(full, function, args, kwargs) from None
            try:
                return await desk().call(self.shared, function, args, kwargs, leash)
            except errors.ShutdownError:
                # It was accepted before the pool was shut down.
                return InPlacePool().run(function, args, kwargs)
        return await desk().call(self.shared, function, args, kwargs, leash)

    def stats(self) -> Stats:
        backends = {"threads": of_backend(self.shared)}
        if self._away is not None:
            backends[self.backend] = of_backend(self._away)
        return Stats(backends, dict(self._reasons))

    # Life

    def pools(self) -> list[_core.Pool]:
        """Return the pool here, and the one elsewhere where it is opened."""
        return [self.shared] if self._away is None else [self.shared, self._away]

    def is_current(self) -> bool:
        return any(pool.is_current() for pool in self.pools())

    def is_open(self) -> bool:
        return self.shared.is_open()

    def close(self, cancel: bool) -> None:
        with self._lock:
            if self._away is None and self._refused is None:
                self._refused = "the executor is shut down"
        for pool in self.pools():
            pool.close(cancel)

    def wait_ended(self, timeout: float | None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        # Calls come back to the shared one.
        for pool in reversed(self.pools()):
            if not pool.wait_ended(None if deadline is None else max(0.0, deadline - time.monotonic())):
                return False
        return True

    def live(self) -> int:
        return max(pool.live() for pool in self.pools())

    def pending(self) -> int:
        return sum(pool.pending() for pool in self.pools())


def _packed(
    away: _core.Pool, verdict: Verdict, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None
) -> tuple[Any, tuple[Any, ...], dict[str, Any] | None]:
    """Return a call in the form that the pool elsewhere takes. Raises Elsewhere where it has none."""
    if away.is_current():
        return function, args, kwargs
    if type(function) is functools.partial:
        function, args, kwargs = without_partial(function, args, kwargs)
        return (function, ship(function)), args, kwargs
    return (function, verdict.shipped or ship(function)), args, kwargs


def _given_back(
    full: errors.QueueFull, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None
) -> errors.QueueFull:
    """Return the error with the call as it was made, and not in the form that crosses."""
    return errors.QueueFull(str(full), full.size, (function, args, kwargs or {}))


def _interpreter_settings() -> tuple[int, int]:
    return sys.getrecursionlimit(), sys.get_int_max_str_digits()


class _Errand:
    """Stands for a future while its call is elsewhere, and makes the call at home where that was in vain.

    A call that has started is made where it comes back, on the thread of a worker, as callbacks are: nothing that it
    would have to wait for can wait for it.
    """

    def __init__(
        self,
        pool: AutoPool,
        future: Settled,
        call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any] | None],
        leash: _core.Leash,
    ) -> None:
        self._pool = pool
        self._future = future
        self._call = call
        #: Holds the call wherever it is made.
        self._leash = leash
        self._context = contextvars.copy_context()
        self._started = False
        #: Of the call at home, where it never left.
        self.ticket: _core.Ticket | None = None

    def set_running_or_notify_cancel(self) -> bool:
        self._started = self._future.set_running_or_notify_cancel()
        return self._started

    def cancel(self) -> bool:
        return self._future.cancel()

    def set_result(self, result: Any) -> None:
        self._future.set_result(result)

    def set_exception(self, error: BaseException) -> None:
        if not isinstance(error, COMES_BACK):
            self._future.set_exception(error)
            return
        self._pool.note(self._call[0], error)
        if self._started:
            self._context.run(self._pool.shared.settle_here, self._future, *self._call, self._leash)
        else:
            self.ticket = self._pool.shared.submit(self._future, *self._call, self._leash)
