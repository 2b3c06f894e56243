"""The pools under comparison, behind one face: hypern on each backend, and the executors that people use today.

The standard ProcessPoolExecutor starts its children by forkserver where there is one, on every version: a fork from
a process that already has threads may hang, and forkserver is the default from 3.14 on. Once a pool is warm, the way
it was started makes no difference.
"""

from __future__ import annotations

import importlib
import importlib.util
import multiprocessing
import sys
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

from measure import Case, Options, Report, time_case

from hypern import BlockingExecutor, _info

Task = tuple[Callable[..., object], tuple[object, ...]]


class Contender(Protocol):
    """A pool as a bench sees it. `chunk` 0 means the pool's own choice, for pools that have one."""

    @property
    def name(self) -> str: ...
    @property
    def chunks_itself(self) -> bool: ...

    def call(self, function: Callable[[], object], /) -> object:
        """One task, there and back."""
        ...

    def batch(self, tasks: Sequence[Task], /) -> object:
        """Many tasks, one by one, and all results."""
        ...

    def map(self, function: Callable[[Any], object], items: Sequence[Any], /, chunk: int) -> list[Any]:
        """One function over many items."""
        ...


@dataclass(frozen=True, slots=True)
class Hypern:
    """A pool of this package."""

    backend: str
    pool: BlockingExecutor
    chunks_itself: bool = True

    @property
    def name(self) -> str:
        return hypern_name(self.backend)

    def call(self, function: Callable[[], object], /) -> object:
        return self.pool.run_sync(function)

    def batch(self, tasks: Sequence[Task], /) -> object:
        return self.pool.run_parallel(tasks)

    def map(self, function: Callable[[Any], object], items: Sequence[Any], /, chunk: int) -> list[Any]:
        return self.pool.map(function, items, chunk_size=chunk)


@dataclass(frozen=True, slots=True)
class Futures:
    """A pool with the face of concurrent.futures and nothing more."""

    name: str
    pool: Executor
    chunks_itself: bool = False

    def call(self, function: Callable[[], object], /) -> object:
        return self.pool.submit(function).result()

    def batch(self, tasks: Sequence[Task], /) -> object:
        futures = [self.pool.submit(function, *arguments) for function, arguments in tasks]
        return [future.result() for future in futures]

    def map(self, function: Callable[[Any], object], items: Sequence[Any], /, chunk: int) -> list[Any]:
        return list(self.pool.map(function, items, chunksize=chunk or 1))


@dataclass(frozen=True, slots=True)
class Joblib:
    """joblib with its default backend, which keeps its processes between calls."""

    joblib: Any
    workers: int
    name: str = "joblib"
    chunks_itself: bool = True

    def call(self, function: Callable[[], object], /) -> object:
        return self.map(lambda _: function(), [None], chunk=1)

    def batch(self, tasks: Sequence[Task], /) -> object:
        delayed = self.joblib.delayed
        return self.joblib.Parallel(n_jobs=self.workers)(delayed(function)(*arguments) for function, arguments in tasks)

    def map(self, function: Callable[[Any], object], items: Sequence[Any], /, chunk: int) -> list[Any]:
        delayed = self.joblib.delayed(function)
        return self.joblib.Parallel(n_jobs=self.workers, batch_size=chunk or "auto")(delayed(item) for item in items)


def hypern_name(backend: str) -> str:
    """The row name of one of our own pools."""
    return f"hypern {backend}"


def parallel_backends(options: Options) -> dict[str, str]:
    """The backends under test where Python code of several tasks runs at once, with their row names."""
    parallel = {backend.name for backend in _info.backends() if backend.parallel} | {"auto"}
    return {backend: hypern_name(backend) for backend in options.backends if backend in parallel}


@contextmanager
def open_pools(options: Options, report: Report) -> Generator[list[Contender]]:
    """Open every pool that can be had here, all at once; the report lists rivals that are not installed as missing."""
    with ExitStack() as stack:
        pools: list[Contender] = [
            Hypern(backend, stack.enter_context(open_hypern(backend, options.workers))) for backend in options.backends
        ]
        pools.append(Futures("ThreadPoolExecutor", stack.enter_context(ThreadPoolExecutor(options.workers))))
        pools.append(Futures("ProcessPoolExecutor", stack.enter_context(open_process_pool(options.workers))))
        if sys.version_info >= (3, 14):
            from concurrent.futures import InterpreterPoolExecutor

            interpreters = stack.enter_context(InterpreterPoolExecutor(options.workers))
            pools.append(Futures("InterpreterPoolExecutor", interpreters))
        if loky := _module("loky", report):
            pools.append(Futures("loky", stack.enter_context(loky.ProcessPoolExecutor(options.workers))))
        if joblib := _module("joblib", report):
            pools.append(Joblib(joblib, options.workers))
        yield pools


def open_hypern(backend: str, workers: int) -> BlockingExecutor:
    """Open one of our own pools."""
    return BlockingExecutor(workers, backend=cast("Any", backend))


def open_process_pool(workers: int) -> ProcessPoolExecutor:
    """A standard process pool, started in the safe way."""
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context(method))


def best_chunk(pool: Contender, function: Callable[[Any], object], items: Sequence[Any], chunks: Sequence[int]) -> int:
    """Find the chunk size that suits a pool best, by the better of two tries each."""
    case = {chunk: Case(pool.name, lambda chunk=chunk: pool.map(function, items, chunk=chunk)) for chunk in chunks}
    return min(chunks, key=lambda chunk: min(time_case(case[chunk]).seconds for _ in range(2)))


def _module(name: str, report: Report) -> Any:
    if importlib.util.find_spec(name) is None:
        report.missing.append(name)
        return None
    return importlib.import_module(name)
