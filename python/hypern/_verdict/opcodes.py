"""The bytecode of CPython 3.11 to 3.15 as what a walk over it needs: instructions, targets, and how much each one pops.

What an instruction does beyond that is the business of ``_flow``. An opcode that is not in the table is unknown, and a
walk must give up on it.
"""

from __future__ import annotations

import dis
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType

_VERSION = sys.version_info[:2]
#: Since 3.13 the NULL of a call lies above the callable.
NULL_ABOVE = _VERSION >= (3, 13)
#: How far the index of a name is shifted in the argument.
ATTR_SHIFT = 1 if _VERSION >= (3, 12) else 0
IMPORT_SHIFT = 2 if _VERSION >= (3, 15) else 0

_EXTENDED_ARG = dis.opmap["EXTENDED_ARG"]
_CACHE = dis.opmap["CACHE"]


class Instruction(NamedTuple):
    offset: int
    name: str
    arg: int
    #: Where the next one begins.
    after: int
    #: Where it jumps to, None where it does not.
    target: int | None


def instructions(code: CodeType) -> dict[int, Instruction]:
    """Return the instructions of a code object by offset; a prefix that extends an argument is part of one."""
    found: dict[int, Instruction] = {}
    raw = code.co_code
    end = len(raw)
    offset = extended = 0
    start: int | None = None
    while offset < end:
        opcode, arg = raw[offset], raw[offset + 1] | extended
        if start is None:
            start = offset
        offset += 2
        if opcode == _EXTENDED_ARG:
            extended = arg << 8
            continue
        while offset < end and raw[offset] == _CACHE:
            offset += 2
        name = dis.opname[opcode]
        target = None
        if opcode in _JUMPS:
            target = offset - 2 * arg if "BACKWARD" in name else offset + 2 * arg
        found[start] = Instruction(start, name, arg, offset, target)
        extended, start = 0, None
    return found


_JUMPS = frozenset(dis.hasjrel)


class Handler(NamedTuple):
    """Where the instructions from ``start`` to before ``end`` go when they raise, with how much on the stack."""

    start: int
    end: int
    target: int
    depth: int


def handlers(code: CodeType) -> list[Handler]:
    """Return the exception table; the depth counts the offset and the exception that are pushed."""
    numbers = _numbers(code.co_exceptiontable)
    found: list[Handler] = []
    for start in numbers:
        length, target, rest = next(numbers), next(numbers), next(numbers)
        found.append(Handler(2 * start, 2 * (start + length), 2 * target, (rest >> 1) + (rest & 1) + 1))
    return found


def _numbers(table: bytes) -> Iterator[int]:
    value = 0
    for byte in table:
        value = value << 6 | byte & 63
        if not byte & 64:
            yield value
            value = 0


def pops(name: str, arg: int) -> int | None:
    """Return how many values an instruction takes from the stack; None for an unknown one."""
    count = _POPS.get(name)
    return count(arg) if callable(count) else count


def _takes_all(arg: int) -> int:
    return arg


# How much instructions pop: nothing, one value ..., as many as their argument says.
_NOTHING = """
    CACHE NOP RESUME MAKE_CELL COPY_FREE_VARS NOT_TAKEN PRECALL KW_NAMES PUSH_NULL EXTENDED_ARG SETUP_ANNOTATIONS
    JUMP_FORWARD JUMP_BACKWARD JUMP_BACKWARD_NO_INTERRUPT FOR_ITER GET_LEN MATCH_MAPPING MATCH_SEQUENCE MATCH_KEYS
    RETURN_GENERATOR RETURN_CONST WITH_EXCEPT_START LOAD_ASSERTION_ERROR LOAD_BUILD_CLASS LOAD_CLOSURE LOAD_LOCALS
    LOAD_COMMON_CONSTANT LOAD_SMALL_INT IMPORT_FROM LOAD_CONST LOAD_FAST_AND_CLEAR DELETE_FAST DELETE_DEREF
    DELETE_NAME
"""
_ONE = """
    POP_TOP UNARY_POSITIVE UNARY_NEGATIVE UNARY_NOT UNARY_INVERT TO_BOOL GET_ITER GET_YIELD_FROM_ITER
    UNPACK_SEQUENCE UNPACK_EX LIST_APPEND LIST_EXTEND SET_ADD SET_UPDATE DICT_UPDATE DICT_MERGE LIST_TO_TUPLE
    FORMAT_SIMPLE CONVERT_VALUE RETURN_VALUE YIELD_VALUE RERAISE PUSH_EXC_INFO CHECK_EXC_MATCH POP_EXCEPT
    BEFORE_WITH LOAD_SPECIAL CALL_INTRINSIC_1 SEND END_FOR POP_JUMP_IF_FALSE POP_JUMP_IF_TRUE POP_JUMP_IF_NONE
    POP_JUMP_IF_NOT_NONE POP_JUMP_FORWARD_IF_FALSE POP_JUMP_FORWARD_IF_TRUE POP_JUMP_FORWARD_IF_NONE
    POP_JUMP_FORWARD_IF_NOT_NONE POP_JUMP_BACKWARD_IF_FALSE POP_JUMP_BACKWARD_IF_TRUE POP_JUMP_BACKWARD_IF_NONE
    POP_JUMP_BACKWARD_IF_NOT_NONE JUMP_IF_FALSE_OR_POP JUMP_IF_TRUE_OR_POP STORE_NAME STORE_DEREF
    LOAD_FROM_DICT_OR_DEREF LOAD_FROM_DICT_OR_GLOBALS LOAD_CLASSDEREF
"""
_TWO = """
    BINARY_OP BINARY_SUBSCR DELETE_SUBSCR COMPARE_OP CONTAINS_OP IS_OP MAP_ADD FORMAT_WITH_SPEC CALL_INTRINSIC_2
    SET_FUNCTION_ATTRIBUTE PREP_RERAISE_STAR CHECK_EG_MATCH END_SEND BUILD_TEMPLATE POP_ITER
"""
_THREE = """
    STORE_SUBSCR BINARY_SLICE MATCH_CLASS CLEANUP_THROW
"""
_AS_MANY = """
    BUILD_LIST BUILD_TUPLE BUILD_SET BUILD_STRING BUILD_SLICE RAISE_VARARGS
"""

_POPS: dict[str, int | Callable[[int], int]] = {
    **dict.fromkeys(_NOTHING.split(), 0),
    **dict.fromkeys(_ONE.split(), 1),
    **dict.fromkeys(_TWO.split(), 2),
    **dict.fromkeys(_THREE.split(), 3),
    "STORE_SLICE": 4,
    **dict.fromkeys(_AS_MANY.split(), _takes_all),
    "BUILD_MAP": lambda arg: 2 * arg,
    "BUILD_CONST_KEY_MAP": lambda arg: arg + 1,
    "BUILD_INTERPOLATION": lambda arg: 2 + (arg & 1),
    "FORMAT_VALUE": lambda arg: 2 if arg & 4 else 1,
    "MAKE_FUNCTION": (lambda _: 1) if NULL_ABOVE else (lambda arg: 1 + (arg & 15).bit_count()),
}
if _VERSION == (3, 11):
    _POPS["FOR_ITER"] = 1  # It leaves the iterator where it goes on, and takes it where it jumps.
if _VERSION == (3, 12):
    _POPS["END_FOR"] = 2
if _VERSION == (3, 14):
    _POPS["POP_ITER"] = 1
if _VERSION >= (3, 15):
    _POPS["END_SEND"] = 3
