"""Calls that are made again when they fail: a future's, and the chunks of a batch."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Any

from hypern._kind import CAUGHT
from hypern._stream import opened
from hypern.errors import BrokenPool, QueueFull, ShutdownError, TaskError, TaskInterrupted, TransferError, stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hypern import _core
    from hypern._batch import Batch, Done
    from hypern._future import Future
    from hypern._options import Options

#: What is not the doing of a call, or was asked for.
_NEVER = (BrokenPool, QueueFull, ShutdownError, TaskInterrupted, TransferError)


def is_worth_another(error: BaseException, retry_on: tuple[type[Exception], ...]) -> bool:
    """Tell whether a call that came to this is made again."""
    original = error.__cause__ if type(error) is TaskError and error.__cause__ is not None else error
    return isinstance(original, retry_on) and not isinstance(original, _NEVER)


class Attempts:
    """Stands for a future whose call is made again when it fails, and for the tickets of its attempts.

    An attempt is submitted by whoever settles the one before. Where somebody waits who works for the pool itself, it is
    seen to then that the attempt is run.
    """

    def __init__(
        self,
        pool: Any,
        future: Future[Any],
        call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any] | None],
        options: Options,
    ) -> None:
        self._pool = pool
        self._future = future
        self._call = call
        self._options = options
        #: Of the last attempt: the one before may still be at its end.
        self._leash: _core.Leash | None = None
        #: Set before the leash is read, and read after that is written.
        self._interrupted = False
        self._left = options.retries
        self._context = contextvars.copy_context()
        self._started = False
        #: What the last attempt came to.
        self._error: BaseException | None = None
        #: Of the first attempt, and of the last one that came after it. Each is written by whoever has submitted it.
        self._first: _core.Ticket | None = None
        self._again: _core.Ticket | None = None
        #: Whether somebody may wait who works for the pool. Set before the ticket is read, read after that is written.
        self._awaited_inside = False

    def submit(self) -> Attempts | None:
        """Make the first attempt; return what a future is bound to, None where it is settled."""
        future = self._future
        self._first = self._submit()
        return None if future.done() else self

    def _submit(self, *, again: bool = False) -> _core.Ticket | None:
        self._leash = self._pool.leash(self._options.timeout)
        if self._interrupted and self._leash is not None:
            self._leash.interrupt()
        ticket: _core.Ticket | None = self._pool.submit(self, *self._call, self._leash, again=again)
        return ticket

    # For the pool

    def set_running_or_notify_cancel(self) -> bool:
        if not self._started:
            if self._is_settled():
                return False
            self._started = self._future.set_running_or_notify_cancel()
            if not self._started:
                self._let_go()
        return self._started

    def _is_settled(self) -> bool:
        """Tell whether the future was let go of: it was interrupted while an attempt was on its way back."""
        return not hasattr(self, "_future")

    def cancel(self) -> bool:
        if self._is_settled():
            return False
        if self._error is None:
            return self._future.cancel()
        self._settle(self._error)
        return True

    def set_result(self, result: Any) -> None:
        future = self._future
        self._let_go()
        future.set_result(result)

    def set_exception(self, error: BaseException) -> None:
        self._error = error
        if self._left > 0 and not self._interrupted and is_worth_another(error, self._options.retry_on):
            self._left -= 1
            try:
                ticket = self._again = self._context.copy().run(self._submit, again=True)
            except (BrokenPool, QueueFull, ShutdownError):
                pass
            else:
                if self._interrupted:
                    self.interrupt()
                elif ticket is not None and (self._awaited_inside or not self._pool.is_open()):
                    # The workers may have ended, or wait for it.
                    ticket.assist()
                return
        self._settle(error)

    def _settle(self, error: BaseException) -> None:
        future = self._future
        self._let_go()
        future.set_exception(error)

    def _let_go(self) -> None:
        """Part from the future, which refers to this, and from the call, when nothing more becomes of them."""
        del self._future, self._call, self._context
        self._error = None

    # For the future

    def help(self) -> None:
        self._awaited_inside = self._awaited_inside or self._pool.is_current()
        if ticket := self._again or self._first:
            ticket.help()

    def assist(self) -> None:
        self._awaited_inside = self._awaited_inside or self._pool.is_current()
        if ticket := self._again or self._first:
            ticket.assist()

    def withdraw(self) -> None:
        if ticket := self._again or self._first:
            ticket.withdraw()

    def interrupt(self) -> None:
        self._interrupted = True
        if self._leash is not None:
            self._leash.interrupt()
        # The one before has started.
        if (ticket := self._again) is not None and ticket.withdraw():
            self._settle(stopped(None))


class RetryingBatch:
    """A batch whose chunks are made again when they fail."""

    def __init__(self, batch: Batch, kind: int, options: Options) -> None:
        self._batch = batch
        self._kind = kind
        self._options = options
        #: Chunks in flight by their index: their items, and how often they may be made again.
        self._flight: dict[int, tuple[Sequence[Any], int]] = {}

    def push(self, index: int, items: Sequence[Any], again: bool = False) -> bool:
        accepted = self._batch.push(index, items, again)
        if accepted:
            self._flight[index] = items, self._options.retries
        return accepted

    def wait(self, timeout: float | None = None) -> list[Done]:
        return [done for done in self._batch.wait(timeout) if not self._again(done)]

    def _again(self, done: Done) -> bool:
        """Tell whether a chunk is made again, of which nobody is to hear before it is done."""
        index, results, _, error = done
        if results is None and error is None:
            return index in self._flight
        # A batch may report a chunk twice.
        items, left = self._flight.pop(index, ((), 0))
        if left == 0 or not self._is_worth_another(results, error):
            return False
        try:
            self._batch.push(index, items, True)
        except (BrokenPool, ShutdownError):
            return False
        self._flight[index] = items, left - 1
        return True

    def _is_worth_another(self, results: Any, error: BaseException | None) -> bool:
        if error is not None:
            failures = [error]
        else:
            failures = [opened(told) for told in results[1].values()] if self._kind in CAUGHT else []
        return any(is_worth_another(failure, self._options.retry_on) for failure in failures)

    def cancel(self) -> None:
        self._batch.cancel()
        self._flight.clear()

    def room(self) -> int:
        return self._batch.room()

    def decides_in(self) -> float | None:
        return self._batch.decides_in()
