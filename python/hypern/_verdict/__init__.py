"""Whether a call may run on a copy of its code and data elsewhere, so that nobody can tell; and if not, why.

The answer is for the callable. Its arguments are somebody else's business: they are taken to be plain data.
"""

from __future__ import annotations

import functools
import sys
import weakref
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from hypern._capture import MISSING, contents
from hypern._verdict import set_order
from hypern._verdict.reach import Reach
from hypern._verdict.stays import Stays

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType

    from hypern._capture import Watch
    from hypern._core import Shipment

#: Callables whose verdict is remembered at most.
MOST_JUDGED = 1024
#: Characters or bytes of a captured value.
_SMALL = 1024
_GENERATOR = 0x20  # CO_GENERATOR


@dataclass(slots=True, eq=False)
class Verdict:
    """Whether a call may leave the shared interpreter, and why; and what was learned from calls since.

    It is another object when the callable, or something that it reads, has changed.
    """

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
    #: Why a call came back and all others would, "" if none did. Like what follows, written by any thread.
    came_back: str = ""
    #: Whether calls were found to be worth the trip.
    worth: bool = False
    #: The callable in the form that crosses, once it was needed.
    shipped: Shipment | None = None


class _Judged:
    """A verdict, and what must still be so for it to be right."""

    __slots__ = ("attributes", "cells", "code", "defaults", "keywords", "namespace", "reference", "verdict", "watch")

    def __init__(self, reference: weakref.ref[Any], watch: Watch, verdict: Verdict) -> None:
        self.reference = reference
        #: Of everything behind the callable.
        self.watch = watch
        self.verdict = verdict
        #: Of the callable itself, which a watch would keep alive; no code where it is no Python function.
        self.code: CodeType | None = None
        self.defaults: tuple[Any, ...] | None = None
        self.keywords: dict[str, Any] | None = None
        self.attributes = False
        self.namespace: dict[str, Any] | None = None
        self.cells: list[tuple[int, Any]] = []

    def describe(self, function: FunctionType, cells: list[tuple[int, Any]]) -> None:
        self.code = function.__code__
        self.defaults = function.__defaults__
        self.keywords = function.__kwdefaults__
        self.attributes = bool(function.__dict__)
        self.namespace = function.__globals__
        self.cells = cells

    def is_still(self, function: FunctionType) -> bool:
        return (
            function.__code__ is self.code
            and function.__defaults__ is self.defaults
            and function.__kwdefaults__ is self.keywords
            and bool(function.__dict__) is self.attributes
            and (not self.cells or self.has_cells(function))
        )

    def has_cells(self, function: FunctionType) -> bool:
        closure = function.__closure__ or ()
        return all(contents(closure[index]) is value for index, value in self.cells)


#: All written by any thread that judges; a verdict that is lost or made twice does no harm.
_judged: dict[Any, _Judged] = {}
#: By the identity of code: what is known of the last function that was made of it.
_models: dict[int, _Judged] = {}


def judge(function: Any) -> Verdict:
    """Return the verdict on a callable; it is remembered as long as nothing that was looked at is replaced."""
    known = _judged.get(id(function))
    if (
        known is not None
        and known.reference() is function
        and (known.code is None or known.is_still(function))
        and known.watch.holds()
    ):
        return known.verdict
    kind = type(function)
    if kind is functools.partial:
        return _judge_partial(function)
    if kind is MethodType and isinstance(function.__self__, type):
        return _judge_method(function)
    if kind is FunctionType and known is None:
        return _judge_by_model(function) or _judge_anew(function)
    return _judge_anew(function)


def expect_processes() -> None:
    """Take note that calls leave to processes, where text has other hashes; judge anew what leaves."""
    if sys.flags.hash_randomization and not set_order.SEEDS_DIFFER:
        set_order.SEEDS_DIFFER = True
        _judged.clear()
        _models.clear()


#: What is known of callables that are given instances: by the identities of the verdict on one, of the classes, and of
#: what a partial holds, which are the last of what is kept.
_given: dict[tuple[int, ...], tuple[weakref.ref[Any], Watch, Verdict, tuple[Any, ...]]] = {}


def judge_given(function: Any, classes: Sequence[type]) -> Verdict:
    """Return the verdict on a callable that is given instances of some classes, remembered as that of ``judge`` is."""
    verdict = judge(function)
    if not verdict.leaves:
        return verdict
    parts = verdict, *classes, *_held(function)
    key = tuple(map(id, parts))
    known = _given.get(key)
    if known is not None and known[1].holds():
        return known[2]
    reach, table = Reach(function), _given
    verdict = _look(function, reach, given=classes)
    if reach.lasting:
        try:
            reference = weakref.ref(function, lambda _: table.pop(key, None))
        except TypeError:
            return verdict
        table[key] = reference, reach.watch, verdict, parts
        _shorten(table)
    return verdict


def _held(function: Any) -> list[Any]:
    held: list[Any] = []
    while type(function) is functools.partial:
        held += [*function.args, *function.keywords, *function.keywords.values()]
        function = function.func
    return held


