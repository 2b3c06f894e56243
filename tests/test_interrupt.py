"""Ctrl-C, and other signals, in every place where the main thread may wait for a pool."""

from __future__ import annotations

import _thread
import signal
import time

import pytest

import tasks
from child import Child, run
from sync import Gate, count

#: Seconds within which a signal must be seen. The goal is 0.2; the rest is for slow machines.
PROMPTLY = 1.0

BEGINNING = """
import concurrent.futures, os, signal, sys, threading
from hypern import BlockingExecutor
from sync import Door, eventually
import tasks
backend = sys.argv[1]
door = Door(sys.argv[2])
executor = BlockingExecutor(1, {queue_size}, backend=backend)
def say(text):
    print(text, flush=True)
"""

WAITS = {
    "run_sync": "executor.run_sync(door.wait)",
    "run_parallel": "executor.run_parallel([(door.wait, ())] * 3)",
    "map": "executor.map(door.wait, range(3), chunk_size=1)",
    "imap": "list(executor.imap(door.wait, range(3), chunk_size=1))",
    "endless map": "executor.map(door.wait, __import__('itertools').count(), chunk_size=1)",
    "result": "executor.submit(door.wait).result()",
    "exception": "executor.submit(door.wait).exception()",
    "wait": "concurrent.futures.wait([executor.submit(door.wait)])",
    "as_completed": "list(concurrent.futures.as_completed([executor.submit(door.wait)]))",
    "shutdown": "executor.submit(door.wait); executor.shutdown()",
    "shutdown without limit": "executor.submit(door.wait); executor.shutdown(timeout_secs=None)",
    "helper": "hypern.blocking.set_default_executor(executor); hypern.blocking.blocking_run(door.wait)",
}

AWAITS = {
    "run_in_executor": "await asyncio.get_running_loop().run_in_executor(executor, door.wait)",
    "run_async": "await executor.run_async(door.wait)",
    "map_async": "[result async for result in executor.map_async(door.wait, range(3), chunk_size=1)]",
}

FULL = {
    "submit": "executor.submit(tasks.square, 3)",
    "run_sync": "executor.run_sync(tasks.square, 3)",
    "map": "executor.map(tasks.square, range(10), chunk_size=1)",
    "run_parallel": "executor.run_parallel([(tasks.square, (3,))] * 10)",
}


def interrupted(script, backend, *, queue_size=0, group=False):
    """Run a script that says 'ready' and then waits; the seconds from the signal until it says 'interrupted'."""
    with Gate() as gate:
        with Child.of(BEGINNING.format(queue_size=queue_size) + script, backend, gate.door.path) as child:
            child.expect("ready")
            gate.arrived()
            child.asleep()
            sent = time.monotonic()
            (child.signal_group if group else child.signal)(signal.SIGINT)
            child.expect("interrupted")
            took = time.monotonic() - sent
            gate.open()
            return took, child.finish()


WAITING = """
import hypern.blocking
say("ready")
try:
    {wait}
except KeyboardInterrupt:
    say("interrupted")
"""


@pytest.mark.parametrize("group", [False, True], ids=["program", "group"])
@pytest.mark.parametrize("wait", WAITS)
def test_ctrl_c_ends_the_wait_promptly(backend, wait, group):
    took, done = interrupted(WAITING.format(wait=WAITS[wait]), backend, group=group)
    done.ok()
    assert took < PROMPTLY


@pytest.mark.parametrize("wait", ["run_sync", "run_parallel", "map", "imap", "endless map", "result", "wait"])
def test_the_pool_is_usable_after_ctrl_c(backend, wait):
    took, done = interrupted(
        WAITING.format(wait=WAITS[wait])
        + """
say(executor.run_sync(tasks.square, 3))
say(executor.map(tasks.square, range(3)))
executor.shutdown()
""",
        backend,
    )
    done.ok()
    assert done.out.endswith("9\n[0, 1, 4]\n"), done.report()
    assert took < PROMPTLY


