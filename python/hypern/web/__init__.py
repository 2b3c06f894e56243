"""Web applications whose handlers compute on every core: a thin ASGI application on Starlette.

Needs the extra ``hypern[web]``: Starlette, uvicorn, greenlet and python-multipart.
"""

from __future__ import annotations

from hypern import _extras

_extras.check("web", "starlette", "uvicorn", "greenlet", "python_multipart")

from hypern.web._app import Hypern  # noqa: E402 - not before it is known that they are there.
from hypern.web._request import Request  # noqa: E402
from hypern.web._response import Response  # noqa: E402

__all__ = ("Hypern", "Request", "Response")
