"""Where values that a piece of bytecode reads from outside go in it, and whether it writes to one of them.

The walk runs over a code object with abstract values on its stack and in its variables. A value made inside, an
argument and everything unknown is None: such values may be used in any way, because all that can be reached from
outside has been judged, and is either immutable, or a class or function whose attributes were judged, too. What the walk
must not lose sight of are modules, classes, functions and the names of attributes.
"""

from __future__ import annotations

import dis
import sys
from types import CodeType
from typing import TYPE_CHECKING

from hypern import _order
from hypern._attribute import (
    check_attribute,
    check_dynamic,
    check_format,
    check_spec,
    check_text,
    check_time_format,
    check_written,
)
from hypern._opcodes import ATTR_SHIFT, IMPORT_SHIFT, NULL_ABOVE, handlers, instructions, pops
from hypern._stays import Stays
from hypern._value import CLASS, MADE, NULL, SET, Slot, Value, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypern._opcodes import Instruction


class _Box:
    """A variable: what is known of all that is ever stored in it."""

    __slots__ = ("read", "stored", "value")

    def __init__(self) -> None:
        self.value: Slot = None
        self.stored = False
        #: Whether it was read in this round.
        self.read = False


_ENDS = frozenset(
    (
        "RETURN_VALUE",
        "RETURN_CONST",
        "RERAISE",
        "RAISE_VARARGS",
        "JUMP_FORWARD",
        "JUMP_BACKWARD",
        "JUMP_BACKWARD_NO_INTERRUPT",
    )
)
_FRAGILE = frozenset(("module", "checked", "set", "set type", "set method"))
#: Instructions to which the order of a set makes no difference.
_ORDERLESS = """
    CONTAINS_OP IS_OP COMPARE_OP TO_BOOL UNARY_NOT SET_UPDATE POP_JUMP_IF_FALSE POP_JUMP_IF_TRUE
    POP_JUMP_FORWARD_IF_FALSE POP_JUMP_FORWARD_IF_TRUE POP_JUMP_BACKWARD_IF_FALSE POP_JUMP_BACKWARD_IF_TRUE
    JUMP_IF_FALSE_OR_POP JUMP_IF_TRUE_OR_POP POP_JUMP_IF_NONE POP_JUMP_IF_NOT_NONE
"""
_SET_USES = frozenset(_ORDERLESS.split())
#: Builtins to whose result it makes no difference, if they are given nothing else, and methods of sets.
_SET_READERS = (len, sorted, min, max, any, all, bool, isinstance)
_SET_METHODS = {
    **dict.fromkeys(["add", "discard", "remove", "clear", "update", "issubset", "issuperset", "isdisjoint"], False),
    **dict.fromkeys(["union", "intersection", "difference", "symmetric_difference", "copy"], True),
    **dict.fromkeys(["intersection_update", "difference_update", "symmetric_difference_update"], False),
}
_COROUTINES = 0x80 | 0x100 | 0x200  # CO_COROUTINE, CO_ITERABLE_COROUTINE, CO_ASYNC_GENERATOR
_MOST_ROUNDS = 16


def follow(code: CodeType, world: World, first: Slot = None, parameters: dict[str, Slot] | None = None) -> None:
    """Walk over a function's code and all that is nested in it.

    ``first`` is what its first parameter is, ``parameters`` what others may be.

    Raises Stays, with the place.
    """
    boxes: dict[str, _Box] = {}
    for _ in range(_MOST_ROUNDS):
        for box in boxes.values():
            box.read = False
        walk = _Walk(code, world, dict.fromkeys(code.co_freevars), boxes, "")
        walk.run(first, parameters or {})
        if not walk.changed | _follow_nested(code, world, walk.cells, boxes, ""):
            return
    raise Stays("is too tangled to be understood", code.co_name).at(code.co_filename, code.co_firstlineno)


