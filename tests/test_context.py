"""What surrounds a task: context variables, thread-local state, output, directories, paths."""

from __future__ import annotations

import contextvars
import decimal
import gc
import io
import logging
import os
import threading
import warnings
from contextlib import redirect_stdout

import pytest

import tasks
from child import run
from sync import aside

variable = contextvars.ContextVar("variable", default="unset")


@pytest.mark.shared
@pytest.mark.parametrize("way", ["run_sync", "map", "run_parallel", "submit"])
def test_a_task_sees_the_context_variables_of_its_caller(pool, way):
    token = variable.set("of the caller")
    try:
        values = {
            "run_sync": lambda: [pool.run_sync(variable.get)],
            "map": lambda: pool.map(lambda _: variable.get(), range(20), chunk_size=1),
            "run_parallel": lambda: pool.run_parallel([(variable.get, ())] * 5),
            "submit": lambda: [pool.submit(variable.get).result(20)],
        }[way]()
    finally:
        variable.reset(token)
    assert set(values) == {"of the caller"}


@pytest.mark.shared
def test_the_context_is_that_of_the_time_of_submitting(make, gate):
    executor = make(1)
    executor.submit(gate.door.wait)
    gate.arrived()
    token = variable.set("then")
    future = executor.submit(variable.get)
    variable.reset(token)
    gate.open()
    assert future.result(20) == "then"


@pytest.mark.shared
def test_what_a_task_sets_stays_with_it(make):
    executor = make(1)
    executor.run_sync(variable.set, "of a task")
    assert variable.get() == "unset"
    assert executor.run_sync(variable.get) == "unset"
    executor.run_parallel([(variable.set, ("of a task",)), (tasks.nothing, ())])
    assert variable.get() == "unset"
    assert executor.run_sync(variable.get) == "unset"


@pytest.mark.shared
def test_callers_on_many_threads_have_their_own_context(pool):
    def caller(name):
        variable.set(name)
        return all(pool.run_sync(variable.get) == name for _ in range(100))

    callers = [aside(caller, str(number)) for number in range(8)]
    assert all(each.result(30) for each in callers)


@pytest.mark.shared
def test_the_decimal_context_is_that_of_the_caller(pool):
    with decimal.localcontext() as context:
        context.prec = 5
        assert pool.run_sync(lambda: str(decimal.Decimal(1) / 3)) == "0.33333"


@pytest.mark.isolated
def test_the_decimal_context_of_the_caller_does_not_cross(pool):
    with decimal.localcontext() as context:
        context.prec = 5
        assert pool.run_sync(lambda: str(decimal.Decimal(1) / 3)) == "0." + 28 * "3"


def test_the_context_of_a_task_is_one_that_can_be_run_in(pool):
    assert pool.run_sync(lambda: contextvars.copy_context().run(tasks.square, 3)) == 9


@pytest.mark.shared
def test_thread_local_state_stays_with_the_worker(make):
    executor = make(1)
    local = threading.local()
    executor.run_sync(setattr, local, "value", 5)
    assert executor.run_sync(getattr, local, "value") == 5
    assert not hasattr(local, "value")


def test_a_worker_keeps_its_thread(make):
    executor = make(1)
    assert len(set(executor.map(tasks.place, range(50), chunk_size=1))) == 1


@pytest.mark.shared
def test_current_thread_is_the_same_object_for_all_tasks_of_a_worker(make):
    executor = make(1)
    first = executor.run_sync(threading.current_thread)
    assert executor.run_sync(threading.current_thread) is first
    assert executor.run_sync(threading.get_ident) == first.ident
    assert first is not threading.main_thread()


@pytest.mark.shared
def test_output_can_be_redirected(pool):
    output = io.StringIO()
    with redirect_stdout(output):
        pool.run_sync(print, "from a task")
    assert output.getvalue() == "from a task\n"


