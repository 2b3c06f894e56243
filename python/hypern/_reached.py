"""What of the program a callable reaches: functions, classes and modules that are not the standard library's."""

from __future__ import annotations

import sys

from hypern._rebuilt import IMPORTABLE, attributes_of, slots_of

TYPE_CHECKING = False  # As in typing, which a worker does not wait for.
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_FUNCTION: Any = type(lambda: None)
_MODULE: Any = type(sys)


class Reached:
    """The program's part of what some callables reach."""

    def __init__(self, callables: Iterable[Any]) -> None:
        #: Functions, classes and modules, each once.
        self.owners: list[Any] = []
        #: Instances of the program's classes.
        self.instances: list[Any] = []
        #: Every name that code among them reads; of a module, nothing else is reached.
        self.names: set[str] = set()
        self._modules: list[Any] = []
        self._seen: set[int] = set()
        rest = [*callables]
        while rest:
            self._walk(rest)
            # Code that was met later may read more of a module that was met before.
            rest = [
                value
                for module in self._modules
                for name in self.names & vars(module).keys()
                if id(value := vars(module)[name]) not in self._seen
            ]

    def _walk(self, rest: list[Any]) -> None:
        while rest:
            value = rest.pop()
            if id(value) in self._seen:
                continue
            self._seen.add(id(value))
            kind = type(value)
            if kind is _FUNCTION:
                if not is_standard(value.__module__):
                    self._meet_function(value, rest)
            elif isinstance(value, type):
                if not is_standard(value.__module__):
                    self.owners.append(value)
                    rest += [*value.__bases__, *vars(value).values()]
                    # Members of an enumeration, by name and by value: combined flags have none.
                    for table in ("_member_map_", "_value2member_map_"):
                        rest += vars(value).get(table, {}).values()
            elif kind is _MODULE:
                if not is_standard(value.__name__):
                    self.owners.append(value)
                    self._modules.append(value)
            elif kind is tuple or kind is frozenset:
                rest += value
            elif kind is slice:
                rest += [value.start, value.stop, value.step]
            elif kind.__name__ == "property":  # That of enumerations, too.
                rest += [value.fget, value.fset, value.fdel]
            elif kind is staticmethod or kind is classmethod:
                rest.append(value.__func__)
            elif kind.__name__ in ("partial", "partialmethod", "cached_property"):
                rest += [value.func, *getattr(value, "args", ()), *getattr(value, "keywords", {}).values()]
            elif not is_standard(kind.__module__):
                self.instances.append(value)
                # Such as the program may reach again by its own class, and what is in a named tuple.
                rest += [kind, *(tuple.__iter__(value) if isinstance(value, tuple) else ())]
                rest += [*attributes_of(value).values(), *slots_of(value).values()]

    def _meet_function(self, function: Any, rest: list[Any]) -> None:
        self.owners.append(function)
        names = names_of(function.__code__)
        self.names |= names
        namespace = function.__globals__
        rest += [namespace[name] for name in names if name in namespace]
        rest += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values(), *vars(function).values()]
        for cell in function.__closure__ or ():
            try:
                rest.append(cell.cell_contents)
            except ValueError:  # Empty.
                continue


def is_standard(module: str | None) -> bool:
    """Tell whether a module is one that a worker may import where nobody may notice."""
    return module is not None and module.partition(".")[0] in IMPORTABLE


def names_of(code: Any) -> set[str]:
    """Return every name that code, or code inside it, reads."""
    names = {*code.co_names}
    for constant in code.co_consts:
        if type(constant) is type(code):
            names |= names_of(constant)
    return names
