"""Every example of the specification, as it stands there, run as a script; the names it leaves open are given before it."""

from __future__ import annotations

import inspect

import pytest

from child import run

STANDING_BEFORE = """
from hypern import BlockingExecutor
from hypern.blocking import blocking, blocking_map, blocking_parallel, blocking_run
executor = BlockingExecutor(max_threads=2)
"""

EXAMPLES = {
    "installation": (
        "",
        """
from hypern import BlockingExecutor
# or
from hypern.blocking import BlockingExecutor, blocking_run, blocking_map
""",
        "",
    ),
    "basic-usage": (
        "",
        """
from hypern import BlockingExecutor

# Create an executor with 8 worker threads
executor = BlockingExecutor(max_threads=8)

def heavy_computation(n):
    \"\"\"Some CPU-intensive work.\"\"\"
    return sum(i * i for i in range(n))

# Run on a Rust thread — GIL released while waiting
result = executor.run_sync(heavy_computation, 10_000_000)
print(result)

# Clean up
executor.shutdown()
""",
        """
assert result == sum(i * i for i in range(10_000_000))
assert not executor.is_running()
""",
    ),
    "context-manager": (
        """
from hypern import BlockingExecutor
raw_data = [1, 2, 3]
def process_data(data):
    return sum(data)
""",
        """
with BlockingExecutor(max_threads=4) as executor:
    result = executor.run_sync(process_data, raw_data)
    # Automatically shuts down when exiting the block
""",
        "assert result == 6 and not executor.is_running()",
    ),
    "module-level-helpers": (
        """
def heavy_computation(n):
    return sum(i * i for i in range(n))
""",
        """
from hypern.blocking import blocking_run, blocking_map

# Single call
result = blocking_run(heavy_computation, 10_000_000)

# Map over a list
items = list(range(1000))
results = blocking_map(lambda x: x ** 2, items)
""",
        "assert result == heavy_computation(10_000_000) and results == [x ** 2 for x in items]",
    ),
    "run_sync": (
        STANDING_BEFORE
        + """
arg1, arg2, value = 1, 2, 3
def my_function(*args, **kwargs):
    return args, kwargs
""",
        """
result = executor.run_sync(my_function, arg1, arg2, key=value)
""",
        "assert result == ((1, 2), {'key': 3})",
    ),
    "run_parallel": (
        STANDING_BEFORE
        + """
arg1, arg2, arg3, arg4 = range(1, 5)
def function_a(*args): return "a", args
def function_b(*args): return "b", args
def function_c(*args, **kwargs): return "c", args, kwargs
""",
        """
results = executor.run_parallel([
    (function_a, (arg1, arg2)),
    (function_b, (arg3,)),
    (function_c, (arg4,), {"key": "value"}),
])
# results[0] = function_a(arg1, arg2)
# results[1] = function_b(arg3)
# results[2] = function_c(arg4, key="value")
""",
        "assert results == [('a', (1, 2)), ('b', (3,)), ('c', (4,), {'key': 'value'})]",
    ),
    "map": (
        STANDING_BEFORE
        + """
items = list(range(1000))
def transform(item): return item + 1
""",
        """
results = executor.map(transform, items, chunk_size=256)
# Equivalent to: [transform(item) for item in items]
# But executed across all pool threads
""",
        "assert results == [transform(item) for item in items]",
    ),
    "module-level-functions": (
        """
args, kwargs, items, x, y = (1, 2), {"key": 3}, range(1000), 4, 5
def fn(*args, **kwargs): return args, kwargs
def fn_a(x): return x
def fn_b(y, flag=False): return y, flag
""",
        """
from hypern.blocking import blocking_run, blocking_map, blocking_parallel

# Single call
result = blocking_run(fn, *args, **kwargs)

# Parallel map
results = blocking_map(fn, items, chunk_size=128)
assert results == [((item,), {}) for item in items]

# Heterogeneous parallel
results = blocking_parallel([
    (fn_a, (x,)),
    (fn_b, (y,), {"flag": True}),
])
""",
        "assert result == ((1, 2), {'key': 3}) and results == [4, (5, True)]",
    ),
    "decorator": (
        """
import builtins, io
def expensive_transform(data): return data[::-1]
def open(path, mode):
    assert (path, mode) == ("/path/to/image.png", "rb")
    return io.BytesIO(b"image")
""",
        """
from hypern.blocking import blocking

@blocking
def process_image(path: str) -> bytes:
    \"\"\"This runs on a Rust thread every time it's called.\"\"\"
    with open(path, "rb") as f:
        data = f.read()
    return expensive_transform(data)

# Caller's GIL is released while waiting
result = process_image("/path/to/image.png")
""",
        """
assert result == b"egami"
assert process_image.__doc__ == "This runs on a Rust thread every time it's called."
""",
    ),
    "decorator-with-executor": (
        STANDING_BEFORE + "def crunch(data): return sum(data)\n",
        """
my_pool = BlockingExecutor(max_threads=16)

@blocking(executor=my_pool)
def heavy_work(data):
    return crunch(data)
""",
        "assert heavy_work([1, 2]) == 3",
    ),
    "use-case-2": (
        """
import hashlib
def fetch_records(): return [{"id": n, "payload": str(n) * 8} for n in range(10_000)]
def complex_scoring(record): return sum(map(ord, record["payload"]))
def compute_hash(payload): return hashlib.sha256(payload.encode()).hexdigest()
""",
        """
from hypern.blocking import blocking_map

def transform_record(record):
    # CPU-intensive per-record transformation
    return {
        "id": record["id"],
        "score": complex_scoring(record),
        "hash": compute_hash(record["payload"]),
    }

# Process 10,000 records across all CPU cores
records = fetch_records()
results = blocking_map(transform_record, records, chunk_size=500)
""",
        "assert results == [transform_record(record) for record in records]",
    ),
    "use-case-3": (
        """
import http.server, json, os, threading
class Users(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"path": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Users)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["USERS_ADDRESS"] = "http://127.0.0.1:%d" % server.server_port
""",
        """
from hypern.blocking import blocking_parallel

def fetch_user(user_id):
    import requests
    return requests.get(f"https://api.example.com/users/{user_id}").json()

# Fetch 3 users in parallel on Rust threads
users = blocking_parallel([
    (fetch_user, (1,)),
    (fetch_user, (2,)),
    (fetch_user, (3,)),
])
""",
        """
assert users == [{"path": f"/users/{n}"} for n in (1, 2, 3)]
server.shutdown()
server.server_close()
""",
    ),
    "use-case-4": (
        """
data = 10_000
def heavy_fn(n): return sum(range(n))
""",
        """
import asyncio
from hypern.blocking import blocking_run

async def async_handler():
    # Run CPU-bound work without blocking the event loop
    # (run_sync releases the GIL, so the event loop continues)
    loop = asyncio.get_event_loop()
    result = await loop.run_in_executor(None, blocking_run, heavy_fn, data)
    return result
""",
        "assert asyncio.run(async_handler()) == heavy_fn(data)",
    ),
    "custom-executor-setup": (
        "",
        """
from hypern.blocking import set_default_executor, BlockingExecutor

# Set a custom default executor at app startup
set_default_executor(BlockingExecutor(max_threads=16, queue_size=10000))
""",
        """
from hypern.blocking import blocking_run, get_default_executor
assert get_default_executor().pool_size() == 16 and blocking_run(abs, -1) == 1
""",
    ),
}

