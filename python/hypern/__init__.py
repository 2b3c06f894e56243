"""Run CPU-bound Python on every core: a pool of Rust threads with the face of ``concurrent.futures``.

The native core is loaded where the first executor is made, never by ``import hypern``.
"""

from __future__ import annotations

from hypern._executor import BlockingExecutor
from hypern.errors import BrokenPool, ShutdownError, TaskError, TransferError, WorkerCrashed

__all__ = (
    "BlockingExecutor",
    "BrokenPool",
    "ShutdownError",
    "TaskError",
    "TransferError",
    "WorkerCrashed",
    "__version__",
)

__version__ = "0.1.0"
