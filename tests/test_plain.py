"""The codec for plain data: what comes back is what went, down to types, order and sharing; anything else is refused.

The core's functions are called directly. That tasks get the same data by either codec is the rest of the suite's to show.
"""

from __future__ import annotations

import gc
import math
import pickle
import random
import sys
from collections import Counter, OrderedDict, namedtuple
from decimal import Decimal
from enum import IntEnum

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from child import run
from hypern import _core

if _core.plain is None:
    pytest.skip("free-threaded builds have no such codec", allow_module_level=True)

encode, decode, decode_exactly, encode_exactly, watch, look, watch_instances = _core.plain

LARGE = 64 * 1024


def trip(value):
    encoded = encode(value)
    assert encoded is not None, f"refused: {value!r:.80}"
    return decode(encoded)


def shape(value, seen=None):
    """A description in which two values are equal only if types, bits, order and sharing of containers are the same."""
    seen = {} if seen is None else seen
    kind = type(value)
    if kind is float:
        return kind, value.hex(), math.copysign(1, value)
    if kind is complex:
        return kind, shape(value.real), shape(value.imag)
    if kind in (list, dict, set, bytearray):
        if id(value) in seen:
            return "again", seen[id(value)]
        seen[id(value)] = len(seen)
    if kind in (list, tuple):
        return kind, [shape(item, seen) for item in value]
    if kind is dict:
        return kind, [(shape(key, seen), shape(item, seen)) for key, item in value.items()]
    if kind in (set, frozenset):
        return kind, sorted(repr(shape(item, seen)) for item in value)
    return kind, value


def texts():
    """With lone surrogates, and of every width."""
    characters = st.characters(codec=None, exclude_categories=())
    return st.text(characters) | st.text(st.characters(max_codepoint=0xFF)) | st.text(st.characters(max_codepoint=0x7F))


atoms = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**64), 2**64)
    | st.integers(-(2**3000), 2**3000)
    # A NaN that somebody else refers to is left to pickle.
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | texts()
    | st.binary()
)
hashable = st.recursive(
    atoms, lambda inner: st.lists(inner, max_size=4).map(tuple) | st.frozensets(inner, max_size=4), max_leaves=8
)
data = st.recursive(
    hashable | st.binary().map(bytearray),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.lists(inner, max_size=6).map(tuple)
        | st.dictionaries(hashable, inner, max_size=6)
        | st.sets(hashable, max_size=6)
    ),
    max_leaves=30,
)

thoroughly = settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@thoroughly
@given(data)
def test_data_survives_the_trip(value):
    before = shape(value)
    assert shape(trip(value)) == before
    assert shape(value) == before


@thoroughly
@given(st.lists(data, min_size=1, max_size=4), st.data())
def test_sharing_survives_the_trip(parts, draw):
    """Several references to one object come back as several references to one object, as with pickle."""
    index = st.integers(0, len(parts) - 1)
    whole = [draw.draw(st.sampled_from(parts)) for _ in range(draw.draw(st.integers(1, 8)))]
    whole.append({"again": parts[draw.draw(index)], "itself": whole})
    assert shape(trip(whole)) == shape(pickle.loads(pickle.dumps(whole)))


@pytest.mark.parametrize(
    "value",
    [
        *(
            sign * 2**power + more
            for power in (7, 8, 31, 32, 62, 63, 64, 65, 4000)
            for more in (-1, 0, 1)
            for sign in (1, -1)
        ),
        *(0.0, -0.0, math.inf, -math.inf, math.nan, sys.float_info.max, 5e-324),
        *("", "a", "\0", "\xff", "\u0100", "\ud800", "\U0010ffff", "a\u1234b" * 100, "x" * 100_000),
        *(b"", b"\0", bytes(range(256)), bytearray(), bytearray(b"x")),
        *((), [], {}, set(), frozenset(), [[]], ((),), [1], [1.0], [None]),
        *([1, 2, 2**63], [1, 2.0], [1.0, 2], [True, 1], [1, True], [1, None], [-(2**63), 2**63 - 1]),
        *([1] * 10_000, [0.5] * 10_000, ["x"] * 10_000, {str(i): i for i in range(10_000)}, set(range(10_000))),
        10**5000,
    ],
    ids=lambda value: f"{type(value).__name__} {str(value)[:20] if type(value) is not int else value.bit_length()}",
)
def test_corners_survive_the_trip(value):
    assert shape(trip(value)) == shape(value)


def test_cycles_come_back_as_cycles():
    loop: list = []
    loop.append(loop)
    back = trip(loop)
    assert back[0] is back
    tree: dict = {"children": []}
    tree["children"].append({"parent": tree})
    back = trip(tree)
    assert back["children"][0]["parent"] is back


