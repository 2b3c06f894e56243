"""Random programs with arguments, as source texts, and pictures of all that they leave behind.

A program is a function `program(x, y=...)` in a module of its own, which has classes, functions and data that it may
use. It ends soon, whatever it is given; that it fails is an outcome like another.
"""

from __future__ import annotations

import enum
import functools
import itertools
import re
import sys
import types
import warnings
from collections import deque
from dataclasses import dataclass

from hypothesis import strategies as st

import test_verdict_random as unargued

FILE = "outside.py"

WORLD = (
    unargued.OUTSIDE
    + """
import datetime, decimal, fractions, itertools, math, typing, uuid
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

class Failure(Exception):
    pass

class Detailed(ValueError):
    def __init__(self, what, where):
        super().__init__(f"{what!r} at {where!r}")
        self.what, self.where = what, where

class Node:
    made = 0
    def __init__(self, value, rest=None):
        self.value, self.rest = value, rest
    def __iter__(self):
        node = self
        while node is not None:
            yield node.value
            node = node.rest
    def depth(self):
        return 1 if self.rest is None else 1 + self.rest.depth()

class Hue(enum.Enum):
    RED, BLUE, ROT = (1, "r"), (2, "b"), (1, "r")
    def __init__(self, number, letter): self.number, self.letter = number, letter
    def other(self): return Hue.BLUE if self is Hue.RED else Hue.RED

class Marking:
    def mark(self): self.marked = True

class Marked(Marking, enum.Enum):
    A = 1

class Perm(enum.Flag):
    R, W, X = 4, 2, 1
    RW = 6

class Place(typing.NamedTuple):
    x: object
    y: object = 0
    def total(self): return [self.x, self.y]

@dataclasses.dataclass
class Item(Plain):
    x: object
    y: list = dataclasses.field(default_factory=list)
    hue: Hue = Hue.RED
    def __post_init__(self): self.count = len(self.y)
    count: int = 0
    def total(self): return [self.x, self.hue.number, len(self.y)]
    def grow(self): self.y.append(1); return self
    def set(self, x): self.x = x

@dataclasses.dataclass(frozen=True, slots=True)
class Still:
    x: object
    y: object = None
    def total(self): return Still(self.x, [self.y])

@dataclasses.dataclass(slots=True, eq=False)
class Slot:
    x: object
    y: object = None
    def set(self, x): self.x = x

@dataclasses.dataclass
class Mutable(Item):
    seen: typing.ClassVar = []
    def total(self): Mutable.seen.append(self.x); return len(Mutable.seen)

a_still, a_place = Still(1, Still(2)), Place(1, (2, Place(3)))

class Tally(dict):
    def add(self, key):
        self[key] = self.get(key, 0) + 1
        return self

def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
def even(n): return n == 0 or odd(n - 1)
def odd(n): return n != 0 and even(n - 1)
def twice(values):
    for value in values:
        yield value
        yield value
def flatten(value): return [leaf for each in value for leaf in flatten(each)] if isinstance(value, list) else [value]
def pushed(value, into=None):
    into = [] if into is None else into
    into.append(value)
    return into
def adder(n): return lambda value: value + n
def failing(value): raise Failure(value)
def first_of(values): return values[0]
def put(values, value): values.append(value)
add_three = adder(3)
pair_up = functools.partial(lambda a, b: (a, b), "left")
"""
)
_WORLD = compile(WORLD, FILE, "exec")

