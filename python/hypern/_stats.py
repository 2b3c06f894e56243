"""What an executor has done so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from hypern import _core


class BackendStats(NamedTuple):
    """What one backend has done; a chunk of ``map`` or ``run_parallel`` counts as one task.

    ``accepted`` is ``tasks`` and ``cancelled`` and what waits; ``tasks`` is ``done`` and ``failed`` and what runs.
    Numbers that change meanwhile are read one after the other.
    """

    #: Tasks that were accepted.
    accepted: int
    #: Tasks that were started.
    tasks: int
    #: Tasks that have returned.
    done: int
    #: Tasks that have ended otherwise: raised, came back, or lost their worker.
    failed: int
    #: Tasks that were accepted and taken back before they started.
    cancelled: int
    #: Seconds that tasks which were started had waited for a worker, all together.
    seconds_queued: float
    #: How long half of them had waited at most, and 99 of 100, within 1/16 of it; 0 where there are none.
    queued_p50: float
    queued_p99: float
    #: Seconds that tasks which have ended ran, all together.
    seconds_running: float
    #: How long half of them ran at most, and 99 of 100, within 1/16 of it; 0 where there are none.
    running_p50: float
    running_p99: float

    def __repr__(self) -> str:
        numbers = (f"{name}={value:.3g}" for name, value in self._asdict().items() if isinstance(value, float))
        counts = (f"{name}={value}" for name, value in self._asdict().items() if not isinstance(value, float))
        return f"BackendStats({', '.join((*counts, *numbers))})"


class Stats(NamedTuple):
    """What an executor has done so far."""

    #: By the name of the backend: ``"threads"``, and the one that calls left to.
    backends: dict[str, BackendStats]
    #: How many calls were made again in the shared interpreter, by the reason.
    came_back: dict[str, int]


def of_backend(pool: _core.Pool) -> BackendStats:
    """Return what a pool of the core has done so far."""
    accepted, started, done, failed, cancelled, queued, running = pool.stats()
    return BackendStats(accepted, started, done, failed, cancelled, *queued, *running)
