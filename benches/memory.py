"""How much resident memory a worker takes, and 1,000,000 tasks leave behind, in this process and in a pool's children.

A tenth as many tasks come first and do not count.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import wait
from contextlib import suppress
from typing import TYPE_CHECKING

import measure
import rivals
import work

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypern import BlockingExecutor

TASKS = 1_000_000
AT_ONCE = 10_000
GROWTH_MB = 8.0


def main() -> None:
    """Run the bench."""
    options = measure.options(__doc__)
    if not measure.LINUX:
        sys.exit("memory: resident memory is read from /proc, which this system does not have")
    report = measure.Report("memory")
    _per_worker(options, report)
    table = report.table("growth of resident memory")
    for backend in options.backends:
        # A future, and an exception even more so, costs more time than a task of a batch: fewer of them.
        for way, run, share in (
            ("run_parallel", _batches, 1),
            ("map", _maps, 1),
            ("submit", _futures, 5),
            ("failing", _failures, 50),
        ):
            tasks = max(AT_ONCE, options.scaled(TASKS) // share)
            name = f"{rivals.hypern_name(backend)}, {way}"
            with rivals.open_hypern(backend, options.workers) as pool:
                run(pool, max(AT_ONCE, tasks // 10))
                before = measure.resident_bytes()
                sample = measure.time_case(measure.Case(name, lambda run=run, pool=pool, tasks=tasks: run(pool, tasks)))
                growth = (measure.resident_bytes() - before) / 1e6
            table.add(name, tasks=str(tasks), growth_MB=growth, total_MB=before / 1e6 + growth, seconds=sample.seconds)
            report.at_most(f"MB left by {tasks} tasks, {name}", growth, GROWTH_MB)
    report.close(options)


def _per_worker(options: measure.Options, report: measure.Report) -> None:
    """Of pools with many workers, so that what one worker takes stands out; after one call on each, all at once."""
    many = 8
    table = report.table(f"resident memory of each of {many} workers that have done one call of time.sleep")
    for backend in options.backends:
        with rivals.open_hypern(backend, 1) as first:
            first.run_sync(time.sleep, 0.0)
            before = measure.resident_bytes()
            with rivals.open_hypern(backend, many) as pool:
                wait([pool.submit(time.sleep, 1.0) for _ in range(many)])
                each = (measure.resident_bytes() - before) / many / 1e6
        name = rivals.hypern_name(backend)
        table.add(name, MB=each)
        if backend == "interpreters":
            report.at_most(f"MB of a worker, {name}", each, 3.1)  # 3 MiB


def _batches(pool: BlockingExecutor, count: int) -> None:
    for _ in range(count // AT_ONCE):
        pool.run_parallel([(work.noop, ())] * AT_ONCE)


def _maps(pool: BlockingExecutor, count: int) -> None:
    for _ in range(count // AT_ONCE):
        pool.map(work.ignore, range(AT_ONCE))


def _futures(pool: BlockingExecutor, count: int) -> None:
    _submit(pool, work.noop, count)


def _failures(pool: BlockingExecutor, count: int) -> None:
    _submit(pool, work.fail, count)
    with suppress(ValueError):
        pool.run_sync(work.fail)


def _submit(pool: BlockingExecutor, function: Callable[[], None], count: int) -> None:
    for _ in range(count // AT_ONCE):
        wait([pool.submit(function) for _ in range(AT_ONCE)])


if __name__ == "__main__":
    main()
