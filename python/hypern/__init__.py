"""Run CPU-bound Python on every core: a pool of Rust threads with the face of ``concurrent.futures``.

What is named here is loaded when it is first used, so that a worker, which uses none of it, starts sooner. The native
core is loaded where the first executor is made.
"""

from __future__ import annotations

TYPE_CHECKING = False  # As in typing, which a worker does not wait for.
if TYPE_CHECKING:
    from typing import Any

    from hypern._executor import BlockingExecutor
    from hypern._route import Route
    from hypern._stats import Stats
    from hypern._stop import StopTask
    from hypern.errors import (
        BrokenPool,
        QueueFull,
        ShutdownError,
        TaskError,
        TaskInterrupted,
        TaskTimeout,
        TransferError,
        WorkerCrashed,
    )
    from hypern.web import Hypern as Hypern

__all__ = (
    "BlockingExecutor",
    "BrokenPool",
    "QueueFull",
    "Route",
    "ShutdownError",
    "Stats",
    "StopTask",
    "TaskError",
    "TaskInterrupted",
    "TaskTimeout",
    "TransferError",
    "WorkerCrashed",
    "__version__",
)

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "Hypern":
        # Not in `__all__`: it needs what not everybody has installed.
        from hypern import web

        return web.Hypern
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "BlockingExecutor":
        from hypern import _executor as source
    elif name == "Route":
        from hypern import _route as source
    elif name == "Stats":
        from hypern import _stats as source
    elif name == "StopTask":
        from hypern import _stop as source
    else:
        from hypern import errors as source
    value = getattr(source, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
