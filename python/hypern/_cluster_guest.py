"""What a Dask worker runs for a ``ClusterExecutor``: one call or one chunk, as a task of Dask."""

from __future__ import annotations

import hashlib
import threading
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from hypern import _guest, _kind, _wire

if TYPE_CHECKING:
    from hypern._executor import BlockingExecutor

    #: Seconds that it ran, and kind, payload and buffers of a reply.
    Reply = tuple[float, int, bytes, list[Any]]

#: Functions that one thread of a worker remembers at most, and how many bytes they are made of.
MOST_KNOWN = 256
MOST_KNOWN_BYTES = 32 * 1024 * 1024

_inside: ContextVar[bool] = ContextVar("hypern_cluster_inside", default=False)


def is_inside() -> bool:
    """Tell whether a task of a cluster is run here: what it calls is run in place."""
    return _inside.get() or _guest.is_guest()


class _Guest(_guest.Guest):
    """Knows functions by what they are rebuilt from."""

    def __init__(self) -> None:
        super().__init__()
        #: By a digest of the content.
        self._numbers: dict[bytes, int] = {}
        self._bytes = 0

    def number(self, content: bytes) -> int:
        """Return the number of a function, 0 for none: it travels with its arguments then."""
        if not content:
            return 0
        digest = hashlib.blake2b(content).digest()
        number = self._numbers.get(digest)
        if number is None:
            if len(self._numbers) >= MOST_KNOWN or self._bytes + len(content) > MOST_KNOWN_BYTES:
                self._numbers.clear()
                self.functions.clear()
                self._bytes = 0
            number = self._numbers[digest] = len(self._numbers) + 1
            self._bytes += len(content)
            self.take(_kind.DEFINE, number, content, [])
        return number


class _Thread(threading.local):
    """What each thread of a worker has of its own: a guest says what it is doing just now."""

    _guest: _Guest | None = None
    _stopper: BlockingExecutor | None = None

    def guest(self) -> _Guest:
        if self._guest is None:
            from hypern import _core

            _wire.use_plain(_core.plain)
            self._guest = _Guest()
        return self._guest

    def stopper(self) -> BlockingExecutor:
        """Return what can stop a task of this thread."""
        if self._stopper is None:
            from hypern._executor import BlockingExecutor

            self._stopper = BlockingExecutor(1, backend="threads", thread_name_prefix="hypern-cluster")
        return self._stopper


_thread = _Thread()


def run(kind: int, timeout: float | None, writable: list[bool], content: Any, payload: Any, *buffers: Any) -> Reply:
    """Make one call, or those of one chunk, and return what came of it; ``timeout`` is how many seconds it may run.

    ``content`` is what the function is rebuilt from, empty where it travels with the arguments in ``payload``.
    ``buffers`` is their large memory, each with whether the caller may write to it. Many tasks share what lies in the
    worker, so a task that could write to it gets a copy.
    """
    token = _inside.set(True)
    try:
        memory = [bytearray(buffer) if copied else buffer for copied, buffer in zip(writable, buffers, strict=True)]
        began = time.perf_counter()
        if timeout is None:
            reply = _reply(kind, content, payload, memory)
        else:
            try:
                reply = _thread.stopper().options(timeout=timeout).run_sync(_reply, kind, content, payload, memory)
            except BaseException as error:
                reply = _kind.RAISED, _guest.encode_error(error), []
        seconds = time.perf_counter() - began
    finally:
        _inside.reset(token)
    told, answer, views = reply
    # Dask writes it later, when another task may be at work on the same memory, and by a protocol without buffers.
    kept = [bytes(view) if view.readonly else bytearray(view) for view in views]
    return seconds, told, answer, kept


def _reply(kind: int, content: bytes, payload: Any, buffers: list[Any]) -> _guest.Reply:
    guest = _thread.guest()
    return guest.run(kind, guest.number(content), payload, buffers)


def nothing() -> None:
    """Do nothing: where this is done, there is a worker."""


def executing(dask_worker: Any) -> list[str]:
    """Return the keys of the tasks that a worker has started or done; called by Dask in the worker."""
    tasks = dask_worker.state.tasks
    return [key for key, task in tasks.items() if task.state in ("executing", "long-running", "memory", "error")]
