"""What is known of a value while its code is not running: the alphabet of ``_flow``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from types import ModuleType


class Value:
    """What is known of a value.

    Kinds:

    * const: ``it`` is an immutable value, of the code or from outside
    * text: a string made here that begins with ``it``
    * known: ``it`` is a class, function or the like that exists outside
    * maybe: ``it`` is a class, function or the like that is the default of a parameter
    * module: ``it`` is a module
    * self: an instance of a class from outside, which its method was called on
    * class: the class of an unknown value
    * checked: a callable that may only be called, and by a rule of its own: ``it`` is its name
    * made: a function made here
    * set: a set whose order may be another one elsewhere; set type: what makes one; set method: a method of one, which
      makes another one if ``it`` is true
    * null: what CPython pushes beside a callable
    """

    __slots__ = ("it", "kind")

    def __init__(self, kind: str, it: Any = None) -> None:
        self.kind = kind
        self.it = it


Slot = Value | None  # None: unknown, and made inside.

NULL = Value("null")
CLASS = Value("class")
SELF = Value("self")
MADE = Value("made")
SET = Value("set")


class World(Protocol):
    """What the walk asks about things outside. Each method raises Stays."""

    def read_global(self, name: str) -> Slot: ...
    def read_free(self, name: str) -> Slot: ...
    def read_member(self, module: ModuleType, name: str) -> Slot: ...
    def read_attribute(self, owner: Any, name: str) -> Slot: ...
    def read_import(self, name: str, top: bool) -> Slot: ...
    def check_call(self, callee: Any, arguments: list[Slot] | None) -> None: ...
    def note(self, kind: str, name: str, file: str, line: int | None) -> None: ...
