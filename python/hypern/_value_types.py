"""Data that may cross without anybody being able to tell.

That is plain data, immutable values of the standard library, and instances of classes that both ends have. Everything
else is refused, so that it stays where it is: what it refers to might be shared, or change.
"""

from __future__ import annotations

import io
import sys
from _contextvars import copy_context
from _pickle import Pickler, Unpickler

from hypern import _wire
from hypern._members import find_flag, find_member, is_enumeration, name_of_standard, reduce_member
from hypern._reached import is_standard
from hypern._rebuilt import HEAP, attributes_of, fill_instance, find, make_instance, slot_members, slots_of

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
_HOOKS = {*_REDUCERS, "__new__", "__getattr__", "__getattribute__", "__setattr__", "__slots__"}
#: Filled after they are made, so that they may contain themselves.
_FILLED = (list, dict)


class NotPlain(Exception):
    """The value of that type must stay where it is, and why, of an argument."""

    def __init__(self, kind: type, name: str = "", why: str = "which may be shared or change") -> None:
        super().__init__(f"a {name or kind.__qualname__}")
        self.why = why


class _Named:
    """Stands for a class in the pickle of an instance."""

    __slots__ = ("number",)

    def __init__(self, number: str) -> None:
        self.number = number


class EqualPickler(Pickler):
    """``number_of`` gives what stands for a class of the program that both ends have; None for anything else.

    Instances of such a class are rebuilt by what they hold, and none of its code is asked.
    """

    def __init__(self, file: io.BytesIO, number_of: Callable[[Any], str | None]) -> None:
        super().__init__(file, 5)
        self._number_of = number_of
        #: Classes whose instances pickle may write by itself.
        self._simple: set[type] = set()
        #: Classes of others that were met, and what stands for them.
        self._named: dict[type, _Named] = {}
        self._members: dict[type, dict[tuple[int, str], Any]] = {}

    def persistent_id(self, obj: Any) -> Any:
        kind = type(obj)
        if kind in _FLOATING and obj != obj:  # noqa: PLR0124 - a NaN
            raise NotPlain(kind, "NaN")
        if kind in _SETS:  # They may come out in another order.
            raise NotPlain(kind)
        return obj.number if kind is _Named else self.number_of_data(obj)

    def number_of_data(self, obj: Any, /) -> str | None:
        """Return what stands for an object among the data, None where it is written."""
        return self._number_of(obj)

    def number_of_class(self, kind: type) -> str | None:
        """Return what stands for a class of instances, None where there are none at the other end."""
        return name_of_standard(kind) or self._number_of(kind)

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind.__name__ == "Decimal" and _is_value_type(kind) and obj.is_nan():
            raise NotPlain(kind, "NaN")
        if kind in _PLAIN or _is_value_type(kind) or _names_a_reducer(obj):
            return NotImplemented
        if kind in self._simple:
            return NotImplemented
        named = self._named.get(kind)
        if named is None:
            number = self.number_of_class(kind)
            if number is None:
                raise NotPlain(kind)
            named = self._named[kind] = _Named(number)
        if is_enumeration(kind):
            reduced = reduce_member(obj, named)
            if reduced is None:
                raise NotPlain(kind)
            return reduced
        return self.reduce_instance(obj, kind, named)

    def reduce_instance(self, obj: Any, kind: type, named: _Named) -> Any:
        if not _has_hooks(kind):
            self._simple.add(kind)
            return NotImplemented
        reduced = self._rebuilt(obj, kind, named)
        slots, attributes, filled = reduced[2]
        if type(kind.__hash__) is FunctionType and not all(
            map(_cannot_lead_back, (reduced[1][2], filled, *slots.values(), *attributes.values()))
        ):
            # As a key of a dict that it leads to, it would be asked for its hash before it is whole.
            raise NotPlain(kind)
        return reduced

    def _rebuilt(self, obj: Any, kind: type, named: _Named) -> tuple[Any, ...]:
        """Return how an instance of a class of the program is rebuilt."""
        base: Any = next(each for each in kind.__mro__ if not each.__flags__ & HEAP)
        if base not in _CONTENTS:
            raise NotPlain(kind)
        members = self._members.get(kind)
        if members is None:
            members = self._members[kind] = slot_members(kind)
        try:
            base.__new__(kind)
            content, slots, attributes = _CONTENTS[base](obj), slots_of(obj, members), attributes_of(obj)
        except TypeError:  # A class between the two makes its instances itself, or hides what they hold.
            raise NotPlain(kind) from None
        fixed, filled = (None, content) if base in _FILLED else (content, None)
        return make_instance, (base, named, fixed), (slots, attributes, filled), None, None, fill_instance


class Given:
    """What of the program is among the arguments of a call."""

    def __init__(self) -> None:
        #: The classes of the program whose instances are there, with what both ends call them.
        self.classes: dict[type, str] = {}
        #: The addresses of instances, but for members of enumerations, which are as alive as the arguments.
        self.instances: set[int] = set()


