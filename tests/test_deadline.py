"""Deadlines and interrupts: the waiter hears of it in time, the task stops, and nobody else does."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import signal
import threading
import time

import pytest

import tasks
import ways
from child import Child, run
from hypern import BlockingExecutor, StopTask, TaskError, TaskInterrupted, TaskTimeout, _route
from hypern._auto import _Errand
from hypern._crossing import Elsewhere
from hypern._future import Future
from sync import PATIENCE, Gate, aside, count, eventually

#: Seconds that tests allow a task that is to be stopped.
SOON = 0.1


# The waiter


def by_run_sync(view):
    return view.run_sync(tasks.spins)


def by_submit(view):
    return view.submit(tasks.spins).result()


def by_map(view):
    return view.map(tasks.spins_or_returns, [1, 2, -1, 3])


def by_run_parallel(view):
    return view.run_parallel([(tasks.square, (2,)), (tasks.spins, ()), (tasks.square, (3,))])


def by_run_async(view):
    return asyncio.run(view.run_async(tasks.spins))


def by_imap(view):
    return list(view.imap(tasks.spins_or_returns, [1, 2, -1, 3]))


def by_map_async(view):
    async def main():
        return [result async for result in view.map_async(tasks.spins_or_returns, [1, 2, -1, 3])]

    return asyncio.run(main())


WAYS = [by_run_sync, by_submit, by_map, by_run_parallel, by_run_async, by_imap, by_map_async]


@pytest.mark.parametrize("way", WAYS)
def test_a_deadline_is_a_task_timeout(pool, way):
    with pytest.raises(TaskTimeout, match=r"more than 0\.1 s") as caught:
        way(pool.options(timeout=SOON))
    assert isinstance(caught.value, TaskError)
    assert isinstance(caught.value, TimeoutError)
    assert pool.run_sync(tasks.square, 3) == 9


def test_in_a_stream_a_deadline_stands_in_the_place_of_the_result(pool):
    results = list(pool.options(timeout=SOON).imap(tasks.spins_or_returns, [1, -1, 2, -1, 3], on_error="return"))
    assert [result for result in results if not isinstance(result, TaskTimeout)] == [1, 2, 3]
    assert [isinstance(result, TaskTimeout) for result in results] == [False, True, False, True, False]


def test_progress_counts_what_timed_out(pool):
    told = []
    with pytest.raises(TaskTimeout):
        pool.options(timeout=SOON).run_parallel(
            [(tasks.square, (2,)), (tasks.spins, ())], progress=lambda done, total: told.append((done, total))
        )
    assert told[-1] == (2, 2)


@pytest.mark.explicit
def test_a_call_that_timed_out_counts_as_failed_once(make):
    executor = make(1)
    for way in WAYS:
        with pytest.raises(TaskTimeout):
            way(executor.options(timeout=SOON))

    def numbers():
        (stats,) = executor.stats().backends.values()
        return stats.failed, stats.tasks - stats.done - stats.failed

    assert eventually(lambda: numbers() == (len(WAYS), 0))


def test_every_wait_for_a_future_sees_it(pool):
    futures = [pool.options(timeout=SOON).submit(tasks.spins) for _ in range(3)]
    assert all(isinstance(future.exception(), TaskTimeout) for future in concurrent.futures.as_completed(futures))
    assert concurrent.futures.wait(futures).not_done == set()


def test_callbacks_of_a_future_may_use_the_pool(make):
    executor = make(1)
    seen = []
    future = executor.options(timeout=SOON).submit(tasks.spins)
    future.add_done_callback(lambda future: seen.append((future.exception(), executor.run_sync(tasks.square, 3))))
    assert eventually(lambda: seen)
    ((error, result),) = seen
    assert isinstance(error, TaskTimeout)
    assert result == 9


def test_a_call_that_is_done_in_time_is_left_alone(pool):
    view = pool.options(timeout=PATIENCE)
    assert view.run_sync(tasks.square, 3) == 9
    assert view.submit(tasks.square, 3).result() == 9
    assert view.map(tasks.square, range(100)) == [number * number for number in range(100)]
    with pytest.raises(ValueError, match="its own"):
        view.run_sync(tasks.raises, ValueError("its own"))


def test_a_deadline_of_hundreds_of_years_is_none(pool):
    assert pool.options(timeout=1e300).run_sync(tasks.square, 3) == 9
    assert pool.options(timeout=float("inf")).run_sync(tasks.square, 3) == 9


@pytest.mark.explicit
def test_the_time_in_the_queue_does_not_count(make, gate):
    executor = make(1)
    executor.run_sync(tasks.square, 3)
    held = executor.submit(gate.door.wait)
    gate.arrived()
    future = executor.options(timeout=1.5).submit(tasks.square, 3)
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(1.7)
    gate.open()
    held.result()
    assert future.result() == 9


def test_the_time_of_a_map_is_that_of_each_item(pool):
    pool.run_parallel([(tasks.spins_for, (0.01,))] * 4)
    assert pool.options(timeout=1).map(tasks.spins_for, [0.1] * 24) == [0.1] * 24


def test_a_larger_chunk_has_one_deadline(pool):
    with pytest.raises(TaskTimeout):
        pool.options(timeout=1).map(tasks.spins_for, [0.05] * 40, chunk_size=40)


def test_after_a_deadline_a_map_hands_out_nothing_more(make, ledger):
    executor = make(1)

    def notes(number, ledger=ledger):
        ledger.note(number)
        while number == 2:
            pass

    with pytest.raises(TaskTimeout):
        executor.options(timeout=SOON).map(notes, range(1000))
    # Two for the worker may have been on their way.
    assert len(ledger.lines()) <= 5


def test_run_parallel_runs_everything_beside_a_deadline(make, ledger):
    executor = make(1)
    executor.run_sync(ledger.note, 0)
    with pytest.raises(TaskTimeout):
        executor.options(timeout=2).run_parallel([(ledger.note, (1,)), (tasks.spins, ()), (ledger.note, (2,))])
    assert ledger.lines() == ["0", "1", "2"]


def test_a_timed_out_call_can_be_made_again(pool, ledger):
    def spins_twice(ledger=ledger):
        ledger.note("attempt")
        attempts = len(ledger.lines())
        while attempts < 3:
            pass
        return "done"

    # Its effects are in a file.
    # Others are told to stop before they begin, where the machine is busy.
    view = pool.options(timeout=0.3, retries=50)
    assert view.run_sync(spins_twice) == "done"
    assert len(ledger.lines()) >= 3
    os.unlink(ledger.path)
    assert view.submit(spins_twice).result() == "done"
    assert len(ledger.lines()) >= 3
    os.unlink(ledger.path)
    assert view.map(lambda _: spins_twice(), [0]) == ["done"]


# The task


def test_finally_and_with_do_their_work(pool, ledger):
    pool.run_sync(ledger.note, "warm")
    os.unlink(ledger.path)
    with pytest.raises(TaskTimeout):
        pool.options(timeout=1).run_sync(tasks.cleans_up, ledger)
    assert eventually(lambda: ledger.lines() == ["finally", "with"])


def test_a_task_that_survives_every_exception_stops(make, ledger):
    executor = make(1)
    with pytest.raises(TaskTimeout):
        executor.options(timeout=SOON).run_sync(tasks.survives_exceptions, ledger)
    assert executor.run_sync(tasks.square, 3) == 9
    assert ledger.lines() == []


@pytest.mark.shared
def test_what_is_raised_in_the_task_is_stop_task(make):
    executor = make(1)
    seen = []

    def sees():
        try:
            while True:
                pass
        except BaseException as error:
            seen.append(error)
            raise

    with pytest.raises(TaskTimeout):
        executor.options(timeout=SOON).run_sync(sees)
    assert executor.run_sync(tasks.square, 3) == 9
    (error,) = seen
    assert type(error) is StopTask
    assert not isinstance(error, Exception)


@pytest.mark.own_process
def test_a_process_that_sleeps_is_woken(make, ledger):
    executor = make(1)
    worker = executor.run_sync(tasks.process_id)

    def sleeps_and_cleans_up(ledger=ledger):
        try:
            time.sleep(600)
        finally:
            ledger.note("finally")

    with pytest.raises(TaskTimeout):
        executor.options(timeout=1).run_sync(sleeps_and_cleans_up)
    assert executor.run_sync(os.getpid) == worker
    assert ledger.lines() == ["finally"]


@pytest.mark.own_process
def test_a_process_that_does_not_stop_is_killed_and_replaced(make):
    executor = make(1)
    worker = executor.run_sync(os.getpid)

    def catches():
        while True:
            with contextlib.suppress(BaseException):
                while True:
                    pass

    with pytest.raises(TaskTimeout):
        executor.options(timeout=SOON).run_sync(catches)
    assert executor.run_sync(os.getpid) != worker
    assert eventually(lambda: not os.path.exists(f"/proc/{worker}"))


IMMEDIATE = 0.001


def test_deadlines_of_a_moment_do_no_harm(make):
    """They come while the task is sent, begins, runs or ends."""
    executor = make(2)
    for number in range(count(200, 3000)):
        with contextlib.suppress(TaskTimeout):
            executor.options(timeout=IMMEDIATE * (number % 5 + 1) / 5).run_sync(tasks.spins_for, 0.01)
        assert executor.run_sync(tasks.square, number) == number * number


def test_a_deadline_never_strikes_another_task(make):
    """Tasks take about as long as they may; those between them have no deadline and must all be done."""
    executor = make(2)
    limit = 0.002
    view = executor.options(timeout=limit)
    timeouts = 0
    for number in range(count(300, 5000)):
        others = [executor.submit(tasks.square, each) for each in range(2)]
        futures = [view.submit(tasks.spins_for, limit * (0.9 + (number % 20) / 100)) for _ in range(2)]
        others += [executor.submit(tasks.spins_for, 0.0005), executor.submit(tasks.square, 5)]
        timeouts += sum(isinstance(future.exception(), TaskTimeout) for future in futures)
        assert [future.result() for future in others] == [0, 1, 0.0005, 25]
    assert timeouts
    assert executor.map(tasks.square, range(50)) == [each * each for each in range(50)]


def test_an_endless_loop_is_stopped_many_times_in_a_row(make):
    """How late a deadline is, is measured and not asserted, but for a generous limit."""
    executor = make(1)
    view = executor.options(timeout=0.1 if count(0, 1) else 0.02)
    for number in range(count(30, 1000)):
        began = time.monotonic()
        with pytest.raises(TaskTimeout):
            view.run_sync(tasks.spins)
        assert time.monotonic() - began < PATIENCE
        assert executor.run_sync(tasks.square, number) == number * number


# Interrupts


def test_interrupt_stops_a_running_task(make, gate):
    executor = make(1)

    def arrives_and_spins(door=gate.door):
        door.wait()
        while True:
            pass

    future = executor.submit(arrives_and_spins)
    gate.arrived()
    gate.let_one_go()
    assert not future.cancel()
    assert future.interrupt()
    with pytest.raises(TaskInterrupted):
        future.result(PATIENCE)
    assert not future.interrupt()
    assert aside(executor.run_sync, tasks.square, 3).result(PATIENCE) == 9


def test_interrupt_cancels_a_task_that_has_not_started(make, gate):
    executor = make(1)
    held = executor.submit(gate.door.wait)
    gate.arrived()
    future = executor.submit(tasks.nothing)
    assert future.interrupt()
    assert future.cancelled()
    gate.open()
    held.result()


def test_interrupt_of_a_task_that_is_done_does_nothing(pool):
    future = pool.submit(tasks.square, 3)
    assert future.result() == 9
    assert not future.interrupt()
    assert future.result() == 9


def test_interrupts_that_race_with_the_end_strike_nobody_else(make):
    executor = make(2)
    for number in range(count(300, 5000)):
        future = executor.submit(tasks.spins_for, 0.0002)
        tasks.spins_for(0.0001 * (number % 4))
        stopped = future.interrupt()
        assert executor.run_sync(tasks.square, number) == number * number
        if not future.cancelled() and future.exception() is not None:
            assert stopped
            assert isinstance(future.exception(), TaskInterrupted)


# One task inside another


@pytest.mark.shared
def test_the_deadline_of_an_inner_call_leaves_the_outer_one_alone(make):
    executor = make(1)
    kept = []

    def outer():
        for _ in range(3):
            try:
                executor.options(timeout=SOON).run_sync(tasks.spins)
            except TaskTimeout:
                kept.append("inner")
        tasks.spins_for(0.05)
        return "outer"

    assert executor.options(timeout=PATIENCE).run_sync(outer) == "outer"
    assert kept == ["inner"] * 3


@pytest.mark.shared
@pytest.mark.parametrize("inner_timeout", [None, PATIENCE, 0.1], ids=["none", "late", "the same"])
@pytest.mark.parametrize("way", [by_run_sync, by_submit, by_map, by_run_parallel, by_imap])
def test_the_deadline_of_an_outer_call_comes_up_while_an_inner_one_runs(make, way, inner_timeout):
    executor = make(1)
    kept = []

    def outer():
        try:
            way(executor.options(timeout=inner_timeout))
        except TaskTimeout:
            tasks.spins()  # the outer one is still to come
        finally:
            kept.append("outer is over")

    with pytest.raises(TaskTimeout):
        executor.options(timeout=0.1).run_sync(outer)
    assert eventually(lambda: kept)
    assert executor.run_sync(tasks.square, 3) == 9


@pytest.mark.isolated
@pytest.mark.parametrize("way", [ways.by_run_sync, ways.by_submit, ways.by_map, ways.by_run_parallel])
def test_a_call_that_a_worker_makes_in_place_lets_the_deadline_pass(make, ledger, way):
    executor = make(1)

    def outer(executor, way, spins, ledger):
        ledger.note("begun")
        try:
            way(executor, spins)
        except Exception as error:
            ledger.note(f"caught {error!r}")
        ledger.note("went on")

    with pytest.raises(TaskTimeout):
        executor.options(timeout=1).run_sync(outer, executor, way, tasks.spins, ledger)
    assert executor.run_sync(tasks.square, 3) == 9
    assert ledger.lines() == ["begun"]


@pytest.mark.shared
def test_a_task_that_waits_for_its_own_map_is_stopped(make):
    """It waits detached, where no exception is raised; its other chunk is still at work."""
    executor = make(2)
    kept = []
    with Gate() as gate:

        def outer():
            own = threading.get_ident()

            def waits(_):
                gate.door.wait("own" if threading.get_ident() == own else "other")

            try:
                executor.map(waits, range(2), chunk_size=1)
            finally:
                kept.append("outer")

        future = executor.options(timeout=3).submit(outer)
        if gate.arrived(2)[0][1] == "other":
            gate._waiting.reverse()
        gate.let_one_go()
        with pytest.raises(TaskTimeout):
            future.result()
        assert eventually(lambda: kept)
    assert executor.run_sync(tasks.square, 3) == 9


@pytest.mark.shared
def test_cleaning_up_may_use_the_pool(make):
    executor = make(1)
    kept = []

    def outer():
        try:
            while True:
                pass
        finally:
            kept.append(executor.map(tasks.square, range(20)))
            kept.append(executor.submit(tasks.square, 3).result())

    with pytest.raises(TaskTimeout):
        executor.options(timeout=SOON).run_sync(outer)
    assert eventually(lambda: kept == [[each * each for each in range(20)], 9])


# What does not stop


@pytest.mark.no_interpreter
@pytest.mark.parametrize("shut", [False, True], ids=["used", "shut down"])
def test_a_task_that_does_not_stop_is_left_and_its_worker_replaced(backend, shut):
    if backend == "processes":
        pytest.skip("a process is killed")
    with Gate() as gate:
        script = """
