"""P4: 10,000 dict records, about 20 us of work each, against every process pool at its own best chunk size.

The best chunk of each pool is found by a sweep in the same run. hypern is shown twice: with the chunks it chooses
itself, which is what the goals are about, and at its best chunk. What the machine allows is shown beside them: worker
processes do their shares of the work on records that they have made themselves, so that nothing is sent.
"""

from __future__ import annotations

from functools import partial

import measure
import rivals
import work

RECORDS = 10_000
CHUNKS = (8, 32, 128, 512, 2_048)
ISOLATED = {"interpreters", "processes", "auto"}


def main() -> None:
    """Run the bench."""
    options = measure.options(__doc__, rounds=9)
    report = measure.Report("records")
    records = work.make_records(options.scaled(RECORDS))
    expected = [work.transform_record(record) for record in records]

    with rivals.open_pools(options, report) as pools:
        cases = [measure.Case("serial", lambda: [work.transform_record(record) for record in records])]
        chunks = {"serial": "-"}
        for pool in pools:
            assert pool.map(work.transform_record, records, chunk=512) == expected, pool.name
            chunk = rivals.best_chunk(pool, work.transform_record, records, CHUNKS)
            best = f"{pool.name}, best chunk" if pool.chunks_itself else pool.name
            cases.append(measure.Case(best, partial(pool.map, work.transform_record, records, chunk=chunk)))
            chunks[best] = str(chunk)
            if pool.chunks_itself:
                cases.append(measure.Case(pool.name, partial(pool.map, work.transform_record, records, chunk=0)))
                chunks[pool.name] = "own"
            if pool.name == "ProcessPoolExecutor":
                shares = [
                    (work.transform_share, (len(records), each, options.workers)) for each in range(options.workers)
                ]
                cases.append(measure.Case("nothing sent", partial(pool.batch, shares)))
                chunks["nothing sent"] = "-"
        samples = measure.interleave(cases, options.rounds)

    serial = samples["serial"]
    table = report.table(f"{len(records)} records")
    for name, taken in samples.items():
        table.add(
            name,
            speed_up=serial.over(taken),
            ms=taken.seconds * 1e3,
            CPU_ms=taken.cpu_seconds * 1e3,
            chunk=chunks[name],
        )

    process_pools = [name for name in samples if name.startswith(("ProcessPoolExecutor", "loky", "joblib"))]
    fastest = min(process_pools, key=lambda name: samples[name].seconds)
    for backend in options.backends:
        name = rivals.hypern_name(backend)
        if backend in ISOLATED:
            report.at_least(
                f"records, {name} against the best process pool ({fastest})", samples[fastest].over(samples[name]), 1.0
            )
            bound = {"interpreters": 1.85, "auto": 1.8}.get(backend, 1.75)
            report.at_least(f"records, speed-up over serial, {name}", serial.over(samples[name]), bound)
    report.close(options)


if __name__ == "__main__":
    main()
