"""The Python side of a worker's interpreter or process: is given calls, makes them, gives back what came of them."""

from __future__ import annotations

import _thread
import _warnings
import atexit
import builtins
import gc
import sys

from hypern import _kind, _rebuilt, _wire
from hypern._chunk import run_chunk
from hypern._stop import StopTask, nothing

TYPE_CHECKING = False  # As in typing, which a worker does not wait for.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    #: Kind, payload and buffers of a frame.
    Reply = tuple[int, bytes, list[memoryview]]

_inside = False


def is_guest() -> bool:
    """Tell whether this is a worker process or a worker's interpreter."""
    return _inside


def begin(
    *,
    path: list[str],
    argv: list[str],
    recursion_limit: int,
    int_max_str_digits: int,
    warning_filters: list[tuple[Any, ...]],
    initializer: bytes | None,
    unnoticed: bool,
) -> Guest:
    """Take over what hypern says: ``initializer`` is the pickle of a callable and its arguments, or None.

    With ``unnoticed``, calls run here on behalf of a program that must not be able to tell.
    """
    global _inside
    _inside = True
    sys.path[:] = path
    sys.argv[:] = argv
    sys.setrecursionlimit(recursion_limit)
    sys.set_int_max_str_digits(int_max_str_digits)
    filters = [
        (action, message, getattr(builtins, category), module, line)
        for action, message, category, module, line in warning_filters
    ]
    if _warnings.filters != filters:
        import warnings

        warnings.resetwarnings()
        warnings.filters.extend(filters)  # type: ignore[attr-defined]  # It is this very list that counts.
    if initializer is not None:
        function, args = _wire.loads(initializer)
        function(*args)
    # What is there by now stays: collections during tasks need not look at it.
    gc.freeze()
    if unnoticed:
        from hypern._unnoticed import UnnoticedGuest

        return UnnoticedGuest()
    return Guest()


def begin_in_interpreter(
    setup: bytes, plain: tuple[Any, ...]
) -> tuple[Callable[..., Any], Callable[[], None], int, Guest, type[StopTask]] | bytes:
    """Begin, and return what takes calls, what is called last, and what the core needs to stop a call.

    Where that raises, return the encoded exception. Called by the core.
    """
    try:
        _wire.use_plain(plain)
        guest = begin(**_wire.loads(setup))
    except BaseException as error:
        return encode_error(error)
    return guest.take, _leave, _thread.get_ident(), guest, StopTask


def stack(frame: Any) -> bytes:
    """Tell where a task is, for who looks from outside: file, line and name of each call, the innermost one last.

    Called by the core on a thread of its own, while the task stands still.
    """
    lines: list[str] = []
    while frame is not None:
        lines.append(f"{frame.f_code.co_filename}\0{frame.f_lineno}\0{frame.f_code.co_name}")
        frame = frame.f_back
    return "\n".join(reversed(lines)).encode("utf-8", "replace")


def _leave() -> None:
    """Let go of what CPython (3.13 to 3.15) would not let go of in order when the interpreter ends."""
    # Here and not at the very end, where this would keep others from making and ending interpreters.
    threading = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()
    atexit._run_exitfuncs()
    # A pattern among the filters keeps all memory of the interpreter from being freed, if any module holds `warnings`.
    _warnings.filters[:] = [each for each in _warnings.filters if not any(map(_is_pattern, each))]
    gc.unfreeze()  # The end collects what is left, which frees the memory of the interpreter.
    # A thread that `threading` did not start is forgotten when that module is half gone, which it complains of.
    if threading is not None:
        vars(threading._thread_local_info).clear()


def _is_pattern(part: Any) -> bool:
    return type(part).__name__ == "Pattern"


class _Undecoded(bytes):
    """A function as it came: an error in rebuilding it belongs to the call that asks for it."""


