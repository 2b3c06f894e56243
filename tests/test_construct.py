"""The constructor: what it takes, what it refuses, and that a refusal leaves nothing behind."""

from __future__ import annotations

import concurrent.futures
import inspect
import logging
import os
import sysconfig
import threading

import pytest

import tasks
from child import run
from conftest import BACKENDS
from hypern import BlockingExecutor
from sync import aside, children, eventually, native_threads

HUGE = (10**6, 10**9, 2**63, 10**30)


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    threads, processes = native_threads(), children()
    yield
    assert eventually(lambda: native_threads() <= threads, 10), "threads left behind"
    assert eventually(lambda: children() <= processes, 10), "processes left behind"


@pytest.mark.parametrize("number", [-1, -(10**30), *HUGE])
def test_a_senseless_number_of_threads_is_a_value_error(backend, number):
    with pytest.raises(ValueError):
        BlockingExecutor(number, backend=backend)
    with pytest.raises(ValueError):
        BlockingExecutor(max_workers=number, backend=backend)


@pytest.mark.parametrize("number", [1.0, "2", b"2", [2], True, False, 1j], ids=repr)
def test_a_number_of_threads_that_is_no_integer_is_a_type_error(backend, number):
    with pytest.raises(TypeError):
        BlockingExecutor(number, backend=backend)
    with pytest.raises(TypeError):
        BlockingExecutor(max_workers=number, backend=backend)


@pytest.mark.parametrize("size", [-1, -(10**30)])
def test_a_negative_queue_size_is_a_value_error(backend, size):
    with pytest.raises(ValueError):
        BlockingExecutor(1, size, backend=backend)


@pytest.mark.parametrize("size", [1.0, "2", True, [2]], ids=repr)
def test_a_queue_size_that_is_no_integer_is_a_type_error(backend, size):
    with pytest.raises(TypeError):
        BlockingExecutor(1, size, backend=backend)


def test_a_big_queue_size_is_taken_or_refused_but_not_allocated(make):
    try:
        executor = make(1, 2**40)
    except ValueError:
        return
    assert executor.run_sync(tasks.square, 3) == 9


@pytest.mark.parametrize("size", [-1, 1, 100, 2**62, 10**30])
def test_a_senseless_stack_size_is_a_value_error(size):
    with pytest.raises((ValueError, MemoryError, OSError)):
        BlockingExecutor(1, backend="threads", stack_size=size)


@pytest.mark.parametrize("size", [1.0, "2", True], ids=repr)
def test_a_stack_size_that_is_no_integer_is_a_type_error(size):
    with pytest.raises(TypeError):
        BlockingExecutor(1, stack_size=size)


def test_a_stack_size_in_bytes_is_taken(make):
    assert make(1, stack_size=64 << 20).run_sync(tasks.square, 3) == 9


@pytest.mark.parametrize("name", ["fibers", "", "Threads", "thread"])
def test_an_unknown_backend_is_a_value_error_that_names_the_known(name):
    with pytest.raises(ValueError) as caught:
        BlockingExecutor(1, backend=name)
    for known in ("auto", "threads", "processes"):
        assert known in str(caught.value)


@pytest.mark.parametrize("name", [None, 5, b"threads"], ids=repr)
def test_a_backend_that_is_no_name_is_an_error(name):
    with pytest.raises((TypeError, ValueError)):
        BlockingExecutor(1, backend=name)


@pytest.mark.skipif("interpreters" in BACKENDS, reason="this Python has them")
def test_interpreters_are_refused_where_python_has_none_with_a_word_what_to_use():
    instead = "threads" if sysconfig.get_config_var("Py_GIL_DISABLED") else "processes"
    with pytest.raises(ValueError, match=f"'interpreters' is not offered here.*use backend='{instead}'"):
        BlockingExecutor(1, backend="interpreters")


def test_without_a_backend_tasks_share_this_process():
    with BlockingExecutor(1) as executor:
        assert executor.run_sync(os.getpid) == os.getpid()
    with BlockingExecutor(1, backend="auto") as executor:
        assert executor.run_sync(os.getpid) == os.getpid()


def test_max_workers_is_another_spelling_of_max_threads(backend):
    with BlockingExecutor(max_workers=3, backend=backend) as executor:
        assert executor.pool_size() == 3
        assert executor.run_sync(tasks.square, 3) == 9


def test_both_spellings_together_are_a_type_error(backend):
    with pytest.raises(TypeError):
        BlockingExecutor(1, max_workers=1, backend=backend)


def test_max_workers_takes_no_zero_as_elsewhere(backend):
    with pytest.raises(ValueError, match="max_workers must be greater than 0"):
        BlockingExecutor(max_workers=0, backend=backend)


def test_max_workers_may_be_none_as_elsewhere():
    with BlockingExecutor(max_workers=None) as executor:
        assert executor.pool_size() >= 1


