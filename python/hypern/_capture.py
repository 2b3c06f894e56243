"""What a function reads from outside, as it was, and whether it is still so."""

from __future__ import annotations

import weakref
from itertools import chain
from operator import attrgetter, is_, itemgetter, methodcaller
from typing import TYPE_CHECKING, Any

from hypern._reached import names_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
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


_parts = attrgetter("__code__", "__defaults__", "__kwdefaults__")


class Watch:
    """What many functions, classes and modules hold, as it was when it was looked at.

    It is filled first and asked often: comparisons are made by identity, and loop in C.
    """

    __slots__ = (
        "_cells",
        "_classes",
        "_contents",
        "_entries",
        "_functions",
        "_keep",
        "_known",
        "_orders",
        "_plain",
        "_probes",
        "_whole",
    )

    def __init__(self) -> None:
        self._entries: dict[int, tuple[Mapping[str, Any], dict[str, Any], set[str]]] = {}
        self._whole: dict[int, tuple[Mapping[str, Any], list[Any]]] = {}
        self._functions: dict[int, tuple[FunctionType, tuple[Any, ...]]] = {}
        self._classes: list[type] = []
        self._orders: list[tuple[type, ...]] = []
        self._plain: list[FunctionType] = []
        self._keep: list[Any] = []
        self._cells: list[CellType] = []
        self._contents: list[Any] = []
        self._probes: dict[Callable[[], Any], Any] = {}
        self._known: list[Any] | None = None

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
        """Watch what a class inherits from."""
        self._classes.append(kind)
        self._orders.append(kind.__mro__)

    def function(self, function: FunctionType) -> None:
        """Watch the code, the default values and the attributes of a function."""
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
        self._cells.append(cell)
        self._contents.append(value)

    def probe(self, ask: Callable[[], Any], answer: Any) -> None:
        """Watch what a cheap question about the state of the interpreter is answered; compared by equality."""
        self._probes[ask] = answer

    def holds(self) -> bool:
        """Tell whether everything is still the same."""
        known = self._known
        if known is None:
            known = self._known = self._prepare()
        groups, mappings, sizes, values, functions, codes, defaults, keywords, plain = known[:9]
        cells, inside, classes, orders, probes = known[9:]
        try:
            for namespace, getter, expected, absent in groups:
                if getter is not None and not all(map(is_, getter(namespace), expected)):
                    return False
                if absent and not absent.isdisjoint(namespace):
                    return False
            if mappings and not (
                [*map(len, mappings)] == sizes and all(map(is_, chain.from_iterable(map(_values_of, mappings)), values))
            ):
                return False
            if functions and not (
                all(map(is_, map(_code_of, functions), codes))
                and all(map(is_, map(_defaults_of, functions), defaults))
                and all(map(is_, map(_keywords_of, functions), keywords))
            ):
                return False
            if any(map(_attributes_of, plain)):
                return False
            if cells and not all(map(is_, map(_content_of, cells), inside)):
                return False
            if classes and not all(map(is_, map(_order_of, classes), orders)):
                return False
        except (KeyError, ValueError, RuntimeError):  # An entry is gone, a cell empty, a namespace changing right now.
            return False
        return all(ask() == answer for ask, answer in probes)

    def _prepare(self) -> list[Any]:
        groups: list[tuple[Any, ...]] = []
        for mapping, there, absent in self._entries.values():
            names = tuple(there)
            # With one name it would not be a tuple.
            getter = itemgetter(*names, names[0]) if names else None
            groups.append((mapping, getter, (*there.values(), there[names[0]]) if names else (), frozenset(absent)))
        mappings = [mapping for mapping, _ in self._whole.values()]
        snapshots = [values for _, values in self._whole.values()]
        functions = [function for function, _ in self._functions.values()]
        parts = [part for _, part in self._functions.values()]
        return [
            groups,
            mappings,
            [*map(len, snapshots)],
            [*chain.from_iterable(snapshots)],
            functions,
            *([part[index] for part in parts] for index in range(3)),
            self._plain,
            self._cells,
            self._contents,
            self._classes,
            self._orders,
            [*self._probes.items()],
        ]


_values_of = methodcaller("values")
_code_of, _defaults_of, _keywords_of = map(attrgetter, ("__code__", "__defaults__", "__kwdefaults__"))
_attributes_of = attrgetter("__dict__")
_content_of = attrgetter("cell_contents")
_order_of = attrgetter("__mro__")
