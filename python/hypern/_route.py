"""Where a call runs under ``backend="auto"``, and why."""

from __future__ import annotations

import sys
import threading
from sys import getprofile, gettrace
from typing import Any, NamedTuple

from hypern import _gil


class Route(NamedTuple):
    """Where a call runs, and why."""

    #: ``"threads"``, ``"interpreters"`` or ``"processes"``.
    backend: str
    #: In words: what the callable does that decides.
    reason: str
    #: Where in the source that is, as far as it is known.
    file: str | None = None
    line: int | None = None
    #: The name that decided.
    name: str | None = None
    #: What to change so that the call runs on every core; empty where there is nothing to change.
    advice: str = ""

    def __str__(self) -> str:
        """Return the route as one sentence."""
        place = f" ({self.file}:{self.line})" if self.file and self.line else ""
        advice = f"; {self.advice}" if self.advice else ""
        return f"runs in {self.backend}: {self.reason}{place}{advice}"


def away_backend() -> str | None:
    """Return the backend that calls leave to; None on free-threaded builds, whose threads are parallel themselves."""
    if _gil.is_free_threaded_build():
        return None
    return "interpreters" if sys.version_info >= (3, 13) else "processes"


_get_tool = sys.monitoring.get_tool if sys.version_info >= (3, 12) else lambda _: None
_TOOLS = tuple(range(6 if sys.version_info >= (3, 12) else 0))


def why_all_stay() -> str | None:
    """Return why no call may leave just now, None where calls may."""
    if gettrace() is not None or threading.gettrace() is not None:
        return "a debugger or a coverage tool traces this program, and would not see what runs elsewhere"
    if getprofile() is not None or threading.getprofile() is not None:
        return "a profiler watches this program, and would not see what runs elsewhere"
    if any(map(_get_tool, _TOOLS)):
        return "a tool monitors this program, and would not see what runs elsewhere"
    return None


def route(function: Any, backend: str) -> Route:
    """Return where a callable runs that may leave to ``backend``, its arguments being plain data."""
    from hypern._verdict import judge  # Loaded where a call may leave.

    verdict = judge(function)
    where = backend if verdict.leaves and not verdict.came_back else "threads"
    reason = f"was run elsewhere, and {verdict.came_back}" if verdict.came_back else verdict.reason
    return Route(where, reason, verdict.file, verdict.line, verdict.name, verdict.advice)
