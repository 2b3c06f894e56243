"""What ``progress=`` stands for: a bar of tqdm, or a callable of the user's, told in the thread that waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

#: ``True`` for a bar of tqdm; a callable is given the number of items that are done and their total, None if unknown.
Option = bool | Callable[[int, int | None], object] | None


class _Told:
    """A callable of the user's."""

    def __init__(self, tell: Callable[[int, int | None], object], total: int | None) -> None:
        self._tell = tell
        self._total = total

    def report(self, done: int) -> None:
        self._tell(done, self._total)

    def close(self) -> None:
        pass


class _Bar:
    """A bar of tqdm, in a terminal or a notebook."""

    def __init__(self, total: int | None) -> None:
        try:
            from tqdm.auto import tqdm  # Optional, and loaded when it is asked for.
        except ImportError as error:
            raise ImportError(
                "progress=True shows a bar of tqdm, which is not installed: `pip install tqdm`, or pass a callable "
                "that is given the number of items that are done and their total"
            ) from error
        self._bar: Any = tqdm(total=total)

    def report(self, done: int) -> None:
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        self._bar.close()


def checked(progress: Option) -> Option:
    """Return what was asked for; raise TypeError for anything else."""
    if progress is None or isinstance(progress, bool) or callable(progress):
        return progress
    raise TypeError(f"progress must be a bool or a callable, not {type(progress).__name__}")


def begin(progress: Option, iterables: Sequence[Any]) -> _Told | _Bar | None:
    """Return what is told of progress over iterables that go in step; None where nobody asked.

    Raises ImportError where tqdm is asked for and not installed.
    """
    progress = checked(progress)
    if progress is None or progress is False:
        return None
    sizes = [len(items) if hasattr(type(items), "__len__") else None for items in iterables]
    known = [size for size in sizes if size is not None]
    total = min(known) if len(known) == len(sizes) else None
    return _Bar(total) if isinstance(progress, bool) else _Told(progress, total)