#: What stands in for the library that use case 3 imports: it asks the loopback server instead of the named host.
REQUESTS = """
import json, os, urllib.request

class Response:
    def __init__(self, body): self.body = body
    def json(self): return json.loads(self.body)

def get(url):
    url = url.replace("https://api.example.com", os.environ["USERS_ADDRESS"])
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=20) as response:
        return Response(response.read())
"""


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_runs_as_written(name):
    before, example, after = EXAMPLES[name]
    done = run(before + example + after, files={"requests.py": REQUESTS})
    done.ok()
    if name == "basic-usage":
        assert done.out == f"{sum(i * i for i in range(10_000_000))}\n"


def test_threads_and_queue_size_may_be_given_by_place():
    from hypern import BlockingExecutor

    with BlockingExecutor(3, 10) as executor:
        assert executor.pool_size() == 3
        assert executor.run_sync(abs, -1) == 1


def test_defaults_are_those_of_the_specification():
    from hypern import BlockingExecutor

    constructor = inspect.signature(BlockingExecutor).parameters
    assert list(constructor)[:2] == ["max_threads", "queue_size"]
    assert constructor["max_threads"].default == 0
    assert constructor["queue_size"].default == 0
    shutdown = inspect.signature(BlockingExecutor.shutdown).parameters
    assert shutdown["wait"].default is True
    assert shutdown["timeout_secs"].default == 30.0
