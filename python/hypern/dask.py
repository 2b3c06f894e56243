"""The calls of ``BlockingExecutor`` on a cluster of Dask, and its pool inside of Dask's workers.

Needs the extra ``hypern[dask]``: dask.distributed. As a preload module (``dask worker --preload hypern.dask``) it has
a worker run its tasks on a pool of hypern.
"""

from __future__ import annotations

import multiprocessing.process
from typing import TYPE_CHECKING, Any

from hypern import _extras, _gil

_extras.check("dask", "distributed")

import dask.config  # noqa: E402 - not before it is known that it is there.
import distributed  # noqa: E402
from distributed.deploy.cluster import Cluster  # noqa: E402

from hypern import _cluster, _cluster_guest, _pool  # noqa: E402
from hypern._executor import MAX_THREADS, BlockingExecutor, checked_count, default_workers  # noqa: E402
from hypern._in_place import InPlacePool  # noqa: E402
from hypern._options import MOST_RETRIES  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("ClusterExecutor", "dask_setup")


class ClusterExecutor(BlockingExecutor):
    """Has all methods of ``BlockingExecutor``, whose calls run on a cluster of Dask.

    ``client_or_address`` is a ``distributed.Client``, a cluster object of Dask, or the address of a scheduler
    (``"tcp://host:8786"``); None starts a ``LocalCluster`` of ``max_threads`` workers of one thread each (0: the CPUs
    that this process may use; free-threaded, one worker with so many threads), which ends with the executor. A client
    that was given is not closed.

    Each call is one task of Dask, and so is each chunk of ``map``, ``run_parallel`` and ``imap``. Every call is made,
    also one that is the same as another. Arguments of 256 KiB and more are sent to the cluster once while they stay the
    same.

    ``lost_retries`` is how often a task is made again whose worker was lost; then it is a WorkerCrashed. None leaves
    that to the scheduler (``distributed.scheduler.allowed-failures``, 3 unless configured), whose number is also the
    least for a cluster that this executor did not start. Each loss is logged, as a warning of the logger ``hypern``.

    ``connect_timeout`` is how many seconds the scheduler may take to answer.

    Raises ConnectionError where no scheduler answers in time; TypeError and ValueError for arguments that make no
    sense; RuntimeError where a program that starts a cluster of its own is not protected against being imported by its
    workers; ShutdownError while the interpreter exits.

    >>> with ClusterExecutor("tcp://scheduler:8786") as executor:  # doctest: +SKIP
    ...     executor.map(abs, [-1, 2, -3])
    [1, 2, 3]
    """

    def __init__(
        self,
        client_or_address: distributed.Client | Cluster | str | None = None,
        *,
        max_threads: int = 0,
        lost_retries: int | None = None,
        connect_timeout: float = 10.0,
    ) -> None:
        workers = checked_count("max_threads", max_threads, MAX_THREADS)
        if client_or_address is not None and workers:
            raise TypeError("max_threads is for a cluster of the executor's own; this one has the workers that it has")
        retries = None if lost_retries is None else checked_count("lost_retries", lost_retries, MOST_RETRIES)
        if isinstance(connect_timeout, bool) or not isinstance(connect_timeout, (int, float)):
            raise TypeError(f"connect_timeout must be a number of seconds, not {type(connect_timeout).__name__}")
        if not connect_timeout > 0:
            raise ValueError(f"connect_timeout must be more than 0 seconds, not {connect_timeout}")
        if client_or_address is not None and not isinstance(client_or_address, (distributed.Client, Cluster, str)):
            kind = type(client_or_address).__name__
            raise TypeError(f"a ClusterExecutor needs a Client, a cluster or an address of Dask, not a {kind}")
        if _cluster_guest.is_inside():
            self._begin(workers or 1, InPlacePool())
            return
        _pool.check_alive()
        client, dismantle = _connect(client_or_address, workers, retries, float(connect_timeout))
        try:
            pool = _cluster.ClusterPool(client, retries or 0, dismantle, float(connect_timeout))
            self._begin(pool.threads() or 1, pool)
            _pool.keep(pool)
        except BaseException:
            dismantle()
            raise
        _pool.track(self)

    def _begin(self, workers: int, pool: Any) -> None:
        self._settings = _pool.Settings(
            backend=_pool.CLUSTER,
            workers=workers,
            queue_size=0,
            full_timeout=None,
            stack_size=0,
            thread_name_prefix="hypern",
            initializer=None,
            initargs=(),
            chunk_seconds=_cluster.CHUNK_SECONDS,
        )
        self._max_workers = workers
        self._pool = pool

    def __repr__(self) -> str:
        address = getattr(self._pool, "address", "in place")
        return (
            f"ClusterExecutor({address!r}, active={self.active_threads()}, pending={self.pending_tasks()}, "
            f"running={self.is_running()})"
        )

    def __reduce__(self) -> Any:
        """Cross to a task, where an executor runs calls in place."""
        return _rebuild_in_task, (self._settings.workers,)


