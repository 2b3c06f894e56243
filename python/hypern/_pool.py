"""Opens pools of the native core, and sees them through fork and interpreter exit."""

from __future__ import annotations

import atexit
import functools
import logging
import os
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from hypern import _child, _gil, _guest, _route, _shipping, _wire, errors
from hypern._batch import TARGET
from hypern._chunk import run_chunk
from hypern._in_place import InPlacePool
from hypern._route import Route
from hypern._stats import Stats, of_backend
from hypern._stop import StopTask, nothing

if TYPE_CHECKING:
    from hypern import _auto, _core
    from hypern._batch import Batch
    from hypern._cluster import ClusterPool
    from hypern._executor import BlockingExecutor

    Pool = _core.Pool | _auto.AutoPool | InPlacePool | ClusterPool

#: How long tasks that were asked to give up may take before the process ends without them, in seconds.
GRACE = 2.0

#: The backend of executors whose pool is a Dask cluster.
CLUSTER = "cluster"

#: What the names of workers elsewhere have behind the prefix, under ``backend="auto"``.
AWAY = "-away"

#: How long a fork waits for running tasks before that is said, in seconds.
PATIENCE = 5.0

#: CPython 3.13 leaks 2 to 4 MiB with each interpreter that ends. So many are made without being asked for; executors
#: that come later have processes instead.
MOST_LEAKS = 8
_LEAK = (3, 13) <= sys.version_info < (3, 14)
#: Interpreters that were made without being asked for. Written by whoever opens a pool; one too few does no harm.
_made_elsewhere = 0

_log = logging.getLogger("hypern")


class Settings(NamedTuple):
    """What an executor was asked for, checked and completed."""

    backend: str
    workers: int
    queue_size: int
    #: Seconds that a call waits while the queue is full; None: as long as it takes.
    full_timeout: float | None
    stack_size: int
    thread_name_prefix: str
    initializer: Callable[..., object] | None
    initargs: tuple[Any, ...]
    #: Work that a chunk should hold whose size nobody chose, in seconds.
    chunk_seconds: float = TARGET


def _decode_error(payload: Any, buffers: list[Any]) -> BaseException:
    from hypern._raised import decode_error  # Loaded by the first failure.

    return decode_error(payload, buffers)


class Face(NamedTuple):
    """The callables that the core asks of this side; see ``crates/python/src/face.rs``."""

    enter: Callable[[int], None]
    leave: Callable[[], None]
    failed: Callable[[BaseException], None]
    task_error: Callable[[BaseException], BaseException] = errors.as_task_error
    refused: Callable[[str | None], Exception] = errors.refused
    full: Callable[[int, float, Any], Exception] = errors.full
    crashed: Callable[[int, int | None, str], Exception] = errors.crashed
    stopped: Callable[[float | None], Exception] = errors.stopped
    stop: type[BaseException] = StopTask
    nothing: Callable[[], None] = nothing
    run_chunk: Callable[[int, Any, Any], Any] = run_chunk
    ship: Callable[[Any], Any] = _shipping.ship
    encode: Callable[[int, Any, Any, bool], Any] = _shipping.encode
    decode: Callable[[Any, list[Any]], Any] = _shipping.decode
    decode_error: Callable[[Any, list[Any]], BaseException] = _decode_error
    stayed: Callable[[Any, tuple[Any, ...], float], None] | None = None


def open_pool(settings: Settings) -> Pool:
    """Start the workers; in a guest, a pool that has none.

    Raises ShutdownError while the interpreter exits, OSError where the system refuses threads.
    """
    if _guest.is_guest():
        return InPlacePool()
    if settings.backend == CLUSTER:
        raise RuntimeError("the connection to a Dask cluster does not outlive a fork: make a new ClusterExecutor here")
    _lifetime.begin()
    if settings.backend == "auto" and (away := _route.away_backend()) is not None:
        return _open_auto(settings, away)
    backend = "threads" if settings.backend == "auto" else settings.backend
    return _open_core(settings, backend, Face(_make_enter(settings), _leave, _log_failure))


def check_alive() -> None:
    """Raise ShutdownError while the interpreter exits."""
    _lifetime.begin()


def keep(pool: ClusterPool) -> None:
    """Finish what a pool of a cluster has accepted when the interpreter exits; refuse it where that is going on."""
    _lifetime.add(pool)