def test_max_workers_can_be_read_where_others_read_it(backend):
    with BlockingExecutor(2, backend=backend) as executor:
        assert executor._max_workers == 2
        assert type(executor._max_workers) is int


def test_objects_that_stand_for_an_integer_will_do():
    class Two:
        def __index__(self):
            return 2

    with BlockingExecutor(Two()) as executor:
        assert executor.pool_size() == 2


def test_options_are_given_by_name_only():
    with pytest.raises(TypeError):
        BlockingExecutor(1, 0, "threads")


def test_an_unknown_option_is_a_type_error():
    with pytest.raises(TypeError):
        BlockingExecutor(1, colour="red")


def test_zero_threads_means_the_processors_this_process_may_use(backend):
    done = run(
        """
        import os, sys
        processor = min(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {processor})
        from hypern import BlockingExecutor
        with BlockingExecutor(backend=sys.argv[1]) as executor:
            print(executor.pool_size(), executor.run_sync(abs, -1))
        """,
        backend,
    )
    done.ok("1 1\n")


def test_zero_threads_is_never_more_than_the_processors():
    with BlockingExecutor(0) as executor:
        assert 1 <= executor.pool_size() <= len(os.sched_getaffinity(0))


def test_a_subclass_is_an_executor(backend):
    class Own(BlockingExecutor):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.calls = 0

        def run_sync(self, callable, /, *args, **kwargs):
            self.calls += 1
            return super().run_sync(callable, *args, **kwargs)

    with Own(1, backend=backend) as executor:
        assert executor.run_sync(tasks.square, 3) == 9
        assert executor.calls == 1


def test_an_instance_takes_attributes_and_weak_references():
    import weakref

    with BlockingExecutor(1) as executor:
        executor.label = "mine"
        assert executor.label == "mine"
        assert weakref.ref(executor)() is executor


def test_the_constructor_has_a_signature():
    parameters = inspect.signature(BlockingExecutor).parameters
    names = ["max_threads", "queue_size", "backend", "on_full", "full_timeout", "stack_size", "thread_name_prefix"]
    assert [*parameters] == [*names, "initializer", "initargs", "max_workers"]
    assert parameters["backend"].default == "auto"
    assert parameters["thread_name_prefix"].default == "hypern"
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in names[2:])


# Names of threads


@pytest.mark.shared
def test_workers_are_named(make):
    names = set(make(2).map(lambda _: threading.current_thread().name, range(20)))
    assert all(name.startswith("hypern") for name in names)
    names = set(make(2, thread_name_prefix="mine").map(lambda _: threading.current_thread().name, range(20)))
    assert all(name.startswith("mine") for name in names)


@pytest.mark.shared
@pytest.mark.parametrize("prefix", ["", "x" * 300, "ü€𝄞", "with space"])
def test_odd_prefixes_will_do(make, prefix):
    name = make(1, thread_name_prefix=prefix).run_sync(lambda: threading.current_thread().name)
    assert name.startswith(prefix)


@pytest.mark.parametrize("prefix", [5, b"bytes"], ids=repr)
def test_a_prefix_that_is_no_text_is_a_type_error(backend, prefix):
    with pytest.raises(TypeError):
        BlockingExecutor(1, backend=backend, thread_name_prefix=prefix)


def test_a_prefix_with_a_null_is_taken_or_refused(make):
    try:
        executor = make(1, thread_name_prefix="a\0b")
    except ValueError:
        return
    assert executor.run_sync(tasks.square, 3) == 9


# Initializers


def test_the_initializer_runs_before_any_task(make):
    executor = make(2, initializer=tasks.set_remembered, initargs=("value",))
    assert executor.map(tasks.get_remembered, range(20), chunk_size=1) == ["value"] * 20


def test_the_initializer_runs_once_per_worker(make, gate, ledger):
    executor = make(3, initializer=ledger.note, initargs=("ready",))
    held = [executor.submit(gate.door.wait) for _ in range(3)]
    gate.arrived(3)
    gate.open()
    for future in held:
        future.result(20)
    executor.map(tasks.square, range(30), chunk_size=1)
    assert ledger.lines() == ["ready"] * 3


def test_an_initializer_may_be_a_lambda(make, ledger):
    executor = make(1, initializer=lambda: ledger.note("ready"))
    executor.run_sync(tasks.nothing)
    assert ledger.lines() == ["ready"]


def test_initargs_may_be_any_sequence(make, ledger):
    executor = make(1, initializer=ledger.note, initargs=["ready"])
    executor.run_sync(tasks.nothing)
    assert ledger.lines() == ["ready"]


@pytest.mark.parametrize("initializer", [5, "name"])
def test_an_initializer_that_cannot_be_called_is_a_type_error(backend, initializer):
    with pytest.raises(TypeError):
        BlockingExecutor(1, backend=backend, initializer=initializer)


