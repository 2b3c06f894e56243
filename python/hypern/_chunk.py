"""The calls of one chunk of a batch, in whatever place they run."""

from __future__ import annotations

from hypern._kind import CAUGHT, EACH, STAR, STAR_CAUGHT
from hypern._stop import StopTask

TYPE_CHECKING = False  # As in typing, which a worker does not wait for.
if TYPE_CHECKING:
    from typing import Any

    #: What came of a chunk whose failures are caught: the results, None for an item that failed, and what it raised, by
    #: its place; from a guest in encoded form.
    Caught = tuple[list[Any], dict[int, BaseException | bytes]]


def run_chunk(kind: int, function: Any, items: Any) -> Any:
    """Make the calls of one chunk in order and return their results in a list, or, caught, as a ``Caught``.

    The first item that fails ends a chunk of ``map``. Calls of ``run_parallel`` are independent: all are made, then
    what the first failing one raised is raised. In a chunk of a stream what fails is caught.
    """
    if kind == EACH:
        return [function(item) for item in items]
    if kind == STAR:
        return [function(*item) for item in items]
    if kind in CAUGHT:
        return _run_caught(kind == STAR_CAUGHT, function, items)
    results: list[Any] = []
    failure: BaseException | None = None
    for call in items:
        try:
            results.append(call[0](*call[1]) if len(call) == 2 else call[0](*call[1], **call[2]))
        except StopTask:
            raise
        except BaseException as error:
            if failure is None:  # Not `or`: an exception may be false.
                failure = error
    if failure is not None:
        raise failure
    return results


def _run_caught(star: bool, function: Any, items: Any) -> Caught:
    results: list[Any] = []
    failures: dict[int, Any] = {}
    try:
        for item in items:
            try:
                results.append(function(*item) if star else function(item))
            except StopTask:
                raise
            except BaseException as error:
                failures[len(results)] = error
                results.append(None)
        return results, failures
    finally:
        # The tracebacks of failures refer to this frame.
        del results, failures