def _rebuild_in_task(workers: int) -> ClusterExecutor:
    if not _cluster_guest.is_inside():
        raise TypeError("a ClusterExecutor can be sent to a task only, where it runs calls in place")
    return ClusterExecutor(max_threads=workers)


def _connect(
    given: distributed.Client | Cluster | str | None, workers: int, retries: int | None, timeout: float
) -> tuple[distributed.Client, Callable[[], object]]:
    """Return a client, and what ends it and all that was started for it."""
    if isinstance(given, distributed.Client):
        if given.asynchronous:
            raise TypeError(
                "the Client belongs to an event loop (asynchronous=True); give the address of its scheduler"
            )
        if given.status != "running":
            raise ConnectionError(f"the Client is not connected: it is {given.status}")
        # A client has one listener for what becomes of workers, which may be the program's.
        address = str(given.scheduler.address)  # pyright: ignore[reportOptionalMemberAccess]
        client = _client(address, timeout, security=given.security)
        return client, client.close
    if given is not None:
        if isinstance(given, Cluster) and given.asynchronous:
            raise TypeError("the cluster belongs to an event loop (asynchronous=True); give its scheduler_address")
        client = _client(given, timeout)
        return client, client.close
    if getattr(multiprocessing.process.current_process(), "_inheriting", False):
        raise RuntimeError(
            "ClusterExecutor() starts workers, which import the program: make it where they do not come, below "
            'if __name__ == "__main__":'
        )
    count = workers or default_workers()
    shape = (count, 1) if _gil.is_enabled() else (1, count)
    scheduler = {} if retries is None else {"allowed_failures": retries}
    cluster = distributed.LocalCluster(
        n_workers=shape[0], threads_per_worker=shape[1], dashboard_address=":0", scheduler_kwargs=scheduler
    )
    try:
        client = _client(cluster, timeout)
    except BaseException:
        cluster.close()
        raise

    def dismantle() -> None:
        try:
            client.close()
        finally:
            cluster.close()

    return client, dismantle


def _client(given: Cluster | str, timeout: float, **options: Any) -> distributed.Client:
    try:
        # The program's own calls of Dask go where they went before.
        return distributed.Client(given, timeout=timeout, set_as_default=False, **options)
    except OSError as error:
        raise ConnectionError(
            f"no Dask scheduler answers at {given!r} within {timeout:g} s: is it running, and reachable from here?"
        ) from error


def dask_setup(worker: distributed.Worker) -> None:
    """Have a Dask worker run its tasks on a pool of hypern, with as many workers as it has threads; a preload hook.

    The backend is ``processes``, so that one Dask worker for each machine uses every core, or ``threads`` where those
    are parallel; ``dask.config`` can name another one as ``hypern.backend`` (``DASK_HYPERN__BACKEND=threads``).

    Raises TypeError for anything but a worker, and what ``BlockingExecutor`` raises.
    """
    if not isinstance(worker, distributed.Worker):
        raise TypeError(f"hypern.dask is a preload module for workers, not for a {type(worker).__name__}")
    backend = dask.config.get("hypern.backend", None) or ("processes" if _gil.is_enabled() else "threads")
    executor = BlockingExecutor(worker.state.nthreads, backend=backend, thread_name_prefix="hypern-dask")
    before, worker.executors["default"] = worker.executors["default"], executor
    before.shutdown(wait=False)
