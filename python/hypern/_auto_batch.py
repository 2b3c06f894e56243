"""The chunks of one ``map`` or ``run_parallel`` under ``backend="auto"``: here, or elsewhere if that is worth it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypern import errors
from hypern._crossing import Elsewhere
from hypern._kind import CALLS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hypern import _core
    from hypern._auto import AutoPool
    from hypern._batch import Done

#: How long a chunk whose cost nobody knows runs here before the rest leaves, in seconds.
PATIENCE = 0.002
#: A chunk that ran for less than this many seconds tells nothing about the cost of an item.
CONCLUSIVE = 0.0002
#: Seconds of work that an item must hold to be worth the trip, whatever it is.
LEAST = {"interpreters": 1.5e-6, "processes": 3e-6}
#: Work that is done here before a pool is opened elsewhere, in seconds: less than opening one takes.
BEFORE_OPENING = 0.005


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
        if self._leaves is None and self._pool.opened() and all(map(self._pool.is_worth, self._functions(items))):
            self._leave()
        if self._leaves and self._away is not None and self._all_may_leave(items):
            try:
                self._away.push(index, items)
            except (Elsewhere, errors.BrokenPool) as back:
                self._pool.note(None, back)
                if self._kind != CALLS:
                    self._leaves = False
            else:
                return
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

    def _functions(self, items: Sequence[Any]) -> Iterable[Any]:
        return (self._function,) if self._kind != CALLS else (call[0] for call in items)

    def _all_may_leave(self, items: Sequence[Any]) -> bool:
        return self._kind != CALLS or all(map(self._pool.may_leave, self._functions(items)))

    def _decide(self, done: list[Done]) -> None:
        """Decide by what has run here, or by its not having ended."""
        for index, _, seconds, error in done:
            if error is not None:
                return
            self._spent += seconds
            if seconds < CONCLUSIVE:
                return
            if seconds < LEAST[self._pool.backend] * len(self._pushed[index]):
                self._leaves = False
                return
        if done and not self._pool.opened() and self._spent < BEFORE_OPENING:
            return
        self._leave()
        for function in self._functions(self._pushed[0]):
            self._pool.note_worth(function)

    def _leave(self) -> None:
        away = self._pool.away()
        self._leaves = away is not None
        if away is not None:
            try:
                self._away = self._shared.beside(away)
            except Elsewhere as elsewhere:
                self._pool.note(self._function, elsewhere)
                self._leaves = False

    def _all_again(self) -> list[Done]:
        """Run everything here that was pushed, in order: what ran elsewhere may have missed what an earlier one did."""
        self._shared.cancel()
        self._shared, self._away, self._leaves = self._pool.shared.batch(self._kind, self._function), None, False
        done: list[Done] = []
        for index, items in enumerate(self._pushed):
            self._shared.push(index, items)
            done += self._shared.wait()
            if done[-1][3] is not None and self._kind != CALLS:
                break
        return done
