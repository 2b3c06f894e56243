"""Which names of attributes may be read from and written to values of any kind, and which formats be asked for.

All other rules of ``_flow`` rest on these: no attribute that passes leads from a value that a call made to code, names
or frames around it, nor to the mutable tables that classes keep of themselves.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hypern._verdict.stays import Stays

if TYPE_CHECKING:
    from hypern._verdict.value import Slot

#: Attributes that lead from a value to the code, the names or the frames around it.
_LEADING_OUT = (
    r"__(?:globals|builtins|closure|code|dict|subclasses|self|func|defaults|kwdefaults|traceback|loader|spec|bases|import"
    r"|getattribute|annotations|annotate|set_name)__|(?:gi|cr|ag)_(?:frame|code|await|yieldfrom)|tb_(?:frame|next)"
    r"|f_(?:back|globals|locals|builtins|code)|ag_await"
)
leads_out = re.compile(_LEADING_OUT).search
_PLAIN_LEADING_OUT = ("gi_", "cr_", "ag_", "tb_", "f_", "now", "utcnow", "today", "fromtimestamp", "astimezone", "strf")
#: Reserved names that may be read from any value, without their underscores.
_RESERVED_WORDS = """
    abs add and bool bytes call ceil class class_getitem complex contains copy deepcopy delattr delitem dir divmod
    doc enter eq exit float floor floordiv format ge get getattr getitem getstate gt iadd iand ifloordiv ilshift
    imatmul imod imul index init init_subclass instancecheck int invert ior ipow irshift isub iter itruediv ixor le
    len length_hint lshift lt main matmul members missing mod module mro mul name ne neg new next notes or pos
    post_init pow qualname radd rand rdivmod replace repr reversed rfloordiv rlshift rmatmul rmod rmul ror round
    rpow rrshift rshift rsub rtruediv rxor set setattr setitem setstate sizeof str sub truediv trunc xor wrapped
    cause context suppress_context match_args version
"""
_RESERVED = frozenset(f"__{word}__" for word in _RESERVED_WORDS.split())
#: Tables that enumerations and named tuples keep of themselves.
_TABLES = re.compile(r"_(?!name_|value_|missing_|generate_next_value_)[a-z0-9_]+_|_field_defaults").fullmatch
_CLOCK = frozenset(("now", "utcnow", "today", "fromtimestamp", "astimezone"))
#: Directives of strftime that depend on the locale of the process.
_LOCAL_TIME = re.compile(r"%[-_#^0-9]*[aAbBcxXpZEOrhsv+]").search


def check_attribute(name: str, called: bool = False) -> None:
    """Refuse attributes that lead from a value of any kind to state outside."""
    if name.startswith("__") and name.endswith("__"):
        if name not in _RESERVED:
            raise Stays(f"reads '{name}', which leads outside the call", name)
    elif name in _CLOCK or (called and name == "timestamp"):
        raise Stays(
            f"calls '{name}', which reads the clock or the time zone", name, "read the time outside and pass it in"
        )
    elif name[:1] in ("g", "c", "a", "t", "f", "_") and (leads_out(name) or _TABLES(name)):
        raise Stays(f"reads '{name}', which leads outside the call", name)


def check_text(text: str) -> None:
    """Refuse text that names such an attribute: format and getattr may look it up."""
    if "_" in text and (found := leads_out(text)):
        raise Stays(f"has the text '{found[0]}', which names what leads outside the call", found[0])


def check_number(number: Any, name: str) -> None:
    """Refuse a NaN: it is found in a container by its identity, which its copies do not have."""
    if number != number:  # noqa: PLR0124
        raise Stays("uses a NaN that exists outside the call, which no copy is equal to", name, "make it in the call")


def check_time_format(text: str) -> None:
    """Refuse formats of times that depend on the locale."""
    if _LOCAL_TIME(text):
        raise Stays(f"formats a time by the locale, with '{text}'", "strftime", "use numbers only, such as %Y-%m-%d")


def check_dynamic(what: str, owner: Slot, name: Slot) -> None:
    """Refuse attributes by computed names where they may be those of something outside."""
    if owner is not None and owner.kind in ("module", "known", "maybe", "class"):
        label = getattr(owner.it, "__name__", "a class")
        raise Stays(f"calls '{what}' on '{label}' with a name that is not constant", what, "use a dict of functions")
    if what in ("setattr", "delattr"):
        return
    if name is not None and name.kind == "text":
        begin: str = name.it
        if begin.startswith("_") or any(each.startswith(begin) for each in _PLAIN_LEADING_OUT):
            raise Stays(f"calls '{what}' with a name that may begin with '{begin}'", what)


_SETTABLE = frozenset(("__cause__", "__context__", "__suppress_context__", "__notes__", "__match_args__"))


def check_written(name: str, made: bool) -> None:
    """Refuse to write to attributes by which code is changed; a function that was ``made`` here may be given a name."""
    reserved = name.startswith("__") and name.endswith("__")
    if leads_out(name) or (reserved and name not in _SETTABLE and not made):
        raise Stays(f"writes to '{name}', which may change what exists outside the call", name)


_LOCAL_NUMBER = re.compile(r"\{[^{}]*:[^{}]*n\}").search


def check_spec(spec: str) -> None:
    """Refuse a format specification that depends on the locale."""
    check_time_format(spec)
    if spec.endswith("n"):
        raise Stays(f"formats a number by the locale, with '{spec}'", spec, "use ',' or '_'")


def check_format(text: str) -> None:
    """Refuse a text to be formatted that has such a specification."""
    check_time_format(text)
    if _LOCAL_NUMBER(text):
        raise Stays(f"formats a number by the locale, with '{text}'", text, "use ',' or '_'")
