"""The future of a submitted task: ``concurrent.futures.Future``, whose wait helps where it would wait for itself."""

from __future__ import annotations

import concurrent.futures
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from hypern import _core

T = TypeVar("T")


class Future(concurrent.futures.Future[T]):
    """The outcome of a task, now or later.

    A worker that waits for a task it submitted to its own pool runs it itself if nobody has started it, so that
    nested waits end also on a pool of one worker.
    """

    #: Set where the task was submitted by a thread that works for the same pool.
    _ticket: _core.Ticket | None = None

    def result(self, timeout: float | None = None) -> T:
        """Return what the task returned or raise what it raised; wait for it, at most ``timeout`` seconds."""
        self._help()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return what the task raised, or None; wait for it, at most ``timeout`` seconds."""
        self._help()
        return super().exception(timeout)

    def _help(self) -> None:
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            ticket.help()
