"""What this interpreter offers: its backends, its cores, the defaults. It asks the modules that decide and decides nothing itself."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from dataclasses import dataclass

from hypern import _executor


@dataclass(frozen=True, slots=True)
class Backend:
    """One kind of place for tasks, as this interpreter has it.

    `parallel` says whether Python code of several tasks advances at the same time there; `reason` says why, or why the backend is missing.
    """

    name: str
    available: bool
    parallel: bool
    reason: str


def gil_enabled() -> bool:
    """Tell whether a GIL is on now. A free-threaded build may have been given one back by an extension module."""
    probe = getattr(sys, "_is_gil_enabled", None)
    return True if probe is None else bool(probe())


def backends() -> tuple[Backend, ...]:
    """List every backend, also those that this interpreter lacks.

    >>> [backend.name for backend in backends() if backend.available]
    ['threads', 'processes']
    """
    gil = gil_enabled()
    return (
        Backend("threads", True, not gil, "one task at a time, the GIL is on" if gil else "parallel in shared memory, the GIL is off"),
        _interpreters(),
        Backend("processes", True, True, "parallel, one child Python per worker; arguments and results are copied"),
    )


def _interpreters() -> Backend:
    if "interpreters" in _executor.BACKENDS:
        return Backend("interpreters", True, True, "parallel, one interpreter with its own GIL per worker; arguments and results are copied")
    if sys.version_info < (3, 13):
        return Backend("interpreters", False, False, "not here: needs CPython 3.13 or newer")
    return Backend("interpreters", False, False, "not here: this version of hypern has no such backend")


def describe() -> str:
    """Write the page that `python -m hypern info` prints."""
    sections = (
        ("interpreter", _interpreter()),
        ("cores", _cores()),
        ("backends", [(backend.name, backend.reason) for backend in backends()]),
        ("defaults", _defaults()),
    )
    lines: list[str] = []
    for title, rows in sections:
        lines += [title, *(f"  {label:<24} {value}" for label, value in rows), ""]
    return "\n".join(lines).rstrip()


def _interpreter() -> list[tuple[str, str]]:
    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    if not free_threaded:
        gil = "on"
    elif gil_enabled():
        gil = "on again, in a free-threaded build: an extension module or PYTHON_GIL asked for it"
    else:
        gil = "off"
    return [
        ("version", f"{platform.python_implementation()} {platform.python_version()}"),
        ("build", "free-threaded" if free_threaded else "with a GIL"),
        ("compiler", platform.python_compiler()),
        ("platform", platform.platform(terse=True)),
        ("GIL", gil),
    ]


def _cores() -> list[tuple[str, str]]:
    affinity = str(len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else "not known on this system"
    return [
        ("in the machine", str(os.cpu_count())),
        ("by affinity", affinity),
        ("usable by a pool", f"{_executor.cpu_limit()} (affinity and cgroup quota)"),
    ]


def _defaults() -> list[tuple[str, str]]:
    return [
        ('backend="auto"', "threads"),
        ("threads of a new pool", str(_executor.cpu_limit())),
        ("stack of a worker", _stack()),
        ("HYPERN_BLOCKING_THREADS", os.environ.get("HYPERN_BLOCKING_THREADS", "not set")),
        ("HYPERN_BLOCKING_STACK", os.environ.get("HYPERN_BLOCKING_STACK", "not set")),
    ]


def _stack() -> str:
    return "as the core decides"