_ATOMS = """
    0 | 1 | -7 | 2**70 | True | None | 1.5 | -0.0 | float('inf') | 2j | '' | 'a' | 'käse' | b'\\x00b' | (1, 2)
    | () | ((1,), 'b') | Decimal('1.10') | Fraction(2, 6) | date(2024, 2, 29) | timedelta(hours=5)
    | datetime.datetime(2024, 1, 2, 3) | uuid.UUID(int=7) | range(3) | frozenset() | frozenset((3,))
""".split("|")
_DATA = """
    {a} | {a} | {a} | [{a}] | [{a}, {b}] | [] | [3, 1, 2] | [1, 2, 3, 4] | {{}} | {{'k': {a}}}
    | {{1: {a}, 'z': {b}}} | {{3}} | {{'a'}} | {{1, 2, 3}} | ({a}, {b}) | [[{a}], [{b}]]
    | (lambda s: [s, s])([{a}]) | (lambda s: {{'k': s, 'l': [s]}})([{a}, {b}])
    | (lambda s: (s, s))({{'k': {a}}}) | bytearray(b'ab') | [1.5, {{'k': [{a}]}}] | ({a}, [{b}])
    | (lambda s: s.append(s) or s)([1])
""".split("|")
#: Arguments with members, named tuples and instances of dataclasses in them.
_GIVEN = """
    Hue.RED | Hue.ROT | [Hue.BLUE, {a}] | {{'k': Hue.RED}} | {{Hue.BLUE: [{a}]}} | Perm.R | Perm.R ^ Perm.W | Perm.RW
    | Perm(0) | Member.B | Marked.A | Place({a}) | Place([{a}], {b}) | [Place(2), Place(1, {a})] | {{'k': Place({a})}} | {{Place(1): 2}}
    | Pair({a}, {b}) | Pair(1, [2]) | Item({a}) | Item({a}, [{b}]) | [Item(1), Item({a}, [])] | {{'k': [Item({a})]}}
    | Item(Item({a})) | (lambda s: [s, s, s.y])(Item({a})) | (lambda s: s.set(s) or s)(Item(1)) | Still({a}) | Still([{a}], 1)
    | (Still(1), {a}) | {{Still(1): {a}}} | Slot({a}) | [Slot({a}, [{b}])] | (lambda s: (s, [s]))(Slot(1)) | Frozen({a})
    | Record({a}, ({b},)) | Mutable({a}) | a_still | a_still.y | [a_place] | a_place.y[1] | a_frozen | Place(Item(1), Hue.RED)
    | [Item(n) for n in range(200)] | (lambda s: delattr(s, 'y') or s)(Slot(1)) | (lambda s: setattr(s, 'z', 1) or s)(Item(1))
    | (lambda s: Item(s, [s]))(Still({a})) | {{(1, Hue.RED): Slot(2)}}
""".split("|")
#: Arguments that are no plain data.
_LIVE = """
    Plain() | Node(1, Node([2])) | Pair(1, [2]) | Member.A | Plain | fib | Tally(a=1) | iter([1, 2]) | Failure([1])
    | a_list
""".split("|")