import sys
from hypern import BlockingExecutor, TaskTimeout
from sync import Door, eventually
backend, path, shut = sys.argv[1], sys.argv[2], sys.argv[3] == "True"
kept = []
def waits():
    kept.append("begun")
    Door(path).wait()
    return kept
executor = BlockingExecutor(1, backend=backend)
try:
    executor.options(timeout=0.1).run_sync(waits)
except TaskTimeout:
    print("timeout", flush=True)
three = executor.run_sync(abs, -3)
assert executor.active_threads() == 1
def left():
    mine = [line for line in executor.dump_stacks().splitlines() if line.startswith("hypern-0 ")]
    return len(mine) == 2 and sum("left behind" in line and ".waits for" in line for line in mine) == 1
assert eventually(left)
print(three, flush=True)
if shut:
    executor.shutdown(timeout_secs=None)
print(sys.stdin.readline(), end="")
if not shut:
    print(executor.map(abs, [-1]))
"""
        with Child.of(script, backend, gate.door.path, shut, stdin="go on\n") as child:
            child.expect("timeout")
            child.expect("3")
            gate.arrived()
            gate.open()
            done = child.finish().ok()
    assert done.out.endswith("go on\n" if shut else "go on\n[1]\n"), done.report()


@pytest.mark.own_interpreter
def test_an_interpreter_that_does_not_stop_is_left_and_its_worker_replaced(backend):
    run(
        """
