"""What a pool says about itself, and that it uses nothing while it has nothing to do."""

from __future__ import annotations

import concurrent.futures
import os
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
