"""The demo: parses and measures the standard library, serially and on each pool, and checks that all agree.

A real job on real input, CPU-bound. It is no benchmark: one run per pool, opening and closing the pool included.
Method and medians are in ``benches/``.
"""

from __future__ import annotations

import ast
import importlib
import os
import sys
import sysconfig
import time
import warnings
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

from hypern import _executor, _info

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

#: A function as measured: line, qualified name, cyclomatic complexity, depth of nested blocks.
Function = tuple[int, str, int, int]


class Module(TypedDict):
    """What is measured of one file. ``error`` names the exception of a file that does not parse; else it is empty."""

    path: str
    lines: int
    branches: int
    nesting: int
    functions: list[Function]
    error: str


@dataclass(frozen=True, slots=True)
class Run:
    """One pass over all files: who did it, its time by the clock and in CPU time of all processes, what came out."""

    name: str
    seconds: float
    cpu_seconds: float
    modules: list[Module]
    note: str


# ---- the work


@dataclass(slots=True)
class _Scope:
    """A function, or the module itself, while its nodes are being counted."""

    line: int
    name: str
    branches: int = 0
    nesting: int = 0


_BRANCHES = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case)
_BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)


def measure_module(path: str) -> Module:
    """Measure one file: lines, branches, nesting and every function. The result is plain data.

    A branch is what McCabe counts: each condition, loop, handler, ``case``, comprehension, and operand after the first
    of ``and`` and ``or``. The complexity of a function is its branches plus one; functions inside it count for
    themselves. A file that does not parse is measured as far as its lines.
    """
    source = Path(path).read_bytes()
    module: Module = {
        "path": path,
        "lines": len(source.splitlines()),
        "branches": 0,
        "nesting": 0,
        "functions": [],
        "error": "",
    }
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError) as error:
        module["error"] = type(error).__name__
        return module

    # A list and not recursion: deeply nested code in a file must not exhaust the stack of a worker.
    scopes = [_Scope(0, "")]
    todo: list[tuple[ast.AST, _Scope, str, int]] = [(tree, scopes[0], "", 0)]
    while todo:
        node, scope, prefix, depth = todo.pop()
        chained: ast.AST | None = None
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            scope, depth = _Scope(node.lineno, prefix + node.name), 0
            scopes.append(scope)
            prefix = f"{scope.name}."
        elif isinstance(node, ast.ClassDef):
            prefix = f"{prefix}{node.name}."
        elif isinstance(node, _BLOCKS):
            depth += 1
            scope.nesting = max(scope.nesting, depth)
            if isinstance(node, ast.If) and len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
                chained = node.orelse[0]  # an elif is the same block, not a deeper one
        scope.branches += _branches(node)
        todo.extend((child, scope, prefix, depth - (child is chained)) for child in ast.iter_child_nodes(node))

    module["branches"] = sum(scope.branches for scope in scopes)
    module["nesting"] = max(scope.nesting for scope in scopes)
    module["functions"] = sorted((scope.line, scope.name, scope.branches + 1, scope.nesting) for scope in scopes[1:])
    return module


def _branches(node: ast.AST) -> int:
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    if isinstance(node, ast.comprehension):
        return 1 + len(node.ifs)
    return int(isinstance(node, _BRANCHES))


def find_modules(*, tests: bool = False, limit: int = 0) -> list[str]:
    """List the files of the standard library in a fixed order, without installed packages; its tests only if asked."""
    root = Path(sysconfig.get_path("stdlib"))
    skipped = {"site-packages", "dist-packages"}
    if not tests:
        skipped |= {"test", "tests", "idle_test"}
    found = sorted(
        str(path)
        for path in root.rglob("*.py")
        # Some systems have links there that lead nowhere.
        if skipped.isdisjoint(path.relative_to(root).parts) and path.is_file()
    )
    return found[:limit] if limit else found


# ---- the runs


def choose_backends(names: Sequence[str] | None) -> list[_info.Backend]:
    """Return the backends of these names, all that this interpreter has for None.

    Raises ValueError for a name that it does not have.
    """
    offered = {backend.name: backend for backend in _info.backends() if backend.available}
    for name in names or ():
        if name not in offered:
            raise ValueError(f"no backend {name!r} on this interpreter, it has: {', '.join(offered)}")
    return [offered[name] for name in names or offered]


