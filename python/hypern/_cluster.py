"""The pool of a ``ClusterExecutor``: each call, and each chunk of a batch, is one task of a Dask cluster.

It has no workers and schedules nothing: a client of Dask, in the thread of its own loop, submits the tasks and brings
back what came of them. The scheduler sees bytes, and loads nothing of the program.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import hashlib
import itertools
import logging
import queue
import threading
import uuid
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Any

from hypern import _cluster_guest, _kind, _shipping, _wire, errors
from hypern._in_place import InPlaceBatch, InPlacePool
from hypern._route import Route
from hypern._stats import BackendStats, Stats
from hypern._stream import carried

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    import distributed

    from hypern import _core
    from hypern._batch import Done
    from hypern._cluster_guest import Reply
    from hypern._future import Settled

#: Work that a chunk should hold, in seconds: long against the few milliseconds that a scheduler takes for a task.
CHUNK_SECONDS = 0.1
#: What is larger is sent to a worker once, and from there to others, beside the tasks that need it.
HEAVY = 256 * 1024
#: Bytes of that which are kept here at most, for tasks that are yet to come and for workers that are lost.
MOST_KEPT = 256 * 1024 * 1024
#: Where the scheduler tells of workers that come and go, among other things.
_EVENTS = "all"
#: How long the scheduler may take to tell what it was told, in seconds; then it is told again.
ECHO = 0.05
#: After how long a thread is asked for again that the system has refused, in seconds.
AGAIN = 0.05
#: How long the workers may take to tell what they are doing, in seconds.
ANSWER = 5.0
#: How often a call is submitted again because what it needed was lost on the way.
MOST_LOST_PARTS = 10

_log = logging.getLogger("hypern")


class _Part:
    """Something heavy that tasks need; kept here as well, because a cluster cannot make it anew when it is lost."""

    def __init__(self, memory: bytes) -> None:
        self.memory = memory
        #: In the cluster. Written by the thread of the loop, under the lock.
        self.place: distributed.Future[Any] | None = None
        self.lock = asyncio.Lock()


class _Task:
    """A call or a chunk on its way; all but ``withdraw`` is for the thread of the loop."""

    def __init__(
        self,
        pool: ClusterPool,
        parcel: tuple[Any, ...],
        parts: list[Any],
        then: Callable[[_Task], None],
        *,
        held: bool,
    ) -> None:
        self._pool = pool
        self.held = held
        #: Is called with the task when it has come to an end, and forgotten then: it may refer to who refers to this.
        self.then: Callable[[_Task], None] | None = then
        #: Leading arguments of ``_cluster_guest.run``, and those that may be heavy.
        self.parcel = parcel
        self.parts = parts
        self.key = ""
        #: Set before its carrier is cancelled.
        self.withdrawn = False
        self.carrier: asyncio.Task[Reply] | None = None
        #: The reply of the cluster, or why there is none.
        self.outcome: Reply | BaseException | None = None

    def withdraw(self) -> bool:
        """Take the task back; tell whether there was something to take back. One that runs goes on unseen."""
        if self.outcome is not None:
            return False
        self.withdrawn = True
        self._pool.in_loop(self._cancel)
        return True

    def _cancel(self) -> None:
        if self.carrier is not None:
            self.carrier.cancel()

    def help(self) -> None:
        """Do nothing: whoever waits for it is not at work on the cluster."""

    def assist(self) -> None:
        """Do nothing, for the same reason."""

    def interrupt(self) -> None:
        self.withdraw()


class _Settling(threading.local):
    """Whether this thread settles a future just now."""

    here = False


_settling = _Settling()


class _Leash:
    """How long a call may run, and the call."""

    def __init__(self, timeout: float | None) -> None:
        self.timeout = timeout
        self._task: _Task | None = None
        self._interrupted = False

    def hold(self, task: _Task) -> None:
        self._task = task
        if self._interrupted:
            task.withdraw()

    def interrupt(self) -> None:
        self._interrupted = True
        if self._task is not None:
            self._task.withdraw()


class ClusterPool:
    """Has the outside of ``hypern._core.Pool``, over a client of Dask."""

    decides = True

    def __init__(
        self, client: distributed.Client, lost_retries: int, dismantle: Callable[[], object], timeout: float
    ) -> None:
        """Use ``client``; ``dismantle`` is called in a thread of its own when the pool has ended.

        Raises ConnectionError where the scheduler does not answer for ``timeout`` seconds.
        """
        from hypern import _core

        _wire.use_plain(_core.plain)
        self._client = client
        self.address = str(client.scheduler.address)  # pyright: ignore[reportOptionalMemberAccess]
        self._loop: asyncio.AbstractEventLoop = client.loop.asyncio_loop  # type: ignore[attr-defined]
        self._lost_retries = lost_retries
        self._dismantle = dismantle
        self._in_place = InPlacePool()
        #: What the keys of tasks begin with.
        self._mark = f"hypern-{uuid.uuid4().hex[:12]}"
        self._numbers = itertools.count()
        self._lock = threading.RLock()
        self._open = True
        #: Tasks that are accepted and not done. Changed under the lock.
        self._in_flight: set[_Task] = set()
        #: Set when all that was accepted is done, the pool is closed, and the client let go of.
        self._ended = threading.Event()
        self._ending = False
        #: By what they hold, those that were used last at the end.
        self._parts: OrderedDict[bytes, _Part] = OrderedDict()
        #: Threads of each worker. Replaced by the thread of the loop.
        self._workers: dict[str, int] = {}
        #: Written by the thread of the loop.
        self._counts: Counter[str] = Counter()
        self._queued = _core.Durations()
        self._running = _core.Durations()
        self._look: asyncio.Task[None] | None = None
        try:
            asyncio.run_coroutine_threadsafe(self._begin(), self._loop).result(timeout)
        except (OSError, TimeoutError) as error:
            raise ConnectionError(
                f"the Dask scheduler at {self.address} stopped answering within {timeout:g} s: is it still running?"
            ) from error

    # Calls

    def leash(self, timeout: float | None = None) -> _Leash:
        return _Leash(timeout)

    def run(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        leash: _Leash | None = None,
    ) -> Any:
        if self.is_current():
            return self._in_place.run(function, args, kwargs)
        done = threading.Event()
        task = self.send(lambda _: done.set(), _kind.CALL, function, (args, kwargs), leash)
        try:
            done.wait()
        except BaseException:
            task.withdraw()
            raise
        result, error, _ = opened(task)
        if error is not None:
            raise told(error)
        return result

    def submit(
        self,
        future: Settled,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        leash: _Leash | None = None,
        *,
        again: bool = False,
    ) -> Any:
        if self.is_current():
            return self._in_place.submit(future, function, args, kwargs)
        deliver = functools.partial(self._deliver, future)
        return self.send(deliver, _kind.CALL, function, (args, kwargs), leash, again=again, held=True)

    def _deliver(self, future: Settled, task: _Task) -> None:
        # What is called back may wait for other tasks, and this thread brings them.
        settler = threading.Thread(target=self._settle, args=(future, task), name="hypern-cluster-settle", daemon=True)
        try:
            settler.start()
        except RuntimeError as error:
            if "can't start new thread" in str(error):
                # The system has none just now.
                self._loop.call_later(AGAIN, self._deliver, future, task)
            else:  # CPython 3.12 starts none while it exits.
                self._settle(future, task)

    def _settle(self, future: Settled, task: _Task) -> None:
        _settling.here = True
        error: BaseException | None = None
        try:
            if task.withdrawn:
                future.cancel()
            if not future.set_running_or_notify_cancel():
                return
            result, error, _ = opened(task)
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)
        finally:
            # Not before: a call that is made again is submitted by its future, also after a shutdown.
            self._forget(task)
            # The frames of a traceback that was rebuilt here lead to this one.
            del future, task, error

    async def call(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        leash: _Leash | None = None,
    ) -> Any:
        if self.is_current():
            return self._in_place.run(function, args, kwargs)
        loop = asyncio.get_running_loop()
        news: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not news.done():
                news.set_result(None)

        task = self.send(lambda _: _tell(loop, wake), _kind.CALL, function, (args, kwargs), leash)
        try:
            await news
        except asyncio.CancelledError:
            task.withdraw()
            raise
        result, error, _ = opened(task)
        if error is None:
            return result
        try:
            raise carried(told(error))
        finally:
            del error

    def batch(
        self,
        kind: int,
        function: Any,
        ordered: bool = True,
        letterbox: _core.Letterbox | None = None,
        *,
        stops: bool = True,
        timeout: float | None = None,
    ) -> ClusterBatch | InPlaceBatch:
        self._check_open()
        if self.is_current():
            return InPlaceBatch(kind, function)
        return ClusterBatch(self, kind, function, timeout, _bell() if letterbox is not None else None)

    def send(
        self,
        then: Callable[[_Task], None],
        kind: int,
        function: Any,
        data: Any,
        leash: _Leash | None = None,
        *,
        again: bool = False,
        held: bool = False,
    ) -> _Task:
        """Hand a call or a chunk to the cluster; ``then`` is called in the thread of the loop when it is done.

        With ``held``, it is in flight until whoever is told then forgets it.
        Raises TransferError where it cannot cross.
        """
        content = None if function is None else _shipping.content(function)
        payload, buffers, _ = _shipping.encode(kind, function, data, content is not None)
        parts = [self._part(memory) for memory in (content or b"", payload, *buffers)]
        parcel = kind, None if leash is None else leash.timeout, [not buffer.readonly for buffer in buffers]
        task = _Task(self, parcel, parts, then, held=held)
        with self._lock:
            if not again or self._ending:
                self._check_open()
            self._in_flight.add(task)
        if not self.in_loop(functools.partial(self._start, task)):
            self._forget(task)
            raise self._cut_off()
        if leash is not None:
            leash.hold(task)
        return task

    def _part(self, memory: bytes | memoryview) -> bytes | _Part:
        """Return what of a task travels beside it where that is heavy, bytes where it is not."""
        if memoryview(memory).nbytes < HEAVY:
            return bytes(memory)
        digest = hashlib.blake2b(memory).digest()
        with self._lock:
            part = self._parts.pop(digest, None)
        if part is None:
            # Somebody may have written to it meanwhile.
            memory = bytes(memory)
            digest = hashlib.blake2b(memory).digest()
        with self._lock:
            part = part or self._parts.pop(digest, None) or _Part(bytes(memory))
            self._parts[digest] = part
            kept = sum(len(each.memory) for each in self._parts.values())
            while kept > MOST_KEPT and len(self._parts) > 1:
                kept -= len(self._parts.popitem(last=False)[1].memory)
        return part

    def in_loop(self, function: Callable[[], object]) -> bool:
        """Call a function in the thread of the loop, soon; tell whether there is one."""
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:  # It is closed.
            return False
        return True

    # In the thread of the loop

    async def _begin(self) -> None:
        self._client.subscribe_topic(_EVENTS, self._hear)
        # What is heard of a topic that was asked for later shows that the scheduler tells of the first one by now, so
        # that no worker comes unnoticed.
        heard = asyncio.Event()
        self._client.subscribe_topic(self._mark, lambda _: heard.set())
        while not heard.is_set():
            await self._client.log_event(self._mark, "begins")  # type: ignore[misc]
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(heard.wait(), ECHO)
        self._client.unsubscribe_topic(self._mark)
        await self._count()

    async def _count(self) -> None:
        """See which workers there are."""
        with contextlib.suppress(OSError):  # The scheduler is gone: those who wait for tasks are told by the client.
            self._workers = await self._client.nthreads()  # type: ignore[misc]

    def _hear(self, event: tuple[float, Any]) -> None:
        """Take note of workers that come and go, and report those that were lost with tasks of this pool."""
        _, what = event
        action = what.get("action") if isinstance(what, dict) else None
        if action not in ("add-worker", "remove-worker"):
            return
        self._look = self._loop.create_task(self._count())
        if action == "add-worker" or what.get("expected"):
            return
        keys = {*what.get("processing-tasks", ()), *what.get("lost-computed-tasks", ())}
        lost = sum(str(key).startswith(self._mark) for key in keys)
        if lost:
            tasks = "a task" if lost == 1 else f"{lost} tasks"
            _log.warning(
                "hypern: the cluster lost the worker %s, and with it %s of this program", what["worker"], tasks
            )

    def _start(self, task: _Task) -> None:
        self._counts["accepted"] += 1
        task.carrier = self._loop.create_task(self._travel(task))
        # Also called where it is cancelled before its first step.
        task.carrier.add_done_callback(functools.partial(self._arrive, task, self._loop.time()))
        if task.withdrawn:
            task.carrier.cancel()

    def _arrive(self, task: _Task, began: float, carrier: asyncio.Task[Reply]) -> None:
        """Pass on what came of a task."""
        error = errors.refused(None) if carrier.cancelled() else carrier.exception()
        if error is None:
            seconds, told, _, _ = carrier.result()
            self._counts["done" if told == _kind.RETURNED else "failed"] += 1
            self._running.add(seconds)
            self._queued.add(max(0.0, self._loop.time() - began - seconds))
        else:
            self._counts["cancelled" if task.withdrawn else "failed"] += 1
        # What it needed may go when nobody else needs it.
        task.parts.clear()
        task.carrier = None
        task.outcome = carrier.result() if error is None else error
        then, task.then = task.then, None
        try:
            if then is not None:
                then(task)
        finally:
            if not task.held:
                self._forget(task)

    async def _travel(self, task: _Task) -> Reply:
        from distributed import CancelledError, KilledWorker
        from distributed.client import ClosedClientError

        lost = lost_parts = 0
        future: Any = None
        while True:
            try:
                placed = await asyncio.gather(*map(self._placed, task.parts))
                task.key = f"{self._mark}-{next(self._numbers)}"
                # Dask takes calls of the same key for one.
                future = self._client.submit(_cluster_guest.run, *task.parcel, *placed, key=task.key, pure=False)
                return _checked(await _undisturbed(future))
            except KilledWorker as killed:
                lost += killed.allowed_failures + 1
                if lost > self._lost_retries:
                    raise _crashed(killed, lost) from killed
            except (CancelledError, OSError, ClosedClientError) as cancelled:
                if self._client.status != "running":
                    raise self._cut_off() from cancelled
                lost_parts += 1
                if lost_parts > MOST_LOST_PARTS:
                    raise errors.WorkerCrashed(
                        f"the cluster lost what the task needed {lost_parts} times, with the workers that held it"
                    ) from cancelled
            except Exception as failure:
                raise errors.TransferError(
                    f"the cluster cannot make the call: {_wire.describe(failure)}; its scheduler and all workers need "
                    "hypern, Python and Dask in the versions of this program"
                ) from failure
            except asyncio.CancelledError:
                if future is not None:
                    with contextlib.suppress(ClosedClientError):
                        await self._client.cancel([future])  # type: ignore[misc]
                raise

    async def _placed(self, part: bytes | _Part) -> Any:
        """Return what stands for a part among the arguments of a task."""
        if isinstance(part, bytes):
            return part
        async with part.lock:
            while part.place is None or part.place.status != "finished":
                # A cluster that grows with its work has a worker when there is some.
                name = f"{self._mark}-{next(self._numbers)}"
                await _undisturbed(self._client.submit(_cluster_guest.nothing, key=name, pure=False))
                name = f"{self._mark}-part-{next(self._numbers)}"
                with contextlib.suppress(TimeoutError):  # The worker is lost again.
                    part.place = (await _undisturbed(self._client.scatter({name: part.memory})))[name]  # type: ignore[arg-type]
            return part.place

    def _forget(self, task: _Task) -> None:
        with self._lock:
            self._in_flight.discard(task)
        self._end_if_done()

    # Life

    def is_current(self) -> bool:
        return _cluster_guest.is_inside()

    def is_open(self) -> bool:
        return self._open and self._client.status in ("running", "connecting")

    def close(self, cancel: bool) -> None:
        with self._lock:
            self._open = False
        if cancel and self._in_flight:
            self.in_loop(lambda: asyncio.ensure_future(self._cancel_what_has_not_started()))
        self._end_if_done()

    async def _cancel_what_has_not_started(self) -> None:
        started: set[str] = set()
        if self._workers:
            asked = self._client.run(_cluster_guest.executing, on_error="ignore")
            try:
                told: dict[str, list[str] | None] = await asyncio.wait_for(asked, ANSWER)  # type: ignore[arg-type]
            except (OSError, ValueError):
                told = {}
            if any(told.get(address) is None for address in self._workers):
                # One that does not answer may be at work on any of them.
                return
            started.update(*filter(None, told.values()))
        for task in [*self._in_flight]:
            if task.key not in started:
                task.withdraw()

    def interrupt(self) -> None:
        """Withdraw everything; called while the interpreter exits and may not wait."""
        for task in [*self._in_flight]:
            task.withdraw()

    def _end_if_done(self) -> None:
        with self._lock:
            if self._open or self._in_flight or self._ending:
                return
            self._ending = True
        # Not in the thread of the loop, which ends with the client.
        try:
            threading.Thread(target=self._end, name="hypern-cluster-end", daemon=True).start()
        except RuntimeError:  # CPython 3.12 starts no thread while it exits; Dask ends what is its own then.
            self._ended.set()

    def _end(self) -> None:
        try:
            with contextlib.suppress(RuntimeError, TimeoutError, OSError):
                asyncio.run_coroutine_threadsafe(self._take_leave(), self._loop).result(ANSWER)
            self._dismantle()
        except Exception:
            _log.exception("hypern: the connection to the cluster %s did not end well", self.address)
        finally:
            self._ended.set()

    async def _take_leave(self) -> None:
        if self._look is not None:
            self._look.cancel()
        self._client.unsubscribe_topic(_EVENTS)
        self._parts.clear()

    def wait_ended(self, timeout: float | None) -> bool:
        # What a callback waits for waits for the callback.
        return not _settling.here and self._ended.wait(timeout)

    def has_left(self) -> bool:
        """Tell whether somebody is to wait for it at exit: without workers nothing lives, and tasks wait for some."""
        return not self._ended.is_set()

    def wait_for_left(self, timeout: float) -> bool:
        return True

    def abandon(self) -> None:
        """In a forked child, which has no thread that would use the connection: take it for ended."""
        self._lock, self._in_flight = threading.RLock(), set()
        self._open, self._ending = False, True
        self._ended = threading.Event()
        self._ended.set()

    # Introspection

    def threads(self) -> int:
        """Return how many threads the workers of the cluster have, as far as is known here."""
        return sum(self._workers.values())

    def live(self) -> int:
        return 0 if self._ended.is_set() else self.threads()

    def pending(self) -> int:
        return max(0, len(self._in_flight) - self.threads())

    def explain(self, _function: Any, _call: Any) -> Route:
        return Route("cluster", f"all calls run on the Dask cluster at {self.address}")

    def stats(self) -> Stats:
        counts = self._counts
        ended = counts["done"] + counts["failed"]
        waiting = self.pending()
        told = BackendStats(
            counts["accepted"],
            max(ended, counts["accepted"] - counts["cancelled"] - waiting),
            counts["done"],
            counts["failed"],
            counts["cancelled"],
            *self._queued.times(),
            *self._running.times(),
        )
        return Stats({"cluster": told}, {})

    def stacks(self) -> str:
        """Return what the workers do for this pool just now."""

        async def ask() -> dict[str, dict[str, tuple[str, ...]]]:
            stacks: dict[str, dict[str, tuple[str, ...]]] = await self._client.call_stack()  # type: ignore[misc]
            return stacks

        try:
            stacks = asyncio.run_coroutine_threadsafe(ask(), self._loop).result(ANSWER)
        except (OSError, RuntimeError, concurrent.futures.TimeoutError) as error:
            return f"the cluster does not answer: {_wire.describe(error)}\n"
        lines: list[str] = []
        for address, tasks in sorted(stacks.items()):
            for key, frames in tasks.items():
                if str(key).startswith(self._mark):
                    lines += [f"{address} runs {key}", *(f"  {line}" for line in "".join(frames).splitlines())]
        return "".join(f"{line}\n" for line in lines)

    def _check_open(self) -> None:
        if not self._open:
            raise errors.refused(None)
        if self._client.status not in ("running", "connecting"):
            raise self._cut_off()

    def _cut_off(self) -> errors.BrokenPool:
        return errors.BrokenPool(
            f"the connection to the Dask scheduler at {self.address} is gone; make a new ClusterExecutor"
        )


class ClusterBatch:
    """Has the outside of ``hypern._core.Batch``; each chunk is a task of the cluster."""

    def __init__(
        self,
        pool: ClusterPool,
        kind: int,
        function: Any,
        timeout: float | None,
        bell: Callable[[], None] | None,
    ) -> None:
        self._pool = pool
        self._kind = kind
        self._function = None if kind == _kind.CALLS else function
        self._timeout = timeout
        self._bell = bell
        self._flight: dict[int, _Task] = {}
        self._arrived: queue.SimpleQueue[int] = queue.SimpleQueue()

    def push(self, index: int, items: Sequence[Any], again: bool = False) -> bool:
        leash = None if self._timeout is None else _Leash(self._timeout)
        arrive = functools.partial(self._arrive, index)
        self._flight[index] = self._pool.send(arrive, self._kind, self._function, items, leash, again=again)
        return True

    def _arrive(self, index: int, _: _Task) -> None:
        self._arrived.put(index)
        if self._bell is not None:
            self._bell()

    def wait(self, timeout: float | None = None) -> list[Done]:
        done: list[Done] = []
        try:
            index = self._arrived.get(timeout=timeout) if timeout != 0 else self._arrived.get_nowait()
            while True:
                task = self._flight.pop(index, None)
                if task is not None:
                    results, error, seconds = opened(task)
                    done.append((index, results, seconds, None if error is None else told(error)))
                index = self._arrived.get_nowait()
        except queue.Empty:
            return done

    def cancel(self) -> None:
        tasks = [*self._flight.values()]
        self._flight.clear()
        for task in tasks:
            task.withdraw()

    def room(self) -> int:
        # A cluster that grows with its work has no worker before there is work.
        return 2 * max(self._pool.threads(), 1)

    def decides_in(self) -> None:
        """Return nothing: its room may change, and is asked for when something comes."""


def _checked(reply: Any) -> Reply:
    if not isinstance(reply, tuple) or len(reply) != 4:
        raise TypeError(f"a worker answered {reply!r:.100}")
    return reply


async def _undisturbed(awaitable: Awaitable[Any]) -> Any:
    """Await something of Dask's, which goes on where the current task is cancelled.

    Inside of Dask several tasks wait for one (``Client._gather_future``): cancelled with one of them, it would fail all
    the others, and all that come.
    """
    inside = asyncio.ensure_future(awaitable)
    # What comes of it when nobody waits any more is no news.
    inside.add_done_callback(lambda done: done.cancelled() or done.exception())
    return await asyncio.shield(inside)


def opened(task: _Task) -> tuple[Any, BaseException | None, float]:
    """Return what came of a task: the result, or what was raised, and how many seconds it ran."""
    outcome = task.outcome
    if not isinstance(outcome, tuple):
        return None, outcome, 0.0
    seconds, kind, payload, buffers = outcome
    if kind == _kind.RAISED:
        from hypern._raised import decode_error  # Loaded by the first failure.

        return None, decode_error(payload, buffers), seconds
    try:
        return _shipping.decode(payload, buffers) if payload else None, None, seconds
    except errors.TransferError as error:
        return None, error, seconds


#: What is not of a task, or of no use in another form.
_OWN = (errors.BrokenPool, errors.ShutdownError, errors.TaskTimeout, errors.TransferError, errors.WorkerCrashed)


def told(error: BaseException) -> BaseException:
    """Return what the caller sees of a failure."""
    return error if isinstance(error, _OWN) else errors.as_task_error(error)


def _bell() -> Callable[[], None]:
    """Return what tells the desk of the running loop that something has come."""
    from hypern._async import desk

    loop = asyncio.get_running_loop()
    return functools.partial(_tell, loop, desk().tell)


def _tell(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> None:
    with contextlib.suppress(RuntimeError):  # It is closed: nobody waits there any more.
        loop.call_soon_threadsafe(function)


def _crashed(killed: Any, lost: int) -> errors.WorkerCrashed:
    address = getattr(killed.last_worker, "address", killed.last_worker)
    times = "one worker" if lost == 1 else f"{lost} workers"
    return errors.WorkerCrashed(
        f"the cluster lost {times} while they ran the task, the last one at {address}; "
        "the log of that worker, or of its nanny, may tell why"
    )
