"""The pool of ``backend="auto"``: a call leaves the shared interpreter only where the program cannot tell.

It has threads in this interpreter, and beside them, from the first call on that may leave, a pool of interpreters or of
processes. What a callable does to the outside decides (``_verdict``), then whether the arguments are plain data
(``_value_types``), then guards at the other end (``_unnoticed``). Where one of them objects, the call is made here. That
it was tried elsewhere did no harm: its effects were on copies.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

from hypern import _raised, _value_types, _wire, errors
from hypern._by_value import dumps_whole
from hypern._kind import CALL, CALLS
from hypern._route import Route, route, why_all_stay
from hypern._shipping import ship_path
from hypern._verdict import judge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hypern import _core
    from hypern._batch import Done
    from hypern._future import Future
    from hypern._verdict import Verdict

_log = logging.getLogger("hypern")


class Elsewhere(Exception):
    """A call cannot be made elsewhere without being noticed; ``lasting``: no call of that callable can."""

    def __init__(self, lasting: bool, reason: str) -> None:
        super().__init__(reason)
        self.lasting = lasting
        self.reason = reason


# What the core asks for, in place of what ``_shipping`` has for explicit backends


def task_error(error: BaseException) -> BaseException:
    """Return what a caller sees of what a task raised."""
    return error if isinstance(error, Elsewhere) else errors.as_task_error(error)


def decode(payload: Any, buffers: list[Any]) -> Any:
    """Return the result of a call. Raises Elsewhere where it would differ from what the callable returned."""
    try:
        return _value_types.loads(payload)
    except ValueError as error:
        raise Elsewhere(False, f"returned what {error}") from None


def decode_error(payload: Any, buffers: list[Any]) -> BaseException:
    """Return what a call raised, an Elsewhere where its guest objects."""
    told = _wire.plain.decode(payload) if _wire.plain is not None else NotImplemented
    if told is not NotImplemented:
        return Elsewhere(*told)
    error = _raised.decode_whole_error(payload)
    return Elsewhere(True, "raises what does not cross") if error is None else error


def encode(kind: int, function: Any, data: Any, apart: bool) -> tuple[bytes, list[memoryview], _core.Shipment]:
    """Encode a call or a chunk. Raises Elsewhere where something in it must stay."""
    try:
        if kind == CALLS:
            return _encode_calls(data), [], ship_path()
        if kind == CALL:
            args, kwargs = data
            if not args and not kwargs:
                return b"", [], ship_path()
        return _value_types.dumps(data), [], ship_path()
    except _value_types.NotPlain as refused:
        raise Elsewhere(False, f"is given {refused}, which may be shared or change") from None


def _encode_calls(calls: Sequence[tuple[Any, ...]]) -> bytes:
    numbers: dict[int, int] = {}
    functions: list[Any] = []
    rows: list[tuple[Any, ...]] = []
    for call in calls:
        function, *rest = _without_partial(*call[:2], call[2] if len(call) > 2 else None)
        number = numbers.setdefault(id(function), len(functions))
        if number == len(functions):
            functions.append(function)
        rows.append((number, *rest) if rest[1] else (number, rest[0]))
    payload, _ = _wire.dumps((dumps_whole(functions), _value_types.dumps(rows)))
    return payload


class _Shipped:
    """A callable in the form that crosses, right as long as the verdict is the same object."""

    __slots__ = ("function", "reference", "verdict")

    def __init__(self, reference: Any, verdict: Verdict, function: _core.Shipment) -> None:
        self.reference = reference
        self.verdict = verdict
        self.function = function


_shipped: dict[int, _Shipped] = {}


def ship(function: Any) -> _core.Shipment | None:
    """Return a callable in the form that is sent once to each worker. Raises Elsewhere where it cannot cross."""
    if function is None:
        return None
    from hypern._core import Shipment

    verdict = judge(function)
    known = _shipped.get(id(function))
    if known is not None and known.verdict is verdict and known.reference() is function:
        return known.function
    try:
        content = dumps_whole(function)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise Elsewhere(True, f"cannot be sent elsewhere: {_wire.describe(error)}") from error
    shipment = Shipment(_wire.KEPT + content)
    key, shipped = id(function), _shipped
    try:
        reference = weakref.ref(function, lambda _: shipped.pop(key, None))
    except TypeError:
        return shipment
    shipped[key] = _Shipped(reference, verdict, shipment)
    while len(shipped) > MOST_SHIPPED:
        shipped.pop(next(iter(shipped)), None)
    return shipment


# The pool


#: Callables whose form is remembered at most.
MOST_SHIPPED = 256
#: How long a ``map`` whose cost nobody knows runs here before the rest leaves, in seconds.
PATIENCE = 0.002
#: Seconds of work that an item must hold to be worth the trip, whatever it is.
LEAST = {"interpreters": 1.5e-6, "processes": 3e-6}
#: Work that a ``map`` does here before it opens a pool elsewhere, in seconds: less than opening one takes.
BEFORE_OPENING = 0.005


class AutoPool:
    """Has the outside of ``hypern._core.Pool``, and one more: ``explain``."""

    def __init__(self, shared: _core.Pool, backend: str, open_away: Callable[[], _core.Pool]) -> None:
        self.shared = shared
        self.backend = backend
        self._open_away = open_away
        #: Opened by the first call that may leave, under the lock.
        self._away: _core.Pool | None = None
        self._lock = threading.Lock()
        #: Why no pool could be opened.
        self._refused: str | None = None
        #: Callables that came back: by their verdicts, which are other objects when they have changed.
        self._came_back: dict[int, tuple[Verdict, str]] = {}

    # Where to

    def may_leave(self, function: Any) -> bool:
        """Tell whether calls of a callable may leave, as far as is known before one is made."""
        if self._refused is not None or not self.shared.is_open() or why_all_stay() is not None:
            return False
        verdict = judge(function)
        return verdict.leaves and id(verdict) not in self._came_back

    def explain(self, function: Any, data: Any = None) -> Route:
        """Return where a call would run, and why."""
        if self._refused is not None:
            return Route("threads", self._refused)
        found = route(function, self.backend)
        if found.backend == "threads":
            return found
        came_back = self._came_back.get(id(judge(function)))
        if came_back is not None:
            return found._replace(backend="threads", reason=f"was run elsewhere, and {came_back[1]}")
        if data is not None:
            try:
                encode(CALL, function, data, True)
                ship(function)
            except Elsewhere as elsewhere:
                return found._replace(backend="threads", reason=elsewhere.reason, advice="pass plain data")
        return found

    def away(self) -> _core.Pool | None:
        """Return the pool elsewhere, opened if need be; None where none can be opened."""
        if self._away is None and self._refused is None:
            with self._lock:
                if self._away is None and self._refused is None:
                    self._open()
        return self._away

    def _open(self) -> None:
        try:
            self._away = self._open_away()
        except (OSError, RuntimeError, ValueError) as error:
            self._refused = f"no pool of {self.backend} can be opened: {_wire.describe(error)}"
            _log.warning("hypern: %s; all calls run in threads", self._refused)

    def opened(self) -> bool:
        """Tell whether the pool elsewhere is there."""
        return self._away is not None

    def note(self, function: Any, back: BaseException) -> None:
        """Take note of why a call came back."""
        if not isinstance(back, Elsewhere):
            self._refused = f"the pool of {self.backend} is broken: {_wire.describe(back)}"
        elif back.lasting and function is not None:
            verdict = judge(function)
            self._came_back[id(verdict)] = verdict, back.reason
            while len(self._came_back) > MOST_SHIPPED:
                self._came_back.pop(next(iter(self._came_back)), None)

    # Calls

    def run(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Any:
        if not self.shared.is_current() and self.may_leave(function) and (away := self.away()) is not None:
            try:
                return away.run(*_without_partial(function, args, kwargs))
            except (Elsewhere, errors.BrokenPool) as back:
                self.note(function, back)
        return self.shared.run(function, args, kwargs)

    def submit(
        self, future: Future[Any], function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None
    ) -> _core.Ticket | None:
        if not self.shared.is_current() and self.may_leave(function) and (away := self.away()) is not None:
            errand = _Errand(self, future, function, args, kwargs)
            return away.submit(errand, *_without_partial(function, args, kwargs))  # type: ignore[arg-type]
        return self.shared.submit(future, function, args, kwargs)

    def batch(self, kind: int, function: Any) -> _core.Batch | AutoBatch:
        shared = self.shared.batch(kind, function)
        if self.shared.is_current():
            return shared
        if kind != CALLS and not (self.may_leave(function) and _holds_nothing_mutable(function)):
            return shared
        return AutoBatch(self, kind, function, shared)

    # Life

    def _pools(self) -> list[_core.Pool]:
        return [self.shared] if self._away is None else [self.shared, self._away]

    def is_current(self) -> bool:
        return any(pool.is_current() for pool in self._pools())

    def is_open(self) -> bool:
        return self.shared.is_open()

    def close(self, cancel: bool) -> None:
        with self._lock:
            if self._away is None and self._refused is None:
                self._refused = "the executor is shut down"
        for pool in self._pools():
            pool.close(cancel)

    def wait_ended(self, timeout: float | None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        for pool in self._pools():
            if not pool.wait_ended(None if deadline is None else max(0.0, deadline - time.monotonic())):
                return False
        return True

    def live(self) -> int:
        return max(pool.live() for pool in self._pools())

    def pending(self) -> int:
        return sum(pool.pending() for pool in self._pools())


def _without_partial(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None
) -> tuple[Any, tuple[Any, ...], dict[str, Any] | None]:
    """Return a call with the arguments that a partial holds among the others, so that they are watched too."""
    while type(function) is functools.partial:
        args = (*function.args, *args)
        kwargs = {**function.keywords, **(kwargs or {})} or None
        function = function.func
    return function, args, kwargs


def _holds_nothing_mutable(function: Any) -> bool:
    """Tell whether a callable carries no arguments that a call may change."""
    while type(function) is functools.partial:
        if any(type(value) in (list, dict, set, bytearray, tuple) for value in _carried(function)):
            return False
        function = function.func
    return True


def _carried(function: functools.partial[Any]) -> tuple[Any, ...]:
    return (*function.args, *function.keywords.values())


class _Errand:
    """Stands for a future while its call is elsewhere; makes the call here where that was in vain."""

    def __init__(
        self,
        pool: AutoPool,
        future: Future[Any],
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
    ) -> None:
        self._pool = pool
        self._future = future
        self._call = function, args, kwargs
        self._started = False

    def set_running_or_notify_cancel(self) -> bool:
        if not self._started:
            self._started = self._future.set_running_or_notify_cancel()
        return self._started

    def cancel(self) -> bool:
        return self._future.cancel()

    def set_result(self, result: Any) -> None:
        self._future.set_result(result)

    def set_exception(self, error: BaseException) -> None:
        if not isinstance(error, (Elsewhere, errors.BrokenPool)):
            self._future.set_exception(error)
            return
        self._pool.note(self._call[0], error)
        try:
            self._pool.shared.submit(self, *self._call)  # type: ignore[arg-type]
        except RuntimeError as refused:
            if self.set_running_or_notify_cancel():
                self._future.set_exception(refused)


class AutoBatch:
    """The chunks of one call: the first here, the rest elsewhere if that is worth it.

    Nobody knows what an item costs before one has run. So chunks run here, one at a time, until what they cost is
    known or ``PATIENCE`` is over.
    """

    def __init__(self, pool: AutoPool, kind: int, function: Any, shared: _core.Batch) -> None:
        self._pool = pool
        self._kind = kind
        self._function = function
        self._shared = shared
        self._away: _core.Batch | None = None
        #: None while nobody knows.
        self._leaves: bool | None = None
        #: Everything that was pushed: where one chunk comes back, all are run again, in order.
        self._pushed: list[Sequence[Any]] = []
        #: Seconds that chunks have run here.
        self._spent = 0.0

    def room(self) -> int:
        return self._away.room() if self._leaves and self._away is not None else 1

    def push(self, index: int, items: Sequence[Any]) -> None:
        self._pushed.append(items)
        if self._leaves and self._away is not None and self._all_may_leave(items):
            try:
                self._away.push(index, items)
                return
            except (Elsewhere, errors.BrokenPool) as back:
                self._pool.note(None, back)
                if self._kind != CALLS:
                    self._leaves = False
        self._shared.push(index, items)

    def wait(self) -> list[Done]:
        if self._leaves is not None:
            done = self._shared.wait()
        else:
            done = self._shared.wait(PATIENCE)
            self._decide(done)
        for _, _, _, error in done:
            if isinstance(error, (Elsewhere, errors.BrokenPool)):
                self._pool.note(self._function, error)
                return self._all_again()
        return done

    def cancel(self) -> None:
        self._shared.cancel()
        self._pushed = []

    def _all_may_leave(self, items: Sequence[Any]) -> bool:
        return self._kind != CALLS or all(self._pool.may_leave(call[0]) for call in items)

    def _decide(self, done: list[Done]) -> None:
        """Decide by what has run here, or by its not having ended."""
        for index, _, seconds, error in done:
            if error is not None:
                return
            self._spent += seconds
            each = seconds / max(1, len(self._pushed[index]))
            if each < LEAST[self._pool.backend]:
                self._leaves = False if seconds > PATIENCE / 10 else None
                return
        if done and not self._pool.opened() and self._spent < BEFORE_OPENING:
            return
        away = self._pool.away()
        self._leaves = away is not None
        if away is not None:
            try:
                self._away = self._shared.beside(away)
            except Elsewhere as elsewhere:
                self._pool.note(self._function, elsewhere)
                self._leaves = False

    def _all_again(self) -> list[Done]:
        """Run everything here that was pushed, in order, as what ran elsewhere may have met what did not happen there."""
        self._shared.cancel()
        self._shared, self._away, self._leaves = self._pool.shared.batch(self._kind, self._function), None, False
        done: list[Done] = []
        for index, items in enumerate(self._pushed):
            self._shared.push(index, items)
            done += self._shared.wait()
            if done[-1][3] is not None and self._kind != CALLS:
                break
        return done
