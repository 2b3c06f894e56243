"""Programs that try to tell whether they, or what they gave, are copies: each has found a way once, or is beside one that did.

Each is a text: lines of a module with a function `program`, then `<<<` and what is asked afterwards, of its result or
failure `r`, its argument `given` and the names of the module; `>>>` stands before what is changed between two calls.
"""

from __future__ import annotations

from dataclasses import dataclass

WORLD = """
import collections, copy, dataclasses, enum, functools, json, math, operator, typing
from decimal import Decimal
from fractions import Fraction

LIMIT = 3

class Failure(Exception):
    def limit(self): return LIMIT

class Plain:
    n = 0
    def __init__(self, v=1): self.v = v
    def limit(self): return LIMIT

@dataclasses.dataclass(frozen=True)
class Frozen:
    x: object = 0

@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    x: object = 0

class Keyed:
    v = 0
    def __init__(self): self.v = 5
    def __hash__(self): return self.v
    def __eq__(self, other): return self.v == other.v

class Member(enum.Enum):
    A = 1

Pair = collections.namedtuple("Pair", "a b")
a_pair, a_frozen, a_sentinel, a_partial = Pair(1, 2), Frozen(1), object(), functools.partial(operator.add, 1)
a_nan, a_decimal_nan = float("nan"), Decimal("nan")

def helper(): return 1
"""


@dataclass(frozen=True)
class Telling:
    source: str
    asked: str
    change: str
    given: str

    def __str__(self):
        return " ".join(self.source.split())[-60:]


def _telling(text: str, given: str = "1") -> Telling:
    text, _, change = text.strip().partition(">>>")
    source, _, asked = text.partition("<<<")
    return Telling(source, asked.strip() or "r", change.strip(), given)


# What is raised or returned is itself, and not a copy

_OUTSIDE = "a_partial a_pair helper Plain a_frozen Member.A a_sentinel len operator.add ValueError Failure".split()
_ITSELF = [
    text.replace("IT", name)
    for name in _OUTSIDE
    for text in (
        "def program(x): raise Failure(IT) <<< r.args[0] is IT",
        "def program(x):\n e = Failure(); e.w = [IT]\n raise e <<< r.w[0] is IT",
        "def program(x): return [IT] <<< r[0] is IT",
        "def program(x): return Plain(IT) <<< r.v is IT",
    )
]

_TEXTS = """
def program(x, held=a_frozen): raise Failure(held) <<< r.args[0] is a_frozen
===
def make(held):
    def program(x): raise Failure(held)
    return program
program = make(a_pair)
<<< r.args[0] is a_pair
===
def held(a, x): raise Failure(a)
program = functools.partial(held, a_pair)
<<< r.args[0] is a_pair
===
def program(x): a_pair.missing <<< r.obj is a_pair, r.name
===
outer = Frozen(Frozen(1))
def program(x): raise Failure(outer.x)
<<< r.args[0] is outer.x
===
outer = Slotted(Slotted(1))
def program(x): return outer.x
<<< r is outer.x
===
outer = slice(Frozen(1))
def program(x): return outer.stop
<<< r is outer.stop
===
class Outer:
    class Inner:
        held = Frozen(1)
def program(x): return Outer.Inner().held
<<< r is Outer.Inner.held
===
def program(x): return copy.copy(a_frozen), copy.deepcopy(a_pair) <<< r[0] is a_frozen, r[1] is a_pair
"""

# The classes of the program stay what they are

_CLASSES = """
before = Failure.limit
def program(x): raise Failure(x)
<<< Failure.limit is before, type(r) is Failure, r.limit()
>>> LIMIT += 1
===
before = Failure.limit, Plain.limit
def program(x): raise Failure(Plain())
<<< (Failure.limit, Plain.limit) == before, type(r.args[0]) is Plain, r.args[0].limit()
>>> LIMIT += 1
===
class Outer:
    class Inner: pass
def program(x): return Outer.Inner.__qualname__, type(Outer.Inner()).__qualname__
===
def make():
    @dataclasses.dataclass
    class Record:
        x: int
    return Record
Record = make()
def program(x): return repr(Record(x))
===
class Doubled(enum.Enum):
    A = 1
    B = 1
def program(x): return Doubled.B.name, list(Doubled.__members__)
===
class Mixed(enum.Flag):
    A = 1
    B = 2
    AB = 3
def program(x): return (Mixed.A | Mixed.B).name
===
@dataclasses.dataclass
class Record:
    x: list = dataclasses.field(default_factory=list)
def program(x): return [field.default is dataclasses.MISSING for field in dataclasses.fields(Record)]
"""

# What is changed between two calls is seen

