"""A ClusterExecutor on a real scheduler with real worker processes: what is of clusters alone; and our pool inside Dask."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import threading
from pathlib import Path

import pytest

distributed = pytest.importorskip("distributed")

import tasks
from child import run
from cluster import Cluster
from hypern import BlockingExecutor, BrokenPool, ShutdownError, TaskTimeout, WorkerCrashed
from hypern.blocking import blocking, blocking_map, blocking_parallel, blocking_run, set_default_executor
from hypern.dask import ClusterExecutor, dask_setup
from sync import Gate, Ledger, aside, eventually

pytestmark = pytest.mark.xdist_group("cluster")


@pytest.fixture(scope="module")
def cluster():
    cluster = Cluster()
    try:
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def executor(cluster):
    with ClusterExecutor(cluster.address) as executor:
        assert eventually(lambda: executor.active_threads() == 2)
        yield executor


@pytest.fixture
def gate():
    with Gate() as gate:
        yield gate


# The tasks


def test_many_small_items_are_few_tasks(executor, monkeypatch):
    client, keys = executor._pool._client, []
    submit = client.submit
    monkeypatch.setattr(client, "submit", lambda *args, **kwargs: keys.append(kwargs["key"]) or submit(*args, **kwargs))
    assert executor.map(tasks.square, range(100_000)) == [n * n for n in range(100_000)]
    assert 0 < len(keys) <= 100_000 / 50
    assert executor.stats().backends["cluster"].accepted == len(keys)


def test_identical_calls_are_run_each_time(executor, tmp_path):
    ledger = Ledger(os.fspath(tmp_path / "ledger"))
    for _ in range(3):
        executor.run_sync(ledger.note, "run")
    executor.map(ledger.note, ["map"] * 10, chunk_size=5)
    assert sorted(ledger.lines()) == ["map"] * 10 + ["run"] * 3


def test_an_iterable_is_pulled_no_further_than_there_is_room_for(executor, gate):
    pulled = []

    def numbers():
        while True:
            pulled.append(None)
            yield len(pulled)

    door = gate.door  # where all but the first wait
    with pytest.raises(ZeroDivisionError):
        executor.map(lambda n: 1 // 0 if n == 1 else door.wait(n), numbers(), chunk_size=1)
    assert len(pulled) == 2 * executor.active_threads()


def test_a_large_argument_is_sent_once(executor, cluster):
    large = os.urandom(1 << 20)
    for index in range(5):
        assert executor.run_sync(tasks.at, large, index) == large[index]
    assert executor.map(lambda index: large[index], range(20), chunk_size=1) == [*large[:20]]
    with distributed.Client(cluster.address, set_as_default=False) as client:
        held = {key for keys in client.has_what().values() for key in keys if "-part-" in str(key)}
    assert len(held) == 2  # the argument, and the function that brings its own


def test_an_argument_that_has_changed_is_sent_again(executor):
    large = bytearray(1 << 20)
    assert executor.run_sync(tasks.at, memoryview(large), 0) == 0
    large[0] = 7
    assert executor.run_sync(tasks.at, memoryview(large), 0) == 7


def test_a_task_that_writes_to_a_large_argument_writes_to_a_copy(executor):
    def bump(memory):
        memory[0] += 1
        return memory[0]

    large = bytearray(1 << 20)
    assert [executor.run_sync(bump, memoryview(large)) for _ in range(3)] == [1, 1, 1]
    assert large[0] == 0


def test_large_results_come_back(executor):
    assert executor.run_sync(bytearray, 1 << 20) == bytearray(1 << 20)


def test_the_program_moves_to_the_cluster_unchanged(executor):
    @blocking
    def place():
        return os.getpid()

    set_default_executor(executor)
    assert blocking_run(os.getpid) != os.getpid()
    assert place() != os.getpid()
    assert blocking_map(tasks.square, range(10)) == [n * n for n in range(10)]
    assert blocking_parallel([(tasks.square, (3,)), (tasks.add, (1,), {"right": 2})]) == [9, 3]


def test_records_are_transformed_as_here(executor):
    """The second use case of the specification."""
    import hashlib

    def transform_record(record):
        return {
            "id": record["id"],
            "score": sum(map(ord, record["payload"])),
            "hash": hashlib.sha256(record["payload"].encode()).hexdigest(),
        }

    records = [{"id": n, "payload": str(n) * 8} for n in range(10_000)]
    set_default_executor(executor)
    assert blocking_map(transform_record, records, chunk_size=500) == [*map(transform_record, records)]


def test_a_task_may_call_its_own_executor(executor):
    assert executor.run_sync(lambda: executor.map(tasks.square, range(3))) == [0, 1, 4]
    assert executor.run_sync(lambda: executor.submit(tasks.square, 3).result()) == 9


def test_options_hold_on_the_cluster(executor, tmp_path):
    ledger = Ledger(os.fspath(tmp_path / "ledger"))

    def fails_twice():
        ledger.note("attempt")
        if len(ledger.lines()) < 3:
            raise ValueError("not yet")
        return "done"

    def spin():
        while True:
            pass

    assert executor.options(retries=2).run_sync(fails_twice) == "done"
    with pytest.raises(TaskTimeout, match=r"0\.2 s"):
        executor.options(timeout=0.2).run_sync(spin)
    assert executor.run_sync(abs, -1) == 1


def test_it_tells_where_calls_run_and_what_became_of_them(executor, cluster, gate):
    future = executor.submit(gate.door.wait, "here")
    gate.arrived()
    assert executor.explain(abs, -1).backend == "cluster"
    assert cluster.address in executor.explain(abs, -1).reason
    assert cluster.address in repr(executor)
    assert "in wait" in executor.dump_stacks()
    gate.open()
    assert future.result(20) == "here"
    assert executor.pool_size() == executor.active_threads() == 2
    stats = executor.stats().backends["cluster"]
    assert (stats.accepted, stats.done, stats.failed, stats.cancelled) == (1, 1, 0, 0)
    assert 0 < stats.running_p50 <= stats.seconds_running * 17 / 16


def test_a_callback_may_wait_for_another_task(executor):
    outcome = []
    done = threading.Event()

    def ask_again(_):
        outcome.append(executor.run_sync(tasks.square, 4))
        done.set()

    executor.submit(tasks.square, 3).add_done_callback(ask_again)
    assert done.wait(20)
    assert outcome == [16]


def test_a_shutdown_finishes_all_attempts_and_settles_all_futures(cluster, tmp_path):
    ledger = Ledger(os.fspath(tmp_path / "ledger"))

    def fails_twice():
        ledger.note("attempt")
        if len(ledger.lines()) < 3:
            raise ValueError("not yet")
        return "done"

    with ClusterExecutor(cluster.address) as executor:
        future = executor.options(retries=2).submit(fails_twice)
        future.add_done_callback(lambda _: executor.shutdown())
    assert future.done()
    assert future.result() == "done"


# Losses


def test_a_worker_that_is_killed_loses_no_task(executor, cluster, gate, tmp_path, caplog):
    ledger, door = Ledger(os.fspath(tmp_path / "ledger")), gate.door

    def step(number):
        ledger.note(number)
        if number == 500:
            door.wait(number)
        return number * number

    with caplog.at_level(logging.WARNING, logger="hypern"):
        outcome = aside(executor.map, step, range(1000), chunk_size=5)
        ((victim, _),) = gate.arrived()
        os.kill(victim, signal.SIGKILL)
        gate.open()
        cluster.start_worker()
        assert outcome.result(60) == [n * n for n in range(1000)]
        assert eventually(lambda: "lost the worker" in caplog.text)
    assert ledger.lines().count("500") == 2


def test_what_a_lost_worker_held_is_sent_again(executor, cluster):
    large = b"7" * (1 << 20)

    def where(memory):
        return os.getpid(), memory[0]

    victim, _ = executor.run_sync(where, large)
    os.kill(victim, signal.SIGKILL)
    cluster.start_worker()
    survivor, first = executor.run_sync(where, large)
    assert first == 55
    assert survivor != victim


def test_a_task_that_ends_its_workers_is_a_crash():
    with ClusterExecutor(max_threads=1, lost_retries=1) as executor:
        with pytest.raises(WorkerCrashed, match="lost 2 workers"):
            executor.run_sync(os._exit, 3)
        assert executor.run_sync(abs, -1) == 1


def test_without_a_scheduler_there_is_an_error_in_time():
    with pytest.raises(ConnectionError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:9' within 0\.5 s"):
        ClusterExecutor("tcp://127.0.0.1:9", connect_timeout=0.5)


def test_a_scheduler_that_dies_breaks_the_pool():
    cluster = Cluster(workers=0)
    executor = ClusterExecutor(cluster.address, connect_timeout=0.5)
    future = executor.submit(abs, -1)
    cluster.close()
    with pytest.raises(BrokenPool, match="scheduler"):
        future.result(20)
    assert eventually(lambda: not executor.is_running())
    with pytest.raises(BrokenPool):
        executor.run_sync(abs, -1)
    executor.shutdown()


# Life


def test_a_shutdown_finishes_what_runs_and_cancels_the_rest(cluster, gate):
    executor = ClusterExecutor(cluster.address)
    running = [executor.submit(gate.door.wait, number) for number in range(2)]
    gate.arrived(2)
    waiting = [executor.submit(tasks.square, number) for number in range(20)]
    executor.shutdown(wait=False, cancel_futures=True)
    assert eventually(lambda: all(future.cancelled() for future in waiting))
    gate.open()
    assert [future.result(20) for future in running] == [0, 1]
    executor.shutdown()
    assert not executor.is_running()
    with pytest.raises(ShutdownError):
        executor.run_sync(abs, -1)


def test_a_client_that_was_given_stays_open(cluster):
    with distributed.Client(cluster.address, set_as_default=False) as client:
        with ClusterExecutor(client) as executor:
            assert executor.run_sync(abs, -1) == 1
        assert client.submit(abs, -2, pure=False).result(20) == 2


def test_a_cancelled_coroutine_takes_its_call_back(executor, gate):
    async def main():
        stuck = [asyncio.create_task(executor.run_async(gate.door.wait)) for _ in range(2)]
        await asyncio.to_thread(gate.arrived, 2)
        call = asyncio.create_task(executor.run_async(tasks.square, 3))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        gate.open()
        await asyncio.gather(*stuck)

    asyncio.run(main())
    assert eventually(lambda: executor.stats().backends["cluster"].cancelled == 1)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((3,), TypeError, "not a int"),
        (("tcp://127.0.0.1:9", 2), TypeError, "max_threads"),
        ((None, -1), ValueError, "max_threads"),
        ((None, 0, -1), ValueError, "lost_retries"),
        ((None, 0, None, 0), ValueError, "connect_timeout"),
        ((None, 0, None, "soon"), TypeError, "connect_timeout"),
    ],
)
def test_arguments_that_make_no_sense(arguments, error, words):
    names = ("client_or_address", "max_threads", "lost_retries", "connect_timeout")
    with pytest.raises(error, match=words):
        ClusterExecutor(**dict(zip(names, arguments, strict=False)))


def test_accepted_work_is_finished_at_exit_and_a_forked_child_is_told():
    done = run(
        """
        import os, sys, time
        from hypern.dask import ClusterExecutor

        def note(path):
            time.sleep(0.2)
            open(path, "w").close()

        if __name__ == "__main__":
            executor = ClusterExecutor(max_threads=1)
            assert executor.run_sync(abs, -1) == 1
            executor.submit(note, os.path.abspath("noted"))
            import atexit
            atexit.register(lambda: print(os.path.exists("noted"), flush=True))
            pid = os.fork()
            if pid == 0:
                try:
                    executor.run_sync(abs, -1)
                except RuntimeError as error:
                    os._exit("make a new ClusterExecutor" not in str(error))
                os._exit(2)
            assert os.waitpid(pid, 0)[1] == 0
        """,
        flags=(),
    )
    assert done.rc == 0, done.report()
    assert done.out == "True\n", done.report()


def test_a_program_without_a_guard_is_told():
    done = run("from hypern.dask import ClusterExecutor\nClusterExecutor(max_threads=1)\n", flags=())
    assert done.rc != 0
    assert 'below if __name__ == "__main__":' in done.err, done.report()


# The page


def programs():
    page = (Path(__file__).parent.parent / "docs" / "from-one-core-to-a-cluster.md").read_text()
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def test_the_program_of_the_page_says_the_same_in_all_its_stages(cluster):
    serial, cores, machines, inside = programs()
    expected = run(serial).ok().out
    assert expected.startswith("20000 records")
    run(cores).ok(expected)
    run(machines, cluster.address, flags=()).ok(expected)
    run(inside).ok(f"{sum(number % 7 for number in range(1000))}\n")


# Our pool inside Dask


@pytest.mark.parametrize("kind", ["threads", "processes", "auto"])
def test_dask_computes_on_our_pool(kind):
    import dask
    import dask.bag

    def score(number):
        return number % 7

    with BlockingExecutor(2, backend=kind) as pool:
        bag = dask.bag.from_sequence(range(100), npartitions=4).map(score)
        assert bag.sum().compute(scheduler=pool) == sum(n % 7 for n in range(100))
        assert dask.compute(dask.delayed(score)(8), scheduler=pool) == (1,)
        assert dict(bag.frequencies().compute(scheduler="processes", pool=pool))[6] == 14
        assert sum(each.tasks for each in pool.stats().backends.values()) >= 9
        with pytest.raises(ZeroDivisionError):
            dask.delayed(divmod)(1, 0).compute(scheduler=pool)


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_arrays_of_dask_compute_on_our_pool(kind):
    numpy = pytest.importorskip("numpy")
    import dask.array

    with BlockingExecutor(2, backend=kind) as pool:
        plain = numpy.arange(10_000).reshape(100, 100)
        array = dask.array.from_array(plain, chunks=(50, 50))
        result = (array @ array.T).sum(axis=0).compute(scheduler=pool)
    assert (result == (plain @ plain.T).sum(axis=0)).all()


def test_the_tasks_of_a_worker_run_on_our_pool():
    cluster = Cluster(workers=0)
    try:
        worker = cluster.start_worker("--nthreads", "2", "--preload", "hypern.dask")
        with distributed.Client(cluster.address, set_as_default=False) as client:
            places = client.gather(client.map(tasks.place, range(20), pure=False))
            executors = client.run(lambda dask_worker: repr(dask_worker.executors["default"]))
        assert all(text.startswith("BlockingExecutor(max_threads=2") for text in executors.values())
        if "processes" in next(iter(executors.values())):
            assert worker.pid not in {process for process, _ in places}
        with ClusterExecutor(cluster.address) as executor:
            assert executor.map(tasks.square, range(1000)) == [n * n for n in range(1000)]
            assert executor.run_sync(bytearray, 1 << 20) == bytearray(1 << 20)
            with pytest.raises(ValueError, match="no 3s"):
                executor.map(tasks.fails_at, range(10), [3] * 10)
    finally:
        cluster.close()


def test_a_worker_may_be_made_with_our_pool():
    async def main():
        with BlockingExecutor(2, backend="threads") as pool:
            async with (
                distributed.Scheduler(host="127.0.0.1", port=0, dashboard_address=":0") as scheduler,
                distributed.Worker(scheduler.address, nthreads=2, executor=pool),
                distributed.Client(scheduler.address, asynchronous=True, set_as_default=False) as client,
            ):
                return await client.submit(lambda: threading.current_thread().name, pure=False)

    assert asyncio.run(main()).startswith("hypern")


def test_only_a_worker_can_get_our_pool():
    with pytest.raises(TypeError, match="for workers"):
        dask_setup(object())


# Taking back


def test_what_is_taken_back_leaves_the_others_alone(executor):
    """Results travel together inside of Dask."""
    for _ in range(15):
        futures = [executor.submit(tasks.square, number) for number in range(40)]
        eventually(futures[0].done)
        for future in futures[::2]:
            future.cancel()
        assert [future.result(timeout=60) for future in futures[1::2]] == [number**2 for number in range(1, 40, 2)]
        with pytest.raises(ValueError, match="no 5s!"):
            executor.map(tasks.fails_at, range(100), [5] * 100, chunk_size=1)
    assert executor.run_sync(tasks.square, 3) == 9


def test_large_results_of_every_kind_come_back(executor):
    """Also those that are more than plain data, whose memory travels beside the pickle."""
    assert executor.run_sync(bytes, 1 << 20) == bytes(1 << 20)
    assert executor.run_sync(lambda: [b"x" * (1 << 20), {1: frozenset("a")}, object]) == [
        b"x" * (1 << 20),
        {1: {"a"}},
        object,
    ]
    numpy = pytest.importorskip("numpy")
    array = executor.run_sync(numpy.ones, 1 << 17)
    array += 1
    assert array.sum() == 2 << 17


def test_an_executor_that_was_made_before_keeps_nothing_from_ending_well(cluster):
    run(
        """
        import sys
        from hypern import BlockingExecutor

        early = BlockingExecutor(1)
        from hypern.dask import ClusterExecutor

        executor = ClusterExecutor(sys.argv[1])
        future = executor.submit(sum, [1, 2, 3])
        future.add_done_callback(lambda future: print(future.result()))
        """,
        cluster.address,
    ).ok("6\n")


def test_a_closed_executor_is_over_in_a_forked_child(executor):
    executor.submit(tasks.pauses, 0.3)
    executor.shutdown(wait=False)
    pool = executor._pool
    pool.abandon()
    assert pool.wait_ended(0)
    assert not pool.is_open()


def test_a_cluster_of_an_event_loop_is_refused():
    class Asynchronous(distributed.deploy.Cluster):
        def __init__(self):
            pass

        asynchronous = True

        def __del__(self):
            pass

    with pytest.raises(TypeError, match="event loop"):
        ClusterExecutor(Asynchronous())
