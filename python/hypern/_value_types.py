"""Data that may cross without anybody being able to tell: plain data, and immutable values of the standard library.

Everything else is refused, so that it stays where it is: what it refers to might be shared, or change.
"""

from __future__ import annotations

import io
import sys
from _pickle import Pickler, Unpickler
from _pickle import loads as pickle_loads

from hypern import _wire

TYPE_CHECKING = False  # As in typing, which a worker does not wait for.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: Immutable, and equal to their copies in every way. By name, so that none is loaded for this.
VALUE_TYPES = frozenset(
    (
        ("builtins", "range"),
        ("builtins", "slice"),
        ("builtins", "ellipsis"),
        ("builtins", "NotImplementedType"),
        ("datetime", "date"),
        ("datetime", "time"),
        ("datetime", "datetime"),
        ("datetime", "timedelta"),
        ("datetime", "timezone"),
        ("decimal", "Decimal"),
        ("fractions", "Fraction"),
        ("uuid", "UUID"),
        ("uuid", "SafeUUID"),
        ("re", "Pattern"),
    )
)
#: Built-in containers and atoms, which the pickler writes without asking.
_PLAIN = (type(None), bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset)
#: Opcodes of pickle for sets, which may come out in another order. A text that holds one is refused for nothing.
_SETS = (b"\x8f", b"\x91")


class NotPlain(Exception):
    """The value of that type must stay where it is."""

    def __init__(self, kind: type) -> None:
        super().__init__(f"a {kind.__qualname__}")


class _Pickler(Pickler):
    """``persistent_id`` gives what stands for an object of the program that both ends have; None for anything else."""

    def __init__(self, file: io.BytesIO, persistent_id: Callable[[Any], Any] = lambda _: None) -> None:
        super().__init__(file, 5)
        self.persistent_id = persistent_id

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if (
            kind in _PLAIN
            or _is_value_type(kind)
            or _names_a_reducer(obj)
            or (self.persistent_id(kind) is not None and not _reduces_itself(kind))
        ):
            return NotImplemented
        raise NotPlain(kind)


def _is_value_type(kind: Any) -> bool:
    """Tell whether a class is a value type, and not one that says so."""
    module, name = kind.__module__, kind.__qualname__
    return (module, name) in VALUE_TYPES and getattr(sys.modules.get(module), name, kind) is kind


def _names_a_reducer(obj: Any) -> bool:
    """Tell whether an object is what a pickle of a value type calls: its type, or a function beside it."""
    if issubclass(type(obj), type):
        return obj in _PLAIN or _is_value_type(obj)
    if type(obj) is type(_names_a_reducer):
        return (obj.__module__, obj.__qualname__) in (("re", "_compile"), ("copyreg", "_reconstructor"))
    return False


def _reduces_itself(kind: type) -> bool:
    """Tell whether a class says itself how its instances are pickled."""
    return any(
        type(getattr(kind, hook, None)) is type(_reduces_itself)
        for hook in ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs_ex__")
    )


def dumps(value: Any, persistent_id: Callable[[Any], Any] = lambda _: None, *, exactly: bool = False) -> bytes:
    """Return ``value`` as bytes. Raises NotPlain where it, or something in it, must stay.

    With ``exactly``, raise ValueError for a NaN, which is found in a container by its identity.
    """
    plain = _wire.plain
    if plain is not None:
        payload = plain.encode_exactly(value) if exactly else plain.encode(value)
        if payload is not None:
            return payload
    file = io.BytesIO()
    _Pickler(file, persistent_id).dump(value)
    payload = file.getvalue()
    if any(opcode in payload for opcode in _SETS):
        raise NotPlain(set)
    return payload


class _Unpickler(Unpickler):
    def __init__(self, payload: Any, persistent_load: Callable[[Any], Any]) -> None:
        super().__init__(io.BytesIO(payload))
        self.persistent_load = persistent_load


def loads(payload: Any, persistent_load: Callable[[Any], Any] | None = None) -> Any:
    """Return what ``dumps`` made bytes of. Raises ValueError where that would not be the same in every way."""
    plain = _wire.plain
    if plain is not None and (value := plain.decode_exactly(payload)) is not NotImplemented:
        return value
    return pickle_loads(payload) if persistent_load is None else _Unpickler(payload, persistent_load).load()