@pytest.mark.shared
def test_the_filters_of_warnings_are_those_of_the_program_when_a_task_warns(pool):
    def warns(_):
        warnings.warn("of a task", stacklevel=1)
        return "went on"

    for way in (pool.run_sync, lambda *call: pool.submit(*call).result(20), lambda *call: pool.map(*call)[0]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert way(warns, "1") == "went on"
            warnings.simplefilter("error")
            with pytest.raises(UserWarning, match="of a task"):
                way(warns, "1")


@pytest.mark.shared
def test_log_records_of_tasks_name_the_worker(pool, caplog):
    with caplog.at_level(logging.INFO):
        pool.run_sync(logging.getLogger("of.a.task").info, "logged")
    (record,) = (record for record in caplog.records if record.name == "of.a.task")
    assert record.threadName.startswith("hypern")


@pytest.mark.shared
def test_locks_of_the_caller_hold_in_tasks(pool):
    lock, total = threading.Lock(), [0]

    def add(_):
        with lock:
            total[0] += 1

    pool.map(add, range(2000), chunk_size=10)
    assert total == [2000]


def test_output_of_tasks_reaches_that_of_the_program(backend):
    done = run(
        """
        import sys
        from hypern import BlockingExecutor

        def talk():
            print("to stdout", flush=True)
            print("to stderr", file=sys.stderr)
            sys.stdout.buffer.write(b"bytes\\n")

        with BlockingExecutor(1, backend=sys.argv[1]) as executor:
            executor.run_sync(talk)
        """,
        backend,
    )
    assert (done.rc, done.out, done.err) == (0, "to stdout\nbytes\n", "to stderr\n"), done.report()


def test_output_of_a_task_is_written_by_the_time_it_is_done(backend):
    run(
        """
        import os, sys
        from hypern import BlockingExecutor
        with BlockingExecutor(1, backend=sys.argv[1]) as executor:
            for number in range(5):
                executor.run_sync(print, "task", number, flush=sys.argv[1] in ("threads", "auto"))
                os.write(1, b"caller %d\\n" % number)
        """,
        backend,
    ).ok("".join(f"task {n}\ncaller {n}\n" for n in range(5)))


def test_a_task_that_writes_much_does_not_hang(backend):
    done = run(
        """
        import sys
        from hypern import BlockingExecutor
        # One thread: a text stream that several write to at once loses some of it, in any pool.
        with BlockingExecutor(1 if sys.argv[1] in ("threads", "auto") else 2, backend=sys.argv[1]) as executor:
            executor.map(print, ["x" * 1000] * 1000, chunk_size=10)
        """,
        backend,
    ).ok()
    assert done.out.count("x") == 1_000_000


def test_a_closed_output_is_no_accident_of_the_pool(backend):
    run(
        """
        import os, sys
        from hypern import BlockingExecutor
        os.close(1)
        executor = BlockingExecutor(1, backend=sys.argv[1])
        assert executor.run_sync(abs, -1) == 1
        executor.shutdown()
        os._exit(0)
        """,
        backend,
    ).failed(0)


def test_the_working_directory_is_that_of_the_program(pool):
    assert pool.run_sync(os.getcwd) == os.getcwd()


def test_the_environment_is_that_of_the_time_the_pool_was_made(make, monkeypatch):
    monkeypatch.setenv("OF_THIS_TEST", "value")
    assert make(1).run_sync(os.environ.get, "OF_THIS_TEST") == "value"


def test_a_path_added_later_is_known_to_tasks(make, tmp_path, monkeypatch):
    executor = make(1)
    executor.run_sync(tasks.nothing)
    (tmp_path / "added_later.py").write_text("def function(): return 5\n")
    monkeypatch.syspath_prepend(os.fspath(tmp_path))
    import added_later

    assert executor.run_sync(added_later.function) == 5


def test_settings_of_the_interpreter_are_those_of_the_program(backend):
    done = run(
        """
        import sys
        from hypern import BlockingExecutor

        def settings():
            return sys.flags.optimize, sys.flags.utf8_mode, sys.flags.dev_mode, sys.warnoptions[:1], sys.executable

        with BlockingExecutor(1, backend=sys.argv[1]) as executor:
            assert executor.run_sync(settings) == settings(), (executor.run_sync(settings), settings())
            print(settings()[:2])
        """,
        backend,
        flags=("-O", "-X", "utf8", "-W", "error"),
    )
    done.ok("(1, 1)\n")


def test_a_task_may_start_threads(pool):
    def starts():
        results = []
        thread = threading.Thread(target=lambda: results.append(5))
        thread.start()
        thread.join()
        return results

    assert pool.run_sync(starts) == [5]


def test_a_task_may_run_an_event_loop(pool):
    def runs():
        import asyncio

        async def main():
            await asyncio.sleep(0)
            return 5

        return asyncio.run(main())

    assert pool.run_sync(runs) == 5


def test_a_task_may_run_a_program(pool):
    def runs():
        import subprocess
        import sys

        return subprocess.run([sys.executable, "-c", "print(5)"], capture_output=True, text=True).stdout

    assert pool.run_sync(runs) == "5\n"


def test_a_task_may_use_other_executors(pool):
    def uses():
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(2) as other:
            return list(other.map(tasks.square, range(5)))

    assert pool.run_sync(uses) == [0, 1, 4, 9, 16]


def test_garbage_can_be_collected_anywhere_at_any_time(pool):

    calls = [aside(pool.map, lambda _: gc.collect(), range(10), chunk_size=1) for _ in range(2)]
    gc.collect()
    for call in calls:
        call.result(60)