@pytest.mark.explicit
@pytest.mark.parametrize("wait", FULL)
def test_ctrl_c_ends_the_wait_for_a_full_queue(backend, wait):
    """The only worker is held and the queue is full, before the call that waits."""
    script = f"""
executor.submit(door.wait)
assert eventually(lambda: not executor.pending_tasks())
executor.submit(door.wait)
try:
    say("ready")
    {FULL[wait]}
except KeyboardInterrupt:
    say("interrupted")
executor.shutdown()
say("over")
"""
    took, done = interrupted(script, backend, queue_size=1)
    done.ok()
    assert done.out.endswith("over\n"), done.report()
    assert took < PROMPTLY


def test_ctrl_c_ends_the_wait_at_the_end_of_with(backend):
    took, done = interrupted(
        """
try:
    with executor:
        executor.submit(door.wait)
        say("ready")
except KeyboardInterrupt:
    say("interrupted")
""",
        backend,
    )
    done.ok()
    assert took < PROMPTLY


def test_ctrl_c_in_the_body_of_with_waits_for_the_running_task_alone(backend):
    """The second Ctrl-C ends that wait too."""
    with Gate() as gate:
        script = """
try:
    with executor:
        executor.submit(door.wait)
        try:
            say("ready")
            threading.Event().wait()
        except KeyboardInterrupt:
            say("first")
            raise
except KeyboardInterrupt:
    say("interrupted")
"""
        with Child.of(BEGINNING.format(queue_size=0) + script, backend, gate.door.path) as child:
            child.expect("ready")
            gate.arrived()
            child.asleep()
            child.signal(signal.SIGINT)
            child.expect("first")
            child.asleep()
            child.signal(signal.SIGINT)
            child.expect("interrupted")
            gate.open()
            child.finish().ok()


def test_a_second_ctrl_c_during_shutdown_works_too(backend):
    with Gate() as gate:
        script = """
executor.submit(door.wait)
say("ready")
for word in ("first", "second"):
    try:
        executor.shutdown(timeout_secs=None)
    except KeyboardInterrupt:
        say(word)
executor.shutdown(timeout_secs=None)
say("over")
"""
        with Child.of(BEGINNING.format(queue_size=0) + script, backend, gate.door.path) as child:
            child.expect("ready")
            gate.arrived()
            child.asleep()
            child.signal(signal.SIGINT)
            child.expect("first")
            child.asleep()
            child.signal(signal.SIGINT)
            child.expect("second")
            gate.open()
            child.expect("over")
            child.finish().ok()


def test_ctrl_c_that_nobody_catches_ends_the_program_with_its_traceback_alone(backend):
    with Gate() as gate:
        script = 'say("ready")\nexecutor.run_sync(door.wait)\n'
        with Child.of(BEGINNING.format(queue_size=0) + script, backend, gate.door.path) as child:
            child.expect("ready")
            gate.arrived()
            child.asleep()
            child.signal_group(signal.SIGINT)
            gate.open()
            done = child.finish().failed(-signal.SIGINT, "KeyboardInterrupt")
            assert done.err.count("Traceback") == 1, done.report()


@pytest.mark.isolated
def test_ctrl_c_of_a_terminal_does_not_interrupt_tasks_elsewhere(backend):
    with Gate() as gate:
        script = """
worker = executor.run_sync(tasks.place)
future = executor.submit(door.wait, "finished")
say("ready")
try:
    future.result()
except KeyboardInterrupt:
    say("interrupted")
say(future.result(20))
say(executor.run_sync(tasks.place) == worker)
"""
        with Child.of(BEGINNING.format(queue_size=0) + script, backend, gate.door.path) as child:
            child.expect("ready")
            gate.arrived()
            child.asleep()
            child.signal_group(signal.SIGINT)
            child.expect("interrupted")
            gate.open()
            child.expect("finished")
            child.expect("True")
            child.finish().ok()


@pytest.mark.parametrize("wait", AWAITS)
def test_ctrl_c_ends_an_event_loop_that_awaits_a_task(backend, wait):
    took, done = interrupted(
        f"""
import asyncio
async def main():
    say("ready")
    {AWAITS[wait]}
try:
    asyncio.run(main())
except KeyboardInterrupt:
    say("interrupted")
""",
        backend,
    )
    done.ok()
    assert took < PROMPTLY


