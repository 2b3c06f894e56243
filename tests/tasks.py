"""Functions and classes that tests send to workers; light, because worker processes import it by name."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time


def identity(value):
    return value


def square(number):
    return number * number


def add(left, right):
    return left + right


def at(sequence, place):
    return sequence[place]


def greet(name, greeting="Hello"):
    return f"{greeting}, {name}!"


def nothing(*_args, **_kwargs):
    return None


def arguments(*args, **kwargs):
    return args, kwargs


def process_id(*_):
    return os.getpid()


def place(*_):
    """Where this runs, to tell workers apart on every backend."""
    return os.getpid(), threading.get_ident()


def raises(error):
    raise error  # the line that raised


def raises_from(error, cause):
    try:
        raise cause  # the line of the cause
    except type(cause) as caught:
        raise error from caught  # the line that raised


def fails_at(number, where):
    if number == where:
        raise ValueError(f"no {where}s!")  # the line that raised
    return number


class Point:
    """Something with state and methods."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __eq__(self, other):
        return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)

    __hash__ = None

    def shifted(self, by):
        return Point(self.x + by, self.y + by)

    @classmethod
    def origin(cls):
        return cls(0, 0)

    @staticmethod
    def length(x, y):
        return abs(x) + abs(y)

    def __call__(self, factor):
        return Point(self.x * factor, self.y * factor)


def pauses(seconds):
    threading.Event().wait(seconds)


# What does not end by itself, or does after a while.


def spins():
    while True:
        pass


def spins_for(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return seconds


def spins_or_returns(number):
    while number < 0:
        pass
    return number


def cleans_up(ledger):
    with contextlib.ExitStack() as stack:
        stack.callback(ledger.note, "with")
        try:
            while True:
                pass
        finally:
            ledger.note("finally")


def survives_exceptions(ledger):
    while True:
        try:
            while True:
                pass
        except Exception:
            ledger.note("survived")


# What initializers do.


def set_remembered(value):
    threading.current_thread().remembered = value


def get_remembered(_=None):
    return threading.current_thread().remembered


def waits_and_fails(door):
    door.wait()
    raise ValueError("after all")


# Exceptions that are ordinary to their users and awkward to others.


class Custom(Exception):
    """An application's own."""


class Slotted(Exception):
    __slots__ = ("code",)

    def __init__(self, message, code=0):
        super().__init__(message)
        self.code = code


class Falsey(Exception):
    def __bool__(self):
        return False

    def __len__(self):
        return 0


class Empty(Exception):
    def __len__(self):
        return 0


class KeywordOnly(Exception):
    def __init__(self, message, *, code):
        super().__init__(message)
        self.code = code


class TwoArguments(Exception):
    """Its arguments are not those of its constructor, which breaks unpickling by the book."""

    def __init__(self, name, value):
        super().__init__(f"{name} is {value}")
        self.name, self.value = name, value


class HoldsLock(Exception):
    """Its state cannot be pickled."""

    def __init__(self, message):
        super().__init__(message)
        self.lock = threading.Lock()


class BadText(Exception):
    def __str__(self):
        raise ValueError("no text")

    __repr__ = __str__


class Uncombinable(Exception):
    """Refuses to be the base of another class."""

    def __init_subclass__(cls, **_):
        raise TypeError("this class is final")


class Picky(type):
    """A metaclass that lets nobody mix its classes with others."""

    def __new__(mcs, name, bases, namespace):
        if len(bases) > 1:
            raise TypeError("one base only")
        return super().__new__(mcs, name, bases, namespace)


class OfPickyMeta(Exception, metaclass=Picky):
    pass


class OwnBase(BaseException):
    """Not an Exception at all."""


BASE_EXCEPTIONS = {
    "SystemExit": lambda: SystemExit(3),
    "SystemExit-None": lambda: SystemExit(),
    "SystemExit-text": lambda: SystemExit("bye"),
    "KeyboardInterrupt": lambda: KeyboardInterrupt("from a task"),
    "GeneratorExit": lambda: GeneratorExit("from a task"),
    "CancelledError": lambda: asyncio.CancelledError("from a task"),
    "OwnBase": lambda: OwnBase("from a task"),
}


def raises_named(name):
    raise BASE_EXCEPTIONS[name]()  # the line that raised


# Deaths.


def exits(code):
    os._exit(code)


def aborts():
    with open(os.devnull, "w") as quiet:
        os.dup2(quiet.fileno(), 2)  # CPython may print stacks, which is not under test
        os.abort()


def dies_of(number):
    import faulthandler

    faulthandler.disable()
    with contextlib.suppress(ValueError, OSError):  # not the main thread; SIGKILL
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    threading.Event().wait()  # until it arrives


def spoils(what):
    """Do something to every descriptor that a worker may hold beside the standard ones."""
    for descriptor in range(3, 64):
        with contextlib.suppress(OSError):
            what(descriptor)
    return "spoilt"


# Objects that strike while they are pickled or unpickled.


def _error(where):
    raise ValueError(f"struck at {where}")


def _exit(where):
    raise SystemExit(f"struck at {where}")


def _crash(_):
    os._exit(7)


class AtPickle:
    def __init__(self, strike):
        self.strike = strike

    def __reduce__(self):
        self.strike("pickle")


class AtUnpickle:
    def __init__(self, strike):
        self.strike = strike

    def __reduce__(self):
        return self.strike, ("unpickle",)


class ErrorAtPickle(AtPickle):
    def __init__(self):
        super().__init__(_error)


class ExitAtPickle(AtPickle):
    def __init__(self):
        super().__init__(_exit)


class CrashAtPickle(AtPickle):
    def __init__(self):
        super().__init__(_crash)


class ErrorAtUnpickle(AtUnpickle):
    def __init__(self):
        super().__init__(_error)


class ExitAtUnpickle(AtUnpickle):
    def __init__(self):
        super().__init__(_exit)


class CrashAtUnpickle(AtUnpickle):
    def __init__(self):
        super().__init__(_crash)


class StrikingException(Exception):
    """Carries a hostile object, so that the exception strikes when it travels."""

    def __init__(self, message, striker):
        super().__init__(message, striker)


def returns_hostile(kind):
    return kind()


def raises_hostile(kind):
    raise StrikingException("it is hostile", kind())  # the line that raised


# Values that travel.


def nested_list(depth):
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


# Memory


def about_view(view):
    assert isinstance(view, memoryview)
    return view.format, view.shape, view.tobytes()


def fill(view, value):
    view[:] = bytes([value]) * len(view)


_kept = []


def keep(thing):
    _kept.append(thing)


def kept_bytes():
    return _kept[-1].tobytes()


def forget_kept():
    _kept.clear()


# Interpreters


def interpreter():
    import _interpreters

    return _interpreters.get_current()[0]


def imports(name):
    __import__(name)


class Needs:
    """Needs a module to be rebuilt."""

    def __init__(self, name):
        self.name = name

    def __reduce__(self):
        return imports, (self.name,)


def squares_in_a_bridge(executor, number):
    """Waits for a call of its own executor in a loop of its own."""
    from hypern.aio import bridge

    async def main():
        return executor.run_sync(square, number)

    return asyncio.run(bridge(main)())


def begins_and_ends(seconds):
    """The times of the computer between which this kept a core busy."""
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        pass
    return began, time.monotonic()
