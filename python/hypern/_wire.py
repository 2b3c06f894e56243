"""What crosses between this process and a worker process, as bytes: functions, data, exceptions.

Pickle 5 is tried first because it is fast; cloudpickle takes over for what pickle refuses (lambdas, closures, local
classes) and for everything that lives in ``__main__``, which a worker does not have. Memory of large buffers is left
where it is and sent beside the pickle.
"""

from __future__ import annotations

import pickle
import sys
import traceback
import weakref
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from hypern._chunk import CALL
from hypern.errors import TaskError, TransferError, restore_state, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hypern._core import Shipment

PROTOCOL = 5
#: Functions whose form is remembered at most.
MOST_SHIPPED = 256
#: First byte of a function: rebuilt for each call, or once for all.
FRESH, KEPT = b"\1", b"\0"
#: Buffers from this size on travel beside the pickle; smaller ones are cheaper inside.
LARGE = 64 * 1024


# Data


class _LargeBytes:
    """Stands for a ``bytes`` object whose memory travels beside the pickle."""

    def __init__(self, value: bytes) -> None:
        self.value = value

    def __reduce__(self) -> tuple[Any, ...]:
        return bytes, (pickle.PickleBuffer(self.value),)


def lighten(value: Any) -> Any:
    """Replace a large ``bytes`` object, which pickle would copy, by something that travels beside the pickle."""
    return _LargeBytes(value) if type(value) is bytes and len(value) >= LARGE else value