_PURE_EXPRESSIONS = """
    {c} | {c} | 3 | 'text' | len(x) | str(x) | type(x).__name__ | [{e}, {f}] | ({e}, {f}) | {{'k': {e}}}
    | {{1, 5}} | fib(7) | even(10) | same({e}) | same() | flatten([1, [2, [3]]]) | list(twice([{e}, 2]))
    | pushed({e}) | pushed({e}, [0]) | adder(2)(5) | add_three(1) | Plain().m() | Child().m() | Plain.s({e})
    | Plain().p | Node({e}, Node(2)).depth() | list(Node(1, Node({e}))) | Record({e}).x
    | Record(1, {e}) == Record(1, {f}) | Pair({e}, {f}).b | Pair(1, 2)._replace(a={e})[0] | Member.A.value
    | Member(2).name | Frozen(1).x | dict(Tally().add('a').add('a')) | (lambda q: [q, q])({e})
    | functools.partial(pow, 2)(5) | pair_up({e}) | a_partial(4) | sorted([3, 1, 2], key=lambda q: -q)
    | [q * 2 for q in range(4) if q] | {{q: [q] for q in range(3)}} | sum(q * q for q in range(5)) | max([1, 2])
    | Decimal('0.1') + Decimal('0.2') | Fraction(1, 3) * 3 | date(2024, 1, 31) + timedelta(1) | math.sqrt(2)
    | math.comb(9, 4) | functools.reduce(lambda a, b: a + b, [1, 2, 3]) | list(map(str, [1, 2]))
    | list(zip([1, 2], 'ab')) | dict(a={e}) | abs(-3) | a_number | a_tuple | (0 and {e}) or {f}
    | {e} if {f} else 0 | isinstance(x, list) | x == y
    | isinstance(x, (int, float, complex)) or x is y | repr({e}) | f'{{x}}' | bool({e})
    | [*[1, 2], {e}] | list({{'a': 1, 'b': {e}}}.items()) | set([1, 2, 2]) | frozenset([4]) | 'b,a'.split(',')
    | ','.join(['p', 'q']) | x[0] == 1 | list(reversed([1, {e}])) | any(q == 3 for q in [1, 3])
    | collections.Counter('aab')['a'] | list(collections.deque([1, {e}]))
    | list(itertools.accumulate([1, 2, 3])) | a_frozen.x | a_pair.a | operator.itemgetter(0)([{e}])
    | next(twice([{e}]))
""".split("|")
#: What to do with them.
_GIVEN_EXPRESSIONS = """
    x.x | x.y | x.total() | x.total() | x.other() | x.name | x.value | x is Hue.RED | x == Hue.BLUE | x in Perm.RW
    | [q for q in x] | list(Hue) | Hue(x.value) | x[0].x | x['k'].x | x[0].total() | [q.total() for q in x] | x == x
    | x is y | x[0] is x[1] | type(x).__name__ | type(x)(1) | isinstance(x, Item) | isinstance(x, Plain) | repr(x)
    | dataclasses.asdict(x) | dataclasses.replace(x, x={e}) | x._replace(x={e}) | x.x == 1 | Still(x.x) | Item({e}, hue=x)
    | x == a_still | x is a_place | {{x: 1}} | (x ^ Perm.X) | ~x | a_still.total() | [q for q in Perm] | Perm.RW | Place(x, {e})
    | getattr(x, 'x', {e}) | hasattr(x, 'z') | x.hue is Hue.RED | x.hue.letter | len(x) | sorted(x) | x.m() | x.v | x.missing
""".split("|")
_GIVEN_STATEMENTS = """
out.append(x.x)
out.append(x.total())
out.append([q.x for q in x])
item = Item({e}); item.set(x.x); out.append(item)
match x:
    case Item(x=inside):
        out.append(inside)
    case Still(x=inside) | Place(inside, _):
        out.append([inside])
    case Hue.RED:
        out.append('red')
    case [Item() | Slot(), *_]:
        out.append('items')
""".strip()
_GIVEN_CHANGES = """
x.set({e})
x.grow()
x.x = {e}
x.mark()
x.hits = {e}
x.y.append({e})
x[0].x = {e}
x[0].grow()
object.__setattr__(x, 'x', {e})
del x.x
Marked.A.mark()
type(x).extra = {e}
[type(x)][0].extra = {e}
x.__init__({e}, {f})
out.append(x.y)
out.append([x.total])
out.append(list(x))
for q in x: q.x = 1
""".strip()
_SHARING_EXPRESSIONS = """
    x | y | x | [x] | {{'k': x}} | (x, {e}) | x[0] | x['k'] | same(x) | Node(x) | Pair(x, y) | pushed(1, x) | [x, x]
""".split("|")
_LIVE_EXPRESSIONS = """
    Plain() | Node({e}) | Record({e}) | Pair({e}, 1) | Member.A | Plain | twice([1, {e}]) | (q for q in [{e}])
    | iter([{e}]) | adder(1) | lambda: {e} | Tally() | Failure({e}) | a_list | counting() | collecting({e})
    | pushing(1) | reading() | a_dict | Listed().add({e}) | collections.deque([1])
    | collections.OrderedDict(a={e}) | object() | functools.partial(pow, 2) | a_partial | {{q for q in 'abc'}}
""".split("|")

