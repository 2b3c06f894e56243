"""For asyncio: coroutines in which a plain call that waits for a worker suspends the coroutine, and not the loop.

Needs greenlet, which the extra ``hypern[aio]`` brings.

What is bridged is the coroutine and all that it calls or awaits. Tasks that it starts are on their own. A lock that is
held around such a call is held while other coroutines run, as around an ``await``: a ``threading.Lock`` may then stop
the loop for good. ``Future.result()``, ``imap``, ``map`` with a timeout, ``submit`` to a full queue and the functions
of ``concurrent.futures`` still wait themselves, and so does a call in a greenlet of somebody else's.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from hypern import _guest

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    #: An ASGI application, and what it is called with.
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[Message, Receive, Send], Awaitable[None]]

if _guest.is_guest():
    # Calls are made in place there, and greenlet loads in no interpreter but the main one.
    def run_bridged(awaitable: Awaitable[T], before_wait: Callable[[], object] | None = None) -> Awaitable[T]:  # noqa: ARG001
        return awaitable
else:
    from hypern._bridge import run_bridged

__all__ = ("BridgeMiddleware", "bridge")

P = ParamSpec("P")
T = TypeVar("T")


def bridge(function: Callable[P, Coroutine[Any, Any, T]], /) -> Callable[P, Coroutine[Any, Any, T]]:
    """Return a coroutine function in which ``run_sync``, ``map``, ``run_parallel`` and ``@blocking`` stop no loop.

    Such a call, also one deep inside of plain functions, suspends the coroutine until its result is there, as an
    ``await`` would: other tasks run meanwhile; cancelling the task takes back what has not been started; context
    variables are those of the task.

    Raises TypeError for anything but a coroutine function.

    >>> import asyncio
    >>> from hypern.blocking import blocking_run
    >>> @bridge
    ... async def double(number):
    ...     return blocking_run(pow, number, 2)
    >>> asyncio.run(double(3))
    9
    """
    if not inspect.iscoroutinefunction(function):
        raise TypeError(f"bridge() is for coroutine functions (async def), not for {function!r:.100}")

    @functools.wraps(function)
    async def bridged(*args: P.args, **kwargs: P.kwargs) -> T:
        return await run_bridged(function(*args, **kwargs))

    return bridged


class BridgeMiddleware:
    """An ASGI application, of FastAPI or Starlette for one, that does all its work as in ``bridge``.

    What another middleware runs in a task of its own, as Starlette's ``BaseHTTPMiddleware`` does, is not bridged: add
    this one closer to the routes, or decorate the handlers.
    """

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Do what the application does."""
        await run_bridged(self.app(scope, receive, send))
