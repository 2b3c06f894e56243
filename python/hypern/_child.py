"""The program of a worker process: receives frames, has its guest do what they say, sends back what came of it.

Started by the core as ``python -c ...``; ends when hypern closes the channel, or at once when hypern is gone.
"""

from __future__ import annotations

# Not signal, which loads what a worker can do without.
import _signal  # pyright: ignore[reportMissingImports]
import _thread
import fcntl
import os
import select

from hypern import _guest, _kind, _wire
from hypern._channel import Channel
from hypern._stop import StopTask

TYPE_CHECKING = False  # As in typing, which a worker does not wait for.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: What ``python -c`` is given; the argument is the folder that holds the package.
#: Last in the path, and without the current folder, so that no stray file there stands before the standard library.
BOOTSTRAP = "import sys; sys.path[:] = [*filter(None, sys.path), sys.argv[1]]; from hypern._child import main; main()"

#: The name of the file in memory that tells where a task is.
STACKS = "hypern-stacks"


def main() -> None:
    """Live the life of a worker process."""
    channel = Channel(_take_stdin())
    _thread.start_new_thread(_end_with_parent, (channel.descriptor,))
    # Ctrl-C reaches the whole foreground group; what it stops is the caller's to say. A handler and not SIG_IGN, which
    # programs that tasks start would inherit.
    _signal.signal(_signal.SIGINT, _pass_over)
    _let_others_look()
    try:
        guest = _begin(channel)
        if guest is not None:
            _serve(channel, guest)
    except ConnectionError:
        # Hypern is gone, perhaps in the middle of a frame; nobody is left to tell.
        os._exit(1)


def _begin(channel: Channel) -> _guest.Guest | None:
    """Take over what hypern says first and report; return the guest if tasks can come."""
    frame = channel.receive()
    if frame is None:
        return None
    _, _, payload, _ = frame
    from hypern import _core  # Not above: the package imports this module in interpreters, which cannot load the core.

    try:
        _wire.use_plain(_core.plain)
        setup = _wire.loads(payload)
        _grow_stack(setup.pop("stack_size"))
        guest = _guest.begin(**setup)
    except BaseException as error:
        channel.send(_kind.RAISED, _guest.encode_error(error))
        return None
    _signal.signal(_signal.SIGURG, _stopper(guest))
    channel.send(_kind.READY)
    return guest


def _serve(channel: Channel, guest: _guest.Guest) -> None:
    pid = os.getpid()
    while (frame := channel.receive()) is not None:
        reply = guest.take(*frame)
        # No name keeps the arguments of this task alive while the next one is awaited.
        del frame
        if reply is None:
            continue
        if os.getpid() != pid:
            # A child that the task forked and that came back from it: this channel is its parent's.
            os._exit(0)
        channel.send(*reply)
        del reply


def _grow_stack(size: int) -> None:
    """Let the stack of this thread, which grows as it is used, become ``size`` bytes large."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    if soft != resource.RLIM_INFINITY and soft < size and (hard == resource.RLIM_INFINITY or size <= hard):
        resource.setrlimit(resource.RLIMIT_STACK, (size, hard))


def _take_stdin() -> int:
    """Move the channel away from descriptor 0, where tasks expect an input that is empty."""
    # Above 2: where the program began without a standard output, tasks that write to it must not meet the channel.
    descriptor = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return descriptor


def _let_others_look() -> None:
    """Have SIGWINCH write where the task is to a file in memory, which ``_stacks`` finds by the system's list of files.

    That works in the middle of C code too. SIGWINCH, because it does no harm where nobody listens to it. A terminal
    that gets another size sends it as well, and then one more stack is written.
    """
    if hasattr(os, "memfd_create"):
        import faulthandler  # Not above: the package imports this module in interpreters, which cannot load it.

        faulthandler.register(_signal.SIGWINCH, file=os.memfd_create(STACKS), all_threads=False)


def _end_with_parent(descriptor: int) -> None:
    """End this process as soon as the other end of the channel is gone, also in the middle of a task."""
    hangup = select.poll()
    hangup.register(descriptor, 0)
    hangup.poll()
    os._exit(1)


def _stopper(guest: _guest.Guest) -> Callable[[int, Any], None]:
    """Return the handler of the signal by which hypern stops the task of that moment.

    The signal is SIGURG: programs pass it over by default, and hardly one uses it. It has arrived before the next task
    can be read, and finds no call being made where it is late.
    """

    def stop(_number: int, _frame: Any) -> None:
        if guest.running:
            raise StopTask
        guest.stopped = True

    return stop


def _pass_over(number: int, frame: Any) -> None:
    pass
