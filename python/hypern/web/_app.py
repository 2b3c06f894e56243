"""``Hypern``: a web application."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route, get_name
from starlette.types import ExceptionHandler, Lifespan

from hypern import blocking
from hypern.errors import QueueFull
from hypern.web._endpoint import Endpoint, Handler

H = TypeVar("H", bound=Handler)


class Hypern(Starlette):
    """A Starlette application whose handlers may make calls that wait for a worker, without keeping others waiting.

    A handler takes ``(request, response)`` or ``(request)``, a ``hypern.web.Request`` and a ``hypern.web.Response``. It
    returns the response, any other response of Starlette, a dict or list (JSON), a str (plain text), bytes, or None for
    the response as it was filled in. In a coroutine function, a plain call of ``run_sync``, ``map``, ``run_parallel``
    or ``@blocking`` suspends the handler as ``await`` would (see ``hypern.aio.bridge``), and the handler is cancelled
    when its client goes. Other functions run in a thread.

    A body of more than ``max_body_size`` bytes (None: no limit) is answered with 413; one that is no JSON where the
    handler asks for that with 400; a QueueFull that a handler does not catch with 503 and ``Retry-After`` after
    ``retry_after`` seconds; any other exception with 500, which tells nothing of it, and goes to the server's log.

    When the server stops, the default executor is shut down, for which it waits 30 seconds, unless
    ``set_default_executor`` was given it or another application still runs. No executor is made before a handler needs
    one, and one that was made before the server has forked is opened anew in each child, so several worker processes do
    no harm. Other arguments are those of Starlette.

    >>> app = Hypern()
    >>> @app.get("/items/{number:int}")
    ... async def item(request, response):
    ...     return response.json({"item": request.path_params["number"]})
    """

    def __init__(
        self,
        *,
        debug: bool = False,
        routes: Sequence[BaseRoute] | None = None,
        middleware: Sequence[Middleware] | None = None,
        exception_handlers: Mapping[Any, ExceptionHandler] | None = None,
        lifespan: Lifespan[Any] | None = None,
        max_body_size: int | None = 16 * 1024 * 1024,
        retry_after: int = 1,
    ) -> None:
        async def refuse(_: Request, __: Exception) -> PlainTextResponse:
            headers = {"Retry-After": str(retry_after)}
            return PlainTextResponse("Service Unavailable: too many tasks wait", 503, headers)

        super().__init__(
            debug,
            routes,
            middleware,
            {QueueFull: refuse, **(exception_handlers or {})},
            lifespan,
            max_body_size=max_body_size,
        )
        self.router.lifespan_context = _then_close(self.router.lifespan_context)

    def route(self, path: str, methods: Sequence[str] = ("GET",), *, name: str | None = None) -> Callable[[H], H]:
        """Return a decorator for the handler of a path; ``{name}`` and ``{name:int}`` in it are path parameters.

        A second parameter of a handler that has a default is the response where it is called so. Raises TypeError for
        ``methods`` that are no list of them; the decorator does for what cannot be called with one or two arguments.
        """
        if isinstance(methods, str):
            raise TypeError(f"methods must be a list of them, such as [{methods!r}], and not a str")

        def add(handler: H) -> H:
            self.routes.append(Route(path, Endpoint(handler), methods=methods, name=name or get_name(handler)))
            return handler

        return add

    def get(self, path: str, *, name: str | None = None) -> Callable[[H], H]:
        """Return a decorator for the handler of GET, and of HEAD."""
        return self.route(path, ("GET",), name=name)

    def post(self, path: str, *, name: str | None = None) -> Callable[[H], H]:
        """Return a decorator for the handler of POST."""
        return self.route(path, ("POST",), name=name)

    def put(self, path: str, *, name: str | None = None) -> Callable[[H], H]:
        """Return a decorator for the handler of PUT."""
        return self.route(path, ("PUT",), name=name)

    def patch(self, path: str, *, name: str | None = None) -> Callable[[H], H]:
        """Return a decorator for the handler of PATCH."""
        return self.route(path, ("PATCH",), name=name)

    def delete(self, path: str, *, name: str | None = None) -> Callable[[H], H]:
        """Return a decorator for the handler of DELETE."""
        return self.route(path, ("DELETE",), name=name)

    def head(self, path: str, *, name: str | None = None) -> Callable[[H], H]:
        """Return a decorator for the handler of HEAD."""
        return self.route(path, ("HEAD",), name=name)

    def options(self, path: str, *, name: str | None = None) -> Callable[[H], H]:
        """Return a decorator for the handler of OPTIONS."""
        return self.route(path, ("OPTIONS",), name=name)

    def run(self, host: str = "127.0.0.1", port: int = 8000, **options: Any) -> None:
        """Serve in this process, by uvicorn, until Ctrl-C or SIGTERM, and finish the requests that run then.

        ``options`` are those of ``uvicorn.run``. Raises ValueError for those that need the application as an import
        string: ``uvicorn module:app --workers 4`` does what they say.
        """
        import uvicorn  # noqa: PLC0415 - by the program that serves, and no other.

        if options.get("reload") or (options.get("workers") or 1) > 1:
            raise ValueError("run() serves in this process; for reload or more workers: uvicorn module:app --workers 4")
        uvicorn.run(self, host=host, port=port, **{"workers": 1, **options})


#: Applications of this process whose lifespan has begun and not ended. Written under the lock.
_alive = 0
_lock = threading.Lock()


def _then_close(lifespan: Lifespan[Any]) -> Lifespan[Any]:
    """Return a lifespan with which, where it is the last one to end, the default executor ends."""

    @asynccontextmanager
    async def lifespan_then_close(app: Any) -> AsyncIterator[Any]:
        global _alive
        with _lock:
            _alive += 1
        try:
            async with lifespan(app) as state:
                yield state
        finally:
            with _lock:
                _alive -= 1
                is_last = _alive == 0
            if is_last:
                await run_in_threadpool(blocking._close_default_executor)

    return lifespan_then_close
