"""What a pool says about itself, and that it uses nothing while it has nothing to do."""

from __future__ import annotations

import concurrent.futures
import os
import re
import threading
import time

import pytest

import tasks
from sync import aside, children, eventually, native_threads


def test_pool_size_is_what_was_asked_for(make):
    assert make(3).pool_size() == 3


def test_active_threads_are_the_workers_that_live(make):
    executor = make(3)
    assert executor.active_threads() > 0
    assert executor.run_sync(tasks.square, 3) == 9
    assert eventually(lambda: executor.active_threads() == 3)
    executor.shutdown()
    assert executor.active_threads() == 0


def test_pool_size_stays_after_shutdown(make):
    executor = make(3)
    executor.shutdown()
    assert executor.pool_size() == 3


def test_pending_tasks_are_those_accepted_and_not_started(make, gate):
    executor = make(1)
    assert executor.pending_tasks() == 0
    futures = [executor.submit(gate.door.wait)]
    gate.arrived()
    assert executor.pending_tasks() == 0
    for number in range(1, 4):
        futures.append(executor.submit(tasks.square, number))
        assert executor.pending_tasks() == number
    gate.open()
    for future in futures:
        future.result(20)
    assert eventually(lambda: executor.pending_tasks() == 0)


def test_a_chunk_of_map_counts_as_one_task(make, gate):
    executor = make(1)
    executor.submit(gate.door.wait)
    gate.arrived()
    call = aside(executor.map, tasks.square, range(100), chunk_size=100)
    assert eventually(lambda: executor.pending_tasks() == 1)
    gate.open()
    assert call.result(20) == [n * n for n in range(100)]


def test_a_cancelled_task_is_pending_no_more(make, gate):
    executor = make(1)
    held = executor.submit(gate.door.wait)
    gate.arrived()
    # Not what leaves: another worker may have started it.
    waiting = [executor.submit(gate.door.wait) for _ in range(5)]
    assert executor.pending_tasks() == 5
    assert all(future.cancel() for future in waiting)
    assert executor.pending_tasks() == 0
    assert not concurrent.futures.wait(waiting, timeout=0).not_done
    gate.open()
    held.result(20)
    assert executor.run_sync(tasks.square, 3) == 9


def test_is_running_until_shut_down(make):
    executor = make(1)
    assert executor.is_running() is True
    executor.shutdown(wait=False)
    assert executor.is_running() is False


def test_counts_are_integers(pool):
    for count in (pool.pool_size(), pool.active_threads(), pool.pending_tasks()):
        assert type(count) is int


def test_the_repr_tells_the_size(make):
    executor = make(2)
    assert "BlockingExecutor" in repr(executor)
    assert "max_threads=2" in repr(executor)
    executor.shutdown()
    assert "BlockingExecutor" in repr(executor)


def test_introspection_is_safe_from_every_thread_at_any_time(pool):
    stop = threading.Event()

    def look():
        while not stop.is_set():
            repr(pool), pool.active_threads(), pool.pending_tasks(), pool.is_running(), pool.pool_size()

    lookers = [aside(look) for _ in range(3)]
    assert pool.map(tasks.square, range(500), chunk_size=1) == [n * n for n in range(500)]
    stop.set()
    for looker in lookers:
        looker.result(20)


@pytest.mark.shared
def test_a_task_can_look_at_its_pool(make):
    executor = make(2)
    assert executor.run_sync(lambda: (executor.is_running(), executor.pool_size())) == (True, 2)


# Stats


def counted(executor):
    """Accepted, started, done, failed and cancelled tasks, on all backends of an executor together."""
    return tuple(map(sum, zip(*(each[:5] for each in executor.stats().backends.values()), strict=True)))


def test_stats_count_what_became_of_tasks(make, gate):
    executor = make(1)
    assert counted(executor) == (0, 0, 0, 0, 0)
    futures = [executor.submit(gate.door.wait)]
    gate.arrived()
    futures += [executor.submit(gate.door.wait) for _ in range(3)]
    failing = executor.submit(tasks.raises, ValueError())
    unwanted = [executor.submit(gate.door.wait) for _ in range(2)]
    assert all(future.cancel() for future in unwanted)
    assert counted(executor) == (7, 1, 0, 0, 2)
    gate.open()
    concurrent.futures.wait([*futures, failing])
    assert counted(executor) == (7, 5, 4, 1, 2)


