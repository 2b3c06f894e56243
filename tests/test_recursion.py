"""Recursion without end, in Python and in C: an error of the task, on the stack that workers have by default."""

from __future__ import annotations

import pytest

from child import run

KINDS = {
    "function": """
def endless(number=0):
    return endless(number + 1)
task = endless
""",
    "sorted": """
class Key:
    def __lt__(self, other):
        return sorted([Key(), Key()])
def task():
    sorted([Key(), Key()])
""",
    "attribute": """
class Loop:
    def __getattr__(self, name):
        return getattr(self, name + "x")
def task():
    Loop().attribute
""",
    "call": """
class Calls:
    pass
Calls.__call__ = Calls()
def task():
    Calls()()
""",
    "repr": """
import tasks
def task():
    repr(tasks.nested_list(100_000))
""",
    "comparison": """
import tasks
def task():
    tasks.nested_list(100_000) == tasks.nested_list(100_000)
""",
    "pickle": """
import tasks
def task():
    import pickle
    pickle.dumps(tasks.nested_list(100_000))
""",
    "json": """
import tasks
def task():
    import json
    json.dumps(tasks.nested_list(100_000))
""",
    "json text": """
def task():
    import json
    json.loads("[" * 100_000 + "]" * 100_000)
""",
    "compile": """
def task():
    compile("-" * 100_000 + "1", "text", "eval")
""",
    "brackets": """
def task():
    compile("(" * 100_000 + ")" * 100_000, "text", "eval")
""",
    "map": """
def loop(value):
    return list(map(loop, [value]))
def task():
    loop(1)
""",
    "destructor": """
class Chain:
    def __init__(self, following):
        self.following = following
    def __del__(self):
        pass
def task():
    chain = None
    for _ in range(100_000):
        chain = Chain(chain)
    del chain
    raise RecursionError("it was freed all the same")
""",
}


@pytest.mark.parametrize("kind", KINDS)
def test_endless_recursion_is_an_error_of_its_task(backend, kind):
    run(
        KINDS[kind]
        + """
import sys
from hypern import BlockingExecutor
with BlockingExecutor(1, backend=sys.argv[1]) as executor:
    for _ in range(2):
        error = executor.submit(task).exception()
        # Where an interpreter is deep enough for the whole of it, there is no error, which is as good.
        assert error is None or isinstance(error, (RecursionError, MemoryError, SyntaxError)), repr(error)
        assert executor.run_sync(abs, -1) == 1
""",
        backend,
        patience=60,
    ).ok("")


def test_endless_recursion_by_every_way_to_call(backend):
    run(
        KINDS["function"]
        + """
import sys
from hypern import BlockingExecutor, TaskError
with BlockingExecutor(2, backend=sys.argv[1]) as executor:
    for call in (
        lambda: executor.run_sync(endless),
        lambda: executor.map(endless, range(3)),
        lambda: executor.run_parallel([(endless, ())] * 3),
    ):
        try:
            call()
        except RecursionError as error:
            assert isinstance(error, TaskError)
            print("caught")
""",
        backend,
    ).ok("caught\n" * 3)


def test_endless_nesting_of_calls_ends_in_an_error(backend):
    """A task that calls its own pool without end runs into a limit, not into the ground."""
    run(
        """
        import sys
        from hypern import BlockingExecutor
        executor = BlockingExecutor(1, backend=sys.argv[1])
        def endless():
            return executor.run_sync(endless)
        try:
            executor.run_sync(endless)
        except RuntimeError as error:
            print("caught")
        assert executor.run_sync(abs, -1) == 1
        """,
        backend,
        patience=60,
    ).ok("caught\n")


def test_deep_but_finite_recursion_works_as_in_the_main_thread(backend):
    run(
        """
        import sys
        from hypern import BlockingExecutor
        def depth(number):
            return 0 if number == 0 else 1 + depth(number - 1)
        with BlockingExecutor(1, backend=sys.argv[1]) as executor:
            assert executor.run_sync(depth, 900) == 900
        """,
        backend,
    ).ok()


def test_a_stack_that_was_asked_for_is_there():
    run(
        """
        import sys
        from hypern import BlockingExecutor
        class Key:
            def __init__(self, depth):
                self.depth = depth
            def __lt__(self, other):
                return self.depth == 0 or bool(sorted([Key(self.depth - 1), Key(self.depth - 1)]))
        def deep():
            sys.setrecursionlimit(100_000)
            return len(sorted([Key(5000), Key(5000)]))
        with BlockingExecutor(1, backend="threads", stack_size=256 << 20) as executor:
            try:
                assert executor.run_sync(deep) == 2
            except RecursionError:
                pass  # from 3.12 on recursion in C has a limit of its own
        """
    ).ok()
