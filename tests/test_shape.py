"""The shape of the package: its public names, what importing it costs, what may import what, and that the stub is true."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import sysconfig
import weakref
from pathlib import Path

import pytest

import hypern
from child import STRICT, run, run_python

PACKAGE = Path(hypern.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
NAMES = [path.relative_to(PACKAGE).as_posix() for path in SOURCES]
HAS_SUBINTERPRETERS = sys.version_info >= (3, 12)

PUBLIC = ["hypern", "hypern.blocking", "hypern.errors"]
for extra in ("aio", "dask", "joblib", "web"):
    try:
        importlib.import_module(f"hypern.{extra}")
    except ImportError:
        continue  # One of its packages is not there, or turns the GIL on.
    PUBLIC.append(f"hypern.{extra}")

each_source = pytest.mark.parametrize("path", SOURCES, ids=NAMES)


def modules():
    """The modules of the package that are no programs and not native."""
    for module in pkgutil.iter_modules([os.fspath(PACKAGE)], "hypern."):
        if not module.name.endswith(("._core", ".__main__")):
            yield module.name


# Public names


def test_the_package_gives_what_users_need():
    for name in ("BlockingExecutor", "TaskError", "ShutdownError", "WorkerCrashed", "__version__"):
        assert name in hypern.__all__


def test_the_module_of_helpers_gives_what_users_need():
    import hypern.blocking

    assert set(hypern.blocking.__all__) >= {
        "BlockingExecutor",
        "blocking",
        "blocking_map",
        "blocking_parallel",
        "blocking_run",
        "get_default_executor",
        "set_default_executor",
    }


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_listed_once_and_sorted(name):
    module = importlib.import_module(name)
    assert isinstance(module.__all__, tuple)
    assert list(module.__all__) == sorted(set(module.__all__))
    for each in module.__all__:
        assert hasattr(module, each)


@pytest.mark.parametrize("name", PUBLIC)
def test_no_public_name_is_left_out(name):
    """What a public module defines itself and does not hide by an underscore is in its list."""
    module = importlib.import_module(name)
    defined = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == name
    }
    # How errors are made is the business of the pools.
    makers = {key for key in defined if inspect.isfunction(getattr(module, key))} if name == "hypern.errors" else set()
    assert defined - makers <= set(module.__all__)


def test_the_executor_is_the_same_by_either_name():
    import hypern.blocking

    assert hypern.BlockingExecutor is hypern.blocking.BlockingExecutor


def test_errors_are_a_tree_of_runtime_errors():
    import concurrent.futures

    from hypern import errors

    for name in ("TaskError", "ShutdownError", "WorkerCrashed", "BrokenPool"):
        assert issubclass(getattr(errors, name), RuntimeError)
    assert issubclass(errors.BrokenPool, concurrent.futures.BrokenExecutor)
    assert hypern.TaskError is errors.TaskError


def test_the_version_is_that_of_the_core_and_of_the_metadata():
    from importlib.metadata import PackageNotFoundError, version

    from hypern import _core

    assert re.fullmatch(r"\d+\.\d+\.\d+.*", hypern.__version__)
    assert _core.__version__ == hypern.__version__
    try:
        assert version("hypern") == hypern.__version__
    except PackageNotFoundError:
        pass  # run from a checkout


def public_objects():
    for name in PUBLIC:
        module = importlib.import_module(name)
        for each in module.__all__:
            value = getattr(module, each)
            if inspect.isclass(value) or inspect.isfunction(value):
                yield f"{name}.{each}", value
    for key, value in vars(hypern.BlockingExecutor).items():
        if not key.startswith("_") and inspect.isfunction(value):
            yield f"BlockingExecutor.{key}", value


@pytest.mark.parametrize(("name", "value"), list(public_objects()), ids=[name for name, _ in public_objects()])
def test_every_public_object_is_documented(name, value):
    assert value.__doc__ and value.__doc__.strip().splitlines()[0].rstrip().endswith(".")


def test_the_methods_of_the_specification_are_there():
    for name in "run_sync run_parallel map submit active_threads pool_size pending_tasks is_running shutdown".split():
        assert callable(getattr(hypern.BlockingExecutor, name))


def test_types_are_published():
    assert (PACKAGE / "py.typed").exists()


# Importing


def test_importing_does_not_load_the_core():
    run(
        """
        import sys
        import hypern, hypern.blocking, hypern.errors
        assert "hypern._core" not in sys.modules
        hypern.BlockingExecutor(1).shutdown()
        assert "hypern._core" in sys.modules
        """
    ).ok()


def test_importing_starts_nothing():
    run(
        """
        import os, threading
        import hypern, hypern.blocking
        assert threading.active_count() == 1
        assert len(os.listdir("/proc/self/task")) == 1
        """
    ).ok()


@pytest.mark.parametrize(
    "heavy",
    [
        "asyncio",
        "multiprocessing",
        "cloudpickle",
        "subprocess",
        "inspect",
        "tblib",
        "socket",
        "ssl",
        "numpy",
        "tqdm",
        "argparse",
        "ctypes",
    ],
)
def test_importing_stays_light(heavy):
    assert not loads(heavy, "import hypern; hypern.BlockingExecutor", beside="import concurrent.futures, logging")


@pytest.mark.parametrize(
    "heavy",
    ["concurrent.futures", "logging", "typing", "traceback", "pathlib", "threading", "_pickle", "pickle", "cloudpickle"]
    + ["tblib", "enum", "functools"],
)
def test_a_worker_loads_little_before_its_first_task(heavy):
    assert not loads(heavy, "import hypern._child", beside="import struct, select")


def loads(module, statement, beside):
    """Whether a statement loads a module, in a new interpreter, beside what it stands on and all that that loads."""
    script = (
        f"import sys\n{beside}\nbefore = set(sys.modules)\n{statement}\nprint(sys.argv[1] in {{*sys.modules}} - before)"
    )
    return run(script, module).ok().out == "True\n"


def test_importing_works_without_assertions_and_docstrings():
    run_python(*STRICT, "-OO", "-c", "import hypern.blocking as b; assert b.blocking_run(abs, -1) == 1").ok()


@pytest.mark.skipif(not HAS_SUBINTERPRETERS, reason="from 3.12 on")
@pytest.mark.parametrize("module", ["hypern", "hypern.blocking"])
def test_importing_works_in_a_subinterpreter(module):
    done = run(
        """
        import sys
        code = "import sys; sys.path[:] = %r; import %s; print('imported', flush=True)" % (sys.path, sys.argv[1])
        if sys.version_info >= (3, 14):
            from concurrent import interpreters
            interpreter = interpreters.create()
            interpreter.exec(code)
            interpreter.close()
        elif sys.version_info >= (3, 13):
            import _interpreters
            identity = _interpreters.create()
            failure = _interpreters.exec(identity, code)
            assert failure is None, failure
            _interpreters.destroy(identity)
        else:
            import _xxsubinterpreters
            identity = _xxsubinterpreters.create()
            _xxsubinterpreters.run_string(identity, code)
            _xxsubinterpreters.destroy(identity)
        """,
        module,
    )
    done.ok("imported\n")


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="needs a free-threaded build")
def test_the_core_leaves_the_gil_off():
    run(
        """
        import sys
        from hypern import BlockingExecutor
        with BlockingExecutor(2) as executor:
            assert executor.run_sync(sys._is_gil_enabled) is False
        assert sys._is_gil_enabled() is False
        """
    ).ok()


# What may import what


def imports_at_import(tree):
    """The modules that are imported as soon as the file itself is, with the names taken from them."""
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ("hypern." if node.level else "") + (node.module or "")
            yield from (f"{base.rstrip('.')}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting.extend(node.orelse)
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))


@each_source
def test_no_module_loads_the_core_when_imported(path):
    found = [name for name in imports_at_import(ast.parse(path.read_text())) if name.startswith("hypern._core")]
    assert not found


def test_errors_depend_on_nothing_of_the_package():
    tree = ast.parse((PACKAGE / "errors.py").read_text())
    assert not [name for name in imports_at_import(tree) if name.startswith("hypern")]


def test_modules_do_not_import_each_other_in_circles():
    graph = {}
    for path in SOURCES:
        top = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        found = graph.setdefault("hypern" if top == "__init__" else f"hypern.{top}", set())
        for imported in imports_at_import(ast.parse(path.read_text())):
            if imported.startswith("hypern."):
                parts = imported.split(".")
                found.add(".".join(parts[:2]))
    graph = {name: {each for each in found if each in graph and each != name} for name, found in graph.items()}
    done: set[str] = set()

    def visit(name, path=()):
        assert name not in path, " -> ".join([*path, name])
        if name not in done:
            for each in sorted(graph[name]):
                visit(each, (*path, name))
            done.add(name)

    for name in graph:
        visit(name)


def test_every_module_can_be_imported_by_itself():
    for name in modules():
        done = run_python(*STRICT, "-c", f"import {name}")
        if "pip install 'hypern[" not in done.err and "turns the GIL on" not in done.err:
            done.ok("")


@each_source
def test_every_file_says_what_it_is(path):
    text = ast.get_docstring(ast.parse(path.read_text()))
    assert text and text.split("\n\n")[0].rstrip().endswith((".", ":"))


@each_source
def test_annotations_are_never_evaluated(path):
    assert "from __future__ import annotations" in path.read_text()


# The stub


def stub():
    return ast.parse((PACKAGE / "_core.pyi").read_text())


def names_of(nodes):
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def own_names(thing):
    return {name for name in vars(thing) if not (name.startswith("__") and name.endswith("__"))}


def test_the_stub_names_what_the_core_has():
    from hypern import _core

    in_stub = {name for name in names_of(stub().body) if not name.startswith("__")}
    in_core = own_names(_core)
    assert in_stub == in_core


def test_the_stub_names_the_members_that_classes_have():
    from hypern import _core

    classes = [node for node in stub().body if isinstance(node, ast.ClassDef)]
    assert classes
    for node in classes:
        in_stub = set(names_of(node.body))
        real = getattr(_core, node.name)
        assert {name for name in in_stub if not name.startswith("__")} == own_names(real), node.name
        for name in in_stub:
            assert hasattr(real, name) or name in ("__buffer__", "__new__", "__init__"), f"{node.name}.{name}"


def test_the_stub_knows_the_parameters_of_functions():
    from hypern import _core

    checked = 0
    for owner, nodes in [(_core, stub().body)] + [
        (getattr(_core, node.name), node.body) for node in stub().body if isinstance(node, ast.ClassDef)
    ]:
        for node in nodes:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("__") and not node.decorator_list:
                real = inspect.signature(getattr(owner, node.name)).parameters
                arguments = node.args
                expected = [each.arg for each in arguments.posonlyargs + arguments.args + arguments.kwonlyargs]
                assert list(real) == expected, node.name
                checked += 1
    assert checked


def test_the_core_can_be_collected_and_weakly_referenced_where_the_executor_is():
    with hypern.BlockingExecutor(1) as executor:
        assert weakref.ref(executor)() is executor


def test_scripts_of_the_package_answer():
    done = run_python("-m", "hypern", "info")
    assert done.rc == 0, done.report()
    assert hypern.__version__ in done.out


EXTENSION = """
#include <Python.h>
static PyModuleDef_Slot slots[] = {{0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "needy", NULL, 0, NULL, slots, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit_needy(void) { return PyModuleDef_Init(&definition); }
"""


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="needs a free-threaded build")
def test_a_module_that_turned_the_gil_on_is_named_once(tmp_path):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    (tmp_path / "needy.c").write_text(EXTENSION)
    command = [compiler, "-shared", "-fPIC", f"-I{sysconfig.get_path('include')}", "needy.c", "-o", "needy.so"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    done = run(
        """
        import sys, warnings
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            import needy  # CPython warns, too
        assert sys._is_gil_enabled()
        from hypern import BlockingExecutor
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(2):
                with BlockingExecutor(1) as executor:
                    assert executor.run_sync(abs, -1) == 1
        print(*(warning.message for warning in caught))
        """,
        env={"PYTHONPATH": os.pathsep.join([os.fspath(tmp_path), os.environ.get("PYTHONPATH", "")])},
    )
    done.ok()
    assert done.out.count("free-threaded Python runs with the GIL on") == 1
    assert "'needy'" in done.out
