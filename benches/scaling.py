"""P1: how much sooner CPU-bound Python is done on a pool than serially, and at what cost in CPU time.

Two kinds of work, each task with its own data: a loop that allocates next to nothing, and dicts, lists and strings,
which lean on the allocator.
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
    with rivals.open_pools(options, report) as pools:
        for function in (work.loop, work.containers):
            table = report.table(f"{function.__name__}: {options.scaled(TASKS)} tasks")
            samples = measure.interleave(_cases(function, list(range(options.scaled(TASKS))), pools), options.rounds)
            serial = samples["serial"]
            for name, taken in samples.items():
                table.add(
                    name,
                    speed_up=serial.over(taken),
                    seconds=taken.seconds,
                    CPU_seconds=taken.cpu_seconds,
                    CPU_x_serial=taken.cpu_seconds / serial.cpu_seconds,
                )
            if function is work.loop:
                for name in rivals.parallel_backends(options).values():
                    report.at_least(f"speed-up, {name}", serial.over(samples[name]), 1.9)
    report.close(options)


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
