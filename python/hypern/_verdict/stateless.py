"""The part of the standard library that a call may use anywhere: it keeps nothing, reads no state, and is not patched.

Each group says why. What is not listed is not trusted. A member is taken only if it is the object that the module came
with: a builtin of that name, or code of a file of the standard library.
"""

from __future__ import annotations

import builtins
import importlib
import os
import sys
import sysconfig
from contextvars import copy_context
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

#: Everything public but what is named after the hyphen.
_WHOLE = """
    math cmath operator itertools bisect heapq statistics -NormalDist -kde_random fractions numbers
    collections collections.abc graphlib
    string textwrap difflib -HtmlDiff unicodedata keyword html colorsys ipaddress
    struct binascii base64 zlib
    typing -get_type_hints -get_overloads -clear_overloads -evaluate_forward_ref -overload -final -override
    -no_type_check -no_type_check_decorator -runtime_checkable -dataclass_transform
    abc -get_cache_token -update_abstractmethods
    enum -global_enum -global_enum_repr -global_flag_repr
    """
# math ... numbers: arithmetic on what is passed. Left out: what draws from the generator of ``random``.
# collections: containers. string ... ipaddress: tables that are compiled in, and functions of text. Left out: HtmlDiff,
#     which counts in its class.
# struct ... zlib: bytes in, bytes out; their caches cannot be seen.
# typing, abc, enum: to make classes. The names that are left out read or write registers, or write to
#     what they are given.

#: Only what is named.
_PART = {
    # Functions that make functions; a cache that is made by the call is the call's own. Left out: singledispatch, a
    # register; update_wrapper, which writes to what it is given.
    "functools": "reduce partial partialmethod cmp_to_key wraps lru_cache cache cached_property total_ordering",
    # Copies of data; what __copy__ and __reduce__ of a class do is judged with it.
    "copy": "copy deepcopy replace Error",
    "dataclasses": "dataclass field fields asdict astuple replace is_dataclass make_dataclass FrozenInstanceError "
    "MISSING KW_ONLY InitVar Field",
    # Text in, data out. load and dump work on a file that the call made, as any other file stays.
    "json": "dumps loads load dump JSONEncoder JSONDecoder JSONDecodeError",
    # The cache of compiled patterns cannot be seen. Left out: purge.
    "re": "compile search match fullmatch split findall finditer sub subn escape error PatternError Pattern Match "
    "RegexFlag A ASCII I IGNORECASE M MULTILINE S DOTALL X VERBOSE U UNICODE NOFLAG",
    # Digests of bytes. Left out: file_digest.
    "hashlib": "new md5 sha1 sha224 sha256 sha384 sha512 blake2b blake2s sha3_224 sha3_256 sha3_384 sha3_512 shake_128 "
    "shake_256 pbkdf2_hmac scrypt",
    "hmac": "new digest compare_digest HMAC",
    # Left out: uuid1, uuid4 and getnode, which read the clock, the system's entropy and the network card.
    "uuid": "UUID uuid3 uuid5 NAMESPACE_DNS NAMESPACE_URL NAMESPACE_OID NAMESPACE_X500 SafeUUID",
    # Constructors and arithmetic. now, today, fromtimestamp and the like are refused by name wherever they are read:
    # they read the clock, or the time zone of the process.
    "datetime": "date time datetime timedelta timezone tzinfo UTC MINYEAR MAXYEAR",
    # Arithmetic reads the context of the thread. That is allowed while the caller's is the one that every
    # interpreter begins with, which is asked again at each call; getcontext and the like stay.
    "decimal": "Decimal ROUND_UP ROUND_DOWN ROUND_CEILING ROUND_FLOOR ROUND_HALF_UP ROUND_HALF_DOWN ROUND_HALF_EVEN "
    "ROUND_05UP DecimalException InvalidOperation DivisionByZero Inexact Overflow Underflow Rounded",
    "array": "array",
    # Members that are constants. Left out: what opens connections.
    "http": "HTTPStatus HTTPMethod",
    # Files in memory, made by the call.
    "io": "StringIO BytesIO SEEK_SET SEEK_CUR SEEK_END",
    # Left out: register_dialect and field_size_limit, which write to a register. Dialects by name are read from there;
    # that it is as it began is asked again at each call.
    "csv": "reader writer DictReader DictWriter excel excel_tab unix_dialect Error QUOTE_ALL QUOTE_MINIMAL "
    "QUOTE_NONNUMERIC QUOTE_NONE QUOTE_STRINGS QUOTE_NOTNULL",
    # Left out: redirect_stdout and chdir, which change the process.
    "contextlib": "contextmanager closing suppress nullcontext ExitStack ContextDecorator AbstractContextManager",
    # The parser is a C function; nodes are data.
    "ast": "parse dump unparse walk literal_eval iter_child_nodes iter_fields get_docstring fix_missing_locations "
    "increment_lineno copy_location NodeVisitor NodeTransformer",
    # An instance with a seed is a function of it. The functions of the module share one that the process seeded.
    "random": "Random",
    "urllib.parse": "quote quote_plus unquote unquote_plus urlencode urlparse urlunparse urlsplit urlunsplit urljoin "
    "parse_qs parse_qsl",
    "calendar": "isleap leapdays monthrange weekday",
    "pprint": "pformat",
    "types": "SimpleNamespace MappingProxyType GenericAlias NoneType EllipsisType UnionType GeneratorType",
    # Paths as text. Left out: abspath, which reads the working directory, and what looks at files.
    "posixpath": "join basename dirname split splitext normpath isabs commonprefix commonpath",
    "ntpath": "join basename dirname split splitext normpath isabs commonprefix commonpath",
    # Constants of the build.
    "sys": "maxsize maxunicode byteorder version_info hexversion float_info int_info",
    "builtins": "abs all any ascii bin bool bytearray bytes callable chr classmethod complex dict divmod enumerate "
    "filter float format frozenset int isinstance issubclass iter len list map max memoryview min next object oct ord "
    "pow property range repr reversed round set slice sorted staticmethod str sum tuple type zip super "
    "Ellipsis NotImplemented __build_class__ __debug__ "
    # Watched where they are called: what is read or written must be known.
    "getattr hasattr setattr delattr "
    # Of text it differs between processes: only for __hash__.
    "hash",
}
_LISTED: dict[str, frozenset[str]] = {name: frozenset(words.split()) for name, words in _PART.items()}
_EXCEPT: dict[str, set[str]] = {}
for _word in _WHOLE.split():
    if _word.startswith("-"):
        _EXCEPT[next(reversed(_EXCEPT))].add(_word[1:])
    else:
        _EXCEPT[_word] = set()

