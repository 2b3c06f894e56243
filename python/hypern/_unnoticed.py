"""A guest whose calls nobody may notice: where a caller could tell, it says so, and the call is made again at home.

What it says is an answer of the kind RAISED whose payload is plain data, ``(lasting, reason)``: whether other calls of the
same callable will end like that, and why in words that follow "it". A record of an exception is a pickle.
"""

from __future__ import annotations

from hypern import _guest, _kind, _value_types, _wire
from hypern._chunk import run_chunk

TYPE_CHECKING = False  # As in typing, which a worker does not wait for.
if TYPE_CHECKING:
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
        #: The functions of the last chunk of ``run_parallel``, and the bytes that they came as.
        self._together: tuple[bytes, Any] = b"", ()

    def run(self, kind: int, number: int, payload: Any, buffers: list[Any]) -> _guest.Reply:
        try:
            reply = self._run_watched(kind, number, payload)
        except BaseException as error:  # Of what is around the call.
            reply = _stays(False, f"met a difficulty elsewhere: {_wire.describe(error)}")
        finally:
            _guest.flush()
        return reply

    def _run_watched(self, kind: int, number: int, payload: Any) -> _guest.Reply:
        codec = _wire.plain
        assert codec is not None
        try:
            if kind == _kind.CALLS:
                function, data = None, self._calls(payload)
            else:
                function = self.function(number)
                data = _value_types.loads(payload) if payload else ((), None)
        except BaseException as error:
            return _stays(True, f"cannot be rebuilt elsewhere: {_wire.describe(error)}")
        args, kwargs = data if kind == _kind.CALL else ((), None)
        watched = codec.watch(data)
        result: Any = None
        try:
            if kind != _kind.CALL:
                result = run_chunk(kind, function, data)
            else:
                result = function(*args, **kwargs) if kwargs else function(*args)
            reply = _encode_result(result)
        except _OF_THE_PLACE as error:
            return _stays(isinstance(error, ImportError), f"raised what depends on the place: {_wire.describe(error)}")
        except BaseException as error:
            reply = _encode_error(error)
        # The result lives until here: who refers to an argument by now is the caller's to see.
        word = codec.look(watched) if watched is not None else ""
        del result
        return _stays(True, _WORDS[word]) if word else reply

    def _calls(self, payload: Any) -> list[tuple[Any, ...]]:
        content, calls = _wire.loads(payload)
        if content != self._together[0]:
            self._together = content, _wire.loads(content)
        functions = self._together[1]
        return [(functions[index], *rest) for index, *rest in _value_types.loads(calls)]


def _stays(lasting: bool, reason: str) -> _guest.Reply:
    return _kind.RAISED, _wire.dumps((lasting, reason))[0], []


def _encode_result(result: Any) -> _guest.Reply:
    if result is None:
        return _kind.RETURNED, b"", []
    try:
        return _kind.RETURNED, _value_types.dumps(result), []
    except _value_types.NotPlain as refused:
        return _stays(True, f"returns {refused}, which is no plain data")


def _encode_error(error: BaseException) -> _guest.Reply:
    payload = _guest.encode_error(error)
    return _kind.RAISED, payload, []
