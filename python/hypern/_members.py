"""Members of enumerations, which are what they are by their identity: by name, in a class that both ends have."""

from __future__ import annotations

import sys

from hypern._reached import is_standard

TYPE_CHECKING = False  # As in typing, which a worker does not wait for.
if TYPE_CHECKING:
    from typing import Any

#: What a combined flag keeps of itself, which is made anew by its value.
_OF_A_FLAG = frozenset(("_name_", "_value_", "_inverted_", "_sort_order_", "__objclass__"))


def is_enumeration(kind: type) -> bool:
    """Tell whether a class is an enumeration."""
    enum = sys.modules.get("enum")
    return enum is not None and isinstance(kind, enum.EnumType)


def name_of_standard(kind: type) -> str | None:
    """Return what both ends call an enumeration of the standard library, None for any other class."""
    if not is_enumeration(kind):
        return None
    module, name = kind.__module__, kind.__qualname__
    there = is_standard(module) and getattr(sys.modules.get(module), name, None) is kind
    return f"{module}:{name}" if there else None


def reduce_member(member: Any, cls: Any) -> tuple[Any, ...] | None:
    """Return how a member is found again, where ``cls`` stands for its class; None where that is not known."""
    kind, own = type(member), vars(member)
    name = own.get("_name_")
    if kind._member_map_.get(name) is member:
        return find_member, (cls, name)
    if hasattr(kind, "_flag_mask_") and own.keys() <= _OF_A_FLAG:
        return find_flag, (cls, own["_value_"])
    return None


def find_member(cls: Any, name: str) -> Any:
    """Return a member of an enumeration."""
    return cls._member_map_[name]


def find_flag(cls: Any, value: Any) -> Any:
    """Return a combined flag."""
    return cls(value)