class _ArgumentPickler(EqualPickler):
    """``number_of`` makes what both ends will call a class, which is not looked at as data."""

    def __init__(self, file: io.BytesIO, number_of: Callable[[Any], str | None]) -> None:
        super().__init__(file, number_of)
        self.given = Given()

    def number_of_data(self, _obj: Any, /) -> None:
        return None

    def number_of_class(self, kind: type) -> str | None:
        if issubclass(kind, type):
            return None
        number = name_of_standard(kind)
        if number is None and not is_standard(kind.__module__) and _is_record(kind):
            number = self._number_of(kind)
        if number is not None:
            self.given.classes[kind] = number
        return number

    def reduce_instance(self, obj: Any, kind: type, named: _Named) -> Any:
        # Keys of dicts, whose hash counts, are refused by who is given them.
        reduced = self._rebuilt(obj, kind, named)
        _, attributes, _ = reduced[2]
        if attributes and not attributes.keys() <= vars(kind)["__dataclass_fields__"].keys():
            raise NotPlain(kind, why="which keeps more than its fields")
        self.given.instances.add(id(obj))
        return reduced


def _is_record(kind: type) -> bool:
    """Tell whether a class is an enumeration, one of named tuples, or a dataclass: what its instances are is known."""
    if any(map(_reads_repr, (kind.__repr__, kind.__str__, kind.__format__))):
        raise NotPlain(kind, why="which may be shown with its address")
    if is_enumeration(kind):
        return True
    if issubclass(kind, tuple):  # It must be nothing but its items.
        fits = not kind.__dictoffset__ and kind.__basicsize__ == tuple.__basicsize__
    else:
        fits = "__dataclass_fields__" in vars(kind) and kind.__new__ is object.__new__
    if fits and kind.__repr__ is object.__repr__:
        raise NotPlain(kind, why="which is shown with its address")
    return fits


def _reads_repr(function: Any) -> bool:
    """Tell whether a method of the program asks for the text of a base class, which may be that of ``object``."""
    return (
        type(function) is FunctionType
        and not is_standard(function.__module__)
        and "__repr__" in function.__code__.co_names
    )


def _has_hooks(kind: type) -> bool:
    """Tell whether pickle would ask code of the program, or could not see all that an instance holds."""
    *classes, _ = kind.__mro__
    return type(kind.__hash__) is FunctionType or any(
        not each.__flags__ & HEAP or not _HOOKS.isdisjoint(vars(each)) or type(vars(each).get("__dict__")) is property
        for each in classes
    )


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
        obj in _REBUILDING or (obj.__module__, obj.__qualname__) == ("re", "_compile")
    )


_REBUILDING = (make_instance, fill_instance, find_member, find_flag)


def dumps(value: Any, number_of: Callable[[Any], str | None], *, pickler: type[EqualPickler] = EqualPickler) -> bytes:
    """Return ``value`` as bytes. Raises NotPlain where it, or something in it, must stay."""
    plain = _wire.plain
    if plain is not None and (payload := plain.encode(value)) is not None:
        return payload
    file = io.BytesIO()
    pickler(file, number_of).dump(value)
    return file.getvalue()


def dumps_arguments(value: Any, number_of: Callable[[type], str]) -> tuple[bytes, Given | None]:
    """Return ``value`` as bytes, and what of the program is in it; ``number_of`` makes what stands for a class.

    Raises NotPlain where it, or something in it, must stay.
    """
    plain = _wire.plain
    if plain is not None and (payload := plain.encode_exactly(value)) is not None:
        return payload, None
    file = io.BytesIO()
    pickler = _ArgumentPickler(file, number_of)
    copy_context().run(pickler.dump, value)  # As in ``_by_value.dumps_whole``.
    return file.getvalue(), pickler.given if pickler.given.classes else None


class _Unpickler(Unpickler):
    def persistent_load(self, number: str) -> type:
        return _class_of(number)


def loads(payload: Any) -> Any:
    """Return what one of these made bytes of. Raises ValueError where that would not be the same in every way."""
    plain = _wire.plain
    if plain is not None and (value := plain.decode_exactly(payload)) is not NotImplemented:
        return value
    return copy_context().run(_Unpickler(io.BytesIO(payload)).load)  # As there.


def _class_of(number: str) -> type:
    """Return the class that both ends call so: a place in the standard library, or a number of cloudpickle's."""
    if ":" in number:
        return find(*number.split(":"))
    cloudpickle: Any = sys.modules["cloudpickle.cloudpickle"]
    found: type | None = cloudpickle._DYNAMIC_CLASS_TRACKER_BY_ID.get(number)
    if found is None:
        raise ValueError("its class is gone")
    return found
