"""Callables that lean on something outside themselves, or may; most would give another result elsewhere."""

from __future__ import annotations

import abc
import array
import asyncio
import builtins
import collections
import contextlib
import contextvars
import copy
import csv
import ctypes
import datetime
import decimal
import enum
import functools
import gc
import inspect
import io
import itertools
import json
import locale
import logging
import math
import operator
import os
import pathlib
import random
import re
import shutil
import socket
import string
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import types
import uuid
import warnings
import weakref
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from string import *  # noqa: F403

import programs_beside
from programs_beside import count

cache = {}
results = []
seen = set()
counter = 0
settings = types.SimpleNamespace(rate=2)
LOCK = threading.Lock()
log = logging.getLogger(__name__)
LOG_FILE = io.StringIO()
TICKETS = itertools.count()
LINES = iter(["a", "b"])
ORDERS = ("a", ["b"])
NESTED = (1, (2, (3, {4})))
BUFFER = bytearray(8)
NUMBERS = array.array("d", [1.0])
local = threading.local()
variable = contextvars.ContextVar("variable", default=0)
QUEUE = collections.deque()
TREE = defaultdict(list)
SQUARES = OrderedDict()
VIEW = types.MappingProxyType(cache)
GENERATOR = (n for n in range(3))


# Globals


def writes_a_global(n):
    global counter
    counter = n
    return n


def counts_calls(n):
    global counter
    counter += 1
    return n + counter


def deletes_a_global():
    global counter
    del counter


def writes_a_global_deep_inside(n):
    def inner():
        def deeper():
            global counter
            counter = n

        deeper()

    inner()


def writes_a_global_in_a_class_body():
    class Inner:
        global counter
        counter = 5

    return Inner.__name__


def writes_a_global_in_a_comprehension(values):
    def note(value):
        global counter
        counter = value
        return value

    return [note(value) for value in values]


def writes_a_global_by_walrus(values):
    global counter
    return [counter := value for value in values]


def loops_over_a_global():
    global counter
    for counter in range(3):  # noqa: B007
        pass


def imports_into_a_global():
    global math
    import math


def memoises(n):
    if n not in cache:
        cache[n] = n * n
    return cache[n]


def appends(value):
    results.append(value)


def reads_a_list():
    return sum(results)


def adds_to_a_set(value):
    seen.add(value)


def reads_a_namespace(n):
    return n * settings.rate


def reads_a_bytearray():
    return BUFFER[0]


def reads_an_array():
    return NUMBERS[0]


def reads_a_deque():
    return QUEUE.popleft()


def reads_a_defaultdict(key):
    return TREE[key]


def reads_an_ordered_dict():
    return len(SQUARES)


def reads_a_view():
    return VIEW["a"]


def reads_a_tuple_with_a_list():
    return ORDERS[1][0]


def reads_a_set_deep_in_a_tuple():
    return len(NESTED)


def takes_a_ticket():
    return next(TICKETS)


def reads_an_iterator():
    return next(LINES)


def reads_a_generator():
    return next(GENERATOR)


def reads_a_missing_global():
    return not_defined_anywhere  # noqa: F821


def calls_what_writes_a_global(n):
    return writes_a_global(n) + 1


def calls_it_through_a_chain(n):
    return calls_what_writes_a_global(n)


def calls_it_in_a_lambda(values):
    return sorted(values, key=lambda value: memoises(value))


def aliases_a_list():
    mine = results
    mine.append(1)
    return len(mine)


def aliases_by_unpacking():
    a, b = results, cache
    return len(a) + len(b)


def aliases_by_walrus():
    return (mine := results) and mine.pop()


# Closures and defaults


def make_counter():
    count = 0

    def counting():
        nonlocal count
        count += 1
        return count

    return counting


counting = make_counter()


def make_deleter():
    value = 1

    def deleting():
        nonlocal value
        del value

    return deleting


deleting = make_deleter()


def make_appender():
    items = []

    def appending(value):
        items.append(value)
        return len(items)

    return appending


appending = make_appender()


def make_deep():
    state = {}

    def middle():
        def inner(key):
            return state.get(key)

        return inner

    return middle


