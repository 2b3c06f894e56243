"""Whether a call may run on a copy of its code and data elsewhere, so that nobody can tell; and if not, why.

The answer is for the callable. Its arguments are somebody else's business: they are taken to be plain data.
"""

from __future__ import annotations

import functools
import sys
import weakref
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, NamedTuple

from hypern._reach import Reach
from hypern._stays import Stays

if TYPE_CHECKING:
    from hypern._capture import Watch

#: Callables whose verdict is remembered at most.
MOST_JUDGED = 1024
_GENERATOR = 0x20  # CO_GENERATOR


class Verdict(NamedTuple):
    """Whether a call may leave the shared interpreter, and why."""

    leaves: bool
    #: In words a user understands.
    reason: str
    #: Where the deciding instruction is; of a callable that leaves, where it begins.
    file: str | None
    line: int | None
    #: The name that decided.
    name: str | None
    #: What to change, "" if there is nothing to say.
    advice: str


class _Judged:
    """A verdict, and what must still be so for it to be right."""

    __slots__ = ("parts", "reference", "verdict", "watch")

    def __init__(self, reference: weakref.ref[Any], parts: tuple[Any, ...], watch: Watch, verdict: Verdict) -> None:
        self.reference = reference
        #: Of the callable itself, which the watch must not keep alive.
        self.parts = parts
        self.watch = watch
        self.verdict = verdict


#: Written by any thread that judges; a verdict that is lost or made twice does no harm.
_judged: dict[int, _Judged] = {}


def judge(function: Any) -> Verdict:
    """Return the verdict on a callable; it is remembered as long as nothing that was looked at is replaced."""
    known = _judged.get(id(function))
    if known is not None and known.reference() is function:
        parts = known.parts
        if (
            not parts
            or (
                function.__code__ is parts[0]
                and function.__defaults__ is parts[1]
                and function.__kwdefaults__ is parts[2]
                and bool(function.__dict__) is parts[3]
            )
        ) and known.watch.holds():
            return known.verdict
    return _judge_anew(function)


def _judge_anew(function: Any) -> Verdict:
    reach = Reach(function)
    parts: tuple[Any, ...] = ()
    if type(function) is FunctionType:
        parts = function.__code__, function.__defaults__, function.__kwdefaults__, bool(function.__dict__)
    verdict = _look(function, reach)
    if reach.lasting:
        key, judged = id(function), _judged
        try:
            reference = weakref.ref(function, lambda _: judged.pop(key, None))
        except TypeError:
            return verdict
        judged[key] = _Judged(reference, parts, reach.watch, verdict)
        while len(judged) > MOST_JUDGED:
            # A function that reads itself is kept by its own watch.
            judged.pop(next(iter(judged), key), None)
    return verdict


def _look(function: Any, reach: Reach) -> Verdict:
    try:
        _begin(function, reach)
        reach.examine_all()
    except Stays as stays:
        file, line = stays.file, stays.line
        if file is None:
            file, line = _place(function)
        return Verdict(False, stays.reason, file, line, stays.name, stays.advice)
    except Exception as error:  # Too deep, or with attributes that raise: whatever it is, the call works where it is.
        reach.lasting = False
        return Verdict(False, f"was not understood: {type(error).__name__}", *_place(function), None, "")
    file, line = _place(function)
    return Verdict(True, "touches nothing outside itself that can change", file, line, None, "")


def _begin(function: Any, reach: Reach) -> None:
    """Admit the callable itself. Raises Stays."""
    if isinstance(function, functools.partial):
        _begin_partial(function, reach)
        return
    name = getattr(function, "__name__", type(function).__name__)
    if type(function) is FunctionType:
        if function.__code__.co_flags & _GENERATOR:
            raise Stays(
                f"'{name}' is a generator function: what it returns is alive", name, "return a list of what it yields"
            )
        reach.admit_function(function, name)
    elif isinstance(function, (type, BuiltinFunctionType, MethodType)):
        code = getattr(getattr(function, "__func__", None), "__code__", None)
        if function is iter or (code is not None and code.co_flags & _GENERATOR) or _makes_iterators(function):
            raise Stays(f"'{name}' makes an iterator: what it returns is alive", name, "return a list")
        slot = reach.admit(function, f"'{name}' is a {{kind}}", name)
        if slot is not None and slot.kind == "checked":
            raise Stays(f"'{name}' may read or change anything", name)
        if function is hash:
            raise Stays("uses hash, which differs between processes", "hash", "use hashlib")
    elif callable(function):
        reach.admit(function, f"'{name}' is a {{kind}} that lives outside", name, "use a function")
    else:
        raise Stays(f"a {name} cannot be called", name)


def _makes_iterators(function: Any) -> bool:
    return (
        isinstance(function, type)
        and function.__module__ in ("builtins", "itertools")
        and hasattr(function, "__next__")
    )


#: What a partial may hold: it is looked at, call by call, with the arguments.
_PLAIN = (list, dict, set, bytearray)


def _begin_partial(function: functools.partial[Any], reach: Reach) -> None:
    _begin(function.func, reach)
    reach.watch.whole(function, function.keywords)
    if vars(function):
        raise Stays("is a partial that carries attributes", "partial")
    for value in (*function.args, *function.keywords.values()):
        if type(value) not in _PLAIN:
            slot = reach.admit(value, "is a partial with a {kind}", "partial")
            if slot is not None and slot.kind in ("module", "checked"):
                raise Stays("is a partial with what must be called by its name", "partial")


def _place(function: Any) -> tuple[str | None, int | None]:
    """Return where a callable begins, as far as it says so."""
    while isinstance(function, functools.partial):
        function = function.func
    function = getattr(function, "__wrapped__", getattr(function, "__func__", function))
    code = getattr(function, "__code__", None)
    if code is not None:
        return code.co_filename, code.co_firstlineno
    cls = function if isinstance(function, type) else type(function)
    methods = [getattr(value, "__func__", value) for value in vars(cls).values()]
    codes = [method.__code__ for method in methods if type(method) is FunctionType]
    line = getattr(cls, "__firstlineno__", min((code.co_firstlineno for code in codes), default=None))
    return getattr(sys.modules.get(cls.__module__), "__file__", None), line
