"""P9: a web application while it computes: its other requests, its throughput, and FastAPI's own threads beside it.

Each server is a process of its own. Light requests beside one that computes are asked one after the other on one
connection; the comparison with FastAPI is made by wrk, which must be installed (Debian: apt-get install wrk).
"""

from __future__ import annotations

import http.client
import re
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import measure

if TYPE_CHECKING:
    from collections.abc import Iterator

LIGHT = 1_000
#: Of 30 ms each, in the one long request.
LONG = 70
AT_ONCE = 16
SECONDS = 5
SERVERS = {
    "Hypern, uvicorn": ("uvicorn", "sites:hypern"),
    "Hypern, Granian": ("granian", "sites:hypern"),
    "Hypern in FastAPI, uvicorn": ("uvicorn", "sites:mounted"),
    "FastAPI def, uvicorn": ("uvicorn", "sites:fast"),
}


def main() -> None:
    """Run the bench."""
    options = measure.options(__doc__, rounds=3)
    report = measure.Report("web")
    if shutil.which("wrk") is None:
        sys.exit("this bench needs wrk: apt-get install wrk")

    table = report.table(f"{LIGHT} light requests while one computes; {AT_ONCE} requests that compute, at once")
    for name in list(SERVERS)[:-1]:
        with serve(name) as port:
            lag = [_light_beside_long(port, options.scaled(LIGHT)) for _ in range(options.rounds)]
            speed_ups = [_speed_up(port) for _ in range(options.rounds)]
        p99, speed_up = statistics.median(lag), statistics.median(speed_ups)
        table.add(name, p99_ms=p99 * 1e3, speed_up=speed_up)
        report.at_most(f"p99 in ms of light requests, {name}", p99 * 1e3, 20)
        report.at_least(f"speed-up of requests that compute, {name}", speed_up, 0.85 * options.workers)

    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in ("Hypern, uvicorn", "FastAPI def, uvicorn")}
    seconds = max(2, options.scaled(SECONDS))
    for _ in range(options.rounds):
        for name, taken in rows.items():
            with serve(name) as port:
                taken.append(_under_wrk(port, seconds))
    table = report.table("wrk: 8 connections on the route that computes, alone and with 1 on the light one beside it")
    for name, taken in rows.items():
        table.add(
            name,
            computed_per_second=statistics.median(each for each, _ in taken),
            light_p99_ms=statistics.median(p99 for _, p99 in taken) * 1e3,
        )
    pairs = list(zip(*rows.values(), strict=True))
    report.at_least("throughput, Hypern / FastAPI def", statistics.median(a[0] / b[0] for a, b in pairs), 1.7)
    report.at_most(
        "p99 of the light route, Hypern / FastAPI def", statistics.median(a[1] / b[1] for a, b in pairs), 0.2
    )
    report.close(options)


@contextmanager
def serve(name: str) -> Iterator[int]:
    """Run a server; gives its port."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    server, app = SERVERS[name]
    quiet = ["--log-level", "error"]
    words = {"uvicorn": [app, *quiet], "granian": ["--interface", "asgi", *quiet, app]}[server]
    command = [sys.executable, "-m", server, "--port", str(port), *words]
    process = subprocess.Popen(command, cwd=Path(__file__).parent)
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with suppress(OSError):
                if ask(port, "/light") == 200:
                    break
            time.sleep(0.05)
        ask(port, "/report/1")
        yield port
    finally:
        process.terminate()
        process.wait(30)


def ask(port: int, path: str) -> int:
    """Ask once and return the status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status


def _light_beside_long(port: int, count: int) -> float:
    """Return the 99th percentile of light requests while another one computes, in seconds."""
    long = threading.Thread(target=ask, args=(port, f"/long/{LONG}"))
    long.start()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        connection.request("GET", "/light")
        connection.getresponse().read()
        taken.append(time.perf_counter() - began)
        # Spread over what the other one takes.
        time.sleep(0.001)
    connection.close()
    long.join()
    return statistics.quantiles(taken, n=100)[98]


def _speed_up(port: int) -> float:
    """Return how many times faster requests that compute are at once than one after the other."""
    began = time.perf_counter()
    for seed in range(AT_ONCE):
        ask(port, f"/report/{seed}")
    serial = time.perf_counter() - began
    threads = [threading.Thread(target=ask, args=(port, f"/report/{seed}")) for seed in range(AT_ONCE)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return serial / (time.perf_counter() - began)


def _under_wrk(port: int, seconds: int) -> tuple[float, float]:
    """Return requests that computed in a second, and the 99th percentile of light ones beside them in seconds."""
    told = _wrk(port, "/report/1", 8, seconds).communicate()[0]
    heavy = _wrk(port, "/report/1", 8, seconds)
    told_light = _wrk(port, "/light", 1, seconds - 1).communicate()[0]
    told_heavy = heavy.communicate()[0]
    if any("Non-2xx" in each or "Socket errors" in each for each in (told, told_light, told_heavy)):
        raise RuntimeError(f"{told}\n{told_heavy}\n{told_light}")
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", told_light).groups()  # type: ignore[union-attr]
    scale = {"us": 1e-6, "ms": 1e-3, "s": 1.0}[unit]
    return float(re.search(r"Requests/sec:\s+([\d.]+)", told)[1]), float(number) * scale  # type: ignore[index]


def _wrk(port: int, path: str, connections: int, seconds: int) -> subprocess.Popen[str]:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "--latency"]
    return subprocess.Popen([*command, f"http://127.0.0.1:{port}{path}"], stdout=subprocess.PIPE, text=True)


if __name__ == "__main__":
    main()