import sys, time
from hypern import BlockingExecutor, TaskTimeout
executor = BlockingExecutor(1, backend="interpreters")
try:
    executor.options(timeout=0.1).run_sync(time.sleep, 3)
except TaskTimeout:
    print("timeout", flush=True)
began = time.monotonic()
print(executor.run_sync(abs, -3), flush=True)
assert time.monotonic() - began < 2.9
assert executor.active_threads() == 1
executor.shutdown()
"""
    ).ok("timeout\n3\n")


@pytest.mark.parametrize("catches", [False, True], ids=["sleeps", "catches"])
def test_a_program_ends_while_a_task_does_not_stop(backend, catches):
    script = """
import atexit, sys, time
from hypern import BlockingExecutor, TaskTimeout
def sleeps():
    time.sleep(600)
def catches():
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
executor = BlockingExecutor(1, backend=sys.argv[1])
atexit.register(print, "at exit")
try:
    executor.options(timeout=0.1).run_sync(catches if sys.argv[2] == "True" else sleeps)
except TaskTimeout:
    print("timeout")
print(executor.run_sync(abs, -3))
"""
    done = run(script, backend, catches)
    if backend == "processes" or (backend == "auto" and "processes" in str(done.err)):
        done.ok("timeout\n3\nat exit\n")
    elif done.rc == 0:  # elsewhere, in a process
        assert backend == "auto"
        done.ok("timeout\n3\nat exit\n")
    else:
        done.failed(1, "a task that did not stop when its time was over still runs")
        assert done.out == "timeout\n3\nat exit\n", done.report()


# What else happens meanwhile


def test_shutdown_waits_for_a_deadline(make):
    executor = make(1)
    future = executor.options(timeout=0.3).submit(tasks.spins)
    executor.shutdown(timeout_secs=None)
    assert isinstance(future.exception(), TaskTimeout)
    assert executor.active_threads() == 0


def test_a_deadline_at_exit_ends_the_wait_of_the_program(backend):
    run(
        """
