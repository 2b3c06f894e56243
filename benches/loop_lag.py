"""P6: how late an asyncio loop wakes while a pool is full of Python code: the delay of a 2 ms sleep beyond its time."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

import measure
import rivals
import work

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

TICKS = 500
PAUSE = 0.002


def main() -> None:
    """Run the bench."""
    options = measure.options(__doc__, rounds=3)
    report = measure.Report("loop_lag")
    with rivals.open_pools(options, report) as pools:
        executors: dict[str, Executor | None] = {"no pool": None}
        executors |= {pool.name: pool.pool for pool in pools if isinstance(pool, (rivals.Hypern, rivals.Futures))}
        lags: dict[str, list[float]] = {name: [] for name in executors}
        for _ in range(options.rounds):
            for name, executor in executors.items():
                lags[name] += asyncio.run(_lags(executor, options.workers, options.scaled(TICKS)))

    table = report.table("lag of the loop in ms")
    for name, values in lags.items():
        table.add(name, median=_ms(values, 0.5), p99=_ms(values, 0.99), worst=max(values) * 1e3)
    for name in rivals.parallel_backends(options).values():
        report.at_most(f"p99 lag in ms, {name}", _ms(lags[name], 0.99), 0.3)
    report.close(options)


async def _lags(executor: Executor | None, workers: int, ticks: int) -> list[float]:
    """Take `ticks` naps while every worker is busy and a second task waits behind each."""
    loop = asyncio.get_running_loop()
    seeds = count()
    stopped = False

    async def feed() -> None:
        while not stopped:
            await loop.run_in_executor(executor, work.loop, next(seeds))

    feeders = [asyncio.create_task(feed()) for _ in range(2 * workers if executor else 0)]
    lags: list[float] = []
    for number in range(ticks + 20):
        due = loop.time() + PAUSE
        await asyncio.sleep(PAUSE)
        if number >= 20:  # the first naps see the pool fill up
            lags.append(loop.time() - due)
    stopped = True
    await asyncio.gather(*feeders)
    return lags


def _ms(values: Sequence[float], share: float) -> float:
    return measure.percentile(values, share) * 1e3


if __name__ == "__main__":
    main()
