"""A coroutine in a greenlet of its own, so that plain functions which it calls can have the event loop wait for them.

The method is that of SQLAlchemy's asyncio extension (``greenlet_spawn`` and ``await_only``): what is awaited deep
inside is handed to the greenlet that the loop runs in, which awaits it for the whole coroutine.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

from hypern import _extras, _loop

_extras.check("aio", "greenlet")
_extras.check_free_threaded("greenlet", (3, 3), "Until it is there: await executor.run_async() and map_async().")

from greenlet import getcurrent, greenlet  # noqa: E402 - not before it is known that it leaves the GIL as it is.

T = TypeVar("T")


class _Bridge(greenlet):
    """Runs a coroutine. Hands its parent what the event loop is to wait for, and is handed what the loop says to it."""

    #: The task that runs it just now; a task that begins inside of it, in the same greenlet, is another one.
    task: asyncio.Task[Any] | None = None

    def __init__(self) -> None:
        super().__init__(self.wait)

    def wait(self, awaitable: Awaitable[Any]) -> Any:
        """Return what is awaited, or raise it; called inside of the greenlet."""
        steps: Any = awaitable.__await__()
        step, told, waited_for = steps.send, None, None
        try:
            while True:
                try:
                    waited_for = step(told)
                except StopIteration as stop:
                    return stop.value
                try:
                    # There always is one: that of whoever runs this.
                    step, told = steps.send, self.parent.switch(waited_for)  # type: ignore[union-attr]
                except BaseException as error:
                    step, told = steps.throw, error
        finally:
            # The traceback of what is raised here refers to this frame.
            del told, waited_for, step, steps


@types.coroutine
def run_bridged(awaitable: Awaitable[T], before_wait: Callable[[], object] | None = None) -> Generator[Any, Any, T]:
    """Await something as in ``bridge``; call ``before_wait`` before the first time that the loop is to wait."""
    inside = _Bridge()
    step: Any = inside.switch
    told: Any = awaitable
    context = waited_for = None
    try:
        while True:
            # Each step may come from elsewhere: the loop runs in this greenlet, the task in this context.
            outside = getcurrent()
            inside.parent = outside
            if inside.gr_context is context:  # Not inside of a `Context.run`.
                inside.gr_context = context = outside.gr_context
            # None where it is closed after its loop.
            inside.task = asyncio.current_task() if asyncio._get_running_loop() is not None else None
            waited_for = step(told)
            if inside.dead:
                return waited_for
            if before_wait is not None:
                before_wait()
                before_wait = None
            try:
                step, told = inside.switch, (yield waited_for)
            except BaseException as error:
                step, told = inside.throw, error
    finally:
        inside.task = None
        del told, waited_for, step, inside


def _find_bridge() -> _loop.Await | None:
    current = getcurrent()
    if type(current) is _Bridge and current.task is asyncio.current_task():
        return current.wait
    return None


_loop.find_bridge = _find_bridge
