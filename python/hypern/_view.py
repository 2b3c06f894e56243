"""An executor with options: the same pool, other calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypern._executor import BlockingExecutor
from hypern._options import Options, OptionsPool

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import EllipsisType

    from hypern._route import Route


class View(BlockingExecutor):
    """What ``BlockingExecutor.options`` returns: has all methods of the executor, whose workers it uses."""

    def __init__(self, executor: BlockingExecutor, options: Options) -> None:
        self._executor = executor
        self._options = options
        self._settings = executor._settings
        self._max_workers = executor._max_workers

    @property
    def _pool(self) -> Any:
        return self._executor._pool

    @_pool.setter
    def _pool(self, pool: Any) -> None:
        self._executor._pool = pool

    def options(
        self,
        *,
        timeout: float | EllipsisType | None = ...,
        retries: int | EllipsisType = ...,
        retry_on: type[Exception] | tuple[type[Exception], ...] | EllipsisType = ...,
    ) -> BlockingExecutor:
        """Return the executor with these options; what is not given stays as it is here."""
        return View(self._executor, self._options.changed(timeout=timeout, retries=retries, retry_on=retry_on))

    def explain(self, callable: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Route:
        """Return where the executor runs that call, and why; options change nothing about it."""
        return self._executor.explain(callable, *args, **kwargs)

    def __repr__(self) -> str:
        options = self._options
        given = (f"{name}={value!r}" for name, value in options._asdict().items() if value != getattr(Options(), name))
        return f"{self._executor!r}.options({', '.join(given)})"

    def __reduce__(self) -> Any:
        """Cross to a guest with the executor."""
        return View, (self._executor, self._options)

    def __del__(self) -> None:
        """Leave the workers to the executor."""

    def _chunk_size(self, asked: int) -> int:
        return asked or self._options.chunk_size()

    def _opened(self) -> Any:
        """Return the pool, seen through the options."""
        return OptionsPool(super()._opened(), self._options)
