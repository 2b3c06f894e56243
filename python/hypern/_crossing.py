"""The caller's side of what crosses unnoticed, as ``_shipping`` is for explicit backends: by value, plain data only.

Where something cannot, Elsewhere says so, and the call is made at home.
"""

from __future__ import annotations

import functools
from pickle import PROTO
from typing import TYPE_CHECKING, Any

from hypern import _raised, _value_types, _wire, errors
from hypern._by_value import class_number, dumps_whole
from hypern._kind import CALL, CALLS
from hypern._members import is_enumeration
from hypern._reached import Reached, is_standard
from hypern._shipping import ship_path
from hypern._verdict import judge, judge_given, stateless

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hypern import _core
    from hypern._chunk import Caught
    from hypern._verdict import Verdict


class Elsewhere(Exception):
    """A call cannot be made elsewhere without being noticed; ``lasting``: no call of that callable can."""

    def __init__(self, lasting: bool, reason: str) -> None:
        super().__init__(reason)
        self.lasting = lasting
        self.reason = reason


#: Why a call is made here after all. A worker elsewhere that died did no harm: its call had no effect outside.
COMES_BACK = (Elsewhere, errors.BrokenPool, errors.WorkerCrashed)


def task_error(error: BaseException) -> BaseException:
    """Return what a caller sees of what a task raised."""
    return error if isinstance(error, Elsewhere) else errors.as_task_error(error)


def decode(payload: Any, _buffers: list[Any]) -> Any:
    """Return the result of a call. Raises Elsewhere where it would differ from what the callable returned."""
    try:
        return _value_types.loads(payload)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise Elsewhere(False, f"returned what does not cross: {_wire.describe(error)}") from None


def decode_error(payload: Any, _buffers: list[Any]) -> BaseException:
    """Return what a call raised, an Elsewhere where its guest objects."""
    told = _wire.plain.decode(payload) if _wire.plain is not None else NotImplemented
    if told is not NotImplemented:
        lasting, reason = told
        return Elsewhere(lasting, reason)
    try:
        error = _value_types.loads(payload)
    except KeyboardInterrupt:
        raise
    except BaseException as failure:
        return Elsewhere(True, f"raises what does not cross: {_wire.describe(failure)}")
    # What is none tells of a guest that could not begin.
    return error if isinstance(error, BaseException) else _raised.decode_error(payload, [])


def decode_failures(caught: Caught) -> Elsewhere | None:
    """Make exceptions again of the failures of a chunk; return an Elsewhere where one did not cross."""
    _, failures = caught
    for place, told in failures.items():
        error = failures[place] = decode_error(told, [])
        if isinstance(error, Elsewhere):
            return error
    return None


def encode(kind: int, function: Any, data: Any, _apart: bool) -> tuple[bytes, list[memoryview], _core.Shipment]:
    """Encode a call or a chunk. Raises Elsewhere where something in it must stay."""
    try:
        if kind == CALLS:
            return _encode_calls(data), [], ship_path()
        if kind == CALL:
            args, kwargs = data
            if not args and not kwargs:
                return b"", [], ship_path()
        payload, given = _dumps(data)
        if given is not None:
            payload = _wire.with_content(_together((function,), given), payload)
        return payload, [], ship_path()
    except _value_types.NotPlain as refused:
        raise Elsewhere(False, f"is given {refused}, {refused.why}") from None
    except (Elsewhere, KeyboardInterrupt):
        raise
    except BaseException as error:  # Whatever foreign objects do.
        raise Elsewhere(False, f"cannot be sent elsewhere: {_wire.describe(error)}") from error


def _dumps(data: Any) -> tuple[bytes, _value_types.Given | None]:
    payload, given = _value_types.dumps_arguments(data, class_number)
    # Only pickles hold decimals.
    if (
        payload.startswith(PROTO)
        and b"decimal" in payload
        and stateless.decimal_state() != stateless.decimal_state_at_first()
    ):
        raise Elsewhere(False, "is given decimals, and the context of decimals is not the one that Python begins with")
    return payload, given