def test_initargs_that_are_no_sequence_are_a_type_error(backend):
    with pytest.raises(TypeError):
        BlockingExecutor(1, backend=backend, initializer=print, initargs=5)


@pytest.mark.parametrize("error", [ValueError("no start"), SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_a_failing_initializer_breaks_the_pool_and_is_logged(make, caplog, error):
    from hypern.errors import BrokenPool

    assert issubclass(BrokenPool, concurrent.futures.BrokenExecutor)
    with caplog.at_level(logging.CRITICAL, "concurrent.futures"):
        executor = make(2, initializer=tasks.raises, initargs=(error,))
        calls = (
            lambda: executor.run_sync(tasks.nothing),
            lambda: executor.map(tasks.nothing, range(5)),
            lambda: executor.run_parallel([(tasks.nothing, ())]),
            lambda: executor.submit(tasks.nothing).result(20),
        )
        for call in calls * 2:
            with pytest.raises(concurrent.futures.BrokenExecutor) as caught:
                call()
            assert isinstance(caught.value, BrokenPool)
            assert isinstance(caught.value, RuntimeError)
    (record,) = caplog.records
    assert record.name == "concurrent.futures"  # where the standard library's pools log it
    assert type(record.exc_info[1]) is type(error)
    executor.shutdown()


def test_a_failing_initializer_fails_what_already_waits(make, gate, caplog):
    with caplog.at_level(logging.CRITICAL, "concurrent.futures"):
        executor = make(1, initializer=tasks.waits_and_fails, initargs=(gate.door,))
        gate.arrived()
        futures = [executor.submit(tasks.nothing) for _ in range(5)]
        gate.open()
        for future in futures:
            assert isinstance(future.exception(20), concurrent.futures.BrokenExecutor)


@pytest.mark.own_process
def test_an_initializer_that_kills_its_worker_breaks_the_pool(make, caplog):
    with caplog.at_level(logging.CRITICAL, "concurrent.futures"):
        executor = make(1, initializer=os._exit, initargs=(5,))
        with pytest.raises(concurrent.futures.BrokenExecutor):
            executor.run_sync(tasks.nothing)
        with pytest.raises(concurrent.futures.BrokenExecutor):
            executor.run_sync(tasks.nothing)


@pytest.mark.own_process
def test_an_initializer_runs_in_the_replacement_of_a_worker_too(make, ledger):
    executor = make(1, initializer=ledger.note, initargs=("ready",))
    with pytest.raises(RuntimeError):
        executor.run_sync(os._exit, 3)
    executor.run_sync(tasks.nothing)
    assert ledger.lines() == ["ready"] * 2


# Places where a pool is made


def test_a_pool_made_while_a_module_is_imported_works(backend):
    run(
        """
        import sys
        sys.backend = sys.argv[1]
        import made_at_import
        assert made_at_import.answers == [0, 1, 4], made_at_import.answers
        assert made_at_import.executor.map(made_at_import.square, range(3)) == [0, 1, 4]
        """,
        backend,
        files={
            "made_at_import.py": """
            import sys
            from hypern import BlockingExecutor

            executor = BlockingExecutor(2, backend=getattr(sys, "backend", "threads"))

            def square(number):
                return number * number

            answers = executor.map(square, range(3))
            """
        },
    ).ok()


def test_a_pool_made_on_a_thread_works_everywhere(backend):
    run(
        """
        import sys, threading
        from hypern import BlockingExecutor
        made = []
        maker = threading.Thread(target=lambda: made.append(BlockingExecutor(1, backend=sys.argv[1])))
        maker.start(); maker.join()
        assert made[0].run_sync(abs, -1) == 1
        """,
        backend,
    ).ok()


def test_many_pools_made_and_shut_down(backend):
    for _ in range(10):
        executor = BlockingExecutor(2, backend=backend)
        assert executor.run_sync(tasks.square, 3) == 9
        executor.shutdown()


def test_many_pools_made_and_never_used(backend):
    for _ in range(5):
        BlockingExecutor(2, backend=backend).shutdown()


def test_a_future_cancelled_before_the_pool_breaks_counts_as_done(make, gate, caplog):
    with caplog.at_level(logging.CRITICAL, "concurrent.futures"):
        executor = make(1, initializer=tasks.waits_and_fails, initargs=(gate.door,))
        gate.arrived()
        future = executor.submit(tasks.nothing)
        assert future.cancel()
        gate.open()
        assert concurrent.futures.wait([future], timeout=20).done == {future}


def test_executors_made_by_many_threads_at_once_all_work(backend):
    def make_and_use():
        with BlockingExecutor(1, backend=backend) as executor:
            return executor.run_sync(tasks.square, 3)

    callers = [aside(make_and_use) for _ in range(8)]
    assert [caller.result(60) for caller in callers] == [9] * 8
