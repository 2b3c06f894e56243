"""Arguments that are members, named tuples and instances of dataclasses leave by default, and nobody can tell."""

from __future__ import annotations

import abc
import collections
import dataclasses
import enum
import functools
import http
import re
import sys
import typing
from fractions import Fraction
from unittest import mock

import pytest

from child import run
from hypern import BlockingExecutor, TaskError, _auto_batch, _route
from programs_random import Picture

AWAY = _route.away_backend()
pytestmark = pytest.mark.skipif(AWAY is None, reason="the default is threads here")


@pytest.fixture
def auto():
    with BlockingExecutor(1) as executor:
        yield executor


@pytest.fixture
def eager(monkeypatch):
    """Batches leave as soon as they may, however cheap their items are."""
    for name, value in (("LEAST", {AWAY: 0.0}), ("BEFORE_OPENING", 0.0), ("CONCLUSIVE", 0.0)):
        monkeypatch.setattr(_auto_batch, name, value)


# What a program may have


class Color(enum.Enum):
    RED = 1
    GREEN = 2
    ROUGE = 1

    def next(self):
        return Color(self.value % 2 + 1)


class Planet(enum.Enum):
    EARTH = (5.9, 6.3)
    MARS = (0.6, 3.4)

    def __init__(self, mass, radius):
        self.mass, self.radius = mass, radius

    @property
    def gravity(self):
        return self.mass / self.radius**2


class Key(bytes, enum.Enum):
    def __new__(cls, number, label):
        made = bytes.__new__(cls, [number])
        made._value_ = number
        made.label = label
        return made

    UP = 1, "up"
    DOWN = 2, "down"


class Perm(enum.Flag):
    R, W, X = 4, 2, 1
    ALL = 7


class Bits(enum.IntFlag):
    LOW, HIGH = 1, 8


class Level(enum.IntEnum):
    LOW, HIGH = 1, 2


class Word(enum.StrEnum):
    YES = enum.auto()
    NO = enum.auto()


class Marking:
    def mark(self):
        self.marked = True


class Marked(Marking, enum.Enum):
    A = 1


class Point(typing.NamedTuple):
    x: object
    y: object = 0

    def moved(self, by):
        return self._replace(x=self.x + by)


Pair = collections.namedtuple("Pair", "a b")


class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...


@dataclasses.dataclass
class Square(Shape):
    side: object
    tags: list = dataclasses.field(default_factory=list)

    def area(self):
        return self.side**2

    def grow(self):
        self.side += 1

    @functools.cached_property
    def half(self):
        return self.side / 2


@dataclasses.dataclass
class Tile(Square):
    color: Color = Color.RED


@dataclasses.dataclass(frozen=True, order=True)
class Coin:
    worth: int
    inside: object = None

    def __add__(self, other):
        return Coin(self.worth + other.worth)


@dataclasses.dataclass(frozen=True)
class Spoiling:
    worth: int

    def spoil(self):
        object.__setattr__(self, "worth", 0)


@dataclasses.dataclass(slots=True)
class Slotted:
    x: object
    y: object = None


@dataclasses.dataclass(slots=True)
class Longer(Slotted):
    z: object = None


@dataclasses.dataclass(frozen=True, slots=True)
class FrozenSlotted:
    x: object


@dataclasses.dataclass(eq=False)
class Same:
    x: object


@dataclasses.dataclass(repr=False)
class Unshown:
    x: object


@dataclasses.dataclass(repr=False)
class ShownByItsBase:
    x: object

    def __repr__(self):
        return super().__repr__()


@dataclasses.dataclass
class Link:
    value: object
    rest: object = None


SEEN = []


@dataclasses.dataclass
class Noting:
    x: object

    def note(self):
        SEEN.append(self.x)


@dataclasses.dataclass
class WithList:
    x: object
    shared: typing.ClassVar = [1]


@dataclasses.dataclass
class OfList(list):
    x: object = 1


class Plain:
    x = 1


class WideTuple(collections.namedtuple("WideTuple", "a")):
    """Has a table of attributes."""


A_COIN = Coin(7, Coin(8))


def loop():
    link = Link(1)
    link.rest = link
    return link


