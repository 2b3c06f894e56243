"""Large values: correct, without copies where memory is shared, and without a deadlock when a worker dies half-way."""

from __future__ import annotations

import array
import gc
import os
import signal

import pytest

import tasks
from child import run
from hypern import WorkerCrashed
from sync import aside, count, eventually

MIB = 1 << 20
LARGE = count(32, 256) * MIB


@pytest.mark.parametrize("kind", [bytes, bytearray], ids=["bytes", "bytearray"])
def test_a_large_value_comes_and_goes(pool, kind):
    value = kind(LARGE)
    result = pool.run_sync(tasks.identity, value)
    assert type(result) is kind
    assert len(result) == LARGE
    assert result == value


def test_a_large_result_comes(pool):
    assert pool.run_sync(lambda: b"x" * LARGE) == b"x" * LARGE


def test_a_large_argument_goes(pool):
    assert pool.run_sync(len, b"x" * LARGE) == LARGE


def test_several_large_values_at_once(make):
    executor = make(2)
    results = executor.map(bytes, [LARGE // 4] * 6, chunk_size=1)
    assert [len(result) for result in results] == [LARGE // 4] * 6


def test_a_large_text(pool):
    value = "ü" * (LARGE // 8)
    assert pool.run_sync(tasks.identity, value) == value


def test_a_large_list(pool):
    value = list(range(count(200_000, 2_000_000)))
    assert pool.run_sync(tasks.identity, value) == value


def test_a_large_array(pool):
    value = array.array("d", range(100_000))
    result = pool.run_sync(tasks.identity, value)
    assert result == value
    result.append(1.0)


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 65535, 65536, 65537, MIB - 1, MIB, MIB + 1])
def test_sizes_at_the_edges_of_buffers(pool, size):
    value = os.urandom(size)
    assert pool.run_sync(tasks.identity, value) == value
    assert pool.run_sync(tasks.identity, bytearray(value)) == value


def test_a_mutable_argument_can_be_changed_by_the_task(pool):
    def changes(value):
        value[0] = 1
        value.extend(b"more")
        return value

    result = pool.run_sync(changes, bytearray(4 * MIB))
    assert result[0] == 1 and result[-4:] == b"more"


def test_a_mutable_result_can_be_changed_by_the_caller(pool):
    result = pool.run_sync(bytearray, 4 * MIB)
    result[0] = 1
    result.extend(b"more")
    assert len(result) == 4 * MIB + 4


def test_buffers_given_out_of_band_arrive(pool):
    class Holds:
        """As arrays of numpy do: its data travels beside the pickle."""

        def __init__(self, data):
            self.data = data

        def __reduce_ex__(self, protocol):
            import pickle

            return Holds, (pickle.PickleBuffer(self.data),)

    result = pool.run_sync(tasks.identity, Holds(bytearray(b"x" * MIB)))
    assert bytes(result.data) == b"x" * MIB


@pytest.mark.shared
def test_a_large_value_is_not_copied(pool):
    value = bytearray(LARGE)
    assert pool.run_sync(tasks.identity, value) is value


@pytest.mark.isolated
def test_a_large_value_costs_about_twice_its_memory(backend):
    done = run(
        """
        import resource, sys
        from hypern import BlockingExecutor
        backend, size = sys.argv[1], int(sys.argv[2])
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        with BlockingExecutor(1, backend=backend) as executor:
            executor.run_sync(bytes, 10)
            before = peak()
            result = executor.run_sync(bytes, size)
            assert len(result) == size
            of_result = peak() - before
            executor.run_sync(len, result)
            print(of_result, peak() - before)
        """,
        backend,
        LARGE,
    ).ok()
    of_result, of_argument = map(int, done.out.split())
    assert of_result <= 2 * LARGE + 64 * MIB
    assert of_argument <= 2 * LARGE + 64 * MIB


@pytest.mark.skipif(os.environ.get("HYPERN_TEST_HUGE") != "1", reason="needs 8 GB of memory: HYPERN_TEST_HUGE=1")
@pytest.mark.timeout(600)
def test_more_than_two_gigabytes(pool):
    size = 2_200_000_000
    assert len(pool.run_sync(bytes, size)) == size
    assert pool.run_sync(len, bytes(size)) == size


@pytest.mark.own_process
def test_a_worker_killed_while_an_argument_is_on_its_way(make):
    executor = make(1)
    for _ in range(3):
        worker = executor.run_sync(tasks.process_id)
        os.kill(worker, signal.SIGSTOP)  # it reads no more, so that the argument is stuck half-way
        call = executor.submit(len, bytes(LARGE))
        assert eventually(call.running)
        os.kill(worker, signal.SIGKILL)
        try:
            assert call.result(60) == LARGE  # on the replacement: the task had not begun
        except WorkerCrashed:
            pass
        assert executor.run_sync(tasks.square, 3) == 9


@pytest.mark.own_process
def test_a_worker_killed_while_a_result_is_on_its_way(make):
    """At ten points in time: before, while and after it is sent."""
    executor = make(1)
    outcomes = []
    for step in range(10):

        def dies_meanwhile(delay=step * 0.004, size=LARGE):
            import threading

            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
            return bytes(size)

        call = aside(executor.run_sync, dies_meanwhile)
        try:
            outcomes.append(len(call.result(60)))
        except WorkerCrashed:
            outcomes.append(None)
    assert set(outcomes) <= {None, LARGE}
    assert _recovered(executor)


def _recovered(executor):
    """The last timer may still strike the task that comes next."""
    for _ in range(20):
        try:
            return executor.run_sync(tasks.square, 3) == 9
        except WorkerCrashed:
            continue
    return False


@pytest.mark.own_process
def test_a_caller_that_is_shut_down_while_a_large_argument_is_stuck(make):
    executor = make(1)
    worker = executor.run_sync(tasks.process_id)
    os.kill(worker, signal.SIGSTOP)
    call = aside(executor.run_sync, len, bytes(LARGE))
    assert eventually(lambda: executor._pool.running() == 1)
    executor.shutdown(timeout_secs=0.1)
    os.kill(worker, signal.SIGCONT)
    assert call.result(60) == LARGE


@pytest.mark.isolated
def test_a_value_too_deep_to_travel_is_an_error_and_no_crash(backend):
    run(
        """
        import sys
        from hypern import BlockingExecutor
        import tasks
        with BlockingExecutor(1, backend=sys.argv[1]) as executor:
            for call in (
                lambda: executor.run_sync(len, tasks.nested_list(100_000)),
                lambda: executor.run_sync(tasks.nested_list, 100_000),
            ):
                try:
                    call()
                except RuntimeError as error:
                    print("refused" if "ecursion" in repr(error) + repr(error.__cause__) else repr(error))
                else:
                    print("refused")  # it travelled, which is as good
            assert executor.run_sync(abs, -1) == 1
        """,
        backend,
        patience=60,
    ).ok("refused\nrefused\n")


# Memory that is shown and not sent


def view_of(kind):
    return {
        "bytes": memoryview(b"abcd" * 100_000),
        "bytearray": memoryview(bytearray(b"abcd" * 100_000)),
        "few bytes": memoryview(b"abcd"),
        "numbers": memoryview(array.array("d", [1.5, 2.5] * 50_000)),
        "a table": memoryview(bytes(range(6)) * 50_000).cast("B").cast("H", (3, 50_000)),
        "every other byte": memoryview(b"abcd" * 100_000)[::2],
        "nothing": memoryview(b""),
    }[kind]


@pytest.mark.parametrize(
    "kind", ["bytes", "bytearray", "few bytes", "numbers", "a table", "every other byte", "nothing"]
)
def test_a_memoryview_arrives_as_one(pool, kind):
    view = view_of(kind)
    kind, shape, content = pool.run_sync(tasks.about_view, view)
    assert (kind, shape, content) == (view.format, view.shape, view.tobytes())
    assert pool.run_sync(tasks.identity, view).tobytes() == view.tobytes()


@pytest.mark.own_interpreter
def test_an_interpreter_writes_to_the_memory_behind_a_memoryview(pool):
    memory = bytearray(200_000)
    pool.run_sync(tasks.fill, memoryview(memory), 7)
    assert memory == b"\7" * 200_000
    with pytest.raises(TypeError):
        pool.run_sync(tasks.fill, memoryview(bytes(200_000)), 7)


@pytest.mark.own_interpreter
def test_memory_is_let_go_of_after_the_task(pool):
    memory = bytearray(200_000)
    for _ in range(count(100, 10_000)):
        pool.run_sync(len, memoryview(memory))
    pool.run_sync(tasks.nothing)
    gc.collect()
    memory.append(1)  # a BufferError while somebody looks at it


@pytest.mark.own_interpreter
def test_memory_that_a_task_keeps_is_held_until_the_interpreter_has_ended(make):
    executor = make(1)
    memory = bytearray(b"abcd" * 100_000)
    executor.run_sync(tasks.keep, memoryview(memory))
    gc.collect()
    with pytest.raises(BufferError):
        memory.append(1)
    assert executor.run_sync(tasks.kept_bytes) == memory
    executor.shutdown()
    gc.collect()
    memory.append(1)


@pytest.mark.own_interpreter
def test_memory_that_a_task_kept_and_dropped_is_let_go_of_by_the_next_call(make):
    executor = make(1)
    memory = bytearray(b"abcd" * 100_000)
    executor.run_sync(tasks.keep, memoryview(memory))
    executor.run_sync(tasks.forget_kept)
    executor.run_sync(tasks.nothing)
    gc.collect()
    memory.append(1)


def test_memoryviews_inside_other_data_arrive_as_such(pool):
    large, small = memoryview(b"abcd" * 100_000), memoryview(b"abcd")
    for given in (pool.map(tasks.identity, [[large], [small]]), pool.run_parallel([(tasks.identity, ([large],))])):
        assert [type(view) for (view,) in given] == [memoryview] * len(given)
        assert given[0][0].tobytes() == large.tobytes()
