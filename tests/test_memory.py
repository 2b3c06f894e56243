"""Memory: none of it grows with the number of tasks, and nothing is kept that nobody needs."""

from __future__ import annotations

import gc
import sys
import sysconfig
import threading
import weakref

import pytest

import tasks
from child import run
from hypern import BlockingExecutor
from sync import LONG, Gate, children, count, eventually, native_threads

#: Scripts that do one thing many times; what must not grow is looked at before and after.
MEASURED = """
import gc, sys
from hypern import BlockingExecutor
import tasks

backend, warm, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

def settled():
    gc.collect()
    gc.collect()
    return resident(), len(gc.get_objects())

def fails(way):
    try:
        way(tasks.raises, ValueError("mine")) if way != executor.map else way(tasks.raises, [ValueError("mine")] * 10)
    except ValueError:
        pass

def called(future):
    future.add_done_callback(tasks.nothing)
    return future

with BlockingExecutor(2, backend=backend) as executor:
    def work(times):
        for _ in range(times // {batch}):
            {work}
    # The first failure of each worker loads what tells of failures: so that both have had one.
    for future in [executor.submit(tasks.raises, ValueError("mine")) for _ in range(400)]:
        future.exception()
    work(warm)
    memory, objects = settled()
    work(number)
    # What was let go of on other threads may take a moment to be freed.
    for _ in range(50):
        grown = settled()[0] - memory, settled()[1] - objects
        if grown[0] <= 8 << 20 and grown[1] <= 200:
            break
    print(*grown)
"""

#: Each line is done a hundred at a time, so that the most that is held at once is the same before and after.
WORK = {
    "run_sync": "for _ in range(100): executor.run_sync(tasks.nothing)",
    "run_sync with arguments": "for _ in range(100): executor.run_sync(tasks.arguments, [1], key=(2, 3))",
    "submit": "for future in [executor.submit(tasks.nothing) for _ in range(100)]: future.result()",
    "submit and drop": "[executor.submit(tasks.nothing) for _ in range(100)][-1].result()",
    "map": "executor.map(tasks.square, range(100))",
    "map item by item": "executor.map(tasks.square, range(100), chunk_size=1)",
    "run_parallel": "executor.run_parallel([(tasks.nothing, ())] * 100)",
    "failures": "for _ in range(100): fails(executor.run_sync)",
    "failed batches": "for _ in range(10): fails(executor.map)",
    "failed futures": "for _ in range(100): executor.submit(tasks.raises, ValueError('mine')).exception()",
    "callbacks": "for _ in range(100): called(executor.submit(tasks.nothing)).result()",
    "cancelled": "[executor.submit(tasks.nothing).cancel() for _ in range(99)]; executor.run_sync(tasks.nothing)",
    "lambdas": "for _ in range(100): executor.run_sync(lambda: None)",
}


@pytest.mark.parametrize("work", WORK)
@pytest.mark.timeout(1200 if LONG else 120)
def test_tasks_leave_nothing_behind(backend, work):
    shared = backend == "threads"
    number = count(30_000 if shared else 5_000, 1_000_000 if shared else 100_000)
    done = run(
        MEASURED.replace("{work}", WORK[work]).replace("{batch}", "100"),
        backend,
        count(10_000 if shared else 2_000, 100_000 if shared else 20_000),
        number,
        patience=1000 if LONG else 100,
    ).ok()
    memory, objects = map(int, done.out.split())
    assert memory <= 8 << 20
    assert objects <= 200


@pytest.mark.timeout(600)
def test_pools_leave_nothing_behind(backend):
    if backend in ("interpreters", "auto") and (3, 13) <= sys.version_info < (3, 14):
        pytest.skip("CPython 3.13 leaks some memory of each interpreter that ended")
    done = run(
        MEASURED.replace("{batch}", "1").replace(
            "{work}", "with BlockingExecutor(2, backend=backend) as other: other.run_sync(tasks.square, 3)"
        ),
        backend,
        5,
        count(20, 500),
        patience=500 if LONG else 100,
    ).ok()
    memory, objects = map(int, done.out.split())
    assert memory <= 8 << 20
    assert objects <= 200


# Row 16: a pool that nobody holds any more


def test_a_dropped_pool_is_collected_and_its_workers_end(backend):
    threads, processes = native_threads(), children()
    executor = BlockingExecutor(2, backend=backend)
    executor.map(tasks.square, range(20), chunk_size=1)
    gone = weakref.ref(executor)
    del executor
    gc.collect()
    assert gone() is None
    assert eventually(lambda: native_threads() <= threads, 10)
    assert eventually(lambda: children() <= processes, 10)


