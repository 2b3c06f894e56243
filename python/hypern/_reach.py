"""What a callable reaches outside itself: functions, classes, modules and values, each admitted once or refused.

What is admitted never changes, as far as the walks of ``_flow`` over all functions reached can tell; whatever could be
replaced is put on a watch.
"""

from __future__ import annotations

import abc
import builtins
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import operator
import random
import re
import struct
import sys
import types
import uuid
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from hypern import _order, _stateless
from hypern._capture import MISSING, Watch, contents
from hypern._flow import CLASS, SET, Slot, Stays, Value, check_attribute, check_text, follow, keep

_ATOMS = (type(None), bool, int, float, complex, bytes, range, type(...), type(NotImplemented))
_VALUES = (
    re.Pattern,
    fractions.Fraction,
    datetime.date,
    datetime.timedelta,
    datetime.timezone,
    uuid.UUID,
    struct.Struct,
    object,  # a sentinel
    types.GenericAlias,
    types.UnionType,
)
_GETTERS = (operator.itemgetter, operator.attrgetter, operator.methodcaller)
_DESCRIPTORS = (types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType)
_METACLASSES = (type, abc.ABCMeta, enum.EnumType, type(__import__("typing").Protocol))
_LRU_CACHE = type(functools.lru_cache(lambda: None))
_CHECKED = ("getattr", "hasattr", "setattr", "delattr")
_HARMLESS = frozenset(("__name__", "__qualname__", "__doc__", "__module__", "__wrapped__", "__class__", "__call__"))
_OF_EVERY_CLASS = frozenset(("__name__", "__qualname__", "__mro__", "mro", "__members__", "__call__"))
#: Attributes of classes that only machinery reads, or that never change.
_SKIPPED = frozenset(
    """
    __module__ __qualname__ __doc__ __dict__ __weakref__ __annotations__ __annotate__ __annotate_func__ __slots__
    __annotations_cache__ __dataclass_fields__ __dataclass_params__ __match_args__ __static_attributes__ __firstlineno__
    __abstractmethods__ _abc_impl __orig_bases__ __parameters__ __type_params__ __protocol_attrs__ __final__
    __non_callable_proto_members__ _field_defaults __classdictcell__
    """.split()
)
#: Attributes that decorators leave on functions.
_MARKS = frozenset(("__isabstractmethod__", "__final__", "__override__", "__signature__"))
#: Modules whose functions are found in the classes that they make.
_MAKERS = frozenset(("dataclasses", "reprlib", "collections", "enum", "typing", "abc"))
_ORDERING = re.compile(r"_\w\w_from_\w\w").fullmatch
_ARGUMENT = "pass it as an argument"
_BUILTIN_REASONS = {
    "print": ("prints", "return the text and print it outside"),
    "input": ("reads the standard input", "read it outside and pass it in"),
    "open": ("opens a file", "read it outside and pass the contents in"),
    "id": ("reads the address of an object", "compare with 'is', or use a key of your own"),
    "hash": ("uses hash, which differs between processes", "use hashlib, or keep a dict"),
    **dict.fromkeys(("eval", "exec", "compile"), ("runs code that is not known", "write it as a function")),
    **dict.fromkeys(("globals", "locals", "vars", "dir"), ("looks into a namespace", "name what you need")),
    "__import__": ("imports what is not known", "use an import statement"),
}