def _judge_anew(function: Any) -> Verdict:
    reach = Reach(function)
    verdict = _look(function, reach)
    if reach.lasting:
        _remember(id(function), function, reach, verdict)
    return verdict


def _judge_method(method: MethodType) -> Verdict:
    """Judge a method that is bound to a class, an object that is new each time that somebody reads it."""
    key = id(method.__func__), id(method.__self__)
    known = _judged.get(key)
    if known is not None and known.reference() is method.__func__ and known.watch.holds():
        return known.verdict
    reach = Reach(method)
    verdict = _look(method, reach)
    if reach.lasting:
        _remember(key, method.__func__, reach, verdict)
    return verdict


def _judge_by_model(function: FunctionType) -> Verdict | None:
    """Judge a function as another one of the same code that left, if what it captured is of the same kind."""
    model = _models.get(id(function.__code__))
    if (
        model is None
        or model.code is not function.__code__
        or model.namespace is not function.__globals__
        or model.attributes
        or model.keywords
        or function.__dict__
        or function.__kwdefaults__
    ):
        return None
    other = model.reference()
    if other is not None and not model.is_still(other):  # It may call itself.
        return None
    before, now = model.defaults or (), function.__defaults__ or ()
    closure = function.__closure__ or ()
    cells = [(index, contents(closure[index])) for index, _ in model.cells]
    if (
        len(before) != len(now)
        or not all(map(_is_alike, before, now))
        or not all(_is_alike(value, cell[1]) for (_, value), cell in zip(model.cells, cells, strict=True))
        or not model.watch.holds()
    ):
        return None
    verdict = Verdict(True, model.verdict.reason, *_place(function), None, "")
    _keep(id(function), function, model.watch, verdict, cells)
    return verdict


def _is_alike(one: Any, other: Any) -> bool:
    """Tell whether a verdict cannot depend on which of two values it is."""
    if one is other:
        return True
    alike = type(one) is type(other) and type(one) in (int, float, bool, complex, bytes)
    return alike and one == one and other == other  # noqa: PLR0124 - no NaN


def _is_small(value: Any) -> bool:
    """Tell whether a model may keep a value that its function captured, after the function is gone."""
    return type(value) in (type(None), bool, int, float, complex, FunctionType, type) or (
        type(value) in (str, bytes) and len(value) < _SMALL
    )


def _remember(key: Any, function: Any, reach: Reach, verdict: Verdict) -> None:
    judged = _keep(key, function, reach.watch, verdict, reach.cells)
    if judged is None or judged.code is None or not verdict.leaves:
        return
    if all(map(_is_small, [*(judged.defaults or ()), *(value for _, value in judged.cells)])):
        _models[id(judged.code)] = judged
        _shorten(_models)


def _keep(key: Any, function: Any, watch: Watch, verdict: Verdict, cells: list[tuple[int, Any]]) -> _Judged | None:
    table = _judged
    try:
        reference = weakref.ref(function, lambda _: table.pop(key, None))
    except TypeError:
        return None
    judged = _Judged(reference, watch, verdict)
    if type(function) is FunctionType and key == id(function):
        judged.describe(function, cells)
    table[key] = judged
    _shorten(table)
    return judged


def _shorten(table: dict[Any, Any]) -> None:
    # A function that reads itself is kept by its own watch.
    for oldest in list(table)[:-MOST_JUDGED]:
        table.pop(oldest, None)


def _look(function: Any, reach: Reach, held: Any = MISSING, given: Sequence[type] = ()) -> Verdict:
    """Judge a callable that is given instances of some classes, or something that a partial holds."""
    try:
        if held is MISSING:
            _begin(function, reach)
        else:
            reach.admit_inside(held, "is a partial with a {kind}", "partial")
        for cls in given:
            reach.admit_given(cls)
        reach.examine_all()
    except Stays as stays:
        file, line = stays.file, stays.line
        if file is None:
            file, line = _place(function)
        return Verdict(False, stays.reason, file, line, stays.name, stays.advice)
    except Exception as error:  # Too deep, or with attributes that raise: whatever it is, the call works where it is.
        reach.lasting = False
        return Verdict(False, f"was not understood: {type(error).__name__}", *_place(function), None, "")
    return Verdict(True, "touches nothing outside itself that can change", *_place(function), None, "")


def _begin(function: Any, reach: Reach) -> None:
    """Admit the callable itself. Raises Stays."""
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
_PLAIN = (list, dict, set, bytearray, type(None), bool, int, float, complex, bytes)


def _judge_partial(function: functools.partial[Any]) -> Verdict:
    """Judge what a partial calls and holds; it is quick, and not remembered."""
    verdict = judge(function.func)
    if not verdict.leaves:
        return verdict
    for value in (*function.args, *function.keywords.values()):
        if isinstance(value, (FunctionType, type)):
            inner = judge(value)
        elif type(value) not in _PLAIN:
            inner = _look(function, Reach(function), value)
        else:
            continue
        if not inner.leaves:
            return inner
    if vars(function):
        return Verdict(False, "is a partial that carries attributes", *_place(function), "partial", "")
    return verdict


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
