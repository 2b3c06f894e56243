"""Races: calls, cancellations, callbacks and shutdowns at the same time; whatever wins, the books balance."""

from __future__ import annotations

import concurrent.futures
import random
import sys
import threading

import pytest

import tasks
from hypern import BlockingExecutor, ShutdownError
from sync import LONG, aside, count, eventually


@pytest.fixture(autouse=True)
def hasty_switches():
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def rounds(backend, short, long):
    return range(count(short, long)) if backend == "threads" else range(count(max(short // 15, 3), long // 50))


# Row 13: shutdown


@pytest.mark.timeout(1800 if LONG else 120)
@pytest.mark.parametrize("cancel_futures", [False, True], ids=["finish", "cancel"])
def test_submit_cancel_and_shutdown_at_once(backend, cancel_futures):
    for turn in rounds(backend, 100, 10_000):
        executor = BlockingExecutor(2, backend=backend)
        barrier = threading.Barrier(4)
        accepted, refused = [], []

        def submits(executor=executor, barrier=barrier, accepted=accepted, refused=refused):
            barrier.wait(20)
            for number in range(30):
                try:
                    future = executor.submit(tasks.identity, number)
                except ShutdownError:
                    refused.append(number)
                else:
                    accepted.append((future, number))
                    if number % 3 == 0:
                        future.cancel()

        def shuts_down(executor=executor, barrier=barrier, turn=turn):
            barrier.wait(20)
            executor.shutdown(wait=turn % 2 == 0, timeout_secs=None, cancel_futures=cancel_futures)

        actors = [aside(submits), aside(submits), aside(shuts_down), aside(shuts_down)]
        for actor in actors:
            actor.result(60)
        concurrent.futures.wait([future for future, _ in accepted], 60)
        for future, number in accepted:
            assert future.done()
            assert future.cancelled() or future.result(0) == number
        assert len(accepted) + len(refused) == 60
        executor.shutdown(timeout_secs=None)
        if not cancel_futures:
            assert all(number % 3 == 0 for future, number in accepted if future.cancelled())


@pytest.mark.timeout(600 if LONG else 120)
def test_calls_of_every_kind_and_shutdown_at_once(backend):
    for _ in rounds(backend, 60, 3000):
        executor = BlockingExecutor(2, 2, backend=backend)
        barrier = threading.Barrier(5)

        def caller(call, executor=executor, barrier=barrier):
            barrier.wait(20)
            try:
                for _ in range(20):
                    call(executor)
            except (ShutdownError, concurrent.futures.CancelledError):
                return True
            return True

        calls = [
            aside(caller, lambda executor: executor.run_sync(tasks.square, 3)),
            aside(caller, lambda executor: executor.map(tasks.square, range(5), chunk_size=1)),
            aside(caller, lambda executor: executor.run_parallel([(tasks.square, (3,))] * 5)),
            aside(caller, lambda executor: executor.submit(tasks.square, 3).result(30)),
        ]
        barrier.wait(20)
        executor.shutdown(cancel_futures=random.random() < 0.5, timeout_secs=None)
        assert all(call.result(60) for call in calls)


@pytest.mark.timeout(600 if LONG else 120)
def test_make_use_and_drop_at_once(backend):
    for _ in rounds(backend, 60, 3000):
        executor = BlockingExecutor(2, backend=backend)
        futures = [executor.submit(tasks.square, number) for number in range(10)]
        dropper = aside(executor.shutdown, wait=False)
        del executor
        assert [future.result(30) for future in futures] == [n * n for n in range(10)]
        dropper.result(30)


# Row 21: cancellation


@pytest.mark.timeout(1800 if LONG else 120)
def test_a_task_is_cancelled_or_run_and_never_both(make, backend, ledger):
    executor = make(2)
    number = len(rounds(backend, 3000, 1_000_000))
    patience = 1500 if LONG else 100
    futures = []
    over = threading.Event()

    def cancels():
        cancelled = set()
        position = 0
        while not over.is_set() or position < len(futures):
            if position < len(futures):
                if futures[position].cancel():
                    cancelled.add(position)
                position += 1
        return cancelled

    storm = aside(cancels)
    for index in range(number):
        futures.append(executor.submit(ledger.note, index))
    over.set()
    cancelled = storm.result(patience)
    concurrent.futures.wait(futures, patience)
    executor.shutdown(timeout_secs=None)
    ran = [int(line) for line in ledger.lines()]
    assert len(ran) == len(set(ran))
    assert set(ran) | cancelled == set(range(number))
    assert not set(ran) & cancelled
    assert {index for index, future in enumerate(futures) if future.cancelled()} == cancelled
    backends = executor.stats().backends.values()
    assert all(each.accepted == each.done + each.failed + each.cancelled for each in backends)
    # None of them leaves by default, so that each is accepted once.
    counted = [sum(each[position] for each in backends) for position in range(5)]
    assert counted == [number, len(ran), len(ran), 0, len(cancelled)]


@pytest.mark.timeout(600 if LONG else 120)
def test_many_who_cancel_the_same_future_agree(make, backend):
    executor = make(1)
    for _ in rounds(backend, 100, 5000):
        barrier = threading.Barrier(4)
        future = executor.submit(tasks.square, 3)

        def cancels(future=future, barrier=barrier):
            barrier.wait(20)
            return future.cancel()

        answers = [aside(cancels) for _ in range(3)]
        barrier.wait(20)
        answers = {answer.result(20) for answer in answers}
        concurrent.futures.wait([future], 20)
        assert future.cancelled() == (answers == {True}) or (not future.cancelled() and answers == {False})


def test_a_cancelled_coroutine_storm(make, backend):
    import asyncio

    executor = make(2)

    async def main():
        loop = asyncio.get_running_loop()
        for _ in rounds(backend, 100, 2000):
            futures = [loop.run_in_executor(executor, tasks.square, number) for number in range(10)]
            for future in futures[::2]:
                future.cancel()
            for number, outcome in enumerate(await asyncio.gather(*futures, return_exceptions=True)):
                assert outcome == number * number or (number % 2 == 0 and isinstance(outcome, asyncio.CancelledError))

    asyncio.run(main())
    assert executor.run_sync(tasks.square, 3) == 9


# Row 22: callbacks


def test_callbacks_may_add_callbacks(make, gate):
    executor = make(1)
    order = []
    last = threading.Event()
    future = executor.submit(gate.door.wait)
    gate.arrived()

    def first(future):
        order.append("first")
        future.add_done_callback(lambda _: (order.append("added"), last.set()))

    future.add_done_callback(first)
    future.add_done_callback(lambda _: order.append("second"))
    gate.open()
    assert last.wait(20)
    assert eventually(lambda: len(order) == 3)
    assert set(order) == {"first", "second", "added"}
    assert order.index("first") < order.index("second")


def test_callbacks_may_cancel_other_futures(make, gate, ledger):
    executor = make(1)
    held = executor.submit(gate.door.wait)
    gate.arrived()
    others = [executor.submit(ledger.note, number) for number in range(10)]
    done = threading.Event()
    held.add_done_callback(lambda _: ([other.cancel() for other in others], done.set()))
    gate.open()
    assert done.wait(20)
    concurrent.futures.wait(others, 20)
    executor.run_sync(tasks.nothing)
    cancelled = sum(other.cancelled() for other in others)
    assert cancelled + len(ledger.lines()) == 10


def test_callbacks_may_submit_in_a_chain(make):
    executor = make(1)
    number = count(200, 10_000)
    finished = concurrent.futures.Future()

    def following(future):
        try:
            value = future.result()
            if value == number:
                finished.set_result(value)
            else:
                executor.submit(tasks.add, value, 1).add_done_callback(following)
        except BaseException as error:
            finished.set_exception(error)

    executor.submit(tasks.identity, 0).add_done_callback(following)
    assert finished.result(120) == number


def test_a_callback_that_blocks_does_not_hold_up_the_result_of_its_task(make, gate):
    executor = make(2)
    blocked, release = threading.Event(), threading.Event()
    future = executor.submit(gate.door.wait, "held")
    gate.arrived()
    future.add_done_callback(lambda _: (blocked.set(), release.wait(20)))
    gate.open()
    assert blocked.wait(20)
    assert future.result(20) == "held"
    assert aside(executor.run_sync, tasks.square, 3).result(20) == 9  # on the other worker
    release.set()


def test_a_callback_may_drop_the_last_reference_to_its_future(make, gate):
    executor = make(1)
    holder = [executor.submit(gate.door.wait)]
    gate.arrived()
    dropped = threading.Event()
    holder[0].add_done_callback(lambda _: (holder.clear(), dropped.set()))
    gate.open()
    assert dropped.wait(20)
    assert executor.run_sync(tasks.square, 3) == 9


def test_callbacks_of_many_futures_are_each_called_once(make, backend):
    executor = make(2)
    calls = []
    futures = []
    for number in rounds(backend, 2000, 100_000):
        future = executor.submit(tasks.identity, number)
        future.add_done_callback(lambda future: calls.append(future.result()))
        futures.append(future)
    concurrent.futures.wait(futures, 120)
    assert eventually(lambda: len(calls) == len(futures))
    assert sorted(calls) == list(range(len(futures)))


# Hand-over


@pytest.mark.timeout(600 if LONG else 120)
def test_workers_that_fall_asleep_and_wake_lose_no_task(make, backend):
    """One call after the other, so that workers are always about to sleep when the next one comes."""
    executor = make(4)
    for number in rounds(backend, 3000, 300_000):
        assert executor.run_sync(tasks.identity, number) == number


@pytest.mark.timeout(600 if LONG else 120)
def test_bursts_and_pauses_lose_no_task(make, backend):
    executor = make(4)
    for turn in rounds(backend, 100, 3000):
        futures = [executor.submit(tasks.identity, number) for number in range(turn % 17)]
        assert [future.result(30) for future in futures] == list(range(turn % 17))


def test_introspection_balances_after_all(make, backend):
    executor = make(3)
    futures = [executor.submit(tasks.square, number) for number in range(300)]
    for future in futures[::2]:
        future.cancel()
    concurrent.futures.wait(futures, 60)
    assert executor.run_parallel([(tasks.square, (3,))] * 9) == [9] * 9
    assert eventually(lambda: executor.pending_tasks() == 0)
    assert eventually(lambda: executor.active_threads() == executor.pool_size() == 3)