def _follow_nested(
    code: CodeType, world: World, cells: dict[str, _Box | None], boxes: dict[str, _Box], path: str
) -> bool:
    """Walk over the code objects in another one; tell whether a variable turned out to be something else than before.

    ``cells`` maps the names of its variables that are shared to their boxes, None for the cells of a function that exists
    outside.
    """
    changed = False
    for index, constant in enumerate(code.co_consts):
        if isinstance(constant, CodeType) and constant.co_name != "__annotate__":
            inside = f"{path}{index}/"
            walk = _Walk(constant, world, {name: cells.get(name) for name in constant.co_freevars}, boxes, inside)
            walk.run(None, {})
            changed |= walk.changed | _follow_nested(constant, world, walk.cells, boxes, inside)
    return changed


def _join(one: Slot, other: Slot) -> Slot:
    """Return what is known of a value that is one or the other."""
    if one is other:
        return one
    if one is not None and other is not None and one.kind == other.kind and one.it is other.it:
        return one
    keep(one)
    keep(other)
    return None


def keep(value: Slot) -> None:
    """Refuse to lose sight of a value that must be followed."""
    if value is not None and value.kind in _FRAGILE:
        if value.kind == "module":
            name = value.it.__name__
            raise Stays(f"uses the module '{name}' as a value", name, "name what you need of it, as in module.function")
        if value.kind != "checked":
            where = "differs between processes" if _order.SEEDS_DIFFER else "may be another one in a copy"
            raise Stays(f"may depend on the order of a set, which {where}", "set", "sort it, or use a dict")
        raise Stays(f"passes '{value.it}' on, which must be followed where it is called", value.it, "call it directly")


_effects: dict[tuple[str, int], tuple[int, int, int] | None] = {}


def _effect(name: str, arg: int) -> tuple[int, int, int]:
    """Return how much an instruction pops, and pushes where it goes on and where it jumps."""
    found = _effects.get((name, arg))
    if found is None:
        count = pops(name, arg)
        if count is None:
            raise Stays(f"has the instruction {name}, which is not understood", name)
        opcode = dis.opmap[name]
        given = arg if (opcode in dis.hasarg if sys.version_info >= (3, 12) else opcode >= dis.HAVE_ARGUMENT) else None
        pushed, jumped = (dis.stack_effect(opcode, given, jump=jump) + count for jump in (False, True))
        found = _effects[name, arg] = count, pushed, jumped
    return found


