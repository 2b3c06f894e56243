"""The words in which a user is told why something outside keeps a call in the shared interpreter."""

from __future__ import annotations

import functools
import sys
import types
from types import BuiltinFunctionType, MethodType
from typing import Any

from hypern._verdict import stateless
from hypern._verdict.stays import Stays

_LRU_CACHE = type(functools.lru_cache(lambda: None))
BUILTINS = {
    "print": ("prints", "return the text and print it outside"),
    "input": ("reads the standard input", "read it outside and pass it in"),
    "open": ("opens a file", "read it outside and pass the contents in"),
    "id": ("reads the address of an object", "compare with 'is', or use a key of your own"),
    "hash": ("uses hash, which differs between processes", "use hashlib, or keep a dict"),
    **dict.fromkeys(("eval", "exec", "compile"), ("runs code that is not known", "write it as a function")),
    **dict.fromkeys(("globals", "locals", "vars", "dir"), ("looks into a namespace", "name what you need")),
    "__import__": ("imports what is not known", "use an import statement"),
}


def foreign(module: str, name: str) -> Stays:
    """Return the answer for what belongs to an installed package."""
    top = module.partition(".")[0] or name
    compiled = any(
        key.partition(".")[0] == top and (getattr(each, "__file__", None) or "").endswith((".so", ".pyd"))
        for key, each in list(sys.modules.items())
    )
    if compiled:
        return Stays(
            f"uses {top}, which only works in threads and processes", name, "choose backend='processes' for this pool"
        )
    return Stays(
        f"uses {top}, an installed package that may keep state", name, "choose backend='processes' for this pool"
    )


def unlisted(module: str, name: str) -> Stays:
    """Return the answer for a member of the standard library that is not listed."""
    what, advice = stateless.why_not(module)
    return Stays(f"uses '{module}.{name}', which {what}", f"{module}.{name}", advice)


def refusal(value: Any, how: str, name: str, advice: str) -> Stays:
    """Return the answer for a value that lives outside and may change; ``how`` says how it is reached."""
    kind = type(value)
    label = kind.__name__
    if kind is _LRU_CACHE:
        return Stays(
            f"calls '{name}', which keeps a cache outside the call (functools.lru_cache)",
            name,
            "make the cache inside the function, or do without",
        )
    if isinstance(value, (MethodType, BuiltinFunctionType, types.MethodWrapperType)):
        owner = type(value.__self__).__name__
        return Stays(
            f"'{name}' is a method of a {owner} that lives outside", name, "use a function, and pass the object"
        )
    if kind.__module__ == "logging":
        return Stays(f"writes to the logger '{name}'", name, "return what is to be logged")
    if kind.__module__ in ("_thread", "threading"):
        return Stays(f"uses the {label} '{name}' of the program", name, "")
    if kind.__module__ == "_io":
        return Stays(
            f"uses the file '{name}', which was opened outside", name, "read it outside and pass the contents in"
        )
    if kind.__module__ in ("_weakref", "weakref"):
        label = "weak reference"
    elif hasattr(kind, "__next__"):
        label = f"iterator ({label})"
    elif stateless.origin(kind.__module__) == "package":
        return foreign(kind.__module__, name)
    elif callable(value):
        label = f"callable instance ({label})"
    return Stays(how.format(kind=label), name, advice)
