"""What an executor has done so far."""

from __future__ import annotations

from typing import NamedTuple


class BackendStats(NamedTuple):
    """What one backend has done; a chunk of ``map`` or ``run_parallel`` counts as one task."""

    #: Tasks that were started.
    tasks: int
    #: Seconds that they waited for a worker, all together.
    seconds_queued: float
    #: Seconds that those which have ended ran, all together.
    seconds_running: float


class Stats(NamedTuple):
    """What an executor has done so far."""

    #: By the name of the backend: ``"threads"``, and the one that calls left to.
    backends: dict[str, BackendStats]
    #: How many calls were made again in the shared interpreter, by the reason.
    came_back: dict[str, int]
