"""The backends that every promise is tried on, and the pools that tests use.

A test that asks for `backend`, `pool` or `make` runs once per name in BACKENDS; the marks below narrow that down.
"""

from __future__ import annotations

import faulthandler
import os
import signal

import pytest

from hypern import _info, _pool, _route
from hypern._verdict import set_order
from sync import Gate, Ledger, aside, eventually

EXPLICIT = tuple(backend.name for backend in _info.backends() if backend.available)
#: The default is one more where it is more than threads: whatever leaves, every promise holds.
BACKENDS = (*EXPLICIT, "auto") if _route.away_backend() is not None else EXPLICIT

#: What a mark means, as the backends it leaves.
NARROWED = {
    "shared": ("threads", "auto"),  # tasks see the objects of the caller
    "isolated": (*(name for name in EXPLICIT if name != "threads"), "cluster"),  # tasks see copies
    "own_process": ("processes",),  # the death of a worker is not the death of the program
    "own_interpreter": ("interpreters",),  # tasks see the caller's memory, and forks wait for them
    "explicit": EXPLICIT,  # auto has a queue and workers here, and others elsewhere
    "no_interpreter": tuple(name for name in BACKENDS if name != "interpreters"),  # tasks may fork; forks do not wait
}


def pytest_configure(config):
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Started in the background by a shell: programs that are started here would ignore it too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for mark, names in NARROWED.items():
        config.addinivalue_line("markers", f"{mark}: only on {', '.join(names)}")


def pytest_generate_tests(metafunc):
    if "backend" in metafunc.fixturenames:
        names = getattr(metafunc.module, "ON_BACKENDS", BACKENDS)
        for mark, narrowed in NARROWED.items():
            if metafunc.definition.get_closest_marker(mark):
                names = tuple(name for name in names if name in narrowed)
        metafunc.parametrize("backend", names)


@pytest.fixture(scope="session", autouse=True)
def stacks_on_a_crash():
    if not faulthandler.is_enabled():
        faulthandler.enable()
    yield


@pytest.fixture(autouse=True)
def a_program_of_its_own(monkeypatch):
    """Each test makes as many interpreters as a program may that has made none."""
    monkeypatch.setattr(_pool, "_made_elsewhere", 0)
    # Nor does one know of pools of processes that another had.
    monkeypatch.setattr(set_order, "SEEDS_DIFFER", set_order.SEEDS_DIFFER)


@pytest.fixture
def make(backend):
    """A maker of pools on the backend under test; they are shut down after the test."""
    from hypern import BlockingExecutor

    made = []

    def make(max_threads=2, queue_size=0, **options):
        executor = BlockingExecutor(max_threads, queue_size, backend=backend, **options)
        made.append(executor)
        return executor

    yield make
    for executor in made:
        executor.shutdown(wait=True, timeout_secs=20)


@pytest.fixture(scope="session")
def kept_pools():
    pools = {}
    yield pools
    for executor in pools.values():
        executor.shutdown(wait=True, timeout_secs=20)


@pytest.fixture
def pool(backend, kept_pools):
    """A pool of two workers that tests share, so that it also shows whether it survives them all."""
    from hypern import BlockingExecutor

    executor = kept_pools.get(backend)
    if executor is None:
        executor = kept_pools[backend] = BlockingExecutor(2, backend=backend)
    yield executor
    try:
        assert executor.is_running()
        assert aside(executor.run_sync, abs, -3).result(timeout=20) == 3
        assert eventually(lambda: executor.active_threads() == executor.pool_size())
    except BaseException:
        del kept_pools[backend]
        executor.shutdown(wait=False, cancel_futures=True)
        raise


@pytest.fixture
def gate(make):
    """A gate that is opened after the test whatever happened, before the pools are shut down."""
    with Gate() as gate:
        yield gate


@pytest.fixture
def ledger(tmp_path):
    return Ledger(os.fspath(tmp_path / "ledger"))


@pytest.fixture
def default(make):
    """The default executor, on the backend under test, with one worker."""
    from hypern.blocking import set_default_executor

    executor = make(1)
    set_default_executor(executor)
    return executor
