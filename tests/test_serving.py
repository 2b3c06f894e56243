"""The web application as programs serve it: by its own run, by uvicorn and Granian with several workers, stopped by SIGTERM."""

from __future__ import annotations

import signal

import pytest

from child import Child, run
from sync import aside, eventually

try:
    from hypern import Hypern  # noqa: F401
except ImportError as error:
    pytest.skip(str(error), allow_module_level=True)

from server import Client, free_port

#: Use case 1 of the specification as it stands there, with something to compute and a run.
SEED = """
from hypern import Hypern, BlockingExecutor
from hypern.blocking import blocking

app = Hypern()
executor = BlockingExecutor(max_threads=8)

@blocking(executor=executor)
def compute_report(data):
    # CPU-bound work runs on a separate OS thread
    import os
    total = 0
    for number in range(data["rows"]):
        total += number * number
    if data.get("seconds"):
        import time
        end = time.perf_counter() + data["seconds"]
        while time.perf_counter() < end:
            pass
    return {"total": total, "pid": os.getpid()}

@app.get("/report")
async def report_handler(request, response):
    data = request.json()
    # This won't block the async event loop's other tasks
    result = compute_report(data)
    return response.json(result)

@app.get("/light")
async def light(request):
    import os
    return {"pid": os.getpid(), "tasks": sum(each.accepted for each in executor.stats().backends.values())}

if __name__ == "__main__":
    import sys
    app.run(port=int(sys.argv[1]))
"""

FILES = {"report.py": SEED}


SERVERS = {
    "run": ("report.py", "{port}"),
    "uvicorn": ("-m", "uvicorn", "report:app", "--port", "{port}"),
    "granian": ("-m", "granian", "--interface", "asgi", "--port", "{port}", "report:app"),
}


def served(way, port, *more):
    if way == "granian":
        pytest.importorskip("granian")
    return Child(*(part.format(port=port) for part in SERVERS[way]), *more, files=FILES)


@pytest.mark.parametrize("way", SERVERS)
def test_the_example_of_the_specification(way):
    port = free_port()
    client = Client(port)
    with served(way, port) as child:
        assert client.is_up()
        assert client.get("/report", {"rows": 4}).json()["total"] == 14
        assert client.get("/report", b"{").status == 400
        # While one request computes, others are answered.
        waiting = aside(client.get, "/report", {"rows": 0, "seconds": 2})
        answers = 0
        while not waiting.done():
            assert client.get("/light").status == 200
            answers += 1
        assert answers > 50
        assert waiting.result().json()["total"] == 0
        # A request that is under way when the server is told to stop is answered.
        before = client.get("/light").json()["tasks"]
        last = aside(client.get, "/report", {"rows": 4, "seconds": 1})
        assert eventually(lambda: client.get("/light").json()["tasks"] > before)
        child.signal(signal.SIGTERM)
        assert last.result(timeout=30).json()["total"] == 14
        finished = child.finish()
    assert finished.rc in (0, -signal.SIGTERM), finished.report()
    for word in ("Traceback", "Fatal", "panicked", "Exception ignored"):
        assert word not in finished.err, finished.report()


@pytest.mark.parametrize("way", ["uvicorn", "granian"])
def test_each_worker_of_a_server_has_its_own_pool(way):
    port = free_port()
    client = Client(port)
    with served(way, port, "--workers", "2") as child:
        assert client.is_up()
        pids = set()

        def both_have_answered():
            pids.add(client.get("/light").json()["pid"])
            assert client.get("/report", {"rows": 3}).json()["total"] == 5
            return len(pids) == 2

        assert eventually(both_have_answered)
        child.signal(signal.SIGTERM)
        finished = child.finish()
    assert "Traceback" not in finished.err, finished.report()


def test_an_application_loaded_before_the_server_forks():
    """As `gunicorn --preload` does it: the executor is made in the parent and used in both children."""
    run(
        """
        import os, warnings
        import report
        from server import serve

        assert report.executor.run_sync(abs, -1) == 1
        warnings.simplefilter("ignore", DeprecationWarning)  # Of a fork beside threads, which this is about.
        children = []
        for _ in range(2):
            pid = os.fork()
            if pid == 0:
                with serve(report.app) as client:
                    answer = client.get("/report", {"rows": 4}).json()
                    assert answer["total"] == 14, answer
                os._exit(0)
            children.append(pid)
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0]
        """,
        files=FILES,
    ).ok()


def test_without_the_extra_it_is_said_what_to_install():
    run(
        """
        import importlib.util
        found = importlib.util.find_spec
        importlib.util.find_spec = lambda name: None if name in ("starlette", "greenlet") else found(name)

        import hypern
        for names in ("from hypern import Hypern", "import hypern.web", "hypern.Hypern", "import hypern.aio"):
            try:
                exec(names)
            except ImportError as error:
                print(error)
        from hypern import *
        assert BlockingExecutor(1).run_sync(abs, -1) == 1
        """
    ).ok(
        "starlette and greenlet are not installed: pip install 'hypern[web]'\n" * 3
        + "greenlet is not installed: pip install 'hypern[aio]'\n"
    )
