"""P5: `x**2` over 1,000,000 integers, against a list comprehension that calls the same function.

No pool can win much here; the question is what it costs to hand such work to one by mistake. Pools that need long for
it get fewer items, and each row is the time per item.
"""

from __future__ import annotations

from functools import partial

import measure
import rivals
import work

ITEMS = 1_000_000
CHUNKS = (1_000, 10_000, 100_000)
SHARE = {"ThreadPoolExecutor": 50, "InterpreterPoolExecutor": 50, "joblib": 10}


def main() -> None:
    """Run the bench."""
    options = measure.options(__doc__)
    report = measure.Report("tiny")
    items = list(range(options.scaled(ITEMS)))

    with rivals.open_pools(options, report) as pools:
        cases = [measure.Case("list comprehension", lambda: [work.square(item) for item in items], len(items))]
        chunks = {"list comprehension": "-"}
        for pool in pools:
            some = items[: len(items) // SHARE.get(pool.name, 1)]
            own = isinstance(pool, rivals.Hypern)
            chunk = 0 if own else rivals.best_chunk(pool, work.square, some, CHUNKS)
            assert pool.map(work.square, some, chunk=chunk) == [item**2 for item in some], pool.name
            cases.append(measure.Case(pool.name, partial(pool.map, work.square, some, chunk=chunk), len(some)))
            chunks[pool.name] = "own" if own else str(chunk)
        samples = measure.interleave(cases, options.rounds)

    plain = samples["list comprehension"]
    table = report.table(f"square of {len(items)} integers")
    for name, taken in samples.items():
        table.add(
            name,
            x_comprehension=taken.over(plain),
            ns_per_item=taken.seconds * 1e9,
            CPU_ns=taken.cpu_seconds * 1e9,
            chunk=chunks[name],
        )
    for backend in options.backends:
        name = rivals.hypern_name(backend)
        report.at_most(f"x**2, {name} / list comprehension", samples[name].over(plain), 1.3)
    report.close(options)


if __name__ == "__main__":
    main()
