"""What a callable reaches outside itself: functions, classes, modules and values, each admitted once or refused.

What is admitted never changes, as far as the walks of ``_flow`` over all functions reached can tell; whatever could be
replaced is put on a watch.
"""

from __future__ import annotations

import enum
import functools
import operator
import re
import sys
import types
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from hypern._capture import MISSING, Watch
from hypern._rebuilt import slots_of
from hypern._verdict import set_order, stateless
from hypern._verdict.attribute import check_attribute, check_number, check_text
from hypern._verdict.classes import HEAP, admit_class
from hypern._verdict.flow import follow
from hypern._verdict.refusal import BUILTINS, foreign, refusal, unlisted
from hypern._verdict.stays import Stays
from hypern._verdict.value import SET, Slot, Value
from hypern._verdict.walk import keep
from hypern._verdict.world import World

_ATOMS = (type(None), bool, int, float, complex, bytes, range, type(...), type(NotImplemented))
#: Immutable values, besides a plain object, which is a sentinel.
_VALUES = (
    "re.Pattern",
    "fractions.Fraction",
    "datetime.date",
    "datetime.time",
    "datetime.datetime",
    "datetime.timedelta",
    "datetime.timezone",
    "uuid.UUID",
    "struct.Struct",
    "types.GenericAlias",
    "types.UnionType",
)
_GETTERS = (operator.itemgetter, operator.attrgetter, operator.methodcaller)
_DESCRIPTORS = (types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType)
_CHECKED = ("getattr", "hasattr", "setattr", "delattr")
#: Attributes that decorators leave on functions.
_MARKS = frozenset(("__isabstractmethod__", "__final__", "__override__", "__signature__"))
#: Modules whose functions are found in the classes that they make.
_MAKERS = frozenset(("dataclasses", "reprlib", "collections", "enum", "typing", "abc"))
_ORDERING = re.compile(r"_\w\w_from_\w\w").fullmatch
_ARGUMENT = "pass it as an argument"
#: What may not be met together, and why. "writable": a value outside that may be given attributes, and is not looked
#: at again after the call.
_TOGETHER = (
    ("__setattr__", "instance", "calls '{}', which may change an immutable instance that lives outside"),
    ("__delattr__", "instance", "calls '{}', which may change an immutable instance that lives outside"),
    ("register", "abstract", "calls '{}', which changes an abstract class"),
    ("written", "writable", "writes to '{}' of a value that may be a member of an enumeration, or a partial, outside"),
)
#: Their subclasses can change, whatever else they are.
_CONTAINERS = (list, dict, set, bytearray)


