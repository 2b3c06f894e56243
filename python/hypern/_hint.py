"""Says what keeps a core busy while others are free, because the program could tell if it ran there.

By logging and not by a warning: a default that nobody is to notice does not write to standard error, and a filter
that makes errors of warnings would make one of a hint. The level WARNING for the logger ``hypern`` silences it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from hypern._chunk import run_chunk
from hypern._kind import CALLS

if TYPE_CHECKING:
    import weakref

    from hypern._auto import AutoPool
    from hypern._route import Route

#: Seconds of processor time that are worth a hint.
ENOUGH = 1.0
#: Hints of one process.
MOST = 5
#: Callables whose time is remembered at most.
MOST_REMEMBERED = 1024

_log = logging.getLogger("hypern")
#: Seconds by what decided that calls stay. Written by workers; one that is lost does no harm.
_seconds: dict[Route, float] = {}
#: Those about which something was said.
_said: set[Route] = set()


class Hint:
    """Adds up what the workers of a pool here have done."""

    def __init__(self) -> None:
        #: The pool that decides. Weak: the core, which the pool holds, holds this.
        self.pool: weakref.ref[AutoPool] | None = None

    def stayed(self, function: Any, args: tuple[Any, ...], seconds: float) -> None:
        """Take note of a task that took so much processor time; called by the core, for those that are not short."""
        pool = self.pool() if self.pool is not None else None
        if pool is None or len(_said) >= MOST:
            return
        if function is run_chunk:
            kind, function, items = args
            if kind == CALLS:
                functions = {id(call[0]): call[0] for call in items}
                if len(functions) != 1:
                    return  # Nobody knows which one it was.
                (function,) = functions.values()
        route = pool.explain(function)
        # Without a place, it is not the callable that decided; C functions may let others run meanwhile.
        if route.backend != "threads" or route.file is None or route in _said:
            return
        if len(_seconds) >= MOST_REMEMBERED:
            _seconds.clear()
        seconds += _seconds.pop(route, 0.0)
        if seconds < ENOUGH:
            _seconds[route] = seconds
            return
        _said.add(route)
        name = getattr(function, "__qualname__", type(function).__qualname__)
        _log.info("hypern: %s has kept one core busy for %.1f s; it %s", name, seconds, route)
