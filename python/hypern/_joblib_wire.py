"""Batches of joblib and their results as bytes: by value, with large arrays as files in memory that both ends map."""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING, Any

from hypern import _by_value
from hypern._pickled import LARGE, PROTOCOL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pickle import PickleBuffer

    #: By exact type: how to pickle an object otherwise than it does itself; NotImplemented for one that need not be.
    Reducers = Mapping[type, Callable[[Any], Any]]


class _Pickler(_by_value.Pickler):
    def __init__(self, file: io.BytesIO, reducers: Reducers, keep_inside: Callable[[PickleBuffer], bool]) -> None:
        # To look in the chain for each object takes a third of the time, and pickle asks for it when it begins.
        self.dispatch_table = dict(_by_value.Pickler.dispatch_table)  # type: ignore[misc]
        super().__init__(file, PROTOCOL, keep_inside)
        self._reducers = reducers

    def reducer_override(self, obj: Any) -> Any:
        reduce = self._reducers.get(type(obj))
        if reduce is not None and (reduced := reduce(obj)) is not NotImplemented:
            return reduced
        return super().reducer_override(obj)


def dumps(value: Any, reducers: Reducers) -> tuple[bytes, list[PickleBuffer]]:
    """Return ``value`` as a pickle, and the buffers of 64 KiB and more in it, which the wire sends without a copy."""
    file = io.BytesIO()
    buffers: list[PickleBuffer] = []

    def keep_inside(buffer: PickleBuffer) -> bool:
        try:
            large = buffer.raw().nbytes >= LARGE
        except BufferError:  # Not contiguous.
            return True
        if large:
            buffers.append(buffer)
        return not large

    _Pickler(file, reducers, keep_inside).dump(value)
    return file.getvalue(), buffers


def loads(payload: bytes, buffers: list[Any]) -> Any:
    """Return what ``dumps`` made bytes of."""
    return pickle.loads(payload, buffers=buffers)


def for_large(reduce: Callable[[Any], Any], most: int | None) -> Callable[[Any], Any]:
    """Return what pickles arrays of more than ``most`` bytes by ``reduce``, and those that lie in a file.

    Others go as any object with a buffer does, where joblib's own way copies them.
    """
    from joblib._memmapping_reducer import has_shareable_memory

    def reduce_large(array: Any) -> Any:
        large = most is not None and array.nbytes > most and not array.dtype.hasobject
        return reduce(array) if large or has_shareable_memory(array) else NotImplemented

    return reduce_large


def backward() -> Reducers:
    """Return what sends arrays back: one of a file of the program by its name, one of a temporary file as a copy."""
    from joblib._memmapping_reducer import get_memmapping_reducers

    _, reducers = get_memmapping_reducers()
    return {kind: for_large(reduce, None) for kind, reduce in reducers.items()}