#: Where the objects of a module say that they come from, if it is another one.
_HOMES = {
    "_bisect": "bisect",
    "_blake2": "hashlib",
    "_collections": "collections",
    "_collections_abc": "collections.abc",
    "_csv": "csv",
    "_datetime": "datetime",
    "_decimal": "decimal",
    "_functools": "functools",
    "_hashlib": "hashlib",
    "_heapq": "heapq",
    "_io": "io",
    "_md5": "hashlib",
    "_operator": "operator",
    "_pydatetime": "datetime",
    "_pydecimal": "decimal",
    "_random": "random",
    "_sha1": "hashlib",
    "_sha2": "hashlib",
    "_sha256": "hashlib",
    "_sha3": "hashlib",
    "_sha512": "hashlib",
    "_statistics": "statistics",
    "_struct": "struct",
    "_typing": "typing",
    "json.decoder": "json",
    "json.encoder": "json",
    "re._compiler": "re",
}
#: Constants of modules whose members are taken whole, as every interpreter has them.
_CONSTANTS: dict[tuple[str, str], Any] = {
    ("math", "pi"): 3.141592653589793,
    ("math", "e"): 2.718281828459045,
    ("math", "tau"): 6.283185307179586,
    ("cmath", "pi"): 3.141592653589793,
    ("cmath", "e"): 2.718281828459045,
    ("cmath", "tau"): 6.283185307179586,
    ("math", "inf"): float("inf"),
    ("cmath", "inf"): float("inf"),
    ("string", "ascii_lowercase"): "abcdefghijklmnopqrstuvwxyz",
    ("string", "ascii_uppercase"): "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    ("string", "ascii_letters"): "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    ("string", "digits"): "0123456789",
    ("string", "hexdigits"): "0123456789abcdefABCDEF",
    ("string", "octdigits"): "01234567",
    ("string", "punctuation"): "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
    ("string", "whitespace"): " \t\n\r\v\f",
    ("typing", "TYPE_CHECKING"): False,
    ("datetime", "MINYEAR"): 1,
    ("datetime", "MAXYEAR"): 9999,
    ("builtins", "__debug__"): __debug__,
    ("builtins", "NotImplemented"): NotImplemented,
    ("builtins", "Ellipsis"): ...,
    **{("io", name): number for number, name in enumerate(("SEEK_SET", "SEEK_CUR", "SEEK_END"))},
    **{("decimal", name): name for name in _LISTED["decimal"] if name.startswith("ROUND_")},
}
_CSV_QUOTES = "QUOTE_MINIMAL QUOTE_ALL QUOTE_NONNUMERIC QUOTE_NONE QUOTE_STRINGS QUOTE_NOTNULL"
_CONSTANTS.update({("csv", name): number for number, name in enumerate(_CSV_QUOTES.split())})

