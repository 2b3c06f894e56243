"""P2 and P3: what a pool costs when the work is nothing.

One call there and back, a batch of 100,000, and the first result of a new pool.
"""

from __future__ import annotations

import statistics
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import measure
import rivals
import work

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH = 100_000
FIRST_RESULT_MS = {"interpreters": 15.0, "processes": 30.0}


def main() -> None:
    """Run the bench."""
    options = measure.options(__doc__, rounds=7)
    report = measure.Report("overhead")
    with rivals.open_pools(options, report) as pools:
        _round_trip(pools, options, report)
        _batch(pools, options, report)
    _first_result(options, report)
    report.close(options)


def _round_trip(pools: list[rivals.Contender], options: measure.Options, report: measure.Report) -> None:
    calls = {"ThreadPoolExecutor": 5_000, "ProcessPoolExecutor": 1_000, "loky": 1_000, "hypern threads": 10_000}
    cases = [measure.Case("bare call", _repeat(work.noop, 100_000), 100_000)]
    for pool in pools:
        if pool.name == "joblib":
            continue  # has no call for one task
        count = options.scaled(calls.get(pool.name, 2_000))
        cases.append(measure.Case(pool.name, _repeat(partial(pool.call, work.noop), count), count))
        if isinstance(pool, rivals.Hypern):
            cases.append(measure.Case(f"{pool.name} submit", _repeat(partial(_submit, pool), count), count))
    samples = measure.interleave(cases, options.rounds)

    table = report.table("round trip: run_sync(noop) against submit(noop).result()")
    threads, processes = samples["ThreadPoolExecutor"], samples["ProcessPoolExecutor"]
    for name, taken in samples.items():
        table.add(
            name,
            us=taken.seconds * 1e6,
            CPU_us=taken.cpu_seconds * 1e6,
            x_ThreadPoolExecutor=taken.over(threads),
            x_ProcessPoolExecutor=taken.over(processes),
        )
    for backend in options.backends:
        name = rivals.hypern_name(backend)
        bound = 8 if backend == "threads" else 7
        report.at_most(f"round trip, {name} / ThreadPoolExecutor", samples[name].over(threads), 1 / bound)
        if backend == "interpreters" and "InterpreterPoolExecutor" in samples:
            ratio = samples[name].over(samples["InterpreterPoolExecutor"])
            report.at_most(f"round trip, {name} / InterpreterPoolExecutor", ratio, 1 / 15)
        if backend == "processes":
            report.at_most(f"round trip, {name} / ProcessPoolExecutor", samples[name].over(processes), 1 / 4)


def _batch(pools: list[rivals.Contender], options: measure.Options, report: measure.Report) -> None:
    full = options.scaled(BATCH)
    few = full // 50  # for the pools that pay about 100 us for each task
    slow = {"ProcessPoolExecutor", "InterpreterPoolExecutor", "loky", "joblib"}
    cases = [measure.Case("bare call", _repeat(work.noop, full), full)]
    for pool in pools:
        count = few if pool.name in slow else full
        tasks: list[rivals.Task] = [(work.noop, ())] * count
        cases.append(measure.Case(f"{pool.name} one by one", partial(pool.batch, tasks), count))
        chunk = 0 if pool.chunks_itself else 1_000
        cases.append(measure.Case(f"{pool.name} map", partial(pool.map, work.ignore, range(full), chunk=chunk), full))
    samples = measure.interleave(cases, options.rounds)

    table = report.table(
        f"batch of {full} noops ({few} one by one for the process pools of others), us per task over the bare call"
    )
    bare = samples["bare call"].seconds
    for name, taken in samples.items():
        table.add(
            name,
            us=(taken.seconds - bare) * 1e6 if name != "bare call" else taken.seconds * 1e6,
            CPU_us=taken.cpu_seconds * 1e6,
        )
    for backend in options.backends:
        name = rivals.hypern_name(backend)
        extra = (samples[f"{name} one by one"].seconds - bare) * 1e6
        report.at_most(f"us per task of a batch, {name}", extra, 0.3 if backend == "threads" else 1.0)


def _first_result(options: measure.Options, report: measure.Report) -> None:
    openers: dict[str, Callable[[int], Executor]] = {
        rivals.hypern_name(backend): partial(rivals.open_hypern, backend) for backend in options.backends
    }
    openers |= {"ThreadPoolExecutor": ThreadPoolExecutor, "ProcessPoolExecutor": rivals.open_process_pool}
    taken: dict[str, list[float]] = {name: [] for name in openers}
    for _ in range(options.rounds):
        for name, open_pool in openers.items():
            taken[name].append(_seconds_to_first(open_pool, options.workers))

    table = report.table("new pool: ms to its first result")
    for name, seconds in taken.items():
        table.add(name, ms=statistics.median(seconds) * 1e3)
    for backend in options.backends:
        if backend in FIRST_RESULT_MS:
            name = rivals.hypern_name(backend)
            report.at_most(
                f"ms to the first result, {name}", statistics.median(taken[name]) * 1e3, FIRST_RESULT_MS[backend]
            )


def _seconds_to_first(open_pool: Callable[[int], Executor], workers: int) -> float:
    clock = time.perf_counter()
    pool = open_pool(workers)
    pool.submit(work.noop).result()
    seconds = time.perf_counter() - clock
    pool.shutdown()
    return seconds


def _submit(pool: rivals.Hypern) -> object:
    return pool.pool.submit(work.noop).result()


def _repeat(function: Callable[[], Any], count: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(count):
            function()

    return run


if __name__ == "__main__":
    main()
