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

    __slots__ = ("decode", "decode_exactly", "encode", "encode_exactly", "look", "watch", "watch_instances")

    encode: Callable[[Any], bytes | None]
    decode: Callable[[Any], Any]
    decode_exactly: Callable[[Any], Any]
    encode_exactly: Callable[[Any], bytes | None]
    watch: Callable[[Any], list[Any] | None]
    look: Callable[[list[Any]], str]
    watch_instances: Callable[[tuple[Any, dict[type, tuple[Any, ...]]]], list[Any] | None]

    def __init__(self, functions: tuple[Any, ...]) -> None:
        self.encode, self.decode, self.decode_exactly, self.encode_exactly = functions[:4]
        self.watch, self.look, self.watch_instances = functions[4:]


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


#: First byte of a payload that brings what it needs to be rebuilt; neither plain data nor a pickle begins so.
WITH_CONTENT = b"\0"


def with_content(content: bytes, payload: bytes) -> bytes:
    """Return bytes that bring others with them, in which is what they need."""
    return b"".join((WITH_CONTENT, len(content).to_bytes(8, "little"), content, payload))


def without_content(payload: Any) -> tuple[bytes, Any]:
    """Return what ``with_content`` was given."""
    end = 9 + int.from_bytes(payload[1:9], "little")
    return bytes(payload[9:end]), payload[end:]


def describe(error: BaseException) -> str:
    """Return an exception as ``type: message``."""
    try:
        return f"{type(error).__qualname__}: {error}"
    except Exception:  # A ``__str__`` of its own that fails.
        return type(error).__qualname__
