"""The Python side of a worker's process or interpreter: receives calls, makes them, sends back what came of them.

A process is started by the core as ``python -c ...``; it ends when hypern closes the channel, or at once when hypern is
gone. In an interpreter the core calls ``begin_in_interpreter`` and then what that returns.
"""

from __future__ import annotations

import _thread
import fcntl
import os
import pickle
import select
import signal
import sys

from hypern import _channel, _wire
from hypern._chunk import CALL, run_chunk

TYPE_CHECKING = False  # As in typing, which a worker does not wait for.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    #: Kind, payload and buffers of a frame.
    Reply = tuple[int, bytes, list[memoryview]]

#: What ``python -c`` is given; the argument is the folder that holds the package.
#: Last in the path, and without the current folder, so that no stray file there stands before the standard library.
BOOTSTRAP = "import sys; sys.path[:] = [*filter(None, sys.path), sys.argv[1]]; from hypern._guest import main; main()"

_inside = False


def is_guest() -> bool:
    """Tell whether this is a worker process or a worker's interpreter."""
    return _inside


def main() -> None:
    """Live the life of a worker process."""
    global _inside
    _inside = True
    channel = _channel.Channel(_take_stdin())
    _thread.start_new_thread(_end_with_parent, (channel.descriptor,))
    # Ctrl-C reaches the whole foreground group; what it stops is the caller's to say. A handler and not SIG_IGN, which
    # programs that tasks start would inherit.
    signal.signal(signal.SIGINT, _pass_over)
    try:
        if _begin(channel):
            _serve(channel)
    except ConnectionError:
        # Hypern is gone, perhaps in the middle of a frame; nobody is left to tell.
        os._exit(1)


def _begin(channel: _channel.Channel) -> bool:
    """Take over what hypern says first and report; tell whether tasks can come."""
    frame = channel.receive()
    if frame is None:
        return False
    _, _, payload, _ = frame
    try:
        _set_up(**pickle.loads(payload))
    except BaseException as error:
        channel.send(_channel.RAISED, _encode_error(error))
        return False
    channel.send(_channel.READY)
    return True


def begin_in_interpreter(setup: bytes) -> tuple[Callable[..., Any], int] | bytes:
    """Take over what hypern says first; return what takes its calls and the identifier of this thread.

    Where that raises, return the encoded exception.
    """
    global _inside
    _inside = True
    try:
        _set_up(**pickle.loads(setup))
    except BaseException as error:
        return _encode_error(error)
    return Guest().take, _thread.get_ident()


def _set_up(
    *, path: list[str], argv: list[str], recursion_limit: int, stack_size: int, initializer: bytes | None
) -> None:
    """Take over what hypern says: ``initializer`` is the pickle of a callable and its arguments, or None.

    ``stack_size`` is how many bytes the stack of a process's main thread, where tasks run, may take; 0 leaves it.
    """
    sys.path[:] = path
    sys.argv[:] = argv
    sys.setrecursionlimit(recursion_limit)
    if stack_size:
        _grow_stack(stack_size)
    if initializer is not None:
        function, args = pickle.loads(initializer)
        function(*args)


def _grow_stack(size: int) -> None:
    """Let the stack of this thread, which grows as it is used, become ``size`` bytes large."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    if soft != resource.RLIM_INFINITY and soft < size and (hard == resource.RLIM_INFINITY or size <= hard):
        resource.setrlimit(resource.RLIMIT_STACK, (size, hard))


def _serve(channel: _channel.Channel) -> None:
    pid = os.getpid()
    take = Guest().take
    while (frame := channel.receive()) is not None:
        reply = take(*frame)
        # No name keeps the arguments of this task alive while the next one is awaited.
        del frame
        if reply is None:
            continue
        if os.getpid() != pid:
            # A child that the task forked and that came back from it: this channel is its parent's.
            os._exit(0)
        channel.send(*reply)
        del reply


class _Undecoded(bytes):
    """A function as it came: an error in rebuilding it belongs to the call that asks for it."""


class Guest:
    """What a worker gives its tasks to; keeps the functions that it was sent."""

    def __init__(self) -> None:
        self._functions: dict[int, Any] = {}

    def take(self, kind: int, number: int, payload: Any, buffers: list[Any]) -> Reply | None:
        """Do what one frame says; return what came of a task, None where the frame brings none."""
        if kind == _channel.DEFINE:
            self._functions[number] = _Undecoded(payload)
        elif kind == _channel.FORGET:
            self._functions.pop(number, None)
        elif kind == _channel.PATH:
            sys.path[:] = pickle.loads(payload)
        else:
            return self._run(kind, number, payload, buffers)
        return None

    def _run(self, kind: int, number: int, payload: Any, buffers: list[Any]) -> Reply:
        try:
            function, data = self._decode(number, payload, buffers)
            if kind == CALL:
                args, kwargs = data
                result = function(*args, **kwargs) if kwargs else function(*args)
            else:
                result = run_chunk(kind, function, data)
            del function, data
            return (_channel.RETURNED, *_encode_result(result))
        except BaseException as error:
            return _channel.RAISED, _encode_error(error), []
        finally:
            _flush()

    def _decode(self, number: int, payload: Any, buffers: list[Any]) -> tuple[Any, Any]:
        what = "the callable"
        try:
            if not number:
                what = "the callable or its arguments"
                return pickle.loads(payload, buffers=buffers)
            function = self._functions[number]
            if type(function) is _Undecoded:
                rebuilt = pickle.loads(memoryview(function)[1:])
                if function[:1] == _wire.KEPT:
                    self._functions[number] = rebuilt
                function = rebuilt
            what = "an argument"
            return function, pickle.loads(payload, buffers=buffers)
        except BaseException as error:
            from hypern.errors import TransferError

            raise TransferError(f"{what} cannot be rebuilt in the worker: {_wire.describe(error)}") from error


def _encode_result(result: Any) -> tuple[bytes, list[memoryview]]:
    try:
        return _wire.dumps(_wire.lighten(result))
    except BaseException as error:
        from hypern.errors import TransferError

        kind = type(result).__qualname__
        raise TransferError(
            f"the result (a {kind}) cannot be sent back from the worker: {_wire.describe(error)}; "
            "return what it is made of instead, or use backend='threads', which shares memory"
        ) from error


def _encode_error(error: BaseException) -> bytes:
    # Loaded by the first failure: a worker that has none starts sooner without it.
    from hypern._raised import encode_error

    return encode_error(error)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: S112 - None, closed, or replaced by the task: nothing of ours to flush.
            continue


def _take_stdin() -> int:
    """Move the channel away from descriptor 0, where tasks expect an input that is empty."""
    # Above 2: where the program began without a standard output, tasks that write to it must not meet the channel.
    descriptor = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return descriptor


def _end_with_parent(descriptor: int) -> None:
    """End this process as soon as the other end of the channel is gone, also in the middle of a task."""
    hangup = select.poll()
    hangup.register(descriptor, 0)
    hangup.poll()
    os._exit(1)


def _pass_over(number: int, frame: Any) -> None:
    pass
