"""CPython's own test classes of executors, put over ours: ``python cpython.py BACKEND PART``, for test_cpython.py.

Here is what stands between those classes and ours: which names of the standard library mean ours, how an event reaches a
task, and the tests that do not hold, by name and with the reason.
"""

from __future__ import annotations

import concurrent.futures
import importlib
import itertools
import sys
import threading
import types
import unittest
from unittest import mock

from hypern import BlockingExecutor
from hypern._future import Future
from hypern.errors import TransferError, WorkerCrashed
from sync import Door, Gate, eventually, native_threads

PACKAGE = "test.test_concurrent_futures"

COMMON = ("test_as_completed.AsCompletedTests", "test_init.InitializerMixin", "test_init.FailingInitializerMixin")
#: The classes of each part, for backends that share the caller's memory.
SHARED = {
    "executor": ("test_thread_pool.ThreadPoolExecutorTest",),
    "future": ("test_future.FutureTests", "test_wait.ThreadPoolWaitTests", *COMMON),
    "shutdown": ("test_shutdown.ThreadPoolShutdownTest",),
}
#: The same for the others.
ISOLATED = {
    "executor": ("executor.ExecutorTest",),
    "future": ("test_wait.WaitTests", *COMMON),
    "shutdown": ("test_shutdown.ExecutorShutdownTest",),
}
#: Its tasks kill workers, which only processes survive.
DEADLOCK = {"deadlock": ("test_deadlock.ExecutorDeadlockTest",)}

MAP = "map returns a list, as its specification says, and not an iterator"
ALL_AT_ONCE = "all workers are started by the constructor, as the specification says, and not one by one"
NO_HEAD_START = "submit does not wait for a worker to wake, so all may be cancelled before one task starts"
NAMES = "workers are named hypern-0, or as thread_name_prefix and a number with a hyphen say"

#: What fails, and why it is to fail. Each is run, and fails the part if it passes.
DEVIATIONS = {
    "ExecutorTest.test_map_exception": MAP,
    "ExecutorTest.test_map_buffersize_on_empty_iterable": MAP,
    "ExecutorTest.test_map_buffersize_without_iterable": "map() without an iterable is a TypeError, as that of the builtins is",
    "ExecutorTest.test_map_buffersize_when_buffer_is_full": MAP,
    "ThreadPoolExecutorTest.test_executor_map_current_future_cancel": MAP,
    "ThreadPoolExecutorTest.test_default_workers": "there is one worker for each CPU that the process may use, by specification",
    "ThreadPoolExecutorTest.test_idle_thread_reuse": ALL_AT_ONCE,
    "ThreadPoolShutdownTest.test_thread_names_assigned": NAMES,
    "ThreadPoolShutdownTest.test_thread_names_default": NAMES,
    "ExecutorDeadlockTest.test_exit_during_result_pickle_on_worker": "a result that cannot be sent is a TransferError, "
    "whatever kept it from being pickled",
    "ExecutorDeadlockTest.test_shutdown_deadlock_pickle": "it joins the standard library's thread for its worker processes",
}

#: What would fail for such a reason too, but is not run: it would wait for ever, or for long, or not fail each time.
NOT_RUN = {
    "ExecutorTest.test_free_reference": MAP,
    "ExecutorTest.test_map_timeout": MAP,
    "ExecutorTest.test_map_buffersize_on_infinite_iterable": MAP,
    "ExecutorTest.test_map_buffersize_on_multiple_infinite_iterables": MAP,
    "ExecutorShutdownTest.test_cancel_futures": NO_HEAD_START,
    "ThreadPoolShutdownTest.test_cancel_futures_wait_false": NO_HEAD_START,  # CPython itself no longer insists, from 3.12 on
    "ThreadPoolShutdownTest.test_threads_terminate": ALL_AT_ONCE,
}


class Event:
    """An event that tasks can wait for wherever they run."""

    def __init__(self, gate: Gate):
        self._door = gate.door
        self.wait = gate.door.wait
        self.set = gate.open

    def __reduce__(self):
        return Door, (self._door.path,)


