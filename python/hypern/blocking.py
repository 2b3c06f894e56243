"""Functions over a default executor, and the ``@blocking`` decorator.

The default executor is made when it is first needed, with ``HYPERN_BLOCKING_THREADS`` workers (0, the default: the
CPUs that this process may use) and stacks of ``HYPERN_BLOCKING_STACK`` bytes (0, the default: 16 MiB).
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from hypern._executor import MAX_THREADS, BlockingExecutor, Call, checked_count, checked_stack_size
from hypern._progress import Option
from hypern._route import Route

__all__ = (
    "BlockingExecutor",
    "blocking",
    "blocking_map",
    "blocking_parallel",
    "blocking_run",
    "explain",
    "get_default_executor",
    "set_default_executor",
)

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

#: Written under the lock.
_default: BlockingExecutor | None = None
#: Whether it was made here, and not given by somebody. Written under the lock.
_is_own = False
_lock = threading.Lock()
if hasattr(os, "register_at_fork"):  # A thread that does not exist in the child may hold it.
    os.register_at_fork(after_in_child=_lock._at_fork_reinit)  # type: ignore[attr-defined]


def get_default_executor() -> BlockingExecutor:
    """Return the default executor; make one where there is none, or where it was shut down.

    Raises ValueError where an environment variable is not a whole number that makes sense.
    """
    global _default, _is_own
    executor = _default
    if executor is not None and executor.is_running():
        return executor
    with _lock:
        if _default is None or not _default.is_running():
            threads = checked_count(*_from_environment("HYPERN_BLOCKING_THREADS"), MAX_THREADS)
            stack_size = checked_stack_size(*_from_environment("HYPERN_BLOCKING_STACK"))
            _default, _is_own = BlockingExecutor(threads, stack_size=stack_size), True
        return _default


def set_default_executor(executor: BlockingExecutor) -> None:
    """Make ``executor`` the default one. The one before is not shut down: others may use it.

    Raises TypeError for anything but an executor.
    """
    global _default, _is_own
    if not isinstance(executor, BlockingExecutor):
        raise TypeError(f"the default executor must be a BlockingExecutor, not {type(executor).__name__}")
    with _lock:
        _default, _is_own = executor, False


def _close_default_executor() -> None:
    """Shut down the default executor if it was made here; the next call makes a new one."""
    global _default
    with _lock:
        if _default is None or not _is_own:
            return
        executor, _default = _default, None
    executor.shutdown()


def blocking_run(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run ``fn(*args, **kwargs)`` on the default executor; see ``BlockingExecutor.run_sync``.

    >>> blocking_run(pow, 2, 10)
    1024
    """
    return get_default_executor().run_sync(fn, *args, **kwargs)


def blocking_map(
    fn: Callable[..., T],
    /,
    *iterables: Any,
    chunk_size: int = 0,
    chunksize: int | None = None,
    progress: Option = False,
) -> list[T]:
    """Map ``fn`` over iterables on the default executor; see ``BlockingExecutor.map``.

    >>> blocking_map(abs, [-1, 2, -3])
    [1, 2, 3]
    """
    executor = get_default_executor()
    return executor.map(fn, *iterables, chunk_size=chunk_size, chunksize=chunksize, progress=progress)


def blocking_parallel(tasks: Iterable[Call], *, progress: Option = False) -> list[Any]:
    """Run different calls on the default executor; see ``BlockingExecutor.run_parallel``.

    >>> blocking_parallel([(pow, (2, 3)), (int, ("ff",), {"base": 16})])
    [8, 255]
    """
    return get_default_executor().run_parallel(tasks, progress=progress)


def explain(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Route:
    """Return where ``blocking_run(fn, *args, **kwargs)`` would run, and why; see ``BlockingExecutor.explain``."""
    return get_default_executor().explain(fn, *args, **kwargs)


class _Blocking(Protocol[P, T_co]):
    """A function that ``@blocking`` has made: called, it waits; ``run_async`` is for ``await``."""

    @property
    def __wrapped__(self) -> Callable[P, T_co]: ...
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T_co: ...
    def run_async(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T_co]: ...


@overload
def blocking(fn: Callable[P, T], /) -> _Blocking[P, T]: ...
@overload
def blocking(*, executor: BlockingExecutor | None = None) -> Callable[[Callable[P, T]], _Blocking[P, T]]: ...
def blocking(fn: Callable[..., Any] | None = None, /, *, executor: BlockingExecutor | None = None) -> Any:
    """Make a function run on a worker of ``executor`` (None: the default one) each time it is called.

    The caller waits as in ``run_sync``. The function keeps its name, signature and docstring; ``__wrapped__`` is the
    function itself. Called on a worker of the same executor it runs in place. In an event loop, await
    ``function.run_async(...)``; that of a method takes the instance first, ``Class.method.run_async(instance, ...)``.

    >>> @blocking
    ... def double(number: int) -> int:
    ...     return 2 * number
    >>> double(21)
    42
    """
    if executor is not None and not isinstance(executor, BlockingExecutor):
        raise TypeError(f"executor must be a BlockingExecutor, not {type(executor).__name__}")
    if fn is None:
        return functools.partial(_decorate, executor)
    if isinstance(fn, BlockingExecutor):
        raise TypeError("give the executor by name: @blocking(executor=...)")
    return _decorate(executor, fn)


def _decorate(executor: BlockingExecutor | None, fn: Callable[P, T]) -> _Blocking[P, T]:
    if not callable(fn):
        raise TypeError(f"@blocking decorates a callable, not a {type(fn).__name__}")

    @functools.wraps(fn)
    def on_a_worker(*args: P.args, **kwargs: P.kwargs) -> T:
        return (executor or get_default_executor()).run_sync(fn, *args, **kwargs)

    @functools.wraps(fn)
    async def run_async(*args: P.args, **kwargs: P.kwargs) -> T:
        return await (executor or get_default_executor()).run_async(fn, *args, **kwargs)

    decorated: Any = on_a_worker
    decorated.__blocking__ = True
    decorated.run_async = run_async
    return decorated


def _from_environment(name: str) -> tuple[str, int]:
    """Return what to call the variable in an error, and its value."""
    label = f"the environment variable {name}"
    text = os.environ.get(name, "").strip() or "0"
    try:
        return label, int(text)
    except ValueError:
        raise ValueError(f"{label} must be a whole number, not {text!r}") from None
