"""Pickles what pickle refuses: lambdas, closures, local classes, and what lives in ``__main__``.

This is cloudpickle, but for four things. The interpreters at both ends are the same, so code is marshalled, which
keeps the name of its file; cloudpickle drops it (from 3.1.3 on), and a traceback then shows no lines. A function is
rebuilt without cloudpickle, which takes a worker longer to load than all the rest. A class that comes back from a
worker leaves the caller's own as it is. And cloudpickle makes bytes of memoryviews.
"""

from __future__ import annotations

import io
import marshal
from collections import ChainMap
from contextvars import copy_context
from dataclasses import KW_ONLY, MISSING
from enum import EnumType
from functools import cached_property
from inspect import CO_OPTIMIZED
from types import CellType, CodeType, FunctionType, GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple
from weakref import WeakKeyDictionary

import cloudpickle

from hypern import _guest
from hypern._pickled import PROTOCOL, view_reduced
from hypern._reached import Reached, is_standard
from hypern._rebuilt import (
    fill_class,
    fill_enumeration,
    fill_function,
    fill_member,
    fill_module,
    fill_returned,
    find,
    import_module,
    make_cell,
    make_enumeration,
    make_function,
    make_member,
    make_module,
    make_returned,
)

if TYPE_CHECKING:
    import pickle
    from collections.abc import Callable, Iterable


_dispatch_table: Any = cloudpickle.Pickler.dispatch_table


def _reduce_cell(cell: CellType) -> tuple[Any, ...]:
    try:
        return make_cell, (cell.cell_contents,)
    except ValueError:  # Empty.
        return make_cell, ()


def _reduce_module(module: ModuleType) -> Any:
    reduced = _dispatch_table[ModuleType](module)
    return (import_module, reduced[1]) if reduced[1] == (module.__name__,) else reduced


def _reduce_function(function: FunctionType, reduced: Any) -> tuple[Any, ...]:
    """Return what cloudpickle says of a function, with the globals that class bodies in it read, which it forgets."""
    _, args, state, *_ = reduced
    there = function.__globals__
    state[1]["__globals__"] |= {name: there[name] for name in _read_by_class_bodies(function.__code__) if name in there}
    return make_function, args, state, None, None, fill_function


def _read_by_class_bodies(code: CodeType) -> set[str]:
    names: set[str] = set()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _read_by_class_bodies(constant)
            if not constant.co_flags & CO_OPTIMIZED:
                names |= {*constant.co_names}
    return names


class Pickler(cloudpickle.Pickler):
    dispatch_table: ClassVar[Any] = ChainMap({CellType: _reduce_cell, ModuleType: _reduce_module}, _dispatch_table)

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is CodeType:
            try:
                return marshal.loads, (marshal.dumps(obj),)
            except ValueError:  # A constant that no compiler makes: somebody has rewritten the code.
                return NotImplemented
        if type(obj) is memoryview:
            return view_reduced(obj)
        reduced: Any = super().reducer_override(obj)
        if type(obj) is FunctionType and isinstance(reduced, tuple):
            return _reduce_function(obj, reduced)
        if _guest.is_guest() and isinstance(obj, type) and isinstance(reduced, tuple) and len(reduced) > 2:
            make, args, state, *_ = reduced
            number = cloudpickle.cloudpickle._get_or_create_tracker_id(obj)
            return make_returned, (number, make, *args), (number, state), None, None, fill_returned
        return reduced


#: By class: the number that stands for it at both ends, and what it was like when it last got one.
_numbered: WeakKeyDictionary[type, tuple[str, list[Any], set[str]]] = WeakKeyDictionary()


def class_number(cls: type) -> str:
    """Return what stands for a class of the program at both ends.

    It is another one where a worker that has the class could not make it what it is now: the name and the bases stay
    as they are, and so do slots.
    """
    if is_standard(cls.__module__):
        return f"{cls.__module__}.{cls.__qualname__}"
    made: list[Any] = [cls.__name__, cls.__qualname__, *map(class_number, cls.__bases__)]
    number, made_before, names = _numbered.get(cls, ("", made, set[str]()))
    if made != made_before or not names <= vars(cls).keys():
        cloudpickle.cloudpickle._DYNAMIC_CLASS_TRACKER_BY_CLASS.pop(cls, None)
        number = ""
    number = number or cloudpickle.cloudpickle._get_or_create_tracker_id(cls)
    _numbered[cls] = number, made, {*vars(cls)}
    return number