_PURE_STATEMENTS = """
out.append({e})
out.append({e})
out.append({e})
out.append({e})
w = {e}
w = [{e}, out]
out.extend(q for q in [{e}, {f}])
out += [{e}]
out.insert(0, {e})
for n in range(4):
    out.append(fib(n))
for n, q in enumerate([{e}, {f}]):
    out.append((n, q))
def inner(q, r={e}):
    return [q, r]
out.append(inner({f}))
def inner(q, r=[]):
    r.append(q)
    return r
out.append([inner(1), inner({e})])
def counter():
    count = 0
    def step():
        nonlocal count
        count += 1
        return count
    return step
step = counter(); out.append([step(), step()])
class Local:
    n = {e}
    def m(self, q=2): return [self.n, q]
out.append(Local().m())
class Local(Plain):
    def m(self): return super().m() * 2
out.append(Local().m())
try:
    failing({e})
except Failure as error:
    out.append(error.args)
try:
    out.append({e} + {f})
except TypeError as error:
    out.append(str(error))
try:
    raise Detailed({e}, 1)
except ValueError as error:
    out.append(error.what)
finally:
    out.append('finally')
record = Record({e}); record.y = ({f},); out.append((record.x, record.y))
node = Node({e}); node.rest = Node({f}); out.extend(node)
with contextlib.suppress(Exception):
    out.append({e} * {f})
table = {{}}; table.setdefault('k', []).append({e}); out.append(table)
a, *rest = [{e}, 2, {f}]; out.append(rest)
while len(out) < 3: out.append({e})
out.append((lambda *args, **options: [args, options])({e}, k={f}))
match {e}:
    case [first, *_]:
        out.append(first)
    case int() | float():
        out.append('number')
    case _:
        out.append(None)
if {e}:
    out.append(1)
y = {e}
out.append([out[:], out[:]])
shared = [{e}]; out.append(shared); out.append(shared)
""".strip()
_SHARING_STATEMENTS = """
x.append({e})
x.append(out)
x['k'] = {e}
x[0] = {e}
x[0].append({e})
x.sort()
x.clear()
x.update({{'new': {e}}})
x.add(9)
x += [{e}]
x.extend([1])
del x[0]
y.append({e})
y['k'] = x
put(x, {e})
pushed({e}, x)
out.append(x)
out = x
x = [x]
for q in x: out.append(q)
for q in list(x): q.append(1)
x.pop()
x.value = {e}
x.rest = Node(x)
x.n = 1
""".strip()
_LEANING_STATEMENTS = """
a_list.append({e})
a_dict['k'] = {e}
a_set.add(7)
Plain.n += 1
[Plain][0].n += 1
{{'k': Plain}}['k'].n = {e}
type(Node(1)).made += 1
(lambda cls: setattr(cls, 'n', 5))(Plain)
Plain().__class__.extra = {e}
same.calls = 1
[same][0].calls = {e}
Listed().items.append({e})
Member.A.hits = 1
counting()
collecting({e})
pushing({e})
global a_number; a_number = {e}
global fresh; fresh = {e}
a_list[:] = [{e}]
out.append(next(an_iterator))
a_counter['a'] += 1
a_tuple_with_a_list[1].append({e})
object.__setattr__(a_frozen, 'x', {e})
setattr(Plain, 'm', lambda self: 0)
x.append(Plain); x[-1].n = 4
""".strip()
_RAISING_STATEMENTS = """
raise Failure({e})
raise Failure({e}, {f})
raise Detailed({e}, {f})
raise ValueError({e}) from KeyError({f})
raise Failure from None
1 / 0
assert not out, {e}
failing({e})
[].pop()
{{}}[{e}]
try:
    1 / 0
except ZeroDivisionError:
    raise Failure({e})
error = Failure({e}); error.add_note('a note'); error.extra = [{f}]; raise error
raise StopIteration({e})
raise ExceptionGroup('several', [Failure({e}), ValueError(1)])
class Local(Exception): pass
raise Local({e})
not_there
out.missing
""".strip()


