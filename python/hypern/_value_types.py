"""Data that may cross without anybody being able to tell: plain data, and immutable values of the standard library.

Everything else is refused, so that it stays where it is: what it refers to might be shared, or change.
"""

from __future__ import annotations

import io
import sys
from _pickle import Pickler, Unpickler
from _pickle import loads as pickle_loads

from hypern import _wire
from hypern._rebuilt import HEAP, attributes_of, fill_instance, make_instance, slots_of

TYPE_CHECKING = False  # As in typing, which a worker does not wait for.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

FunctionType = type(lambda: None)

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
_ATOMS = (type(None), bool, int, float, complex, str, bytes)
_PLAIN = (*_ATOMS, bytearray, list, tuple, dict, set, frozenset)


_FLOATING, _SETS = (float, complex), (set, frozenset)
#: What classes of the program may be built on, and how to ask their instances for what they hold of it.
_CONTENTS: dict[type, Callable[[Any], Any]] = {
    object: lambda _: None,
    int: int.__int__,
    float: float.__float__,
    complex: complex.__complex__,
    str: str.__str__,
    bytes: bytes.__bytes__,
    tuple: lambda obj: tuple(tuple.__iter__(obj)),
    list: list.copy,
    dict: dict.copy,
}
_REDUCERS = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs__", "__getnewargs_ex__")
_HOOKS = {*_REDUCERS, "__new__", "__getattr__", "__getattribute__", "__setattr__", "__slots__", "_member_map_"}
#: Filled after they are made, so that they may contain themselves.
_FILLED = (list, dict)


class NotPlain(Exception):
    """The value of that type must stay where it is."""

    def __init__(self, kind: type, name: str = "") -> None:
        super().__init__(f"a {name or kind.__qualname__}")


class EqualPickler(Pickler):
    """``number_of`` gives what stands for a class of the program that both ends have; None for anything else.

    Instances of such a class are rebuilt by what they hold, and none of its code is asked.
    """

    def __init__(self, file: io.BytesIO, number_of: Callable[[Any], Any]) -> None:
        super().__init__(file, 5)
        self._number_of = number_of
        #: Classes whose instances pickle may write by itself.
        self._simple: set[type] = set()

    def persistent_id(self, obj: Any) -> Any:
        kind = type(obj)
        if kind in _FLOATING and obj != obj:  # noqa: PLR0124 - a NaN
            raise NotPlain(kind, "NaN")
        if kind in _SETS:  # They may come out in another order.
            raise NotPlain(kind)
        return self._number_of(obj)

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind.__name__ == "Decimal" and _is_value_type(kind) and obj.is_nan():
            raise NotPlain(kind, "NaN")
        if kind in _PLAIN or _is_value_type(kind) or _names_a_reducer(obj):
            return NotImplemented
        if kind in self._simple:
            return NotImplemented
        if self._number_of(kind) is None:
            raise NotPlain(kind)
        if not _has_hooks(kind):
            self._simple.add(kind)
            return NotImplemented
        return _reduced(obj)


def _has_hooks(kind: type) -> bool:
    """Tell whether pickle would ask code of the program, or could not see all that an instance holds."""
    *classes, _ = kind.__mro__
    return type(kind.__hash__) is FunctionType or any(
        not each.__flags__ & HEAP or not _HOOKS.isdisjoint(vars(each)) or type(vars(each).get("__dict__")) is property
        for each in classes
    )


def _reduced(obj: Any) -> tuple[Any, ...]:
    """Return how an instance of a class of the program is rebuilt."""
    kind = type(obj)
    base: Any = next(each for each in kind.__mro__ if not each.__flags__ & HEAP)
    if base not in _CONTENTS or hasattr(kind, "_member_map_"):
        raise NotPlain(kind)
    try:
        base.__new__(kind)
        content, slots, attributes = _CONTENTS[base](obj), slots_of(obj), attributes_of(obj)
    except TypeError:  # A class between the two makes its instances itself, or hides what they hold.
        raise NotPlain(kind) from None
    if type(kind.__hash__) is FunctionType and not all(
        map(_cannot_lead_back, (content, *slots.values(), *attributes.values()))
    ):
        # As a key of a dict that it leads to, it would be asked for its hash before it is whole.
        raise NotPlain(kind)
    fixed, filled = (None, content) if base in _FILLED else (content, None)
    return make_instance, (base, kind, fixed), (slots, attributes, filled), None, None, fill_instance


def _cannot_lead_back(value: Any) -> bool:
    kind = type(value)
    if kind is tuple:
        return all(map(_cannot_lead_back, value))
    return kind in _ATOMS or _is_value_type(kind) or type(kind.__hash__) is FunctionType


def _is_value_type(kind: Any) -> bool:
    """Tell whether a class is a value type, and not one that says so."""
    module, name = kind.__module__, kind.__qualname__
    return (module, name) in VALUE_TYPES and getattr(sys.modules.get(module), name, kind) is kind


def _names_a_reducer(obj: Any) -> bool:
    """Tell whether an object is what a pickle of a value type calls: its type, or a function beside it."""
    if issubclass(type(obj), type):
        return obj in _PLAIN or obj is object or _is_value_type(obj)
    return type(obj) is FunctionType and (
        obj in (make_instance, fill_instance) or (obj.__module__, obj.__qualname__) == ("re", "_compile")
    )


def dumps(
    value: Any,
    number_of: Callable[[Any], Any] = lambda _: None,
    *,
    exactly: bool = False,
    pickler: type[EqualPickler] = EqualPickler,
) -> bytes:
    """Return ``value`` as bytes. Raises NotPlain where it, or something in it, must stay.

    With ``exactly``, raise ValueError for a NaN, which is found in a container by its identity. Without it, one that
    may be in ``value`` twice is refused.
    """
    plain = _wire.plain
    if plain is not None:
        payload = plain.encode_exactly(value) if exactly else plain.encode(value)
        if payload is not None:
            return payload
    file = io.BytesIO()
    pickler(file, number_of).dump(value)
    return file.getvalue()


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