_CHANGES = """
def program(x): return Plain.__name__, type(Plain()).__name__ >>> Plain.__name__ = "Other"
===
def program(x): return type(Plain()).__qualname__ >>> Plain.__qualname__ = "Other"
===
def program(x): return helper.__name__, helper.__doc__ >>> helper.__name__ = helper.__doc__ = "other"
===
def program(x): return program.__name__ >>> program.__name__ = "other"
===
def program(x):
    try: helper(1)
    except TypeError as error: return str(error)
>>> helper.__qualname__ = "other"
===
class One:
    def m(self): return 1
class Two:
    def m(self): return 2
class Child(One): pass
def program(x): return Child().m()
>>> Child.__bases__ = (Two,)
===
class Child(Plain):
    def limit(self): return "child"
def program(x): return Child().limit()
>>> if "limit" in vars(Child): del Child.limit
===
def program(x): return a_frozen.x >>> object.__setattr__(a_frozen, "x", a_frozen.x + 1)
===
a_slotted = Slotted(1)
def program(x): return a_slotted.x
>>> object.__setattr__(a_slotted, "x", a_slotted.x + 1)
===
def program(x): return Member.A.value >>> Member.A._value_ += 1
"""

# Instances are rebuilt by what they hold

_INSTANCES = """
class It(int):
    def __new__(cls, v): return super().__new__(cls, v + 1)
def program(x): return It(x)
<<< type(r) is It, int(r)
===
class It(str):
    def __new__(cls, v): return super().__new__(cls, v + "!")
def program(x): return It("x")
<<< type(r) is It, r
===
class It(tuple):
    def __new__(cls, v): return super().__new__(cls, [*v, 1])
def program(x): return It([x])
<<< type(r) is It, r
===
class It(list):
    def append(self, v): super().append(v * 2)
    def extend(self, v): super().extend([*v, 9])
def program(x): return It([x, 2])
<<< type(r) is It, r
===
class It(dict):
    def __setitem__(self, k, v): super().__setitem__(k, v * 2)
def program(x): return It(a=1)
<<< type(r) is It, r
===
class It(dict):
    def __setitem__(self, k, v): super().__setitem__(k, v * 2)
def program(x): raise Failure(It(a=1))
<<< type(r.args[0]) is It, r.args
===
class It(list): pass
def program(x):
    it = It(); it.append(it)
    return it
<<< type(r) is It, r[0] is r
===
class It:
    def __init__(self): self.data = {"a": 1}
    def __getattr__(self, name): return self.data[name]
def program(x): return It()
<<< r.a
===
class It:
    def __new__(cls):
        self = super().__new__(cls); self.extra = 1
        return self
def program(x):
    it = It(); del it.extra
    return it
<<< vars(r)
===
class It:
    __slots__ = ("a",)
    def __setattr__(self, name, v): super().__setattr__(name, v * 2)
def program(x):
    it = It(); it.a = 1
    return it
<<< r.a
===
class Base:
    __slots__ = ("a",)
class It(Base):
    __slots__ = ("a", "__b", "__dict__")
    def fill(self): self.a, self.__b, self.c = 1, [2], 3
    def seen(self): return self.a, self.__b, vars(self), hasattr(super(), "a")
def program(x):
    it = It(); it.fill()
    return it
<<< r.seen()
===
class It(int):
    def __getnewargs__(self): raise KeyError("mine")
def program(x): return It(x)
===
class It(int):
    def __getnewargs__(self): return (5,)
def program(x): return It(x)
===
class It:
    __dict__ = property(lambda self: {})
    def __init__(self): self.a = 1
def program(x): return It()
<<< r.a
===
class It(functools.partial): pass
def program(x): return It(int)
<<< type(r) is It, r("1")
===
class It(collections.deque): pass
def program(x): return It([1])
<<< type(r) is It, list(r)
===
class It(collections.OrderedDict): pass
def program(x):
    it = It(a=1, b=2); it.move_to_end("a")
    return it
<<< type(r) is It, list(r), list(reversed(r))
===
def program(x):
    it = Keyed(); it.d = {it: 1}
    return it
<<< r.d[r]
===
def program(x):
    it = Keyed(); it.d = Plain({it: 1})
    return it
<<< r.d.v[r]
===
def program(x):
    it = Keyed(); it.error = Failure({it: 1})
    raise Failure(it)
<<< r.args[0].error.args[0][r.args[0]]
===
def program(x): return {Frozen(1): 1, Frozen((1, Frozen(2))): 2} <<< r[Frozen(1)], r[Frozen((1, Frozen(2)))]
===
def program(x): return Slotted([1]) <<< type(r) is Slotted, r
"""

# Exceptions

