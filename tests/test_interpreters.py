"""What the backend of interpreters promises beyond what every backend does."""

from __future__ import annotations

import signal
import sys
import threading

import pytest

import tasks
from child import STRICT, Child, run
from conftest import BACKENDS
from hypern import BlockingExecutor, TransferError
from sync import Gate, count

pytestmark = pytest.mark.skipif(
    "interpreters" not in BACKENDS, reason="this Python has no interpreters of their own GIL"
)


@pytest.fixture(scope="module")
def interpreters():
    with BlockingExecutor(2, backend="interpreters") as executor:
        yield executor


def test_each_worker_has_an_interpreter_of_its_own_in_this_process():
    with BlockingExecutor(2, backend="interpreters") as executor, Gate() as gate:
        held = executor.submit(gate.door.wait)
        ((process, _),) = gate.arrived()
        other = executor.run_sync(tasks.interpreter)
        gate.open()
        held.result(20)
        found = set(executor.map(lambda _: tasks.interpreter(), range(50), chunk_size=1)) | {other}
        assert process == executor.run_sync(tasks.process_id)
    assert len(found) == 2
    assert tasks.interpreter() not in found


# Modules that do not load


REFUSED = "readline" if sys.platform == "linux" else "_curses"


def test_a_module_that_refuses_is_named_with_a_word_what_to_use(interpreters):
    with pytest.raises(ImportError, match=REFUSED) as caught:
        interpreters.run_sync(tasks.imports, REFUSED)
    assert caught.value.__notes__ == [
        f"hypern: the module {REFUSED} loads in no interpreter but the main one: use backend='processes'"
    ]


def test_an_argument_whose_module_refuses_is_named_with_a_word_what_to_use(interpreters):
    with pytest.raises(TransferError, match=REFUSED) as caught:
        interpreters.run_sync(len, tasks.Needs(REFUSED))
    assert "use backend='processes'" in caught.value.__notes__[0]


# What an interpreter takes over


def test_warning_filters_are_taken_over():
    run(
        """
        import warnings
        from hypern import BlockingExecutor

        def warned(message, category):
            import warnings
            with warnings.catch_warnings(record=True) as caught:
                warnings.warn(message, category)
            return [str(each.message) for each in caught]

        warnings.resetwarnings()
        warnings.filterwarnings("ignore", "boring", UserWarning)
        warnings.filterwarnings("error", category=DeprecationWarning)
        for backend in "interpreters", "processes":
            with BlockingExecutor(1, backend=backend) as executor:
                assert executor.run_sync(warned, "boring", UserWarning) == []
                assert executor.run_sync(warned, "other", UserWarning) == ["other"]
                try:
                    executor.run_sync(warned, "old", DeprecationWarning)
                except DeprecationWarning:
                    pass
                else:
                    raise AssertionError(backend)
        """,
        flags=(),
    ).ok()


def test_arguments_of_the_program_and_the_recursion_limit_are_taken_over(interpreters):
    assert interpreters.run_sync(eval, "__import__('sys').argv") == sys.argv
    assert interpreters.run_sync(sys.getrecursionlimit) == sys.getrecursionlimit()


# Threads and their end


def test_a_thread_that_a_task_leaves_behind_is_waited_for():
    run(
        """
        import threading, time
        from hypern import BlockingExecutor

        def leave_one():
            import threading, time
            def late():
                time.sleep(0.3)
                print("late", flush=True)
            threading.Thread(target=late).start()

        with BlockingExecutor(1, backend="interpreters") as executor:
            executor.run_sync(leave_one)
        print("end")
        """
    ).ok("late\nend\n")


def test_a_daemon_thread_is_refused_and_the_worker_goes_on(interpreters):
    def starts():
        thread = threading.Thread(target=print, daemon=True)
        thread.start()
        thread.join()

    with pytest.raises(RuntimeError, match="daemon"):
        interpreters.run_sync(starts)
    assert interpreters.run_sync(abs, -3) == 3


