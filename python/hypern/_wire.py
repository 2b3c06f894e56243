"""Data as bytes: what crosses between this process and a worker, in either direction.

Plain data goes by the codec of the core where there is one, everything else by ``_pickled``.
"""

from __future__ import annotations

TYPE_CHECKING = False  # As in typing, which a worker does not wait for.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: First byte of a function: the pickle of one, to be rebuilt once for all or for each call; or where it is found.
KEPT, FRESH, NAMED = b"\0", b"\1", b"\2"


class PlainCodec:
    """The functions of the core for plain data; see ``crates/python/src/plain.rs``."""

    __slots__ = ("decode", "decode_exactly", "encode", "encode_exactly", "look", "watch")

    encode: Callable[[Any], bytes | None]
    decode: Callable[[Any], Any]
    decode_exactly: Callable[[Any], Any]
    encode_exactly: Callable[[Any], bytes | None]
    watch: Callable[[Any], list[Any] | None]
    look: Callable[[list[Any]], str]

    def __init__(self, functions: tuple[Any, ...]) -> None:
        self.encode, self.decode, self.decode_exactly, self.encode_exactly, self.watch, self.look = functions


#: None until the core is there, and on free-threaded builds.
plain: PlainCodec | None = None


def use_plain(functions: tuple[Any, ...] | None) -> None:
    """Use the codec of the core (``hypern._core.plain``) from now on; the other end must have it too."""
    global plain
    plain = None if functions is None else PlainCodec(functions)


def dumps(value: Any) -> tuple[bytes, list[memoryview]]:
    """Return ``value`` as bytes and the large buffers that it refers to."""
    if plain is not None and (payload := plain.encode(value)) is not None:
        return payload, []
    from hypern import _pickled  # Loaded by the first value that needs it.

    return _pickled.dumps(value)


def loads(payload: Any, buffers: list[Any] | tuple[()] = ()) -> Any:
    """Return what ``dumps`` made bytes of."""
    if plain is not None and (value := plain.decode(payload)) is not NotImplemented:
        return value
    from _pickle import loads

    return loads(payload, buffers=buffers)


def describe(error: BaseException) -> str:
    """Return an exception as ``type: message``."""
    try:
        return f"{type(error).__qualname__}: {error}"
    except Exception:  # A ``__str__`` of its own that fails.
        return type(error).__qualname__
