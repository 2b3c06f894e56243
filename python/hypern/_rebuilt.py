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


def make_instance(base: Any, kind: type, content: Any) -> Any:
    """Return an instance of a class that is built on ``base``, without its state and without asking the class."""
    return base.__new__(kind) if content is None else base.__new__(kind, content)


def fill_instance(instance: Any, state: tuple[dict[tuple[int, str], Any], dict[str, Any], Any]) -> None:
    """Give an instance its slots, its attributes, and what is in it if it is a list or a dict."""
    slots, attributes, content = state
    order = type(instance).__mro__
    for (place, name), value in slots.items():
        vars(order[place])[name].__set__(instance, value)
    if attributes:
        attributes_of(instance).update(attributes)
    if content is not None:
        list.extend(instance, content) if isinstance(instance, list) else dict.update(instance, content)


def slots_of(instance: Any) -> dict[tuple[int, str], Any]:
    """Return the slots of an instance that are filled, by the place of their class in its order, and their names."""
    slots = {}
    for place, kind in enumerate(type(instance).__mro__):
        if kind.__flags__ & HEAP:
            for name, member in vars(kind).items():
                if type(member) is _MEMBER:
                    try:
                        slots[place, name] = member.__get__(instance)
                    except AttributeError:  # Not filled.
                        continue
    return slots


def attributes_of(instance: Any) -> dict[str, Any]:
    """Return the attributes of an instance. Raises TypeError where its class hides them."""
    for kind in type(instance).__mro__:
        own = vars(kind).get("__dict__")
        if own is not None:
            if type(own) is not _GETSET:
                raise TypeError(f"{kind.__qualname__} hides the attributes of its instances")
            return own.__get__(instance)
    return {}


#: The flag of classes that are made at run time.
HEAP = 1 << 9


class _Slotted:
    __slots__ = ("__dict__", "slot")


_MEMBER: Any = type(_Slotted.slot)
_GETSET: Any = type(vars(_Slotted)["__dict__"])


def rebuild_view(memory: Any, kind: Any, shape: Any) -> memoryview:
    """Return a view of the given format and shape."""
    view = memoryview(memory)
    return view if view.format == kind and view.shape == shape else view.cast("B").cast(kind, shape)