# Pools that come and go


@pytest.mark.timeout(600)
def test_many_pools_one_after_the_other():
    # CPython 3.13 leaks memory with each interpreter that ends.
    number = count(10, 500 if sys.version_info >= (3, 14) else 50)
    run(
        """
        import sys
        from hypern import BlockingExecutor
        for turn in range(int(sys.argv[1])):
            with BlockingExecutor(2, backend="interpreters") as executor:
                assert executor.map(lambda n: n * turn, range(10)) == [n * turn for n in range(10)]
        """,
        number,
        patience=500,
    ).ok()


def test_pools_that_are_made_and_ended_by_many_threads():
    run(
        """
        import sys, threading
        from hypern import BlockingExecutor
        def live():
            for turn in range(int(sys.argv[1])):
                with BlockingExecutor(2, backend="interpreters") as executor:
                    assert executor.map(abs, range(-9, 0)) == list(range(9, 0, -1))
        threads = [threading.Thread(target=live) for _ in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        """,
        count(2, 20),
        patience=300,
    ).ok()


@pytest.mark.skipif(sys.version_info >= (3, 15), reason="it works there")
def test_tracemalloc_is_refused_with_a_word_what_to_use():
    run(
        """
        import tracemalloc
        from hypern import BlockingExecutor
        tracemalloc.start()
        try:
            BlockingExecutor(1, backend="interpreters")
        except ValueError as error:
            assert "tracemalloc" in str(error) and "backend='processes'" in str(error)
        else:
            raise AssertionError("not refused")
        """
    ).ok()


@pytest.mark.parametrize("tool", ["tracemalloc", "faulthandler", "trace", "profile"])
def test_tools_may_watch_the_program(tool):
    if tool == "tracemalloc" and sys.version_info < (3, 15):
        pytest.skip("CPython crashes")
    run(
        """
        import sys
        from hypern import BlockingExecutor
        tool = sys.argv[1]
        if tool == "tracemalloc":
            import tracemalloc
            tracemalloc.start(5)
        elif tool == "faulthandler":
            import faulthandler
            faulthandler.enable()
        elif tool == "trace":
            sys.settrace(lambda *_: None)
        else:
            sys.setprofile(lambda *_: None)
        with BlockingExecutor(2, backend="interpreters") as executor:
            assert executor.map(abs, range(-1000, 0), chunk_size=10) == list(range(1000, 0, -1))
            try:
                executor.run_sync(divmod, 1, 0)
            except ZeroDivisionError:
                pass
            if tool == "tracemalloc":
                assert tracemalloc.take_snapshot().traces
        """,
        tool,
    ).ok()


@pytest.mark.parametrize(
    "module", ["datetime", "decimal", "json", "re", "hashlib", "asyncio", "sqlite3", "zoneinfo", "ctypes"]
)
def test_the_standard_library_is_used_by_all_workers_until_the_end(module):
    """On 3.13 such modules crash the process where the main interpreter has not loaded them first."""
    run(
        """
        import sys
        from hypern import BlockingExecutor
        for _ in range(int(sys.argv[2])):
            with BlockingExecutor(3, backend="interpreters") as executor:
                names = executor.map(lambda name: __import__(name).__name__, [sys.argv[1]] * 30, chunk_size=1)
                assert names == [sys.argv[1]] * 30
        """,
        module,
        count(2, 20),
        flags=STRICT,
        patience=100,
    ).ok()


# What reviews found


