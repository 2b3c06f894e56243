"""Which classes a call may take with it: those whose methods pass and whose attributes cannot change."""

from __future__ import annotations

import abc
import enum
import functools
import types
import typing
from types import FunctionType
from typing import TYPE_CHECKING, Any

from hypern._verdict import set_order, stateless
from hypern._verdict.refusal import foreign, unlisted
from hypern._verdict.stays import Stays
from hypern._verdict.value import CLASS, SELF, SET, Slot, Value
from hypern._verdict.walk import keep

if TYPE_CHECKING:
    from hypern._verdict.reach import Reach

_METACLASSES = (type, abc.ABCMeta, enum.EnumType, type(typing.Protocol))
#: Attributes of classes that only machinery reads, or that never change.
_MACHINERY = """
    __module__ __qualname__ __doc__ __dict__ __weakref__ __annotations__ __annotate__ __annotate_func__ __slots__
    __annotations_cache__ __dataclass_fields__ __dataclass_params__ __match_args__ __static_attributes__
    __firstlineno__ __abstractmethods__ _abc_impl __orig_bases__ __parameters__ __type_params__ __protocol_attrs__
    __final__ __non_callable_proto_members__ _field_defaults __classdictcell__ __slotnames__
"""
_SKIPPED = frozenset(_MACHINERY.split())
#: Flags of types that CPython documents: made at run time; not to be changed.
HEAP = 1 << 9
_IMMUTABLE = 1 << 8


def admit_class(reach: Reach, cls: type, name: str) -> Slot:
    """Admit a class from outside, with all that its instances can do. Raises Stays."""
    if id(cls) in reach.seen:
        return Value("known", cls)
    module = cls.__module__ if isinstance(cls.__module__, str) else ""
    whose = stateless.origin(module)
    if whose == "standard" and "<locals>" not in cls.__qualname__:
        _admit_standard(reach, cls, module)
    elif module.partition(".")[0] == "hypern":
        raise Stays(f"uses the class '{cls.__qualname__}' of hypern itself", name)
    elif whose == "package" and module.partition(".")[0] != reach.package:
        raise foreign(module, name)
    else:
        _admit_user(reach, cls)
    return Value("known", cls)


def _admit_standard(reach: Reach, cls: type, module: str) -> None:
    found = stateless.home(cls)
    if set_order.SEEDS_DIFFER and cls in (set, frozenset):
        keep(SET)
    if found is None and module == "builtins" and not cls.__flags__ & HEAP:
        reach.seen[id(cls)] = cls  # A type without a public name, such as that of None.
        return
    if found is None:
        raise unlisted(module, cls.__qualname__)
    reach.seen[id(cls)] = cls
    if not stateless.is_original(*found, cls):
        raise Stays(f"uses '{cls.__qualname__}', which somebody has replaced in '{found[0]}'", cls.__name__)
    reach.ask(found[0])
    if not cls.__flags__ & _IMMUTABLE:
        reach.watch.whole(cls, vars(cls))
        for key, value in vars(cls).items():
            function = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
            file = function.__code__.co_filename if isinstance(function, FunctionType) else "<frozen >"
            foreign = not stateless.is_standard_file(file) and not file.startswith("<")
            if foreign or type(value).__module__.startswith("unittest."):
                raise Stays(f"uses '{cls.__qualname__}', whose '{key}' somebody has replaced", key)
    if isinstance(cls, abc.ABCMeta):
        _check_register(reach, cls)


def _admit_user(reach: Reach, cls: type) -> None:
    reach.seen[id(cls)] = cls
    label = cls.__name__
    if type(cls) not in _METACLASSES:
        raise Stays(f"uses the class '{label}', whose metaclass is '{type(cls).__name__}'", label)
    reach.watch.whole(cls, vars(cls))
    reach.watch.bases(cls)
    makes_members = isinstance(cls, enum.EnumType)
    for base in cls.__mro__[1:]:
        if base is type:
            raise Stays(f"uses the class '{label}', which makes classes", label)
        admit_class(reach, base, label)
        if makes_members and stateless.origin(base.__module__) != "standard":
            # Methods of other instances may change them: those are made by the call. Members are not.
            for key, value in list(vars(base).items()):
                if key not in _SKIPPED:
                    _admit_attribute(reach, base, key, value, of_members=True)
    if isinstance(cls, abc.ABCMeta):
        _check_register(reach, cls)
    members: dict[str, Any] = cls._member_map_ if makes_members else {}  # type: ignore[attr-defined]
    for key, value in list(vars(cls).items()):
        if key in _SKIPPED or key in members:
            continue
        if key == "__del__":
            raise Stays(f"uses the class '{label}', whose '__del__' would run elsewhere", key, "close it by name")
        if makes_members and key.startswith("_") and type(value) in (dict, list, set, enum.property):
            continue
        if key == "_iter_member_" and type(value) is types.MethodType and value.__func__.__module__ == "enum":
            continue
        _admit_attribute(reach, cls, key, value, of_members=makes_members)
    for key, member in members.items():
        reach.admit(member, f"uses the class '{label}', whose member '{key}' is a {{kind}}", key)


#: What makes members, when the class is made.
_MAKING = frozenset(("__init__", "__new__", "_new_member_", "__new_member__"))


def _admit_attribute(reach: Reach, cls: type, key: str, attribute: Any, of_members: bool) -> None:
    label = cls.__name__
    how = f"uses the class '{label}', whose attribute '{key}' is a {{kind}}"
    advice = "make it in __init__, or use a tuple"
    first: Slot = None
    kind = type(attribute)
    if key in ("__new__", "__init_subclass__", "__class_getitem__") or kind is classmethod:
        first = CLASS
    elif kind is not staticmethod and not of_members:
        first = SELF
    value: Any = attribute
    if of_members and key in _MAKING:
        reach.making.add(id(value.__func__ if kind is staticmethod else value))
    if kind in (staticmethod, classmethod):
        parts = (value.__func__,)
    elif kind is property or kind is enum.property:
        parts = (value.fget, value.fset, value.fdel)
    elif kind is functools.cached_property:
        parts = (value.func,)
    elif kind is functools.partialmethod:
        parts = (value.func, *value.args, *value.keywords.values())
    elif kind in (types.MemberDescriptorType, types.GetSetDescriptorType) or kind.__name__ == "_tuplegetter":
        parts = ()
    elif kind is FunctionType or isinstance(value, type):
        parts = (value,)
    else:
        reach.admit_inside(value, how, key, advice)
        return
    for each in parts:
        if type(each) is FunctionType:
            reach.admit_function(each, f"{label}.{key}", first, of_class=True)
        else:
            reach.admit_inside(each, how, key, advice)


def _check_register(reach: Reach, cls: type) -> None:
    """Refuse an abstract class with which somebody registered classes of their own."""
    register = _dump_abstract(cls)[0]
    reach.note("abstract")
    reach.watch.probe(stateless.abc_state, stateless.abc_state())
    for reference in register:
        other = reference()
        if other is not None and stateless.origin(other.__module__) != "standard":
            raise Stays(
                f"uses the class '{cls.__name__}', with which '{other.__name__}' is registered",
                cls.__name__,
                "inherit from it instead",
            )


def _dump_abstract(cls: type) -> tuple[Any, ...]:
    from _abc import _get_dump  # type: ignore[import-not-found]

    return _get_dump(cls)
