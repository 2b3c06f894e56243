"""The caller's side of what crosses to a worker: functions and calls out, results back.

A function is sent once to each worker, and again when something that it captured has changed.
"""

from __future__ import annotations

import pickle
import sys
import weakref
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from hypern._capture import MISSING, Capture
from hypern._kind import CALL
from hypern._pickled import PROTOCOL, lighten
from hypern._wire import FRESH, KEPT, NAMED, describe, dumps, loads
from hypern.errors import TransferError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hypern._core import Shipment

#: Functions whose form is remembered at most.
MOST_SHIPPED = 256


# Calls and results


def encode(kind: int, function: Any, data: Any, apart: bool) -> tuple[bytes, list[memoryview], Shipment]:
    """Encode a call or a chunk of calls; ``data`` is ``(args, kwargs)`` or the items of the chunk.

    The last of what is returned is the module search path under which the rest can be rebuilt. The payload of a call
    without arguments is empty where the function travels apart.

    Raises TransferError, which names the argument that cannot cross.
    """
    if kind == CALL:
        args, kwargs = data
        if apart and not args and not kwargs:
            return b"", [], ship_path()
        data = tuple(map(lighten, args)), kwargs
    try:
        return *dumps(data if apart else (function, data)), ship_path()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _transfer_error(kind, function, data, apart, error) from error


def decode(payload: Any, buffers: list[Any]) -> Any:
    """Return the object that crossed. Raises TransferError where it cannot be rebuilt here."""
    try:
        return loads(payload, buffers)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise TransferError(f"the result of the task cannot be rebuilt in this process: {describe(error)}") from error


def _transfer_error(kind: int, function: Any, data: Any, apart: bool, error: BaseException) -> TransferError:
    name = "run_parallel" if function is None else getattr(function, "__qualname__", type(function).__qualname__)
    advice = "pass what it is made of instead, or use backend='threads', which shares memory"
    for place, value in _places(kind, function, data, apart):
        try:
            dumps(value)
        except BaseException as cause:
            what = f"{place} of {name!r} (a {type(value).__qualname__})" if place else f"the callable {name!r}"
            return TransferError(f"{what} cannot be sent to a worker: {describe(cause)}; {advice}")
    return TransferError(f"a call of {name!r} cannot be sent to a worker: {describe(error)}; {advice}")


def _places(kind: int, function: Any, data: Any, apart: bool) -> Iterator[tuple[str, Any]]:
    if not apart:
        yield "", function
    if kind == CALL:
        args, kwargs = data
        yield from ((f"argument {index + 1}", value) for index, value in enumerate(args))
        yield from ((f"argument {name!r}", value) for name, value in (kwargs or {}).items())
    else:
        yield from ((f"an item at place {index + 1} of a chunk", value) for index, value in enumerate(data))


# Functions


_path: tuple[list[Any], Shipment] | None = None


def ship_path() -> Shipment:
    """Return ``sys.path`` in the form that is sent once to each worker."""
    global _path
    if _path is None or _path[0] != sys.path:
        from hypern._core import Shipment

        path = list(sys.path)
        _path = path, Shipment(dumps([entry for entry in path if isinstance(entry, str)])[0])
    return _path[1]


class _Shipped:
    """A function in the form that crosses, and what must still be so for that form to be right."""

    __slots__ = ("captured", "content", "function", "reference")

    def __init__(
        self, reference: weakref.ref[Any], function: Shipment, content: bytes, captured: list[Capture] | None
    ) -> None:
        self.reference = reference
        self.function = function
        self.content = content
        #: None where something that can change inside was captured: the function is pickled anew for each call, and
        #: rebuilt anew by the worker, so that what one call changes in its copy is not seen by the next.
        self.captured = captured

    def holds(self) -> bool:
        captured = self.captured
        return captured is not None and all(capture.holds() for capture in captured)


_shipped: dict[int, _Shipped] = {}


def start_afresh() -> None:
    """In a forked child: forget what was shipped; a thread that does not exist here may have been at it."""
    global _shipped, _path
    _shipped = {}
    _path = None


