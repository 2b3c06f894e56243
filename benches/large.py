"""What it costs to hand 64 MiB to a task, as bytes and as a memoryview, against copying them once in this process."""

from __future__ import annotations

from functools import partial

import measure
import rivals
import work

SIZE = 64 << 20
SMALL = 1 << 20


def main() -> None:
    """Run the bench."""
    options = measure.options(__doc__)
    report = measure.Report("large")
    data, few = bytes(options.scaled(SIZE)), bytes(SMALL)
    cases = [measure.Case("one copy", partial(bytearray, data))]
    with rivals.open_pools(options, report) as pools:
        ours = [pool for pool in pools if isinstance(pool, rivals.Hypern)]
        for pool in ours:
            cases.append(measure.Case(f"{pool.name}, bytes", partial(pool.pool.run_sync, work.measure, data)))
            for size, content in (("large", data), ("small", few)):
                call = partial(pool.pool.run_sync, work.measure, memoryview(content))
                cases.append(measure.Case(f"{pool.name}, {size} memoryview", _repeat(call, 200), 200))
        samples = measure.interleave(cases, options.rounds)

    copy = samples["one copy"]
    table = report.table(f"{len(data) >> 20} MiB to a task and its length back; a small memoryview is of 1 MiB")
    for name, taken in samples.items():
        table.add(name, ms=taken.seconds * 1e3, x_one_copy=taken.over(copy))
    for backend in options.backends:
        if backend == "interpreters":
            name = rivals.hypern_name(backend)
            report.at_most(f"copies of bytes, {name}", samples[f"{name}, bytes"].over(copy), 2.0)
            ratio = samples[f"{name}, large memoryview"].over(samples[f"{name}, small memoryview"])
            report.at_most(f"large memoryview over small one, {name}", ratio, 2.0)
    report.close(options)


def _repeat(call: partial[int], count: int) -> partial[None]:
    return partial(_run, call, count)


def _run(call: partial[int], count: int) -> None:
    for _ in range(count):
        call()


if __name__ == "__main__":
    main()
