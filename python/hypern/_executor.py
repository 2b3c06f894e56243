"""``BlockingExecutor``: the face of a pool."""

from __future__ import annotations

import operator
import os
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, ParamSpec, TypeVar

from hypern import _guest, _loop, _pool, _progress
from hypern._batch import Flow, drive
from hypern._future import Future
from hypern._in_place import InPlacePool
from hypern._kind import CALLS, EACH, EACH_CAUGHT, STAR, STAR_CAUGHT
from hypern._options import Options
from hypern._route import Route
from hypern._stats import Stats
from hypern._stream import LARGEST, Results, Stream

if TYPE_CHECKING:
    from types import EllipsisType, TracebackType
    from typing import Protocol, Self

    class SupportsWrite(Protocol):
        """What a text file has."""

        def write(self, text: str, /) -> object: ...

    from hypern import _core
    from hypern._async import AsyncResults

P = ParamSpec("P")
T = TypeVar("T")

OnError = Literal["raise", "return"]
Backend = Literal["auto", "threads", "interpreters", "processes"]
#: One call of ``run_parallel``.
Call = tuple[Callable[..., Any], Iterable[Any]] | tuple[Callable[..., Any], Iterable[Any], dict[str, Any] | None]

OnFull = Literal["block", "raise"]
#: The kind of chunk for several iterables.
_STARRED = {EACH: STAR, EACH_CAUGHT: STAR_CAUGHT}

BACKENDS = ("auto", "threads", "interpreters", "processes")
#: Most workers of one pool: far over what a machine has cores for, and under what exhausts it.
MAX_THREADS = 4096
#: Address space for the stack of each worker. CPython up to 3.13 overruns 2 MiB at its default recursion limit.
DEFAULT_STACK = 16 * 1024 * 1024
#: With less, an ordinary recursion inside C code crashes the process.
LEAST_STACK = 256 * 1024


