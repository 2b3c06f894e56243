"""Many threads that call one pool at once: no result is lost, none comes twice, none to the wrong caller."""

from __future__ import annotations

import threading

import pytest

import tasks
from sync import LONG, count


@pytest.fixture
def small_stacks():
    before = threading.stack_size(256 * 1024)
    yield
    threading.stack_size(before)


def all_at_once(number, caller):
    """Run a caller on many threads that start together; what they returned, in order."""
    outcomes = [None] * number
    barrier = threading.Barrier(number)

    def body(index):
        try:
            barrier.wait(120)
            outcomes[index] = caller(index)
        except BaseException as error:
            outcomes[index] = error

    threads = [threading.Thread(target=body, args=(index,), daemon=True) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
        assert not thread.is_alive()
    return outcomes


def size(backend, short, long):
    return count(short, long) if backend == "threads" else count(short // 5, long // 10)


@pytest.mark.timeout(900 if LONG else 120)
def test_many_threads_submit_a_few_tasks_each(make, backend, small_stacks):
    executor = make(2)
    threads = size(backend, 300, 10_000)

    def caller(index):
        futures = [executor.submit(tasks.identity, index * 10 + number) for number in range(10)]
        return [future.result(120) for future in futures]

    outcomes = all_at_once(threads, caller)
    assert outcomes == [[index * 10 + number for number in range(10)] for index in range(threads)]


@pytest.mark.timeout(900 if LONG else 120)
def test_a_few_threads_submit_many_tasks_each(make, backend, small_stacks):
    executor = make(2)
    threads, number = count(20, 100), size(backend, 500, 10_000)

    def caller(index):
        futures = [executor.submit(tasks.identity, (index, step)) for step in range(number)]
        return [future.result(300) for future in futures] == [(index, step) for step in range(number)]

    assert all_at_once(threads, caller) == [True] * threads


@pytest.mark.timeout(900 if LONG else 120)
def test_many_threads_map_and_keep_their_own_order(make, backend, small_stacks):
    executor = make(2)
    threads, number = count(20, 100), size(backend, 500, 10_000)

    def caller(index):
        items = range(index * number, (index + 1) * number)
        return executor.map(tasks.identity, items) == list(items)

    assert all_at_once(threads, caller) == [True] * threads


@pytest.mark.timeout(900 if LONG else 120)
def test_many_threads_call_in_every_way(make, backend, small_stacks):
    executor = make(3)
    threads = count(40, 400)

    def caller(index):
        if index % 4 == 0:
            return [executor.run_sync(tasks.square, index) for _ in range(10)] == [index * index] * 10
        if index % 4 == 1:
            return executor.map(tasks.square, [index] * 10, chunk_size=1) == [index * index] * 10
        if index % 4 == 2:
            return executor.run_parallel([(tasks.square, (index,))] * 10) == [index * index] * 10
        return [executor.submit(tasks.square, index).result(60) for _ in range(10)] == [index * index] * 10

    assert all_at_once(threads, caller) == [True] * threads


@pytest.mark.timeout(900 if LONG else 120)
def test_many_threads_and_a_queue_of_one(make, backend, small_stacks):
    executor = make(2, 1)
    threads = size(backend, 100, 2000)
    outcomes = all_at_once(threads, lambda index: executor.run_sync(tasks.square, index))
    assert outcomes == [index * index for index in range(threads)]


@pytest.mark.timeout(120)
def test_many_threads_and_many_workers(make, backend, small_stacks):
    executor = make(4 if backend == "processes" else 64)
    outcomes = all_at_once(100, lambda index: executor.map(tasks.square, range(index)))
    assert outcomes == [[n * n for n in range(index)] for index in range(100)]
