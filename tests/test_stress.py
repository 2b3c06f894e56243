"""Everything at once, for a while: no crash, no hang, no growth."""

from __future__ import annotations

import sys

import pytest

from child import STRICT, run
from sync import LONG, count

#: CPython warns of a fork beside threads from 3.12 on, which is what is done here.
FLAGS = (*STRICT, "-W", "ignore:This process:DeprecationWarning")

SCRIPT = """
import faulthandler, gc, os, random, sys, threading, time
from concurrent.futures import wait
from hypern import BlockingExecutor
import stress_tasks as tasks

backend, seconds, seed = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
pools, forks = float(sys.argv[4]), float(sys.argv[5])  # how often a pool is made, and a child forked
faulthandler.dump_traceback_later(seconds + 60, exit=True)
until = time.monotonic() + seconds
lock = threading.Lock()
done = dict.fromkeys("calls errors imports data memory callbacks nested cancelled pools forks".split(), 0)

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

def one(kept, dice):
    pick = dice.random()
    if pick < 0.30:
        number = dice.randrange(1000)
        assert kept.run_sync(tasks.mixed, number) == tasks.mixed(number)
        kind = "calls"
    elif pick < 0.45:
        numbers = [dice.randrange(1000) for _ in range(dice.randrange(200))]
        assert kept.map(tasks.mixed, numbers) == [tasks.mixed(number) for number in numbers]
        kind = "data"
    elif pick < 0.60:
        error = dice.choice(tasks.ERRORS)
        try:
            kept.run_sync(tasks.fail, error)
        except RuntimeError as raised:
            assert type(raised.__cause__).__name__ == error, (error, raised)
        else:
            raise AssertionError(error)
        kind = "errors"
    elif pick < 0.68:
        name = dice.choice(tasks.MODULES)
        assert kept.run_sync(tasks.imported, name) == name
        kind = "imports"
    elif pick < 0.76:
        memory = bytearray(dice.randrange(1, 300_000))
        assert kept.run_sync(tasks.total, memoryview(memory), bytes(memory)) == (0, len(memory))
        kind = "memory"
    elif pick < 0.86:
        called = threading.Event()
        futures = [kept.submit(tasks.mixed, number) for number in range(dice.randrange(1, 20))]
        futures[-1].add_done_callback(lambda future: (kept.run_sync(abs, -1), called.set()))
        wait(futures)
        assert called.wait(60)
        kind = "callbacks"
    elif pick < 0.92:
        assert kept.run_sync(tasks.nested, 3) == [0, 1, 4]
        kind = "nested"
    elif pick < 1 - pools - forks:
        futures = [kept.submit(tasks.mixed, number) for number in range(30)]
        for future in futures:
            future.cancel()
        wait(futures)
        kind = "cancelled"
    elif pick < 1 - forks:
        with BlockingExecutor(dice.randrange(1, 4), backend=backend) as other:
            assert other.map(lambda n: n + number, range(10)) == [n + number for n in range(10)] if (number := 5) else 0
        kind = "pools"
    else:
        process = os.fork()
        if process == 0:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 7
        kind = "forks"
    with lock:
        done[kind] += 1

def go_on(kept, dice, failures):
    try:
        while time.monotonic() < until and not failures:
            one(kept, dice)
    except BaseException as error:
        failures.append(error)

failures = []
with BlockingExecutor(2, backend=backend) as kept:
    dice = random.Random(seed)
    while time.monotonic() < until - 0.7 * seconds:
        one(kept, dice)
    gc.collect()
    before = resident()
    threads = [threading.Thread(target=go_on, args=(kept, random.Random(seed + n), failures)) for n in range(3)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    if failures:
        raise failures[0]
gc.collect()
print(resident() - before, done)
"""

TASKS = r"""
import datetime, decimal, importlib, json, re

ERRORS = ["ValueError", "KeyError", "SystemExit", "KeyboardInterrupt", "RecursionError", "UnicodeDecodeError", "OSError"]
MODULES = ["asyncio", "sqlite3", "zoneinfo", "hashlib", "csv", "xml.etree.ElementTree", "email.message", "ctypes", "ssl"]

def mixed(number):
    day = datetime.datetime(2026, 1, 1) + datetime.timedelta(hours=number)
    share = decimal.Decimal(number + 1) / 7
    text = json.dumps({"day": day.isoformat(), "share": str(share), "words": re.findall(r"\w+", "a few words " * 3)})
    return json.loads(text)["day"], share, day, {number: [text, (number,) * 3]}

def fail(name):
    if name == "RecursionError":
        return fail(name)
    if name == "UnicodeDecodeError":
        b"\xff".decode()
    raise {each.__name__: each for each in (ValueError, KeyError, SystemExit, KeyboardInterrupt, OSError)}[name](name)

def imported(name):
    return importlib.import_module(name).__name__

def total(view, data):
    return sum(view[:100]), len(data)

def nested(number):
    from hypern import BlockingExecutor
    with BlockingExecutor(2) as executor:
        return executor.map(lambda n: n * n, range(number))
"""


@pytest.mark.timeout(2000)
def test_everything_at_once(backend):
    seconds = count(5, 1800)
    free_threaded = not getattr(sys, "_is_gil_enabled", lambda: True)()
    # CPython 3.13 leaks some memory with each interpreter that ends.
    leaks = backend in ("interpreters", "auto") and (3, 13) <= sys.version_info < (3, 14)
    done = run(
        SCRIPT,
        backend,
        seconds,
        5,
        0 if leaks and LONG else 0.01,
        0 if free_threaded or (leaks and LONG) else 0.01,
        files={"stress_tasks.py": TASKS},
        flags=FLAGS,
        patience=seconds + 100,
    ).ok()
    growth = int(done.out.split()[0])
    print(backend, done.out)
    if LONG or not leaks:
        assert growth <= 64 << 20
