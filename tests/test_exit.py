"""The end of the program, in whatever state its pools are: work that was accepted is done, and stderr stays clean."""

from __future__ import annotations

import os
import signal

import pytest

from child import Child, run, run_python
from sync import Gate, Ledger, count, eventually, is_alive

BEGINNING = """
import os, sys, threading
from hypern import BlockingExecutor
from sync import Door, Ledger
import tasks
backend, folder = sys.argv[1:3]
ledger = Ledger(os.path.join(folder, "ledger"))
"""

#: A task that holds its worker until the interpreter is well into its end, and a wait for such a task to begin.
HOLD = """
def hold(number):
    import threading, time
    Ledger(os.path.join(folder, "held")).note(number)
    if backend == "threads":
        while not getattr(threading, "_SHUTTING_DOWN", True):
            time.sleep(0.001)
    else:
        time.sleep(0.2)
    ledger.note(number)
def wait_until_held():
    while not Ledger(os.path.join(folder, "held")).lines():
        pass
"""

SCENARIOS = {
    "never used": "executor = BlockingExecutor(2, backend=backend)",
    "used and left": """
executor = BlockingExecutor(2, backend=backend)
executor.run_sync(ledger.note, "ran")
""",
    "queued": """
executor = BlockingExecutor(1, backend=backend)
futures = [executor.submit(ledger.note, number) for number in range(50)]
""",
    "running": HOLD
    + """
executor = BlockingExecutor(2, backend=backend)
executor.submit(hold, 0)
""",
    "running and queued": HOLD
    + """
executor = BlockingExecutor(1, backend=backend)
futures = [executor.submit(hold, 0), *[executor.submit(ledger.note, number) for number in range(1, 50)]]
""",
    "shut down without waiting": HOLD
    + """
executor = BlockingExecutor(1, backend=backend)
futures = [executor.submit(hold, 0), *[executor.submit(ledger.note, number) for number in range(1, 50)]]
executor.shutdown(wait=False)
""",
    "shut down and cancelled": """
executor = BlockingExecutor(1, backend=backend)
executor.run_sync(ledger.note, "ran")
futures = [executor.submit(ledger.note, "ran") for _ in range(50)]
executor.shutdown(wait=False, cancel_futures=True)
""",
    "dropped": """
BlockingExecutor(2, backend=backend).submit(ledger.note, "ran")
""",
    "dropped with work": HOLD
    + """
executor = BlockingExecutor(1, backend=backend)
for number in range(50):
    executor.submit(hold if number == 0 else ledger.note, number)
del executor
""",
    "in a cycle": """
executor = BlockingExecutor(1, backend=backend)
executor.itself = executor
futures = [executor.submit(ledger.note, number) for number in range(50)]
futures.append(futures)
""",
    "in a class": """
class Service:
    executor = BlockingExecutor(1, backend=backend)
    for number in range(50):
        executor.submit(ledger.note, number)
""",
    "with at module level": """
with BlockingExecutor(2, backend=backend) as executor:
    for number in range(50):
        executor.submit(ledger.note, number)
""",
    "many pools": """
executors = [BlockingExecutor(1, backend=backend) for _ in range(4)]
for number in range(48):
    executors[number % 4].submit(ledger.note, number)
""",
    "another thread goes on": """
executor = BlockingExecutor(1, backend=backend)
def go_on():
    threading.main_thread().join()  # the main thread has come to its end
    try:
        executor.run_sync(ledger.note, "ran")
    except RuntimeError as error:  # refused, as the standard library refuses it
        ledger.note("refused")
threading.Thread(target=go_on).start()
""",
    "a thread waits": HOLD
    + """
executor = BlockingExecutor(1, backend=backend)
threading.Thread(target=executor.run_sync, args=(hold, 0)).start()
wait_until_held()
""",
    "a daemon thread waits": HOLD
    + """
executor = BlockingExecutor(1, backend=backend)
threading.Thread(target=executor.run_sync, args=(hold, 0), daemon=True).start()
wait_until_held()
""",
    "a daemon thread waits for a slot": """
executor = BlockingExecutor(1, 1, backend=backend)
def fill():
    try:
        while True:
            executor.submit(tasks.nothing)
    except RuntimeError:
        pass
threading.Thread(target=fill, daemon=True).start()
executor.run_sync(ledger.note, "ran")
""",
    "daemon threads submit": """
executor = BlockingExecutor(2, backend=backend)
def submit_for_ever():
    try:
        while True:
            executor.submit(tasks.square, 3).result()
    except RuntimeError:
        pass
for _ in range(3):
    threading.Thread(target=submit_for_ever, daemon=True).start()
executor.run_sync(ledger.note, "ran")
""",
    "a map in a daemon thread": """
import itertools
executor = BlockingExecutor(2, backend=backend)
def map_for_ever():
    try:
        executor.map(tasks.square, itertools.count())
    except RuntimeError:
        pass
threading.Thread(target=map_for_ever, daemon=True).start()
executor.run_sync(ledger.note, "ran")
""",
    "a failed future nobody looks at": """
executor = BlockingExecutor(2, backend=backend)
futures = [executor.submit(tasks.raises, ValueError("unseen")) for _ in range(10)]
""",
    "a callback at the end": HOLD
    + """
executor = BlockingExecutor(1, backend=backend)
executor.submit(hold, 0).add_done_callback(lambda future: ledger.note("called"))
""",
    "the default executor": """
from hypern.blocking import blocking_run, set_default_executor
set_default_executor(BlockingExecutor(1, backend=backend))
blocking_run(ledger.note, "ran")
""",
    "within asyncio": """
import asyncio
executor = BlockingExecutor(1, backend=backend)
async def main():
    asyncio.get_running_loop().run_in_executor(executor, ledger.note, "ran")
    await asyncio.get_running_loop().run_in_executor(executor, tasks.nothing)
asyncio.run(main())
""",
    "made on a thread": """
def made():
    global executor
    executor = BlockingExecutor(1, backend=backend)
    executor.submit(ledger.note, "ran")
maker = threading.Thread(target=made); maker.start(); maker.join()
""",
    "made while the program ends": """
def made():
    try:
        executor = BlockingExecutor(1, backend=backend)
        executor.submit(ledger.note, "ran")
    except RuntimeError:
        ledger.note("refused")
threading.Thread(target=made).start()
""",
}

