"""What hypern raises, and how the error of a task reaches its caller.

::

    RuntimeError
     ├── TaskError             a task raised; also an instance of what it raised, where the two can be combined
     │    ├── TaskInterrupted  the task was stopped by Future.interrupt()
     │    ├── TaskTimeout      the task ran for longer than it may (also a TimeoutError)
     │    └── TransferError    something of a task cannot cross to a worker or back (also a TypeError)
     ├── ShutdownError         the executor is shut down
     ├── QueueFull             too many tasks wait to be started (also a queue.Full)
     ├── WorkerCrashed         the worker process of this task died
     └── concurrent.futures.BrokenExecutor
          └── BrokenPool       the workers cannot be started, or their initializer failed
"""

from __future__ import annotations

import queue
import signal
import weakref
from concurrent.futures import BrokenExecutor
from types import MemberDescriptorType
from typing import Any

__all__ = (
    "BrokenPool",
    "QueueFull",
    "ShutdownError",
    "TaskError",
    "TaskInterrupted",
    "TaskTimeout",
    "TransferError",
    "WorkerCrashed",
)


class TaskError(RuntimeError):
    """A task raised; ``__cause__`` is what it raised, with its traceback.

    ``run_sync``, ``map`` and ``run_parallel`` raise an instance of a class made of the task's exception type and of
    this one, so that both ``except ValueError`` and ``except RuntimeError`` see it. Where no such class can be made
    (``SystemExit``, ``KeyboardInterrupt`` and other exceptions that are no ``Exception``; types that refuse) it is a
    plain ``TaskError`` with type name and message.
    """


class TaskTimeout(TaskError, TimeoutError):
    """The task ran for longer than ``executor.options(timeout=...)`` allows, and was told to stop."""

    # That of the first base is not safe for an OSError, says Python to those who rebuild exceptions.
    __new__ = TimeoutError.__new__


class TaskInterrupted(TaskError):
    """The task was told to stop by ``Future.interrupt()``."""


class ShutdownError(RuntimeError):
    """The executor accepts nothing any more because it is shut down."""


class QueueFull(RuntimeError, queue.Full):
    """As many tasks wait to be started as ``queue_size`` allows; nothing was run.

    ``size`` is that number. ``task`` is the call that was refused, ``(callable, args, kwargs)``, for another try; None
    for ``map``, which is refused before it takes its first item, and for ``run_parallel``.
    """

    def __init__(self, message: str, size: int, task: tuple[Any, tuple[Any, ...], dict[str, Any]] | None) -> None:
        super().__init__(message, size, task)
        self.size = size
        self.task = task

    def __str__(self) -> str:
        return str(self.args[0])


class TransferError(TaskError, TypeError):
    """A callable, an argument or a result cannot cross between this process and a worker."""


class BrokenPool(BrokenExecutor):
    """No worker can run anything: the initializer failed, or the workers' processes or interpreters cannot be made."""


class WorkerCrashed(RuntimeError):
    """The worker process that ran the task died; only this task is lost.

    ``pid`` is the process; ``exitcode`` is its exit code, or minus the number of the signal that killed it, or None.
    """

    def __init__(self, message: str, pid: int | None = None, exitcode: int | None = None) -> None:
        super().__init__(message, pid, exitcode)
        self.pid = pid
        self.exitcode = exitcode

    def __str__(self) -> str:
        return str(self.args[0])


def refused(reason: str | None) -> Exception:
    """Make the error for a call to a pool that is shut down, or broken for ``reason``."""
    if reason is None:
        return ShutdownError("cannot schedule new futures: the executor is shut down; make a new BlockingExecutor")
    return BrokenPool(f"the executor is broken and accepts no tasks: {reason}")


def full(size: int, waited: float, task: Any) -> QueueFull:
    """Make the error for a call that found the queue full, and still full after so many seconds."""
    if waited:
        how, advice = f"was full for {waited:g} s", "try again later, or give full_timeout= or queue_size= more"
    else:
        how, advice = "is full", "try again later, wait with on_full='block', or give queue_size= more"
    return QueueFull(f"the queue {how}: {size} tasks wait to be started (queue_size={size}); {advice}", size, task)


