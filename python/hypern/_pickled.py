"""Anything but plain data as bytes: pickle 5, and ``_by_value`` for what it refuses and for what lives in ``__main__``.

Memory of large buffers is left where it is and sent beside the pickle.
"""

from __future__ import annotations

# Not by pickle, which loads what a worker can do without.
from _pickle import PickleBuffer, PicklingError
from _pickle import dumps as pickle_dumps

from hypern._rebuilt import rebuild_view

TYPE_CHECKING = False  # As in typing, which a worker does not wait for.
if TYPE_CHECKING:
    from typing import Any

PROTOCOL = 5
#: Buffers from this size on travel beside the pickle; smaller ones are cheaper inside. ``LARGE`` of ``plain.rs``.
LARGE = 64 * 1024


class _LargeBytes:
    """Stands for a ``bytes`` object whose memory travels beside the pickle."""

    def __init__(self, value: bytes) -> None:
        self.value = value

    def __reduce__(self) -> tuple[Any, ...]:
        return bytes, (PickleBuffer(self.value),)


class _View:
    """Stands for a ``memoryview``, which pickle refuses."""

    def __init__(self, value: memoryview) -> None:
        self.value = value

    def __reduce__(self) -> tuple[Any, ...]:
        return view_reduced(self.value)


def view_reduced(view: memoryview) -> tuple[Any, ...]:
    """Return what a view is rebuilt from: an interpreter sees a large one where it lies, elsewhere it is a copy."""
    memory = PickleBuffer(view) if view.c_contiguous else view.tobytes()
    return rebuild_view, (memory, view.format, view.shape)


def lighten(value: Any) -> Any:
    """Replace what pickle would copy or refuse by something that travels beside the pickle."""
    if type(value) is bytes and len(value) >= LARGE:
        return _LargeBytes(value)
    return _View(value) if type(value) is memoryview else value


def dumps(value: Any) -> tuple[bytes, list[memoryview]]:
    """Return ``value`` as a pickle and the large buffers that it refers to."""
    value = lighten(value)
    found: list[PickleBuffer] = []
    try:
        payload = pickle_dumps(value, PROTOCOL, buffer_callback=found.append)
        if not found and b"__main__" not in payload:
            return payload, []
    except (PicklingError, AttributeError, TypeError):
        pass
    return _dumps_with_care(value)


def _dumps_with_care(value: Any) -> tuple[bytes, list[memoryview]]:
    buffers: list[memoryview] = []

    def keep_inside(buffer: PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # Not contiguous: only its own reducer knows how to write it.
            return True
        if raw.nbytes < LARGE:
            return True
        buffers.append(raw)
        return False

    try:
        payload = pickle_dumps(value, PROTOCOL, buffer_callback=keep_inside)
        if b"__main__" not in payload:
            return payload, buffers
    except (PicklingError, AttributeError, TypeError):
        pass
    from hypern import _by_value

    buffers.clear()
    return _by_value.dumps(value, keep_inside), buffers