def dumps(value: Any) -> tuple[bytes, list[memoryview]]:
    """Return ``value`` as a pickle and the buffers that it refers to."""
    buffers: list[memoryview] = []

    def keep_inside(buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # Not contiguous: only its own reducer knows how to write it.
            return True
        if raw.nbytes < LARGE:
            return True
        buffers.append(raw)
        return False

    try:
        payload = pickle.dumps(value, PROTOCOL, buffer_callback=keep_inside)
        if b"__main__" not in payload:
            return payload, buffers
    except (pickle.PicklingError, AttributeError, TypeError):
        pass
    import cloudpickle

    buffers.clear()
    return cloudpickle.dumps(value, PROTOCOL, buffer_callback=keep_inside), buffers


def encode(kind: int, function: Any, data: Any, apart: bool) -> tuple[bytes, list[memoryview], Shipment]:
    """Encode a call or a chunk of calls; ``data`` is ``(args, kwargs)`` or the items of the chunk.

    The last of what is returned is the module search path under which the rest can be rebuilt.

    Raises TransferError, which names the argument that cannot cross.
    """
    if kind == CALL:
        args, kwargs = data
        data = tuple(map(lighten, args)), kwargs
    try:
        return *dumps(data if apart else (function, data)), _ship_path()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _transfer_error(kind, function, data, apart, error) from error


def decode(payload: Any, buffers: list[Any]) -> Any:
    """Return the object that crossed. Raises TransferError where it cannot be rebuilt here."""
    try:
        return pickle.loads(payload, buffers=buffers)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise TransferError(f"the result of the task cannot be rebuilt in this process: {describe(error)}") from error


def describe(error: BaseException) -> str:
    """Return an exception as ``type: message``."""
    try:
        return f"{type(error).__qualname__}: {error}"
    except Exception:  # A ``__str__`` of its own that fails.
        return type(error).__qualname__


def _transfer_error(kind: int, function: Any, data: Any, apart: bool, error: BaseException) -> TransferError:
    name = "run_parallel" if function is None else getattr(function, "__qualname__", type(function).__qualname__)
    advice = "pass what it is made of instead, or use backend='threads', which shares memory"
    for place, value in _places(kind, function, data, apart):
        try:
            dumps(value)
        except BaseException as cause:
            what = f"{place} of {name!r} (a {type(value).__qualname__})" if place else f"the callable {name!r}"
            return TransferError(f"{what} cannot be sent to a worker process: {describe(cause)}; {advice}")
    return TransferError(f"a call of {name!r} cannot be sent to a worker process: {describe(error)}; {advice}")


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


def _ship_path() -> Shipment:
    """Return ``sys.path`` in the form that is sent once to each worker."""
    global _path
    if _path is None or _path[0] != sys.path:
        from hypern._core import Shipment

        path = list(sys.path)
        _path = path, Shipment(pickle.dumps([entry for entry in path if isinstance(entry, str)], PROTOCOL))
    return _path[1]


class _Shipped:
    """A function in the form that crosses, and what must still be so for that form to be right."""

    __slots__ = ("captured", "function", "pickled", "reference")

    def __init__(
        self, reference: weakref.ref[Any], function: Shipment, pickled: bytes, captured: list[_Capture] | None
    ) -> None:
        self.reference = reference
        self.function = function
        self.pickled = pickled
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
    known = _shipped.get(id(function))
    if known is not None and known.reference() is function:
        if known.holds():
            return known.function
    elif not isinstance(function, (FunctionType, type)) and not _is_plain_builtin(function):
        return None
    else:
        known = None
    return _ship_anew(function, known)


def _ship_anew(function: Any, known: _Shipped | None) -> Shipment:
    from hypern._core import Shipment

    try:
        pickled, captured = _pickle_function(function)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _transfer_error(CALL, function, ((), None), False, error) from error
    if known is not None and known.pickled == pickled:
        known.captured = captured
        return known.function
    key = id(function)
    shipped = _shipped
    reference = weakref.ref(function, lambda _: shipped.pop(key, None))
    content = (FRESH if captured is None else KEPT) + pickled
    entry = _Shipped(reference, Shipment(content), pickled, captured)
    shipped[key] = entry
    while len(shipped) > MOST_SHIPPED:
        # A function that captured itself never goes by itself.
        shipped.pop(next(iter(shipped)), None)
    return entry.function


def _is_plain_builtin(function: Any) -> bool:
    return isinstance(function, BuiltinFunctionType) and (
        function.__self__ is None or isinstance(function.__self__, ModuleType)
    )


def _pickle_function(function: Any) -> tuple[bytes, list[_Capture] | None]:
    found = _look_up(function)
    if found is function:
        return pickle.dumps(function, PROTOCOL), []
    if found is not None:
        return pickle.dumps(_Decorated(function.__module__, function.__qualname__), PROTOCOL), []
    if isinstance(function, BuiltinFunctionType):
        return pickle.dumps(function, PROTOCOL), []
    import cloudpickle

    # Looked at before it is pickled: what another thread changes in between is found changed at the next call.
    captures = _captures(function)
    return cloudpickle.dumps(function, PROTOCOL), captures


class _Decorated:
    """Refers to the function inside the decorated one of that name, as ``functools.wraps`` leaves it."""

    def __init__(self, module: str, qualname: str) -> None:
        self.name = module, qualname

    def __reduce__(self) -> tuple[Any, ...]:
        return _inside_decorated, self.name


def _inside_decorated(module: str, qualname: str) -> Any:
    import importlib

    found: Any = importlib.import_module(module)
    for name in qualname.split("."):
        found = getattr(found, name)
    return found.__wrapped__


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


class _Capture:
    """What one function reads from outside, as it was when the function was pickled."""

    __slots__ = ("cells", "code", "defaults", "function", "keywords", "values")

    def __init__(self, function: FunctionType) -> None:
        self.function = weakref.ref(function)
        self.code = function.__code__
        self.defaults = function.__defaults__
        self.keywords = dict(function.__kwdefaults__ or {})
        self.cells = [(cell, _contents(cell)) for cell in function.__closure__ or ()]
        namespace = function.__globals__
        self.values = [(name, namespace.get(name, _MISSING)) for name in sorted(_names(function.__code__))]

    def reached(self) -> Iterator[Any]:
        yield from self.defaults or ()
        yield from self.keywords.values()
        yield from (value for _, value in self.cells)
        yield from (value for _, value in self.values)

    def holds(self) -> bool:
        function = self.function()
        if (
            function is None
            or function.__code__ is not self.code
            or function.__defaults__ is not self.defaults
            or function.__dict__
            or not _same(function.__kwdefaults__ or {}, self.keywords)
        ):
            return False
        namespace = function.__globals__
        return all(_contents(cell) is value for cell, value in self.cells) and all(
            namespace.get(name, _MISSING) is value for name, value in self.values
        )


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(one[name] is other[name] for name in one)


_MISSING: Any = object()
_ATOMS = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented), range)


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # Not filled yet.
        return _MISSING


