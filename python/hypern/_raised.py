"""Exceptions as bytes: what a task raised in a worker, with its traceback, for the caller.

They are pickled by their state: no ``__init__`` is called to rebuild one, so that those whose ``__init__`` takes other
arguments than ``args`` cross too. What cannot cross is told in words.
"""

from __future__ import annotations

import io
import pickle
import re
import traceback
from types import FunctionType, TracebackType
from typing import TYPE_CHECKING, Any

from hypern import _by_value, _value_types
from hypern._pickled import PROTOCOL
from hypern._reached import is_standard
from hypern._wire import describe
from hypern.errors import TaskError, restore_state, state_of

if TYPE_CHECKING:
    from collections.abc import Callable

#: How a note begins that tells the traceback of a task.
WORDS = "The worker's traceback:"


def encode_error(error: BaseException) -> bytes:
    """Encode what a task raised. Never fails: what cannot cross is replaced by words."""
    _advise(error)
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


_REFUSED = re.compile(r"module (\S+) does not support loading in subinterpreters")


def _advise(error: BaseException) -> None:
    """Tell what to do about an extension module that CPython does not load in a subinterpreter."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, ImportError) and (refused := _REFUSED.search(describe(cause))):
            error.add_note(
                f"hypern: the module {refused[1]} loads in no interpreter but the main one: use backend='processes'"
            )
            return
        cause = cause.__cause__ or cause.__context__


def encode_equal_error(error: BaseException, persistent_id: Callable[[Any], Any]) -> bytes:
    """Encode what a task raised, for ``_value_types.loads``.

    Raises NotPlain where somebody could tell it from its copy.
    """
    return _value_types.dumps(error, persistent_id, pickler=_EqualPickler)


def decode_error(payload: Any, buffers: list[Any]) -> BaseException:
    """Return the exception that a task raised elsewhere, or a TaskError that tells of it in words."""
    record = pickle.loads(payload, buffers=buffers)
    error = _rebuilt(record)
    if error is None:
        return _annotated(TaskError(record["message"]), record)
    return error if record["whole"] else _annotated(error, record)


def _rebuilt(record: dict[str, Any]) -> BaseException | None:
    if record["exception"] is None:
        return None
    try:
        error = pickle.loads(record["exception"])
    except KeyboardInterrupt:
        raise
    except BaseException:  # The words tell what this could not.
        return None
    return error if isinstance(error, BaseException) else None


def _annotated(error: BaseException, record: dict[str, Any]) -> BaseException:
    """Add in words what could not cross."""
    error.add_note(f"{WORDS}\n{record['traceback']}")
    return error


def _formatted(error: BaseException) -> list[str]:
    try:
        return traceback.format_exception(type(error), error, user_part(error.__traceback__))
    except Exception:  # A ``__str__`` of its own that fails.
        return traceback.format_tb(error.__traceback__)


def user_part(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback without the frames of this package at its beginning."""
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("hypern._"):
        trace = trace.tb_next
    return trace


class _Pickler(_by_value.Pickler):
    def __init__(self, file: io.BytesIO, chained: bool) -> None:
        super().__init__(file, PROTOCOL)
        self.chained = chained

    def reducer_override(self, obj: Any) -> Any:
        return _reduced(obj, self.chained) or super().reducer_override(obj)


class _EqualPickler(_value_types.EqualPickler):
    """Refuses what an exception may not hold where nobody may tell it from its copy."""

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind is FunctionType and obj in _REBUILDING:
            return NotImplemented
        if issubclass(kind, type) and issubclass(obj, BaseException) and is_standard(obj.__module__):
            return NotImplemented
        if issubclass(kind, BaseException) and FunctionType in (type(kind.__new__), type(kind.__hash__)):
            # They would be asked before the exception is whole.
            raise _value_types.NotPlain(kind)
        return _reduced(obj, True) or super().reducer_override(obj)


def _reduced(obj: Any, chained: bool) -> tuple[Any, ...] | None:
    """Return how an exception or a traceback is rebuilt, None for anything else."""
    if isinstance(obj, TracebackType):
        return _rebuild_traceback, (_traceback_as_list(obj),)
    if isinstance(obj, BaseException) and not _reduces_itself(type(obj)):
        return _new_exception, (type(obj), obj.args), _chained_state(obj, chained), None, None, restore_state
    return None


def _pickle_error(error: BaseException, chained: bool) -> bytes:
    file = io.BytesIO()
    _Pickler(file, chained).dump(error)
    return file.getvalue()


def _reduces_itself(kind: type[BaseException]) -> bool:
    """Tell whether a class written in Python says how its instances are pickled."""
    hooks = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs__", "__getnewargs_ex__")
    return any(isinstance(getattr(kind, hook, None), FunctionType) for hook in hooks)


def _chained_state(error: BaseException, chained: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    fields, attributes = state_of(error)
    if chained:
        fields["__cause__"] = error.__cause__
        fields["__context__"] = error.__context__
        fields["__suppress_context__"] = error.__suppress_context__
    trace = user_part(error.__traceback__)
    if trace is not None:
        fields["__traceback__"] = trace
    return fields, attributes


def _new_exception(kind: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    error = kind.__new__(kind, *args)
    object.__setattr__(error, "args", args)
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


_REBUILDING = (_new_exception, _rebuild_traceback, restore_state)
