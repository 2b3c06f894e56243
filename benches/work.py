"""The work that the benches hand out. All at module level, so that a process pool can find it by name."""

from __future__ import annotations

import functools
import hashlib
import random
from typing import TypedDict

LOOP_STEPS = 400_000
CONTAINER_STEPS = 40_000
#: Chosen for 20 us on CPython 3.14 on the machine that README.md speaks of.
RECORD_PASSES = 14


def endless() -> None:
    """Run until somebody stops it."""
    while True:
        pass


def noop() -> None:
    """Do nothing: what is left is the pool."""


def ignore(item: object) -> None:
    """Do nothing with one item: `noop` for `map`."""


def fail() -> None:
    """Raise."""
    raise ValueError("on purpose")


def measure(data: bytes | memoryview) -> int:
    """Look at the ends of some data and return its length: all that a task must at least do with it."""
    return len(data) if data[0] == data[-1] else -1


def square(number: int) -> int:
    """The smallest work there is."""
    return number**2


def loop(seed: int) -> int:
    """About 30 ms of integer arithmetic that allocates next to nothing.

    The operands are made here: free-threaded 3.13 counts references to the constants of an imported module, and
    threads that share them slow each other down by 1.4 whatever pool they are in. ``containers`` leaves that in.
    """
    value, factor, modulus = seed, 1_103_515_245 + seed, 2_147_483_647 - seed
    for step in range(LOOP_STEPS):
        value = (value * factor + step) % modulus
    return value


def loops(count: int) -> int:
    """So many of them, one after the other."""
    return sum(loop(seed) for seed in range(count))


def containers(seed: int) -> int:
    """About 30 ms of dicts, lists and strings: work that leans on the allocator and on reference counts."""
    value = seed
    groups: dict[str, list[str]] = {}
    for step in range(CONTAINER_STEPS):
        value = (value * 1_103_515_245 + step) & 0x7FFF_FFFF
        groups.setdefault(f"group {value % 997}", []).append(str(value))
    return sum(len(",".join(words)) for words in groups.values())


class Record(TypedDict):
    """What comes in: an id, a text, and numbers to score."""

    id: int
    payload: str
    values: list[float]


class Scored(TypedDict):
    """What goes out."""

    id: int
    score: float
    hash: str


def make_records(count: int) -> list[Record]:
    """Make distinct records, the same ones every time."""
    random.seed(count)
    return [
        {
            "id": number,
            "payload": f"record {number} {random.getrandbits(400):x}",
            "values": [random.random() for _ in range(16)],
        }
        for number in range(count)
    ]


@functools.cache
def own_records(count: int) -> list[Record]:
    """Return the records that this process keeps."""
    return make_records(count)


def transform_share(count: int, share: int, shares: int) -> None:
    """Transform one of several shares of the records that this process keeps: the work alone, with nothing sent."""
    for record in own_records(count)[share::shares]:
        transform_record(record)


def transform_record(record: Record) -> Scored:
    """About 20 us of work on one record: a score from its values and letters, a hash of its payload."""
    score = 0.0
    for weight in range(1, RECORD_PASSES + 1):
        for position, value in enumerate(record["values"]):
            score += value * value / (position + weight) if value > 0.5 else value * position
    letters: dict[str, int] = {}
    for letter in record["payload"]:
        letters[letter] = letters.get(letter, 0) + 1
    score += sum(count * count for count in letters.values())
    return {
        "id": record["id"],
        "score": round(score, 6),
        "hash": hashlib.sha256(record["payload"].encode()).hexdigest(),
    }
