"""Data as bytes: what crosses between this process and a worker, in either direction.

Plain data goes by the codec of the core where there is one, everything else by ``_pickled``.
"""

from __future__ import annotations

TYPE_CHECKING = False  # As in typing, which a worker does not wait for.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    #: ``encode(value)`` returns bytes, None for what is not plain; ``decode(bytes)`` NotImplemented for a pickle.
    PlainCodec = tuple[Callable[[Any], bytes | None], Callable[[Any], Any]]

#: First byte of a function: the pickle of one, to be rebuilt once for all or for each call; or where it is found.
KEPT, FRESH, NAMED = b"\0", b"\1", b"\2"

#: ``plain`` of the core; None until it is there, and on free-threaded builds.
_plain: PlainCodec | None = None


def use_plain(codec: PlainCodec | None) -> None:
    """Use a codec for plain data from now on, at this end; the other end must have it too."""
    global _plain
    _plain = codec


def dumps(value: Any) -> tuple[bytes, list[memoryview]]:
    """Return ``value`` as bytes and the large buffers that it refers to."""
    if _plain is not None and (plain := _plain[0](value)) is not None:
        return plain, []
    from hypern import _pickled  # Loaded by the first value that needs it.

    return _pickled.dumps(value)


def loads(payload: Any, buffers: list[Any] | tuple[()] = ()) -> Any:
    """Return what ``dumps`` made bytes of."""
    if _plain is not None and (value := _plain[1](payload)) is not NotImplemented:
        return value
    from _pickle import loads

    return loads(payload, buffers=buffers)


def describe(error: BaseException) -> str:
    """Return an exception as ``type: message``."""
    try:
        return f"{type(error).__qualname__}: {error}"
    except Exception:  # A ``__str__`` of its own that fails.
        return type(error).__qualname__