_EXCEPTIONS = """
class It(Exception):
    def __new__(cls, *args):
        self = super().__new__(cls, *args); self.count = len(args)
        return self
def program(x):
    error = It(1, [2]); del error.count
    raise error
<<< r.args, vars(r)
===
class It(Exception):
    __slots__ = ("filled", "unfilled")
def program(x):
    error = It(); error.filled = None
    raise error
<<< r.filled, hasattr(r, "unfilled")
===
class It(Exception):
    def __reduce__(self): return It, (5,)
def program(x): raise It([1])
<<< r.args
===
class It(Exception):
    def __setattr__(self, name, value): super().__setattr__(name, value * 2)
def program(x):
    error = It(1); error.a = 1
    raise error
<<< r.args, r.a
===
class It(Exception):
    @property
    def what(self): return "of the class"
def program(x):
    error = It(1); error.__dict__["what"] = 3
    raise error
<<< r.what, vars(r)
===
class It(Exception):
    v = 0
    def __hash__(self): return self.v
    def __eq__(self, other): return self.v == other.v
def program(x):
    error = It(); error.v = 5; error.d = {error: 1}
    raise error
<<< r.d[r]
===
def program(x):
    error = Failure(); error.__notes__ = error.notes = ["a note"]
    raise error
<<< r.notes is r.__notes__
===
def program(x):
    class Local: pass
    raise Failure(Local())
<<< type(r.args[0]).__name__
===
def program(x): raise Failure({q * 8 for q in range(5)}, {24, 16, 8, 0}) <<< list(r.args[0]), list(r.args[1])
===
def program(x): raise OSError(2, "it", "file") <<< type(r), r.errno, r.filename, r.filename2, str(r)
===
def program(x): raise ExceptionGroup("some", [Failure(1), ValueError([2])]) <<< r.exceptions, r.args
"""

# Numbers that are not equal to themselves

_NANS = """
def program(x):
    nan = float("nan")
    return [nan, nan]
<<< r[0] in r[1:], r[:1] == r[1:]
===
def program(x):
    nan = complex("nan")
    return {"a": [nan], "b": nan}
<<< r["b"] in r["a"]
===
def program(x):
    nan = float("nan")
    return [Fraction(1, 2), nan, nan]
<<< r[1] in r[2:]
===
def program(x):
    nan = float("nan")
    raise Failure([nan, nan])
<<< r.args[0][0] in r.args[0][1:]
===
def program(x): return json.loads("[NaN, NaN]") <<< r[0] in r[1:]
===
def program(x): return [a_nan] <<< a_nan in r
===
def program(x): return [math.nan] <<< math.nan in r
===
def program(x): return [1e400 * 0] <<< r[0] in program(1)
===
them = (a_nan,)
def number(): return a_nan
def program(x): return number() in them
===
def program(x): return [a_decimal_nan] <<< a_decimal_nan in r
"""

# Sets

_SETS = """
def program(x):
    found = set(range(8)); found.pop(); found.add(0)
    return found
<<< r.pop()
===
def program(x):
    found = set(range(100))
    found -= {*range(2, 33), *range(34, 100)}
    return found
<<< r.add(65), r.add(2), list(r)
===
def program(x): return {q * 8 for q in range(5)} | {3} <<< list(r)
"""

# Names that lead out, in texts that the bytecode returns in one step

_LEADING_OUT = """
hidden = [1]
def name(): return "__globals__"
def program(x): return len(getattr([helper][0], name())["hidden"])
>>> hidden.append(1)
"""

_GIVEN = [
    _telling("def program(x): return [x] <<< given in r", "Decimal('nan')"),
    _telling("def program(x): return x[1] in x[2:]", "[Fraction(1, 2), a_nan, a_nan]"),
    _telling("def program(x): raise Failure(x) <<< r.args[0] is given", "[1]"),
    _telling("def program(x): x.missing <<< r.obj is given", "[1]"),
    _telling("def program(x): raise Failure(x) <<< r.args[0] is given", "Frozen(1)"),
    _telling("def program(x): raise Failure(x.a) <<< r.args[0] is given.a", "Pair(Frozen(1), 2)"),
    _telling("def program(x): raise Failure(x) <<< r.args[0] is given", "Member.A"),
    _telling("def program(x): return x.value, x is Member.A >>> Member.A._value_ += 1", "Member.A"),
    _telling("def program(x): return set(x).pop()", "(lambda s: (s.pop(), s.add(0), s)[2])(set(range(8)))"),
    _telling("def program(x): return list(x | {7, 15, 23})", "{*range(34)} - {*range(2, 33)}"),
]

TELLING = [
    *map(_telling, _ITSELF),
    *(
        _telling(text)
        for texts in (_TEXTS, _CLASSES, _CHANGES, _INSTANCES, _EXCEPTIONS, _NANS, _SETS, _LEADING_OUT)
        for text in texts.split("===")
    ),
    *_GIVEN,
]
