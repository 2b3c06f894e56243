"""A backend of joblib: importing this makes ``backend="hypern"`` known to ``Parallel`` and ``parallel_config``.

Needs the extra ``hypern[joblib]``. Calls run on threads that share memory where those are parallel (free-threaded
Python), and in worker processes elsewhere.

>>> from joblib import Parallel, delayed
>>> import hypern.joblib
>>> Parallel(n_jobs=2, backend="hypern")(delayed(abs)(number) for number in (-1, -2))
[1, 2]
"""

from __future__ import annotations

from hypern import _extras

_extras.check("joblib", "joblib")

import contextlib  # noqa: E402 - not before it is known that joblib is there.
import functools  # noqa: E402
import logging  # noqa: E402
import multiprocessing  # noqa: E402
import os  # noqa: E402
import queue  # noqa: E402
import threading  # noqa: E402
import traceback  # noqa: E402
import weakref  # noqa: E402
from concurrent.futures import Future  # noqa: E402
from typing import TYPE_CHECKING, Any, NamedTuple  # noqa: E402

import joblib  # noqa: E402
from joblib import parallel as _parallel  # noqa: E402
from joblib._memmapping_reducer import TemporaryResourcesManager, get_memmapping_reducers  # noqa: E402
from joblib.parallel import (  # noqa: E402
    AutoBatchingMixin,
    FallbackToBackend,
    ParallelBackendBase,
    SequentialBackend,
)

from hypern import _by_value, _gil, _guest, _joblib_guest, _joblib_wire  # noqa: E402
from hypern._executor import BlockingExecutor  # noqa: E402
from hypern._raised import WORDS, user_part  # noqa: E402
from hypern._wire import describe  # noqa: E402
from hypern.errors import TransferError  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypern._joblib_wire import Reducers

__all__ = ("HypernBackend",)

#: What ``Parallel`` hands to every backend and this one has no use for.
_NOT_FOR_US = frozenset(("prefer", "require", "verbose", "context"))
_NAME = "hypern"


class HypernBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """Runs the batches of ``joblib.Parallel`` on a ``BlockingExecutor``, which is kept for the next ``Parallel``.

    ``initializer`` is called with ``initargs`` in each worker when that starts; ``inner_max_num_threads`` limits the
    threads that libraries for linear algebra and OpenMP start in each worker process, which is
    ``cpu_count() // n_jobs`` otherwise, as with loky. Either is given to ``parallel_config``, the first two to
    ``Parallel`` as well. Raises TypeError for any other option.
    """

    supports_retrieve_callback = True
    #: In seconds, of joblib's batches: a quarter of what it takes for its own, whose workers wait longer for the next
    #: one. At the end of a call, less is left to one worker while the others have nothing.
    MIN_IDEAL_BATCH_DURATION = 0.05

    def __init__(
        self, nesting_level: int | None = None, inner_max_num_threads: int | None = None, **backend_kwargs: Any
    ) -> None:
        _Options.checked(backend_kwargs)
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads, **backend_kwargs)
        self.parallel: Any = None
        #: None but between ``configure`` and ``terminate``.
        self._call: _Call | None = None
        #: The ``Parallel`` that it works for between these. Taken under the lock, let go of by whoever has taken it.
        self._owner: Any = None
        #: How ``configure`` found it.
        self._shares_memory = False

    @property
    def uses_threads(self) -> bool:
        """Tell whether calls run on threads, which they do where those are parallel."""
        return not _gil.is_enabled()

    @property
    def supports_sharedmem(self) -> bool:
        """Tell whether calls see the caller's objects."""
        return self.uses_threads

    @property
    def supports_inner_max_num_threads(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Tell whether threads of libraries can be limited for each worker."""
        return not self.uses_threads

    def effective_n_jobs(self, n_jobs: int | None) -> int:  # type: ignore[override]
        """Return how many workers ``n_jobs`` asks for, as joblib documents it; 1 in a worker process.

        Raises ValueError for 0.
        """
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None or _parallel.mp is None or _guest.is_guest():
            return 1
        return n_jobs if n_jobs > 0 else max(joblib.cpu_count() + 1 + n_jobs, 1)

    def configure(  # type: ignore[override]
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        **backend_kwargs: Any,
    ) -> int:
        """Find or make the workers of one ``Parallel``, and return how many there are."""
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        with _lock:
            is_free = self._owner is None or self._owner is parallel
            if is_free:
                self._owner = parallel
        if not is_free:
            # Of a generator that is not emptied, below one parallel_config, or of another thread.
            raise FallbackToBackend(
                type(self)(
                    nesting_level=self.nesting_level,
                    inner_max_num_threads=self.inner_max_num_threads,
                    **self.backend_kwargs,
                )
            )
        try:
            options = _Options.checked({**self.backend_kwargs, **backend_kwargs})
            initializer = options.initializer, options.initargs
            self._shares_memory = self.uses_threads
            if self._shares_memory:
                kind = _Kind("threads", n_jobs, (), *initializer)
                self._call = _Call(kind, None)
            else:
                environment = tuple(self._prepare_worker_env(n_jobs=n_jobs).items())
                kind = _Kind("processes", n_jobs, environment, *initializer)
                self._call = _Call(kind, _Arrays(options))
        except BaseException:
            self._owner = None
            raise
        self.parallel = parallel
        return n_jobs

    def start_call(self) -> None:
        """Begin one call of a ``Parallel``."""
        if self._call is not None:
            self._call.aborting = False
        # Joblib leaves there what it had not handed out of a call that failed, and would hand it out now.
        ready = self.parallel._ready_batches
        with contextlib.suppress(queue.Empty):
            while True:
                ready.get_nowait()

    def submit(self, func: Any, callback: Callable[[Any], object] | None = None) -> Any:
        """Hand a batch to a worker and return its future; never raises, since workers call it too."""
        call = self._call
        if call is None:
            # Joblib was about to hand it out when its Parallel ended.
            late: Future[Any] = Future()
            late.set_exception(RuntimeError("a batch was submitted before configure() or after terminate()"))
            return late
        return call.submit(func, callback)

    def retrieve_result_callback(self, out: Any) -> Any:
        """Return the results of the batch that ``out`` is the future of; raise what one of its calls raised."""
        error = out.exception()
        if error is not None:
            _tell_where(error)
            raise error
        result = out.result()
        if self._shares_memory:
            return result
        try:
            return _joblib_wire.loads(*result)
        except Exception as error:
            raise TransferError(f"a result cannot be rebuilt in this process: {describe(error)}") from error

    def abort_everything(self, ensure_ready: bool = True) -> None:  # noqa: ARG002 - they always are.
        """Stop the batches of this ``Parallel``, running or not. The workers stay; so do batches of others."""
        if self._call is not None:
            self._call.abort()

    def terminate(self) -> None:
        """Let go of the workers, which are kept for the next ``Parallel``, and remove temporary files."""
        call, self._call = self._call, None
        if call is not None:
            call.end()
        self.reset_batch_stats()
        self._owner = None


class _Options(NamedTuple):
    """What can be asked for besides the number of workers."""

    initializer: Callable[..., object] | None = None
    initargs: tuple[Any, ...] = ()
    temp_folder: str | None = None
    max_nbytes: int | None = 1_000_000
    mmap_mode: str | None = "r"

    @classmethod
    def checked(cls, asked: dict[str, Any]) -> _Options:
        options = {name: value for name, value in asked.items() if name not in _NOT_FOR_US}
        if unknown := sorted(options.keys() - set(cls._fields)):
            raise TypeError(f"the joblib backend 'hypern' has no option {unknown[0]!r}; it has initializer, initargs")
        made = cls(**options)
        if made.initializer is not None and not callable(made.initializer):
            raise TypeError(f"initializer must be callable, not {type(made.initializer).__name__}")
        return made._replace(initargs=tuple(made.initargs))


class _Call:
    """The batches of one ``Parallel`` that have been handed out."""

    def __init__(self, kind: _Kind, arrays: _Arrays | None) -> None:
        self._kind = kind
        #: None when the call is over: workers that others have taken the place of end then, whoever knows the call.
        self._executor: BlockingExecutor | None = _workers(kind)
        #: Held while a batch is made bytes of, so that no file is made of an array when files have been removed.
        self._pickling = threading.RLock()
        #: How large arrays cross to worker processes; None where batches run on threads.
        self.arrays = arrays
        #: Written by the thread that calls the ``Parallel``.
        self.aborting = False
        #: Written by threads that hand out and by those that end a batch, one entry at a time.
        self._pending: set[Any] = set()
        #: Batches that ended, each with whom to tell. Joblib takes results and hands out more then, in a thread of
        #: this call, while the worker is at its next batch. Not one for all calls: what is handed out may come from a
        #: generator that waits for another call.
        self._done: queue.SimpleQueue[tuple[Callable[[Any], object], Any] | None] = queue.SimpleQueue()
        threading.Thread(target=_call_back, args=(self._done,), name="hypern-joblib-callbacks", daemon=True).start()
        self._end_callbacks = weakref.finalize(self, self._done.put, None)

    def submit(self, batch: Any, callback: Callable[[Any], object] | None) -> Any:
        try:
            future: Any = self._submitted(batch)
        except Exception as error:
            # The callback of a batch that ended hands out the next one: nobody is there to be told but by a future.
            future = Future()
            future.set_exception(error)
        else:
            self._pending.add(future)
            future.add_done_callback(self._pending.discard)
            if self.aborting:  # Since then, perhaps; ``abort`` may not have seen this one.
                future.interrupt()
        if callback is not None:
            future.add_done_callback(functools.partial(self._call_back, callback))
        return future

    def _call_back(self, callback: Callable[[Any], object], future: Any) -> None:
        self._done.put((callback, future))

    def _submitted(self, batch: Any) -> Any:
        with self._pickling:
            executor = self._executor
            if executor is None:
                raise RuntimeError("the Parallel that this batch belongs to has ended")
            if self.arrays is None:
                return executor.submit(batch)
            reducers = self.arrays.reducers
            try:
                payload, buffers = _joblib_wire.dumps(batch, reducers)
            except Exception as error:
                raise _transfer_error(batch, reducers, error) from error
        return executor.submit(_joblib_guest.run, payload, buffers)

    def end(self) -> None:
        with self._pickling:
            executor, self._executor = self._executor, None
            if self.arrays is not None:
                self.arrays.clear()
        if executor is not None:
            _give_back(self._kind, executor)
        self._end_callbacks()

    def abort(self) -> None:
        self.aborting = True
        for future in list(self._pending):
            future.interrupt()


def _call_back(done: queue.SimpleQueue[tuple[Callable[[Any], object], Any] | None]) -> None:
    while (told := done.get()) is not None:
        callback, future = told
        try:
            callback(future)
        except BaseException:
            # As futures do where what they tell raises.
            logging.getLogger("concurrent.futures").exception("exception calling callback for %r", future)
        del told, callback, future


def _tell_where(error: BaseException) -> None:
    """Add the traceback of a call in words, once, because joblib takes it from what is raised."""
    if any(isinstance(note, str) and note.startswith(WORDS) for note in getattr(error, "__notes__", ())):
        return
    text = "".join(traceback.format_exception(type(error), error, user_part(error.__traceback__)))
    with contextlib.suppress(Exception):  # A class of the program that takes no attributes.
        error.add_note(f"{WORDS}\n{text}")


def _transfer_error(batch: Any, reducers: Reducers, error: Exception) -> TransferError:
    """Make the error for a batch that cannot cross; it names the function of the first call that cannot."""
    for function, args, kwargs in batch.items:
        try:
            _joblib_wire.dumps((function, args, kwargs), reducers)
        except Exception as cause:
            error = cause
            name = getattr(function, "__qualname__", type(function).__qualname__)
            what = f"a call of {name!r}"
            break
    else:
        what = "a batch"
    return TransferError(
        f"{what} cannot be sent to a worker: {describe(error)}; "
        "pass what it is made of instead, or use backend='threading', which shares memory"
    )


class _Arrays:
    """Files in memory that hold the large arrays of one ``Parallel``, each once, for workers to map."""

    def __init__(self, options: _Options) -> None:
        self._temp_folder = options.temp_folder
        #: Not before there is something for it: it starts a process, which removes files that are left behind.
        self._manager: Any = None
        make: Any = get_memmapping_reducers
        most = None if options.mmap_mode is None else options.max_nbytes
        reducers, _ = make(
            temp_folder_resolver=self._folder,
            max_nbytes=most,
            mmap_mode=options.mmap_mode,
            # A worker need not say that it is done with one: a file can be removed while it is mapped.
            unlink_on_gc_collect=False,
        )
        self.reducers = {kind: _joblib_wire.for_large(reduce, most) for kind, reduce in reducers.items()}

    def _folder(self) -> str:
        if self._manager is None:
            self._manager = TemporaryResourcesManager(self._temp_folder)
        return self._manager.resolve_temp_folder_name()

    def clear(self) -> None:
        if self._manager is not None:
            self._manager._clean_temporary_resources(force=True)
            self._manager = None


class _Kind(NamedTuple):
    """What workers were made for."""

    backend: Any
    n_jobs: int
    environment: tuple[tuple[str, str], ...]
    initializer: Callable[..., object] | None
    initargs: tuple[Any, ...]

    def made(self) -> BlockingExecutor:
        initializer, initargs = self.initializer, self.initargs
        if self.backend == "processes":
            told = None if initializer is None else _by_value.dumps((initializer, initargs))
            key = bytes(multiprocessing.current_process().authkey)
            initializer, initargs = _joblib_guest.begin, (dict(self.environment), key, told)
        return BlockingExecutor(
            self.n_jobs,
            backend=self.backend,
            thread_name_prefix="hypern-joblib",
            initializer=initializer,
            initargs=initargs,
        )

    def is_like(self, other: _Kind) -> bool:
        try:
            return bool(self == other)
        except Exception:  # An array among the arguments of the initializer.
            return False


#: The workers that the next ``Parallel`` finds: processes, and threads that no call is at. Changed under the lock.
_kept: dict[str, tuple[_Kind, BlockingExecutor]] = {}
_lock = threading.Lock()


def _workers(kind: _Kind) -> BlockingExecutor:
    """Return the executor that is kept, or one in its place, which ends when no call holds it any more.

    Threads are for one call at a time: a call inside of a task would wait for workers that wait for it. Worker
    processes make no calls of that kind.
    """
    with _lock:
        kept = _kept.pop(kind.backend, None)
        usable = kept is not None and kept[0].is_like(kind) and kept[1].is_running()
        executor = kept[1] if kept is not None and usable else kind.made()
        if kind.backend == "processes":
            _kept[kind.backend] = kind, executor
        return executor


def _give_back(kind: _Kind, executor: BlockingExecutor) -> None:
    """Keep the executor of a call that is over, unless another one is kept."""
    with _lock:
        _kept.setdefault(kind.backend, (kind, executor))


def _start_afresh() -> None:
    """In a forked child: the lock may be held by a thread that does not exist here."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_start_afresh)
joblib.register_parallel_backend(_NAME, HypernBackend)