def _statements(text):
    """The statements of a text, of one line or several."""
    found = []
    for line in text.splitlines():
        goes_on = found and (
            line.startswith((" ", "except", "finally"))
            or found[-1].startswith(("def ", "class ", "try"))
            and line.startswith(("out.append(inner", "out.append([inner", "step =", "out.append(Local", "raise Local"))
        )
        if goes_on:
            found[-1] += "\n" + line
        else:
            found.append(line)
    return found


PURE, SHARING, LEANING, RAISING = map(
    _statements, (_PURE_STATEMENTS, _SHARING_STATEMENTS, _LEANING_STATEMENTS, _RAISING_STATEMENTS)
)
GIVEN, CHANGING = map(_statements, (_GIVEN_STATEMENTS, _GIVEN_CHANGES))


@dataclass(frozen=True)
class Program:
    """A source, the expressions of two arguments or of items, and how to chunk these."""

    source: str
    first: str
    second: str
    items: str
    chunk_size: int

    def __str__(self):
        return f"{self.source}\nfirst = {self.first}; second = {self.second}\nitems = {self.items}; {self.chunk_size=}"


@st.composite
def data(draw, live=False, given=False):
    """The expression of an argument."""
    atoms = st.sampled_from(_ATOMS)
    if given and draw(st.integers(0, 3)):
        return draw(st.sampled_from(_GIVEN)).strip().format(a=draw(atoms).strip(), b=draw(atoms).strip())
    if live and draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from(_LIVE)).strip()
    return draw(st.sampled_from(_DATA)).strip().format(a=draw(atoms).strip(), b=draw(atoms).strip())


@st.composite
def sources(draw, given=False):
    """The source of `program`; most say nothing to the outside."""
    # What else than pure pieces may be in it, by the tenth.
    kinds = {7: "sharing", 8: "leaning", 9: "any"}
    kind = kinds.get(draw(st.integers(0, 9)), "pure")
    expressions, statements = [*_PURE_EXPRESSIONS], [*PURE] * 3 + RAISING
    if given:
        expressions += _GIVEN_EXPRESSIONS * 3
        statements += GIVEN * 6
        if kind != "pure":
            statements += CHANGING * 4
    if kind in ("sharing", "any"):
        expressions += _SHARING_EXPRESSIONS * 3
        statements += SHARING * 4
    if kind in ("leaning", "any"):
        expressions += _LIVE_EXPRESSIONS * 2
        statements += LEANING * 4 + RAISING

    def expression(depth=0):
        if depth > 1:
            return draw(st.sampled_from(_ATOMS)).strip()
        template = draw(st.sampled_from(expressions)).strip()
        e, f = (expression(depth + 1) if f"{{{name}}}" in template else "" for name in "ef")
        return template.format(e=e, f=f, c=draw(st.sampled_from(_ATOMS)).strip() if "{c}" in template else "")

    default = draw(st.sampled_from(["1", "None", "()", "'text'", *(["[]", "{}", "Plain"] if kind == "any" else [])]))
    lines = [f"def program(x, y={default}):", "    out = []"]
    for _ in range(draw(st.integers(1, 4))):
        template = draw(st.sampled_from(statements))
        text = template.format(e=expression(), f=expression())
        lines += ["    " + line for line in text.split("\n")]
    result = draw(st.sampled_from(["out", "out", "out", "(out, len(out))", "{'out': out}", "{e}", "[out, {e}]"]))
    lines.append("    return " + result.replace("{e}", expression()))
    if kind != "pure" and draw(st.integers(0, 9)) == 0:
        lines.append("    yield out")
    source = "\n".join(lines) + "\n"
    wrapped = draw(st.integers(0, 11))
    if wrapped == 0:
        return source + "_inner = program\nprogram = lambda x, y=2: _inner(x, y)\n"
    if wrapped == 1:
        return source + "program = functools.partial(program, y=[1])\n"
    if wrapped == 2:
        return source + "def _close(f, n):\n    return lambda x, y=n: (f(x, y), n)\nprogram = _close(program, 3)\n"
    return source