def shared():
    square = Square(2)
    return [square, square, square.tags]


def with_cache():
    square = Square(2)
    assert square.half == 1
    return square


def empty_slot():
    slotted = Slotted(1)
    del slotted.y
    return slotted


# The table: what is called, with what it is given (made anew), and the route that the call takes

LEAVES = {
    "a member": (lambda x: (x is Color.RED, x == Color.ROUGE, x.name), lambda: Color.RED),
    "a member that is not another": (lambda x: x is Color.RED, lambda: Color.GREEN),
    "a member comes back": (lambda x: x, lambda: Color.RED),
    "a method of a member": (lambda x: [x.next(), x.next().next() is x], lambda: Color.RED),
    "the members": (lambda x: (list(type(x)), list(type(x).__members__), type(x)["ROUGE"] is x), lambda: Color.RED),
    "a member as a key": (lambda x: {key.name: value for key, value in x.items()}, lambda: {Color.RED: 1, Word.NO: 2}),
    "a member in a table of another": (lambda x: {Color.RED: "red"}[x], lambda: Color.RED),
    "a member by __init__": (lambda x: round(x.gravity, 3), lambda: Planet.MARS),
    "a member by __new__": (lambda x: (x.label, x == b"\1", x is Key.UP, x is Key(1)), lambda: Key.UP),
    "a flag": (lambda x: (x, x in Perm.ALL, ~x, x | Perm.X), lambda: Perm.R),
    "a combined flag": (lambda x: (x, list(x), x & Perm.W is Perm.W, repr(x)), lambda: Perm.R | Perm.W),
    "a combined flag by name": (lambda x: (x is Perm.ALL, len(x)), lambda: Perm.ALL),
    "no flag": (lambda x: (x, bool(x)), lambda: Perm(0)),
    "an IntFlag of more bits": (lambda x: (x, x + 1, x & Bits.LOW), lambda: Bits.LOW | 64),
    "an IntEnum": (lambda x: (x + 1, x < Level.HIGH, [0, 1, 2][x], x), lambda: Level.LOW),
    "a StrEnum": (lambda x: (x + "!", f"{x}", x, x is Word("yes")), lambda: Word.YES),
    "a member of the standard library": (lambda x: (x.phrase, x), lambda: http.HTTPStatus.NOT_FOUND),
    "a flag of the standard library": (lambda x: (x, bool(x & re.I)), lambda: re.I | re.M),
    "a named tuple": (lambda x: (x.x + x.y, x[0], [*x], x._asdict()), lambda: Point(1, 2)),
    "a changed named tuple": (lambda x: x.moved(2), lambda: Point(1)),
    "a namedtuple as a key": (lambda x: sum(key.a * value for key, value in x.items()), lambda: {Pair(1, 2): 3}),
    "a namedtuple in a value": (lambda x: x["k"][0].b, lambda: {"k": [Pair(1, Fraction(1, 3))]}),
    "named tuples sorted": (lambda x: [each.a for each in sorted(x)], lambda: [Pair(2, 1), Pair(1, 2)]),
    "a dataclass": (lambda x: (x.area(), x.side, len(x.tags)), lambda: Square(3, ["a"])),
    "an inherited dataclass": (lambda x: (x.area(), x.color is Color.RED, isinstance(x, Shape)), lambda: Tile(3)),
    "another of the class": (lambda x: [Square(x.side + 1), type(x)(5)], lambda: Square(3)),
    "a dataclass as a dict": (dataclasses.asdict, lambda: Tile(3, ["a"])),
    "a dataclass replaced": (lambda x: dataclasses.replace(x, side=4).area(), lambda: Square(3)),
    "fields": (lambda x: [each.name for each in dataclasses.fields(x)], lambda: Tile(3)),
    "a dataclass compared": (lambda x: (x[0] == x[1], x[0] is x[1], x[0] < x[2]), lambda: [Coin(1), Coin(1), Coin(2)]),
    "an operator": (lambda x: (x + x, max([x, Coin(0)]).worth), lambda: Coin(4)),
    "a pattern": (lambda x: _matched(x), lambda: [Coin(4), Point(1, 2), Color.RED, Square(1)]),
    "sharing": (lambda x: (x[0] is x[1], x[0].tags is x[2]), shared),
    "a loop": (lambda x: (x.rest.rest.value, x.rest is x), loop),
    "a chain": (lambda x: x.rest.rest.value, lambda: Link(1, Link(2, Link(3)))),
    "slots": (lambda x: (x.x, len(x.y)), lambda: Slotted(1, [2])),
    "inherited slots": (lambda x: (x.x, x.y, x.z, repr(x)), lambda: Longer(1, 2, 3)),
    "an empty slot": (lambda x: (x.x, hasattr(x, "y")), empty_slot),
    "frozen slots": (lambda x: FrozenSlotted(x.x + 1), lambda: FrozenSlotted(1)),
    "by identity": (lambda x: (x[0] == x[0], x[0] == x[1], {x[0]: 1}[x[0]]), lambda: [Same(1), Same(1)]),
    "an equal one that is captured": (lambda x: (x == A_COIN, x is A_COIN), lambda: Coin(7, Coin(8))),
    "many": (lambda x: sum(each.area() for each in x), lambda: [Square(n) for n in range(500)]),
    "143 and 145": (lambda x: [each.worth for each in x], lambda: [Coin(143), Coin(145)] * 100),
    "a failure": (lambda x: [][x.worth], lambda: Coin(1)),
    "a failure with a part": (lambda x: _raises(ValueError(x.worth)), lambda: Coin(1)),
    "a write to what is frozen": (lambda x: setattr(x, "worth", 1), lambda: Coin(1)),
    "a write where there is no place": (lambda x: setattr(x, "other", 1), lambda: FrozenSlotted(1)),
}
COMES_BACK = {
    "a named tuple is returned": ("returns or keeps", lambda x: x, lambda: Point(1)),
    "a key is returned": ("returns or keeps", list, lambda: {Pair(1, 2): 3}),
    "a dataclass is returned": ("returns or keeps", lambda x: x, lambda: Square(1)),
    "a frozen one is returned": ("returns or keeps", lambda x: [x], lambda: Coin(1)),
    "what is in it is returned": ("returns or keeps", lambda x: x.tags, lambda: Square(1)),
    "what is in a frozen one is returned": ("returns or keeps", lambda x: x.inside, lambda: Coin(1, Coin(2))),
    "what is in a slot is returned": ("returns or keeps", lambda x: {"y": x.y}, lambda: Slotted(1, [])),
    "it is in another": ("returns or keeps", lambda x: Link(1, x), lambda: Coin(1)),
    "it is raised": ("returns or keeps", lambda x: _raises(ValueError([x])), lambda: Coin(1)),
    "a method is returned": ("returns", lambda x: x.area, lambda: Square(1)),
    "a field is set": ("changes an argument", lambda x: setattr(x, "side", 5), lambda: Square(1)),
    "a field is set by a method": ("changes an argument", lambda x: x.grow(), lambda: Square(1)),
    "a field of a frozen one is set": ("changes an argument", lambda x: x.spoil(), lambda: Spoiling(1)),
    "an attribute is added": ("changes an argument", lambda x: setattr(x, "other", 5), lambda: Square(1)),
    "a cached property is filled": ("changes an argument", lambda x: x.half, lambda: Square(1)),
    "an attribute is deleted": ("changes an argument", lambda x: delattr(x, "side"), lambda: Square(1)),
    "a slot is set": ("changes an argument", lambda x: setattr(x, "y", 5), lambda: Longer(1)),
    "a slot is emptied": ("changes an argument", lambda x: delattr(x, "z"), lambda: Longer(1)),
    "an empty slot is filled": ("changes an argument", lambda x: setattr(x, "y", 1), empty_slot),
    "a list in a field is changed": ("changes an argument", lambda x: x.tags.append(1), lambda: Square(1)),
    "a list in a slot is changed": ("changes an argument", lambda x: x.y.append(1), lambda: Slotted(1, [])),
    "a list in a named tuple is changed": ("changes an argument", lambda x: x.x.append(1), lambda: Point([])),
    "the class is changed": ("changes a class", lambda x: setattr([type(x)][0], "other", 1), lambda: Square(1)),
    "an instance is a key": ("is a key", lambda x: list(x.values()), lambda: {Coin(1): 2}),
    "an instance is in a key": ("is a key", lambda x: list(x.values()), lambda: [Coin(1), {(1, Pair(Coin(1), 2)): 2}]),
    "nested too deep": (
        "nested too deep",
        lambda x: x.value,
        lambda: functools.reduce(lambda rest, n: Link(n, rest), range(150)),
    ),
}
STAYS = {
    "a captured one": ("reaches by itself", lambda x: x is A_COIN, lambda: A_COIN),
    "what is in a captured one": ("reaches by itself", lambda x: x is A_COIN.inside, lambda: [A_COIN.inside]),
    "a member is written to": ("may be a member", lambda x: setattr(x, "hits", 1), lambda: Color.RED),
    "a member is made anew": ("may be a member", lambda x: x.__init__(1, 2), lambda: Planet.MARS),
    "a member is marked by a class above": ("may be a member", lambda x: x.mark(), lambda: Marked.A),
    "a class that writes outside": ("global list 'SEEN'", lambda x: x.x, lambda: Noting(1)),
    "a class with a list": ("'shared' is a list", lambda x: x.x, lambda: WithList(1)),
    "a class of a builtin": ("OfList, which may be shared", lambda x: x.x, lambda: OfList()),
    "a plain class": ("Plain, which may be shared", lambda x: x.x, Plain),
    "more than fields": ("more than its fields", lambda x: x.side, with_cache),
    "an address": ("shown with its address", lambda x: repr(x)[:5], lambda: Unshown(1)),
    "an address by its base": ("shown with its address", lambda x: repr(x)[:5], lambda: ShownByItsBase(1)),
    "an address by object": ("'object.__repr__'", lambda x: object.__repr__(x)[:5], lambda: Coin(1)),
    "a tuple with attributes": ("WideTuple, which may be", lambda x: x.a, lambda: WideTuple(1)),
    "a class": ("type, which may be", lambda x: x.__name__, lambda: Plain),
    "an enumeration": ("which may be", lambda x: x.__name__, lambda: Color),
    "a NaN": ("NaN", lambda x: x[1] in x, lambda: [Coin(1), float("nan")]),
    "a set": ("set", lambda x: len(x[1]), lambda: [Coin(1), {1, 2}]),
}