def _open_auto(settings: Settings, away: str) -> _auto.AutoPool:
    from hypern import _auto, _core, _crossing, _hint, _verdict  # Loaded by the first executor that needs them.

    if away == "interpreters" and (why_no_interpreters() or (_LEAK and _made_elsewhere >= MOST_LEAKS)):
        away = "processes"
        _verdict.expect_processes()
    # Now and not by the first call that leaves: a fork beside it would leave locks of imports in the child.
    _LAUNCH[away]()
    if away == "interpreters":
        _prepare_for_interpreters()
    hint = _hint.Hint()
    face = Face(
        _make_enter(settings),
        _leave,
        _log_failure,
        stayed=hint.stayed if min(settings.workers, _core.cpu_limit()) > 1 else None,
        task_error=_crossing.task_error,
        ship=_crossing.ship,
        encode=_crossing.encode,
        decode=_crossing.decode,
        decode_error=_crossing.decode_error,
    )
    elsewhere = settings._replace(thread_name_prefix=settings.thread_name_prefix + AWAY)
    shared = _open_core(settings, "threads", face)
    # What an initializer does to this interpreter is not done elsewhere.
    refused = "the executor has an initializer" if settings.initializer is not None else None

    def open_away() -> _core.Pool:
        global _made_elsewhere
        _made_elsewhere += elsewhere.workers
        return _open_core(elsewhere, away, face, beside=shared)

    pool = _auto.AutoPool(shared, away, open_away, refused)
    hint.pool = weakref.ref(pool)
    return pool


def _open_core(settings: Settings, backend: str, face: Face, beside: _core.Pool | None = None) -> _core.Pool:
    """Start workers; ``beside`` the shared ones of the same executor, where nobody must notice that calls left."""
    from hypern import _core

    if backend == "threads":
        _gil.warn_if_turned_on()
    elif backend == "interpreters":
        _prepare_for_interpreters()
    if backend != "threads":
        _wire.use_plain(_core.plain)
    pool = _core.Pool(
        backend=backend,
        workers=settings.workers,
        queue_size=settings.queue_size,
        full_timeout=settings.full_timeout,
        stack_size=settings.stack_size,
        thread_name_prefix=settings.thread_name_prefix,
        face=face,
        launch=_LAUNCH[backend](),
        setup=_setup(settings, backend, beside is not None) if backend != "threads" else b"",
        beside=beside,
    )
    _lifetime.add(pool)
    return pool


def explain(pool: Pool, backend: str, function: Any, call: tuple[tuple[Any, ...], dict[str, Any] | None]) -> Route:
    """Return where a pool runs a call, and why; ``backend`` is what its executor was asked for."""
    deciding = _deciding(pool)
    if deciding is not None:
        return deciding.explain(function, call)
    if backend == "auto":
        return Route("threads", "threads run in parallel on this free-threaded Python")
    return Route(backend, f"the executor was made with backend={backend!r}")


def stats(pool: Pool, backend: str) -> Stats:
    """Return what a pool has done so far."""
    deciding = _deciding(pool)
    if deciding is not None:
        return deciding.stats()
    return Stats({"threads" if backend == "auto" else backend: of_backend(cast("_core.Pool", pool))}, {})


def stacks(pool: Pool, settings: Settings) -> str:
    """Return what the workers of a pool do just now; ``settings`` are those of its executor."""
    from hypern import _stacks  # Loaded by the first look.

    deciding = _deciding(pool)
    prefix = settings.thread_name_prefix
    if deciding is None:
        backend = "threads" if settings.backend == "auto" else settings.backend
        parts = [(prefix, backend, cast("_core.Pool", pool))]
    elif isinstance(deciding, InPlacePool):
        parts = []
    elif settings.backend == CLUSTER:
        return cast("ClusterPool", deciding).stacks()
    else:
        named = (prefix, "threads"), (prefix + AWAY, deciding.backend)
        parts = [(*name, part) for name, part in zip(named, deciding.pools(), strict=False)]
    return "".join(f"{line}\n" for part in parts for line in _stacks.tell(*part))


def batch(
    pool: Pool, kind: int, function: Any, *, ordered: bool, letterbox: _core.Letterbox | None, **options: Any
) -> Batch:
    """Begin the chunks of one call; with a letterbox, for the event loop that it belongs to.

    Options are ``stops``, false where a chunk that failed does not keep others from starting, and ``timeout``, the
    seconds that each chunk may run.
    """
    deciding = _deciding(pool)
    if deciding is not None:
        return deciding.batch(kind, function, ordered, letterbox, **options)
    return cast("_core.Pool", pool).batch(kind, function, letterbox=letterbox, **options)


