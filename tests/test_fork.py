"""os.fork: the parent goes on as if nothing had happened, the pools of the child start empty and work."""

from __future__ import annotations

import os
import sys
import sysconfig

import pytest

from child import STRICT, run
from sync import count

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

#: Free-threaded 3.13 stops the world to collect garbage; a fork of another thread at that moment leaves the child with
#: a lock of the interpreter that nobody releases, whatever the threads belong to.
beside_busy_threads = pytest.mark.skipif(
    sys.version_info[:2] == (3, 13) and bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    reason="free-threaded 3.13 cannot fork safely while other threads run Python",
)

#: CPython warns of a fork beside threads from 3.12 on, which is what is done here.
FLAGS = (*STRICT, "-W", "ignore:This process:DeprecationWarning")

BEGINNING = """
import faulthandler, os, signal, sys, threading, time
from hypern import BlockingExecutor
import tasks
backend = sys.argv[1]
turns = int(sys.argv[2])

def forked(body):
    '''Run a body in a forked child; its exit code.'''
    process = os.fork()
    if process == 0:
        code = 99
        try:
            # Not faulthandler.dump_traceback_later(): its thread is missing in a child of this child, which hangs.
            faulthandler.register(signal.SIGALRM, chain=True)
            signal.alarm(20)
            code = body() or 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

def work():
    assert executor.run_sync(tasks.square, 3) == 9
    assert executor.map(tasks.square, range(20)) == [n * n for n in range(20)]
    assert executor.submit(tasks.square, 4).result(20) == 16

executor = BlockingExecutor(2, backend=backend)
"""


def script(text, backend, turns=1, **options):
    return run(BEGINNING + text, backend, turns, flags=FLAGS, patience=45, **options)


def test_what_is_called_before_a_fork_may_use_and_end_a_pool(backend):
    """Handlers are called in the reverse of the order in which they were registered: this one last."""
    run(
        """
import os, sys
from hypern import BlockingExecutor
import tasks
def before():
    assert executor.run_sync(tasks.square, 3) == 9
    executor.shutdown()
os.register_at_fork(before=before)
executor = BlockingExecutor(2, backend=sys.argv[1])
process = os.fork()
if process == 0:
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 7
executor = BlockingExecutor(2, backend=sys.argv[1])
assert executor.run_sync(tasks.square, 3) == 9
""",
        backend,
        flags=FLAGS,
    ).ok()


@pytest.mark.parametrize("turn", range(count(2, 100)))
def test_a_pool_never_used_works_in_the_child(backend, turn):
    """In a new process each time: its workers do for the first time what they do once in a process."""
    script(
        """
assert forked(work) == 0
work()
""",
        backend,
    ).ok()


def test_a_child_keeps_no_channel_of_the_parent(backend):
    script(
        """
import psutil
def body():
    assert open_files() <= before, (before, open_files())
def open_files():
    return psutil.Process().num_fds()

executor.shutdown()
before = open_files()
for _ in range(turns):
    executor = BlockingExecutor(2, backend=backend)
    assert forked(body) == 0
    executor.shutdown()
""",
        backend,
        count(10, 200),
    ).ok()


def test_a_used_pool_works_in_the_child_and_in_the_parent(backend):
    script(
        """
work()
for _ in range(turns):
    assert forked(work) == 0
    work()
""",
        backend,
        count(5, 50),
    ).ok()


def test_workers_of_the_parent_are_not_disturbed(backend):
    script(
        """
import gc
def workers():
    return set(executor.map(tasks.place, range(50), chunk_size=1))
single = executor = BlockingExecutor(1, backend=backend)
before = workers()

def body():
    global executor, single
    work()
    assert executor.run_sync(tasks.process_id) not in {process for process, _ in before} or backend == "threads"
    executor.shutdown()
    executor = single = None
    gc.collect()

assert forked(body) == 0
assert workers() == before
""",
        backend,
    ).ok()


def test_a_child_that_ends_as_programs_do_leaves_the_parent_alone(backend):
    script(
        """
work()
process = os.fork()
if process == 0:
    work()
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 7
work()
""",
        backend,
    ).ok()