import sys
from hypern import BlockingExecutor
def spins():
    while True:
        pass
BlockingExecutor(1, backend=sys.argv[1]).options(timeout=0.5).submit(spins)
""",
        backend,
    ).ok("")


def test_ctrl_c_while_a_deadline_is_to_come(backend):
    script = """
import signal, sys
from hypern import BlockingExecutor
def spins():
    while True:
        pass
executor = BlockingExecutor(1, backend=sys.argv[1])
executor.run_sync(abs, -1)
view = executor.options(timeout=3)
print("ready", flush=True)
try:
    view.run_sync(spins)
except KeyboardInterrupt:
    print("interrupted", flush=True)
print(executor.run_sync(abs, -3), flush=True)
executor.shutdown()
"""
    with Child.of(script, backend) as child:
        child.expect("ready")
        child.asleep()
        child.signal(signal.SIGINT)
        child.expect("interrupted")
        child.expect("3")
        child.finish().ok()


@pytest.mark.no_interpreter
def test_a_forked_child_has_deadlines_of_its_own(backend):
    run(
        """
import os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from hypern import BlockingExecutor, TaskTimeout
def spins():
    while True:
        pass
executor = BlockingExecutor(1, backend=sys.argv[1])
view = executor.options(timeout=0.3)
future = view.submit(spins)
for turn in range(3):
    pid = os.fork()
    if pid == 0:
        try:
            view.run_sync(spins)
        except TaskTimeout:
            print("child", turn, flush=True)
        executor.shutdown()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