def _names(code: CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names(constant)
    return names


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


def _captures(function: Any) -> list[_Capture] | None:
    """Return what the function and all that it reaches captured; None where that could change inside."""
    if not isinstance(function, FunctionType):
        return None
    captures: list[_Capture] = []
    seen: set[int] = set()
    rest: list[Any] = [function]
    while rest:
        value = rest.pop()
        if id(value) in seen or value is _MISSING or type(value) in _ATOMS or _is_imported(value):
            continue
        seen.add(id(value))
        if type(value) in (tuple, frozenset):
            rest.extend(value)
        elif isinstance(value, (FunctionType, type, BuiltinFunctionType)) and _look_up(value) is value:
            continue
        elif isinstance(value, FunctionType) and not value.__dict__:
            capture = _Capture(value)
            captures.append(capture)
            rest.extend(capture.reached())
        else:
            return None
    return captures


# Exceptions


def encode_error(error: BaseException) -> bytes:
    """Encode what a task raised. Never fails: what cannot cross is replaced by words."""
    text = "".join(_formatted(error))
    record: dict[str, Any] = {"message": describe(error), "traceback": text, "exception": None, "whole": False}
    for whole in (True, False):
        try:
            record["exception"] = _pickle_error(error, whole)
            record["whole"] = whole
            break
        except BaseException:  # noqa: S112 - whatever the reducers of foreign objects do; the words remain.
            continue
    return pickle.dumps(record, PROTOCOL)


def decode_error(payload: Any, buffers: list[Any]) -> BaseException:
    """Return the exception that a task raised elsewhere, or a TaskError that tells of it in words."""
    record = pickle.loads(payload, buffers=buffers)
    if record["exception"] is not None:
        try:
            error = pickle.loads(record["exception"])
            if isinstance(error, BaseException):
                return error if record["whole"] else _annotated(error, record)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: S110 - the words tell what this could not.
            pass
    return _annotated(TaskError(record["message"]), record)


def _annotated(error: BaseException, record: dict[str, Any]) -> BaseException:
    """Add in words what could not cross."""
    error.add_note(f"The worker's traceback:\n{record['traceback']}")
    return error


def _formatted(error: BaseException) -> list[str]:
    try:
        return traceback.format_exception(type(error), error, _user_part(error.__traceback__))
    except Exception:  # A ``__str__`` of its own that fails.
        return traceback.format_tb(error.__traceback__)


def _user_part(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback without the frames of this package at its beginning."""
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("hypern._"):
        trace = trace.tb_next
    return trace


def _pickle_error(error: BaseException, chained: bool) -> bytes:
    import io

    import cloudpickle

    class ErrorPickler(cloudpickle.Pickler):
        """Pickles exceptions by their state: no ``__init__`` is called when they are rebuilt."""

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, TracebackType):
                return _rebuild_traceback, (_traceback_as_list(obj),)
            if isinstance(obj, BaseException) and not _reduces_itself(type(obj)):
                return _new_exception, (type(obj), obj.args), _chained_state(obj, chained), None, None, restore_state
            return super().reducer_override(obj)

    file = io.BytesIO()
    ErrorPickler(file, PROTOCOL).dump(error)
    return file.getvalue()


def _reduces_itself(kind: type[BaseException]) -> bool:
    """Tell whether a class written in Python says how its instances are pickled."""
    hooks = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs__", "__getnewargs_ex__")
    return any(isinstance(getattr(kind, hook, None), FunctionType) for hook in hooks)


def _chained_state(error: BaseException, chained: bool) -> dict[str, Any]:
    state = state_of(error)
    if chained:
        state["__cause__"] = error.__cause__
        state["__context__"] = error.__context__
        state["__suppress_context__"] = error.__suppress_context__
    trace = _user_part(error.__traceback__)
    if trace is not None:
        state["__traceback__"] = trace
    return state


def _new_exception(kind: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    error = kind.__new__(kind, *args)
    error.args = args
    return error


#: Frames of a traceback that cross, from its beginning and from its end.
_FRAMES = 50


def _traceback_as_list(trace: TracebackType) -> list[tuple[str, str, str, int]]:
    """Return the frames as module, file, function and line; those in the middle of a long traceback are left out."""
    frames: list[tuple[str, str, str, int]] = []
    link: TracebackType | None = trace
    while link is not None:
        code = link.tb_frame.f_code
        module = link.tb_frame.f_globals.get("__name__")
        frames.append((str(module), code.co_filename, code.co_name, link.tb_lineno))
        link = link.tb_next
    if len(frames) > 2 * _FRAMES:
        frames[_FRAMES:-_FRAMES] = []
    return frames


def _rebuild_traceback(frames: list[tuple[str, str, str, int]]) -> TracebackType:
    from tblib import Traceback

    data: dict[str, Any] | None = None
    for module, file, name, line in reversed(frames):
        frame = {
            "f_globals": {"__name__": module, "__file__": file},
            "f_code": {"co_filename": file, "co_name": name},
            "f_lineno": line,
        }
        data = {"tb_frame": frame, "tb_lineno": line, "tb_next": data}
    make: Callable[[], TracebackType] = Traceback.from_dict(data).as_traceback
    return make()
