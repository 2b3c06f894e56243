"""One handler as an ASGI application: the request is read before it, its answer sent after it."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from starlette import responses
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from hypern.aio import run_bridged
from hypern.web._request import Request
from hypern.web._response import Response

Handler = Callable[..., Any]

#: What is answered to a client that has gone; nginx calls it so. Middleware of Starlette's insists on some answer.
CLIENT_GONE = 499


class Endpoint:
    """Calls a handler with ``(request, response)`` or ``(request)`` for each request.

    A coroutine function runs as in ``hypern.aio.bridge``, and is cancelled when the client goes; any other callable
    runs in a thread of Starlette's.
    """

    def __init__(self, handler: Handler) -> None:
        """Raise TypeError for what is no handler."""
        function = _innermost(handler)
        if inspect.isasyncgenfunction(function) or inspect.isclass(function) or not callable(function):
            raise TypeError(f"a handler must be a function or a coroutine function, not {handler!r:.100}")
        self._handler = handler
        self._arguments = _count_arguments(handler)
        self._is_async = inspect.iscoroutinefunction(function)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            request = await Request.read(scope, receive)
        except ClientDisconnect:
            await Response().status(CLIENT_GONE)(scope, receive, send)
            return
        try:
            answer = await self._answer(request, receive)
            sending = answer(scope, receive, send)
            # Its background tasks may make calls that wait.
            await (sending if answer.background is None else run_bridged(sending))
        finally:
            await request.close()

    async def _answer(self, request: Request, receive: Receive) -> responses.Response:
        response = Response()
        arguments = (request, response)[: self._arguments]
        if self._is_async:
            answer = self._handler(*arguments)
        else:
            answer = await run_in_threadpool(self._handler, *arguments)
        if inspect.isawaitable(answer):
            presence = Presence(receive)
            try:
                answer = await presence.hold(answer)
            except ClientGone:
                return response.status(CLIENT_GONE)
        return _as_response(answer, response)


def _innermost(handler: Any) -> Any:
    """Return the function or method that a handler calls."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    if inspect.isroutine(handler) or inspect.isclass(handler):
        return handler
    return getattr(handler, "__call__", None)  # noqa: B004 - what an object is called by.


def _count_arguments(handler: Handler) -> int:
    """Return how many arguments a handler takes: one or two. Raises TypeError for anything else."""
    signature = inspect.signature(handler)
    for arguments in (2, 1):
        try:
            bound = signature.bind(*range(arguments))
        except TypeError:
            continue
        names = [*bound.arguments]
        # A second one that has a default may be about anything.
        if arguments == 1 or len(names) == 1 or names[1] == "response" or _must_be_given(signature, names[1]):
            return arguments
    raise TypeError(f"a handler takes (request, response) or (request), not {signature}: {handler!r:.100}")


def _must_be_given(signature: inspect.Signature, name: str) -> bool:
    return signature.parameters[name].default is inspect.Parameter.empty


def _as_response(answer: Any, response: Response) -> responses.Response:
    """Return the response that an answer stands for; ``response`` is what the handler was given to fill in."""
    if answer is None:
        return response
    if isinstance(answer, responses.Response):
        return answer
    if isinstance(answer, (dict, list)):
        return response.json(answer)
    if isinstance(answer, str):
        return response.text(answer)
    if isinstance(answer, (bytes, bytearray, memoryview)):
        return response.content(bytes(answer))
    raise TypeError(
        f"a handler returns a response, a dict, a list, a str, bytes or None, not {type(answer).__name__}; "
        "response.json(...) takes anything that JSON knows"
    )


class ClientGone(Exception):
    """The client has gone before it was answered."""


class Presence:
    """Cancels what is done for a client when that goes. Used by one task."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._has_gone = False

    async def hold(self, handling: Awaitable[Any]) -> Any:
        """Await something as in ``bridge``. Raises ClientGone, once it has ended, where the client has gone."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request is handled by a task of asyncio")
        cancelled_before = task.cancelling()
        watchers: list[asyncio.Task[None]] = []

        def begin() -> None:
            watchers.append(asyncio.create_task(self._watch(task)))

        try:
            answer = await run_bridged(handling, begin)
        except asyncio.CancelledError:
            # Whoever else has cancelled the task still does.
            if not self._has_gone or task.uncancel() > cancelled_before:
                raise
        else:
            if not self._has_gone:
                return answer
            # It went on all the same.
            task.uncancel()
        finally:
            for watcher in watchers:
                watcher.cancel()
        raise ClientGone

    async def _watch(self, task: asyncio.Task[Any]) -> None:
        # The whole body has come: anything else is said by middleware that plays it back.
        if (await self._receive())["type"] == "http.disconnect":
            self._has_gone = True
            task.cancel()