assert isinstance(future.exception(), TaskTimeout)
try:
    view.run_sync(spins)
except TaskTimeout:
    print("parent", flush=True)
""",
        backend,
    ).ok("child 0\nchild 1\nchild 2\nparent\n")


def test_a_task_that_may_be_stopped_forks():
    """The child has no deadline, and ends where the task does."""
    run(
        """
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from hypern import BlockingExecutor, TaskTimeout
executor = BlockingExecutor(1, backend="threads")
view = executor.options(timeout=0.5)
def spins():
    while True:
        pass
def forks():
    pid = os.fork()
    if pid == 0:
        try:
            view.run_sync(spins)
        except TaskTimeout:
            print("child", executor.map(abs, [-1, -2]), flush=True)
        return
    os.waitpid(pid, 0)
    spins()
try:
    executor.options(timeout=3).run_sync(forks)
except TaskTimeout:
    print("parent", executor.run_sync(abs, -3))
"""
    ).ok("child [1, 2]\nparent 3\n")


@pytest.mark.own_interpreter
def test_a_fork_waits_for_the_deadline_of_an_interpreter(backend):
    run(
        """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from hypern import BlockingExecutor, TaskTimeout
def spins():
    while True:
        pass
executor = BlockingExecutor(1, backend="interpreters")
view = executor.options(timeout=0.3)
future = view.submit(spins)
pid = os.fork()
if pid == 0:
    try:
        view.run_sync(spins)
    except TaskTimeout:
        os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