def test_a_child_that_does_not_touch_the_pool_ends_at_once(backend):
    script(
        """
work()
began = time.monotonic()
process = os.fork()
if process == 0:
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
assert time.monotonic() - began < 10
work()
""",
        backend,
    ).ok()


@beside_busy_threads
@pytest.mark.no_interpreter
def test_forks_while_another_thread_makes_pools(backend):
    """CPython 3.11 leaves the child with a lock that nobody releases where a thread state is made meanwhile."""
    script(
        """
over = False
def makes():
    while not over:
        BlockingExecutor(4, backend=backend).shutdown()
thread = threading.Thread(target=makes)
thread.start()
for _ in range(turns):
    assert forked(lambda: 7) == 7
over = True
thread.join()
work()
""",
        backend,
        count(200, 3000),
    ).ok()


@beside_busy_threads
def test_a_child_does_not_wait_for_workers_that_its_parent_has_shut_down(backend):
    script(
        """
from sync import Gate
with Gate() as gate:
    with executor:
        future = executor.submit(gate.door.wait)
        gate.arrived()
        executor.shutdown(wait=False)
        process = os.fork() if backend != "interpreters" else None
        if process == 0:
            assert executor.active_threads() == 0
            executor.shutdown(timeout_secs=None)
            os._exit(7)
        if process is not None:
            assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 7
        gate.open()
    assert future.done()
""",
        backend,
    ).ok()


@beside_busy_threads
def test_a_child_that_ends_lets_go_of_a_pool_whose_workers_were_busy(backend):
    """None of its locks is taken there, which a worker may have held."""
    script(
        """
def again(_):
    try:
        executor.submit(abs, -1).add_done_callback(again)
    except RuntimeError:
        pass  # It is shut down.
again(None)
for turn in range(turns):
    process = os.fork()
    if process == 0:
        executor.shutdown(wait=False)
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 7
    if turn == turns // 2:
        executor.shutdown(wait=False)
""",
        backend,
        count(10, 1000),
    ).ok()


@beside_busy_threads
def test_forks_while_tasks_run(backend):
    done = script(
        """
def busy(number):
    return sum(range(20_000)), number

futures = []
for turn in range(turns):
    futures += [executor.submit(busy, number) for number in range(20)]
    assert forked(work) == 0
for future in futures:
    assert future.result(60)[0] == sum(range(20_000))
assert len(futures) == 20 * turns
""",
        backend,
        count(10, 50),
    )
    done.ok()


@pytest.mark.no_interpreter
def test_work_that_waited_in_the_parent_is_not_done_in_the_child(backend, tmp_path):
    script(
        f"""
from sync import Gate, Ledger
ledger = Ledger({str(tmp_path / "ledger")!r})
executor = BlockingExecutor(1, backend=backend)
with Gate() as gate:
    held = executor.submit(gate.door.wait)
    gate.arrived()
    futures = [executor.submit(ledger.note, number) for number in range(10)]
    def body():
        assert executor.pending_tasks() == 0
        assert executor.run_sync(tasks.square, 3) == 9
        assert ledger.lines() == []
        executor.shutdown()
        assert ledger.lines() == []
    assert forked(body) == 0
for future in futures:
    future.result(20)
assert ledger.lines() == [str(number) for number in range(10)]
""",
        backend,
    ).ok()


@beside_busy_threads
def test_forks_from_many_threads(backend):
    script(
        """
work()
codes = []
def fork_often():
    for _ in range(turns):
        codes.append(forked(work))
        work()
threads = [threading.Thread(target=fork_often) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert codes == [0] * 4 * turns, codes
""",
        backend,
        count(3, 20),
    ).ok()


