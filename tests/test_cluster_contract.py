"""What every executor promises, on a cluster of Dask: the tests that ask for a `pool`, over a ClusterExecutor."""

from __future__ import annotations

import inspect

import pytest

pytest.importorskip("distributed")

import test_async
import test_errors
import test_imap
import test_map
import test_parallel
import test_run_sync
import test_submit
from cluster import Cluster
from hypern.dask import ClusterExecutor

#: Each of them hands out thousands of chunks of one item, or of calls one after the other: seconds, on any cluster.
SLOW = {
    test_map: {"an_error_of_the_source_comes_as_itself"},
    test_run_sync: {"calls_in_a_row_all_answer"},
    test_imap: {
        "in_any_order_each_result_comes_once",
        "neither_chunks_nor_buffer_change_the_results",
        "no_more_is_pulled_than_the_buffer_allows",
    },
    test_errors: {"errors_of_many_threads_do_not_mix", "the_pool_goes_on_after_errors"},
    test_async: {
        "a_stream_gives_all_results",
        "coroutines_that_await_one_after_the_other",
        "of_many_awaits_none_is_lost_and_the_loop_is_woken_seldom",
        "several_loops_at_once",
    },
}
#: They make an executor of their own, by the name of a backend.
OWN = {test_map: {"goes_through_submit_where_somebody_replaced_it"}}

#: What the tests here are tried on; see conftest.py.
ON_BACKENDS = ("cluster",)


def is_fixture(value):
    return type(value).__name__ == "FixtureFunctionDefinition" or hasattr(value, "_pytestfixturefunction")


for module in (test_async, test_errors, test_imap, test_map, test_parallel, test_run_sync, test_submit):
    left_out = {f"test_{name}" for name in SLOW.get(module, set()) | OWN.get(module, set())}
    assert left_out <= vars(module).keys()
    for name, value in vars(module).items():
        if inspect.isfunction(value) and name.startswith("test_") and name not in left_out:
            parameters = inspect.signature(value).parameters
            if "pool" in parameters and "make" not in parameters:
                globals()[f"{module.__name__}_{name.removeprefix('test_')}"] = value
        elif is_fixture(value) and value.__module__ == module.__name__:
            assert name not in globals(), f"two files have a fixture {name}"
            globals()[name] = value

pytestmark = pytest.mark.xdist_group("cluster")


@pytest.fixture(scope="module")
def executor():
    cluster = Cluster()
    try:
        with ClusterExecutor(cluster.address) as executor:
            yield executor
    finally:
        cluster.close()


@pytest.fixture
def pool(backend, executor):
    yield executor
    assert executor.is_running()


def test_there_is_something_to_try():
    tried = [name for name, value in globals().items() if name.startswith("test_") and inspect.isfunction(value)]
    assert len(tried) > 100