@st.composite
def programs(draw):
    live = draw(st.integers(0, 7)) == 0
    given = draw(st.integers(0, 4)) == 4
    if draw(st.integers(0, 7)) == 0:
        source = draw(unargued.programs()).replace("(x=1)", "(x=1, y=2)") + "    return a, b, w\n"
    else:
        source = draw(sources(given))
    one = draw(data(live, given))
    second = draw(st.sampled_from(["first", "[first]", draw(data(live, given)), draw(data())]))
    items = draw(
        st.sampled_from(
            [
                f"[{one}, {draw(data(given=given))}, {draw(data())}]",
                f"[{one}, {one}, {one}, {one}]",
                f"(lambda s: [s, s, s])({one})",
                f"(lambda s: [s, [s], {draw(data())}, s])({one})",
                f"[{one}]",
                "[[i] for i in range(5)]",
                "list(range(6))",
                "[]",
            ]
        )
    )
    return Program(source, one, second, items, draw(st.sampled_from([0, 1, 1, 2, 3, 50])))


def made(source):
    """The names of a module of its own that code was run in."""
    module = sys.modules["outside"] = types.ModuleType("outside")
    module.__file__ = FILE
    exec(source if isinstance(source, types.CodeType) else compile(source, FILE, "exec"), vars(module))
    return vars(module)


class World:
    """A module with a program in it, and its arguments: as they were before any call."""

    def __init__(self, program: Program):
        self.names = made(_WORLD)
        with warnings.catch_warnings():  # That what it calls is not callable.
            warnings.simplefilter("ignore")
            exec(_compiled(program.source), self.names)
            scope = {**self.names}
            self.first = scope["first"] = eval(program.first, self.names)
            self.second = eval(program.second, scope)
            self.items = eval(program.items, self.names)
        self.function = self.names["program"]


@functools.lru_cache(maxsize=4)
def _compiled(source):
    return compile(source, FILE, "exec")


# Pictures

_ATOM = (type(None), bool, int, float, complex, str, bytes, range, type(Ellipsis), type(NotImplemented))
_OF_PYTHON = frozenset(
    "__dict__ __weakref__ __doc__ __module__ __slotnames__ __annotations_cache__ __annotate_func__ __firstlineno__".split()
) | {"__static_attributes__", "__annotations__", "__annotate__", "__conditional_annotations__"}


