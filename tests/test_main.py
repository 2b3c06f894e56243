"""Where a program may come from: a file, -c, -m, standard input, a session; what it defines there travels."""

from __future__ import annotations

import sys

import pytest

from child import STRICT, run, run_python

PROGRAM = """
import sys
from hypern import BlockingExecutor

class Shape:
    sides = 4
    def __init__(self, side):
        self.side = side
    def area(self):
        return self.side ** 2

LIMIT = 10

def limited(number):
    return min(number, LIMIT)

with BlockingExecutor(2, backend=BACKEND) as executor:
    print(executor.run_sync(limited, 20), executor.map(lambda n: limited(n) + 1, [1, 50]))
    shape = executor.run_sync(Shape, 3)
    print(type(shape) is Shape, shape.area(), executor.run_sync(shape.area), executor.run_sync(Shape(5).area))
"""
OUTPUT = "10 [2, 11]\nTrue 9 9 25\n"


def program(backend):
    return PROGRAM.replace("BACKEND", repr(backend))


def test_a_script(backend):
    run(program(backend), backend).ok(OUTPUT)


def test_a_command(backend):
    run_python(*STRICT, "-c", program(backend)).ok(OUTPUT)


def test_standard_input(backend):
    run_python(*STRICT, "-", stdin=program(backend)).ok(OUTPUT)


def test_a_module(backend):
    run_python(*STRICT, "-m", "program", files={"program.py": program(backend)}).ok(OUTPUT)


def test_a_package(backend):
    run_python(
        *STRICT,
        "-m",
        "package",
        files={
            "package/__init__.py": "",
            "package/part.py": "def double(n): return n * 2\n",
            "package/__main__.py": f"""
            from hypern import BlockingExecutor
            from . import part
            from .part import double
            def local(n): return part.double(n) + 1
            with BlockingExecutor(1, backend={backend!r}) as executor:
                print(executor.map(double, range(3)), executor.map(local, range(3)))
            """,
        },
    ).ok("[0, 2, 4] [1, 3, 5]\n")


def test_a_zip_file(backend, tmp_path):
    import zipfile

    path = tmp_path / "program.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__main__.py", program(backend))
    run_python(*STRICT, str(path)).ok(OUTPUT)


def test_a_session(backend):
    lines = f"""
from hypern import BlockingExecutor
executor = BlockingExecutor(1, backend={backend!r})
def double(n): return n * 2

print(executor.map(double, range(3)))
executor.shutdown()
"""
    done = run_python(*STRICT, "-i", "-q", stdin=lines)
    assert done.rc == 0 and done.out == "[0, 2, 4]\n", done.report()
    assert "Traceback" not in done.err, done.report()


def test_a_definition_changed_in_a_session_is_seen(backend):
    run(
        """
        import sys
        from hypern import BlockingExecutor
        with BlockingExecutor(1, backend=sys.argv[1]) as executor:
            def function(): return 1
            print(executor.run_sync(function))
            def function(): return 2
            print(executor.run_sync(function))
            LIMIT = 3
            def function(): return LIMIT
            print(executor.run_sync(function))
            LIMIT = 4
            print(executor.run_sync(function))
        """,
        backend,
    ).ok("1\n2\n3\n4\n")


def test_code_of_exec(backend):
    run(
        """
        import sys
        from hypern import BlockingExecutor
        space = {}
        exec("def helper(n): return n + 1\\ndef function(n): return helper(n)", space)
        with BlockingExecutor(1, backend=sys.argv[1]) as executor:
            print(executor.run_sync(space["function"], 1))
        """,
        backend,
    ).ok("2\n")


def test_no_guard_of_main_is_needed_and_nothing_runs_twice(backend):
    run(
        """
        import sys
        print("once")
        from hypern import BlockingExecutor
        with BlockingExecutor(2, backend=sys.argv[1]) as executor:
            print(executor.map(abs, [-1, -2]))
        """,
        backend,
    ).ok("once\n[1, 2]\n")


@pytest.mark.own_process
def test_the_arguments_of_the_program_are_seen_by_tasks(backend):
    run(
        """
        import sys
        from hypern import BlockingExecutor
        with BlockingExecutor(1, backend=sys.argv[1]) as executor:
            assert executor.run_sync(lambda: __import__("sys").path) == sys.path, executor.run_sync(lambda: __import__("sys").path)
        """,
        backend,
    ).ok()


@pytest.mark.parametrize("flag", ["-I", "-S", "-B", "-OO", "-X dev", "-X utf8", "-b"])
def test_flags_of_the_interpreter(backend, flag):
    if flag in ("-I", "-S"):
        code = f"import sys; sys.path[:0] = {sys.path!r}\n" + program(backend)
    else:
        code = program(backend)
    run_python(*STRICT, *flag.split(), "-c", code).ok(OUTPUT)


def test_the_demo_passes_over_links_that_lead_nowhere(tmp_path, monkeypatch):
    from hypern import _demo

    (tmp_path / "there.py").write_text("x = 1\n")
    (tmp_path / "nowhere.py").symlink_to(tmp_path / "missing")
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    assert _demo.find_modules() == [str(tmp_path / "there.py")]
