"""Data as bytes: what crosses between this process and a worker, in either direction.

Pickle 5 is tried first because it is fast; ``_by_value`` takes over for what pickle refuses and for everything that
lives in ``__main__``, which a worker does not have. Memory of large buffers is left
where it is and sent beside the pickle.
"""

from __future__ import annotations

import pickle

TYPE_CHECKING = False  # As in typing, which a worker does not wait for.
if TYPE_CHECKING:
    from typing import Any

PROTOCOL = 5
#: First byte of a function: rebuilt for each call, or once for all.
FRESH, KEPT = b"\1", b"\0"
#: Buffers from this size on travel beside the pickle; smaller ones are cheaper inside.
LARGE = 64 * 1024


class _LargeBytes:
    """Stands for a ``bytes`` object whose memory travels beside the pickle."""

    def __init__(self, value: bytes) -> None:
        self.value = value

    def __reduce__(self) -> tuple[Any, ...]:
        return bytes, (pickle.PickleBuffer(self.value),)


def lighten(value: Any) -> Any:
    """Replace a large ``bytes`` object, which pickle would copy, by something that travels beside the pickle."""
    return _LargeBytes(value) if type(value) is bytes and len(value) >= LARGE else value


def dumps(value: Any) -> tuple[bytes, list[memoryview]]:
    """Return ``value`` as a pickle and the buffers that it refers to."""
    buffers: list[memoryview] = []

    def keep_inside(buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # Not contiguous: only its own reducer knows how to write it.
            return True
        if raw.nbytes < LARGE:
            return True
        buffers.append(raw)
        return False

    try:
        payload = pickle.dumps(value, PROTOCOL, buffer_callback=keep_inside)
        if b"__main__" not in payload:
            return payload, buffers
    except (pickle.PicklingError, AttributeError, TypeError):
        pass
    from hypern import _by_value

    buffers.clear()
    return _by_value.dumps(value, keep_inside), buffers


def describe(error: BaseException) -> str:
    """Return an exception as ``type: message``."""
    try:
        return f"{type(error).__qualname__}: {error}"
    except Exception:  # A ``__str__`` of its own that fails.
        return type(error).__qualname__