class Picture:
    """Describes values so that equal descriptions mean: nobody can tell the values apart, nor what they share."""

    def __init__(self, names):
        self._names = names
        self._seen = {}  # By identity: the number of what can be changed, the picture of what cannot.
        self._count = 0
        self._alive = []  # So that no identity is used twice.

    def of(self, value):
        kind = type(value)
        if kind in _ATOM:
            return kind.__name__, _text(value, repr)
        if kind is types.ModuleType:
            return "module", value.__name__
        known = self._seen.get(id(value))
        if known is not None:
            # Whether what cannot change is shared is no part of what it is.
            return ("seen", known) if type(known) is int else known
        self._alive.append(value)
        if kind is tuple or kind is frozenset:
            inside = self._seen[id(value)] = kind.__name__, *map(self.of, _in_order(value))
            return inside
        if kind.__module__ in ("datetime", "decimal", "fractions", "uuid"):
            return kind.__name__, repr(value)
        self._count += 1
        self._seen[id(value)] = self._count
        return self._kind(kind), *self._inside(value)

    def _kind(self, kind):
        known = self._names.get(kind.__name__) is kind
        return f"{kind.__module__}.{kind.__qualname__}{'' if known or kind.__module__ != 'outside' else ' (another)'}"

    def _inside(self, value):
        kind = type(value)
        if isinstance(value, type):
            if value.__module__ != "outside":
                return [value.__qualname__]
            return [self._kind(value), self._namespace(value)]
        if kind is types.FunctionType:
            cells = [self._cell(cell) for cell in value.__closure__ or ()]
            own = vars(value) and self.of(vars(value))
            return [value.__qualname__, self.of(value.__defaults__), self.of(value.__kwdefaults__), cells, own]
        if isinstance(value, BaseException):
            return [self.error(value)]
        inside = []
        if isinstance(value, dict):
            inside.append([(self.of(key), self.of(each)) for key, each in dict.items(value)])
        elif isinstance(value, (list, tuple, deque, set, frozenset)):
            inside += map(self.of, kind.__iter__(value) if isinstance(value, tuple) else _in_order(value))
        elif kind is functools.partial:
            inside += [self.of(value.func), self.of(value.args), self.of(value.keywords)]
        elif kind is types.MethodType:
            inside += [self.of(value.__func__), self.of(value.__self__)]
        elif kind is bytearray:
            inside.append(bytes(value))
        elif kind in (staticmethod, classmethod):
            inside.append(self.of(value.__func__))
        elif isinstance(value, property):
            inside.append(self.of(value.fget))
        elif hasattr(value, "__next__"):
            try:
                inside += [self.of(each) for each in itertools.islice(value, 20)]
            except Exception as error:
                inside.append(self.of(error))
        if kind.__module__ == "outside" and hasattr(value, "__dict__"):
            inside.append(("own", [(name, self.of(each)) for name, each in vars(value).items()]))
        if kind.__module__ == "outside":
            slots = [name for base in kind.__mro__ for name in vars(base).get("__slots__", ())]
            inside += [(name, self.of(getattr(value, name, "empty"))) for name in slots]
        return inside

    def _namespace(self, cls):
        if issubclass(cls, enum.Enum):
            return [self.of(member) for member in cls]
        return [(name, self.of(each)) for name, each in vars(cls).items() if name not in _OF_PYTHON]

    def _cell(self, cell):
        try:
            return self.of(cell.cell_contents)
        except ValueError:
            return "empty"

    def error(self, error):
        """An exception with what it carries and what stands behind it."""
        if error is None:
            return None
        own = {name: each for name, each in vars(error).items() if not name.startswith("__") or name == "__notes__"}
        inside = [self.of(each) for each in getattr(error, "exceptions", ())]
        return (
            self._kind(type(error)),
            [self.of(each) for each in error.args if each not in getattr(error, "exceptions", ())]
            if isinstance(error, BaseExceptionGroup)
            else self.of(error.args),
            _text(error),
            self.of(own),
            inside,
            self.error(error.__cause__),
            self.error(error.__context__),
            error.__suppress_context__,
            frames(error),
        )

    def world(self, names):
        """All names of a module that a program may have touched."""
        hidden = {"__builtins__", "__warningregistry__", "__conditional_annotations__"}
        return {name: self.of(value) for name, value in names.items() if name not in hidden}


def _in_order(values):
    """The values of a container; those of a set by their texts where its order depends on addresses."""
    if isinstance(values, (set, frozenset)) and any(map(_is_placed_by_address, values)):
        return sorted(values, key=lambda value: (type(value).__qualname__, _text(value, repr)))
    return list(values)


def _is_placed_by_address(value):
    if type(value) in (tuple, frozenset):
        return any(map(_is_placed_by_address, value))
    return type(value).__hash__ is object.__hash__


def _text(value, form=str):
    """A value as text, without the addresses that it shows."""
    try:
        return re.sub("0x[0-9a-f]{6,}", "0x", form(value))
    except Exception as second:
        return type(second).__name__


def frames(error):
    """The functions of the program that an exception passed through."""
    found, traceback = [], error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == FILE:
            found.append((traceback.tb_frame.f_code.co_name, traceback.tb_lineno))
        traceback = traceback.tb_next
    return found