class BlockingExecutor(Executor):
    """A pool of Rust threads that run Python callables.

    ``max_threads`` is the number of workers, 0 for the CPUs that this process may use; ``max_workers`` is another
    spelling of it, which takes no 0, as elsewhere.

    ``queue_size`` is how many accepted tasks may wait to be started, 0 for any number; a chunk of ``map`` counts as
    one. A call that finds the queue full waits, at most ``full_timeout`` seconds (None: as long as it takes), or not at
    all with ``on_full="raise"``; then it raises QueueFull. ``map`` and ``run_parallel`` ask for space so once, before
    their first chunk (``map``: before it takes an item); after that they wait as long as it takes.

    ``backend`` says where tasks run: ``"threads"`` in this interpreter, sharing its memory, in parallel on
    free-threaded builds and taking turns elsewhere; ``"interpreters"`` in one subinterpreter with a GIL of its own for
    each worker, in parallel on CPython 3.13 and newer with a GIL; ``"processes"`` in one child process for each worker,
    in parallel everywhere. The last two pass arguments and results by value. ``"auto"`` decides for each call: it
    leaves to ``"interpreters"``, or to ``"processes"`` before 3.13, where the program cannot tell, and runs on
    ``"threads"`` otherwise, and always where threads are parallel; ``explain`` tells why.

    ``stack_size`` is the address space for the stack of each worker in bytes, 0 for 16 MiB or what
    ``threading.stack_size`` says. Workers are named ``{thread_name_prefix}-{number}``. ``initializer(*initargs)`` is
    called once in each worker, and again in each interpreter that is made anew after a fork; if it raises, the pool is
    broken.

    All methods may be called from any thread. Called from a task of the same executor, ``run_sync`` runs its callable
    in place, and ``map`` and ``run_parallel`` work on their own items, so nested calls never wait for themselves.

    Raises ValueError and TypeError for arguments that make no sense and for a backend that is not offered here, OSError
    where the system refuses threads, and ShutdownError while the interpreter exits.

    >>> with BlockingExecutor(max_threads=2) as executor:
    ...     executor.run_sync(sum, [1, 2, 3])
    6
    """

    def __init__(
        self,
        max_threads: int = 0,
        queue_size: int = 0,
        *,
        backend: Backend = "auto",
        on_full: OnFull = "block",
        full_timeout: float | None = None,
        stack_size: int = 0,
        thread_name_prefix: str = "hypern",
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        max_workers: int | None = None,
    ) -> None:
        if max_workers is not None:
            if max_threads:
                raise TypeError("max_threads and max_workers are two spellings of one argument; give one of them")
            max_threads = checked_count("max_workers", max_workers, MAX_THREADS, least=1)
        if backend not in BACKENDS:
            raise ValueError(f"there is no backend {backend!r}; choose one of {', '.join(map(repr, BACKENDS))}")
        if backend == "interpreters" and (reason := _pool.why_no_interpreters()):
            raise ValueError(f"the backend 'interpreters' is not offered here: {reason}")
        if initializer is not None and not callable(initializer):
            raise TypeError(f"initializer must be callable, not {type(initializer).__name__}")
        if not isinstance(thread_name_prefix, str):
            raise TypeError(f"thread_name_prefix must be a str, not {type(thread_name_prefix).__name__}")
        if "\0" in thread_name_prefix:
            raise ValueError("thread_name_prefix must not hold a null character")
        self._settings = _pool.Settings(
            backend=backend,
            workers=checked_count("max_threads", max_threads, MAX_THREADS) or default_workers(),
            queue_size=checked_count("queue_size", queue_size, sys.maxsize),
            full_timeout=_checked_patience(on_full, full_timeout),
            stack_size=checked_stack_size("stack_size", stack_size),
            thread_name_prefix=thread_name_prefix,
            initializer=initializer,
            initargs=tuple(initargs),
        )
        self._max_workers = self._settings.workers
        #: None in a forked child until it is used.
        self._pool: Any = _pool.open_pool(self._settings)
        _pool.track(self)

    def run_sync(self, callable: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``callable(*args, **kwargs)`` on a worker, wait for it, and return its result.

        Other Python threads run while this one waits; Ctrl-C ends the wait, and the task where it has not started. The
        event loop of this thread does not, except where ``hypern.aio.bridge`` has the coroutine wait in its place.

        Raises an exception that is both what the callable raised and a TaskError; ShutdownError if the executor is
        shut down; WorkerCrashed, TransferError, BrokenPool and QueueFull as their names say.
        """
        pool = self._opened()
        # Looked up here because it is the fastest way to find that nothing of the kind is there.
        if "asyncio" in sys.modules and (await_ := _loop.find_await()) is not None:
            return await_(_pool.call(pool, callable, args, kwargs or None))
        return pool.run(callable, args, kwargs or None)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Hand ``fn(*args, **kwargs)`` to a worker and return its future at once; wait where the queue is full.

        The future holds what the callable raised, as it was raised.

        Raises ShutdownError if the executor is shut down, BrokenPool if it is broken, QueueFull as the executor was
        told.
        """
        future: Future[T] = Future()
        ticket = self._opened().submit(future, fn, args, kwargs or None)
        if ticket is not None:
            future.bind(ticket)
        return future

    async def run_async(self, callable: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``callable(*args, **kwargs)`` on a worker, and await its result in an event loop of asyncio.

        Other coroutines of the loop run while this one waits, also where it waits for space in a full queue. Cancelling
        it takes the task back where it has not started; one that runs goes on, and its result is dropped.

        Raises what ``run_sync`` raises.
        """
        return await _pool.call(self._opened(), callable, args, kwargs or None)

    def run_parallel(self, tasks: Iterable[Call], *, progress: _progress.Option = False) -> list[Any]:
        """Run ``(callable, args)`` and ``(callable, args, kwargs)`` tuples on the workers; return results in order.

        All tasks are run, also when some fail; then an exception that is both what the first failing one raised and a
        TaskError is raised. ``progress`` is that of ``map``.

        Raises TypeError for anything but such tuples before a task has run; ShutdownError, WorkerCrashed,
        TransferError, BrokenPool and QueueFull as ``run_sync`` does.
        """
        calls = list(tasks)
        for index, call in enumerate(calls):
            if type(call) is not tuple or len(call) != 2 or type(call[1]) is not tuple or not callable(call[0]):
                calls[index] = _checked_call(index, call)
        return self._driven(CALLS, None, (calls,), 0, progress, finish=True)

    def map(  # type: ignore[override]
        self,
        callable: Callable[..., T],
        /,
        *iterables: Any,
        chunk_size: int = 0,
        chunksize: int | None = None,
        timeout: float | None = None,
        buffersize: int | None = None,
        progress: _progress.Option = False,
    ) -> list[T]:
        """Return ``[callable(item) for item in iterable]``, computed on the workers; several iterables go in step.

        The iterables are pulled in the calling thread as workers need items. ``chunk_size`` (or ``chunksize``, or an
        int as last positional argument) is the number of items that a worker takes at once; 0 adapts it to their cost.

        ``progress=True`` shows a bar of tqdm, where that is installed; a callable is called in the calling thread,
        chunk by chunk, with the number of items that are done and their total, None where the iterables do not tell.

        After the first failure nothing more is handed out, and an exception that is both what the callable raised and
        a TaskError is raised at once; chunks that run then finish unseen. Raises ShutdownError, WorkerCrashed,
        TransferError, BrokenPool and QueueFull as ``run_sync`` does.

        With ``timeout`` or ``buffersize`` (3.14 and newer), and where ``submit`` was replaced, it goes item by item
        through ``submit``, as ``Executor.map`` does: what a callable raises is raised as it was, and TimeoutError where
        not all is done ``timeout`` seconds after the call.
        """
        if len(iterables) > 1 and type(iterables[-1]) is int:
            *rest, chunk_size = iterables
            iterables = tuple(rest)
        if not iterables:
            raise TypeError("map() needs at least one iterable")
        if chunksize is not None:
            if chunk_size:
                raise TypeError("chunk_size and chunksize are two spellings of one argument; give one of them")
            chunk_size = chunksize
        size = checked_count("chunk_size", chunk_size, sys.maxsize)
        if timeout is not None or buffersize is not None or not self._submits_itself():
            options = {} if buffersize is None else {"buffersize": buffersize}
            return list(super().map(callable, *iterables, timeout=timeout, **options))
        return self._driven(EACH, callable, iterables, size, progress, finish=False)

    def imap(
        self,
        callable: Callable[..., T],
        /,
        *iterables: Any,
        ordered: bool = True,
        chunk_size: int = 0,
        buffer: int = 0,
        on_error: OnError = "raise",
        progress: _progress.Option = False,
    ) -> Results[T]:
        """Give out ``callable(item) for item in iterable``, computed on the workers, while the rest is computed.

        Items are pulled, and calls begin, when the first result is asked for, in the thread that asks; an endless
        iterable will do. ``buffer`` is how many items at most are pulled and not given out; 0 allows four chunks for
        each worker. Results come in order, or as they are done where ``ordered`` is false.

        A call that fails ends the results, after those before it, with an exception that is both what the callable
        raised and a TaskError; with ``on_error="return"`` that exception, or a WorkerCrashed, is given out in its place
        and the results go on. What the iterable itself raises is raised as it is, after the results before it. Closing
        the results (``close``, ``with``, or letting go of them) cancels what has not been started. Until then, or
        their end, they keep the executor that nobody else may keep.

        ``chunk_size`` and ``progress`` are those of ``map``; a ``buffer`` makes chunks smaller, so that each worker has
        one, and a chunk whose size nobody chose holds 256 items at most. Raises ShutdownError and BrokenPool as
        ``run_sync`` does, after the results of what was accepted.

        >>> import itertools
        >>> with BlockingExecutor(max_threads=2) as executor, executor.imap(abs, itertools.count(-3)) as results:
        ...     [next(results) for _ in range(5)]
        [3, 2, 1, 0, 1]
        """
        options = _Options.checked(
            iterables,
            ordered=ordered,
            chunk_size=chunk_size,
            buffer=buffer,
            on_error=on_error,
            progress=progress,
        )
        return Results(self._stream(callable, iterables, options, None), self)

    def map_async(
        self,
        callable: Callable[..., T],
        /,
        *iterables: Any,
        ordered: bool = True,
        chunk_size: int = 0,
        buffer: int = 0,
        on_error: OnError = "raise",
        progress: _progress.Option = False,
    ) -> AsyncResults[T]:
        """Do what ``imap`` does, for ``async for`` in an event loop of asyncio.

        Items are pulled in the thread of the loop. Other coroutines run while a result is awaited, also where that is
        because of a full queue. Cancelling the task that awaits one closes the results.
        """
        from hypern._async import AsyncResults  # Loaded by the first program that uses asyncio.

        options = _Options.checked(
            iterables,
            ordered=ordered,
            chunk_size=chunk_size,
            buffer=buffer,
            on_error=on_error,
            progress=progress,
        )
        return AsyncResults(lambda letterbox: self._stream(callable, iterables, options, letterbox))

    def options(
        self,
        *,
        timeout: float | EllipsisType | None = ...,
        retries: int | EllipsisType = ...,
        retry_on: type[Exception] | tuple[type[Exception], ...] | EllipsisType = ...,
    ) -> BlockingExecutor:
        """Return this executor as one whose calls are made with these options; what is not given stays as it is.

        ``timeout`` is how many seconds a call may run, from its start, not counting the time in the queue; None is no
        limit. When they are over, the caller gets a TaskTimeout, and the task is stopped: ``hypern.StopTask`` is raised
        in its Python code, and again after a second. A task that is still there after another second, because it is in
        a long call of C or catches that, is left behind: a worker process is killed; a thread or an interpreter goes on
        until the task ends, while another worker takes its place, and a program that ends meanwhile ends with exit
        code 1. A call that is run in place, because a task of this executor makes it, raises when it has stopped; in a
        worker of interpreters or processes it has no limit but that of the task.

        ``retries`` is how often a call that raised one of ``retry_on`` (an exception class or a tuple of them), was
        timed out or lost its worker process is made again, at once; what it did before it failed is done again. The
        error of the last attempt is raised. A shutdown that does not cancel futures finishes all attempts of those.

        A call that QueueFull refuses was not made, and is not made again. With ``on_error="return"`` a TaskTimeout
        stands in the place of a result.

        With either, ``map``, ``imap``, ``map_async`` and ``run_parallel`` hand out one item at a time, so that all are
        about single calls; a ``chunk_size`` of more makes them about whole chunks.

        The result shares its workers with this executor: to shut down one is to shut down both.

        Raises TypeError and ValueError for options that make no sense.

        >>> with BlockingExecutor(max_threads=1) as executor:
        ...     executor.options(timeout=10, retries=2).run_sync(sum, [1, 2, 3])
        6
        """
        from hypern._view import View

        return View(self, Options().changed(timeout=timeout, retries=retries, retry_on=retry_on))

    def explain(self, callable: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Route:
        """Return where ``run_sync(callable, *args, **kwargs)`` would run, and why; nothing is run.

        Guards that look at what a call did, and what a call costs, have their say only when it is made: they may bring
        a call back to threads, which ``stats`` tells.
        """
        return _pool.explain(self._opened(), self._settings.backend, callable, (args, kwargs or None))

    def stats(self) -> Stats:
        """Return what became of the tasks of each backend, how long they waited and ran, and which came back why."""
        return Stats({}, {}) if self._pool is None else _pool.stats(self._pool, self._settings.backend)

    def dump_stacks(self, file: SupportsWrite | None = None) -> str | None:
        """Return what each worker runs just now, for how long, and its Python stack; with ``file``, write that to it.

        For a pool that hangs: no task is stopped for it, and it waits for nobody for more than a second, also in a
        signal handler. What runs in C code shows the Python code that called it, in interpreters only where it lets go
        of the interpreter meanwhile, in processes on Linux only. There SIGWINCH has the worker write; a system call
        of C code that does not go on after a signal may fail. A worker that was left behind in a task that did not
        stop is shown as such, beside the one in its place. Threads that help out in nested calls are not shown.
        """
        stacks = "" if self._pool is None else _pool.stacks(self._pool, self._settings)
        text = f"{self!r}\n{stacks or 'no workers'}"
        if file is None:
            return text
        file.write(text)
        return None

    def active_threads(self) -> int:
        """Return the number of workers that live, busy or not."""
        return 0 if self._pool is None else self._pool.live()

    def pool_size(self) -> int:
        """Return the number of workers that the executor was made with."""
        return self._settings.workers

    def pending_tasks(self) -> int:
        """Return the number of tasks accepted and not started; a chunk of ``map`` counts as one."""
        return 0 if self._pool is None else self._pool.pending()

    def is_running(self) -> bool:
        """Tell whether the executor accepts tasks."""
        return self._pool is None or self._pool.is_open()

    def shutdown(  # type: ignore[override]
        self, wait: bool = True, timeout_secs: float | None = 30.0, *, cancel_futures: bool = False
    ) -> None:
        """Accept nothing more, and finish what was accepted.

        With ``wait``, return when all workers have ended, or after ``timeout_secs`` seconds (None: no limit); tasks
        that run then go on. With ``cancel_futures``, tasks that have not started are cancelled. May be called again,
        also from a task or a callback of the executor, where it does not wait.
        """
        if self._pool is None:
            # A forked child that has not used it: nothing to end, and nothing to begin for that.
            self._pool = InPlacePool()
        pool = self._pool
        pool.close(cancel_futures)
        if wait and not pool.is_current():
            pool.wait_ended(timeout_secs)

    def __enter__(self) -> Self:
        """Return the executor itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Shut down and wait until all accepted tasks have finished, however long that takes."""
        self.shutdown(timeout_secs=None)

    def __repr__(self) -> str:
        settings = self._settings
        return (
            f"BlockingExecutor(max_threads={settings.workers}, backend={settings.backend!r}, "
            f"active={self.active_threads()}, pending={self.pending_tasks()}, running={self.is_running()})"
        )

    def __reduce__(self) -> Any:
        """Cross to a guest, where an executor runs calls in place."""
        return _rebuild_in_guest, (self._settings.workers,)

    def __del__(self) -> None:
        """Let the workers end when nobody can give them tasks; accepted ones are finished."""
        # Not through `__dict__`: that makes the dict, which keeps a cycle alive until the next collection.
        pool = getattr(self, "_pool", None)
        if pool is not None:
            pool.close(False)

    def _submits_itself(self) -> bool:
        """Tell whether ``submit`` is ours: tqdm, for one, counts items by one of its own."""
        return getattr(self.submit, "__func__", None) is BlockingExecutor.submit

    def _driven(
        self,
        kind: int,
        function: Any,
        iterables: tuple[Any, ...],
        chunk_size: int,
        progress: _progress.Option,
        *,
        finish: bool,
    ) -> list[Any]:
        """Run all chunks of a call and wait for them; arguments are those of ``_flow`` and ``drive``."""
        wait = letterbox = None
        if "asyncio" in sys.modules and (await_ := _loop.find_await()) is not None:
            from hypern._async import ChunkWaiter, desk

            letterbox = desk().letterbox
            wait = ChunkWaiter(await_, self._settings).wait
        return drive(
            lambda: self._flow(kind, function, iterables, chunk_size, progress, letterbox=letterbox),
            finish=finish,
            wait=wait,
        )

    def _flow(
        self,
        kind: int,
        function: Any,
        iterables: tuple[Any, ...],
        chunk_size: int,
        progress: _progress.Option,
        *,
        ordered: bool = True,
        letterbox: _core.Letterbox | None = None,
        largest: int | None = None,
    ) -> Flow:
        """Begin the chunks of one call over iterables that go in step; ``kind`` is that for one of them."""
        if len(iterables) == 1:
            items = iterables[0]
        else:
            kind, items = _STARRED[kind], zip(*iterables, strict=False)
        batch = _pool.batch(self._opened(), kind, function, ordered=ordered, letterbox=letterbox)
        flow = Flow(batch, items, self._chunk_size(chunk_size), largest, self._settings.chunk_seconds)
        flow.progress = _progress.begin(progress, iterables)
        return flow

    def _chunk_size(self, asked: int) -> int:
        """Return how many items a chunk holds where a call asks for ``asked``; 0 adapts it."""
        return asked

    def _stream(
        self, function: Any, iterables: tuple[Any, ...], options: _Options, letterbox: _core.Letterbox | None
    ) -> Stream:
        flow = self._flow(
            EACH_CAUGHT,
            function,
            iterables,
            options.chunk_size,
            options.progress,
            ordered=options.ordered,
            letterbox=letterbox,
            largest=LARGEST,
        )
        return Stream(flow, ordered=options.ordered, buffer=options.buffer, catches=options.catches)

    def _opened(self) -> Any:
        """Return the pool; in a forked child that has not used it yet, open a new one."""
        pool = self._pool
        return pool if pool is not None else _pool.reopen(self)

    def _reopen_later(self) -> None:
        """In a forked child: part from a pool whose workers do not exist here."""
        if self._pool is not None and self._pool.is_open():
            self._pool = None


class _Options(NamedTuple):
    """What ``imap`` and ``map_async`` were asked for."""

    ordered: bool
    chunk_size: int
    buffer: int
    catches: bool
    progress: _progress.Option

    @classmethod
    def checked(
        cls,
        iterables: tuple[Any, ...],
        *,
        ordered: bool,
        chunk_size: int,
        buffer: int,
        on_error: str,
        progress: _progress.Option,
    ) -> _Options:
        if not iterables:
            raise TypeError("imap() and map_async() need at least one iterable")
        if on_error not in ("raise", "return"):
            raise ValueError(f"on_error must be 'raise' or 'return', not {on_error!r}")
        return cls(
            ordered,
            checked_count("chunk_size", chunk_size, sys.maxsize),
            checked_count("buffer", buffer, sys.maxsize),
            on_error == "return",
            _progress.checked(progress),
        )


def default_workers() -> int:
    """Return the number of CPUs that this process may use: affinity, cgroup quota, PYTHON_CPU_COUNT; at least 1."""
    if _guest.is_guest():
        return 1
    from hypern import _core

    told: int | None = getattr(os, "process_cpu_count", os.cpu_count)()
    return max(1, min(_core.cpu_limit(), told or 1))


def _rebuild_in_guest(workers: int) -> BlockingExecutor:
    if not _guest.is_guest():
        raise TypeError("a BlockingExecutor can be sent to a worker only, where it runs calls in place")
    return BlockingExecutor(max_threads=workers)


def checked_count(name: str, value: Any, most: int, *, least: int = 0) -> int:
    """Return ``value`` as a number from ``least`` to ``most``; raise TypeError or ValueError, which names it, else."""
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not bool")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, not {type(value).__name__}") from None
    if number < least:
        bound = f"greater than {least - 1}" if least else "0 (choose for me) or more"
        raise ValueError(f"{name} must be {bound}, not {number}")
    if number > most:
        raise ValueError(f"{name} must be at most {most}, not {number}")
    return number


def checked_stack_size(name: str, value: Any) -> int:
    """Return ``value`` as a stack size in bytes, completed where it is 0."""
    size = checked_count(name, value, sys.maxsize // 2)
    if size == 0:
        return threading.stack_size() or DEFAULT_STACK
    if size < LEAST_STACK:
        raise ValueError(f"{name} must be 0 or at least {LEAST_STACK} bytes, not {size}")
    return size


def _checked_patience(on_full: Any, timeout: Any) -> float | None:
    """Return how many seconds a call waits while the queue is full, None for as long as it takes."""
    if on_full not in ("block", "raise"):
        raise ValueError(f"on_full must be 'block' or 'raise', not {on_full!r}")
    if timeout is None:
        return 0.0 if on_full == "raise" else None
    if on_full == "raise":
        raise TypeError("on_full='raise' waits for nothing; give full_timeout with on_full='block'")
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"full_timeout must be a number of seconds or None, not {type(timeout).__name__}")
    if not timeout >= 0:
        raise ValueError(f"full_timeout must be at least 0 seconds, not {timeout}")
    return float(timeout)


def _checked_call(index: int, call: Any) -> tuple[Any, ...]:
    form = "must be (callable, args) or (callable, args, kwargs)"
    if not isinstance(call, (tuple, list)) or len(call) not in (2, 3):
        raise TypeError(f"task {index} {form}, not {call!r:.100}")
    function, args, *rest = call
    kwargs = rest[0] if rest else None
    if not callable(function):
        raise TypeError(f"task {index} {form}; its first element is a {type(function).__name__}")
    if isinstance(args, (str, bytes)) or not isinstance(args, Iterable):
        raise TypeError(f"task {index} {form}; its args are a {type(args).__name__}, not a tuple")
    if kwargs is not None and not isinstance(kwargs, dict):
        raise TypeError(f"task {index} {form}; its kwargs are a {type(kwargs).__name__}, not a dict")
    return (function, tuple(args), kwargs) if kwargs else (function, tuple(args))