_STANDARD = tuple({sysconfig.get_path(kind) + os.sep for kind in ("stdlib", "platstdlib")})
_PACKAGES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def is_standard_file(path: str) -> bool:
    """Tell whether a file, as code objects name it, is one of the standard library."""
    return path.startswith("<frozen ") or (path.startswith(_STANDARD) and not is_package_file(path))


def is_package_file(path: str) -> bool:
    """Tell whether a file is one of an installed package."""
    return any(part in path for part in _PACKAGES)


def origin(module: str | None) -> str:
    """Return whose a module is: "standard", "package" or "user"."""
    if not module:
        return "user"
    found = sys.modules.get(module)
    if module.partition(".")[0] in sys.stdlib_module_names and module != "__main__":
        path = getattr(found, "__file__", None)
        if path is None or is_standard_file(path):
            return "standard"
    path = getattr(found, "__file__", None) or ""
    return "package" if is_package_file(path) else "user"


def knows(module: str) -> bool:
    """Tell whether something of a module is listed."""
    return module in _EXCEPT or module in _LISTED


def load(module: str) -> ModuleType | None:
    """Return a listed module; importing it does nothing that can be seen."""
    return importlib.import_module(module) if knows(module) and origin(module) == "standard" else None


def lists(module: str, name: str) -> bool:
    """Tell whether a member of a module is listed."""
    if module == "builtins":
        return name in _LISTED[module] or _is_exception(getattr(builtins, name, None))
    if module in _EXCEPT:
        public = getattr(sys.modules.get(module), "__all__", None)
        return name not in _EXCEPT[module] and (name in public if public else not name.startswith("_"))
    if module == "ast" and isinstance(getattr(sys.modules.get("ast"), name, None), type):
        return name[0].isupper()
    return name in _LISTED.get(module, ())