def _raises(error):
    raise error


def _matched(values):
    found = []
    for value in values:
        match value:
            case Coin(worth=4):
                found.append("coin")
            case Point(x, _):
                found.append(x)
            case Color.RED:
                found.append("red")
            case Square(side):
                found.append(side)
    return found


def outcome(call, function, argument):
    """What came of a call, and what the argument is like afterwards, as a picture."""
    picture = Picture(globals())
    try:
        result = picture.of(call(function, argument))
    except Exception as error:
        error = error.__cause__ if isinstance(error, TaskError) else error
        result = type(error), picture.of(error.args)
    return result, picture.of(argument)


def in_place(function, argument):
    return function(argument)


@pytest.fixture(autouse=True)
def clean():
    yield
    for cls in (Square, Color):
        if hasattr(cls, "other"):
            del cls.other
    for thing in (Color.RED, Marked.A):
        for name in ("hits", "marked"):
            vars(thing).pop(name, None)
    Planet.MARS.__init__(*Planet.MARS.value)
    SEEN.clear()


@pytest.mark.parametrize("case", LEAVES)
def test_it_leaves(auto, case):
    function, make = LEAVES[case]
    expected = outcome(in_place, function, make())
    route = auto._pool.explain(function, ((make(),), None))
    assert route.backend == AWAY, route
    assert outcome(auto.run_sync, function, make()) == expected
    assert outcome(auto.run_sync, function, make()) == expected
    assert auto.stats().came_back == {} and auto.stats().backends[AWAY].tasks == 2