@beside_busy_threads
@pytest.mark.parametrize("turns", [count(5, 50), 2], ids=["long", "first moments"])
def test_forks_while_other_threads_wait_and_submit(backend, turns):
    """In the first moments what the whole process makes once must not be half made in the child."""
    for _ in range(1 if turns > 2 else count(5, 100)):
        script(
            """
stop = threading.Event()
def call():
    while not stop.is_set():
        work()
callers = [threading.Thread(target=call) for _ in range(3)]
for caller in callers: caller.start()
codes = [forked(work) for _ in range(turns)]
stop.set()
for caller in callers: caller.join()
assert codes == [0] * turns, codes
work()
""",
            backend,
            turns,
        ).ok()


@pytest.mark.own_interpreter
def test_a_task_in_an_interpreter_that_forks_is_told_why_not(backend):
    script(
        """
try:
    executor.run_sync(os.fork)
except RuntimeError as error:
    assert "fork" in str(error)
else:
    raise AssertionError("it forked")
work()
""",
        backend,
    ).ok()


@pytest.mark.own_interpreter
def test_a_fork_waits_for_tasks_in_interpreters_and_says_so(backend):
    done = script(
        """
from sync import Gate
with Gate() as gate:
    held = executor.submit(gate.door.wait)
    gate.arrived()
    threading.Timer(6, gate.open).start()
    assert forked(work) == 0
    assert held.done()
work()
""",
        backend,
    )
    assert done.rc == 0, done.report()
    assert done.err == "hypern: a fork waits until the tasks that run in interpreters have ended\n", done.report()


def test_the_callback_of_a_future_may_fork(backend):
    script(
        """
codes = []
for _ in range(turns):
    done = threading.Event()
    future = executor.submit(tasks.square, 3)
    future.add_done_callback(lambda future: (codes.append(forked(lambda: 0)), done.set()))
    assert done.wait(20)
    work()
assert codes == [0] * turns, codes
""",
        backend,
        count(3, 50),
    ).ok()


@pytest.mark.no_interpreter
def test_a_task_may_fork(backend):
    script(
        """
def forks(number):
    process = os.fork()
    if process == 0:
        os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

for _ in range(turns):
    assert executor.map(forks, range(4), chunk_size=1) == [7] * 4
work()
""",
        backend,
        count(3, 50),
    ).ok()


@pytest.mark.no_interpreter
def test_a_child_forked_by_a_task_can_use_the_pool(backend):
    script(
        """
def forks():
    return forked(lambda: 0 if executor.run_sync(tasks.square, 3) == 9 else 1)
assert executor.run_sync(forks) == 0
work()
""",
        backend,
    ).ok()


def test_a_grandchild_works_too(backend):
    script(
        """
work()
assert forked(lambda: work() or forked(work)) == 0
work()
""",
        backend,
    ).ok()


def test_a_pool_that_was_shut_down_stays_so_in_the_child(backend):
    script(
        """
from hypern import ShutdownError
work()
executor.shutdown()
def body():
    try:
        executor.run_sync(tasks.square, 3)
    except ShutdownError:
        return 0
    return 1
assert forked(body) == 0
""",
        backend,
    ).ok()


def test_the_default_executor_works_in_the_child(backend):
    script(
        """
from hypern.blocking import blocking_run, set_default_executor
set_default_executor(executor)
assert blocking_run(tasks.square, 3) == 9
assert forked(lambda: 0 if blocking_run(tasks.square, 3) == 9 else 1) == 0
assert blocking_run(tasks.square, 3) == 9
""",
        backend,
    ).ok()


@pytest.mark.no_interpreter
def test_a_queue_that_was_full_is_empty_in_the_child(backend):
    script(
        """
from sync import Gate
executor = BlockingExecutor(1, 1, backend=backend)
with Gate() as gate:
    executor.submit(gate.door.wait)
    gate.arrived()
    executor.submit(tasks.nothing)
    assert forked(work) == 0
work()
""",
        backend,
    ).ok()


def test_multiprocessing_with_fork_works_beside_a_pool(backend):
    script(
        """
import multiprocessing
work()
context = multiprocessing.get_context("fork")
process = context.Process(target=work)
process.start()
process.join(20)
assert process.exitcode == 0
with context.Pool(2) as others:
    assert others.map(tasks.square, range(5)) == [0, 1, 4, 9, 16]
    others.close()
    others.join()
work()
""",
        backend,
    ).ok()


