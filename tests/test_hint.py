"""The hint that CPU-heavy work stays on one core by default: once, by logging, and only where it is true."""

from __future__ import annotations

import pytest

from child import run
from hypern import _core, _route

pytestmark = pytest.mark.skipif(
    _route.away_backend() is None or _core.cpu_limit() < 2, reason="threads are parallel here, or there is one core"
)

BEGIN = """
import logging, sys, time
from hypern import BlockingExecutor, _hint
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
_hint.ENOUGH = 0.2
seen = []

def works(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass

def stays(seconds):
    seen.append(seconds)
    works(seconds)

def sleeps(seconds):
    seen.append(seconds)
    time.sleep(seconds)

def changes(items):
    items.sort()
    sum(number * number for number in range(3_000_000))

def does_nothing(number):
    seen.append(number)

def leaves(number):
    return sum(number * number for number in range(3_000_000))

executor = BlockingExecutor(2)
"""


def hints(script, begin=BEGIN):
    """The lines that a script logs; it ends by itself."""
    return run(begin + script).ok().out.splitlines()


STAYING = {
    "run_sync": "for _ in range(4): executor.run_sync(stays, 0.15)",
    "submit": "for _ in range(4): executor.submit(stays, 0.15).result()",
    "map": "executor.map(stays, [0.003] * 150)",
    "run_parallel": "executor.run_parallel([(stays, (0.003,))] * 150)",
}


@pytest.mark.parametrize("call", STAYING)
def test_what_keeps_a_core_busy_here_is_told_once_and_why(call):
    (hint,) = hints(STAYING[call])
    assert hint.startswith("hypern: stays has kept one core busy for 0.")
    assert "it runs in threads: reads the global list 'seen' (" in hint
    assert "script.py:" in hint
    assert "pass it as an argument" in hint


def test_what_changed_its_argument_is_told():
    (hint,) = hints("for _ in range(6): executor.run_sync(changes, [2, 1])")
    assert "was run elsewhere, and changes an argument" in hint


QUIET = {
    "it waits": "for _ in range(2): executor.run_sync(sleeps, 0.3)",
    "it waits after many that do nothing": """
executor.map(does_nothing, range(200_000), chunk_size=10)
executor.run_sync(sleeps, 0.3)
""",
    "it does nothing": "executor.map(does_nothing, range(50_000), chunk_size=1)",
    "it is too little": "executor.run_sync(stays, 0.1)",
    "it leaves": "executor.run_sync(leaves, 1); executor.map(leaves, range(3))",
    "it is not the callable's fault": "executor.run_sync(id, seen); executor.run_sync(leaves, seen)",
    "there is one worker": "BlockingExecutor(1).run_sync(stays, 0.3)",
    "threads were asked for": "BlockingExecutor(2, backend='threads').run_sync(stays, 0.3)",
    "nobody wants to know": "logging.getLogger('hypern').setLevel(logging.WARNING); executor.run_sync(stays, 0.3)",
}


@pytest.mark.parametrize("reason", QUIET)
def test_nothing_is_said_where(reason):
    assert hints(QUIET[reason]) == []


def test_nothing_is_written_unless_somebody_listens():
    assert hints("executor.run_sync(stays, 0.3)", BEGIN.replace("logging.basicConfig", "dict")) == []


def test_only_some_things_are_said():
    told = hints(
        """
for number in range(9):
    names = dict(globals())
    exec(compile(f"def many():\\n    seen.append({number})\\n    works(0.25)", f"file{number}.py", "exec"), names)
    executor.run_sync(names["many"])
print(_hint.MOST)
"""
    )
    assert len(told) - 1 == int(told[-1]) == 5
