"""What one function sees outside itself: its globals, its cells, the members of modules and classes."""

from __future__ import annotations

import builtins
import enum
import functools
import operator
import sys
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from hypern._capture import MISSING, contents
from hypern._verdict import stateless
from hypern._verdict.attribute import check_attribute, check_spec
from hypern._verdict.refusal import BUILTINS
from hypern._verdict.stays import Stays
from hypern._verdict.value import CLASS, Slot, Value

if TYPE_CHECKING:
    from hypern._verdict.reach import Reach

_HARMLESS = frozenset(("__name__", "__qualname__", "__doc__", "__module__", "__wrapped__", "__class__", "__call__"))
_NAMES = frozenset(("__name__", "__qualname__", "__doc__", "__module__"))
#: Methods in which an instance that is immutable later is filled.
_MAKING = frozenset(("__init__", "__new__", "__post_init__", "__setattr__", "__delattr__"))
_OF_EVERY_CLASS = frozenset(("__name__", "__qualname__", "__mro__", "mro", "__members__", "__call__"))


class World:
    """What one function that exists outside sees there."""

    def __init__(self, reach: Reach, function: FunctionType) -> None:
        self.reach = reach
        self.function = function
        self.globals: dict[str, Slot] = {}

    def read_global(self, name: str) -> Slot:
        if name not in self.globals:
            self.globals[name] = self.find_global(name)
        return self.globals[name]

    def find_global(self, name: str) -> Slot:
        reach, namespace = self.reach, self.function.__globals__
        value = namespace.get(name, MISSING)
        reach.watch.entry(namespace, name, value)
        if value is not MISSING:
            return reach.admit(value, f"reads the global {{kind}} '{name}'", name)
        if self.function.__builtins__ is not vars(builtins):  # type: ignore[attr-defined]
            raise Stays(f"reads '{name}' from builtins of its own", name)
        value = vars(builtins).get(name, MISSING)
        reach.watch.entry(vars(builtins), name, value)
        if value is MISSING:
            raise Stays(f"reads the global '{name}', which does not exist", name)
        if value is hash and self.function.__name__ != "__hash__":
            what, advice = BUILTINS["hash"]
            raise Stays(what, "hash", advice)
        return reach.builtin(name, value)

    def read_free(self, name: str) -> Slot:
        function = self.function
        index = function.__code__.co_freevars.index(name)
        cell = (function.__closure__ or ())[index]
        value = contents(cell)
        if value is MISSING:
            self.reach.lasting = False
            raise Stays(f"reads the variable '{name}' of the function around it, which is not set yet", name)
        if function is self.reach.root:
            self.reach.cells.append((index, value))
        else:
            self.reach.watch.cell(cell, value)
        return self.reach.admit(value, f"reads the {{kind}} '{name}' of the function around it", name)

    def read_member(self, module: ModuleType, name: str) -> Slot:
        return self.reach.member(module, name)

    def read_attribute(self, owner: Any, name: str) -> Slot:
        check_attribute(name)
        if not isinstance(owner, type):
            if name in ("__setattr__", "__delattr__", "register"):
                self.note(name, name)
            if name in ("strptime", "strftime"):
                return Value("checked", name)
            if isinstance(owner, (FunctionType, BuiltinFunctionType)) and name not in _HARMLESS:
                label = owner.__name__
                raise Stays(f"reads the attribute '{name}' of the function '{label}'", f"{label}.{name}")
            if isinstance(owner, FunctionType) and name in _NAMES:
                self.reach.watch.probe(functools.partial(getattr, owner, name), getattr(owner, name))
            return CLASS if name == "__class__" else None
        label, order = owner.__name__, owner.__mro__
        if owner is object and name == "__repr__":
            raise Stays("reads 'object.__repr__', which shows an address", "object.__repr__", "use repr()")
        if name in ("__setattr__", "__delattr__"):
            self.note(name, name)
        if name == "__init__" and isinstance(owner, enum.EnumType):
            self.note("written", name)
        if name in ("strptime", "strftime"):
            return Value("checked", name)
        if owner is type and name not in _OF_EVERY_CLASS:
            raise Stays(f"uses 'type.{name}', which may change classes", f"type.{name}")
        if name == "__class__":
            return CLASS
        members: dict[str, Any] = vars(owner).get("_member_map_", {}) if isinstance(owner, enum.EnumType) else {}
        if name in members:
            return Value("known", members[name])
        for each in order:
            if name in vars(each):
                found = vars(each)[name]
                if type(found) is str:
                    return Value("const", found)
                if type(found) is FunctionType:  # It may be called on anything.
                    self.reach.admit_function(found, f"{label}.{name}", of_class=True)
                return Value("known", found) if isinstance(found, (FunctionType, type, enum.Enum)) else None
        if name not in _OF_EVERY_CLASS:
            raise Stays(f"reads '{name}' of the class '{label}', which is not an attribute of it", f"{label}.{name}")
        return None

    def read_import(self, name: str, top: bool) -> Slot:
        module = stateless.load(name)
        if module is None and name.partition(".")[0] in sys.stdlib_module_names and name in sys.modules:
            module = sys.modules[name]
            if stateless.origin(name) != "standard":
                module = None
        if module is None:
            raise Stays(f"imports '{name}' when it runs", name, "import it at the top of the file")
        if top:
            module = sys.modules[name.partition(".")[0]]
        return self.reach.admit_module(module, name)

    def note(self, kind: str, name: str, file: str | None = None, line: int | None = None) -> None:
        """Remember what is refused together with something else; an instance may be changed while it is made."""
        code = self.function.__code__
        if kind == "written" and id(self.function) in self.reach.making:
            return
        if kind == "written" or code.co_name not in _MAKING:
            self.reach.note(kind, name, file or code.co_filename, line or code.co_firstlineno)

    def check_call(self, callee: Any, arguments: list[Slot] | None) -> None:
        if (
            isinstance(callee, type)
            and stateless.is_of(callee, "random.Random")
            and (not arguments or (arguments[0] is not None and arguments[0].it is None))
        ):
            raise Stays("makes a random.Random without a seed", "random.Random", "pass a seed")
        if callee is format and arguments and len(arguments) > 1:
            spec = arguments[1]
            if spec is not None and isinstance(spec.it, str):
                check_spec(spec.it)
        if callee in (operator.attrgetter, operator.methodcaller):
            for each in arguments or ():
                if each is not None and isinstance(each.it, str):
                    for part in each.it.split("."):
                        check_attribute(part, called=True)
        if getattr(callee, "__name__", None) in ("dataclass", "total_ordering"):
            for each in arguments or ():
                if each is not None and each.kind in ("known", "class"):
                    raise Stays(
                        f"changes a class by '{callee.__name__}'", callee.__name__, "decorate it where it is made"
                    )