deep = make_deep()
deeper = deep()


def make_nested_writer():
    total = 0

    def outer(values):
        def add(value):
            nonlocal total
            total += value

        for each in values:
            add(each)

    return outer


nested_writer = make_nested_writer()


def make_unfilled():
    def reading():
        return later

    result = reading
    if result is None:
        later = 1
    return result


unfilled = make_unfilled()


def default_list(value, seen=[]):  # noqa: B006
    seen.append(value)
    return seen


def default_cache(n, *, memo={}):  # noqa: B006
    return memo.setdefault(n, n * n)


def default_tuple_with_a_list(n, options=(1, [2])):
    return options


def default_instance(n, lock=LOCK):
    return n


def default_module(n, module=math):
    return module.sqrt(n)


# Classes


class Registry:
    entries = []

    def add(self, entry):
        self.entries.append(entry)


class Counted:
    made = 0

    def __init__(self):
        Counted.made += 1


class CountedByClass:
    made = 0

    def __init__(self):
        self.__class__.made += 1


class CountedByType:
    made = 0

    def __init__(self):
        type(self).made += 1


class CountedByCls:
    made = 0

    @classmethod
    def make(cls):
        cls.made += 1
        return cls()


class CountedByNew:
    made = 0

    def __new__(cls):
        cls.made += 1
        return super().__new__(cls)


class CountedBySetattr:
    made = 0

    def __init__(self):
        setattr(type(self), "made", self.made + 1)


class CountedByMro:
    made = 0

    def method(self):
        __class__.made += 1


class Sideways:
    """A property with a side effect."""

    @property
    def value(self):
        results.append(1)
        return 1


class Setting:
    @property
    def value(self):
        return 1

    @value.setter
    def value(self, new):
        cache["value"] = new


class Base:
    registry = {}

    def __init_subclass__(cls, **options):
        Base.registry[cls.__name__] = cls


class Derived(Base):
    pass


class Finalised:
    def __del__(self):
        results.append("gone")


class Meta(type):
    def __call__(cls, *args):
        results.append(cls)
        return super().__call__(*args)


class WithMeta(metaclass=Meta):
    pass


class Descriptor:
    def __init__(self):
        self.values = {}

    def __get__(self, instance, owner):
        return self.values.get(id(instance), 0)

    def __set__(self, instance, value):
        self.values[id(instance)] = value


class Described:
    value = Descriptor()


class Subscripted:
    def __class_getitem__(cls, item):
        cache[item] = cls
        return cls


class Cached:
    @functools.lru_cache(maxsize=None)
    def slow(self, n):
        return n * n


class Locked:
    lock = threading.Lock()

    def work(self):
        with self.lock:
            return 1


class Abstract(abc.ABC):
    pass


class Unrelated:
    pass


Abstract.register(Unrelated)


class Callable:
    def __init__(self):
        self.calls = 0

    def __call__(self, n):
        self.calls += 1
        return n

    def method(self, n):
        return n + self.calls


instance = Callable()


class Patched:
    def method(self):
        return 1


def patch(self):
    cache["patched"] = True
    return 2


Patched.method = patch


class Stateful(enum.Enum):
    A = 1
    B = 2

    def hit(self):
        cache[self.name] = cache.get(self.name, 0) + 1


class ListValued(enum.Enum):
    A = [1]


@dataclass
class Settings:
    rate: int = 3
    tags: list = field(default_factory=list)


CURRENT = Settings()


@dataclass(frozen=True)
class FrozenWithList:
    items: list


FROZEN = FrozenWithList([1])


def uses_a_registry():
    Registry().add(1)


def makes_a_counted():
    return Counted()


def aliases_a_class():
    cls = Counted2
    cls.made = cls.made + 1


class Counted2:
    made = 0


def aliases_a_class_in_an_import():
    from programs_leaning import Counted2 as mine

    mine.made = 5


def writes_by_setattr():
    setattr(Counted2, "made", 3)


def writes_by_delattr():
    delattr(Counted2, "made")


def deletes_an_attribute():
    del Counted2.made


def writes_in_a_loop():
    for Counted2.made in range(3):
        pass