def ship(function: Any) -> Shipment | None:
    """Return the callable in the form that is sent once to each worker, None where it travels with its arguments.

    Functions, built-in functions and classes are sent once. What they captured is part of that form, so it is made
    anew when a captured value is another one than last time, or could have changed inside.
    """
    shipped = _ship(function)
    return None if shipped is None else shipped.function


def content(function: Any) -> bytes | None:
    """Return what ``ship`` makes of a callable, as bytes."""
    shipped = _ship(function)
    return None if shipped is None else shipped.content


def _ship(function: Any) -> _Shipped | None:
    known = _shipped.get(id(function))
    if known is not None and known.reference() is function:
        if known.holds():
            return known
    elif not isinstance(function, (FunctionType, type)) and not _is_plain_builtin(function):
        return None
    else:
        known = None
    return _ship_anew(function, known)


def _ship_anew(function: Any, known: _Shipped | None) -> _Shipped:
    from hypern._core import Shipment

    try:
        content, captured = _encode_function(function)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _transfer_error(CALL, function, ((), None), False, error) from error
    if known is not None and known.content == content:
        known.captured = captured
        return known
    key = id(function)
    shipped = _shipped
    reference = weakref.ref(function, lambda _: shipped.pop(key, None))
    entry = _Shipped(reference, Shipment(content), content, captured)
    shipped[key] = entry
    # A function that captured itself never goes by itself.
    for oldest in list(shipped)[:-MOST_SHIPPED]:
        shipped.pop(oldest, None)
    return entry


def _is_plain_builtin(function: Any) -> bool:
    return isinstance(function, BuiltinFunctionType) and (
        function.__self__ is None or isinstance(function.__self__, ModuleType)
    )


def _encode_function(function: Any) -> tuple[bytes, list[Capture] | None]:
    found = _look_up(function)
    if found is not None:
        return NAMED + dumps((function.__module__, function.__qualname__, found is not function))[0], []
    if isinstance(function, BuiltinFunctionType):
        return KEPT + pickle.dumps(function, PROTOCOL), []
    from hypern import _by_value

    # Looked at before it is pickled: what another thread changes in between is found changed at the next call.
    captures = _captures(function)
    return (FRESH if captures is None else KEPT) + _by_value.dumps(function), captures


def _look_up(function: Any) -> Any:
    """Return what a worker that imports the function's module finds under its name; None if that is no help.

    That is the function itself, or a wrapper of ``@blocking`` around it.
    """
    module = getattr(function, "__module__", None)
    if module is None or module == "__main__" or "<locals>" in function.__qualname__ or _goes_by_value(module):
        return None
    found: Any = sys.modules.get(module)
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    if found is function or (getattr(found, "__blocking__", False) and found.__wrapped__ is function):
        return found
    return None


_ATOMS = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented), range)


def _is_imported(value: Any) -> bool:
    """Tell whether a value is a module that a worker imports by its name."""
    return (
        isinstance(value, ModuleType)
        and sys.modules.get(value.__name__) is value
        and not _goes_by_value(value.__name__)
    )


def _goes_by_value(module: str) -> bool:
    """Tell whether cloudpickle was told to send what the module holds by value."""
    cloudpickle = sys.modules.get("cloudpickle")
    registered: set[str] = cloudpickle.list_registry_pickle_by_value() if cloudpickle is not None else set()
    return any(module == name or module.startswith(f"{name}.") for name in registered)


def _captures(function: Any) -> list[Capture] | None:
    """Return what the function and all that it reaches captured; None where that could change inside."""
    if not isinstance(function, FunctionType):
        return None
    captures: list[Capture] = []
    seen: set[int] = set()
    rest: list[Any] = [function]
    while rest:
        value = rest.pop()
        if id(value) in seen or value is MISSING or type(value) in _ATOMS or _is_imported(value):
            continue
        seen.add(id(value))
        if type(value) in (tuple, frozenset):
            rest.extend(value)
        elif isinstance(value, (FunctionType, type, BuiltinFunctionType)) and _look_up(value) is value:
            continue
        elif isinstance(value, FunctionType) and not value.__dict__:
            capture = Capture(value)
            captures.append(capture)
            rest.extend(capture.reached())
        else:
            return None
    return captures
