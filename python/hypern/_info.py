"""Says what this interpreter offers: its backends, its cores, the defaults. It asks who decides and decides nothing."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass

import hypern
from hypern import _executor, _gil, _pool, _route


@dataclass(frozen=True, slots=True)
class Backend:
    """One kind of place for tasks, as this interpreter has it.

    ``parallel`` says whether Python code of several tasks advances at the same time there; ``reason`` says why it does
    or does not, or why the backend is missing.
    """

    name: str
    available: bool
    parallel: bool
    reason: str


def backends() -> tuple[Backend, ...]:
    """List every backend, those that this interpreter lacks included.

    >>> backends()[0].name
    'threads'
    """
    if _gil.is_enabled():
        threads = Backend("threads", available=True, parallel=False, reason="tasks take turns: the GIL is on")
    else:
        threads = Backend("threads", available=True, parallel=True, reason="parallel, in shared memory: the GIL is off")
    copies = "arguments and results are copied"
    processes = Backend("processes", available=True, parallel=True, reason=f"parallel, one child Python each; {copies}")
    missing = _pool.why_no_interpreters()
    interpreters = Backend(
        "interpreters",
        available=missing is None,
        parallel=missing is None,
        reason=missing or f"parallel, one GIL each; {copies}",
    )
    return threads, interpreters, processes


def describe() -> str:
    """Return the page that ``python -m hypern info`` prints."""
    sections = {
        "interpreter": _interpreter(),
        "cores": _cores(),
        "backends": {backend.name: backend.reason for backend in backends()},
        "defaults": _defaults(),
    }
    paragraphs = (
        "\n".join([title, *(f"  {label:<24} {value}" for label, value in rows.items())])
        for title, rows in sections.items()
    )
    return "\n\n".join(paragraphs)


def _interpreter() -> dict[str, str]:
    if not _gil.is_enabled():
        gil = "off"
    elif _gil.is_free_threaded_build():
        gil = f"on: {_gil._culprit()}"
    else:
        gil = "on"
    return {
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "build": "free-threaded" if _gil.is_free_threaded_build() else "with a GIL",
        "GIL": gil,
        "compiler": platform.python_compiler(),
        "platform": platform.platform(terse=True),
        "executable": sys.executable,
        "hypern": hypern.__version__,
    }


def _cores() -> dict[str, str]:
    from hypern import _core

    rows = {"in the machine": str(os.cpu_count())}
    if hasattr(os, "sched_getaffinity"):
        rows["by affinity"] = str(len(os.sched_getaffinity(0)))
    if sys.version_info >= (3, 13):
        rows["os.process_cpu_count()"] = str(os.process_cpu_count())
    rows["with the cgroup quota"] = str(_core.cpu_limit())
    return rows


def _defaults() -> dict[str, str]:
    away = _route.away_backend()
    rows = {
        "workers": str(_executor.default_workers()),
        "stack of a worker": f"{_executor.checked_stack_size('stack_size', 0) / 2**20:g} MiB of address space",
        'backend="auto" means': f"{away}, or threads where a program could tell" if away else "threads",
    }
    for name in ("HYPERN_BLOCKING_THREADS", "HYPERN_BLOCKING_STACK"):
        rows[name] = os.environ.get(name, "not set")
    return rows