def writes_by_unpacking():
    Counted2.made, rest = 1, 2
    return rest


def writes_by_with(manager):
    with manager as Counted2.made:
        pass


def writes_on_a_function(n):
    writes_on_a_function.calls = n


def reads_on_a_function(n):
    return carrying.calls + n


def carrying():
    return 1


carrying.calls = 0


def writes_on_a_member():
    Color.RED.hits = 1


class Color(enum.Enum):
    RED = 1


def writes_in_a_conditional(flag):
    (Counted2 if flag else Counted2).made = 1


def makes_a_derived():
    return Derived()


def uses_a_property():
    return Sideways().value


def gets_subclasses():
    return len(Base.__subclasses__())


def reads_class_dict():
    return Counted2.__dict__["made"]


def reads_own_dict(value):
    return value.__dict__


def replaces_bases():
    Counted2.__bases__ = (object,)


def replaces_code():
    carrying.__code__ = (lambda: 2).__code__


def reads_globals_of_a_function():
    return carrying.__globals__["cache"]


def reads_globals_by_getattr(function):
    return getattr(function, "__globals__")["cache"]


def reads_globals_by_format(function):
    return "{0.__globals__[cache]}".format(function)


def reads_globals_by_attrgetter(function):
    return operator.attrgetter("__globals__")(function)


def reads_globals_by_a_computed_name(function):
    return getattr(function, "__glo" + "bals__")


GETTER = operator.attrgetter("__globals__")


def uses_a_getter(function):
    return GETTER(function)


def reads_a_frame():
    return sys._getframe().f_back


def reads_a_frame_of_a_generator(generator):
    return generator.gi_frame


def reads_a_traceback():
    try:
        raise ValueError
    except ValueError as error:
        return error.__traceback__.tb_frame.f_globals


def reads_self_of_a_method(method):
    return method.__self__


def reads_builtins(function):
    return function.__builtins__


def reads_closure():
    return counting.__closure__[0].cell_contents


# Decorators


def counts(function):
    calls = {"count": 0}

    @functools.wraps(function)
    def wrapper(*args):
        calls["count"] += 1
        return function(*args)

    return wrapper


@counts
def decorated_counter(n):
    return n


def marks(function):
    def wrapper(*args):
        wrapper.calls += 1
        return function(*args)

    wrapper.calls = 0
    return wrapper


@marks
def decorated_mark(n):
    return n


@functools.lru_cache(maxsize=None)
def cached_fib(n):
    return n if n < 2 else cached_fib(n - 1) + cached_fib(n - 2)


@functools.cache
def cached(n):
    return n


def calls_cached(n):
    return cached(n)


@functools.singledispatch
def dispatched(value):
    return str(value)


def calls_dispatched(value):
    return dispatched(value)


@contextlib.contextmanager
def noting():
    results.append("enter")
    yield
    results.append("leave")


def uses_a_context_manager():
    with noting():
        return 1


# The world


def prints(n):
    print(n)


def reads_input():
    return input()


def opens(path):
    with open(path) as file:
        return file.read()


def evaluates(text):
    return eval(text)


def executes(text):
    exec(text)


def compiles(text):
    return compile(text, "", "eval")


def looks_into_globals():
    return globals()["counter"]


def looks_into_locals():
    return locals()


def looks_into_vars(value):
    return vars(value)


def imports_by_name(name):
    return __import__(name)


def imports_a_user_module():
    import programs_beside

    return programs_beside.triple(2)


def imports_importlib(name):
    import importlib

    return importlib.import_module(name)


def takes_an_id(value):
    return id(value)


def hashes(text):
    return hash(text)


def keeps_getattr():
    look = getattr
    return look


def maps_getattr(values, names):
    return list(map(getattr, values, names))


def locks(n):
    with LOCK:
        return n


def logs(n):
    log.info("n=%s", n)


def logs_by_module(n):
    logging.warning("n=%s", n)


def warns():
    warnings.warn("old")


def writes_to_a_file(text):
    LOG_FILE.write(text)


def reads_the_environment():
    return os.environ["HOME"]


def reads_the_directory():
    return os.getcwd()


def lists_files():
    return os.listdir(".")