def test_one_text_is_sent_once():
    text = "text " * 1000
    assert len(encode([text] * 1000)) < 2 * len(text) + 5000
    back = trip([text, text])
    assert back[0] is back[1]


def test_keys_of_many_dicts_come_back_as_the_same_objects():
    key = "key of " + str(len(sys.argv))
    back = trip([{key: 1}, {key: 2}])
    assert next(iter(back[0])) is next(iter(back[1]))


class Number(int):
    pass


class Colour(IntEnum):
    RED = 1


Point = namedtuple("Point", "x y")


def deep(depth):
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


def tuple_in_itself():
    inner: list = []
    whole = (inner,)
    inner.append(whole)
    return whole


@pytest.mark.parametrize(
    "value",
    [
        Number(1),
        Colour.RED,
        Point(1, 2),
        OrderedDict(a=1),
        Counter("a"),
        Decimal(1),
        object(),
        len,
        int,
        ...,
        NotImplemented,
        range(3),
        memoryview(b"x"),
        bytes(LARGE),
        bytearray(LARGE),
        deep(200),
        deep(100_000),
        tuple_in_itself(),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("around", [lambda value: value, lambda value: [1, {"a": (value,)}]], ids=["bare", "inside"])
def test_what_is_not_plain_or_better_left_to_pickle_is_refused(value, around):
    assert encode(around(value)) is None


def test_a_pickle_is_told_from_plain_data():
    assert decode(pickle.dumps([1], 5)) is NotImplemented
    assert decode(b"") is NotImplemented


def test_a_list_that_a_collection_changes_meanwhile_is_safe():
    """A set makes an iterator, which may start a collection, which may call anything."""
    done = run(
        """
        import gc
        from hypern import _core
        encode, decode = _core.plain[:2]

        class Changes:
            def __del__(self):
                victim.clear()

        gc.set_threshold(1)
        for turn in range(3000):
            victim = [{turn, "x"}, [str(turn)], {"k": [turn] * 3}, (str(turn), [turn]), {turn + 1}] * 2
            holder = {"a": victim, "b": {turn}, (frozenset({turn}), 1): [str(turn)]}
            garbage = Changes()
            garbage.me = garbage
            del garbage
            encoded = encode([holder, victim])
            if encoded is not None:
                decode(encoded)
        """
    )
    assert done.rc == 0, done.report()


def test_nothing_leaks():
    """Counted in blocks of the allocator, over successes and failures of both functions."""
    value = [{"a": [1, 2.5, "text" * 5, {3}, frozenset({"x" * 9})], "b": (b"bytes" * 3, [None])}, 2**100] * 3
    encoded = encode(value)
    broken = encoded[:-3]

    def once():
        decode(encode(value))
        encode([*value, object()])
        encode([*value, deep(150)])
        for bytes_ in (broken, encoded + b"\0"):
            with pytest.raises(ValueError, match="no plain data"):
                decode(bytes_)

    for _ in range(20):
        once()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(200):
        once()
    gc.collect()
    assert sys.getallocatedblocks() - before < 100


def test_bytes_from_elsewhere_raise_and_do_no_harm():
    """A worker process may send anything. In a child, because what this looks for is a crash."""
    done = run(
        f"""
        import random
        from hypern import _core
        encode, decode = _core.plain[:2]

        random.seed(7)
        inner = [1, -5, 2**70, 1.5, 2j, "text", "\\u1234", "\\U0001f600", b"b", bytearray(b"c"), None, True, {{1, "a"}}]
        sample = [inner, {{"a": inner, 1: (inner, "text")}}, frozenset({{"x", (1, 2)}}), [0.5] * 5, [7] * 5, inner]
        good = encode(sample)
        good_ends = bad_ends = 0
        for turn in range({20_000}):
            data = bytearray(good)
            for _ in range(random.randrange(1, 6)):
                how = random.random()
                place = random.randrange(1, len(data))
                if how < 0.6:
                    data[place] = random.choice([random.randrange(256), random.randrange(20), 0x80 | random.randrange(20)])
                elif how < 0.8:
                    del data[place : place + random.randrange(9)]
                else:
                    data[place:place] = random.randbytes(random.randrange(9))
            try:
                repr(decode(bytes(data)))
                good_ends += 1
            except (ValueError, TypeError, RecursionError, SystemError):
                bad_ends += 1
        assert good_ends > 100 and bad_ends > 100, (good_ends, bad_ends)
        """
    )
    done.ok()


def test_a_short_message_cannot_ask_for_much_memory():
    done = run(
        """
        import resource
        from hypern import _core
        encode, decode = _core.plain[:2]

        def varint(value):
            out = bytearray()
            while value >= 0x80:
                out.append(value & 0x7F | 0x80)
                value >>= 7
            return bytes([*out, value])

        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for tag in range(20):
            for count in (1 << 20, 1 << 33, 1 << 40, (1 << 62) + 1, (1 << 64) - 1):
                for nested in (1, 50):
                    try:
                        decode(b"\\xd7" + (bytes([tag]) + varint(count)) * nested + bytes(1000))
                    except (ValueError, TypeError):
                        continue
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
        """
    )
    done.ok()


@pytest.mark.parametrize("seed", range(5))
def test_records_take_the_plain_way(seed):
    """What the codec is for must not silently go by pickle."""
    random.seed(seed)
    records = [{"id": n, "text": str(random.random()), "values": [random.random()] * 3} for n in range(100)]
    assert trip(records) == records


# Watching


def watched(data, act=lambda data: None):
    noted = watch(data)
    kept = act(data)
    word = look(noted) if noted is not None else "nothing to watch"
    del kept
    return word


@pytest.mark.parametrize("data", [(), (1, "a"), ("a", b"b", (1.5, None), frozenset({1}))])
def test_what_cannot_change_is_not_watched(data):
    assert watch((data, None)) is None


def test_the_outermost_container_is_not_watched():
    data = [1, 2]
    assert watched(data, lambda data: data.append(3)) == "nothing to watch"


@pytest.mark.parametrize(
    "act",
    [
        lambda data: data[0].append(1),
        lambda data: data[0].reverse(),
        lambda data: data[0].__setitem__(0, 99),
        lambda data: data[1].update(k=2),
        lambda data: data[1].pop("k"),
        lambda data: data[1].update(other=2),
        lambda data: data[1].__setitem__("k", data[1].pop("k")) or data[1].__setitem__("j", data[1].pop("j")),
        lambda data: data[2].add(9),
        lambda data: data[2].discard(1),
        lambda data: data[3].append(7),
        lambda data: data[3].__setitem__(0, 0),
        lambda data: data[4][1]["deep"].append(None),
        lambda data: data[0].sort(),
    ],
)
def test_a_change_is_seen(act):
    data = [[3, 1, 2], {"k": 1, "j": [2]}, {1, 2}, bytearray(b"abc"), (1, {"deep": []})]
    assert watched(data) == ""
    assert watched(data, act) == "changed" or act(data) is None and data[1] == {"k": 1, "j": [2]}


def test_a_change_and_back_is_none():
    data = [[1, 2]]
    assert watched(data, lambda data: data[0].append(3) or data[0].pop()) == ""


@pytest.mark.parametrize("get", [lambda data: data[0], lambda data: data[1]["j"], lambda data: [data[0]]])
def test_who_keeps_a_container_is_seen(get):
    assert watched([[1], {"j": [2]}], get) == "kept"


def test_who_keeps_something_immutable_is_not():
    assert watched([["text" * 3, (1, 2)]], lambda data: (data[0][0], data[0][1])) == ""


def test_data_in_cycles_and_shared_data_are_watched():
    loop: list = []
    loop.append(loop)
    data = [loop, loop, {"a": loop}]
    assert watched(data) == ""
    assert watched(data, lambda data: data[0].append(1)) == "changed"


class Fields:
    def __init__(self, **fields):
        vars(self).update(fields)


class Slots:
    __slots__ = ("one", "other")

    def __init__(self, one):
        self.one = one


class Items(tuple):
    __slots__ = ()


KINDS = {Fields: (), Slots: (Slots.one, Slots.other), Items: ()}


def watched_with_instances(data, act=lambda data: None):
    noted = watch_instances((data, KINDS))
    kept = act(data)
    word = look(noted)
    del kept
    return word


def instances():
    return [Fields(a=1, b=[2]), Slots([3]), Items(([4],)), {"k": Slots(5)}, (Fields(c=Items()),), {Items(): 6}]


@pytest.mark.parametrize(
    "act",
    [
        lambda data: setattr(data[0], "a", 2),
        lambda data: setattr(data[0], "z", 2),
        lambda data: delattr(data[0], "a"),
        lambda data: data[0].b.append(1),
        lambda data: setattr(data[1], "one", [3]),
        lambda data: setattr(data[1], "other", 1),
        lambda data: delattr(data[1], "one"),
        lambda data: data[1].one.append(1),
        lambda data: data[2][0].append(1),
        lambda data: setattr(data[3]["k"], "one", 1),
        lambda data: vars(data[4][0]).clear(),
        lambda data: setattr(data[0], "__class__", type("Fields", (), {})),
        lambda data: setattr(data[2], "__class__", type("Items", (tuple,), {"__slots__": ()})),
    ],
)
def test_a_change_of_an_instance_is_seen(act):
    assert watched_with_instances(instances()) == ""
    assert watched_with_instances(instances(), act) == "changed"


@pytest.mark.parametrize(
    "get",
    [
        lambda data: data[0],
        lambda data: vars(data[0]),
        lambda data: data[0].b,
        lambda data: [data[1]],
        lambda data: data[1].one,
        lambda data: data[2],
        lambda data: data[4][0].c,
        lambda data: [*data[5]],
        lambda data: setattr(data[0], "__dict__", dict(vars(data[0]))),
    ],
)
def test_who_keeps_an_instance_is_seen(get):
    assert watched_with_instances(instances(), get) == "kept"


def test_instances_in_cycles_are_watched():
    fields = Fields()
    fields.itself = fields
    assert watched_with_instances([fields, fields]) == ""
    assert watched_with_instances([fields], lambda data: delattr(data[0], "itself")) == "changed"


@pytest.mark.parametrize("key", [Slots(1), (1, Slots(1)), Items((Fields(),))])
def test_an_instance_that_is_a_key_is_refused(key):
    for data in ([{key: 1}], [key, {key: 1}], [[{"k": {key: 1}}]]):
        with pytest.raises(ValueError, match="is a key"):
            watch_instances((data, KINDS))


@pytest.mark.parametrize("wrong", [None, (), ([],), ([], None), [[], {}], ([], {}, 1)])
def test_watching_asks_for_classes(wrong):
    with pytest.raises(TypeError, match="expected"):
        watch_instances(wrong)


def test_instances_of_other_classes_are_not_watched():
    assert watch_instances(([Fields()], {Slots: ()})) is None
    assert watch_instances(([Fields()], {Fields: "no slots"})) is None


@thoroughly
@given(data)
def test_watching_changes_nothing(value):
    before = shape(value)
    assert watched([value]) in ("", "nothing to watch")
    assert shape(value) == before


def test_a_set_that_would_be_iterated_in_another_order_is_refused_where_that_counts():
    grown = set(range(1000))
    for number in range(3, 1000):
        grown.discard(number)
    same = 0
    for added in range(8, 4096, 8):
        sample = {*grown, added, added + 64, added + 1024}
        encoded = encode(sample)
        assert decode(encoded) == sample
        try:
            assert list(decode_exactly(encoded)) == list(sample)
            same += 1
        except ValueError as error:
            assert "order" in str(error)
    shuffled = {64, 0, 128, 8}
    assert list(decode(encode(shuffled))) == list(shuffled) or pytest.raises(
        ValueError, decode_exactly, encode(shuffled)
    )
    assert same


def test_who_keeps_a_tuple_with_something_mutable_in_it_is_seen():
    assert watched([([1], "a")], lambda data: data[0]) == "kept"
    assert watched([(1, (2, [3]))], lambda data: data[0][1]) == "kept"
    shared = [1]
    assert watched([shared, (shared,)], lambda data: data[1]) == "kept"
    assert watched([((1, 2), "a")], lambda data: data[0]) == "nothing to watch"


def nan():
    return float("nan")


@pytest.mark.parametrize("make", [nan, lambda: [nan()], lambda: [1.0, nan()], lambda: [*map(float, ["1.5", "nan"])]])
def test_a_nan_is_refused_where_it_would_be_told_from_its_copy(make):
    assert encode(make()) is not None
    with pytest.raises(ValueError, match="NaN"):
        encode_exactly({"a": make()})


@pytest.mark.parametrize("nan", [math.nan, complex(0, math.nan)])
@pytest.mark.parametrize("value", [lambda nan: [nan], lambda nan: {"a": nan}, lambda nan: [1.0] * 9 + [nan]])
def test_a_nan_that_may_be_met_again_is_left_to_pickle(value, nan):
    assert encode(value(nan)) is None


def test_a_set_from_which_something_was_taken_is_left_to_pickle():
    popped, discarded = {*range(8)}, {1, 2}
    popped.add(popped.pop())
    discarded.discard(1)
    assert encode(popped) is None and encode(discarded) is None
    assert encode(frozenset(popped)) is not None and encode({2}) is not None


def test_what_is_the_same_as_its_copy_is_encoded_the_same_way():
    value = [1.5, [0.5] * 9, {"a": (1, 2j)}, math.inf]
    assert encode_exactly(value) == encode(value)
