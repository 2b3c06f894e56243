"""Where values that a piece of bytecode reads from outside go in it, and whether it writes to one of them.

The walk runs over a code object with abstract values on its stack and in its variables. A value made inside, an
argument and everything unknown is None: such values may be used in any way, because all that can be reached from
outside has been judged, and is either immutable, or a class or function whose attributes were judged, too. What must
not get out of sight are modules, classes, functions and the names of attributes.
"""

from __future__ import annotations

import dis
import sys
from types import CodeType
from typing import TYPE_CHECKING, Any

from hypern._verdict import set_order
from hypern._verdict.attribute import (
    check_attribute,
    check_dynamic,
    check_format,
    check_number,
    check_spec,
    check_text,
    check_time_format,
    check_written,
)
from hypern._verdict.opcodes import ATTR_SHIFT, IMPORT_SHIFT, NULL_ABOVE
from hypern._verdict.stays import Stays
from hypern._verdict.value import CLASS, MADE, NULL, SET, Slot, Value
from hypern._verdict.walk import Box, Walk, keep, line_of

if TYPE_CHECKING:
    from hypern._verdict.value import World


#: Builtins to whose result it makes no difference, if they are given nothing else, and methods of sets.
_SET_READERS = (len, sorted, min, max, any, all, bool, isinstance)
_SET_METHODS = {
    **dict.fromkeys(["add", "discard", "remove", "clear", "update", "issubset", "issuperset", "isdisjoint"], False),
    **dict.fromkeys(["union", "intersection", "difference", "symmetric_difference", "copy"], True),
    **dict.fromkeys(["intersection_update", "difference_update", "symmetric_difference_update"], False),
}
_MOST_ROUNDS = 16
#: Attributes that are refused together with something else.
_NOTED = frozenset(("__setattr__", "__delattr__", "register"))
#: The keys or items of a dict, perhaps: what ``& ^ | -`` make of them is a set.
_VIEW_MAKER, _VIEW = Value("method"), Value("view")
_SET_OPERATORS = (1, 7, 10, 12, 14, 20, 23, 25)  # As in dis: & | - ^, and the same in place.
_SET_CODE = Value("code of a comprehension")
_SET_MAKER = Value("made")


def follow(code: CodeType, world: World, first: Slot = None, parameters: dict[str, Slot] | None = None) -> None:
    """Walk over a function's code and all that is nested in it.

    ``first`` is what its first parameter is, ``parameters`` what others may be.

    Raises Stays, with the place.
    """
    boxes: dict[str, Box] = {}
    for _ in range(_MOST_ROUNDS):
        for box in boxes.values():
            box.read = False
        walk = _Flow(code, world, dict.fromkeys(code.co_freevars), boxes, "")
        walk.run(first, parameters or {})
        if not walk.changed | _follow_nested(code, world, walk.cells, boxes, ""):
            return
    raise Stays("is too tangled to be understood", code.co_name).at(code.co_filename, code.co_firstlineno)


def _follow_nested(
    code: CodeType, world: World, cells: dict[str, Box | None], boxes: dict[str, Box], path: str
) -> bool:
    """Walk over the code objects in another one; tell whether a variable turned out to be something else than before.

    ``cells`` maps the names of its variables that are shared to their boxes, None for the cells of a function that
    exists outside.
    """
    changed = False
    for index, constant in enumerate(code.co_consts):
        if isinstance(constant, CodeType) and constant.co_name != "__annotate__":
            inside = f"{path}{index}/"
            walk = _Flow(constant, world, {name: cells.get(name) for name in constant.co_freevars}, boxes, inside)
            walk.run(None, {})
            changed |= walk.changed | _follow_nested(constant, world, walk.cells, boxes, inside)
    return changed


