"""Times and reports for every bench: interleaved rounds, paired ratios, CPU time of all processes, tables, goals.

A machine drifts within seconds, so numbers of different minutes are never compared: each round runs every contender
once, in an order of its own, and a ratio is the median over the rounds of the ratio in a round.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import sysconfig
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

LINUX = sys.platform == "linux"


# ---- options


@dataclass(frozen=True, slots=True)
class Options:
    """What every bench can be told on its command line."""

    backends: tuple[str, ...]
    workers: int
    rounds: int
    quick: bool
    json: str | None

    def scaled(self, count: int) -> int:
        """A tenth of `count` when the bench is to be quick."""
        return max(1, count // 10) if self.quick else count


def options(description: str | None, *, rounds: int = 5) -> Options:
    """Read the command line. Backends default to all that `python -m hypern info` lists as available."""
    from hypern import _executor, _info

    here = (*(backend.name for backend in _info.backends() if backend.available), "auto")
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument(
        "--backend",
        nargs="+",
        choices=here,
        default=here,
        help="backends of hypern to run (default: all that exist here)",
    )
    parser.add_argument(
        "--threads", type=int, default=0, metavar="N", help="workers of every pool (default: one per usable CPU)"
    )
    parser.add_argument(
        "--rounds", type=int, default=rounds, metavar="N", help=f"interleaved rounds (default: {rounds})"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the work in 3 rounds: to see that it runs, not to quote"
    )
    parser.add_argument("--json", metavar="FILE", help="also write the numbers there")
    words = parser.parse_args()
    return Options(
        backends=tuple(words.backend),
        workers=words.threads or _executor.default_workers(),
        rounds=min(3, words.rounds) if words.quick else words.rounds,
        quick=words.quick,
        json=words.json,
    )


# ---- timing


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to time: `run` does `operations` operations, and its samples are per operation."""

    name: str
    run: Callable[[], object]
    operations: int = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """One timed run: seconds by the clock, and CPU seconds of this process and all below it."""

    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Samples:
    """The samples of one case, one per round, in order."""

    rounds: tuple[Sample, ...]

    @property
    def seconds(self) -> float:
        return statistics.median(sample.seconds for sample in self.rounds)

    @property
    def cpu_seconds(self) -> float:
        return statistics.median(sample.cpu_seconds for sample in self.rounds)

    def over(self, other: Samples) -> float:
        """How many times longer this took than `other`: the median of the rounds' ratios."""
        return statistics.median(
            mine.seconds / theirs.seconds for mine, theirs in zip(self.rounds, other.rounds, strict=True)
        )


def interleave(cases: Sequence[Case], rounds: int, *, first: int = 0) -> dict[str, Samples]:
    """Time every case once per round, after one round that does not count; the first round is number ``first``."""
    taken: dict[str, list[Sample]] = {case.name: [] for case in cases}
    for number in range(first - 1, first + rounds):
        for case in order(cases, number):
            _say(f"round {max(0, number - first + 1)}/{rounds}: {case.name}")
            sample = time_case(case)
            if number >= first:
                taken[case.name].append(sample)
    _say("")
    return {name: Samples(tuple(samples)) for name, samples in taken.items()}