def _reduce_class(cls: type) -> tuple[Any, ...]:
    class_number(cls)
    make, args, state, *_ = cloudpickle.cloudpickle._dynamic_class_reduce(cls)
    # What cloudpickle forgets: instances would take attributes that they have no place for.
    args[3].update({name: vars(cls)[name] for name in ("__slots__",) if name in vars(cls)})
    args[3]["__qualname__"] = cls.__qualname__
    if NamedTuple in getattr(cls, "__orig_bases__", ()):
        # That is a function, which would make another class.
        args = *args[:2], cls.__bases__, *args[3:]
    return make, args, state, None, None, fill_class


def _reduce_enumeration(kind: EnumType) -> tuple[Any, ...]:
    """Return all that an enumeration holds; cloudpickle makes it anew, without aliases and what its own code did."""
    namespace = {
        name: value
        for name, value in vars(kind).items()
        if type(value) not in (GetSetDescriptorType, MemberDescriptorType) and name not in _REMADE
    }
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    made = type(kind), kind.__name__, kind.__bases__, names, class_number(kind)
    return make_enumeration, made, namespace, None, None, fill_enumeration


#: Entries of classes that Python makes when they are asked for.
_REMADE = frozenset(("__annotate_func__", "__annotations_cache__", "__slotnames__"))
#: How the value is asked for that a member is as an instance of a built-in type.
_RAW: dict[type, Callable[[Any], Any]] = {
    int: int.__index__,
    str: str.__str__,
    float: float.__float__,
    bytes: bytes.__bytes__,
}


def _reduce_member(member: Any) -> tuple[Any, ...]:
    kind = type(member)
    attributes = dict(vars(member))
    named = attributes["_name_"] in kind._member_map_ and kind._member_map_[attributes["_name_"]] is member
    name, value = (attributes["_name_"], None) if named else (None, attributes["_value_"])
    base = next((each for each in _RAW if issubclass(kind, each)), object)
    raw = (_RAW[base](member),) if base in _RAW else ()
    return make_member, (kind, name, value, base, *raw), attributes, None, None, fill_member


class WholePickler(Pickler):
    """Sends everything of the program by value, so that a worker imports nothing but the standard library."""

    def __init__(self, file: io.BytesIO, names: set[str]) -> None:
        super().__init__(file, PROTOCOL)
        #: What is read of modules.
        self._names = names

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is FunctionType and not is_standard(obj.__module__):
            return _reduce_function(obj, self._dynamic_function_reduce(obj))
        if isinstance(obj, type) and not is_standard(obj.__module__):
            return _reduce_enumeration(obj) if isinstance(obj, EnumType) else _reduce_class(obj)
        if isinstance(type(obj), EnumType) and not is_standard(type(obj).__module__):
            return _reduce_member(obj)
        if type(obj) is cached_property:  # Before Python 3.12 it has a lock.
            return cached_property, (obj.func,), {"attrname": obj.attrname, "__doc__": obj.__doc__}
        if obj is MISSING or obj is KW_ONLY:  # They are recognised by their identity.
            return find, ("dataclasses", "MISSING" if obj is MISSING else "KW_ONLY")
        if type(obj) is ModuleType and not is_standard(obj.__name__):
            read = {name: value for name, value in vars(obj).items() if name in self._names}
            return make_module, (obj.__name__,), read, None, None, fill_module
        return super().reducer_override(obj)


def dumps_whole(value: Any, callables: Iterable[Any]) -> bytes:
    """Return ``value``, which is made of callables, as a pickle that refers to nothing but the standard library."""
    file = io.BytesIO()
    # In a copy: the text of a decimal makes a context of decimals where there is none, which tasks would share.
    copy_context().run(WholePickler(file, Reached(callables).names).dump, value)
    return file.getvalue()


def dumps(value: Any, buffer_callback: Callable[[pickle.PickleBuffer], bool] | None = None) -> bytes:
    """Return ``value`` as a pickle."""
    file = io.BytesIO()
    Pickler(file, PROTOCOL, buffer_callback).dump(value)
    return file.getvalue()
