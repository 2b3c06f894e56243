"""What a handler answers: Starlette's response, filled in by methods that can be chained."""

from __future__ import annotations

from typing import Any, Self

from starlette import responses
from starlette.types import Receive, Scope, Send

#: Answers that have no body, besides those below 200.
_WITHOUT_BODY = (204, 205, 304)


class Response(responses.Response):
    """A response with status 200 and no body, until told otherwise.

    >>> response = Response().status(201).header("x-kind", "report").json({"rows": 3})
    >>> response.status_code, response.body
    (201, b'{"rows":3}')
    """

    def status(self, code: int) -> Self:
        """Answer with this status."""
        self.status_code = code
        return self

    def header(self, name: str, value: str) -> Self:
        """Answer with this header, in the place of one of that name; cookies are added by ``set_cookie``."""
        self.headers[name] = value
        return self

    def json(self, value: Any) -> Self:
        """Answer with a value as JSON. Raises TypeError and ValueError where JSON has no such value."""
        return self.content(responses.JSONResponse(value).body, "application/json")

    def text(self, text: str) -> Self:
        """Answer with plain text."""
        return self.content(text.encode(), "text/plain; charset=utf-8")

    def html(self, text: str) -> Self:
        """Answer with HTML."""
        return self.content(text.encode(), "text/html; charset=utf-8")

    def content(self, body: bytes | memoryview, media_type: str = "application/octet-stream") -> Self:
        """Answer with these bytes."""
        self.body = bytes(body)
        self.headers["content-length"] = str(len(self.body))
        return self.header("content-type", media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        if self.status_code < 200 or self.status_code in _WITHOUT_BODY:
            self.body = b""
            for name in ("content-length", "content-type"):
                del self.headers[name]
        await super().__call__(scope, receive, send)