class _Walk:
    """The walk over one code object."""

    def __init__(
        self, code: CodeType, world: World, free: dict[str, _Box | None], boxes: dict[str, _Box], path: str
    ) -> None:
        self.code = code
        self.world = world
        self.stack: list[Slot] = []
        self.changed = False
        #: The names of the keyword arguments of the call that comes next.
        self.keywords: tuple[str, ...] = ()
        self.variables = [*code.co_varnames, *(each for each in code.co_cellvars if each not in code.co_varnames)]
        self.variables += code.co_freevars
        self.cells: dict[str, _Box | None] = dict(free)
        for name in code.co_cellvars:
            self.cells[name] = boxes.setdefault(f"{path}{name}", _Box())
        self.boxes = {
            name: boxes.setdefault(f"{path}{name}", _Box()) for name in self.variables if name not in self.cells
        }
        self.stored_names: frozenset[str] = frozenset()

    def run(self, first: Slot, parameters: dict[str, Slot]) -> None:
        code = self.code
        if code.co_flags & _COROUTINES:
            raise Stays(f"'{code.co_name}' is a coroutine", code.co_name).at(code.co_filename, code.co_firstlineno)
        listing = instructions(code)
        self.stored_names = frozenset(code.co_names[each.arg] for each in listing.values() if each.name == "STORE_NAME")
        count = code.co_argcount + code.co_kwonlyargcount + (code.co_flags >> 2 & 1) + (code.co_flags >> 3 & 1)
        for index, name in enumerate(code.co_varnames[:count]):
            box = self.cells.get(name) or self.boxes[name]
            self.store(box, first if index == 0 and first is not None else parameters.get(name))
        guards = handlers(code)
        targets = {each.target for each in listing.values()} | {guard.target for guard in guards}
        pending: list[tuple[int, list[Slot]]] = [(guard.target, [None] * guard.depth) for guard in guards]
        pending.append((0, []))
        seen: dict[int, list[Slot]] = {}
        here = 0
        try:
            while pending:
                here, self.stack = pending.pop()
                while self.is_news(here, targets, seen):
                    step = listing[here]
                    jumped = self.step(step)
                    if step.target is not None:
                        pending.append((step.target, jumped))
                    if step.name in _ENDS:
                        break
                    here = step.after
        except Stays as stays:
            raise stays.at(code.co_filename, _line(code, here)) from None
        except (IndexError, KeyError) as error:
            raise Stays("has bytecode that is not understood", code.co_name).at(
                code.co_filename, code.co_firstlineno
            ) from error

    def is_news(self, offset: int, targets: set[int | None], seen: dict[int, list[Slot]]) -> bool:
        """Join with what was on the stack when another way led here; tell whether that makes a difference."""
        if offset not in targets and offset != 0:
            return True
        known = seen.get(offset)
        if known is not None:
            if len(known) != len(self.stack):
                raise IndexError(offset)
            self.stack = list(map(_join, known, self.stack))
            if all(one is other for one, other in zip(known, self.stack, strict=True)):
                return False
        seen[offset] = list(self.stack)
        return True

    def step(self, step: Instruction) -> list[Slot]:
        """Do what an instruction does to the stack; return the stack as it is where it jumps to."""
        special = _STEPS.get(step.name)
        if special is not None:
            special(self, step.arg)
            return self.stack
        count, pushed, jumped = _effect(step.name, step.arg)
        stack = self.stack
        if count:
            if count > len(stack):
                raise IndexError(count)
            for value in stack[-count:]:
                if value is not None and value.kind in _FRAGILE and not (value is SET and step.name in _SET_USES):
                    keep(value)
            del stack[-count:]
        other = [*stack, *[None] * jumped] if step.target is not None else stack
        stack.extend([None] * pushed)
        return other

    def push(self, value: Slot) -> None:
        self.stack.append(value)

    def pop(self) -> Slot:
        return self.stack.pop()

    # Variables

    def store(self, box: _Box, value: Slot) -> None:
        if value is _UNSET:
            return
        if value is not None and value.kind == "null":
            value = None
        now = _join(box.value, value) if box.stored else value
        if now is not box.value and box.read:
            self.changed = True
        box.value = now
        box.stored = True

    def load(self, box: _Box) -> Slot:
        box.read = True
        return box.value

    def load_fast(self, arg: int) -> None:
        box = self.boxes.get(self.variables[arg])
        self.push(None if box is None else self.load(box))

    def load_two(self, arg: int) -> None:
        self.load_fast(arg >> 4)
        self.load_fast(arg & 15)

    def load_and_clear(self, _arg: int) -> None:
        self.push(_UNSET)

    def store_fast(self, arg: int) -> None:
        name = self.variables[arg]
        box = self.boxes.get(name) or self.cells[name]
        if box is None:
            raise KeyError(name)
        self.store(box, self.pop())

    def store_load(self, arg: int) -> None:
        self.store_fast(arg >> 4)
        self.load_fast(arg & 15)

    def store_two(self, arg: int) -> None:
        self.store_fast(arg >> 4)
        self.store_fast(arg & 15)

    def load_deref(self, arg: int) -> None:
        name = self.variables[arg]
        box = self.cells[name]
        self.push(self.world.read_free(name) if box is None else self.load(box))

    def load_deref_in_class(self, arg: int) -> None:
        if sys.version_info >= (3, 12):
            self.pop()
        if self.variables[arg] in self.stored_names:
            self.push(None)
        else:
            self.load_deref(arg)

    def store_deref(self, arg: int) -> None:
        name = self.variables[arg]
        box = self.cells[name]
        if box is None:
            raise Stays(f"writes to the variable '{name}' of the function around it", name, "return it instead")
        self.store(box, self.pop())

    def delete_deref(self, arg: int) -> None:
        name = self.variables[arg]
        if self.cells[name] is None:
            raise Stays(f"deletes the variable '{name}' of the function around it", name)

    def load_global(self, arg: int) -> None:
        name = self.code.co_names[arg >> 1]
        if arg & 1 and not NULL_ABOVE:
            self.push(NULL)
        self.push(self.world.read_global(name))
        if arg & 1 and NULL_ABOVE:
            self.push(NULL)

    def load_name(self, arg: int) -> None:
        name = self.code.co_names[arg]
        self.push(None if name in self.stored_names else self.world.read_global(name))

    def load_name_in_class(self, arg: int) -> None:
        self.pop()
        self.load_name(arg)

    def store_global(self, arg: int) -> None:
        name = self.code.co_names[arg]
        raise Stays(f"writes to the global '{name}'", name, "return the value instead of keeping it in a global")

    def delete_global(self, arg: int) -> None:
        name = self.code.co_names[arg]
        raise Stays(f"deletes the global '{name}'", name)

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
            self.push(Value("const", constant))
        else:
            self.push(SET if kind is frozenset and not _order.keeps_order(constant) else None)

    def load_common(self, arg: int) -> None:
        common = getattr(dis, "_common_constants", ())
        self.push(Value("const", None) if arg < len(common) and common[arg] is None else None)

    def build_string(self, count: int) -> None:
        parts = self.stack[len(self.stack) - count :]
        self.generic("BUILD_STRING", count)
        self.stack[-1] = _begins_like(parts[0]) if parts else None

    def build_set(self, count: int) -> None:
        self.generic("BUILD_SET", count)
        self.stack[-1] = SET if _order.SEEDS_DIFFER else None

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

    def generic(self, name: str, arg: int) -> None:
        """Do what an instruction without a target does to the stack."""
        count, pushed, _ = _effect(name, arg)
        for value in self.stack[len(self.stack) - count :]:
            keep(value)
        del self.stack[len(self.stack) - count :]
        self.stack.extend([None] * pushed)

    def make_function(self, arg: int) -> None:
        code = self.stack[-1]
        self.generic("MAKE_FUNCTION", arg)
        self.stack[-1] = _SET_MAKER if code is _SET_CODE and _order.SEEDS_DIFFER else MADE

    def set_function_attribute(self, arg: int) -> None:
        self.generic("SET_FUNCTION_ATTRIBUTE", arg)
        self.stack[-1] = MADE

    def return_generator(self, _arg: int) -> None:
        self.push(None)  # Some versions say that it has no effect.

    def push_null(self, _arg: int) -> None:
        self.push(NULL)

    def copy(self, depth: int) -> None:
        self.push(self.stack[-depth])

    def swap(self, depth: int) -> None:
        stack = self.stack
        stack[-1], stack[-depth] = stack[-depth], stack[-1]

    def pop_top(self, _arg: int) -> None:
        self.pop()

    def nothing(self, _arg: int) -> None:
        pass

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
            self.world.note(name)
        if name in ("strftime", "strptime"):
            return Value("checked", name)
        return CLASS if name == "__class__" else None

    def load_super_attr(self, arg: int) -> None:
        name = self.code.co_names[arg >> 2]
        check_attribute(name)
        if name in _NOTED:
            self.world.note(name)
        del self.stack[-3:]
        self.push(None)
        if arg & 1:
            self.stack.insert(len(self.stack) if NULL_ABOVE else -1, NULL)

    def store_attr(self, arg: int) -> None:
        owner = self.pop()
        keep(self.pop())
        self.written(owner, self.code.co_names[arg])

    def delete_attr(self, arg: int) -> None:
        self.written(self.pop(), self.code.co_names[arg])

    def written(self, owner: Slot, name: str) -> None:
        if owner is None or owner.kind == "made":
            check_written(name, made=owner is not None)
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
        return None