def run(
    backends: Sequence[_info.Backend], *, threads: int = 0, limit: int = 0, top: int = 10, tests: bool = False
) -> int:
    """Run the demo on these backends, print its report, and return the exit code: 1 when two runs disagree."""
    workers = threads or _executor.default_workers()

    paths = find_modules(tests=tests, limit=limit)
    if not paths:
        print("this interpreter has no standard library in source form", file=sys.stderr)
        return 1
    # Read once before the clock starts, so that the first run does not pay for the disk.
    size = sum(len(Path(path).read_bytes()) for path in paths)
    what = "the standard library" + (" with its tests" if tests else " without its tests")
    print(
        f"{len(paths)} files ({size / 1e6:.1f} MB) of {what}, {workers} workers, Python {sys.version.split()[0]}",
        flush=True,
    )

    with warnings.catch_warnings():
        _ignore_warnings()
        runs = [_run("serial", None, paths)]
        runs.append(
            _run("ThreadPoolExecutor", partial(ThreadPoolExecutor, workers, initializer=_ignore_warnings), paths)
        )
        for backend in backends:
            name = cast("_executor.Backend", backend.name)
            pool = partial(_executor.BlockingExecutor, workers, backend=name, initializer=_ignore_warnings)
            runs.append(_run(f"hypern {name}", pool, paths, note=backend.reason))

    _print_runs(runs)
    agree = _print_agreement(runs)
    _print_modules(runs[0].modules, top)
    return 0 if agree else 1


def _ignore_warnings() -> None:
    """Silence what the parser says about old spelling. The initializer of each pool: a process has its own filters."""
    warnings.simplefilter("ignore")


def _run(name: str, open_pool: Callable[[], Executor] | None, paths: Sequence[str], *, note: str = "") -> Run:
    with _progress(name, len(paths)) as advance:
        cpu, clock = _cpu_seconds(), time.perf_counter()
        if open_pool is None:
            modules: list[Module] = []
            for path in paths:
                modules.append(measure_module(path))
                advance()
        else:
            with open_pool() as pool:
                futures = [pool.submit(measure_module, path) for path in paths]
                try:
                    for _ in as_completed(futures):
                        advance()
                    modules = [future.result() for future in futures]
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C does not wait for the other files
                    raise
        return Run(name, time.perf_counter() - clock, _cpu_seconds() - cpu, modules, note)


def _cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended; those of a pool end when it closes."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@contextmanager
def _progress(name: str, total: int) -> Generator[Callable[[], object]]:
    """Show how far a run is, by tqdm where it is installed, else by a counter; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    try:
        tqdm = importlib.import_module("tqdm").tqdm
    except ImportError:
        counter = _Counter(name, total)
        try:
            yield counter.advance
        finally:
            counter.clear()
    else:
        with tqdm(total=total, desc=name, unit="file", leave=False) as bar:
            yield bar.update


class _Counter:
    """A progress line without tqdm. Rewrites itself once per percent: a terminal is slower than the work."""

    def __init__(self, name: str, total: int) -> None:
        self._name = name
        self._total = total
        self._done = 0
        self._step = max(1, total // 100)

    def advance(self) -> None:
        self._done += 1
        if self._done % self._step == 0:
            print(f"\r{self._name}: {self._done}/{self._total} files", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


# ---- the report


def _print_runs(runs: Sequence[Run]) -> None:
    serial = runs[0].seconds
    print(f"\n{'':<22} {'seconds':>8} {'speed-up':>9} {'CPU s':>7}")
    for run in runs:
        figures = f"{run.seconds:>8.2f} {serial / run.seconds:>8.2f}x {run.cpu_seconds:>7.2f}"
        print(f"{run.name:<22} {figures}  {run.note}".rstrip())


def _print_agreement(runs: Sequence[Run]) -> bool:
    expected = runs[0].modules
    agree = True
    for run in runs[1:]:
        different = [ours["path"] for ours, theirs in zip(expected, run.modules, strict=True) if ours != theirs]
        if different:
            agree = False
            examples = ", ".join(different[:5])
            print(f"\nDISAGREEMENT: {run.name} differs in {len(different)} files: {examples}", file=sys.stderr)
    if agree:
        print(f"\nall {len(runs)} runs agree on all {len(expected)} files")
    return agree


def _print_modules(modules: Sequence[Module], top: int) -> None:
    root = Path(sysconfig.get_path("stdlib"))
    names = {module["path"]: Path(module["path"]).relative_to(root).as_posix() for module in modules}

    failed = [module for module in modules if module["error"]]
    examples = ", ".join(f"{names[module['path']]} ({module['error']})" for module in failed[:3])
    print(
        f"{sum(module['lines'] for module in modules)} lines, "
        f"{sum(len(module['functions']) for module in modules)} functions, "
        f"{sum(module['branches'] for module in modules)} branches"
    )
    print(f"{len(failed)} files do not parse" + (f": {examples}" if examples else ""))

    ranked = sorted(
        (
            (complexity, nesting, f"{names[module['path']]}:{line}", name)
            for module in modules
            for line, name, complexity, nesting in module["functions"]
        ),
        key=lambda row: (-row[0], -row[1], row[2]),
    )[:top]
    if ranked:
        print(f"\nthe most complex functions\n{'complexity':>10} {'nesting':>8}  where")
        for complexity, nesting, where, name in ranked:
            print(f"{complexity:>10} {nesting:>8}  {where} {name}")
