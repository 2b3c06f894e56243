"""The calls of one chunk of a batch, in whatever place they run."""

from __future__ import annotations

from hypern._kind import EACH, STAR

TYPE_CHECKING = False  # As in typing, which a worker does not wait for.
if TYPE_CHECKING:
    from typing import Any


def run_chunk(kind: int, function: Any, items: Any) -> list[Any]:
    """Make the calls of one chunk in order and return their results.

    The first item that fails ends a chunk of ``map``. Calls of ``run_parallel`` are independent: all are made, then
    what the first failing one raised is raised.
    """
    if kind == EACH:
        return [function(item) for item in items]
    if kind == STAR:
        return [function(*item) for item in items]
    results: list[Any] = []
    failure: BaseException | None = None
    for call in items:
        try:
            results.append(call[0](*call[1]) if len(call) == 2 else call[0](*call[1], **call[2]))
        except BaseException as error:
            if failure is None:  # Not `or`: an exception may be false.
                failure = error
    if failure is not None:
        raise failure
    return results
