"""``Hypern``: a web application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route
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

    When the server stops, the default executor is shut down, once its tasks have ended. Other arguments are those of
    Starlette. No executor is made before a handler needs one, and one that was made before the server has forked is
    opened anew in each child, so several worker processes do no harm.

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
            _then_close(lifespan),
            max_body_size=max_body_size,
        )

    def route(self, path: str, methods: Sequence[str] = ("GET",), *, name: str | None = None) -> Callable[[H], H]:
        """Return a decorator for the handler of a path; ``{name}`` and ``{name:int}`` in it are path parameters.

        Raises TypeError for a handler that cannot be called with ``(request, response)`` or ``(request)``.
        """

        def add(handler: H) -> H:
            named = name or getattr(handler, "__name__", type(handler).__name__)
            self.routes.append(Route(path, Endpoint(handler), methods=methods, name=named))
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


def _then_close(lifespan: Lifespan[Any] | None) -> Lifespan[Any]:
    """Return a lifespan that shuts down the default executor at its end."""

    @asynccontextmanager
    async def lifespan_then_close(app: Any) -> AsyncIterator[Any]:
        try:
            if lifespan is None:
                yield
            else:
                async with lifespan(app) as state:
                    yield state
        finally:
            await run_in_threadpool(blocking.close_default_executor)

    return lifespan_then_close