def test_a_dropped_pool_that_was_never_used_ends_too(backend):
    threads, processes = native_threads(), children()
    gone = weakref.ref(BlockingExecutor(2, backend=backend))
    gc.collect()
    assert gone() is None
    assert eventually(lambda: native_threads() <= threads, 10)
    assert eventually(lambda: children() <= processes, 10)


def test_a_pool_in_a_cycle_is_collected(backend):
    threads, processes = native_threads(), children()
    executor = BlockingExecutor(2, backend=backend)
    executor.run_sync(tasks.square, 3)
    executor.itself = [executor]
    gone = weakref.ref(executor)
    del executor
    gc.collect()
    assert gone() is None
    assert eventually(lambda: native_threads() <= threads, 10)
    assert eventually(lambda: children() <= processes, 10)


def test_a_dropped_pool_finishes_what_it_accepted(backend, ledger):
    executor = BlockingExecutor(1, backend=backend)
    futures = [executor.submit(ledger.note, number) for number in range(50)]
    gone = weakref.ref(executor)
    del executor
    gc.collect()
    for future in futures:
        future.result(30)
    assert ledger.lines() == [str(number) for number in range(50)]
    assert eventually(lambda: gone() is None, 5)


def test_a_pool_in_a_cycle_finishes_what_it_accepted(backend, ledger):
    threads, processes = native_threads(), children()
    with Gate() as gate:
        executor = BlockingExecutor(1, backend=backend)
        held = executor.submit(gate.door.wait)
        gate.arrived()
        executor.itself = [executor, held, *(executor.submit(ledger.note, number) for number in range(50))]
        gone = weakref.ref(executor)
        del executor, held
        gc.collect()
        assert gone() is None
        assert ledger.lines() == []
    assert eventually(lambda: len(ledger.lines()) == 50)
    assert ledger.lines() == [str(number) for number in range(50)]
    assert eventually(lambda: native_threads() <= threads, 10)
    assert eventually(lambda: children() <= processes, 10)


def test_results_come_to_their_end_when_their_pool_is_dropped(backend):
    threads, processes = native_threads(), children()
    executor = BlockingExecutor(2, backend=backend)
    results = executor.imap(tasks.square, range(300), chunk_size=1)
    assert next(results) == 0
    gone = weakref.ref(executor)
    del executor
    gc.collect()
    assert list(results) == [number * number for number in range(1, 300)]
    del results
    assert is_gone(gone)
    assert eventually(lambda: native_threads() <= threads, 10)
    assert eventually(lambda: children() <= processes, 10)


def test_a_pool_dropped_while_a_task_runs_finishes_it(backend):

    with Gate() as gate:
        executor = BlockingExecutor(1, backend=backend)
        future = executor.submit(gate.door.wait, "held")
        gate.arrived()
        del executor
        gc.collect()
        gate.open()
        assert future.result(30) == "held"


def test_a_shut_down_pool_is_collected(backend):
    executor = BlockingExecutor(2, backend=backend)
    executor.map(tasks.square, range(20))
    executor.shutdown()
    gone = weakref.ref(executor)
    del executor
    assert gone() is None


@pytest.mark.shared
def test_the_last_reference_to_a_pool_may_go_in_one_of_its_tasks(backend):
    run(
        """
        import gc, sys, threading
        from hypern import BlockingExecutor
        from sync import eventually, native_threads

        before = native_threads()
        holder = [BlockingExecutor(2, backend=sys.argv[1])]
        ready = threading.Event()
        def drops():
            ready.wait(20)
            holder.clear()
            gc.collect()
            return "dropped"
        future = holder[0].submit(drops)
        ready.set()
        print(future.result(20))
        assert eventually(lambda: native_threads() <= before, 10)
        """,
        backend,
    ).ok("dropped\n")


def test_the_last_reference_to_a_pool_may_go_in_a_callback(backend):
    run(
        """
        import gc, sys, threading
        from hypern import BlockingExecutor
        from sync import Gate, eventually, native_threads

        before = native_threads()
        gone = threading.Event()
        with Gate() as gate:
            holder = [BlockingExecutor(1, backend=sys.argv[1])]
            future = holder[0].submit(gate.door.wait, "held")
            gate.arrived()
            future.add_done_callback(lambda _: (holder.clear(), gc.collect(), gone.set()))
            gate.open()
        assert gone.wait(20)
        print(future.result(20))
        assert eventually(lambda: native_threads() <= before, 10)
        """,
        backend,
    ).ok("held\n")