@pytest.mark.parametrize("case", COMES_BACK)
def test_it_comes_back(auto, case):
    reason, function, make = COMES_BACK[case]
    expected = outcome(in_place, function, make())
    if hasattr(Square, "other"):
        del Square.other
    assert outcome(auto.run_sync, function, make()) == expected
    (why,) = auto.stats().came_back
    assert reason in why, why


@pytest.mark.parametrize("case", STAYS)
def test_it_stays(auto, case):
    reason, function, make = STAYS[case]
    expected = outcome(in_place, function, make())
    for member in (Color.RED, Marked.A):
        vars(member).pop("hits", None), vars(member).pop("marked", None)
    Planet.MARS.__init__(*Planet.MARS.value)
    route = auto._pool.explain(function, ((make(),), None))
    assert route.backend == "threads" and reason in route.reason, route
    assert outcome(auto.run_sync, function, make()) == expected
    assert AWAY not in auto.stats().backends or auto.stats().backends[AWAY].tasks == 0


# Ways to call


@pytest.mark.parametrize("way", ["submit", "map", "run_parallel", "partial", "keyword"])
def test_every_way_to_call(eager, auto, way):

    def area(shape, color=Color.RED):
        return shape.area(), color, color is Color.GREEN

    squares = [Square(n) for n in range(40)]
    assert auto.run_sync(area, squares[1]) == (1, Color.RED, False)
    expected = [(n * n, Color.GREEN, True) for n in range(40)]
    by_partial = functools.partial(area, color=Color.GREEN)
    results = {
        "submit": lambda: [auto.submit(area, each, Color.GREEN).result() for each in squares],
        "map": lambda: auto.map(lambda each: area(each, Color.GREEN), squares, chunk_size=10),
        "run_parallel": lambda: auto.run_parallel([(area, (each, Color.GREEN)) for each in squares]),
        "partial": lambda: [auto.run_sync(by_partial, each) for each in squares],
        "keyword": lambda: [auto.run_sync(area, color=Color.GREEN, shape=each) for each in squares],
    }[way]()
    assert results == expected
    assert auto.stats().came_back == {} and auto.stats().backends[AWAY].tasks > 1