class _Flow(Walk):
    """The walk over one code object, with what its instructions mean."""

    # Constants and what is made of them

    def load_const(self, arg: int) -> None:
        constant = self.code.co_consts[arg]
        kind = type(constant)
        if kind is str:
            check_text(constant)
            self.push(Value("const", constant))
        elif kind is CodeType and constant.co_name == "<setcomp>":
            self.push(_SET_CODE)
        elif kind is tuple or constant is None:
            _check_inside(constant or ())
            self.push(Value("const", constant))
        else:
            check_number(constant, "NaN")
            self.push(SET if kind is frozenset and not set_order.keeps_order(constant) else None)

    def return_const(self, arg: int) -> None:
        self.load_const(arg)
        self.return_value(0)

    def load_common(self, arg: int) -> None:
        common = getattr(dis, "_common_constants", ())
        self.push(Value("const", None) if arg < len(common) and common[arg] is None else None)

    def build_string(self, count: int) -> None:
        parts = self.stack[len(self.stack) - count :]
        self.generic("BUILD_STRING", count)
        self.stack[-1] = _begins_like(parts[0]) if parts else None

    def build_set(self, count: int) -> None:
        self.generic("BUILD_SET", count)
        self.stack[-1] = SET if set_order.SEEDS_DIFFER else None

    def return_value(self, _arg: int) -> None:
        value = self.pop()
        if not (value is SET and self.code.co_name == "<setcomp>"):
            keep(value)

    def binary(self, arg: int) -> None:
        left = self.stack[-2]
        if left is SET or self.stack[-1] is SET:
            del self.stack[-2:]
            self.push(SET)
            return
        if arg in _SET_OPERATORS and (left is _VIEW or self.stack[-1] is _VIEW):
            del self.stack[-2:]
            self.push(SET)
            return
        self.generic("BINARY_OP", arg)
        if arg in (0, 13):  # + and +=
            self.stack[-1] = _begins_like(left)

    def format_spec(self, arg: int) -> None:
        self.check_spec()
        self.generic("FORMAT_WITH_SPEC", arg)

    def format_value(self, arg: int) -> None:
        if arg & 4:
            self.check_spec()
        self.generic("FORMAT_VALUE", arg)

    def check_spec(self) -> None:
        spec = self.stack[-1]
        if spec is not None and spec.kind == "const" and isinstance(spec.it, str):
            check_spec(spec.it)

    def make_function(self, arg: int) -> None:
        code = self.stack[-1]
        self.generic("MAKE_FUNCTION", arg)
        self.stack[-1] = _SET_MAKER if code is _SET_CODE and set_order.SEEDS_DIFFER else MADE

    def set_function_attribute(self, arg: int) -> None:
        self.generic("SET_FUNCTION_ATTRIBUTE", arg)
        self.stack[-1] = MADE

    # Attributes

    def load_attr(self, arg: int) -> None:
        called = bool(ATTR_SHIFT and arg & 1)
        self.read(self.code.co_names[arg >> ATTR_SHIFT], called)

    def load_method(self, arg: int) -> None:
        self.read(self.code.co_names[arg], called=True)

    def read(self, name: str, called: bool) -> None:
        value = self.attribute(self.pop(), name, called)
        if called and not NULL_ABOVE:
            self.push(NULL)
        self.push(value)
        if called and NULL_ABOVE:
            self.push(NULL)

    def attribute(self, owner: Slot, name: str, called: bool = False) -> Slot:
        if owner is not None:
            if owner.kind == "module":
                return self.world.read_member(owner.it, name)
            if owner.kind == "known":
                return self.world.read_attribute(owner.it, name)
            if owner.kind == "set" and name in _SET_METHODS:
                return Value("set method", _SET_METHODS[name])
            keep(owner)
            if name in ("format", "format_map") and isinstance(owner.it, str):
                check_format(owner.it)
        check_attribute(name, called)
        if name in _NOTED:
            self.note(name, name)
        self.check_init(name)
        if name in ("strftime", "strptime"):
            return Value("checked", name)
        if called and set_order.SEEDS_DIFFER and name in ("keys", "items"):
            return _VIEW_MAKER
        return CLASS if name == "__class__" else None

    def load_super_attr(self, arg: int) -> None:
        name = self.code.co_names[arg >> 2]
        check_attribute(name)
        if name in _NOTED:
            self.note(name, name)
        self.check_init(name)
        del self.stack[-3:]
        self.push(None)
        if arg & 1:
            self.stack.insert(len(self.stack) if NULL_ABOVE else -1, NULL)

    def check_init(self, name: str) -> None:
        """Take note of what may make a member of an enumeration anew, unless one calls that of the class above."""
        if name == "__init__" and self.code.co_name != name:
            self.note("written", name)

    def store_attr(self, arg: int) -> None:
        owner = self.pop()
        keep(self.pop())
        self.written(owner, self.code.co_names[arg])

    def delete_attr(self, arg: int) -> None:
        self.written(self.pop(), self.code.co_names[arg])

    def note(self, kind: str, name: str) -> None:
        """Remember what is refused together with something else."""
        self.world.note(kind, name, self.code.co_filename, line_of(self.code, self.here))

    def written(self, owner: Slot, name: str) -> None:
        if owner is None or owner.kind in ("made", "self"):
            check_written(name, made=owner is not None and owner.kind == "made")
            if owner is None:
                self.note("written", name)
            return
        advice = "keep it in an instance that the call makes, or return it"
        if owner.kind == "class":
            raise Stays(f"writes to the attribute '{name}' of a class", name, advice)
        if owner.kind == "module":
            raise Stays(f"writes to '{name}' of the module '{owner.it.__name__}'", name, advice)
        what = getattr(owner.it, "__name__", None) or type(owner.it).__name__
        kind = "class" if isinstance(owner.it, type) else "function" if callable(owner.it) else "value"
        raise Stays(f"writes to the attribute '{name}' of the {kind} '{what}'", name, advice)

    # Imports

    def import_name(self, arg: int) -> None:
        names, level = self.pop(), self.pop()
        del level
        name = self.code.co_names[arg >> IMPORT_SHIFT]
        self.push(self.world.read_import(name, names is None or not names.it))

    def import_from(self, arg: int) -> None:
        module = self.stack[-1]
        name = self.code.co_names[arg]
        if module is None or module.kind != "module":
            raise Stays(f"imports '{name}' from what is not a module", name)
        self.push(self.world.read_member(module.it, name))

    # Calls

    def call(self, count: int) -> None:
        keywords, self.keywords = self.keywords, ()
        self.called(count, keywords)

    def name_keywords(self, arg: int) -> None:
        self.keywords = self.code.co_consts[arg]

    def call_keywords(self, count: int) -> None:
        names = self.pop()
        self.called(count, names.it if names is not None else ())

    def call_unpacked(self, arg: int) -> None:
        given = 4 if arg & 1 or sys.version_info >= (3, 14) else 3
        taken = self.stack[-given:]
        del self.stack[-given:]
        for value in taken[2:]:
            keep(value)
        callee = taken[0] if NULL_ABOVE else taken[1]
        if callee is not None and callee.kind == "checked":
            keep(callee)
        self.push(self.result(callee, None))

    def called(self, count: int, keywords: tuple[str, ...]) -> None:
        arguments = self.stack[len(self.stack) - count :] if count else []
        del self.stack[len(self.stack) - count :]
        second, first = self.pop(), self.pop()
        if first is NULL:
            callee = second
        else:
            callee = first
            if second is not NULL:
                arguments.insert(0, second)
        if callee is not None and callee.kind == "checked":
            if keywords:
                keep(callee)
            self.push(self.called_checked(callee.it, arguments))
            return
        if callee is not None and callee.kind in ("set method", "set type"):
            for value in arguments:
                if value is not SET:
                    keep(value)
            self.push(SET if callee.kind == "set type" or callee.it else None)
            return
        reads_sets = callee is not None and callee.kind == "known" and callee.it in _SET_READERS and not keywords
        for value in arguments:
            if not (reads_sets and (value is SET or _is_set_type(value))):
                keep(value)
        self.push(self.result(callee, arguments))

    def result(self, callee: Slot, arguments: list[Slot] | None) -> Slot:
        """Return what a call gives; the arguments are None where they are unpacked from something."""
        if callee is None:
            return None
        keep(callee)
        if callee is _SET_MAKER:
            return SET
        if callee is _VIEW_MAKER:
            return _VIEW
        if callee.kind != "known":
            return None
        if callee.it is type and arguments is not None and len(arguments) == 1:
            return CLASS
        self.world.check_call(callee.it, arguments)
        return None

    def called_checked(self, what: str, arguments: list[Slot]) -> Slot:
        if what in ("strftime", "strptime"):
            text = arguments[-1] if arguments else None
            if text is None or text.kind != "const" or not isinstance(text.it, str):
                raise Stays(f"calls '{what}' with a format that is not constant, and may depend on the locale", what)
            check_time_format(text.it)
            return None
        owner, name = [*arguments, None, None][:2]
        for value in arguments[1:]:
            keep(value)
        if name is not None and name.kind == "const" and isinstance(name.it, str):
            if what in ("getattr", "hasattr"):
                found = self.attribute(owner, name.it)
                return found if what == "getattr" and len(arguments) == 2 else _kept(found)
            self.written(owner, name.it)
            return None
        check_dynamic(what, owner, name)
        if owner is None and what in ("setattr", "delattr"):
            self.note("written", what)
        return None


