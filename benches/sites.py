"""The applications of the bench `web`: one route that computes, one that does nothing, on Hypern and on FastAPI."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import fastapi
import work

from hypern import BlockingExecutor, Hypern
from hypern.blocking import blocking

hypern = Hypern()
executor = BlockingExecutor()
compute = blocking(executor=executor)(work.loop)
compute_for = blocking(executor=executor)(work.loops)


@hypern.get("/report/{seed:int}")
async def report(request: Any, response: Any) -> Any:
    """About 30 ms of Python."""
    return response.json(compute(request.path_params["seed"]))


@hypern.get("/long/{count:int}")
async def long(request: Any, response: Any) -> Any:
    """So many times 30 ms of Python in one call."""
    return response.json(compute_for(request.path_params["count"]))


@hypern.get("/light")
async def light(_: Any, response: Any) -> Any:
    """Nothing to do."""
    return response.json({})


mounted = fastapi.FastAPI()
mounted.mount("/", hypern)

fast = fastapi.FastAPI()


@fast.get("/report/{seed}")
def report_in_a_thread(seed: int) -> int:
    """The same on one of FastAPI's threads."""
    return work.loop(seed)


@fast.get("/light")
async def light_too() -> dict[str, int]:
    """Nothing to do."""
    return {}