def test_subprocesses_work_beside_a_pool(backend):
    script(
        """
import subprocess
for _ in range(3):
    futures = [executor.submit(tasks.square, number) for number in range(20)]
    assert subprocess.run([sys.executable, "-c", "print(5)"], capture_output=True, text=True).stdout == "5\\n"
    assert subprocess.run([sys.executable, "-c", ""], preexec_fn=os.getpid).returncode == 0
    assert [future.result(20) for future in futures] == [n * n for n in range(20)]
""",
        backend,
    ).ok()


@pytest.mark.own_process
def test_a_subprocess_does_not_hold_the_pipes_of_workers(backend):
    """Else a worker would outlive its pool for as long as some unrelated program runs."""
    script(
        """
import subprocess
work()
program = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, close_fds=False)
workers = {executor.run_sync(tasks.process_id) for _ in range(20)}
executor.shutdown()
from sync import eventually, is_alive
assert eventually(lambda: not any(map(is_alive, workers)), 10)
program.communicate(timeout=20)
""",
        backend,
    ).ok()


def test_a_child_may_leave_the_with_block_it_was_forked_in(backend):
    script(
        """
with BlockingExecutor(2, backend=backend) as inner:
    inner.run_sync(tasks.square, 3)
    process = os.fork()
    if process == 0:
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 7
work()
""",
        backend,
    ).ok()


def test_a_child_that_asks_and_shuts_down_opens_nothing(backend):
    script(
        """
import hypern
from hypern import ShutdownError
work()
def body():
    assert executor.is_running() and executor.active_threads() == 0 and executor.pending_tasks() == 0
    executor.shutdown()
    assert executor.active_threads() == 0 and not executor.is_running()
    try: executor.run_sync(tasks.square, 3)
    except ShutdownError: return 0
    return 1
assert forked(body) == 0
work()
""",
        backend,
    ).ok()


@beside_busy_threads
def test_a_child_forked_by_a_callback_runs_nothing_of_the_parent(tmp_path, backend):
    script(
        f"""
from sync import Ledger
ledger = Ledger({str(tmp_path / "ledger")!r})
executor = BlockingExecutor(1, backend=backend)
processes = []
ready = threading.Event()
def fork(future):
    process = os.fork()
    if process:
        processes.append(process)
        ready.set()
executor.submit(tasks.square, 3).add_done_callback(fork)
for number in range(5):
    executor.submit(ledger.note, number).result(20)
assert ready.wait(20)
assert os.waitstatus_to_exitcode(os.waitpid(processes[0], 0)[1]) == 0
executor.run_sync(tasks.square, 3)
assert ledger.lines() == [str(number) for number in range(5)], ledger.lines()
""",
        backend,
    ).ok()


@beside_busy_threads
@pytest.mark.no_interpreter
def test_a_child_stops_no_task_of_its_parent(backend):
    script(
        """
from sync import Gate, eventually
with Gate() as gate:
    futures = [executor.submit(gate.door.wait, "once"), executor.options(retries=1).submit(gate.door.wait, "again")]
    gate.arrived(2)
    def interrupts():
        for future in futures:
            future.interrupt()
        assert not eventually(lambda: any(future.done() for future in futures), 1)
        return 7
    assert forked(interrupts) == 7
    gate.open()
    assert [future.result(20) for future in futures] == ["once", "again"]
executor.shutdown()
""",
        backend,
    ).ok("")


def test_a_child_looks_at_no_worker_of_its_parent_and_takes_nothing_from_it(backend):
    script(
        """
work()
futures = [executor.submit(time.sleep, 0.2) for _ in range(4)]
executor.shutdown(wait=False)
def looks_and_cancels():
    assert "no workers" in executor.dump_stacks(), executor.dump_stacks()
    futures[-1].cancel()
assert forked(looks_and_cancels) == 0
assert [future.result(20) for future in futures] == [None] * 4
""",
        backend,
    ).ok()
