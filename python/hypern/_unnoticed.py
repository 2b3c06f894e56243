"""A guest whose calls nobody may notice: where a caller could tell, it says so, and the call is made again at home.

What it says is an answer of the kind RAISED whose payload is plain data, ``(lasting, reason)``: whether other calls of
the same callable will end like that, and why, in words that follow "it". The record of an exception is a pickle.
"""

from __future__ import annotations

import sys
from _operator import is_

from hypern import _guest, _kind, _value_types, _wire
from hypern._chunk import run_chunk
from hypern._members import is_enumeration
from hypern._reached import Reached
from hypern._rebuilt import slot_members
from hypern._stop import StopTask, nothing

TYPE_CHECKING = False  # As in typing, which a worker does not wait for.
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

#: What depends on the place: the depth of the stack, the memory, the modules that are there.
_OF_THE_PLACE = (RecursionError, MemoryError, ImportError, SystemExit, KeyboardInterrupt, GeneratorExit)

_WORDS = {
    "changed": "changes an argument, which a copy would not show",
    "kept": "returns or keeps an argument itself, not a copy",
}


class UnnoticedGuest(_guest.Guest):
    """Makes the calls of programs that must not be able to tell where."""

    def __init__(self) -> None:
        super().__init__()
        #: The functions that were sent apart from calls, by their numbers.
        self._kept: dict[int, _Together] = {}
        #: What came with calls: by the bytes that it came as, the one used last at the end.
        self._together: dict[bytes, _Together] = {}
        #: What is as it was when it came. Others may have the same classes, in the state of another time.
        self._current: _Travelled | None = None

    def run(self, kind: int, number: int, payload: Any, buffers: list[Any]) -> _guest.Reply:
        del buffers  # Nothing travels beside the payload.
        self.stopped = False
        try:
            return self._run_watched(kind, number, payload)
        except BaseException as error:  # Of what is around the call.
            return _stays(False, f"met a difficulty elsewhere: {_wire.describe(error)}")
        finally:
            _guest.flush()

    def _run_watched(self, kind: int, number: int, payload: Any) -> _guest.Reply:
        data: Any = ((), None)
        try:
            together, payload = self._met(number, payload)
        except BaseException as error:
            return _stays(True, f"cannot be rebuilt elsewhere: {_wire.describe(error)}")
        function, travelled = together.functions[0], together.travelled
        if travelled is not self._current:
            travelled.put_back()
            self._current = travelled
        if payload:
            data = _value_types.loads(payload)
        if kind == _kind.CALLS:
            data = [(together.functions[index], *rest) for index, *rest in data]
        args: Any
        kwargs: Any
        args, kwargs = data if kind == _kind.CALL else ((), None)
        watched = _watch(data, together.kinds)
        result: Any = None
        failures: dict[int, Any] = {}
        word = ""
        try:
            try:
                self.running = True
                if self.stopped:
                    raise StopTask
                if kind in _kind.CAUGHT:
                    result, failures = run_chunk(kind, function, data)
                elif kind != _kind.CALL:
                    result = run_chunk(kind, function, data)
                else:
                    result = function(*args, **kwargs) if kwargs else function(*args)
            finally:  # As in Guest.run.
                self.running = False
                try:  # noqa: SIM105
                    nothing()
                except StopTask:
                    pass
        except BaseException as error:
            reply = _encode_error(error, travelled)
            failures[-1] = error
        else:
            if kind in _kind.CAUGHT:
                # What refuses to cross says so at home, among the failures.
                result = result, {place: _encode_error(error, travelled)[1] for place, error in failures.items()}
            reply = _encode_result(result, travelled)
        if failures:
            raised = [each for error in failures.values() for each in _chain(error)]
            while raised:  # Frames refer to arguments, too.
                raised.pop().__traceback__ = None
            # The exceptions live: a reference to an argument in them counts.
            word = _look(watched)
            failures.clear()
        # So does the result.
        word = word or _look(watched)
        del result
        if travelled.put_back():
            return _stays(True, "changes a class or a function")
        return _stays(True, _WORDS[word]) if word else reply

    def _met(self, number: int, payload: Any) -> tuple[_Together, Any]:
        """Return the callables of a call, rebuilt if they are new, and what is left of its payload."""
        if payload[:1] != _wire.WITH_CONTENT:
            if number not in self._kept:
                self._current = None
                # Of functions that were forgotten, too.
                self._kept = {known: self._kept[known] for known in self._kept if known in self.functions}
                self._kept[number] = _Together([self.function(number)], [])
            return self._kept[number], payload
        content, payload = _wire.without_content(payload)
        together = self._together.pop(content, None)
        if together is None:
            self._current = None
            together = _Together(*_wire.loads(content))
        self._together[content] = together
        if len(self._together) > MOST_TOGETHER:
            del self._together[next(iter(self._together))]
        return together, payload


