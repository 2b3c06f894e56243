"""One handler as an ASGI application: the request is read before it, its answer sent after it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from starlette import responses
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from hypern.aio import run_bridged
from hypern.web._request import Request
from hypern.web._response import Response

if TYPE_CHECKING:
    from types import TracebackType

Handler = Callable[..., Any]


class Endpoint:
    """Calls a handler with ``(request, response)`` or ``(request)`` for each request.

    A coroutine function runs as in ``hypern.aio.bridge``, and is cancelled when the client goes; any other callable
    runs in a thread of Starlette's.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._arguments = _count_arguments(handler)
        self._is_async = inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
            getattr(handler, "__call__", None)  # noqa: B004 - that of an object.
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            request = await Request.read(scope, receive)
        except ClientDisconnect:
            return
        try:
            answer = await self._answer(request, receive)
            if answer is not None:
                await answer(scope, receive, send)
        finally:
            await request.close()

    async def _answer(self, request: Request, receive: Receive) -> responses.Response | None:
        """Return what the handler answers; None where nobody waits for it any more."""
        response = Response()
        arguments = (request, response)[: self._arguments]
        if not self._is_async:
            return _as_response(await run_in_threadpool(self._handler, *arguments), response)
        answer = None
        async with _Presence(receive) as presence:
            answer = _as_response(await run_bridged(self._handler(*arguments)), response)
        return None if presence.has_gone else answer


def _count_arguments(handler: Handler) -> int:
    """Return how many arguments a handler takes: one or two. Raises TypeError for anything else."""
    if not callable(handler):
        raise TypeError(f"a handler must be a function, not {type(handler).__name__}")
    signature = inspect.signature(handler)
    for arguments in (2, 1):
        try:
            signature.bind(*range(arguments))
        except TypeError:
            continue
        return arguments
    raise TypeError(f"a handler takes (request, response) or (request), not {signature}: {handler!r:.100}")


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


class _Presence:
    """Cancels the task that enters it when the client goes."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.has_gone = False

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request is handled by a task of asyncio")
        self._task = task
        self._watcher = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._watcher.cancel()
        if not self.has_gone:
            return False
        if kind is None:
            # The handler was done in the same moment.
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                kind = asyncio.CancelledError
        # Whoever else has cancelled the task still does.
        return self._task.uncancel() == 0 and kind is not None and issubclass(kind, asyncio.CancelledError)

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.has_gone = True
        self._task.cancel()