def call(
    pool: Pool, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None, **options: Any
) -> Coroutine[Any, Any, Any]:
    """Make one call for the running event loop, when what is returned is awaited; the only option is a ``leash``."""
    deciding = _deciding(pool)
    if deciding is not None:
        return deciding.call(function, args, kwargs, **options)
    from hypern._async import desk  # Only programs that use asyncio come here.

    return desk().call(cast("_core.Pool", pool), function, args, kwargs, **options)


def _deciding(pool: Pool) -> _auto.AutoPool | InPlacePool | None:
    """Return the pool if it decides for each call, None where it is one of the core, with one backend."""
    # Not by its class: a worker's interpreter cannot load the core.
    return cast("_auto.AutoPool | InPlacePool", pool) if getattr(pool, "decides", False) else None


def _make_enter(settings: Settings) -> Callable[[int], None]:
    def enter(index: int) -> None:
        threading.current_thread().name = f"{settings.thread_name_prefix}-{index}"
        if settings.initializer is not None:
            settings.initializer(*settings.initargs)

    return enter


def _leave() -> None:
    """Forget the entry that ``threading`` made for this worker; before 3.13 it would stay for ever."""
    active: dict[int, threading.Thread] = getattr(threading, "_active", {})
    active.pop(threading.get_ident(), None)


def _log_failure(error: BaseException) -> None:
    # Where the standard library's pools log the same.
    logging.getLogger("concurrent.futures").critical(
        "hypern: a worker cannot work and its pool is broken", exc_info=error
    )


def why_no_interpreters() -> str | None:
    """Return why this Python has no backend ``interpreters`` and what to use instead; None where it has."""
    if sys.version_info < (3, 13):
        return "it needs CPython 3.13 or newer; use backend='processes'"
    if _gil.is_free_threaded_build():
        return "this Python is free-threaded; use backend='threads', which is parallel here and shares memory"
    import _tracemalloc

    if sys.version_info < (3, 15) and _tracemalloc.is_tracing():
        return "tracemalloc is on, which CPython 3.13 and 3.14 do not survive there; stop it or use backend='processes'"
    return None


def _prepare_for_interpreters() -> None:
    """Import what must be in the main interpreter first: 3.13 crashes at the end of others that have it alone."""
    import _datetime  # noqa: F401  # pyright: ignore[reportMissingImports, reportUnusedImport]


def _package_folder() -> str:
    return str(Path(__file__).resolve().parent.parent)


def _command() -> list[str]:
    """Return how a worker process is started: this interpreter with its flags."""
    if not sys.executable:
        raise RuntimeError("sys.executable is empty, so no worker process can be started; use backend='threads'")
    import subprocess

    # The flags that reproduce this interpreter's settings; multiprocessing uses the same function.
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return [sys.executable, *flags, "-c", _child.BOOTSTRAP, _package_folder()]


#: What starts a guest; see ``crates/python/src/pool.rs``.
_LAUNCH: dict[str, Callable[[], list[str]]] = {
    "threads": list,
    "interpreters": lambda: [_package_folder()],
    "processes": _command,
}


def _setup(settings: Settings, backend: str, unnoticed: bool) -> bytes:
    initializer = None
    if settings.initializer is not None:
        from hypern import _by_value

        try:
            initializer = _by_value.dumps((settings.initializer, settings.initargs))
        except Exception as error:
            raise errors.TransferError(
                f"the initializer or its arguments cannot be sent to a worker: {_wire.describe(error)}"
            ) from error
    path = [entry for entry in sys.path if isinstance(entry, str)]
    filters: Sequence[Any] = warnings.filters
    argv = [str(argument) for argument in getattr(sys, "argv", [])]
    setup = {
        "path": path,
        "argv": argv,
        "recursion_limit": sys.getrecursionlimit(),
        "int_max_str_digits": sys.get_int_max_str_digits(),
        # Those for built-in warnings, which a guest knows too.
        "warning_filters": [
            (action, message, category.__name__, module, line)
            for action, message, category, module, line in filters
            if category.__module__ == "builtins"
        ],
        "initializer": initializer,
        "unnoticed": unnoticed,
    }
    if backend == "processes":
        setup["stack_size"] = settings.stack_size
    payload, _ = _wire.dumps(setup)
    return payload