def _is_set_type(value: Slot) -> bool:
    return value is not None and value.kind == "set type"


#: Attributes that are refused together with something else.
_NOTED = frozenset(("__setattr__", "__delattr__", "register"))
_UNSET = Value("unset")
_SET_CODE = Value("code of a comprehension")
_SET_MAKER = Value("made")


def _kept(value: Slot) -> Slot:
    keep(value)
    return None


def _begins_like(value: Slot) -> Slot:
    if value is not None and value.kind in ("const", "text") and isinstance(value.it, str) and value.it:
        return Value("text", value.it)
    return None


def _line(code: CodeType, offset: int) -> int | None:
    """Return the line of an instruction."""
    for start, end, line in code.co_lines():
        if start <= offset < end and line is not None:
            return line
    return code.co_firstlineno


_STEPS: dict[str, Callable[[_Walk, int], None]] = {
    **dict.fromkeys(("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW"), _Walk.load_fast),
    **dict.fromkeys(("LOAD_FAST_LOAD_FAST", "LOAD_FAST_BORROW_LOAD_FAST_BORROW"), _Walk.load_two),
    "LOAD_FAST_AND_CLEAR": _Walk.load_and_clear,
    "STORE_FAST": _Walk.store_fast,
    "STORE_FAST_LOAD_FAST": _Walk.store_load,
    "STORE_FAST_STORE_FAST": _Walk.store_two,
    "LOAD_DEREF": _Walk.load_deref,
    **dict.fromkeys(("LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"), _Walk.load_deref_in_class),
    "STORE_DEREF": _Walk.store_deref,
    "DELETE_DEREF": _Walk.delete_deref,
    "LOAD_GLOBAL": _Walk.load_global,
    "LOAD_NAME": _Walk.load_name,
    "LOAD_FROM_DICT_OR_GLOBALS": _Walk.load_name_in_class,
    "STORE_GLOBAL": _Walk.store_global,
    "DELETE_GLOBAL": _Walk.delete_global,
    "LOAD_CONST": _Walk.load_const,
    "LOAD_COMMON_CONSTANT": _Walk.load_common,
    "BUILD_STRING": _Walk.build_string,
    "BINARY_OP": _Walk.binary,
    "BUILD_SET": _Walk.build_set,
    "RETURN_VALUE": _Walk.return_value,
    "FORMAT_WITH_SPEC": _Walk.format_spec,
    "FORMAT_VALUE": _Walk.format_value,
    "MAKE_FUNCTION": _Walk.make_function,
    "SET_FUNCTION_ATTRIBUTE": _Walk.set_function_attribute,
    "RETURN_GENERATOR": _Walk.return_generator,
    "PUSH_NULL": _Walk.push_null,
    "COPY": _Walk.copy,
    "SWAP": _Walk.swap,
    "POP_TOP": _Walk.pop_top,
    "PRECALL": _Walk.nothing,
    "KW_NAMES": _Walk.name_keywords,
    "LOAD_ATTR": _Walk.load_attr,
    "LOAD_METHOD": _Walk.load_method,
    "LOAD_SUPER_ATTR": _Walk.load_super_attr,
    "STORE_ATTR": _Walk.store_attr,
    "DELETE_ATTR": _Walk.delete_attr,
    "IMPORT_NAME": _Walk.import_name,
    "IMPORT_FROM": _Walk.import_from,
    "CALL": _Walk.call,
    "CALL_KW": _Walk.call_keywords,
    "CALL_FUNCTION_EX": _Walk.call_unpacked,
}