# Row 19: references of tasks


class Thing:
    """Something whose end can be seen."""

    def __call__(self, *_):
        return None


def is_gone(reference):
    def gone():
        gc.collect()
        return reference() is None

    return eventually(gone, 10)


def calls(executor):
    return {
        "run_sync": lambda function, argument: executor.run_sync(function, argument),
        "map": lambda function, argument: executor.map(function, [argument]),
        "run_parallel": lambda function, argument: executor.run_parallel([(function, (argument,))]),
        "submit": lambda function, argument: executor.submit(function, argument).result(20),
    }


@pytest.mark.parametrize("way", ["run_sync", "map", "run_parallel", "submit"])
def test_arguments_and_callables_are_let_go_of_when_the_task_is_done(pool, way):
    function, argument = Thing(), Thing()
    gone = weakref.ref(function), weakref.ref(argument)
    calls(pool)[way](function, argument)
    del function, argument
    assert is_gone(gone[0])
    assert is_gone(gone[1])


@pytest.mark.parametrize("way", ["run_sync", "map", "run_parallel", "submit"])
def test_results_are_let_go_of_by_idle_workers(pool, way):
    result = calls(pool)[way](lambda _: Thing(), None)
    gone = weakref.ref(result[0] if isinstance(result, list) else result)
    del result
    assert is_gone(gone)


@pytest.mark.parametrize("way", ["run_sync", "map", "run_parallel", "submit"])
def test_errors_are_let_go_of_by_idle_workers(pool, way):
    error = tasks.Custom("mine")
    gone = weakref.ref(error)
    try:
        calls(pool)[way](tasks.raises, error)
    except tasks.Custom:
        pass
    del error
    assert is_gone(gone)


@pytest.mark.shared
def test_a_cycle_of_future_exception_and_frame_is_collected_at_once(make):
    executor = make(1)
    things = []

    def fails(holder):
        thing = Thing()
        things.append(weakref.ref(thing))
        raise ValueError(thing)

    holder = []
    future = executor.submit(fails, holder)
    holder.append(future)
    assert isinstance(future.exception(20), ValueError)
    del future, holder
    executor.run_sync(tasks.nothing)  # the worker is through with the task that failed
    gc.collect()
    assert things[0]() is None


def test_a_cancelled_task_lets_go_of_its_arguments(make, gate):
    executor = make(1)
    held = executor.submit(gate.door.wait)
    gate.arrived()
    argument = Thing()
    gone = weakref.ref(argument)
    future = executor.submit(tasks.nothing, argument)
    del argument
    assert future.cancel()
    gate.open()
    held.result(20)
    executor.run_sync(tasks.nothing)
    assert is_gone(gone)


@pytest.mark.shared
def test_the_context_of_a_task_is_let_go_of(pool):
    import contextvars

    variable = contextvars.ContextVar("variable")
    thing = Thing()
    gone = weakref.ref(thing)

    def call(thing):
        variable.set(thing)
        pool.run_sync(tasks.nothing)

    contextvars.copy_context().run(call, thing)
    del thing
    assert is_gone(gone)


@pytest.mark.skipif(
    sys.version_info[:2] == (3, 13) and bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    reason="free-threaded 3.13 keeps every class for ever once there are threads",
)
def test_errors_of_types_that_come_and_go_are_let_go_of(pool):
    """The class that combines a type with TaskError does not keep the type for ever."""

    def once():
        passing = type("Passing", (Exception,), {})
        with pytest.raises(passing):
            pool.run_sync(tasks.raises, passing("mine"))
        return weakref.ref(passing)

    gone = [once() for _ in range(3)]
    pool.run_sync(tasks.nothing)
    assert any(is_gone(reference) for reference in gone[:1])


def test_garbage_collection_during_calls_is_safe(pool):
    """The collector runs at every few allocations, in callers and tasks alike."""
    thresholds = gc.get_threshold()
    gc.set_threshold(10)
    try:
        assert pool.map(lambda n: [[n] for _ in range(20)][0][0], range(300), chunk_size=1) == list(range(300))
        for number in range(100):
            assert pool.submit(tasks.square, number).result(20) == number * number
    finally:
        gc.set_threshold(*thresholds)


def test_callers_of_many_short_threads_leave_nothing_behind(pool):
    def caller():
        assert pool.run_sync(tasks.square, 3) == 9

    before = native_threads()
    for _ in range(count(50, 1000)):
        thread = threading.Thread(target=caller)
        thread.start()
        thread.join()
    assert eventually(lambda: native_threads() <= before, 10)