class _Lifetime:
    """The pools and executors of this process, for fork and exit."""

    def __init__(self) -> None:
        #: Held around every change of what is below; made anew in a forked child.
        self.lock = threading.RLock()
        self._pools: set[_core.Pool | ClusterPool] = set()
        self._begun = False
        self._ended = False
        self.executors: weakref.WeakSet[BlockingExecutor] = weakref.WeakSet()

    def begin(self) -> None:
        """Register with the interpreter, once."""
        with self.lock:
            if self._ended:
                raise errors.ShutdownError("the interpreter is shutting down: hypern is shut down and makes no pools")
            if self._begun:
                return
            # First, so that what it registers comes last, at exit and before a fork: pools of the standard library are
            # there while ours wait for tasks, which may need them, and before a fork it takes a lock.
            import concurrent.futures.thread  # noqa: F401  # pyright: ignore[reportUnusedImport]

            # Before the interpreter joins its own threads, as concurrent.futures does it: tasks still find it whole.
            register = getattr(threading, "_register_atexit", atexit.register)
            try:
                register(self._end)
            except RuntimeError as error:
                raise errors.ShutdownError("the interpreter is shut down; no pool can be made any more") from error
            if hasattr(os, "register_at_fork"):
                from hypern import _core

                os.register_at_fork(
                    before=functools.partial(_core.before_fork, PATIENCE, _say_that_a_fork_waits),
                    after_in_parent=_core.after_fork_in_parent,
                    after_in_child=self._start_afresh,
                )
            self._begun = True

    def add(self, pool: _core.Pool | ClusterPool) -> None:
        """Keep a pool in sight until its workers have ended; refuse it where the interpreter exits by now."""
        with self.lock:
            self._pools = {other for other in self._pools if other.is_open() or other.live() or other.has_left()}
            self._pools.add(pool)
            ended = self._ended
        if ended:
            pool.close(True)
            pool.wait_ended(None)
            raise errors.ShutdownError("the interpreter is shutting down: hypern is shut down and makes no pools")

    def _end(self) -> None:
        """Finish accepted tasks at interpreter exit; give up on them where that is interrupted (Ctrl-C)."""
        with self.lock:
            self._ended = True
            pools = list(self._pools)
        for pool in pools:
            pool.close(False)
        from hypern import _core

        try:
            for pool in pools:
                pool.wait_ended(None)
            # A call that came back may have been made again here meanwhile.
            for pool in pools:
                pool.wait_ended(None)
            _core.end_interpreters(GRACE)
        except BaseException:
            for pool in pools:
                pool.close(True)
                pool.interrupt()
            ended = [pool.wait_ended(GRACE) and pool.wait_for_left(GRACE) for pool in pools]
            if not all(ended):
                # A task that cannot be stopped would be torn down with the interpreter around it, which crashes.
                _flush_and_exit(130)
            raise
        self._part_from_what_is_left(pools)

    def _part_from_what_is_left(self, pools: list[_core.Pool | ClusterPool]) -> None:
        """End the process where a worker is left in a task that did not stop; what else would follow is done here."""
        deadline = time.monotonic() + GRACE
        if all(pool.wait_for_left(max(0.0, deadline - time.monotonic())) for pool in pools):
            return
        _log.critical("hypern: a task that did not stop when its time was over still runs; the process ends without it")
        atexit._run_exitfuncs()
        _flush_and_exit(1)

    def _start_afresh(self) -> None:
        """In a forked child: forget threads that do not exist here; pools are opened anew when they are used."""
        from hypern import _core

        self.lock = threading.RLock()
        _core.after_fork_in_child()
        _shipping.start_afresh()
        pools, self._pools = self._pools, set()
        for executor in list(self.executors):
            executor._reopen_later()
        for pool in pools:
            pool.abandon()
            # Kept until the end: what its tasks refer to is the parent's to let go of.
            _abandoned.append(pool)


_abandoned: list[Any] = []
_lifetime = _Lifetime()
track = _lifetime.executors.add


def _say_that_a_fork_waits() -> None:
    _log.warning("hypern: a fork waits until the tasks that run in interpreters have ended")


def _flush_and_exit(code: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: S112 - closed or missing: nothing to flush.
            continue
    os._exit(code)


def reopen(executor: BlockingExecutor) -> Pool:
    """Open a new pool for an executor of the process that this one was forked from, once."""
    with _lifetime.lock:
        if executor._pool is None:
            executor._pool = open_pool(executor._settings)
        return executor._pool
