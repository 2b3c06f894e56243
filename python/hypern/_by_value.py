"""Pickles what pickle refuses: lambdas, closures, local classes, and what lives in ``__main__``.

This is cloudpickle, but for three things. The interpreters at both ends are the same, so code is marshalled, which
keeps the name of its file; cloudpickle drops it (from 3.1.3 on), and a traceback then shows no lines. A function is
rebuilt without cloudpickle, which takes a worker longer to load than all the rest. And cloudpickle makes bytes of
memoryviews.
"""

from __future__ import annotations

import dataclasses
import io
import marshal
from collections import ChainMap
from inspect import CO_OPTIMIZED
from types import CellType, CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

import cloudpickle

from hypern._pickled import PROTOCOL, view_reduced
from hypern._reached import Reached, is_standard
from hypern._rebuilt import fill_function, fill_module, find, import_module, make_cell, make_function, make_module

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
        return reduced


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
            _number(obj)
            reduced: Any = cloudpickle.cloudpickle._dynamic_class_reduce(obj)
            if len(reduced[1]) == 6:  # No enumeration.
                # What cloudpickle forgets: instances would take attributes that they have no place for.
                reduced[1][3].update({name: vars(obj)[name] for name in ("__slots__",) if name in vars(obj)})
                reduced[1][3]["__qualname__"] = obj.__qualname__
            return reduced
        if obj is dataclasses.MISSING:
            return find, ("dataclasses", "MISSING")
        if type(obj) is ModuleType and not is_standard(obj.__name__):
            read = {name: value for name, value in vars(obj).items() if name in self._names}
            return make_module, (obj.__name__,), read, None, None, fill_module
        return super().reducer_override(obj)


#: By class: the number that stands for it at both ends, and what it was like when it last got one.
_numbered: WeakKeyDictionary[type, tuple[str, list[Any], set[str]]] = WeakKeyDictionary()


def _number(cls: type) -> str:
    """Return what stands for a class of the program at both ends.

    It is another one where a worker that has the class could not make it what it is now: it sets attributes and takes
    none away, and the name and the bases stay.
    """
    if is_standard(cls.__module__):
        return f"{cls.__module__}.{cls.__qualname__}"
    made: list[Any] = [cls.__name__, cls.__qualname__, *map(_number, cls.__bases__)]
    for member in vars(cls).get("_member_map_", {}).values():
        made += [value for name, value in vars(member).items() if name != "__objclass__"]
    number, made_before, names = _numbered.get(cls, ("", made, set[str]()))
    if made != made_before or not names <= vars(cls).keys():
        cloudpickle.cloudpickle._DYNAMIC_CLASS_TRACKER_BY_CLASS.pop(cls, None)
        number = ""
    number = number or cloudpickle.cloudpickle._get_or_create_tracker_id(cls)
    _numbered[cls] = number, made, {*vars(cls)}
    return number


def dumps_whole(value: Any, callables: Iterable[Any]) -> bytes:
    """Return ``value``, which is made of callables, as a pickle that refers to nothing but the standard library."""
    file = io.BytesIO()
    WholePickler(file, Reached(callables).names).dump(value)
    return file.getvalue()


def dumps(value: Any, buffer_callback: Callable[[pickle.PickleBuffer], bool] | None = None) -> bytes:
    """Return ``value`` as a pickle."""
    file = io.BytesIO()
    Pickler(file, PROTOCOL, buffer_callback).dump(value)
    return file.getvalue()
