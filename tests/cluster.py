"""A Dask scheduler and its workers, each a process of its own on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from sync import PATIENCE, eventually

HERE = Path(__file__).parent
#: Nothing that a machine shares with others is touched, and a worker that is lost is not missed for long.
QUIET = {"DASK_LOGGING__DISTRIBUTED": "error", "DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE": "False"}


class Cluster:
    """One scheduler with workers of one thread each, which can import the modules of the tests."""

    def __init__(self, workers: int = 2):
        self._folder = tempfile.TemporaryDirectory(prefix="dask-cluster-", ignore_cleanup_errors=True)
        self._file = Path(self._folder.name, "scheduler.json")
        self._processes: list[subprocess.Popen] = []
        self._start("dask_scheduler", "--host", "127.0.0.1", "--port", "0")
        for _ in range(workers):
            self.start_worker()
        assert eventually(self._file.exists), "the scheduler did not start"
        self.address = self._client_address()

    def _client_address(self) -> str:
        import json

        assert eventually(lambda: self._file.read_text().rstrip().endswith("}"))
        return json.loads(self._file.read_text())["address"]

    def _start(self, program: str, *arguments: str) -> subprocess.Popen:
        path = os.pathsep.join(filter(None, [os.fspath(HERE), os.environ.get("PYTHONPATH")]))
        command = [sys.executable, "-m", f"distributed.cli.{program}", "--scheduler-file", os.fspath(self._file)]
        process = subprocess.Popen(
            [*command, "--dashboard-address", ":0", *arguments],
            env={**os.environ, **QUIET, "PYTHONPATH": path},
            cwd=self._folder.name,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def start_worker(self, *arguments: str) -> subprocess.Popen:
        """Start one more worker; without a nanny, so that a worker that is killed stays away."""
        arguments = arguments or ("--nthreads", "1")
        return self._start("dask_worker", "--no-nanny", "--local-directory", self._folder.name, *arguments)

    def close(self) -> None:
        for process in reversed(self._processes):
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
        for process in self._processes:
            process.wait(PATIENCE)
        self._folder.cleanup()
