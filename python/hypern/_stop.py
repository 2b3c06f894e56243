"""What is raised inside a task that is to stop."""

from __future__ import annotations


class StopTask(BaseException):
    """Raised inside a task whose time is over or that was interrupted, wherever it is in Python code; let it pass.

    ``finally`` and ``with`` do their work. It is no ``Exception``, so that a task that survives all of those stops too.
    It is raised once more after a second. A task that is still there after another second is left behind.
    """


def nothing() -> None:
    """Do nothing: what waits to be raised in a thread comes up at the beginning of any function."""
