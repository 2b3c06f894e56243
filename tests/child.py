"""Scripts that may hang, crash or be interrupted, each in an interpreter of its own, judged by exit code, output and stderr.

A script that does not end in time is asked for the stacks of its threads (faulthandler), then killed with all that it started.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from sync import PATIENCE

HERE = Path(__file__).parent

#: Stands before each script on one line, so that line numbers are off by one only.
PREAMBLE = "import faulthandler, signal; faulthandler.register(signal.SIGUSR1, all_threads=True)\n"

#: Warnings are errors in scripts as they are in tests.
STRICT = ("-W", "error")

#: What no stderr may ever contain.
NEVER = ("panicked at", "Fatal Python error", "PanicException", "Exception ignored")


@dataclass(frozen=True)
class Finished:
    """How a script ended: exit code (negative: the signal), output, stderr, seconds."""

    rc: int
    out: str
    err: str
    seconds: float

    def report(self) -> str:
        return f"exit code {self.rc} after {self.seconds:.2f} s\n--- stdout\n{self.out}\n--- stderr\n{self.err}"

    def ok(self, out: str | None = None) -> Finished:
        """Insist on exit code 0, an empty stderr and, when given, this output."""
        assert self.rc == 0, self.report()
        assert self.err == "", self.report()
        if out is not None:
            assert self.out == out, self.report()
        return self

    def failed(self, rc: int, *words: str) -> Finished:
        """Insist on this exit code, on words in stderr, and on nothing there that shows an accident of the pool."""
        assert self.rc == rc, self.report()
        for word in words:
            assert word in self.err, self.report()
        for word in NEVER:
            assert word not in self.err, self.report()
        return self


class Child:
    """An interpreter that runs a script: its lines can be waited for, and signals sent to it."""

    def __init__(
        self,
        *argv: str,
        files: dict[str, str] | None = None,
        env: dict[str, str] | None = None,
        stdin: str | None = None,
    ):
        self._mark = uuid.uuid4().hex
        self._folder = tempfile.TemporaryDirectory(prefix="child", ignore_cleanup_errors=True)
        for name, text in (files or {}).items():
            path = Path(self._folder.name, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text).lstrip("\n"))
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HYPERN_BLOCKING")}
        environment.pop("PYTHONUNBUFFERED", None)  # who prints a line for the test flushes it
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [os.fspath(HERE), os.environ.get("PYTHONPATH")]))
        environment["CHILD_MARK"] = self._mark
        environment.update(env or {})
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, *argv],
            env=environment,
            cwd=self._folder.name,
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._out: list[str] = []
        self._err: list[str] = []
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._readers = [
            threading.Thread(target=self._read, args=(self._process.stdout, self._out, self._lines), daemon=True),
            threading.Thread(target=self._read, args=(self._process.stderr, self._err, None), daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        if stdin is not None:
            with contextlib.suppress(BrokenPipeError), self._process.stdin:
                self._process.stdin.write(stdin)

    @classmethod
    def of(
        cls,
        script: str,
        *args: object,
        flags: tuple[str, ...] = STRICT,
        files: dict[str, str] | None = None,
        **options,
    ) -> Child:
        """Start a script, kept in a file of the child's own working directory, beside any other files."""
        text = PREAMBLE + textwrap.dedent(script).lstrip("\n")
        return cls(*flags, "script.py", *map(str, args), files={**(files or {}), "script.py": text}, **options)

    @staticmethod
    def _read(stream, kept, lines):
        with stream:
            for line in stream:
                kept.append(line)
                if lines is not None:
                    lines.put(line.rstrip("\n"))

    def line(self, patience: float = PATIENCE) -> str:
        """The next line of output."""
        try:
            return self._lines.get(timeout=patience)
        except queue.Empty:
            self._fail(f"no line within {patience} s")

    def expect(self, text: str) -> None:
        """Wait for a line of output; other lines before it are passed over."""
        while self.line() != text:
            pass

    def asleep(self) -> None:
        """Wait until the main thread of the script has nothing to do: most likely it has come to the wait under test."""
        deadline = time.monotonic() + PATIENCE
        in_a_row = 0
        while in_a_row < 5 and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                state = Path(f"/proc/{self.pid}/task/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
                in_a_row = in_a_row + 1 if state == "S" else 0
            time.sleep(0.005)

    def signal(self, number: int) -> None:
        """Send a signal to the script alone."""
        self._process.send_signal(number)

    def signal_group(self, number: int) -> None:
        """Send a signal to the script and its process group, as a terminal does."""
        os.killpg(self.pid, number)

    def finish(self, patience: float = PATIENCE) -> Finished:
        """Wait for the script and for all that hold its output."""
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._fail(f"did not end within {patience} s")
        ended = time.monotonic()
        for reader in self._readers:
            reader.join(max(5.0, patience / 3))
        if any(reader.is_alive() for reader in self._readers):
            self._fail("ended, but something that it started did not")
        return Finished(self._process.returncode, "".join(self._out), "".join(self._err), ended - self._started)

    def _fail(self, why: str):
        if self._process.poll() is None:
            self.signal(signal.SIGUSR1)
            time.sleep(1)  # for the stacks to be written; nothing is decided by it
        self.kill()
        for reader in self._readers:
            reader.join(5)
        raise AssertionError(f"script {why}\n--- stdout\n{''.join(self._out)}\n--- stderr\n{''.join(self._err)}")

    def kill(self) -> None:
        """Kill the script and what it started, known by a mark in the environment."""
        if self._process.poll() is None:
            self._process.kill()
        mark = f"CHILD_MARK={self._mark}".encode()
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError):
                    if mark in Path("/proc", name, "environ").read_bytes().split(b"\0"):
                        os.kill(int(name), signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._folder.cleanup()


def run(script: str, *args: object, patience: float = PATIENCE, **options) -> Finished:
    """Run a script with arguments to its end."""
    with Child.of(script, *args, **options) as child:
        return child.finish(patience)


def run_python(*argv: str, patience: float = PATIENCE, **options) -> Finished:
    """Run the interpreter with an argument list of the test's own to its end."""
    with Child(*argv, **options) as child:
        return child.finish(patience)