#: Contents of calls that are kept at most.
MOST_TOGETHER = 64


class _Together:
    """Callables that are rebuilt, and the classes of what they are given."""

    __slots__ = ("functions", "kinds", "travelled")

    def __init__(self, functions: list[Any], classes: list[type]) -> None:
        self.functions = functions
        self.travelled = _Travelled((*functions, *classes))
        #: The classes whose instances are watched, with their slots.
        self.kinds = {kind: tuple(slot_members(kind).values()) for kind in classes if not is_enumeration(kind)}


class _Travelled:
    """The namespaces of what came of the program with a callable, members too: a call must not change them."""

    def __init__(self, callables: Iterable[Any]) -> None:
        reached = Reached(callables)
        # Members of an enumeration are the same objects at both ends, by the class that both have.
        members = [each for each in reached.instances if is_enumeration(type(each))]
        self._owners = [(each, dict(vars(each)), [*vars(each).values()]) for each in (*reached.owners, *members)]
        self._instances = {id(each): each for each in reached.instances if not is_enumeration(type(each))}

    def class_number(self, value: Any) -> str | None:
        """Return what cloudpickle calls a class that came by value, None for anything else.

        Raises NotPlain for an object of the program that came with a callable: it is another one here.
        """
        if id(value) in self._instances:
            raise _value_types.NotPlain(type(value))
        cloudpickle: Any = sys.modules.get("cloudpickle.cloudpickle")
        if cloudpickle is None or not isinstance(value, type):
            return None
        number: str | None = cloudpickle._DYNAMIC_CLASS_TRACKER_BY_CLASS.get(value)
        return number

    def put_back(self) -> bool:
        """Tell whether a namespace has changed; then make it as it was."""
        changed = False
        for owner, before, values in self._owners:
            now = vars(owner)
            if len(now) == len(values) and all(map(is_, now.values(), values)):
                continue
            # In this order, because to set __module__ deletes __firstlineno__.
            for name in sorted({*now, *before}, reverse=True):
                if name in _OF_PYTHON or now.get(name, _MISSING) is before.get(name, _MISSING):
                    continue
                changed = True
                # Enumerations would object.
                write = type if isinstance(owner, type) else object
                if name in before:
                    write.__setattr__(owner, name, before[name])
                else:
                    write.__delattr__(owner, name)
        return changed


_MISSING: Any = object()
#: What the interpreter itself keeps in a class.
_OF_PYTHON = frozenset(("__slotnames__", "__annotations_cache__", "__annotate_func__", "__weakref__", "__dict__"))


def _chain(error: BaseException) -> list[BaseException]:
    """Return an exception, those behind it and those in it."""
    chain: dict[int, BaseException] = {}
    rest: list[BaseException | None] = [error]
    while rest:
        each = rest.pop()
        if each is not None and id(each) not in chain:
            chain[id(each)] = each
            rest += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
    return [*chain.values()]


def _watch(data: Any, kinds: dict[type, tuple[Any, ...]]) -> Any:
    if _wire.plain is None:
        return None
    return _wire.plain.watch_instances((data, kinds)) if kinds else _wire.plain.watch(data)


def _look(watched: Any) -> str:
    return "" if watched is None or _wire.plain is None else _wire.plain.look(watched)


def _stays(lasting: bool, reason: str) -> _guest.Reply:
    return _kind.RAISED, _wire.dumps((lasting, reason))[0], []


def _encode_result(result: Any, travelled: _Travelled) -> _guest.Reply:
    if result is None:
        return _kind.RETURNED, b"", []
    try:
        return _kind.RETURNED, _value_types.dumps(result, travelled.class_number), []
    except BaseException as error:
        return _does_not_cross("returns", error)


def _encode_error(error: BaseException, travelled: _Travelled) -> _guest.Reply:
    if isinstance(error, _OF_THE_PLACE):
        return _stays(isinstance(error, ImportError), f"raised what depends on the place: {_wire.describe(error)}")
    # Loaded by the first failure.
    from hypern._raised import encode_equal_error

    try:
        return _kind.RAISED, encode_equal_error(error, travelled.class_number), []
    except BaseException as refused:
        return _does_not_cross("raises an exception with", refused)


def _does_not_cross(what: str, error: BaseException) -> _guest.Reply:
    if isinstance(error, _value_types.NotPlain):
        return _stays(True, f"{what} {error}, which is no plain data")
    return _stays(
        not isinstance(error, _OF_THE_PLACE), f"{what} something that does not cross: {_wire.describe(error)}"
    )
