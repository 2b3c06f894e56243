"""Random programs that reach things outside by many ways: what leaves changes nothing there.

The namespaces of functions and classes are left out where they alone changed: workers compare them after each call.
"""

from __future__ import annotations

import collections
import enum
import functools
import os
import sys
import types
import warnings

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hypern import _verdict

EXAMPLES = 6000 if os.environ.get("HYPERN_TEST_LONG") else 400

OUTSIDE = """
import collections, contextlib, dataclasses, enum, functools, operator

a_list, a_dict, a_set, a_number = [1], {"a": 1}, {1}, 3
a_tuple, a_tuple_with_a_list = (1, 2), (1, [2])

class Plain:
    n = 0
    def __init__(self): self.v = 1
    def m(self): self.v += 1; return self.v
    @classmethod
    def c(cls): return cls
    @staticmethod
    def s(x): return x
    @property
    def p(self): return self.v

class Child(Plain):
    def m(self): return super().m() + 1

class Listed:
    items = []
    def add(self, x): self.items.append(x); return len(self.items)

class Member(enum.Enum):
    A = 1
    B = 2

@dataclasses.dataclass
class Record:
    x: int = 0
    y: tuple = ()

@dataclasses.dataclass(frozen=True)
class Frozen:
    x: int = 0

Pair = collections.namedtuple("Pair", "a b")
a_frozen, a_pair, a_pair_with_a_list = Frozen(1), Pair(1, 2), Pair(1, [2])

def same(x=1): return x
def collecting(x, seen=[]): seen.append(x); return seen
def make():
    count, stack = 0, []
    def counting():
        nonlocal count
        count += 1
        return count
    def pushing(x): stack.append(x); return len(stack)
    def reading(): return count
    return counting, pushing, reading
counting, pushing, reading = make()

a_partial, a_partial_of_a_list = functools.partial(operator.add, 1), functools.partial(operator.add, [1])
an_iterator, a_deque, a_counter = iter([1, 2, 3]), collections.deque([1]), collections.Counter("ab")
"""
PASSING = "a_number a_tuple Plain Child Member Record Frozen a_frozen Pair a_pair same reading a_partial".split()
LEANING = """
    a_list a_dict a_set a_tuple_with_a_list Listed a_pair_with_a_list collecting counting pushing a_partial_of_a_list
    an_iterator a_deque a_counter
""".split()
VALUES = """
    {n} | [{n}][0] | ({n}, 1)[0] | {{'k': {n}}}['k'] | (lambda: {n})() | (lambda z={n}: z)() | [q for q in [{n}]][0]
    | next(iter(({n},))) | ({n} if x else {other}) | ({n} or {other}) | (w := {n}) | max([{n}], key=lambda q: 0)
    | functools.reduce(lambda a, b: b, [{n}]) | list(map(lambda q: q, [{n}]))[0] | {v} | {v} | {v} | {n}.m | {n}.A | {n}.x
    | {n}.c() | {n}() | {n}.s({other}) | type({v}) | {v}.__class__ | getattr({n}, 'n', {other})
""".split("|")
STATEMENTS = [
    "{v} = {e}",
    "{v} = {e}",
    "{e}.n = x",
    "{e}.n += 1",
    "{e}.append(x)",
    "{e}['k'] = x",
    "{e}.items.append(1)",
    "{e}.add(x)",
    "{e}(x)",
    "{e}()",
    "setattr({e}, 'n', x)",
    "object.__setattr__({e}, 'x', 9)",
    "{v}, w = {e}, {f}",
    "for {v} in [{e}, {f}]:\n        {v}.n = 3",
    "for {v} in {e}:\n        pass",
    "del {e}.n",
    "{e}[0] = 1",
    "{e}.update({{'z': 1}})",
    "try:\n        {v} = {e}\n    except Exception as error:\n        {v} = error",
    "def h(q, r={e}):\n        r.n = q\n        return r\n    {v} = h(1)",
    "def h():\n        nonlocal {v}\n        {v} = {e}\n    h()",
    "def h():\n        {e}.append(2)\n    h()",
    "class I({n}):\n        n = {f}\n    {v} = I()",
    "with contextlib.suppress(Exception):\n        {e}.n = 5",
    "{e}.hits = x",
    "{v} = [{e} for i in range(2)]",
    "{v}[0].n = 1",
    "global a_number\n    a_number = x",
    "{v} = {e}.setdefault('q', 1)",
    "{v}.pop()",
]