def _check_inside(constant: tuple[Any, ...]) -> None:
    """Refuse a constant tuple with what would be refused by itself."""
    for each in constant:
        if type(each) is str:
            check_text(each)
        elif type(each) is tuple:
            _check_inside(each)
        elif type(each) is frozenset and not set_order.keeps_order(each):
            keep(SET)
        else:
            check_number(each, "NaN")


def _is_set_type(value: Slot) -> bool:
    return value is not None and value.kind == "set type"


def _kept(value: Slot) -> Slot:
    keep(value)
    return None


def _begins_like(value: Slot) -> Slot:
    if value is not None and value.kind in ("const", "text") and isinstance(value.it, str) and value.it:
        return Value("text", value.it)
    return None


_Flow.steps = {
    **dict.fromkeys(("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW"), _Flow.load_fast),
    **dict.fromkeys(("LOAD_FAST_LOAD_FAST", "LOAD_FAST_BORROW_LOAD_FAST_BORROW"), _Flow.load_two),
    "LOAD_FAST_AND_CLEAR": _Flow.load_and_clear,
    "STORE_FAST": _Flow.store_fast,
    "STORE_FAST_LOAD_FAST": _Flow.store_load,
    "STORE_FAST_STORE_FAST": _Flow.store_two,
    "LOAD_DEREF": _Flow.load_deref,
    **dict.fromkeys(("LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"), _Flow.load_deref_in_class),
    "STORE_DEREF": _Flow.store_deref,
    "DELETE_DEREF": _Flow.delete_deref,
    "LOAD_GLOBAL": _Flow.load_global,
    "LOAD_NAME": _Flow.load_name,
    "LOAD_FROM_DICT_OR_GLOBALS": _Flow.load_name_in_class,
    "STORE_GLOBAL": _Flow.store_global,
    "DELETE_GLOBAL": _Flow.delete_global,
    "LOAD_CONST": _Flow.load_const,
    "LOAD_COMMON_CONSTANT": _Flow.load_common,
    "BUILD_STRING": _Flow.build_string,
    "BINARY_OP": _Flow.binary,
    "BUILD_SET": _Flow.build_set,
    "RETURN_VALUE": _Flow.return_value,
    "RETURN_CONST": _Flow.return_const,
    "FORMAT_WITH_SPEC": _Flow.format_spec,
    "FORMAT_VALUE": _Flow.format_value,
    "MAKE_FUNCTION": _Flow.make_function,
    "SET_FUNCTION_ATTRIBUTE": _Flow.set_function_attribute,
    "RETURN_GENERATOR": _Flow.return_generator,
    "PUSH_NULL": _Flow.push_null,
    "COPY": _Flow.copy,
    "SWAP": _Flow.swap,
    "POP_TOP": _Flow.pop_top,
    "PRECALL": _Flow.nothing,
    "KW_NAMES": _Flow.name_keywords,
    "LOAD_ATTR": _Flow.load_attr,
    "LOAD_METHOD": _Flow.load_method,
    "LOAD_SUPER_ATTR": _Flow.load_super_attr,
    "STORE_ATTR": _Flow.store_attr,
    "DELETE_ATTR": _Flow.delete_attr,
    "IMPORT_NAME": _Flow.import_name,
    "IMPORT_FROM": _Flow.import_from,
    "CALL": _Flow.call,
    "CALL_KW": _Flow.call_keywords,
    "CALL_FUNCTION_EX": _Flow.call_unpacked,
}