def finds_a_path(path):
    return os.path.abspath(path)


def globs(path):
    return list(pathlib.Path(path).glob("*"))


def makes_temporary():
    return tempfile.mkdtemp()


def copies_files(a, b):
    shutil.copy(a, b)


def runs_a_program():
    return subprocess.run(["true"], check=False)


def connects():
    return socket.socket()


def starts_a_thread():
    threading.Thread(target=prints).start()


def names_a_thread():
    return threading.current_thread().name


def reads_thread_local():
    return local.value


def reads_a_context_variable():
    return variable.get()


def sleeps():
    time.sleep(0.01)


def times():
    return time.perf_counter()


def takes_now():
    return datetime.datetime.now()


def takes_today():
    return datetime.date.today()


def takes_now_of_an_instance(moment):
    return moment.now()


def takes_a_timestamp(moment):
    return moment.timestamp()


def formats_by_locale(moment):
    return moment.strftime("%A")


def formats_by_locale_in_an_f_string(moment):
    return f"{moment:%d %B}"


def formats_a_number_by_locale(number):
    return f"{number:n}"


def formats_by_an_unknown_format(moment, form):
    return moment.strftime(form)


def shuffles(values):
    random.shuffle(values)


def draws():
    return random.random() + random.randint(1, 6)


def seeds():
    random.seed(1)


def makes_a_random_without_a_seed():
    return random.Random().random()


def makes_a_random_from_none():
    return random.Random(None).random()


def makes_a_uuid():
    return uuid.uuid4()


def sets_the_locale():
    locale.setlocale(locale.LC_ALL, "")


def collects():
    gc.collect()


def inspects():
    return inspect.currentframe()


def formats_a_traceback():
    return traceback.format_exc()


def calls_c():
    return ctypes.c_int(3)


def raises_the_recursion_limit():
    sys.setrecursionlimit(10_000)


def reads_the_arguments():
    return sys.argv


def writes_to_stdout(text):
    sys.stdout.write(text)


def sets_the_decimal_context():
    decimal.getcontext().prec = 5


def rounds_in_a_local_context():
    with decimal.localcontext() as context:
        context.prec = 5
        return decimal.Decimal(1) / 3


def registers_a_dialect():
    csv.register_dialect("mine", delimiter=";")


def purges():
    re.purge()


def redirects():
    with contextlib.redirect_stdout(io.StringIO()) as out:
        print("x")
    return out.getvalue()


def refers_weakly(value):
    return weakref.ref(value)


WEAK = weakref.ref(instance)


def reads_a_weak_reference():
    return WEAK()


def loads_json_of_a_file(path):
    with io.open(path) as file:
        return json.load(file)


async def coroutine(n):
    return n


def makes_a_coroutine(n):
    return coroutine(n)


def runs_a_loop():
    return asyncio.run(coroutine(1))


async def asynchronous_generator():
    yield 1


def generator_function(n):
    yield n


# Modules


def uses_a_module_as_a_value():
    return [math, json]


def passes_a_module():
    return str(math)


def dynamic_attribute_of_a_module(name):
    return getattr(math, name)


def dynamic_attribute_of_a_class(name):
    return getattr(Color, name)


def picks_a_module(flag):
    module = math if flag else string
    return module.pi


def writes_to_a_module():
    math.pi = 3


def writes_to_a_user_module():
    programs_beside.RATE = 4


def reads_a_table_of_a_user_module():
    return programs_beside.TABLE["a"]


def reads_a_computed_attribute_of_a_module():
    return programs_beside.computed


def counts_in_a_user_module(n):
    return programs_beside.count(n)


def counts_by_an_imported_name(n):
    return count(n)


def replaces_a_builtin():
    builtins.len = lambda _: 0


def copies_a_global():
    return copy.deepcopy(cache)


def reads_an_instance():
    return CURRENT.rate


def reads_a_frozen_instance_with_a_list():
    return FROZEN.items


def uses_starred_names():
    return capwords("a b"), Formatter  # noqa: F405


# No source, no real module


def executed(source, name, **namespace):
    namespace.setdefault("__name__", "__main__")
    exec(source, namespace)
    return namespace[name]


