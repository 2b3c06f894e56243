"""The chunks of one ``map`` or ``run_parallel`` under ``backend="auto"``: here, or elsewhere if that is worth it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from hypern import errors
from hypern._batch import PATIENCE
from hypern._crossing import COMES_BACK, decode_failures
from hypern._in_place import InPlaceBatch
from hypern._kind import CALLS, CAUGHT
from hypern._verdict import judge

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hypern import _core
    from hypern._auto import AutoPool
    from hypern._batch import Done

#: A chunk that ran for less than this many seconds tells nothing about the cost of an item.
CONCLUSIVE = 0.0002
#: Seconds of work that an item must hold to be worth the trip, whatever it is.
LEAST = {"interpreters": 1.5e-6, "processes": 3e-6}
#: Work that is done here before a pool is opened elsewhere, in seconds: less than opening one takes.
BEFORE_OPENING = 0.005


class AutoBatch:
    """The chunks of one call: the first here, the rest elsewhere if that is worth it.

    Nobody knows what an item costs before one has run. So chunks run here, one at a time, until what they cost is
    known or ``PATIENCE`` is over. Where a chunk of ``map`` shows later that its items are worth no trip, the rest
    stays, and where one shows that they are, the rest leaves.

    Where a chunk comes back, it is run here, and with it all that ran elsewhere and come after it: one of those may
    have missed what it changed. What ran here is never run again. Where the caller takes results in any order
    (``ordered`` is false), what was given to it stays as it is.
    """

    def __init__(self, pool: AutoPool, kind: int, function: Any, shared: _core.Batch, ordered: bool) -> None:
        self._pool = pool
        self._kind = kind
        self._function = function
        self._shared = shared
        self._ordered = ordered
        self._away: _core.Batch | None = None
        #: None while nobody knows.
        self._leaves: bool | None = None
        #: Whether the rest stays because of what items cost, and for no other reason.
        self._is_cheap = False
        #: Chunks in flight, by the numbers under which the core knows them: index, items, whether it went elsewhere.
        self._flight: dict[int, tuple[int, Sequence[Any], bool]] = {}
        self._last = 0
        #: Chunks that were done elsewhere while one that comes before them was still in flight there.
        self._done_away: dict[int, Sequence[Any]] = {}
        #: Seconds that chunks have run here while nobody knew.
        self._spent = 0.0
        #: Until when the last chunk that was handed out while nobody knew may take, before that tells enough.
        self._until = 0.0
        #: Chunks that are run again; nothing more is handed out meanwhile, as it may depend on them.
        self._running_again: set[int] = set()
        self._room = 1

    def room(self) -> int:
        return 0 if self._running_again else self._room

    def push(self, index: int, items: Sequence[Any], again: bool = False) -> bool:
        if self._leaves is None and self._pool.opened() and all(map(self._pool.is_worth, self._functions(items))):
            self._leave()
        if self._leaves and self._away is not None and self._may_leave(items):
            try:
                return self._is_accepted(self._away.push(self._number(index, items, away=True), items, again))
            except COMES_BACK as back:
                self._flight.pop(self._last)
                self._note(items, back)
        # A large one takes long even where its items are worth no trip.
        self._until = time.perf_counter() + max(PATIENCE, LEAST[self._pool.backend] * len(items))
        return self._push_here(index, items, again=again)

    def wait(self, timeout: float | None = None) -> list[Done]:
        if self._leaves is not None:
            return self._take(self._shared.wait(timeout))
        left = max(0.0, self._until - time.perf_counter())
        letters = self._shared.wait(left if timeout is None else min(left, timeout))
        if letters or time.perf_counter() >= self._until:
            self._decide(letters)
        return self._take(letters)

    def decides_in(self) -> float | None:
        return None if self._leaves is not None else max(0.0, self._until - time.perf_counter())

    def cancel(self) -> None:
        self._shared.cancel()
        self._flight.clear()
        self._done_away.clear()

    def _number(self, index: int, items: Sequence[Any], *, away: bool) -> int:
        self._last += 1
        self._flight[self._last] = index, items, away
        # It may have been done elsewhere before: one who makes failed chunks again hands it out once more.
        self._done_away.pop(index, None)
        return self._last

    def _push_here(self, index: int, items: Sequence[Any], *, again: bool = False) -> bool:
        return self._is_accepted(self._shared.push(self._number(index, items, away=False), items, again))

    def _is_accepted(self, accepted: bool) -> bool:
        if not accepted:
            del self._flight[self._last]
        return accepted

    def _take(self, letters: list[Done]) -> list[Done]:
        """Return the chunks that are done; run again what came back, and what it may have changed."""
        done: list[Done] = []
        back: set[int] = set()
        for number, results, seconds, error in letters:
            chunk = self._flight.pop(number, None)
            if chunk is None:
                continue  # It is run again here.
            index, items, away = chunk
            self._running_again.discard(index)
            if away and results is not None and self._kind in CAUGHT:
                error = decode_failures(results)  # noqa: PLW2901 - one more reason to come back.
            if away and isinstance(error, COMES_BACK):
                self._note(items, error)
                back.add(index)
                self._done_away[index] = items
                continue
            if away and self._ordered:
                self._done_away[index] = items
            if error is None and seconds >= CONCLUSIVE and self._kind != CALLS:
                self._weigh(seconds < LEAST[self._pool.backend] * len(items), away)
            done.append((index, results, seconds, error))
        if back:
            return [*(each for each in done if each[0] < min(back)), *self._again(back, done)]
        before = min((index for index, _, away in self._flight.values() if away), default=None)
        self._done_away = {
            index: items for index, items in self._done_away.items() if before is not None and index > before
        }
        return done

    def _again(self, back: set[int], done: list[Done]) -> list[Done]:
        """Run again what came back and all that may depend on it; return what else is done, and what is so no more."""
        first = min(back)
        again = {index: items for index, items in self._done_away.items() if index >= first}
        for number, (index, items, away) in list(self._flight.items()):
            if away and index >= first:
                again[index] = items
                del self._flight[number]
        kept = [each for each in done if each[0] >= first and each[0] not in again]
        told = {index for index, *_ in done}
        kept += [(index, None, 0.0, None) for index in self._done_away if index >= first and index not in told | back]
        self._done_away = {index: items for index, items in self._done_away.items() if index < first}
        if self._kind != CALLS:
            self._leaves, self._is_cheap, self._room = False, False, self._shared.room()
        for index in sorted(again):
            try:
                self._push_here(index, again[index], again=True)
            except errors.ShutdownError:
                # It was accepted before the pool was shut down.
                in_place = InPlaceBatch(self._kind, self._function)
                in_place.push(index, again[index])
                self._flight.pop(self._last)
                kept += in_place.wait()
            else:
                self._running_again.add(index)
        return kept

    def _functions(self, items: Sequence[Any]) -> Iterable[Any]:
        return (self._function,) if self._kind != CALLS else (call[0] for call in items)

    def _may_leave(self, items: Sequence[Any]) -> bool:
        return self._kind != CALLS or all(map(self._pool.may_leave, self._functions(items)))

    def _note(self, items: Sequence[Any], back: BaseException) -> None:
        functions = {id(function): function for function in self._functions(items)}
        # Of several functions nobody knows which it was.
        self._pool.note(functions.popitem()[1] if len(functions) == 1 else None, back)

    def _decide(self, letters: list[Done]) -> None:
        """Decide by what has run here, or by its not having ended."""
        for number, _, seconds, error in letters:
            self._spent += seconds
            if error is not None or seconds < CONCLUSIVE:
                return
            if seconds < LEAST[self._pool.backend] * len(self._flight[number][1]):
                self._leaves, self._is_cheap = False, True
                return
        if letters and not self._pool.opened() and self._spent < BEFORE_OPENING:
            return
        self._leave()
        if self._leaves:
            for _, items, _ in list(self._flight.values()):
                for function in self._functions(items):
                    judge(function).worth = True

    def _weigh(self, is_cheap: bool, away: bool) -> None:
        """Decide anew by what items of a chunk cost: the machine was busy before, or items differ."""
        if away and is_cheap and self._leaves:
            self._leaves, self._is_cheap, self._room = False, True, 1
            judge(self._function).worth = False
        elif not away and not is_cheap and self._is_cheap:
            self._is_cheap = False
            self._leave()
            judge(self._function).worth = self._leaves is True

    def _leave(self) -> None:
        away = self._pool.away()
        self._leaves = away is not None
        if away is not None:
            try:
                self._away = self._shared.beside(away)
            except COMES_BACK as back:
                self._pool.note(self._function, back)
                self._leaves = False
            else:
                self._room = self._away.room()