def test_a_chunk_that_comes_back_returns_the_items_themselves(eager, auto):
    auto.run_sync(abs, -1)
    coins = [Coin(n) for n in range(30)]
    results = auto.map(lambda coin: coin if coin.worth > 25 else None, coins, chunk_size=5)
    assert all(result is coin for result, coin in zip(results[26:], coins[26:]))


def helper(number):
    return number


A_PARTIAL = functools.partial(pow, 2)
RAISED = {
    "an instance": lambda: A_COIN,
    "what is in one": lambda: A_COIN.inside,
    "a partial": lambda: A_PARTIAL,
    "a function": lambda: helper,
}


@pytest.mark.parametrize("case", RAISED)
def test_an_object_that_is_captured_is_raised(auto, case):
    part = RAISED[case]

    def raises(number):
        raise ValueError from KeyError([part()])

    assert auto.submit(raises, 1).exception().__cause__.args[0][0] is part()
    (why,) = auto.stats().came_back
    assert why.startswith("raises an exception with a "), why


def test_a_map_of_a_partial_that_writes_to_a_member(eager, auto):
    auto.run_sync(abs, -1)

    def hit(member, number):
        member.hits = number

    auto.map(functools.partial(hit, Color.RED), range(4), chunk_size=1)
    assert Color.RED.hits == 3


# One class at both ends


def test_a_class_is_the_same_for_callable_and_argument(auto):
    def same(square, color):
        return type(square) is Square, isinstance(square, Shape), color is Color.RED, Square(1) == square

    assert auto.run_sync(same, Square(1), Color.RED) == (True, True, True, True)
    assert auto.run_sync(lambda: (Square(1), Color.RED)) == (Square(1), Color.RED)
    assert auto.run_sync(same, Square(1), Color.RED) == (True, True, True, True)
    assert auto.stats().came_back == {}


def test_callables_that_share_a_class(auto):
    def one(square):
        return square.area()

    def other(side):
        return Square(side).area()

    for _ in range(3):
        assert auto.run_sync(one, Square(3)) == 9
        assert auto.run_sync(other, 4) == 16
        assert auto.run_sync(lambda square: type(square)(5).area(), Square(1)) == 25
    assert auto.stats().came_back == {}