assert isinstance(future.exception(), TaskTimeout)
print(executor.run_sync(abs, -3))
"""
    ).ok("3\n")


def test_one_thread_watches_all_deadlines(backend):
    run(
        """
import os, sys
from hypern import BlockingExecutor
from sync import eventually
def keepers():
    names = [open(f"/proc/self/task/{each}/comm").read().strip() for each in os.listdir("/proc/self/task")]
    return names.count("hypern-keeper")
executors = [BlockingExecutor(1, backend=sys.argv[1]) for _ in range(2)]
for executor in executors:
    assert executor.run_sync(abs, -1) == 1
    assert executor.options(retries=3).run_sync(abs, -1) == 1
assert keepers() == 0
for executor in executors:
    for _ in range(3):
        assert executor.options(timeout=60).run_sync(abs, -1) == 1
assert eventually(keepers)  # a thread names itself
assert keepers() == 1
""",
        backend,
        flags=(),
    ).ok("")


# Where auto runs a call

leaves = pytest.mark.skipif(_route.away_backend() is None, reason="nothing leaves here")


@leaves
def test_a_call_that_auto_runs_elsewhere_is_stopped_there_and_not_made_again():
    def loops(number):
        while number:
            number += 1

    with BlockingExecutor(1) as executor:
        view = executor.options(timeout=SOON)
        assert executor.explain(loops, 1).backend != "threads"
        with pytest.raises(TaskTimeout):
            view.run_sync(loops, 1)
        assert isinstance(view.submit(loops, 1).exception(), TaskTimeout)
        assert executor.stats().came_back == {}
        assert executor.stats().backends["threads"].tasks == 0


@leaves
def test_a_call_that_comes_back_has_its_deadline_here():
    with BlockingExecutor(1) as executor:
        pool = executor._pool
        future = Future()
        errand = _Errand(pool, future, (tasks.spins, (), None), pool.leash(SOON))
        assert errand.set_running_or_notify_cancel()
        errand.set_exception(Elsewhere(False, "it has to be made here"))
        assert isinstance(future.exception(PATIENCE), TaskTimeout)
        assert executor.run_sync(tasks.square, 3) == 9
