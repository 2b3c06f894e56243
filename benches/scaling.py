"""P1: how much sooner CPU-bound Python is done on a pool than serially, and at what cost in CPU time.

Two kinds of work, each task with its own data: a loop that allocates next to nothing, and dicts, lists and strings,
which lean on the allocator. Each round opens new pools: a process keeps for life how fast its memory layout lets it
run, and processes differ by 5 % in that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import measure
import rivals
import work

if TYPE_CHECKING:
    from collections.abc import Callable

TASKS = 40


def main() -> None:
    """Run the bench."""
    options = measure.options(__doc__)
    report = measure.Report("scaling")
    seeds = list(range(options.scaled(TASKS)))
    functions = (work.loop, work.containers)
    taken: dict[str, list[dict[str, measure.Samples]]] = {function.__name__: [] for function in functions}
    for number in range(options.rounds):
        report.missing.clear()
        with rivals.open_pools(options, report) as pools:
            for function in functions:
                taken[function.__name__].append(measure.interleave(_cases(function, seeds, pools), 1, first=number))
    for kind, rounds in taken.items():
        samples = {name: measure.Samples(tuple(one[name].rounds[0] for one in rounds)) for name in rounds[0]}
        _report(report, kind, samples, options)
    report.close(options)


def _report(report: measure.Report, kind: str, samples: dict[str, measure.Samples], options: measure.Options) -> None:
    table = report.table(f"{kind}: {options.scaled(TASKS)} tasks")
    serial = samples["serial"]
    for name, taken in samples.items():
        table.add(
            name,
            speed_up=serial.over(taken),
            seconds=taken.seconds,
            CPU_seconds=taken.cpu_seconds,
            CPU_x_serial=taken.cpu_seconds / serial.cpu_seconds,
        )
    bounds = {"interpreters": 1.95, "auto": 1.8} if kind == "loop" else {"interpreters": 1.7}
    for backend, name in rivals.parallel_backends(options).items():
        bound = bounds.get(backend, 1.9 if kind == "loop" else None)
        if bound:
            report.at_least(f"speed-up of {kind}, {name}", serial.over(samples[name]), bound)


def _cases(function: Callable[[int], int], seeds: list[int], pools: list[rivals.Contender]) -> list[measure.Case]:
    serial = measure.Case("serial", lambda: [function(seed) for seed in seeds])
    expected = [function(seed) for seed in seeds]
    cases = [serial]
    for pool in pools:
        chunk = 0 if pool.chunks_itself else 1
        assert pool.map(function, seeds, chunk=chunk) == expected, pool.name
        cases.append(measure.Case(pool.name, lambda pool=pool, chunk=chunk: pool.map(function, seeds, chunk=chunk)))
    return cases


if __name__ == "__main__":
    main()