@st.composite
def programs(draw):
    """The source of a function; half of them name only what may be read."""
    names = st.sampled_from(PASSING if draw(st.booleans()) else PASSING + LEANING)
    variables = st.sampled_from(["a", "b", "w"])

    def value():
        template = draw(st.sampled_from(VALUES)).strip()
        return template.format(n=draw(names), other=draw(names), v=draw(variables))

    lines = ["def program(x=1):", "    a = b = w = 1"]
    for _ in range(draw(st.integers(1, 5))):
        template = draw(st.sampled_from(STATEMENTS))
        lines.append("    " + template.format(e=value(), f=value(), n=draw(names), v=draw(variables)))
    return "\n".join(lines) + "\n"


def picture(value, above=frozenset()):
    """What a value holds, as text, but for the namespaces of classes and functions."""
    kind = type(value)
    if id(value) in above or kind.__module__ == "builtins" and not hasattr(value, "__dict__") and not is_open(value):
        return repr(value) if isinstance(value, (int, str)) else kind.__name__
    above = above | {id(value)}
    if isinstance(value, dict):
        inside = [(repr(key), picture(each, above)) for key, each in value.items()]
    elif isinstance(value, (list, tuple, collections.deque)):
        inside = [picture(each, above) for each in value]
    elif isinstance(value, (set, frozenset)):
        inside = sorted(map(repr, value))
    elif isinstance(value, functools.partial):
        inside = picture([value.args, value.keywords, vars(value)], above)
    elif isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        inside = picture([value.__defaults__, value.__kwdefaults__, cells], above)
    elif isinstance(value, type):
        open_ones = {key: each for key, each in vars(value).items() if is_open(each) and not key.startswith("_")}
        inside = picture([open_ones, list(getattr(value, "__members__", {}).values())], above)
    elif isinstance(value, enum.Enum):
        inside = sorted(vars(value))
    elif hasattr(value, "__length_hint__"):
        inside = value.__length_hint__()
    else:
        inside = picture(getattr(value, "__dict__", {}), above)
    return f"{kind.__name__}{inside}"


def is_open(value):
    return isinstance(value, (list, dict, set, tuple, collections.deque)) or hasattr(value, "__length_hint__")


def shown_to_workers(namespace):
    return {
        name: {key: id(each) for key, each in vars(namespace[name]).items() if key != "__annotations_cache__"}
        for name in PASSING + LEANING
        if isinstance(namespace.get(name), (type, types.FunctionType))
    }


@given(programs())
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_leaves_changes_nothing_outside(source):
    module = types.ModuleType("outside")
    sys.modules["outside"] = module
    namespace = vars(module)
    try:
        exec(OUTSIDE, namespace)
        try:
            with warnings.catch_warnings():  # That what it calls is not callable.
                warnings.simplefilter("ignore")
                exec(source, namespace)
        except SyntaxError:
            return
        verdict = _verdict._judge_anew(namespace["program"])
        assert "understood" not in verdict.reason
        if not verdict.leaves:
            return
        names = PASSING + LEANING
        before = {name: (id(namespace[name]), picture(namespace[name])) for name in names}
        shown = shown_to_workers(namespace)
        try:
            namespace["program"]()
        except Exception:
            pass
        after = {name: (id(namespace[name]), picture(namespace[name])) for name in names}
        assert before == after or shown != shown_to_workers(namespace), verdict
    finally:
        del sys.modules["outside"]


def test_the_pictures_show_changes():
    """The test above would find something, if there were something to find."""
    namespace = {"__name__": "outside"}
    sys.modules["outside"] = types.ModuleType("outside")
    try:
        exec(OUTSIDE, namespace)
        for change in (
            "a_list.append(1)",
            "a_tuple_with_a_list[1].append(1)",
            "Listed.items.append(1)",
            "Member.A.hits = 1",
            "a_partial.hits = 1",
            "collecting(1)",
            "counting()",
            "pushing(1)",
            "next(an_iterator)",
            "object.__setattr__(a_frozen, 'x', 9)",
        ):
            names = PASSING + LEANING
            before = [picture(namespace[name]) for name in names]
            exec(change, namespace)
            assert before != [picture(namespace[name]) for name in names], change
        shown = shown_to_workers(namespace)
        exec("Plain.n = 8; same.calls = 1", namespace)
        assert shown != shown_to_workers(namespace)
    finally:
        del sys.modules["outside"]
