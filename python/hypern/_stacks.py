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

#: How long workers elsewhere may take to tell where they are, in seconds.
PATIENCE = 1.0
#: How long a process may take to write one more line: what it has written is looked at so often, in seconds.
PERIOD = 0.01

#: A line that faulthandler writes.
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
    busy = [index for index, (frame, _, job) in enumerate(workers) if job is not None and frame is None]
    ask = _ask_processes if backend == "processes" else _ask_interpreters
    elsewhere = ask(pool, {index: workers[index][1] for index in busy}) if backend != "threads" and busy else {}
    for index, (frame, pid, job) in enumerate(workers):
        place = backend if pid is None else f"{backend}, process {pid}"
        yield f"{prefix}-{index} ({place}): {_told(job)}"
        if job is None:
            continue
        if frame is not None:
            stack = traceback.StackSummary.extract(traceback.walk_stack(frame))
            stack.reverse()
        elif backend == "threads" or elsewhere.get(index):
            stack = traceback.StackSummary.from_list(elsewhere.get(index, []))
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


def _ask_interpreters(pool: _core.Pool, workers: dict[int, int | None]) -> dict[int, list[Any]]:
    answers = dict(zip(workers, pool.ask(list(workers), PATIENCE), strict=True))
    stacks = {}
    for index, answer in answers.items():
        lines = [line.split("\0") for line in (answer or b"").decode().split("\n") if line]
        stacks[index] = [(file, int(line) if line != "None" else None, name, None) for file, line, name in lines]
    return stacks


def _ask_processes(pool: _core.Pool, workers: dict[int, int | None]) -> dict[int, list[Any]]:
    files = {index: file for index, pid in workers.items() if (file := _file_of(pid)) is not None}
    begun = {index: len(_read(file)) for index, file in files.items()}
    pool.ask(list(files), PATIENCE)
    deadline = time.monotonic() + PATIENCE
    stacks: dict[int, list[Any]] = {}
    before: dict[int, bytes] = {}
    # Nothing tells that one has written all: it has when it wrote nothing more for a while.
    while files.keys() - stacks.keys() and time.monotonic() < deadline:
        time.sleep(PERIOD)
        for index in files.keys() - stacks.keys():
            text = _read(files[index])[begun[index] :]
            if text and text == before.get(index):
                found = _LINE.findall(text.decode(errors="replace"))
                stacks[index] = [(file, int(line), name, None) for file, line, name in reversed(found)]
            before[index] = text
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