def test_many_interrupts_in_a_row(backend):
    turns = count(10, 100)
    script = f"""
say("ready")
for turn in range({turns}):
    try:
        executor.run_sync(door.wait)
    except KeyboardInterrupt:
        say("interrupted")
say(executor.run_sync(tasks.square, 3))
"""
    with Gate() as gate:
        with Child.of(BEGINNING.format(queue_size=0) + script, backend, gate.door.path) as child:
            child.expect("ready")
            slowest = 0.0
            for _ in range(turns):
                gate.arrived()
                sent = time.monotonic()
                child.signal(signal.SIGINT)
                child.expect("interrupted")
                slowest = max(slowest, time.monotonic() - sent)
                gate.let_one_go()
            gate.open()
            child.expect("9")
            child.finish().ok()
    assert slowest < PROMPTLY


# Other signals


def test_a_handler_that_raises_ends_the_wait(backend):
    run(
        BEGINNING.format(queue_size=0)
        + """
class Late(Exception):
    pass
def handler(number, frame):
    raise Late
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.1)
try:
    executor.run_sync(tasks.pauses, 5)
except Late:
    say("late")
os._exit(0)
""",
        backend,
        "unused",
    ).ok("late\n")


def test_a_handler_that_returns_does_not_end_the_wait(backend):
    with Gate() as gate:
        script = """
signal.signal(signal.SIGUSR2, lambda number, frame: os.write(1, b"handled\\n"))
say("ready")
say(executor.run_sync(door.wait, "result"))
"""
        with Child.of(BEGINNING.format(queue_size=0) + script, backend, gate.door.path) as child:
            child.expect("ready")
            gate.arrived()
            for _ in range(3):
                child.asleep()
                child.signal(signal.SIGUSR2)
                child.expect("handled")
            gate.open()
            child.expect("result")
            child.finish().ok()


def test_a_handler_may_use_the_pool(backend):
    with Gate() as gate:
        script = """
other = BlockingExecutor(1, backend=backend)
signal.signal(signal.SIGUSR2, lambda number, frame: os.write(1, b"%d\\n" % other.run_sync(tasks.square, 3)))
say("ready")
say(executor.run_sync(door.wait, "result"))
"""
        with Child.of(BEGINNING.format(queue_size=0) + script, backend, gate.door.path) as child:
            child.expect("ready")
            gate.arrived()
            child.asleep()
            child.signal(signal.SIGUSR2)
            child.expect("9")
            gate.open()
            child.expect("result")
            child.finish().ok()


def test_workers_block_no_signals(pool):
    """Programs that tasks start inherit the mask: a blocked SIGTERM would make them unkillable."""

    def blocked():
        with open("/proc/thread-self/status") as file:
            return next(line.split()[1] for line in file if line.startswith("SigBlk"))

    assert int(pool.run_sync(blocked), 16) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_program_that_a_task_started_can_be_ended(pool, number):
    def start_and_end(number=int(number)):
        import subprocess
        import sys

        code = (
            "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); print('up', flush=True); signal.pause()"
        )
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as program:
            program.stdout.readline()
            program.send_signal(number)
            return program.wait(20)

    assert pool.run_sync(start_and_end) == -number


def test_a_signal_sent_by_a_task_is_handled_by_the_program(backend):
    run(
        BEGINNING.format(queue_size=0)
        + """
signal.signal(signal.SIGUSR2, lambda number, frame: say("handled"))
executor.run_sync(os.kill, os.getpid(), signal.SIGUSR2)
say("over")
""",
        backend,
        "unused",
    ).ok("handled\nover\n")


@pytest.mark.shared
def test_interrupt_main_from_a_task(pool):
    with pytest.raises(KeyboardInterrupt):
        pool.run_sync(_thread.interrupt_main)
        for _ in range(1_000_000):  # it is seen within a few bytecodes, if not in the call
            pass