class Reach:
    """The walk over everything that one callable reaches."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.watch = Watch()
        #: Whether an answer holds for a while.
        self.lasting = True
        self.seen: dict[Any, Any] = {}
        self.waiting: list[tuple[FunctionType, Slot]] = []
        #: What the root read from its own cells, by their index; the watch must not keep the root alive.
        self.cells: list[tuple[int, Any]] = []
        #: The addresses of functions that make members of enumerations, and are not called on one that is there.
        self.making: set[int] = set()
        #: The name and the place of what was met first of each kind; see _TOGETHER.
        self.notes: dict[str, tuple[str, str | None, int | None]] = {}
        self.package = (getattr(root, "__module__", None) or "").partition(".")[0]

    def examine_all(self) -> None:
        """Walk over the functions that were reached, and those that they reach. Raises Stays."""
        while self.waiting:
            function, first = self.waiting.pop(0)
            code = function.__code__
            try:
                self.examine(function, first)
            except Stays as stays:
                raise stays.at(code.co_filename, code.co_firstlineno) from None
        for one, other, reason in _TOGETHER:
            if one in self.notes and other in self.notes:
                name, file, line = self.notes[one]
                raise Stays(reason.format(name), name, "write to instances that the call makes").at(file, line)

    def note(self, kind: str, name: str = "", file: str | None = None, line: int | None = None) -> None:
        """Remember that something was met that may not be met together with something else."""
        self.notes.setdefault(kind, (name, file, line))

    def examine(self, function: FunctionType, first: Slot) -> None:
        if function is not self.root:
            self.watch.function(function)
        else:
            if function.__dict__:
                self.watch.whole(function, function.__dict__)
            if function.__kwdefaults__:
                self.watch.whole(function.__kwdefaults__, function.__kwdefaults__)
        for name, value in function.__dict__.items():
            if name == "__wrapped__":
                self.admit(value, "wraps a {kind}", name)
            elif name not in _MARKS:
                raise Stays(
                    f"the function '{function.__name__}' carries the attribute '{name}'",
                    name,
                    "keep such values in arguments or constants",
                )
        code = function.__code__
        if type(function.__globals__) is not dict:
            raise Stays("has globals that are no plain dict", code.co_name)
        names = code.co_varnames[: code.co_argcount]
        defaults = function.__defaults__ or ()
        given = [*zip(names[len(names) - len(defaults) :], defaults, strict=False)]
        given.extend((function.__kwdefaults__ or {}).items())
        parameters: dict[str, Slot] = {}
        for name, value in given:
            if isinstance(value, ModuleType):
                raise Stays(f"has the module '{value.__name__}' as a default argument", name, "read it as a global")
            how = f"has the {{kind}} '{name}' as a default argument"
            slot = self.admit(value, how, name, "use None as the default, and make it inside")
            no_module(slot, name)
            if slot is not None and slot.kind == "known":
                parameters[name] = Value("maybe", value)
        follow(code, World(self, function), first, parameters)

    # Values

    def admit(self, value: Any, how: str, name: str, advice: str = _ARGUMENT) -> Slot:
        """Admit a value from outside; ``how`` says how it is reached, with ``{kind}`` for what it is. Raises Stays."""
        kind = type(value)
        if kind is str:
            check_text(value)
            return Value("const", value)
        if kind in _ATOMS:
            check_number(value, name)
            return None
        if issubclass(kind, type):
            return admit_class(self, value, name)
        if kind is FunctionType:
            return self.admit_function(value, name)
        if issubclass(kind, ModuleType):
            return self.admit_module(value, name)
        if id(value) in self.seen:
            return SET if kind is frozenset and not set_order.keeps_order(value) else Value("known", value)
        if kind is tuple or kind is frozenset:
            self.seen[id(value)] = value
            inside = how.format(kind=kind.__name__) + ", which contains a {kind}"
            for each in value:
                self.admit_inside(each, inside, name, advice)
            return SET if kind is frozenset and not set_order.keeps_order(value) else None
        return self.admit_other(value, how, name, advice)

    def admit_given(self, cls: type) -> None:
        """Admit a class of which a call is given instances. They are watched, but for members of enumerations."""
        if issubclass(cls, enum.Enum):
            self.note("instance")
            self.note("writable")
        admit_class(self, cls, cls.__name__)

    def admit_inside(self, value: Any, how: str, name: str, advice: str = _ARGUMENT) -> None:
        """Admit a value that is kept where the walk over bytecode does not follow it. Raises Stays."""
        no_module(self.admit(value, how, name, advice), name)

    def admit_other(self, value: Any, how: str, name: str, advice: str) -> Slot:
        kind = type(value)
        self.seen[id(value)] = value
        inside = how.format(kind=kind.__name__) + ", which contains a {kind}"
        if kind is object or stateless.is_of(kind, *_VALUES):
            zone = getattr(value, "tzinfo", None)
            if zone is not None and not stateless.is_of(type(zone), "datetime.timezone"):
                raise Stays(f"{inside.format(kind='time zone')}", name, advice)
            return Value("known", value)
        if stateless.is_of(kind, "decimal.Decimal"):
            self.ask("decimal")
            if value.is_nan():
                check_number(float("nan"), name)
            return Value("known", value)
        if issubclass(kind, BuiltinFunctionType):
            return self.admit_builtin(value, how, name)
        if kind in _DESCRIPTORS:
            self.admit_method_of_class(value.__objclass__, value.__name__, name)
            return Value("known", value)
        if kind is MethodType and isinstance(value.__self__, type):
            admit_class(self, value.__self__, name)
            self.admit_inside(value.__func__, how, name, advice)
            return Value("known", value)
        if kind is slice:
            parts = value.start, value.stop, value.step
        elif kind in _GETTERS:
            parts = value.__reduce__()[1]
            for each in parts:
                if isinstance(each, str):
                    for part in each.split("."):
                        check_attribute(part, called=True)
        elif kind is functools.partial:
            self.note("instance")
            self.note("writable")
            parts = value.func, *value.args, *value.keywords.values()
            self.watch.whole(value, value.keywords)
            if vars(value):
                raise Stays(how.format(kind="partial") + ", which carries attributes", name, advice)
        elif issubclass(kind, enum.Enum) and not issubclass(kind, _CONTAINERS):
            self.note("instance")
            self.note("writable")
            admit_class(self, kind, name)
            self.watch.whole(value, vars(value))
            parts = [each for key, each in vars(value).items() if key not in ("__objclass__", "_sort_order_")]
        elif issubclass(kind, tuple):  # A named one, or another subclass.
            admit_class(self, kind, name)
            if hasattr(value, "__dict__"):
                raise Stays(
                    how.format(kind=kind.__name__) + ", which may be given attributes", name, "add __slots__ = ()"
                )
            parts = tuple(value)
        elif _is_frozen(kind) and not issubclass(kind, (*_CONTAINERS, tuple)):
            self.note("instance")
            admit_class(self, kind, name)
            names = [*vars(kind)["__dataclass_fields__"]]
            if set(getattr(value, "__dict__", ())) - set(names):
                raise Stays(how.format(kind=kind.__name__) + ", which keeps more than its fields", name, advice)
            self.watch_instance(value)
            parts = [getattr(value, each, None) for each in names]
        elif _is_sentinel(kind):
            parts = ()
        else:
            raise refusal(value, how, name, advice)
        for each in parts:
            self.admit_inside(each, inside, name, advice)
        return Value("known", value)

    def watch_instance(self, value: Any) -> None:
        """Watch an instance that can be changed by force alone."""
        if hasattr(value, "__dict__"):
            self.watch.whole(value, vars(value))
        slots = slots_of(value)
        if slots:
            self.watch.probe(functools.partial(slots_of, value), slots)

    def ask(self, module: str) -> None:
        """Watch the state of a module that its listed functions read; it must be as in a new interpreter."""
        states = {
            "decimal": (stateless.decimal_state, stateless.decimal_state_at_first),
            "csv": (stateless.csv_state, stateless.csv_state_at_first),
        }
        if module in states:
            state, first = states[module]
            now = state()
            self.watch.probe(state, now)
            if now != first():
                what = "the decimal context of the caller" if module == "decimal" else f"the register of {module}"
                raise Stays(f"uses {module}, and {what} is not as it begins", module, "pass what it is set to")

    # Functions

    def admit_function(self, function: FunctionType, name: str, first: Slot = None, of_class: bool = False) -> Slot:
        key = id(function) if first is None else (id(function), first.kind)
        if key in self.seen:
            return Value("known", function)
        if getattr(function, "__blocking__", False):
            raise Stays(
                f"calls '{name}', which is decorated with @blocking and uses an executor",
                name,
                "call the function that it decorates",
            )
        code = function.__code__
        module = function.__module__ or ""
        if stateless.is_standard_file(code.co_filename):
            self.seen[key] = function
            self.admit_standard_function(function, name, of_class)
        elif module.partition(".")[0] == "hypern":
            raise Stays(f"uses '{name}' of hypern itself", name)
        elif stateless.is_package_file(code.co_filename) and module.partition(".")[0] != self.package:
            raise foreign(module, name)
        else:
            self.seen[key] = function
            self.waiting.append((function, first))
        return Value("known", function)

    def admit_standard_function(self, function: FunctionType, name: str, of_class: bool) -> None:
        found = stateless.home(function)
        home = function.__globals__.get("__name__")
        code_name = function.__code__.co_name
        if found is not None and stateless.is_original(*found, function):
            self.admit_module(sys.modules[found[0]], name)
            self.watch.entry(vars(sys.modules[found[0]]), found[1], function)
            self.ask(found[0])
        elif function.__qualname__ == "contextmanager.<locals>.helper" or home == "contextlib":
            wrapped = getattr(function, "__wrapped__", None)
            if not isinstance(wrapped, FunctionType):
                raise unlisted("contextlib", function.__name__)
            self.admit_function(wrapped, name)
        elif home == "functools" and "registry" in function.__dict__:
            raise Stays(f"calls '{name}', which keeps a register (functools.singledispatch)", name, "use if or match")
        elif not (of_class and (home in _MAKERS or (home == "functools" and _ORDERING(code_name)))):
            raise unlisted(function.__module__ or "", function.__name__)

    def admit_builtin(self, function: Any, how: str, name: str) -> Slot:
        owner = function.__self__
        if owner is None or isinstance(owner, ModuleType):
            module = function.__module__ or (owner.__name__ if owner is not None else "")
            if module == "builtins":
                return self.builtin(function.__name__, function)
            found = stateless.home(function)
            if found is None:
                if stateless.origin(module) == "standard":
                    raise unlisted(module, function.__name__)
                raise foreign(module, name)
            self.ask(found[0])
        elif isinstance(owner, type):
            self.admit_method_of_class(owner, function.__name__, name)
        else:
            check_attribute(function.__name__, called=True)
            if function.__name__ in ("strftime", "format"):
                raise Stays(f"'{name}' is the method '{function.__name__}' of an object", name, "call it by its name")
            try:
                self.admit_inside(owner, f"'{name}' is a method of a {{kind}} that lives outside", name)
            except Stays:
                raise refusal(function, how, name, _ARGUMENT) from None
        return Value("known", function)

    def admit_method_of_class(self, owner: type, method: str, name: str) -> None:
        check_attribute(method, called=True)
        if method in ("strftime", "strptime"):
            raise Stays(f"'{name}' is '{method}', which may depend on the locale", name, "call it by its name")
        if owner is type:
            raise Stays(f"uses 'type.{method}', which may change classes", name)
        admit_class(self, owner, name)

    def builtin(self, name: str, value: Any) -> Slot:
        """Admit a builtin, by the name under which it is found among them."""
        if not stateless.lists("builtins", name):
            what, advice = BUILTINS.get(name, (f"uses '{name}', which is not free of effects", ""))
            raise Stays(what, name, advice)
        if not stateless.is_original("builtins", name, value):
            raise Stays(f"uses '{name}', which somebody has replaced in the builtins", name)
        if name in _CHECKED:
            return Value("checked", name)
        if set_order.SEEDS_DIFFER and name in ("set", "frozenset"):
            return Value("set type", value)
        return Value("known", value)

    # Modules

    def admit_module(self, module: ModuleType, name: str) -> Slot:
        label = module.__name__
        if type(module) is not ModuleType or sys.modules.get(label) is not module:
            raise Stays(f"uses the module '{label}', which was not made by an import", name)
        whose = stateless.origin(label)
        if whose == "package" and label.partition(".")[0] != self.package:
            raise foreign(label, name)
        if label.partition(".")[0] == "hypern":
            raise Stays(f"uses the module '{label}' of hypern itself", name)
        if whose == "standard" and id(module) not in self.seen:
            self.seen[id(module)] = module
            part = stateless.patched_part(module) if stateless.knows(label) else None
            if part is not None:
                self.lasting = False  # It is not watched.
                raise Stays(f"uses the module '{label}', whose '{part}' somebody has replaced", f"{label}.{part}")
        return Value("module", module)

    def member(self, module: ModuleType, name: str) -> Slot:
        label = module.__name__
        value = vars(module).get(name, MISSING)
        self.watch.entry(vars(module), name, value)
        if value is MISSING:
            raise Stays(f"reads '{label}.{name}', which the module does not have, or computes", f"{label}.{name}")
        if stateless.origin(label) != "standard":
            return self.admit(value, f"reads the {{kind}} '{label}.{name}'", f"{label}.{name}")
        if isinstance(value, ModuleType):
            return self.admit_module(value, name)
        if not stateless.lists(label, name):
            raise unlisted(label, name)
        if not stateless.is_original(label, name, value):
            raise Stays(f"uses '{label}.{name}', which somebody has replaced", f"{label}.{name}", "")
        self.ask(label)
        if isinstance(value, type):
            return admit_class(self, value, f"{label}.{name}")
        if isinstance(value, str):
            return Value("const", value)
        if label == "builtins":
            return self.builtin(name, value)
        if callable(value) or isinstance(value, enum.Enum):
            return Value("known", value)
        check_number(value, f"{label}.{name}")
        return None


def no_module(value: Slot, name: str) -> None:
    """Refuse to keep a value where the walk over bytecode would lose sight of it."""
    if value is not None and value.kind == "module":
        raise Stays(f"uses the module '{value.it.__name__}' as a value", name, "read it as a global")
    if value is not None and value.kind == "checked":
        raise Stays(f"keeps '{value.it}' under another name", name, "call it by its own name")
    keep(value)


def _is_frozen(kind: type) -> bool:
    parameters = vars(kind).get("__dataclass_params__")
    return parameters is not None and parameters.frozen


def _is_sentinel(kind: type) -> bool:
    """Tell whether instances of a class are words of the typing or dataclasses module."""
    home = sys.modules.get(kind.__module__)
    if kind.__module__ not in ("typing", "_typing", "dataclasses") or kind.__name__ == "Field":
        return False
    return not kind.__flags__ & HEAP or vars(home).get(kind.__name__) is kind
