"""The face for asyncio: calls and streams whose outcomes an event loop awaits.

Workers put outcomes into a mailbox, and only the first one since the loop looked wakes it up, through a descriptor
that the loop watches: no worker needs the interpreter for that, and a loop that is closed by then is not touched.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import time
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from hypern import _guest
from hypern._stream import carried
from hypern.errors import full

if TYPE_CHECKING:
    from typing import Self

    from hypern import _core
    from hypern._batch import Arrived, Flow
    from hypern._loop import Await
    from hypern._pool import Settings
    from hypern._stream import Stream

T = TypeVar("T")


#: Calls that are awaited at once, so many that no single one is worth a wake-up of its own.
CROWD = 100
#: How long the loop then sleeps through what comes, in seconds: short against the queue before each of them.
NAP = 0.001
#: A look that took longer lost the core to another program: on a busy machine a sleeper is sooner back. In seconds.
TOO_LONG = 0.0005
#: Lone calls after which it is tried again.
BLIND = 100


class _Call:
    """A call that is awaited."""

    __slots__ = ("future", "ticket")

    def __init__(self, future: asyncio.Future[tuple[Any, BaseException | None]]) -> None:
        self.future = future
        #: Of a call that was accepted.
        self.ticket: _core.Ticket | None = None


class Desk:
    """Where one event loop gets its outcomes. Used by the thread that runs the loop, which owns the desk."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        from hypern import _core

        self.letterbox = _core.Letterbox()
        self._numbers = itertools.count()
        self._calls: dict[int, _Call] = {}
        #: Coroutines that are in ``call``, also those whose outcome has come.
        self._inside = 0
        #: Lone calls that are not looked for, because a look has lost the core to other programs.
        self._blind = 0
        #: Calls that found the queue of their pool full, oldest first.
        self._unsent: dict[_core.Pool, deque[Callable[[], bool]]] = {}
        self._listeners: list[asyncio.Future[None]] = []
        loop.add_reader(self.letterbox.fileno(), self.answer)

    async def call(
        self,
        pool: _core.Pool,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        leash: _core.Leash | None = None,
    ) -> Any:
        """Make a call on a pool, and await what it returns."""
        self._inside += 1
        number = next(self._numbers)
        call = self._calls[number] = _Call(asyncio.get_running_loop().create_future())
        timer: asyncio.TimerHandle | None = None
        try:
            # One after the other: looking for the outcome costs less than going to sleep, and keeps nobody waiting.
            alone = self._inside == 1
            if pool not in self._unsent:
                call.ticket = self.letterbox.push(pool, number, function, args, kwargs, alone, leash)
            if call.ticket is not None:
                if alone and self._look(pool):
                    self.answer()
                    # The others have their turn.
                    await asyncio.sleep(0)
            else:
                context = contextvars.copy_context()

                def send() -> bool:
                    """Tell whether the call needs to wait no more."""
                    if number in self._calls:
                        try:
                            call.ticket = context.run(
                                self.letterbox.push, pool, number, function, args, kwargs, False, leash
                            )
                        except Exception as error:
                            self._settle(number, None, error)
                        else:
                            return call.ticket is not None
                    return True

                def give_up() -> None:
                    if call.ticket is None and number in self._calls:
                        self._settle(number, None, pool.full(function, args, kwargs))

                self._unsent.setdefault(pool, deque()).append(send)
                if (patience := pool.patience()) is not None:
                    timer = asyncio.get_running_loop().call_later(patience, give_up)
            value, error = await call.future
        except asyncio.CancelledError:
            if call.ticket is not None:
                call.ticket.cancel()
            raise
        finally:
            if timer is not None:
                timer.cancel()
            self._inside -= 1
            self._calls.pop(number, None)
        if error is None:
            return value
        try:
            raise carried(error)
        finally:
            del error, call.future

    def _look(self, pool: _core.Pool) -> bool:
        """Look for the outcome of a lone call; tell whether the bell has rung."""
        if self._blind:
            self._blind -= 1
            return False
        began = time.perf_counter()
        heard = self.letterbox.look(pool)
        if time.perf_counter() - began > TOO_LONG:
            self._blind = BLIND
        return heard

    async def news(self, patience: float | None) -> None:
        """Wait until the bell has rung, or ``patience`` seconds have passed."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        timer = None if patience is None else loop.call_later(patience, _wake, future)
        self._listeners.append(future)
        try:
            await future
        finally:
            if timer is not None:
                timer.cancel()
            if future in self._listeners:
                self._listeners.remove(future)

    def answer(self) -> None:
        """Take what has come; called by the loop when the bell has rung, or after a nap."""
        for number, value, error in self.letterbox.take():
            self._settle(number, value, error)
        for pool, waiting in [*self._unsent.items()]:
            while waiting and waiting[0]():
                waiting.popleft()
            if not waiting:
                del self._unsent[pool]
        # Nobody waits for anything but outcomes.
        if len(self._calls) >= CROWD and not self._unsent and not self._listeners:
            self.letterbox.mute()
            asyncio.get_running_loop().call_later(NAP, self._after_nap)
        self.tell()

    def _after_nap(self) -> None:
        if self.letterbox.unmute():
            self.answer()

    def tell(self) -> None:
        """End all waits for news."""
        listeners, self._listeners = self._listeners, []
        for future in listeners:
            _wake(future)

    def _settle(self, number: int, value: Any, error: BaseException | None) -> None:
        call = self._calls.pop(number, None)
        # Nobody awaits what was cancelled.
        if call is not None and not call.future.done():
            call.future.set_result((value, error))


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


#: The desk of each loop. A loop keeps its own by what it watches, until it is closed.
_desks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[Desk]] = weakref.WeakKeyDictionary()


def desk() -> Desk:
    """Return the desk of the running loop."""
    loop = asyncio.get_running_loop()
    reference = _desks.get(loop)
    found = reference() if reference is not None else None
    if found is None:
        found = Desk(loop)
        _desks[loop] = weakref.ref(found)
    return found


class ChunkWaiter:
    """Waits for the chunks of a plain call in a bridged coroutine, or for space in the queue for another one."""

    def __init__(self, await_: Await, settings: Settings) -> None:
        self._await = await_
        self._settings = settings
        patience = settings.full_timeout
        #: Until when the first chunk may wait for space; None: as long as it takes.
        self._deadline = None if patience is None else time.monotonic() + patience

    def wait(self, flow: Flow) -> list[Arrived]:
        """Return the chunks that have arrived; none where another one may be handed out."""
        arrived = flow.take_back(0.0) if flow.in_flight else []
        # It may have been decided just now that there is room for more.
        if arrived or (flow.has_more() and len(flow.in_flight) < flow.room()):
            return arrived
        patience = flow.decides_in()
        if self._deadline is not None and not flow.chunks:
            patience = self._deadline - time.monotonic()
            if patience <= 0:
                raise full(self._settings.queue_size, self._settings.full_timeout or 0.0, None)
        self._await(desk().news(patience))
        return flow.take_back(0.0) if flow.in_flight else []


class AsyncResults(AsyncIterator[T]):
    """The results of ``map_async``, pulled and computed as they are awaited.

    Closing them (``aclose``, ``async with``, letting go of them, or cancelling the task that awaits one) cancels what
    has not been started. One task at a time may await them.
    """

    def __init__(self, make_stream: Callable[[_core.Letterbox | None], Stream]) -> None:
        self._make_stream = make_stream
        #: Made by the loop that awaits the first result.
        self._stream: Stream | None = None
        self._awaited = False
        self._closed = False

    async def __anext__(self) -> T:
        """Return the next result; raise what its call raised."""
        if self._awaited:
            raise RuntimeError("another task awaits the next result already")
        if self._closed:
            raise StopAsyncIteration
        self._awaited = True
        try:
            if self._stream is None:
                self._stream = self._make_stream(None if _guest.is_guest() else desk().letterbox)
            if self._stream.has_result() or await self._advanced(self._stream):
                return self._stream.give()
        except BaseException:
            self._close()
            raise
        finally:
            self._awaited = False
        self._close()
        raise StopAsyncIteration

    async def _advanced(self, stream: Stream) -> bool:
        """Tell whether there is another result, when that is known."""
        # Once for each chunk, so that results which are always there do not keep others from running.
        await asyncio.sleep(0)
        stream.advance(0.0)
        while not stream.has_result():
            if stream.is_over():
                return False
            if _guest.is_guest():
                # Nobody else is at work: it is done here, also what is made again.
                await asyncio.sleep(0)
            else:
                await desk().news(stream.decides_in())
            stream.advance(0.0)
        return True

    async def aclose(self) -> None:
        """Cancel what has not been started, and give out nothing more."""
        self._close()
        if self._awaited and not _guest.is_guest():
            desk().tell()

    def _close(self) -> None:
        self._closed = True
        if self._stream is not None:
            self._stream.close()

    async def __aenter__(self) -> Self:
        """Return the results themselves."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the results."""
        await self.aclose()

    def __del__(self) -> None:
        """Close the results."""
        stream = getattr(self, "_stream", None)
        if stream is not None:
            stream.close()
