"""The future of a submitted task: ``concurrent.futures.Future``, whose wait helps where it would wait for itself."""

from __future__ import annotations

import concurrent.futures
import logging
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from hypern import _core, _retry

    Ticket = _core.Ticket | _retry.Attempts

T = TypeVar("T")

#: Where the standard library's futures log the same.
_log = logging.getLogger("concurrent.futures")


class Settled(Protocol):
    """What is told how a submitted call goes: a future, or what stands for one."""

    def set_running_or_notify_cancel(self) -> bool: ...
    def cancel(self) -> bool: ...
    def set_result(self, result: Any, /) -> None: ...
    def set_exception(self, error: Any, /) -> None: ...


class _Waiters(list[Any]):
    """Those who wait for a future in ``concurrent.futures.wait`` or ``as_completed``; see ``Future.bind``."""

    def __init__(self, ticket: Ticket) -> None:
        super().__init__()
        self._ticket = ticket

    def append(self, waiter: Any) -> None:
        super().append(waiter)
        self._ticket.assist()


class Future(concurrent.futures.Future[T]):
    """The outcome of a task, now or later.

    A worker that waits for a task of its own pool runs it itself if it has submitted it and nobody has started it;
    for other tasks it sees to it that somebody else does. So such waits end also on a pool of one worker.
    """

    #: Set while somebody may have to wait.
    _ticket: Ticket | None = None

    def bind(self, ticket: Ticket) -> None:
        """Let those who wait for the future see to it that the task is run."""
        self._ticket = ticket
        with self._condition:
            # The functions of concurrent.futures wait for an event of their own; this is what they do before.
            waiters = _Waiters(ticket)
            waiters.extend(self._waiters)
            self._waiters = waiters

    def cancel(self) -> bool:
        """Cancel the task unless it has started; the queue then has room for another one."""
        if not super().cancel():
            return False
        if self._ticket is not None:
            self._ticket.withdraw()
        return True

    def result(self, timeout: float | None = None) -> T:
        """Return what the task returned or raise what it raised; wait for it, at most ``timeout`` seconds."""
        try:
            self._help()
            result = super().result(timeout)
            # The standard library's passes over exceptions that are false, before 3.14.
            if self._exception is not None:
                raise self._exception
            return result
        finally:
            # The traceback refers to this frame: it is not to keep the future, which keeps the exception.
            del self

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return what the task raised, or None; wait for it, at most ``timeout`` seconds."""
        self._help()
        return super().exception(timeout)

    def interrupt(self) -> bool:
        """Stop the task, whether it runs or not; tell whether there was something to stop.

        A task that has not started is cancelled. In one that runs ``hypern.StopTask`` is raised, and the future holds
        TaskInterrupted at once, whatever becomes of the task; see ``BlockingExecutor.options``.
        """
        ticket = self._ticket
        if self.done() or ticket is None:
            return False
        if not self.cancel():
            ticket.interrupt()
        return True

    def _invoke_callbacks(self) -> None:
        # The standard library lets SystemExit and its like out, past the callbacks that follow and into the worker.
        for callback in self._done_callbacks:  # pyright: ignore[reportAttributeAccessIssue]
            try:
                callback(self)
            except BaseException:
                _log.exception("exception calling callback for %r", self)

    def _help(self) -> None:
        ticket = self._ticket
        if ticket is None:
            return
        if self.done():
            self._ticket = None
        else:
            ticket.help()
