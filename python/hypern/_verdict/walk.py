"""The walk over the instructions of a code object: the stack, the variables, and the ways through.

It keeps step with CPython's own stack, and gives up where it cannot. What instructions mean is said in ``_flow``.
"""

from __future__ import annotations

import dis
import sys
from typing import TYPE_CHECKING, Any

from hypern._verdict import set_order
from hypern._verdict.opcodes import NULL_ABOVE, handlers, instructions, pops
from hypern._verdict.stays import Stays
from hypern._verdict.value import NULL, SET, Slot, Value, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

    from hypern._verdict.opcodes import Instruction


class Box:
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
_COROUTINES = 0x80 | 0x100 | 0x200  # CO_COROUTINE, CO_ITERABLE_COROUTINE, CO_ASYNC_GENERATOR
_UNSET = Value("unset")


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
            where = "differs between processes" if set_order.SEEDS_DIFFER else "may be another one in a copy"
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


class Walk:
    """The walk over one code object; subclasses say in ``steps`` what instructions mean."""

    steps: dict[str, Callable[[Any, int], None]]

    def __init__(
        self, code: CodeType, world: World, free: dict[str, Box | None], boxes: dict[str, Box], path: str
    ) -> None:
        self.code = code
        self.world = world
        self.stack: list[Slot] = []
        #: The offset of the instruction.
        self.here = 0
        self.changed = False
        #: The names of the keyword arguments of the call that comes next.
        self.keywords: tuple[str, ...] = ()
        self.variables = [*code.co_varnames, *(each for each in code.co_cellvars if each not in code.co_varnames)]
        self.variables += code.co_freevars
        self.cells: dict[str, Box | None] = dict(free)
        for name in code.co_cellvars:
            self.cells[name] = boxes.setdefault(f"{path}{name}", Box())
        self.boxes = {
            name: boxes.setdefault(f"{path}{name}", Box()) for name in self.variables if name not in self.cells
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
        try:
            while pending:
                self.here, self.stack = pending.pop()
                while self.is_news(self.here, targets, seen):
                    step = listing[self.here]
                    jumped = self.step(step)
                    if step.target is not None:
                        pending.append((step.target, jumped))
                    if step.name in _ENDS:
                        break
                    self.here = step.after
        except Stays as stays:
            raise stays.at(code.co_filename, line_of(code, self.here)) from None
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
        special = self.steps.get(step.name)
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

    # The stack

    def generic(self, name: str, arg: int) -> None:
        """Do what an instruction without a target does to the stack."""
        count, pushed, _ = _effect(name, arg)
        for value in self.stack[len(self.stack) - count :]:
            keep(value)
        del self.stack[len(self.stack) - count :]
        self.stack.extend([None] * pushed)

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

    # Variables

    def store(self, box: Box, value: Slot) -> None:
        if value is _UNSET:
            return
        if value is not None and value.kind == "null":
            value = None
        now = _join(box.value, value) if box.stored else value
        if now is not box.value and box.read:
            self.changed = True
        box.value = now
        box.stored = True

    def load(self, box: Box) -> Slot:
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


def line_of(code: CodeType, offset: int) -> int | None:
    """Return the line of an instruction."""
    for start, end, line in code.co_lines():
        if start <= offset < end and line is not None:
            return line
    return code.co_firstlineno
