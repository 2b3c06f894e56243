"""P8: what an event loop pays for a call that does nothing: one awaited after the other, and many at once.

A wake-up is one return of the loop's selector with something to do, counted for calls that are all awaited at once.
"""

from __future__ import annotations

import asyncio
import selectors
from functools import partial
from typing import TYPE_CHECKING, Any

import measure
import rivals
import work

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

IN_TURN = 2_000
AT_ONCE = 100_000


class Counting(selectors.DefaultSelector):
    """Counts how often it returned with something to do."""

    wakes = 0

    def select(self, timeout: float | None = None) -> Any:
        """Wait as it does otherwise."""
        ready = super().select(timeout)
        # Nothing else is watched: the loop's own descriptor is that of `call_soon_threadsafe`.
        self.wakes += bool(ready)
        return ready


def main() -> None:
    """Run the bench."""
    options = measure.options(__doc__, rounds=7)
    report = measure.Report("awaits")
    in_turn, at_once = options.scaled(IN_TURN), options.scaled(AT_ONCE)
    with rivals.open_pools(options, report) as pools:
        calls: dict[str, Callable[[], Awaitable[object]]] = {"asyncio.to_thread": partial(asyncio.to_thread, work.noop)}
        for pool in pools:
            if isinstance(pool, rivals.Hypern):
                calls[pool.name] = partial(pool.pool.run_async, work.noop)
        cases = [measure.Case(name, partial(_in_turn, call, in_turn), in_turn) for name, call in calls.items()]
        samples = measure.interleave(cases, options.rounds)
        # A thread for each of 100,000 calls is not what `to_thread` is for: a tenth.
        counts = {name: at_once // 10 if name == "asyncio.to_thread" else at_once for name in calls}
        wakes: dict[str, int] = {}
        cases = [
            measure.Case(name, partial(_at_once, call, counts[name], name, wakes), counts[name])
            for name, call in calls.items()
        ]
        many = measure.interleave(cases, options.rounds)

    table = report.table("us for each await: one after the other, and of many at once; wake-ups for each of those")
    others = samples["asyncio.to_thread"]
    for name, taken in samples.items():
        table.add(
            name,
            us=taken.seconds * 1e6,
            x_to_thread=taken.over(others),
            us_at_once=many[name].seconds * 1e6,
            wakes_for_each=wakes[name] / counts[name],
        )
        if name != "asyncio.to_thread":
            report.at_most(f"await, {name} / asyncio.to_thread", taken.over(others), 1 / 2)
            report.at_most(f"wake-ups for each result, {name}", wakes[name] / counts[name], 1 / 10)
    report.close(options)


def _in_turn(call: Callable[[], Awaitable[object]], count: int) -> None:
    async def run() -> None:
        for _ in range(count):
            await call()

    asyncio.run(run())


def _at_once(call: Callable[[], Awaitable[object]], count: int, name: str, wakes: dict[str, int]) -> None:
    selector = Counting()

    async def run() -> None:
        await asyncio.gather(*(call() for _ in range(count)))

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(run())
    wakes[name] = selector.wakes


if __name__ == "__main__":
    main()