def test_a_class_that_changes_between_calls(auto):
    def one(square):
        return square.area()

    def other(side):
        return Square(side).area(), hasattr(Square, "other")

    for _ in range(2):
        assert auto.run_sync(one, Square(3)) == 9
        assert auto.run_sync(other, 3) == (9, False)
        with mock.patch.object(Square, "area", lambda self: "patched"):
            assert auto.run_sync(one, Square(3)) == "patched"
            with mock.patch.object(Square, "other", 1, create=True):
                assert auto.run_sync(other, 3) == ("patched", True)
                assert auto.run_sync(lambda square: square.other, Square(3)) == 1
        # What the callables were sent with is right again.
        assert auto.run_sync(one, Square(3)) == 9
        assert auto.run_sync(other, 3) == (9, False)
        assert auto.run_sync(lambda square: hasattr(square, "other"), Square(3)) is False
    assert auto.stats().came_back == {}


def test_a_member_that_is_given_attributes_between_calls(auto):
    def hits(member):
        return getattr(member, "hits", 0), Color.GREEN.name

    assert auto.run_sync(hits, Color.RED) == (0, "GREEN")
    Color.RED.hits = 3
    assert auto.run_sync(hits, Color.RED) == (3, "GREEN")
    del Color.RED.hits
    assert auto.run_sync(hits, Color.RED) == (0, "GREEN")
    (Perm.R | Perm.X).hits = 5
    assert auto.run_sync(hits, Perm.R | Perm.X) == (5, "GREEN")
    del (Perm.R | Perm.X).hits
    assert auto.run_sync(hits, Perm.R | Perm.X) == (0, "GREEN")


def test_a_class_that_stays_once_it_is_changed(auto):
    def x(value):
        return value.x

    assert auto.run_sync(x, Slotted(1)) == 1
    with mock.patch.object(Slotted, "table", [], create=True):
        assert "'table' is a list" in auto._pool.explain(x, ((Slotted(1),), None)).reason
        assert auto.run_sync(x, Slotted(2)) == 2
    assert auto._pool.explain(x, ((Slotted(1),), None)).backend == AWAY


def test_the_class_is_sent_once_to_each_worker(auto):
    """What is made of it is kept: the functions of the class are the same ones."""
    from hypern import _crossing

    def area(square):
        return square.area()

    with mock.patch.object(_crossing, "dumps_whole", wraps=_crossing.dumps_whole) as dumps:
        for side in range(5):
            assert auto.run_sync(area, Square(side)) == side * side
    assert [len(call.args[1]) for call in dumps.call_args_list] == [1, 2]


def test_classes_are_let_go():
    """A class that is made in a function goes with the callables that it was given to."""
    script = """
import dataclasses, gc, weakref
from hypern import BlockingExecutor

def program():
    @dataclasses.dataclass
    class Local:
        x: int
    assert executor.run_sync(lambda local: local.x, Local(3)) == 3
    return weakref.ref(Local)

with BlockingExecutor(1) as executor:
    references = [program() for _ in range(3)]
    gc.collect()
    print([reference() is None for reference in references], executor.stats().came_back)
"""
    run(script).ok("[True, True, True] {}\n")


def test_what_main_defines():
    script = """
import dataclasses, enum, typing
from hypern import BlockingExecutor

class Unit(enum.Enum):
    KG = "kg"
    G = "g"

@dataclasses.dataclass(frozen=True)
class Weight:
    amount: float
    unit: Unit = Unit.KG
    def grams(self): return self.amount * (1000 if self.unit is Unit.KG else 1)

class Parcel(typing.NamedTuple):
    weight: Weight
    to: str

def heavier(parcel): return parcel._replace(weight=Weight(parcel.weight.grams() + 1, Unit.G))

with BlockingExecutor(2) as executor:
    result = executor.run_sync(heavier, Parcel(Weight(2), "me"))
    print(result, type(result) is Parcel, type(result.weight) is Weight, result.weight.unit is Unit.G)
    print(executor.stats().came_back, len(executor.stats().backends))
"""
    weight = "Parcel(weight=Weight(amount=2001, unit=<Unit.G: 'g'>), to='me')"
    run(script).ok(f"{weight} True True True\n{{}} 2\n")