@pytest.mark.explicit
def test_chunks_that_a_failure_keeps_from_starting_are_cancelled(make):
    executor = make(1)
    with pytest.raises(ValueError, match="no 0s"):
        executor.map(tasks.fails_at, [0, 1], [0, 0], chunk_size=1)
    assert eventually(lambda: counted(executor) == (2, 1, 0, 1, 1))


def test_tasks_that_a_shutdown_takes_back_are_cancelled(make, gate):
    executor = make(1)
    executor.submit(gate.door.wait)
    gate.arrived()
    for _ in range(3):
        executor.submit(gate.door.wait)
    executor.shutdown(wait=False, cancel_futures=True)
    assert counted(executor) == (4, 1, 0, 0, 3)


def test_a_call_that_runs_in_place_is_counted(make):
    executor = make(1)
    outer = aside(executor.run_sync, lambda: executor.run_sync(abs, -1) and sum(counted(executor)[1:3]))
    # Started twice and done once, where the task sees the caller's executor; a copy of it counts nothing.
    assert outer.result(20) == (3 if executor._settings.backend in ("threads", "auto") else 0)


def test_stats_tell_how_long_tasks_waited_and_ran(make, gate):
    executor = make(1)
    for future in [executor.submit(gate.door.wait) for _ in range(3)]:
        gate.arrived()
        began = time.monotonic()
        time.sleep(0.05)  # the stretch that is measured
        held = time.monotonic() - began
        gate.let_one_go()
        future.result(20)
    (stats,) = (each for each in executor.stats().backends.values() if each.tasks)
    assert held * 0.9 < stats.running_p50 <= stats.running_p99 < 20
    assert held * 0.9 < stats.queued_p99 < 20
    assert stats.queued_p50 <= stats.queued_p99 <= stats.seconds_queued * 1.1
    assert stats.running_p99 <= stats.seconds_running * 1.1


def test_the_repr_of_stats_is_short(make):
    executor = make(1)
    executor.run_sync(tasks.square, 3)
    told = repr(executor.stats())
    assert "tasks=1" in told
    assert "failed=0" in told
    assert not re.search(r"\d\.\d{7}", told)


# Costs of an idle pool


def _wake_ups(threads):
    """How often these threads left the processor, by their own will or not."""
    wakes = 0
    for process, thread in threads:
        with open(f"/proc/{process}/task/{thread}/status") as file:
            wakes += sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)
    return wakes


def _workers_of(executor, before):
    assert executor.map(tasks.square, range(100), chunk_size=1)
    mine = [(os.getpid(), thread) for thread in native_threads() - before]
    others = [(child, int(thread)) for child in children() for thread in os.listdir(f"/proc/{child}/task")]
    return mine + others


def test_idle_workers_never_wake(make):
    before = native_threads()
    executor = make(2)
    workers = _workers_of(executor, before)
    assert workers
    # The first stretch lets workers that still spin down from their last task come to rest.
    assert eventually(lambda: _still(workers, 0.2), 10)
    assert _still(workers, 1.0), "idle workers woke up"


def _still(threads, seconds):
    before = _wake_ups(threads)
    time.sleep(seconds)  # the stretch that is measured
    return _wake_ups(threads) == before


def test_waiting_uses_no_processor(make, gate):
    executor = make(1)
    call = aside(executor.run_sync, gate.door.wait)
    gate.arrived()
    before = time.process_time()
    time.sleep(0.5)  # the stretch that is measured
    used = time.process_time() - before
    gate.open()
    call.result(20)
    assert used < 0.1


@pytest.mark.shared
def test_idle_workers_reserve_their_stack_but_do_not_touch_it(make):
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before = resident()
    executor = make(20)
    executor.map(tasks.square, range(200), chunk_size=1)
    assert resident() - before < 20 << 20
