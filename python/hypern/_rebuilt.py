"""What the bytes of functions and memoryviews call to rebuild them, in a worker that need not load what made them."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # As in typing, which a worker does not wait for.
if TYPE_CHECKING:
    from types import CellType, CodeType, FunctionType
    from typing import Any


#: What a worker may import where nobody may notice: the standard library, and what rebuilds what is sent.
IMPORTABLE = {*sys.stdlib_module_names, "cloudpickle", "hypern"}


def find(module: str, qualname: str) -> Any:
    """Return what a module, imported where it is not yet, has under a name with dots."""
    found: Any = import_module(module)
    for name in qualname.split("."):
        found = getattr(found, name)
    return found


def import_module(name: str) -> Any:
    """Return a module."""
    __import__(name)
    return sys.modules[name]


def make_cell(*contents: Any) -> CellType:
    """Return a cell, empty where nothing is given."""
    from types import CellType

    return CellType(*contents)


def make_function(code: CodeType, namespace: dict[str, Any], *rest: Any) -> FunctionType:
    """Return a function without its state; ``rest`` is its name, its defaults and its closure."""
    from types import FunctionType

    return FunctionType(code, namespace, *rest)


def fill_function(function: FunctionType, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Give a function its attributes, and the globals and cells that it reads, as cloudpickle tells them."""
    attributes, slots = state
    function.__dict__.update(attributes)
    function.__globals__.update(slots.pop("__globals__"))
    function.__globals__["__builtins__"] = __builtins__
    for cell, told in zip(function.__closure__ or (), slots.pop("__closure__") or (), strict=True):
        try:
            cell.cell_contents = told.cell_contents
        except ValueError:  # Empty.
            continue
    for name, value in slots.items():
        if name.startswith("__"):  # What does not only refers to modules, so that they are imported.
            setattr(function, name, value)


def make_module(name: str) -> Any:
    """Return a module that is known to nobody else."""
    return type(sys)(name)


def fill_module(module: Any, read: dict[str, Any]) -> None:
    """Give a module what is read of it."""
    vars(module).update(read)


def rebuild_view(memory: Any, kind: Any, shape: Any) -> memoryview:
    """Return a view of the given format and shape."""
    view = memoryview(memory)
    return view if view.format == kind and view.shape == shape else view.cast("B").cast(kind, shape)
