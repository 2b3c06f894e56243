"""The event loop that runs in this thread, for a call that is about to wait and should not stop it."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hypern import _guest

#: Awaits something for a plain call, whose coroutine is suspended meanwhile.
Await = Callable[[Awaitable[Any]], Any]

#: Returns what awaits for the current call, None where no coroutine that is bridged makes it; set by ``hypern.aio``.
find_bridge: Callable[[], Await | None] | None = None

_PACKAGE = str(Path(__file__).parent) + os.sep
#: Set by the first thread that warns; another one at the same time warns too.
_has_warned = False


def find_await() -> Await | None:
    """Return what awaits for the current call; None where it has to wait itself.

    Where that keeps a loop in debug mode from running, it is said, once.
    """
    # Half imported by another thread, it has no loop in this one.
    running: Callable[[], Any] | None = getattr(sys.modules.get("asyncio.events"), "_get_running_loop", None)
    if running is None or (loop := running()) is None or _guest.is_guest():
        return None
    if find_bridge is not None and (found := find_bridge()) is not None:
        return found
    if loop.get_debug() and not _has_warned:
        _warn()
    return None


def _warn() -> None:
    global _has_warned
    _has_warned = True
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(
        "a call that waits for a worker keeps the event loop of this thread from running: await executor.run_async() "
        "or map_async() in its place, or decorate the coroutine function with hypern.aio.bridge",
        RuntimeWarning,
        stacklevel=level,
    )
