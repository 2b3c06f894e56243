"""Pickles what pickle refuses: lambdas, closures, local classes, and what lives in ``__main__``.

This is cloudpickle, but for three things. The interpreters at both ends are the same, so code is marshalled, which
keeps the name of its file; cloudpickle drops it (from 3.1.3 on), and a traceback then shows no lines. A function is
rebuilt without cloudpickle, which takes a worker longer to load than all the rest. And cloudpickle makes bytes of
memoryviews.
"""

from __future__ import annotations

import io
import marshal
from collections import ChainMap
from types import CellType, CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import cloudpickle

from hypern._pickled import PROTOCOL, view_reduced
from hypern._rebuilt import IMPORTABLE, fill_function, import_module, make_cell, make_function

if TYPE_CHECKING:
    import pickle
    from collections.abc import Callable


_dispatch_table: Any = cloudpickle.Pickler.dispatch_table


def _reduce_cell(cell: CellType) -> tuple[Any, ...]:
    try:
        return make_cell, (cell.cell_contents,)
    except ValueError:  # Empty.
        return make_cell, ()


def _reduce_module(module: ModuleType) -> Any:
    reduced = _dispatch_table[ModuleType](module)
    return (import_module, reduced[1]) if reduced[1] == (module.__name__,) else reduced


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
            _, args, state, *_ = reduced
            return make_function, args, state, None, None, fill_function
        return reduced


class WholePickler(Pickler):
    """Sends everything of the program by value, so that a worker imports nothing but the standard library."""

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is FunctionType and not _is_standard(obj):
            _, args, state, *_ = self._dynamic_function_reduce(obj)
            return make_function, args, state, None, None, fill_function
        if isinstance(obj, type) and not _is_standard(obj):
            return cloudpickle.cloudpickle._dynamic_class_reduce(obj)
        if type(obj) is ModuleType and not _is_standard(obj):
            raise TypeError(f"the module {obj.__name__!r} would be imported in the worker")
        return super().reducer_override(obj)


def _is_standard(value: Any) -> bool:
    module: str | None = value.__name__ if type(value) is ModuleType else value.__module__
    return module is not None and module.partition(".")[0] in IMPORTABLE


def dumps_whole(value: Any) -> bytes:
    """Return ``value`` as a pickle that refers to nothing but the standard library."""
    file = io.BytesIO()
    WholePickler(file, PROTOCOL).dump(value)
    return file.getvalue()


def dumps(value: Any, buffer_callback: Callable[[pickle.PickleBuffer], bool] | None = None) -> bytes:
    """Return ``value`` as a pickle."""
    file = io.BytesIO()
    Pickler(file, PROTOCOL, buffer_callback).dump(value)
    return file.getvalue()
