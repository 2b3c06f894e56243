"""What a handler is asked: a request whose body has been read."""

from __future__ import annotations

import json
from typing import Any, cast

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.requests import Request as Unread
from starlette.types import Receive, Scope

_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")


class Request(HTTPConnection):
    """A request with its whole body, so that nothing of it needs ``await``.

    Headers, ``path_params``, ``query_params``, cookies, ``client``, ``url``, ``state`` and the rest are Starlette's.
    """

    def __init__(self, scope: Scope, body: bytes, form: FormData | HTTPException) -> None:
        super().__init__(scope)
        self._body = body
        #: Or why there is none.
        self._form = form

    @classmethod
    async def read(cls, scope: Scope, receive: Receive) -> Request:
        """Read a request; ClientDisconnect where the client has gone, HTTPException where its body is too large."""
        unread = Unread(scope, receive)
        body = await unread.body()
        form: FormData | HTTPException = FormData()
        if unread.headers.get("content-type", "").lower().startswith(_FORMS):
            try:
                form = await unread.form()
            except HTTPException as error:
                form = error
        return cls(scope, body, form)

    @property
    def method(self) -> str:
        """The method, in capitals."""
        return cast(str, self.scope["method"])

    def body(self) -> bytes:
        """Return the body as it came."""
        return self._body

    def text(self) -> str:
        """Return the body as text; it answers with 400 where it is no UTF-8."""
        try:
            return self._body.decode()
        except UnicodeDecodeError as error:
            raise HTTPException(400, f"the body is no UTF-8: {error}") from error

    def json(self) -> Any:
        """Return what the body says in JSON; it answers with 400, and the reason, where that is none."""
        if not hasattr(self, "_json"):
            if not self._body:
                raise HTTPException(400, "the request has no body; JSON is expected")
            try:
                self._json = json.loads(self._body)
            except (ValueError, RecursionError) as error:
                raise HTTPException(400, f"the body is no JSON: {error}") from error
        return self._json

    def form(self) -> FormData:
        """Return the fields and files of a form; none where the body is no form.

        It answers with 400 where the form is broken, or has more than 1,000 fields or files or a field of over 1 MiB.
        """
        if isinstance(self._form, HTTPException):
            raise self._form
        return self._form

    async def close(self) -> None:
        """Remove the files of a form."""
        if isinstance(self._form, FormData):
            await self._form.close()
