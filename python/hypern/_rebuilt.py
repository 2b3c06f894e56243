"""What the bytes of functions, classes and memoryviews call to rebuild them, in a worker without what made them."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # As in typing, which a worker does not wait for.
if TYPE_CHECKING:
    from collections.abc import Callable
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


def slots_of(instance: Any, members: dict[tuple[int, str], Any] | None = None) -> dict[tuple[int, str], Any]:
    """Return the slots of an instance that are filled, by the place of their class in its order, and their names.

    ``members`` are what ``slot_members`` says of its class, where somebody has asked before.
    """
    slots = {}
    for place, member in (slot_members(type(instance)) if members is None else members).items():
        try:
            slots[place] = member.__get__(instance)
        except AttributeError:  # Not filled.
            continue
    return slots


def slot_members(cls: type) -> dict[tuple[int, str], Any]:
    """Return the descriptors of all slots of a class, by the same places and names."""
    return {
        (place, name): member
        for place, kind in enumerate(cls.__mro__)
        if kind.__flags__ & HEAP
        for name, member in vars(kind).items()
        if type(member) is _MEMBER
    }


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


def make_enumeration(kind: type, name: str, bases: tuple[type, ...], namespace: dict[str, Any], number: str) -> type:
    """Return an enumeration without members, or the one that is known under that number to cloudpickle."""
    from cloudpickle.cloudpickle import _lookup_class_or_track

    made = type.__new__(kind, name, bases, namespace)
    known: type = _lookup_class_or_track(number, made)
    return known


def make_member(kind: type, name: str | None, value: Any, base: type, *raw: Any) -> Any:
    """Return a member without attributes, or the one that the enumeration has: under a name, or a combined flag."""
    own = vars(kind)
    known = own.get("_value2member_map_", {}).get(value) if name is None else own.get("_member_map_", {}).get(name)
    return base.__new__(kind, *raw) if known is None else known


def fill_member(member: Any, attributes: dict[str, Any]) -> None:
    """Give a member its attributes, and no others."""
    vars(member).clear()
    vars(member).update(attributes)


def fill_enumeration(kind: type, namespace: dict[str, Any]) -> None:
    """Give an enumeration its members and all else, and nothing else."""
    _forget(kind, namespace)
    for name, value in namespace.items():
        # Without what enumerations do against it.
        type.__setattr__(kind, name, value)


def fill_class(cls: type, state: tuple[dict[str, Any], Any]) -> None:
    """Give a class what cloudpickle tells of it, and nothing else: it may be one that was known."""
    from cloudpickle.cloudpickle import _class_setstate

    _forget(cls, state[0])
    _class_setstate(cls, state)


#: Classes that have come from a worker and are not filled yet, by what cloudpickle knows them by. Two threads that take
#: the same one both fill it, or one of them finds it filled.
_unfilled: set[str] = set()


def make_returned(number: str, make: Callable[..., type], *args: Any) -> type:
    """Return the class that is known under that number to cloudpickle, or a new one without what it holds."""
    from cloudpickle.cloudpickle import _DYNAMIC_CLASS_TRACKER_BY_ID

    known = _DYNAMIC_CLASS_TRACKER_BY_ID.get(number)
    if known is not None:
        return known
    _unfilled.add(number)
    return make(*args)


def fill_returned(cls: type, state: tuple[str, Any]) -> None:
    """Give a class that is new here what it holds; another one may have changed since it was sent."""
    number, content = state
    if number in _unfilled:
        from cloudpickle.cloudpickle import _class_setstate

        _class_setstate(cls, content)
        _unfilled.discard(number)


#: What a class has by its making.
_NAMES = """
    __module__ __doc__ __qualname__ __slots__ __annotations__ __annotate_func__ __annotations_cache__ __slotnames__
    __abstractmethods__ _abc_impl __static_attributes__ __firstlineno__
"""
_OF_EVERY_CLASS = frozenset(_NAMES.split())


def _forget(cls: type, namespace: dict[str, Any]) -> None:
    for name, value in [*vars(cls).items()]:
        if name not in namespace and name not in _OF_EVERY_CLASS and type(value) not in (_MEMBER, _GETSET):
            type.__delattr__(cls, name)


def rebuild_view(memory: Any, kind: Any, shape: Any) -> memoryview:
    """Return a view of the given format and shape."""
    view = memoryview(memory)
    return view if view.format == kind and view.shape == shape else view.cast("B").cast(kind, shape)