def test_large_arguments_of_callers_that_have_left_are_given_back_in_the_main_interpreter():
    """Dropped by a worker inside its interpreter, they corrupt the heap within seconds."""
    done = run(
        """
        import signal, sys, time
        from hypern import BlockingExecutor
        from hypern.errors import TransferError

        class Enough(Exception):
            pass

        def stop(*_):
            raise Enough

        def slow(data):
            import time
            time.sleep(0.004)
            return len(data)

        signal.signal(signal.SIGALRM, stop)
        left = 0
        with BlockingExecutor(2, backend="interpreters") as executor:
            for turn in range(int(sys.argv[1])):
                signal.setitimer(signal.ITIMER_REAL, 0.002)
                try:
                    executor.run_sync(slow, bytes(100_000 + turn))
                except (Enough, TransferError):  # The latter where it was raised while the call was encoded.
                    left += 1
                signal.setitimer(signal.ITIMER_REAL, 0)
                try:
                    executor.map(lambda data: 1 // len(data), [b"", *[bytes(100_000)] * 5], chunk_size=1)
                except ZeroDivisionError:
                    pass
        assert left
        """,
        count(100, 2000),
        patience=200,
    )
    # What the signal handler raised may have met code that cannot raise, which Python says on stderr.
    assert done.rc == 0, done.report()
    assert "Fatal" not in done.err


@pytest.mark.parametrize("way", ["of its own pool", "of another pool"])
def test_a_fork_comes_while_a_callback_waits_for_a_task(way):
    run(
        """
        import os, sys, threading
        from hypern import BlockingExecutor
        import tasks
        from sync import Gate

        executor = BlockingExecutor(1, backend="interpreters")
        other = executor if sys.argv[1] == "of its own pool" else BlockingExecutor(1, backend="interpreters")
        inside, results = threading.Event(), []

        def callback(future):
            waiting = other.submit(gate.door.wait)
            inside.set()
            waiting.result(60)
            results.append(other.submit(tasks.square, 3).result(60))

        with Gate() as gate:
            executor.submit(tasks.nothing).add_done_callback(callback)
            assert inside.wait(30)
            gate.arrived()
            threading.Timer(0.2, gate.open).start()
            process = os.fork()
            if process == 0:
                os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 7
        executor.shutdown()
        other.shutdown()
        assert results == [9]
        """,
        way,
        flags=(*STRICT, "-W", "ignore:This process:DeprecationWarning"),
    ).ok()


def test_a_thread_that_threading_does_not_know_is_waited_for():
    """CPython 3.13 ends the process where such a thread is left in an interpreter."""
    run(
        """
        from hypern import BlockingExecutor

        def leave_one():
            import _thread, time
            _thread.start_new_thread(time.sleep, (0.3,))

        with BlockingExecutor(1, backend="interpreters") as executor:
            executor.run_sync(leave_one)
        """
    ).ok()


def test_a_thread_that_has_yet_to_begin_is_waited_for():
    run(
        """
        import os
        from hypern import BlockingExecutor

        def leave_one():
            import _thread
            _thread.start_new_thread(abs, (-1,))

        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])  # On one core it often begins late.
        for _ in range(30):
            with BlockingExecutor(1, backend="interpreters") as executor:
                executor.run_sync(leave_one)
        """
    ).ok()


def test_a_slow_end_of_one_interpreter_does_not_keep_others_from_being_made():
    run(
        """
        import threading, time
        from hypern import BlockingExecutor

        def leave_one():
            import threading, time
            threading.Thread(target=time.sleep, args=(3,)).start()

        slow = BlockingExecutor(1, backend="interpreters")
        slow.run_sync(leave_one)
        ending = threading.Thread(target=slow.shutdown)
        ending.start()
        while slow.is_running():
            pass
        with BlockingExecutor(1, backend="interpreters") as executor:
            assert executor.run_sync(abs, -1) == 1
        assert ending.is_alive()
        ending.join()
        """
    ).ok()


def test_ctrl_c_at_exit_ends_the_program_also_where_c_code_keeps_an_interpreter():
    with Child.of(
        """
        from hypern import BlockingExecutor
        executor = BlockingExecutor(1, backend="interpreters")
        executor.run_sync(abs, -1)
        executor.submit(eval, "len(bytes(1)) + (pow(3, 3 * 10**8) & 1)")
        print("end", flush=True)
        """
    ) as child:
        child.expect("end")
        child.asleep()
        child.signal(signal.SIGINT)
        assert child.finish(30).rc == 130
