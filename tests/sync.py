"""Ways for a test and its tasks to meet, wherever the tasks run: Gate, Ledger, aside, eventually.

It is imported by worker processes, so it stays light.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
import threading
import time
from concurrent.futures import Future

#: Seconds after which a wait of a test is a failure; generous, because it is only ever spent on one.
PATIENCE = float(os.environ.get("HYPERN_TEST_PATIENCE", "30"))

LONG = os.environ.get("HYPERN_TEST_LONG") == "1"


def count(short: int, long: int) -> int:
    """How often to repeat: `long` under HYPERN_TEST_LONG=1, else `short`."""
    return long if LONG else short


class Door:
    """The side of a gate that travels to a task."""

    def __init__(self, path: str):
        self.path = path

    def wait(self, note: object = "") -> object:
        """Tell the gate that somebody arrived, and wait until it opens."""
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(self.path)
                connection.sendall(f"{os.getpid()} {note}\n".encode())
                connection.recv(1)
            except (ConnectionError, FileNotFoundError):
                pass  # the gate is open for good
        return note


class Gate:
    """Tasks wait at its door; the test sees them arrive and lets them go, one by one or all."""

    def __init__(self):
        import tempfile

        self._folder = tempfile.TemporaryDirectory(prefix="gate")
        path = os.path.join(self._folder.name, "door")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(1024)
        self._waiting: list[socket.socket] = []
        self.door = Door(path)

    def arrived(self, number: int = 1) -> list[tuple[int, str]]:
        """Wait until `number` more tasks stand at the door; their process ids and notes."""
        arrivals = []
        self._listener.settimeout(PATIENCE)
        for _ in range(number):
            connection, _ = self._listener.accept()
            connection.settimeout(PATIENCE)
            line = connection.makefile().readline()
            self._waiting.append(connection)
            process, _, note = line.rstrip("\n").partition(" ")
            arrivals.append((int(process), note))
        return arrivals

    def let_one_go(self) -> None:
        """Release the task that arrived first."""
        self._waiting.pop(0).close()

    def open(self) -> None:
        """Release all who wait, and all who will come."""
        self._listener.close()
        while self._waiting:
            self._waiting.pop().close()

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *_: object) -> None:
        self.open()
        self._folder.cleanup()


class Ledger:
    """A file that tasks write lines to, from wherever they run."""

    def __init__(self, path: str):
        self.path = path

    def note(self, text: object) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(descriptor, f"{text}\n".encode())
        finally:
            os.close(descriptor)

    def lines(self) -> list[str]:
        try:
            with open(self.path) as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []


def aside(function, /, *args, **kwargs) -> Future:
    """Call a function on a thread of its own; a plain standard future of its outcome."""
    outcome: Future = Future()

    def body():
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)

    threading.Thread(target=body, daemon=True).start()
    return outcome


def eventually(condition, patience: float = PATIENCE) -> bool:
    """Whether a condition comes true in time; for states that have no event to wait for."""
    deadline = time.monotonic() + patience
    pause = 0.0005
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
    return True


def children(process: int | None = None) -> set[int]:
    """The process ids of the children of a process, those that ended but were not waited for included."""
    process = process or os.getpid()
    return {child for child, (_, parent) in _processes() if parent == process}


def zombies() -> set[int]:
    """The children of this process that ended and were not waited for."""
    return {child for child, (state, parent) in _processes() if parent == os.getpid() and state == "Z"}


def _processes():
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    state, parent = file.read().rpartition(")")[2].split()[:2]
            except (FileNotFoundError, ProcessLookupError):
                continue
            yield int(name), (state, int(parent))


def native_threads() -> set[int]:
    """The ids that the system gives to the threads of this process."""
    return set(map(int, os.listdir("/proc/self/task")))


def is_alive(process: int) -> bool:
    """Whether a process exists and has not ended."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def counted():
    """See to it that a free-threaded Python counts references to what an idle thread has made, which only it would do."""
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        gc.collect()
    return True
