"""The worker's side of the joblib backend: limits what libraries start, and runs batches.

It is loaded before joblib and numpy are, because a library for linear algebra reads its limits when it is loaded.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from hypern._wire import describe
from hypern.errors import TransferError

if TYPE_CHECKING:
    from hypern._joblib_wire import Reducers

#: What sends arrays back; made by ``begin``. A guest has one thread.
_backward: Reducers = {}


def begin(environment: dict[str, str], key: bytes, initializer: bytes | None) -> None:
    """Take over variables of the environment and the key of the program's managers; call the user's initializer.

    The backend is known here by its name, for nested calls.
    """
    global _backward
    os.environ.update(environment)

    import multiprocessing

    from joblib.externals.loky import process_executor
    from joblib.parallel import register_parallel_backend

    from hypern import _joblib_wire

    register_parallel_backend("hypern", _backend)
    # Proxies of a multiprocessing.Manager work in workers of joblib's own backends.
    multiprocessing.current_process().authkey = key
    # By which joblib's own backends know that they are nested, and begin fewer processes.
    process_executor._CURRENT_DEPTH += 1

    _backward = _joblib_wire.backward()
    if initializer is not None:
        function, args = _joblib_wire.loads(initializer, [])
        function(*args)


def _backend(**options: Any) -> Any:
    """Make the backend for a nested call; a worker without one starts sooner without what it takes."""
    from hypern.joblib import HypernBackend

    return HypernBackend(**options)


def run(payload: bytes, buffers: list[Any]) -> tuple[bytes, list[Any]]:
    """Run a batch and return its results, both as bytes with their buffers."""
    from hypern import _joblib_wire

    try:
        batch = _joblib_wire.loads(payload, buffers)
    except Exception as error:
        raise TransferError(f"a call cannot be rebuilt in the worker: {describe(error)}") from error
    results = batch()
    try:
        return _joblib_wire.dumps(results, _backward)
    except Exception as error:
        raise TransferError(f"a result cannot be sent back from the worker: {describe(error)}") from error
