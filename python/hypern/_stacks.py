"""What the workers of a pool do just now, in words: for a pool that hangs.

Nothing here waits for a worker longer than ``PATIENCE``, takes a lock that is held for long, or stops a task.
"""

from __future__ import annotations

import contextlib
import functools
import re
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypern import _child

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hypern import _core

    #: Those that are asked, and their processes.
    Workers = dict[_core.Worker, int | None]

#: How long workers elsewhere may take to tell where they are, in seconds.
PATIENCE = 1.0
#: How long a process may take to write one more line: what it has written is looked at so often, in seconds.
PERIOD = 0.01

#: What faulthandler writes first, and then for each call.
_BEGIN = "Stack (most recent call first):\n"
_LINE = re.compile(r'^  File "(.*)", line (\d+) in (.*)$', re.MULTILINE)
_PACKAGE = str(Path(__file__).parent)

#: What cannot be seen, and why.
_UNSEEN = {
    "interpreters": "it does not answer: C code keeps its interpreter, or somebody else looks at it just now",
    "processes": "it does not answer: that takes Linux and a process that has not been stopped",
}


def tell(prefix: str, backend: str, pool: _core.Pool) -> Iterator[str]:
    """Give the lines that tell what each worker of a pool does; ``prefix`` stands before its number in its name."""
    workers = pool.workers()
    # Those that run something and are not in a callback, which runs in this interpreter.
    busy = [worker for worker, _, _, frame, _, job in workers if job is not None and frame is None]
    ask = _ask_processes if backend == "processes" else _ask_interpreters
    pids = {worker: pid for worker, _, _, _, pid, _ in workers}
    elsewhere = ask(pool, {worker: pids[worker] for worker in busy}) if backend != "threads" and busy else {}
    for worker, index, left, frame, pid, job in sorted(workers, key=lambda seen: seen[1]):
        if job is None and left:
            continue  # It has ended.
        place = backend if pid is None else f"{backend}, process {pid}"
        behind = "left behind in a task that did not stop; " if left else ""
        yield f"{prefix}-{index} ({place}): {behind}{_told(job)}"
        if job is None:
            continue
        if frame is not None:
            stack = traceback.StackSummary.extract(traceback.walk_stack(frame))
            stack.reverse()
        elif backend == "threads" or elsewhere.get(worker):
            stack = traceback.StackSummary.from_list(elsewhere.get(worker, []))
        else:
            yield f"  its stack cannot be seen: {_UNSEEN[backend]}"
            continue
        yield from "".join(_without_ours(stack).format()).splitlines() or ["  in no Python code of the task"]


def _told(job: tuple[Any, float] | None) -> str:
    if job is None:
        return "idle"
    function, seconds = job
    return f"runs {_name(function)} for {seconds:.1f} s"


def _name(function: Any) -> str:
    if function is None:
        return "calls of run_parallel or callbacks of a future"
    while type(function) is functools.partial:
        function = function.func
    try:
        name = getattr(function, "__qualname__", None) or type(function).__qualname__
        module = getattr(function, "__module__", None)
    except Exception:  # Whatever a foreign object does.
        return f"a {type(function).__name__}"
    return f"{module}.{name}" if isinstance(module, str) else str(name)


def _without_ours(stack: traceback.StackSummary) -> traceback.StackSummary:
    """Leave out what stands around the task."""
    while stack and (stack[0].filename.startswith(_PACKAGE) or _is_bootstrap(stack)):
        del stack[0]
    return stack


def _is_bootstrap(stack: traceback.StackSummary) -> bool:
    return stack[0].filename == "<string>" and len(stack) > 1 and stack[1].filename == _child.__file__


def _ask_interpreters(pool: _core.Pool, workers: Workers) -> dict[_core.Worker, list[Any]]:
    answers = dict(zip(workers, pool.ask(list(workers), PATIENCE), strict=True))
    stacks = {}
    for worker, answer in answers.items():
        lines = [line.split("\0") for line in (answer or b"").decode().split("\n") if line]
        stacks[worker] = [(file, int(line) if line != "None" else None, name, None) for file, line, name in lines]
    return stacks


def _ask_processes(pool: _core.Pool, workers: Workers) -> dict[_core.Worker, list[Any]]:
    files = {worker: file for worker, pid in workers.items() if (file := _file_of(pid)) is not None}
    begun = {worker: len(_read(file)) for worker, file in files.items()}
    pool.ask(list(files), PATIENCE)
    deadline = time.monotonic() + PATIENCE
    stacks: dict[_core.Worker, list[Any]] = {}
    before: dict[_core.Worker, bytes] = {}
    # Nothing tells that one has written all: it has when it wrote nothing more for a while.
    while files.keys() - stacks.keys() and time.monotonic() < deadline:
        time.sleep(PERIOD)
        for worker in files.keys() - stacks.keys():
            text = _read(files[worker])[begun[worker] :]
            if text and text == before.get(worker):
                # Others may have asked meanwhile, or a terminal may have another size.
                last = text.decode(errors="replace").rpartition(_BEGIN)[2]
                stacks[worker] = [(file, int(line), name, None) for file, line, name in reversed(_LINE.findall(last))]
            before[worker] = text
    return stacks


def _file_of(pid: int | None) -> Path | None:
    """Return where a worker process writes its stack; None where that is not known or it has ended."""
    with contextlib.suppress(OSError):  # It has ended.
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # It was closed meanwhile.
                if str(file.readlink()) == f"/memfd:{_child.STACKS} (deleted)":
                    return file
    return None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # It has ended.
        return b""