def _encode_calls(calls: Sequence[tuple[Any, ...]]) -> bytes:
    numbers: dict[int, int] = {}
    functions: list[Any] = []
    rows: list[tuple[Any, ...]] = []
    for call in calls:
        function, args, kwargs = without_partial(call[0], call[1], call[2] if len(call) > 2 else None)
        number = numbers.setdefault(id(function), len(functions))
        if number == len(functions):
            functions.append(function)
        rows.append((number, args, kwargs) if kwargs else (number, args))
    payload, given = _dumps(rows)
    content = dumps_whole((functions, ()), functions) if given is None else _together(functions, given)
    return _wire.with_content(content, payload)


class _Together:
    """Callables and the classes of what they are given as bytes, right while the verdicts are the same."""

    __slots__ = ("content", "instances", "verdicts")

    def __init__(self, verdicts: list[Verdict], callables: list[Any]) -> None:
        #: They keep their identities while they are remembered here.
        self.verdicts = verdicts
        functions, classes = callables[: len(verdicts)], callables[len(verdicts) :]
        self.content = dumps_whole((functions, classes), callables)
        #: The addresses of instances that the callables reach by themselves, and keep alive.
        self.instances = frozenset(id(each) for each in Reached(callables).instances if not is_enumeration(type(each)))


#: By the identities of verdicts and the numbers of classes.
_known_together: dict[tuple[int | str, ...], _Together] = {}
#: How many of these are kept.
MOST_TOGETHER = 256


def _together(functions: Sequence[Any], given: _value_types.Given) -> bytes:
    """Return callables and the classes of what they are given as bytes. Raises Elsewhere where they must stay."""
    # In one order, whichever instance comes first.
    classes = sorted(given.classes, key=given.classes.__getitem__)
    verdicts = [judge_given(function, classes) for function in functions]
    for verdict in verdicts:
        if not verdict.leaves:
            kinds = " or ".join(f"a {kind.__qualname__}" for kind in classes)
            raise Elsewhere(False, f"is given {kinds}, with which it {verdict.reason}")
    key = (*map(id, verdicts), *map(given.classes.__getitem__, classes))
    known = _known_together.get(key)
    if known is None:
        known = _known_together[key] = _Together(verdicts, [*functions, *classes])
        for oldest in list(_known_together)[:-MOST_TOGETHER]:
            _known_together.pop(oldest, None)
    if not known.instances.isdisjoint(given.instances):
        raise Elsewhere(False, "is given an object that it reaches by itself, too")
    return known.content


def ship(function: Any) -> _core.Shipment | None:
    """Return a callable in the form that is sent once to each worker. Raises Elsewhere where it cannot cross."""
    if function is None:
        return None
    verdict = judge(function)
    if verdict.shipped is not None and type(function) is not functools.partial:
        return verdict.shipped
    from hypern._core import Shipment

    try:
        content = dumps_whole(function, (function,))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise Elsewhere(True, f"cannot be sent elsewhere: {_wire.describe(error)}") from error
    shipment = Shipment(_wire.KEPT + content)
    # The verdict on a partial is that on the function inside; and what was judged may be something else by now.
    if type(function) is not functools.partial and judge(function) is verdict:
        verdict.shipped = shipment
    return shipment


def without_partial(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None
) -> tuple[Any, tuple[Any, ...], dict[str, Any] | None]:
    """Return a call with the arguments that a partial holds among the others, so that they are watched too."""
    while type(function) is functools.partial:
        args = (*function.args, *args)
        kwargs = {**function.keywords, **(kwargs or {})} or None
        function = function.func
    return function, args, kwargs


def holds_nothing_mutable(function: Any) -> bool:
    """Tell whether a callable carries no arguments that a call may change."""
    while type(function) is functools.partial:
        if not all(map(_cannot_change, _carried(function))):
            return False
        function = function.func
    return True


def _cannot_change(value: Any) -> bool:
    kind = type(value)
    return kind not in (list, dict, set, bytearray, tuple) and is_standard(kind.__module__)


def _carried(function: functools.partial[Any]) -> tuple[Any, ...]:
    return (*function.args, *function.keywords.values())