class Reach:
    """The walk over everything that one callable reaches."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.watch = Watch()
        #: Whether an answer holds for a while.
        self.lasting = True
        self.seen: dict[int, Any] = {}
        self.waiting: list[tuple[FunctionType, Slot]] = []
        self.names: set[str] = set()
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

    def examine(self, function: FunctionType, first: Slot) -> None:
        if function is not self.root:
            self.watch.function(function)
        elif function.__dict__:
            self.watch.whole(function, function.__dict__)
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
        names = code.co_varnames[: code.co_argcount]
        defaults = function.__defaults__ or ()
        given = [*zip(names[len(names) - len(defaults) :], defaults, strict=False)]
        given.extend((function.__kwdefaults__ or {}).items())
        for name, value in given:
            if isinstance(value, ModuleType):
                raise Stays(f"has the module '{value.__name__}' as a default argument", name, "read it as a global")
            how, advice = f"has the {{kind}} '{name}' as a default argument", "use None as the default, and make it inside"
            _no_module(self.admit(value, how, name, advice), name)
        follow(code, _World(self, function), first)

    # Values

    def admit(self, value: Any, how: str, name: str, advice: str = _ARGUMENT) -> Slot:
        """Admit a value from outside; ``how`` says how it is reached, with ``{kind}`` for what it is. Raises Stays."""
        kind = type(value)
        if kind is str:
            check_text(value)
            return Value("const", value)
        if kind in _ATOMS:
            return None
        if isinstance(value, type):
            return self.admit_class(value, name)
        if kind is FunctionType:
            return self.admit_function(value, name)
        if kind is ModuleType or isinstance(value, ModuleType):
            return self.admit_module(value, name)
        if id(value) in self.seen:
            return SET if kind is frozenset and not _order.keeps_order(value) else Value("known", value)
        if kind is tuple or kind is frozenset:
            self.seen[id(value)] = value
            inside = how.format(kind=kind.__name__) + ", which contains a {kind}"
            for each in value:
                _no_module(self.admit(each, inside, name, advice), name)
            return SET if kind is frozenset and not _order.keeps_order(value) else None
        return self.admit_other(value, how, name, advice)

    def admit_other(self, value: Any, how: str, name: str, advice: str) -> Slot:
        kind = type(value)
        self.seen[id(value)] = value
        inside = how.format(kind=kind.__name__) + ", which contains a {kind}"
        if kind in _VALUES or kind is datetime.datetime or kind is datetime.time:
            zone = getattr(value, "tzinfo", None)
            if zone is not None and type(zone) is not datetime.timezone:
                raise Stays(f"{inside.format(kind='time zone')}", name, advice)
            return Value("known", value)
        if kind is decimal.Decimal:
            self.ask("decimal")
            return Value("known", value)
        if isinstance(value, BuiltinFunctionType):
            return self.admit_builtin(value, how, name)
        if kind in _DESCRIPTORS:
            self.admit_method_of_class(value.__objclass__, value.__name__, name)
            return Value("known", value)
        if kind is MethodType and isinstance(value.__self__, type):
            self.admit_class(value.__self__, name)
            _no_module(self.admit(value.__func__, how, name, advice), name)
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
            parts = value.func, *value.args, *value.keywords.values()
            self.watch.whole(value, value.keywords)
            if vars(value):
                raise Stays(how.format(kind="partial") + ", which carries attributes", name, advice)
        elif isinstance(value, enum.Enum):
            self.admit_class(kind, name)
            self.watch.whole(value, vars(value))
            parts = [each for key, each in vars(value).items() if key not in ("__objclass__", "_sort_order_")]
        elif isinstance(value, tuple):
            self.admit_class(kind, name)
            if getattr(value, "__dict__", None):
                raise Stays(how.format(kind=kind.__name__) + ", which carries attributes", name, advice)
            parts = tuple(value)
        elif dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
            self.admit_class(kind, name)
            names = [each.name for each in dataclasses.fields(kind)]
            if set(getattr(value, "__dict__", ())) - set(names):
                raise Stays(how.format(kind=kind.__name__) + ", which keeps more than its fields", name, advice)
            parts = [getattr(value, each, None) for each in names]
        elif kind.__module__ == "typing" or (kind.__module__ == "dataclasses" and kind is not dataclasses.Field):
            parts = ()
        else:
            raise _refusal(value, how, name, advice)
        for each in parts:
            _no_module(self.admit(each, inside, name, advice), name)
        return Value("known", value)

    def ask(self, module: str) -> None:
        """Watch the state of a module that its listed functions read; it must be as in a new interpreter."""
        states = {
            "decimal": (_stateless.decimal_state, _stateless.decimal_state_at_first),
            "csv": (_stateless.csv_state, _stateless.csv_state_at_first),
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
        if id(function) in self.seen:
            return Value("known", function)
        if getattr(function, "__blocking__", False):
            raise Stays(
                f"calls '{name}', which is decorated with @blocking and uses an executor",
                name,
                "call the function that it decorates",
            )
        code = function.__code__
        module = function.__module__ or ""
        if _stateless.is_standard_file(code.co_filename):
            self.seen[id(function)] = function
            self.admit_standard_function(function, name, of_class)
        elif module.partition(".")[0] == "hypern":
            raise Stays(f"uses '{name}' of hypern itself", name)
        elif _stateless.is_package_file(code.co_filename) and module.partition(".")[0] != self.package:
            raise _foreign(module, name)
        else:
            self.seen[id(function)] = function
            self.waiting.append((function, first))
        return Value("known", function)

    def admit_standard_function(self, function: FunctionType, name: str, of_class: bool) -> None:
        found = _stateless.home(function)
        home = function.__globals__.get("__name__")
        code_name = function.__code__.co_name
        if found is not None and _stateless.is_original(*found, function):
            self.admit_module(sys.modules[found[0]], name)
            self.watch.entry(vars(sys.modules[found[0]]), found[1], function)
            self.ask(found[0])
        elif function.__qualname__ == "contextmanager.<locals>.helper" or home == "contextlib":
            wrapped = getattr(function, "__wrapped__", None)
            if not isinstance(wrapped, FunctionType):
                raise _unlisted("contextlib", function.__name__)
            self.admit_function(wrapped, name)
        elif home == "functools" and "registry" in function.__dict__:
            raise Stays(f"calls '{name}', which keeps a register (functools.singledispatch)", name, "use if or match")
        elif not (of_class and (home in _MAKERS or (home == "functools" and _ORDERING(code_name)))):
            raise _unlisted(function.__module__ or "", function.__name__)

    def admit_builtin(self, function: Any, how: str, name: str) -> Slot:
        owner = function.__self__
        if owner is None or isinstance(owner, ModuleType):
            module = function.__module__ or (owner.__name__ if owner is not None else "")
            if module == "builtins":
                return self.builtin(function.__name__, function)
            found = _stateless.home(function)
            if found is None:
                if _stateless.origin(module) == "standard":
                    raise _unlisted(module, function.__name__)
                raise _foreign(module, name)
            self.ask(found[0])
        elif isinstance(owner, type):
            self.admit_method_of_class(owner, function.__name__, name)
        else:
            check_attribute(function.__name__, called=True)
            if function.__name__ in ("strftime", "format"):
                raise Stays(f"'{name}' is the method '{function.__name__}' of an object", name, "call it by its name")
            try:
                _no_module(self.admit(owner, f"'{name}' is a method of a {{kind}} that lives outside", name), name)
            except Stays:
                raise _refusal(function, how, name, _ARGUMENT) from None
        return Value("known", function)

    def admit_method_of_class(self, owner: type, method: str, name: str) -> None:
        check_attribute(method, called=True)
        if method in ("strftime", "strptime"):
            raise Stays(f"'{name}' is '{method}', which may depend on the locale", name, "call it by its name")
        if owner is type:
            raise Stays(f"uses 'type.{method}', which may change classes", name)
        self.admit_class(owner, name)

    def builtin(self, name: str, value: Any) -> Slot:
        """Admit a builtin, by the name under which it is found among them."""
        if not _stateless.lists("builtins", name):
            what, advice = _BUILTIN_REASONS.get(name, (f"uses '{name}', which is not free of effects", ""))
            raise Stays(what, name, advice)
        if not _stateless.is_original("builtins", name, value):
            raise Stays(f"uses '{name}', which somebody has replaced in the builtins", name)
        if name in _CHECKED:
            return Value("checked", name)
        if _order.SEEDS_DIFFER and name in ("set", "frozenset"):
            return Value("set type", value)
        return Value("known", value)

    # Classes

    def admit_class(self, cls: type, name: str) -> Slot:
        if id(cls) in self.seen:
            return Value("known", cls)
        module = cls.__module__ if isinstance(cls.__module__, str) else ""
        whose = _stateless.origin(module)
        if whose == "standard" and "<locals>" not in cls.__qualname__:
            self.admit_standard_class(cls, module)
        elif module.partition(".")[0] == "hypern" and not module.startswith("hypern._demo"):
            raise Stays(f"uses the class '{cls.__qualname__}' of hypern itself", name)
        elif whose == "package" and module.partition(".")[0] != self.package:
            raise _foreign(module, name)
        else:
            self.admit_user_class(cls, name)
        return Value("known", cls)

    def admit_standard_class(self, cls: type, module: str) -> None:
        found = _stateless.home(cls)
        if _order.SEEDS_DIFFER and cls in (set, frozenset):
            keep(SET)
        if found is None and module == "builtins" and not cls.__flags__ & _HEAP:
            self.seen[id(cls)] = cls  # A type without a public name, such as that of None.
            return
        if found is None:
            raise _unlisted(module, cls.__qualname__)
        self.seen[id(cls)] = cls
        if not _stateless.is_original(*found, cls):
            raise Stays(f"uses '{cls.__qualname__}', which somebody has replaced in '{found[0]}'", cls.__name__)
        self.ask(found[0])
        if not cls.__flags__ & _IMMUTABLE:
            self.watch.whole(cls, vars(cls))
            for key, value in vars(cls).items():
                function = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
                file = function.__code__.co_filename if isinstance(function, FunctionType) else "<frozen >"
                foreign = not _stateless.is_standard_file(file) and not file.startswith("<")
                if foreign or type(value).__module__.startswith("unittest."):
                    raise Stays(f"uses '{cls.__qualname__}', whose '{key}' somebody has replaced", key)
        if isinstance(cls, abc.ABCMeta):
            self.check_register(cls)

    def admit_user_class(self, cls: type, name: str) -> None:
        self.seen[id(cls)] = cls
        label = cls.__name__
        if type(cls) not in _METACLASSES:
            raise Stays(f"uses the class '{label}', whose metaclass is '{type(cls).__name__}'", label)
        self.watch.whole(cls, vars(cls))
        self.watch.bases(cls)
        for base in cls.__mro__[1:]:
            if base is type:
                raise Stays(f"uses the class '{label}', which makes classes", label)
            self.admit_class(base, label)
        if isinstance(cls, abc.ABCMeta):
            self.check_register(cls)
        members: dict[str, Any] = cls._member_map_ if isinstance(cls, enum.EnumType) else {}  # type: ignore[assignment]
        for key, value in list(vars(cls).items()):
            if key in _SKIPPED or key in members:
                continue
            if key == "__del__":
                raise Stays(f"uses the class '{label}', whose '__del__' would run elsewhere", key, "close it by name")
            if isinstance(cls, enum.EnumType) and key.startswith("_") and type(value) in (dict, list, set, enum.property):
                continue
            self.admit_class_attribute(label, key, value)
        for key, member in members.items():
            self.admit(member, f"uses the class '{label}', whose member '{key}' is a {{kind}}", key)

    def admit_class_attribute(self, label: str, key: str, value: Any) -> None:
        how = f"uses the class '{label}', whose attribute '{key}' is a {{kind}}"
        advice = "make it in __init__, or use a tuple"
        first: Slot = None
        if key in ("__new__", "__init_subclass__", "__class_getitem__") or isinstance(value, classmethod):
            first = CLASS
        kind = type(value)
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
            _no_module(self.admit(value, how, key, advice), key)
            return
        for each in parts:
            if type(each) is FunctionType:
                self.admit_function(each, f"{label}.{key}", first, of_class=True)
            else:
                _no_module(self.admit(each, how, key, advice), key)

    def check_register(self, cls: type) -> None:
        """Refuse an abstract class with which somebody registered classes of their own."""
        register = _dump_abstract(cls)[0]
        self.watch.probe(_stateless.abc_state, _stateless.abc_state())
        for reference in register:
            other = reference()
            if other is not None and _stateless.origin(other.__module__) != "standard":
                raise Stays(
                    f"uses the class '{cls.__name__}', with which '{other.__name__}' is registered",
                    cls.__name__,
                    "inherit from it instead",
                )

    # Modules

    def admit_module(self, module: ModuleType, name: str) -> Slot:
        label = module.__name__
        if type(module) is not ModuleType or sys.modules.get(label) is not module:
            raise Stays(f"uses the module '{label}', which was not made by an import", name)
        whose = _stateless.origin(label)
        if whose == "package" and label.partition(".")[0] != self.package:
            raise _foreign(label, name)
        if label.partition(".")[0] == "hypern":
            raise Stays(f"uses the module '{label}' of hypern itself", name)
        if whose == "standard" and id(module) not in self.seen:
            self.seen[id(module)] = module
            part = _stateless.patched_part(module) if _stateless.knows(label) else None
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
        if _stateless.origin(label) != "standard":
            return self.admit(value, f"reads the {{kind}} '{label}.{name}'", f"{label}.{name}")
        if isinstance(value, ModuleType):
            return self.admit_module(value, name)
        if not _stateless.lists(label, name):
            raise _unlisted(label, name)
        if not _stateless.is_original(label, name, value):
            raise Stays(f"uses '{label}.{name}', which somebody has replaced", f"{label}.{name}", "")
        self.ask(label)
        if isinstance(value, type):
            return self.admit_class(value, f"{label}.{name}")
        if isinstance(value, str):
            return Value("const", value)
        if label == "builtins":
            return self.builtin(name, value)
        if callable(value) or isinstance(value, enum.Enum):
            return Value("known", value)
        return None


class _World:
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
            reach.names.add(name)
            return reach.admit(value, f"reads the global {{kind}} '{name}'", name)
        if self.function.__builtins__ is not vars(builtins):  # type: ignore[attr-defined]
            raise Stays(f"reads '{name}' from builtins of its own", name)
        value = vars(builtins).get(name, MISSING)
        reach.watch.entry(vars(builtins), name, value)
        if value is MISSING:
            raise Stays(f"reads the global '{name}', which does not exist", name)
        return reach.builtin(name, value)

    def read_free(self, name: str) -> Slot:
        function = self.function
        cell = (function.__closure__ or ())[function.__code__.co_freevars.index(name)]
        value = contents(cell)
        if value is MISSING:
            self.reach.lasting = False
            raise Stays(f"reads the variable '{name}' of the function around it, which is not set yet", name)
        self.reach.watch.cell(cell, value)
        self.reach.names.add(name)
        return self.reach.admit(value, f"reads the {{kind}} '{name}' of the function around it", name)

    def read_member(self, module: ModuleType, name: str) -> Slot:
        return self.reach.member(module, name)

    def read_attribute(self, owner: Any, name: str) -> Slot:
        check_attribute(name)
        if not isinstance(owner, type):
            if isinstance(owner, (FunctionType, BuiltinFunctionType)) and name not in _HARMLESS:
                label = owner.__name__
                raise Stays(f"reads the attribute '{name}' of the function '{label}'", f"{label}.{name}")
            return CLASS if name == "__class__" else None
        label = owner.__name__
        if name in ("strptime", "strftime"):
            return Value("checked", name)
        if owner is type and name not in _OF_EVERY_CLASS:
            raise Stays(f"uses 'type.{name}', which may change classes", f"type.{name}")
        if name == "__class__":
            return CLASS
        if isinstance(owner, enum.EnumType) and name in owner._member_map_:
            return Value("known", owner._member_map_[name])
        for each in owner.__mro__:
            if name in vars(each):
                found = vars(each)[name]
                if type(found) is str:
                    return Value("const", found)
                return Value("known", found) if isinstance(found, (FunctionType, type)) else None
        if name not in _OF_EVERY_CLASS:
            raise Stays(f"reads '{name}' of the class '{label}', which is not an attribute of it", f"{label}.{name}")
        return None

    def read_import(self, name: str, top: bool) -> Slot:
        module = _stateless.load(name)
        if module is None and name.partition(".")[0] in sys.stdlib_module_names and name in sys.modules:
            module = sys.modules[name]
            if _stateless.origin(name) != "standard":
                module = None
        if module is None:
            raise Stays(f"imports '{name}' when it runs", name, "import it at the top of the file")
        if top:
            module = sys.modules[name.partition(".")[0]]
        return self.reach.admit_module(module, name)

    def check_call(self, callee: Any, arguments: list[Slot] | None) -> None:
        if callee is random.Random and (not arguments or (arguments[0] is not None and arguments[0].it is None)):
            raise Stays("makes a random.Random without a seed", "random.Random", "pass a seed")
        if callee is hash and self.function.__name__ != "__hash__":
            what, advice = _BUILTIN_REASONS["hash"]
            raise Stays(what, "hash", advice)
        if callee in (operator.attrgetter, operator.methodcaller):
            for each in arguments or ():
                if each is not None and isinstance(each.it, str):
                    for part in each.it.split("."):
                        check_attribute(part, called=True)
        if callee in (dataclasses.dataclass, functools.total_ordering):
            for each in arguments or ():
                if each is not None and each.kind in ("known", "class"):
                    raise Stays(f"changes a class by '{callee.__name__}'", callee.__name__, "decorate it where it is made")


_HEAP = 1 << 9
_IMMUTABLE = 1 << 8


def _dump_abstract(cls: type) -> tuple[Any, ...]:
    from _abc import _get_dump

    return _get_dump(cls)


def _no_module(value: Slot, name: str) -> None:
    if value is not None and value.kind == "module":
        raise Stays(f"uses the module '{value.it.__name__}' as a value", name, "read it as a global")
    if value is not None and value.kind == "checked":
        raise Stays(f"keeps '{value.it}' under another name", name, "call it by its own name")
    keep(value)


def _foreign(module: str, name: str) -> Stays:
    top = module.partition(".")[0] or name
    compiled = any(
        key.partition(".")[0] == top and (getattr(each, "__file__", None) or "").endswith((".so", ".pyd"))
        for key, each in list(sys.modules.items())
    )
    if compiled:
        return Stays(
            f"uses {top}, which only works in threads and processes", name, "choose backend='processes' for this pool"
        )
    return Stays(f"uses {top}, an installed package that may keep state", name, "choose backend='processes' for this pool")


def _unlisted(module: str, name: str) -> Stays:
    what, advice = _stateless.why_not(module)
    return Stays(f"uses '{module}.{name}', which {what}", f"{module}.{name}", advice)


def _refusal(value: Any, how: str, name: str, advice: str) -> Stays:
    kind = type(value)
    label = kind.__name__
    if kind is _LRU_CACHE:
        return Stays(
            f"calls '{name}', which keeps a cache outside the call (functools.lru_cache)",
            name,
            "make the cache inside the function, or do without",
        )
    if isinstance(value, (MethodType, BuiltinFunctionType, types.MethodWrapperType)):
        owner = type(value.__self__).__name__
        return Stays(f"'{name}' is a method of a {owner} that lives outside", name, "use a function, and pass the object")
    if kind.__module__ == "logging":
        return Stays(f"writes to the logger '{name}'", name, "return what is to be logged")
    if kind.__module__ in ("_thread", "threading"):
        return Stays(f"uses the {label} '{name}' of the program", name, "")
    if kind.__module__ == "_io":
        return Stays(f"uses the file '{name}', which was opened outside", name, "read it outside and pass the contents in")
    if kind.__module__ == "_weakref" or kind.__module__ == "weakref":
        label = "weak reference"
    elif hasattr(kind, "__next__"):
        label = f"iterator ({label})"
    elif _stateless.origin(kind.__module__) == "package":
        return _foreign(kind.__module__, name)
    elif callable(value):
        label = f"callable instance ({label})"
    return Stays(how.format(kind=label), name, advice)
