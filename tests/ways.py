"""The ways to call a function by an executor and wait; light, because worker processes import it by name."""

from __future__ import annotations

import concurrent.futures

import tasks
from hypern.blocking import blocking


def by_run_sync(executor, function, *args):
    return executor.run_sync(function, *args)


def by_map(executor, function, *args):
    (result,) = executor.map(lambda packed: function(*packed), [args])
    return result


def by_run_parallel(executor, function, *args):
    return executor.run_parallel([(function, args), (tasks.nothing, ())])[0]


def by_submit(executor, function, *args):
    return executor.submit(function, *args).result()


def by_wait(executor, function, *args):
    futures = [executor.submit(function, *args), executor.submit(tasks.nothing)]
    concurrent.futures.wait(futures)
    return futures[0].result()


def by_as_completed(executor, function, *args):
    (future,) = concurrent.futures.as_completed([executor.submit(function, *args)])
    return future.result()


def by_blocking(executor, function, *args):
    return blocking(executor=executor)(function)(*args)