def order(cases: Sequence[Case], number: int) -> list[Case]:
    """Return the cases in the order of that round.

    Over as many rounds as cases, twice as many for an odd number, each has every place and every predecessor equally
    often.

    What a case leaves in caches and memory slows the next one. The rows are those of E. J. Williams's designs balanced
    for residual effects (1949): forth and back in growing steps, mirrored every other time for an odd number.
    """
    side = -1 if len(cases) % 2 and number % 2 else 1
    steps = ((step + 1) // 2 * (1 if step % 2 else -1) for step in range(len(cases)))
    return [cases[(number + side * step) % len(cases)] for step in steps]


def time_case(case: Case) -> Sample:
    """Time one run of a case. The look at other processes stays outside of both clocks."""
    below = _cpu_seconds_below()
    own, clock = time.process_time(), time.perf_counter()
    case.run()
    seconds, own = time.perf_counter() - clock, time.process_time() - own
    return Sample(seconds / case.operations, (own + _cpu_seconds_below() - below) / case.operations)


def _cpu_seconds_below() -> float:
    """CPU time so far of this process's ended children, and on Linux of the living processes below it."""
    times = os.times()
    total = times.children_user + times.children_system
    for process in descendants():
        # The kernel's number for the CPU clock of that process, as clock_getcpuclockid(3) would return it. A process
        # that ends between the two looks counts among the ended children.
        with suppress(OSError):
            total += time.clock_gettime((~process << 3) | 2)
    return total


def resident_bytes() -> int:
    """Resident memory of this process and of all below it. Linux only."""
    total = 0
    for process in (os.getpid(), *descendants()):
        with suppress(OSError):
            total += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total


def descendants() -> list[int]:
    """The living processes below this one, at any depth; none where there is no /proc."""
    if not LINUX:
        return []
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                # The name in field 2 may hold spaces and parentheses: count fields from the last one.
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    todo = [os.getpid()]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


# ---- reporting


@dataclass(frozen=True, slots=True)
class Goal:
    """A number to reach: `reached` compared with `bound`, from below or from above."""

    what: str
    reached: float
    bound: float
    at_least: bool

    @property
    def met(self) -> bool:
        return self.reached >= self.bound if self.at_least else self.reached <= self.bound

    def __str__(self) -> str:
        verdict, sign = ("met   " if self.met else "MISSED"), (">=" if self.at_least else "<=")
        return f"{verdict}  {self.what}: {figure(self.reached)} (goal {sign} {figure(self.bound)})"


@dataclass(slots=True)
class Table:
    """Rows of named numbers under a title."""

    title: str
    rows: list[dict[str, str | float]] = field(default_factory=list[dict[str, "str | float"]])

    def add(self, name: str, **figures: str | float) -> None:
        """Add a row; the first row's names are the columns, underscores read as spaces."""
        self.rows.append({"name": name, **figures})

    def lines(self) -> Iterator[str]:
        """The table as aligned text."""
        columns = list(dict.fromkeys(column for row in self.rows for column in row if column != "name"))
        cells = [[str(row["name"]), *(_cell(row.get(column, "-")) for column in columns)] for row in self.rows]
        head = ["", *(column.replace("_", " ") for column in columns)]
        first, *others = (max(map(len, column)) for column in zip(head, *cells, strict=True))
        yield self.title
        for name, *figures in (head, *cells):
            aligned = (cell.rjust(width) for cell, width in zip(figures, others, strict=True))
            yield "   ".join(("  " + name.ljust(first), *aligned))


def machine() -> str:
    """One line on what this runs on, with the load that others put on it just now."""
    build = " free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
    return f"{platform.python_implementation()} {platform.python_version()}{build}, {system}{load}"


@dataclass(slots=True)
class Report:
    """What a bench has found: tables, goals, and who could not take part."""

    bench: str
    machine: str = field(default_factory=machine)
    tables: list[Table] = field(default_factory=list[Table])
    goals: list[Goal] = field(default_factory=list[Goal])
    missing: list[str] = field(default_factory=list[str])

    def table(self, title: str) -> Table:
        """Begin a table."""
        table = Table(title)
        self.tables.append(table)
        return table

    def at_least(self, what: str, reached: float, bound: float) -> None:
        """State a goal that is met from `bound` upwards."""
        self.goals.append(Goal(what, reached, bound, at_least=True))

    def at_most(self, what: str, reached: float, bound: float) -> None:
        """State a goal that is met up to `bound`."""
        self.goals.append(Goal(what, reached, bound, at_least=False))

    def close(self, chosen: Options) -> None:
        """Print everything, and write it to the JSON file if one was named."""
        how = f"{chosen.workers} workers, {chosen.rounds} rounds{', quick' if chosen.quick else ''}"
        print(f"{self.bench}: {self.machine}, {how}")
        for table in self.tables:
            print("\n" + "\n".join(table.lines()))
        for name in self.missing:
            print(f"\n  {name} is missing: not installed here")
        if self.goals:
            print("\n" + "\n".join(f"  {goal}" for goal in self.goals))
        if chosen.json:
            Path(chosen.json).write_text(json.dumps({"how": how, **asdict(self)}, indent=1) + "\n")


def figure(value: float) -> str:
    """A number with three or four digits that mean something."""
    for bound, digits in ((100, 0), (10, 1), (1, 2)):
        if abs(value) >= bound:
            return f"{value:.{digits}f}"
    return f"{value:.3f}"


def percentile(values: Iterable[float], share: float) -> float:
    """The value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _cell(value: str | float) -> str:
    return value if isinstance(value, str) else figure(value)