writes_without_source = executed("def f(n):\n    global g\n    g = n\n", "f")
own_builtins = executed("def f(x):\n    return len(x)\n", "f", __builtins__={"len": len})
shadowed_builtin = executed("def f(x):\n    return len(x)\n", "f", len=instance)

third_party = executed("def f():\n    return pytest.raises\n", "f", pytest=__import__("pytest"))


# Sideways


DAY = datetime.date(2024, 1, 1)
VIEW_OF_BUFFER = memoryview(BUFFER)
READER = functools.partial(operator.getitem, results)
PAIRS = zip(results, results)


class CountCalls:
    """A decorator that is an object."""

    def __init__(self, function):
        self.function = function
        self.calls = 0

    def __call__(self, *args):
        self.calls += 1
        return self.function(*args)


@CountCalls
def decorated_by_an_object(n):
    return n


class Record(collections.namedtuple("Record", "items", defaults=[()])):
    pass


RECORD = Record([1])
EMPTY_RECORD = Record()


class Box(list, enum.Enum):
    A = [1]


class Pet(enum.Enum):
    CAT = 1


class Keeper:
    PET = Pet.CAT


class ReadsByGetattr:
    def __getattr__(self, name):
        cache[name] = True
        return name


class Adds:
    def __add__(self, other):
        results.append(other)
        return self


class Iterates:
    served = 0

    def __iter__(self):
        return self

    def __next__(self):
        Iterates.served += 1
        raise StopIteration


class Manages:
    def __enter__(self):
        results.append(1)

    def __exit__(self, *details):
        pass


class NamesItself:
    def __set_name__(self, owner, name):
        cache[name] = owner


class Odd:
    def __class_getitem__(cls, item):
        cls.last = item
        return cls


class Unfrozen:
    pass


@dataclass(frozen=True)
class Constant:
    rate: int


CONSTANT = Constant(3)


class WritesByDefault:
    made = 0


def writes_to_a_default(cls=WritesByDefault):
    cls.made = 1


def writes_to_a_default_function(*, function=counts):
    function.calls = 1


def changes_a_frozen_instance():
    object.__setattr__(CONSTANT, "rate", 4)


def changes_a_frozen_instance_through_a_list():
    for each in [CONSTANT]:
        object.__setattr__(each, "rate", 4)


def registers_a_class(cls):
    for each in [pure_abstract]:
        each.register(cls)


class pure_abstract(abc.ABC):
    pass


def registers_by_name(cls):
    pure_abstract.register(cls)


def formats_by_format(number):
    return format(number, "n")


def formats_by_a_template(number):
    return "total: {:n}".format(number)


def formats_a_time_by_a_template(moment):
    return "on {0:%A}".format(moment)


def formats_a_constant_day():
    return DAY.strftime("%B")


def clears_members():
    Pet._member_map_.clear()


def clears_members_of_an_instance(pet):
    pet._value2member_map_.clear()


def changes_field_defaults(record):
    record._field_defaults["x"] = 1


def changes_dataclass_fields(value):
    value.__dataclass_fields__["rate"].default = 3


def writes_on_a_member_of_a_class():
    Keeper.PET.hits = 1


def writes_by_augmented_attribute():
    WritesByDefault.made |= 1


def writes_by_starred_target():
    a, *WritesByDefault.made = 1, 2, 3
    return a


def writes_by_annotation():
    WritesByDefault.made: int = 3


def maps_hash(words):
    return list(map(hash, words))


def sorts_by_hash(words):
    return sorted(words, key=hash)


def calls_hash_by_name(word):
    return word.__hash__()


def opens_by_builtins():
    return __builtins__["open"] if isinstance(__builtins__, dict) else __builtins__.open


def reads_the_base(value):
    return value.__class__.__base__.__subclasses__()


def reduces(value):
    return value.__reduce_ex__(2)[0]


def unpacks_into_getattr(pair):
    return getattr(*pair)


def looks_up_by_prefix(value, name):
    return getattr(value, "__" + name)


def looks_up_by_f_string(value, name):
    return getattr(value, f"f_{name}")