class Thread:
    """A thread as the system knows it, which is all that there is of a worker."""

    def __init__(self, number: int):
        self._number = number

    def join(self) -> None:
        assert eventually(lambda: self._number not in native_threads())


def shares_memory(backend: str) -> bool:
    return backend in ("threads", "auto")


def parts(backend: str) -> dict[str, tuple[str, ...]]:
    """Return the parts that are run on a backend."""
    if shares_memory(backend):
        return SHARED
    return ISOLATED | DEADLOCK if backend == "processes" else ISOLATED


def executor_type(backend: str) -> type[BlockingExecutor]:
    """Return the class of executors of one backend, with what CPython's tests see of its own pools."""

    class Executor(BlockingExecutor):
        def __init__(self, max_workers=None, *, mp_context=None, **options):
            before = native_threads()
            super().__init__(max_workers=max_workers, backend=backend, **options)
            self._threads = [Thread(number) for number in native_threads() - before]

        @property
        def _broken(self) -> bool:
            return not self.is_running()

    Executor.__name__ = f"{backend.capitalize()}Executor"
    return Executor


def imported(module: str) -> types.ModuleType:
    """Return a module of CPython's tests of executors; before 3.12 they are all in one."""
    return importlib.import_module(f"{PACKAGE}.{module}" if sys.version_info >= (3, 12) else PACKAGE)


def case(backend: str, name: str) -> type[unittest.TestCase]:
    """Return a class of theirs with our executors in the place of the standard library's."""
    module_name, class_name = name.split(".")
    module = imported(module_name)
    theirs = getattr(module, class_name)
    util = imported("util")
    executor = executor_type(backend)
    assert_python_ok = importlib.import_module("test.support.script_helper").assert_python_ok

    def assert_script_ok(option: str, script: str) -> tuple[int, bytes, bytes]:
        # Their scripts import the class by its name.
        lines = (
            "import concurrent.futures, functools, hypern",
            f"ours = functools.partial(hypern.BlockingExecutor, backend={backend!r})",
            f"concurrent.futures.{executor.__name__} = concurrent.futures.ThreadPoolExecutor = ours",
            script,
        )
        code, out, err = assert_python_ok(option, "\n".join(lines))
        # Its name for the same.
        return code, out, err.replace(b"hypern.errors.ShutdownError", b"RuntimeError")

    names = {
        "assert_python_ok": assert_script_ok,
        "Future": Future,
        "futures": types.SimpleNamespace(**{**vars(concurrent.futures), "ThreadPoolExecutor": executor}),
        # Their pools break as a whole where with ours one task fails.
        "BrokenProcessPool": (WorkerCrashed, TransferError),
        "PicklingError": TransferError,
    }

    class Ours(util.ExecutorMixin):
        executor_type = executor

        def setUp(self):
            for place, (name, meaning) in itertools.product({module, util}, names.items()):
                if hasattr(place, name):
                    self.enterContext(mock.patch.object(place, name, meaning))
            super().setUp()

        def get_context(self):
            return None

        def create_event(self):
            return threading.Event() if shares_memory(backend) else Event(self.enterContext(Gate()))

    bases = (Ours, theirs) if issubclass(theirs, util.BaseTestCase) else (Ours, theirs, util.BaseTestCase)
    made = type(class_name, bases, {})
    owners = {kind.__name__ for kind in theirs.__mro__}
    for row in (*DEVIATIONS, *NOT_RUN):
        owner, test = row.split(".")
        # Some came with 3.14; a row for a test that is gone by then is an error.
        if owner in owners and (hasattr(made, test) or sys.version_info >= (3, 14)):
            mark = unittest.skip(NOT_RUN[row]) if row in NOT_RUN else unittest.expectedFailure
            setattr(made, test, mark(getattr(made, test)))
    return made


if __name__ == "__main__":
    _, backend, part = sys.argv
    load = unittest.defaultTestLoader.loadTestsFromTestCase
    suites = [load(case(backend, name)) for name in parts(backend)[part]]
    result = unittest.TextTestRunner(sys.stdout, verbosity=2).run(unittest.TestSuite(suites))
    # A part of which nothing was run has not passed.
    sys.exit(not result.wasSuccessful() or result.testsRun == len(result.skipped))
