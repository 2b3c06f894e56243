"""What a function reads from outside, as it was, and whether it is still so."""

from __future__ import annotations

import weakref
from functools import partial
from itertools import chain
from operator import attrgetter, is_, itemgetter, methodcaller
from typing import TYPE_CHECKING, Any

from hypern._reached import names_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import CellType, FunctionType

MISSING: Any = object()


class Capture:
    """What one function reads from outside, as it was when this was made."""

    __slots__ = ("cells", "code", "defaults", "function", "keywords", "values")

    def __init__(self, function: FunctionType) -> None:
        self.function = weakref.ref(function)
        self.code = function.__code__
        self.defaults = function.__defaults__
        self.keywords = dict(function.__kwdefaults__ or {})
        self.cells = [(cell, contents(cell)) for cell in function.__closure__ or ()]
        namespace = function.__globals__
        self.values = [(name, namespace.get(name, MISSING)) for name in sorted(names_of(function.__code__))]

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
        return all(contents(cell) is value for cell, value in self.cells) and all(
            namespace.get(name, MISSING) is value for name, value in self.values
        )


def contents(cell: CellType) -> Any:
    """Return what is in a cell, MISSING where it is not filled yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(one[name] is other[name] for name in one)


_PARTS = ("__code__", "__defaults__", "__kwdefaults__", "__qualname__")
_parts = attrgetter(*_PARTS)


class Watch:
    """What many functions, classes and modules hold, as it was when it was looked at.

    It is filled first and asked often: comparisons are made by identity, and loop in C.
    """

    __slots__ = ("_cells", "_checks", "_classes", "_entries", "_functions", "_keep", "_plain", "_probes", "_whole")

    def __init__(self) -> None:
        self._entries: dict[int, tuple[Mapping[str, Any], dict[str, Any], set[str]]] = {}
        self._whole: dict[int, tuple[Mapping[str, Any], list[Any]]] = {}
        self._functions: dict[int, tuple[FunctionType, tuple[Any, ...]]] = {}
        self._classes: dict[type, tuple[tuple[type, ...], tuple[str, str]]] = {}
        self._plain: list[FunctionType] = []
        self._keep: list[Any] = []
        self._cells: list[tuple[CellType, Any]] = []
        self._probes: dict[Callable[[], Any], Any] = {}
        #: Made by the first question.
        self._checks: list[Callable[[], bool]] | None = None

    def entry(self, mapping: Mapping[str, Any], name: str, value: Any) -> None:
        """Watch one entry of a namespace; MISSING: that there is none."""
        _, there, absent = self._entries.setdefault(id(mapping), (mapping, {}, set()))
        if value is MISSING:
            absent.add(name)
        else:
            there[name] = value

    def whole(self, owner: Any, mapping: Mapping[str, Any]) -> None:
        """Watch all entries of the namespace of an object."""
        if id(owner) not in self._whole:
            self._whole[id(owner)] = mapping, list(mapping.values())
            self._keep.append(owner)

    def bases(self, kind: type) -> None:
        """Watch what a class inherits from, and is called."""
        self._classes[kind] = kind.__mro__, _names_of(kind)

    def function(self, function: FunctionType) -> None:
        """Watch the code, the default values, the attributes and the name of a function."""
        if id(function) in self._functions:
            return
        self._functions[id(function)] = function, _parts(function)
        if function.__dict__:
            self.whole(function, function.__dict__)
        else:
            self._plain.append(function)
        if function.__kwdefaults__:
            self.whole(function.__kwdefaults__, function.__kwdefaults__)

    def cell(self, cell: CellType, value: Any) -> None:
        """Watch a cell that is filled."""
        self._cells.append((cell, value))

    def probe(self, ask: Callable[[], Any], answer: Any) -> None:
        """Watch what a cheap question about the state of the interpreter is answered; compared by equality."""
        self._probes[ask] = answer

    def holds(self) -> bool:
        """Tell whether everything is still the same."""
        checks = self._checks
        if checks is None:
            checks = self._checks = [*self._make_checks()]
        try:
            for check in checks:
                if not check():
                    return False
        except (KeyError, ValueError, RuntimeError):  # An entry is gone, a cell empty, a namespace changing right now.
            return False
        return True

    def _make_checks(self) -> Iterator[Callable[[], bool]]:
        """Return a check for each kind of thing that is watched; most functions need one or none."""
        for mapping, there, absent in self._entries.values():
            if len(there) == 1:
                yield partial(_is_entry, mapping, *next(iter(there.items())))
            elif there:
                yield partial(_are_entries, itemgetter(*there), mapping, (*there.values(),))
            if absent:
                yield partial(frozenset(absent).isdisjoint, mapping)
        if self._whole:
            mappings, snapshots = zip(*self._whole.values(), strict=True)
            yield partial(_are_whole, mappings, [*map(len, snapshots)], [*chain.from_iterable(snapshots)])
        if self._functions:
            functions, parts = zip(*self._functions.values(), strict=True)
            for get, values in zip(_GET_PARTS, zip(*parts, strict=True), strict=True):
                yield partial(_are_same, get, functions, values)
        if self._plain:
            yield partial(_have_no_attributes, self._plain)
        if self._cells:
            yield partial(_are_same, attrgetter("cell_contents"), *zip(*self._cells, strict=True))
        if self._classes:
            orders, names = zip(*self._classes.values(), strict=True)
            yield partial(_are_same, attrgetter("__mro__"), [*self._classes], orders)
            yield partial(_have_names, [*self._classes], [*names])
        for ask, answer in self._probes.items():
            yield partial(_is_answer, ask, answer)


_GET_PARTS = [*map(attrgetter, _PARTS)]
_values_of = methodcaller("values")
_attributes_of = attrgetter("__dict__")
_names_of = attrgetter("__name__", "__qualname__")


def _is_entry(mapping: Mapping[str, Any], name: str, value: Any) -> bool:
    return mapping.get(name, MISSING) is value


def _are_entries(get: Callable[[Any], Any], mapping: Mapping[str, Any], values: tuple[Any, ...]) -> bool:
    return all(map(is_, get(mapping), values))


def _are_whole(mappings: Iterable[Mapping[str, Any]], sizes: list[int], values: list[Any]) -> bool:
    return [*map(len, mappings)] == sizes and all(map(is_, chain.from_iterable(map(_values_of, mappings)), values))


def _are_same(get: Callable[[Any], Any], owners: Iterable[Any], values: Iterable[Any]) -> bool:
    return all(map(is_, map(get, owners), values))


def _have_no_attributes(functions: list[FunctionType]) -> bool:
    return not any(map(_attributes_of, functions))


def _have_names(classes: Iterable[type], names: list[tuple[str, str]]) -> bool:
    return [*map(_names_of, classes)] == names


def _is_answer(ask: Callable[[], Any], answer: Any) -> bool:
    return bool(ask() == answer)