class Guest:
    """What a worker gives its tasks to; keeps the functions that it was sent.

    StopTask is raised in here only while a call is being made. Whoever wants it raised looks at ``running``, and sets
    ``stopped`` where no call is being made yet: both while this thread cannot run, by holding the interpreter or in the
    handler of a signal.
    """

    #: Whether a call is being made. Written by this thread.
    running = False
    #: Whether StopTask is to be raised when a call is being made.
    stopped = False

    def __init__(self) -> None:
        self.functions: dict[int, Any] = {}

    def take(self, kind: int, number: int, payload: Any, buffers: list[Any]) -> Reply | None:
        """Do what one frame says; return what came of a task, None where the frame brings none."""
        if kind == _kind.DEFINE:
            self.functions[number] = _Undecoded(payload)
        elif kind == _kind.FORGET:
            self.functions.pop(number, None)
        elif kind == _kind.PATH:
            sys.path[:] = _wire.loads(payload)
        else:
            return self.run(kind, number, payload, buffers)
        return None

    def run(self, kind: int, number: int, payload: Any, buffers: list[Any]) -> Reply:
        self.stopped = False
        try:
            function, data = self._decode(number, payload, buffers)
            try:
                self.running = True
                if self.stopped:
                    raise StopTask
                if kind == _kind.CALL:
                    args, kwargs = data
                    result = function(*args, **kwargs) if kwargs else function(*args)
                else:
                    result = run_chunk(kind, function, data)
                del function, data
                if kind in _kind.CAUGHT:
                    return (_kind.RETURNED, *_encode_caught(*result))
                return (_kind.RETURNED, b"", []) if result is None else (_kind.RETURNED, *_encode_result(result))
            finally:
                # Here, and not in a function: what waits to be raised would come up in front of the first line.
                self.running = False
                try:  # noqa: SIM105 - that is a function, too.
                    nothing()
                except StopTask:
                    pass
        except BaseException as error:
            return _kind.RAISED, encode_error(error), []
        finally:
            flush()

    def _decode(self, number: int, payload: Any, buffers: list[Any]) -> tuple[Any, Any]:
        what = "the callable"
        try:
            if not number:
                what = "the callable or its arguments"
                return _wire.loads(payload, buffers)
            function = self.function(number)
            what = "an argument"
            return function, _wire.loads(payload, buffers) if payload else ((), None)
        except BaseException as error:
            from hypern.errors import TransferError

            raise TransferError(f"{what} cannot be rebuilt in the worker: {_wire.describe(error)}") from error

    def function(self, number: int) -> Any:
        """Return a function that was sent, rebuilt now if this is the first call or each call gets its own."""
        function = self.functions[number]
        if type(function) is _Undecoded:
            how, function = function[:1], _rebuild(function)
            if how != _wire.FRESH:
                self.functions[number] = function
        return function


def _rebuild(content: bytes) -> Any:
    told = _wire.loads(memoryview(content)[1:])
    if content[:1] != _wire.NAMED:
        return told
    module, qualname, decorated = told
    found = _rebuilt.find(module, qualname)
    return found.__wrapped__ if decorated else found


def _encode_result(result: Any) -> tuple[bytes, list[memoryview]]:
    try:
        return _wire.dumps(result)
    except BaseException as error:
        from hypern.errors import TransferError

        kind = type(result).__qualname__
        raise TransferError(
            f"the result (a {kind}) cannot be sent back from the worker: {_wire.describe(error)}; "
            "return what it is made of instead, or use backend='threads', which shares memory"
        ) from error


def _encode_caught(results: list[Any], failures: dict[int, Any]) -> tuple[bytes, list[memoryview]]:
    """Encode what came of a chunk whose failures are caught; a result that cannot be sent is one more failure."""
    encoded = {place: encode_error(error) for place, error in failures.items()}
    try:
        return _wire.dumps((results, encoded))
    except BaseException:  # Of one of them.
        for place, result in enumerate(results):
            try:
                _encode_result(result)
            except BaseException as error:
                results[place] = None
                encoded[place] = encode_error(error)
        return _wire.dumps((results, encoded))


def encode_error(error: BaseException) -> bytes:
    """Encode what a task raised."""
    # Loaded by the first failure: a worker that has none starts sooner without it.
    from hypern._raised import encode_error

    return encode_error(error)


def flush() -> None:
    """Write out what a task has written to the standard streams."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: S112 - None, closed, or replaced by the task: nothing of ours to flush.
            continue