def crashed(pid: int, exitcode: int | None, detail: str) -> WorkerCrashed:
    """Make the error for a task whose worker process died."""
    if exitcode is None:
        how = "was lost"
    elif exitcode < 0:
        how = f"was killed by {_signal_name(-exitcode)}"
    else:
        how = f"ended with exit code {exitcode}"
    message = f"worker process {pid} {how} while it ran the task"
    return WorkerCrashed(f"{message}; {detail}" if detail else message, pid, exitcode)


def stopped(seconds: float | None) -> TaskError:
    """Make the error for a task that was stopped: after so many seconds, or by ``Future.interrupt()``."""
    if seconds is None:
        return TaskInterrupted("the task was interrupted")
    return TaskTimeout(f"the task ran for more than {seconds:g} s and was stopped")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def as_task_error(original: BaseException) -> BaseException:
    """Make what the caller of a failed task sees; ``original`` is what the task raised."""
    if isinstance(original, TaskError) and original.__cause__ is not None:
        # From a nested call, whose cause is the original already.
        return original
    error = _combined(original) if isinstance(original, Exception) else None
    if error is None:
        error = TaskError(f"{type(original).__qualname__}: {original}")
        notes = getattr(original, "__notes__", None)
        if notes:
            error.__notes__ = list(notes)
    # Past a ``__setattr__`` of its class.
    object.__setattr__(error, "__cause__", original)
    return error


def _combined(original: Exception) -> TaskError | None:
    try:
        kind = _combined_type(type(original))
        error = kind.__new__(kind, *original.args)
        copy_state(original, error)
    except Exception:  # Whatever a foreign type does when it is subclassed or made anew.
        return None
    return error


_combined_types: weakref.WeakValueDictionary[type[Exception], type[TaskError]] = weakref.WeakValueDictionary()


def _combined_type(kind: type[Exception]) -> type[TaskError]:
    """Return the class that is both ``kind`` and TaskError, made once while it is in use."""
    if issubclass(TaskError, kind):
        return TaskError
    if issubclass(kind, TaskError):
        return kind
    combined = _combined_types.get(kind)
    if combined is None:
        names = {
            "__module__": kind.__module__,
            "__qualname__": kind.__qualname__,
            "__doc__": kind.__doc__,
            "__reduce_ex__": _reduce_combined,
        }
        make: Any = type
        # Not under a lock: what the metaclass does is the user's.
        combined = _combined_types.setdefault(kind, make(kind.__name__, (kind, TaskError), names))
    return combined


def _reduce_combined(self: TaskError, _protocol: int) -> tuple[Any, ...]:
    return as_task_error, (self.__cause__,)


def state_of(exception: BaseException) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what an exception holds besides its arguments: its slots and built-in fields, and its attributes."""
    fields = {
        name: value
        for kind in type(exception).__mro__
        # A built-in field that is not filled reads as None.
        for unfilled in [None if kind.__module__ == "builtins" else _UNFILLED]
        for name, member in vars(kind).items()
        if isinstance(member, MemberDescriptorType) and not name.startswith("__")
        if (value := _member(exception, member)) is not _UNFILLED and value is not unfilled
    }
    return fields, getattr(exception, "__dict__", {})


def restore_state(exception: BaseException, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Give ``exception`` what :func:`state_of` returned, passing over fields that only its class can write."""
    fields, attributes = state
    for name, value in fields.items():
        try:
            object.__setattr__(exception, name, value)
        except (AttributeError, TypeError):
            continue
    exception.__dict__.update(attributes)


def copy_state(original: BaseException, copy: BaseException) -> None:
    """Give ``copy`` all that ``original`` holds, without calling any ``__init__``."""
    object.__setattr__(copy, "args", original.args)
    restore_state(copy, state_of(original))
    if "__notes__" in copy.__dict__:
        copy.__dict__["__notes__"] = list(copy.__dict__["__notes__"])


_UNFILLED: Any = object()


def _member(exception: BaseException, member: MemberDescriptorType) -> Any:
    try:
        return member.__get__(exception)
    except AttributeError:  # A slot that was never filled.
        return _UNFILLED