def sets_by_dynamic_name(name):
    setattr(WritesByDefault, name, 1)


def draws_of_a_distribution():
    import statistics

    return statistics.NormalDist(0, 1).samples(3)


def reads_a_view_of_memory():
    return VIEW_OF_BUFFER[0]


def calls_a_partial_of_a_list(n):
    return READER(n)


def reads_a_zip():
    return next(PAIRS)


def reads_a_record():
    return RECORD.items


def uses_a_list_member():
    return Box.A.append(2)


def calls_a_decorated(n):
    return decorated_by_an_object(n)


def asks_for_a_dynamic_attribute():
    return ReadsByGetattr().anything


def adds():
    return Adds() + 1


def iterates():
    return list(Iterates())


def manages():
    with Manages():
        return 1


def makes_a_class_inside():
    class Inner(Base):
        pass

    return Inner.__name__


def makes_a_class_with_a_namer():
    class Inner:
        field = NamesItself()

    return Inner.__name__


def subscripts():
    return Odd[3]


def changes_an_annotation():
    prints.__annotations__["n"] = int


def changes_defaults():
    prints.__defaults__ = (1,)


def decorates_a_class_outside():
    return functools.total_ordering(Unfrozen)


def wraps_a_function_outside():
    functools.update_wrapper(prints, logs)


def yields_in_a_lambda():
    return lambda: (yield)


def nested_default(values):
    def inner(value, seen=results):
        seen.append(value)

    for value in values:
        inner(value)


def picks_by_a_dict(name):
    return {"a": memoises, "b": abs}[name]


def catches_a_class():
    try:
        raise Sideways2
    except Sideways2 as error:
        return error.code


class Sideways2(Exception):
    seen = []

    @property
    def code(self):
        self.seen.append(1)
        return len(self.seen)


def try_import():
    try:
        import nowhere_to_be_found as fast
    except ImportError:
        fast = None
    return fast


class GlobalsOfItsOwn(dict):
    def __missing__(self, name):
        results.append(name)
        return 1


own_globals = types.FunctionType((lambda: undefined_name).__code__, GlobalsOfItsOwn(__name__="own"))  # noqa: F821
generator_lambda = lambda: (yield)  # noqa: E731
partial_of_a_partial_of_a_lambda = functools.partial(
    functools.partial(lambda seen, value: seen.append(value), results), 1
)


class Touched(collections.namedtuple("Touched", "a")):
    def touch(self):
        self.note = 1


TOUCHED = Touched(1)


def touches():
    TOUCHED.touch()


class Pretender:
    """Says that it is a tuple."""

    def __init__(self):
        self.items = [1]

    @property
    def __class__(self):
        return tuple

    def __iter__(self):
        return iter(self.items)


PRETENDER = Pretender()


def reads_a_pretender():
    return list(PRETENDER)


def writes_on_a_member_in_a_list(pets):
    for pet in [Pet.CAT, *pets]:
        pet.hits = 1


def writes_on_a_member_by_its_class():
    for pet in Pet:
        pet.hits = 1


def writes_on_a_partial_in_a_list():
    for each in [READY]:
        each.note = 1


READY = functools.partial(operator.add, 1)


def reads_names_of_a_constant_tuple(function):
    return [getattr(function, name) for name in ("__name__", ("__globals__"))]


def reads_names_of_a_nested_constant(function):
    return [getattr(function, name) for _, name in ((1, "__name__"), (2, "__globals__"))]


NAMES = ("a", ("__closure__",))


def reads_names_of_a_global_tuple(function):
    return getattr(function, NAMES[1][0])


class Marking:
    def mark(self):
        self.marked = True


class Marked(Marking, enum.Enum):
    A = 1

    def again(self):
        super().__init__(1)


def calls_a_method_of_a_class_above_a_member():
    for each in [Marked.A]:
        each.mark()


class Planet(enum.Enum):
    EARTH = 5.9
    MARS = 0.6

    def __init__(self, mass):
        self.mass = mass


def makes_a_member_anew():
    for each in [Planet.MARS]:
        each.__init__(7.0)


def makes_a_member_anew_by_its_class():
    Planet.__init__(Planet.MARS, 7.0)