def _is_exception(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


def is_original(module: str, name: str, value: Any) -> bool:
    """Tell whether a listed member is what the module came with, and not a patch."""
    if (module, name) in _CONSTANTS:
        expected = _CONSTANTS[module, name]
        return value is expected or (type(value) is type(expected) and value == expected)
    if isinstance(value, BuiltinFunctionType):
        owner = value.__self__
        return (
            (owner is None or isinstance(owner, (ModuleType, type)))
            and origin(value.__module__ or getattr(owner, "__module__", None)) == "standard"
            and (_is_called(value.__name__, name) or name.startswith("__"))
        )
    if isinstance(value, FunctionType):
        return is_standard_function(value) and value.__name__ in (name, f"_{name}", f"__{name}")
    if isinstance(value, type):
        return value.__name__ == name.strip("_") or module in ("collections.abc", "types", "re", "decimal", "builtins")
    if module == "sys":
        return True
    kind = type(value)
    return kind.__module__ != "builtins" and origin(kind.__module__) == "standard" and "unittest" not in kind.__module__


def _is_called(name: str, listed: str) -> bool:
    """Tell whether a builtin has the name by which it is listed, as far as it has: openssl_sha256, insort_right."""
    return name == listed or name.endswith("_" + listed) or name == f"{listed}_right"


def is_standard_function(function: FunctionType) -> bool:
    """Tell whether the code of a function is that of the standard library, in the namespace of its module."""
    home = function.__globals__.get("__name__")
    found = sys.modules.get(home) if isinstance(home, str) else None
    return is_standard_file(function.__code__.co_filename) and found is not None and vars(found) is function.__globals__


def patched_part(module: ModuleType) -> str | None:
    """Return the name of something in a Python module of the standard library that somebody put there."""
    for name, value in list(vars(module).items()):
        if isinstance(value, FunctionType):
            if not is_standard_function(value) and value.__code__.co_filename != "<string>":
                return name
        elif type(value).__module__.startswith("unittest."):
            return name
    return None


def home(value: Any) -> tuple[str, str] | None:
    """Return the listed module and the name under which a function or class is found in it; None where it is not."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return None
    module = _HOMES.get(module, module)
    for each in (name, name.removeprefix("openssl_"), name.lstrip("_")):
        if module in sys.modules and lists(module, each) and vars(sys.modules[module]).get(each) is value:
            return module, each
    return None


_WHY_NOT = {
    "random": ("draws from a generator that the whole program shares", "make a random.Random(seed) inside"),
    "secrets": ("draws from the entropy of the system", ""),
    "time": ("reads the clock or waits", "read the time outside and pass it in"),
    "logging": ("writes to a log", "return what is to be logged"),
    "warnings": ("writes to a register of the program", "return what is to be said"),
    "threading": ("works with the threads of the program", ""),
    "decimal": ("reads or writes the decimal context of the thread", "pass a context and use its methods"),
    "uuid": ("reads the clock, the network card or the entropy of the system", "use uuid5, or make it outside"),
    "datetime": ("reads the clock or the time zone", "read the time outside and pass it in"),
    "locale": ("reads or writes the locale of the process", ""),
    "gc": ("works on all objects of the program", ""),
    "asyncio": ("works with the event loop of the thread", ""),
    "contextvars": ("reads or writes the context of the caller", "pass the value as an argument"),
    "csv": ("writes to a register of the program", ""),
    **dict.fromkeys(
        ("os", "posix", "nt", "sys", "subprocess", "signal", "socket", "shutil", "pathlib", "tempfile", "io", "glob"),
        ("reads or changes the process or its files", "do that outside and pass the result in"),
    ),
    **dict.fromkeys(("inspect", "traceback"), ("looks at the code and the frames around it", "")),
    **dict.fromkeys(("ctypes", "_ctypes"), ("works on the memory of the process", "")),
}


def why_not(module: str) -> tuple[str, str]:
    """Return what a module of the standard library does to the outside, and what to do about it."""
    known = _WHY_NOT.get(module) or _WHY_NOT.get(module.partition(".")[0]) or _WHY_NOT.get(_HOMES.get(module, ""))
    return known or ("is not on the list of what is known to keep no state", "")


# State that some listed functions read. Each question is asked again at each call.


def decimal_state() -> Any:
    """Return what the arithmetic of decimals depends on in this thread."""
    import decimal

    # In a copy: to ask for the context makes one where there is none, which tasks would share from then on.
    context, default = copy_context().run(decimal.getcontext), decimal.DefaultContext
    return tuple(
        (each.prec, each.rounding, each.Emin, each.Emax, each.capitals, each.clamp, tuple(each.traps.values()))
        for each in (context, default)
    )


def decimal_state_at_first() -> Any:
    """Return what ``decimal_state`` returns in a new interpreter."""
    import decimal

    traps = (decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow)
    context = decimal.Context()
    first = 28, "ROUND_HALF_EVEN", -999999, 999999, 1, 0, tuple(each in traps for each in context.traps)
    return first, first


def csv_state() -> Any:
    """Return what readers and writers of csv read from the module."""
    import csv

    try:
        dialects = [csv.get_dialect(name) for name in ("excel", "excel-tab", "unix")]
    except csv.Error:
        return None
    looks = tuple((each.delimiter, each.lineterminator, each.quotechar, each.quoting) for each in dialects)
    return csv.field_size_limit(), len(csv.list_dialects()), looks


def csv_state_at_first() -> Any:
    """Return what ``csv_state`` returns in a new interpreter."""
    return 131072, 3, ((",", "\r\n", '"', 0), ("\t", "\r\n", '"', 0), (",", "\n", '"', 1))


def abc_state() -> Any:
    """Return the number that changes when a class is registered with an abstract one."""
    import abc

    return abc.get_cache_token()


# Types, without loading the modules that have them


def is_of(kind: type, *names: str) -> bool:
    """Tell whether a class is one of those, named as module.class; what is not loaded has no instances."""
    for name in names:
        module, _, own = name.rpartition(".")
        if kind.__name__ == own and module in sys.modules and vars(sys.modules[module]).get(own) is kind:
            return True
    return False
