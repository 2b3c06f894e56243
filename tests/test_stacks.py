"""``dump_stacks``: what the workers of a pool do just now, also when the pool hangs."""

from __future__ import annotations

import io
import os
import re
import signal
import threading

import pytest

import tasks
from child import Child, run
from sync import aside, count, eventually


def told(executor, word):
    """The lines about workers that hold a word, with the stacks below them."""
    text = executor.dump_stacks()
    return [part for part in re.split(r"\n(?=\S)", text)[1:] if word in part.splitlines()[0]]


def test_workers_that_do_nothing_are_idle(make):
    executor = make(2)
    executor.run_sync(tasks.square, 3)
    assert eventually(lambda: len(told(executor, "idle")) >= 2 and not told(executor, "runs"))
    assert executor.dump_stacks().startswith(repr(executor))


def test_a_busy_worker_tells_what_it_runs_since_when_and_where(make, gate):
    executor = make(2)
    future = executor.submit(gate.door.wait, "a note")
    gate.arrived()
    # It says that it has arrived a moment before it waits.
    assert eventually(lambda: "recv" in told(executor, "runs")[0])
    (worker,) = told(executor, "runs")
    assert re.match(r"hypern-\d \(.*\): runs sync\.Door\.wait for \d+\.\d s\n", worker), worker
    assert re.search(r"File \".*sync.py\", line \d+, in wait\n    connection.recv\(1\)", worker), worker
    assert "hypern" not in worker.split("\n", 1)[1]
    assert len(told(executor, "idle")) >= 1
    gate.open()
    assert future.result(20) == "a note"
    assert eventually(lambda: not told(executor, "runs"))


def test_a_chunk_tells_what_it_calls(make, gate):
    executor = make(1)
    call = aside(executor.map, gate.door.wait, range(3), chunk_size=1)
    gate.arrived()
    (worker,) = told(executor, "runs")
    assert "runs sync.Door.wait for" in worker
    assert ", in wait" in worker
    gate.open()
    assert call.result(20) == [0, 1, 2]


def test_a_callback_that_hangs_is_seen(make, gate):
    executor = make(1)
    arrived, door = threading.Event(), threading.Event()

    def calls_back(_):
        arrived.set()
        door.wait(20)

    future = executor.submit(gate.door.wait)
    gate.arrived()
    future.add_done_callback(calls_back)
    gate.open()
    assert arrived.wait(20)
    (worker,) = told(executor, "callbacks")
    assert ", in calls_back\n" in worker
    door.set()


def test_it_is_written_where_it_is_wanted(make):
    executor = make(1)
    file = io.StringIO()
    assert executor.dump_stacks(file) is None
    assert file.getvalue().startswith("BlockingExecutor(")
    assert "hypern-0" in file.getvalue()


@pytest.mark.shared
def test_a_task_sees_itself(make):
    executor = make(1)

    def looks():
        return executor.dump_stacks()

    assert ", in looks\n    return executor.dump_stacks()" in executor.run_sync(looks)


def test_who_looks_disturbs_nobody(make):
    executor = make(2)
    stop = threading.Event()

    def look():
        while not stop.is_set():
            executor.dump_stacks()

    lookers = [aside(look) for _ in range(2)]
    number = count(30, 3000)
    assert executor.map(tasks.square, range(number), chunk_size=1) == [n * n for n in range(number)]
    assert [executor.submit(tasks.square, n).result(20) for n in range(number)] == [n * n for n in range(number)]
    assert executor.run_parallel([(tasks.square, (n,)) for n in range(number)]) == [n * n for n in range(number)]
    stop.set()
    for looker in lookers:
        looker.result(20)


def test_a_pool_that_hangs_is_seen_by_a_signal_handler(backend):
    with Child.of(
        """
        import os, signal, sys, threading
        from hypern import BlockingExecutor

        def hangs(number):
            print("hangs", flush=True)
            threading.Event().wait()

        executor = BlockingExecutor(2, backend=sys.argv[1])
        def look(*_):
            executor.dump_stacks(sys.stdout)
            sys.stdout.flush()
            os._exit(3)
        signal.signal(signal.SIGUSR2, look)
        executor.map(hangs, range(2), chunk_size=1)
        """,
        backend,
    ) as child:
        child.expect("hangs")
        child.expect("hangs")
        child.signal(signal.SIGUSR2)
        done = child.finish()
        assert done.rc == 3, done.report()
        assert done.out.count("runs __main__.hangs for") == 2, done.report()
        assert done.out.count(", in hangs\n") == 2, done.report()


@pytest.mark.isolated
def test_c_code_that_keeps_its_interpreter_holds_up_nobody(backend):
    run(
        """
        import os, sys
        from hypern import BlockingExecutor

        def keeps():
            return sum(range(10**12))

        executor = BlockingExecutor(1, backend=sys.argv[1])
        executor.submit(keeps)
        # It may be seen before it has come to the call.
        while sys.argv[2] not in (told := executor.dump_stacks()): pass
        assert "runs __main__.keeps for" in told, told
        if sys.argv[1] == "processes":
            executor._pool.interrupt()  # It would not end before it has finished.
        os._exit(0)
        """,
        backend,
        "does not answer" if backend == "interpreters" else ", in keeps",
    ).ok()


def test_after_the_end_there_is_nobody_to_see(make):
    executor = make(1)
    executor.shutdown()
    assert not told(executor, "runs")
    assert "active=0" in executor.dump_stacks()


@pytest.mark.isolated
def test_in_a_worker_an_executor_has_no_workers(make):
    executor = make(1)
    assert "no workers" in executor.run_sync(lambda: executor.dump_stacks())


@pytest.mark.own_process
def test_a_terminal_that_gets_another_size_does_no_harm(make, gate):
    executor = make(1)
    future = executor.submit(gate.door.wait)
    gate.arrived()
    (pid,) = map(int, re.findall(r"process (\d+)", executor.dump_stacks()))
    resizes = True

    def resize():
        while resizes:
            os.kill(pid, signal.SIGWINCH)

    resizing = aside(resize)
    try:
        for _ in range(5):
            (worker,) = told(executor, "runs")
            assert worker.count("in wait") <= 1
    finally:
        resizes = False
        resizing.result()
    assert eventually(lambda: told(executor, "runs")[0].count("in wait") == 1)
    gate.open()
    future.result(20)


@pytest.mark.own_process
def test_a_worker_process_that_listens_no_more_is_left_alone(make, gate):
    executor = make(1)

    def listens_no_more(door):
        import signal

        signal.signal(signal.SIGWINCH, signal.SIG_DFL)
        return door.wait("alive")

    future = executor.submit(listens_no_more, gate.door)
    gate.arrived()
    assert "does not answer" in executor.dump_stacks()
    gate.open()
    assert future.result(20) == "alive"
