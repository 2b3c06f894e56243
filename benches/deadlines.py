"""How long after its call a caller has the TaskTimeout of an endless loop in Python; the next task must be well."""

from __future__ import annotations

import time

import measure
import rivals
import work

from hypern import TaskTimeout

CALLS = 1_000
DEADLINE = 0.1


def main() -> None:
    """Run the bench; its one round has all the calls."""
    options = measure.options(__doc__, rounds=1)
    report = measure.Report("deadlines")
    calls = options.scaled(CALLS)
    table = report.table(f"ms until the caller has it, {calls} times in a row")
    with rivals.open_pools(options, report) as pools:
        for pool in pools:
            if isinstance(pool, rivals.Hypern):
                taken = [_seconds(pool) for _ in range(calls)]
                p50, p99 = (measure.percentile(taken, share) * 1e3 for share in (0.5, 0.99))
                table.add(pool.name, median=p50, p99=p99, worst=max(taken) * 1e3)
                report.at_most(f"ms until the last of {calls} has it, {pool.name}", max(taken) * 1e3, 150)
    report.close(options)


def _seconds(pool: rivals.Hypern) -> float:
    began = time.perf_counter()
    try:
        pool.pool.options(timeout=DEADLINE).run_sync(work.endless)
    except TaskTimeout:
        taken = time.perf_counter() - began
    assert pool.call(work.noop) is None, pool.name
    return taken


if __name__ == "__main__":
    main()