FIFTY = sorted(map(str, range(50)))
EXPECTED = {
    "never used": [],
    "running": ["0"],
    "a thread waits": ["0"],
    "queued": FIFTY,
    "running and queued": FIFTY,
    "shut down without waiting": FIFTY,
    "shut down and cancelled": None,  # the first, and of the others those that had started
    "dropped with work": FIFTY,
    "in a cycle": FIFTY,
    "in a class": FIFTY,
    "with at module level": FIFTY,
    "many pools": sorted(map(str, range(48))),
    "another thread goes on": None,
    "a daemon thread waits": ["0"],
    "made while the program ends": None,
    "a failed future nobody looks at": [],
    "a callback at the end": ["0", "called"],
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_program_ends_well_and_its_work_is_done(backend, tmp_path, scenario):
    for turn in range(count(1, 50)):
        folder = tmp_path / str(turn)
        folder.mkdir()
        run(BEGINNING + SCENARIOS[scenario], backend, folder).ok("")
        expected = EXPECTED.get(scenario, ["ran"])
        if expected is not None:
            assert sorted(Ledger(os.fspath(folder / "ledger")).lines()) == expected


WORK = """
executor = BlockingExecutor(1, backend=backend)
futures = [executor.submit(ledger.note, number) for number in range(50)]
"""


def test_sys_exit_keeps_its_code_and_the_work_is_done(backend, tmp_path):
    done = run(BEGINNING + WORK + "sys.exit(3)", backend, tmp_path)
    done.failed(3)
    assert done.err == "", done.report()
    assert sorted(Ledger(os.fspath(tmp_path / "ledger")).lines()) == FIFTY


def test_sys_exit_inside_with_keeps_its_code(backend, tmp_path):
    done = run(
        BEGINNING
        + """
with BlockingExecutor(1, backend=backend) as executor:
    executor.submit(ledger.note, "ran")
    sys.exit(3)
""",
        backend,
        tmp_path,
    )
    done.failed(3)
    assert done.err == "", done.report()
    assert Ledger(os.fspath(tmp_path / "ledger")).lines() == ["ran"]


def test_sys_exit_inside_asyncio_keeps_its_code(backend, tmp_path):
    done = run(
        BEGINNING
        + """
import asyncio
executor = BlockingExecutor(1, backend=backend)
async def main():
    asyncio.get_running_loop().run_in_executor(executor, ledger.note, "ran")
    sys.exit(3)
asyncio.run(main())
""",
        backend,
        tmp_path,
    )
    done.failed(3)


def test_an_unhandled_exception_shows_its_traceback_and_nothing_else(backend, tmp_path):
    done = run(BEGINNING + WORK + "raise KeyError('mine')", backend, tmp_path)
    done.failed(1, "KeyError: 'mine'")
    assert done.err.count("Traceback") == 1, done.report()
    assert sorted(Ledger(os.fspath(tmp_path / "ledger")).lines()) == FIFTY


def test_an_unhandled_error_of_a_task_ends_the_program_with_code_1(backend, tmp_path):
    done = run(BEGINNING + WORK + "executor.run_sync(tasks.raises, ValueError('of a task'))", backend, tmp_path)
    done.failed(1, "ValueError: of a task")
    assert sorted(Ledger(os.fspath(tmp_path / "ledger")).lines()) == FIFTY


def test_os_exit_ends_the_workers_too(backend, tmp_path):
    script = """
executor = BlockingExecutor(2, backend=backend)
executor.run_sync(abs, 1)
os._exit(5)
"""
    run(BEGINNING + script, backend, tmp_path).failed(5)


def test_os_exit_with_busy_workers_ends_them_too(backend, tmp_path):
    script = """
executor = BlockingExecutor(2, backend=backend)
future = executor.submit(Door(sys.argv[3]).wait)
while not future.running():
    pass
os._exit(5)
"""
    with Gate() as gate:
        run(BEGINNING + script, backend, tmp_path, gate.door.path).failed(5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("busy", ["idle", "busy"])
def test_workers_end_when_the_program_is_killed(backend, tmp_path, number, busy):
    script = """
executor = BlockingExecutor(2, backend=backend)
print(*{executor.run_sync(tasks.process_id) for _ in range(10)}, flush=True)
if sys.argv[3] == "busy":
    executor.submit(Door(sys.argv[4]).wait)
threading.Event().wait()
"""
    with Gate() as gate, Child.of(BEGINNING + script, backend, tmp_path, busy, gate.door.path) as child:
        workers = [int(word) for word in child.line().split()]
        if busy == "busy":
            workers += [gate.arrived()[0][0]]
        child.signal(number)
        done = child.finish()  # which waits for all who hold the output of the program
        done.failed(-number)
        assert done.err == "", done.report()
        assert eventually(lambda: not any(map(is_alive, workers)), 10)


# Row 12: calls during the end

LATE_CALLS = {
    "submit": "executor.submit(abs, -1).result()",
    "run_sync": "executor.run_sync(abs, -1)",
    "map": "executor.map(abs, [-1])",
    "run_parallel": "executor.run_parallel([(abs, (-1,))])",
    "a new pool": "BlockingExecutor(1, backend=backend).run_sync(abs, -1)",
    "a helper": "__import__('hypern.blocking').blocking.blocking_run(abs, -1)",
}


@pytest.mark.parametrize("call", LATE_CALLS)
def test_a_call_at_exit_is_a_runtime_error(backend, tmp_path, call):
    run(
        BEGINNING
        + f"""
import atexit
executor = BlockingExecutor(1, backend=backend)
executor.run_sync(abs, 1)
def late():
    try:
        {LATE_CALLS[call]}
    except RuntimeError as error:
        print("RuntimeError")
    else:
        print("no error")
atexit.register(late)
""",
        backend,
        tmp_path,
    ).ok("RuntimeError\n")


@pytest.mark.parametrize("call", LATE_CALLS)
def test_a_call_while_the_interpreter_is_torn_down_is_no_accident(backend, tmp_path, call):
    """A destructor calls; whether it is served or refused, the program ends well."""
    run(
        BEGINNING
        + f"""
executor = BlockingExecutor(1, backend=backend)
executor.run_sync(abs, 1)
class Late:
    def __init__(self):
        self.scope = executor, BlockingExecutor, backend
    def __del__(self):
        executor, BlockingExecutor, backend = self.scope
        try:
            {LATE_CALLS[call]}
        except (RuntimeError, ImportError):
            pass
sys.late = Late()
""",
        backend,
        tmp_path,
    ).ok("")


def test_shutdown_at_exit_returns(backend, tmp_path):
    run(
        BEGINNING
        + """
import atexit
executor = BlockingExecutor(1, backend=backend)
executor.submit(ledger.note, "ran")
atexit.register(lambda: (executor.shutdown(), print("returned")))
""",
        backend,
        tmp_path,
    ).ok("returned\n")
    assert Ledger(os.fspath(tmp_path / "ledger")).lines() == ["ran"]


def test_a_call_from_a_destructor_that_the_collector_runs_is_served(backend, tmp_path):
    run(
        BEGINNING
        + """
import gc
executor = BlockingExecutor(1, backend=backend)
class Cyclic:
    def __init__(self):
        self.itself = self
    def __del__(self):
        print(executor.run_sync(abs, -1))
Cyclic()
gc.collect()
""",
        backend,
        tmp_path,
    ).ok("1\n")


def test_a_task_that_submits_at_the_end_is_refused_or_served(backend, tmp_path):
    run(
        BEGINNING
        + HOLD
        + """
executor = BlockingExecutor(2, backend=backend)
def late():
    hold("held")
    try:
        executor.submit(ledger.note, "served").result()
    except RuntimeError:
        ledger.note("refused")
executor.submit(late)
""",
        backend,
        tmp_path,
    ).ok("")
    lines = Ledger(os.fspath(tmp_path / "ledger")).lines()
    assert lines[0] == "held" and lines[1:] in (["served"], ["refused"])


def test_futures_of_the_standard_library_and_ours_end_together(backend, tmp_path):
    run(
        BEGINNING
        + """
import concurrent.futures
executor = BlockingExecutor(1, backend=backend)
other = concurrent.futures.ThreadPoolExecutor(1)
futures = [pool.submit(ledger.note, number) for number in range(20) for pool in (executor, other)]
""",
        backend,
        tmp_path,
    ).ok("")
    assert len(Ledger(os.fspath(tmp_path / "ledger")).lines()) == 40


def test_the_interpreter_ends_from_the_command_line_too(backend):
    code = (
        "import sys; from hypern import BlockingExecutor; "
        # One write each: without a GIL, `print` may put another thread's text before its newline.
        "e = BlockingExecutor(2, backend=sys.argv[1]); f = [e.submit(print, f'{n}\\n', end='') for n in range(5)]"
    )
    done = run_python("-W", "error", "-c", code, backend).ok()
    assert sorted(done.out.split()) == list("01234")
