"""joblib's own tests of parallel backends, put over ours: ``python joblib_suite.py [options of pytest]``, for test_joblib.py.

Their file is read with the name of our backend in the place of loky's, which is joblib's default. Here is what else stands
between them and ours, and the tests that do not hold, by name and with the reason.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import joblib.parallel
import joblib.test
import pytest

import hypern.joblib

STAYS = "workers stay after an error or a timeout: only the batches of that Parallel are stopped"

#: What fails, and why it is to fail, by test, with parameters where others of it pass. Each is run, and fails the suite if
#: it passes.
DEVIATIONS = {
    "test_nested_parallel_warnings[multiprocessing-hypern-True]": "workers can be started by a daemonic process",
    "test_nested_parallel_warnings[threading-hypern-True]": "workers can be started by any thread",
    "test_parallel_pickling": "what cannot cross is a TransferError, which names it, as everywhere in hypern",
    "test_error_capture": STAYS,
    "test_parallel_with_interactively_defined_bound_method_loky": "it looks for the name of loky's processes in a log",
}

SHARED = "calls run on threads, which share the memory and the environment of the caller"
#: The same where calls run on threads.
DEVIATIONS_OF_THREADS = {name: reason for name, reason in DEVIATIONS.items() if reason != STAYS} | dict.fromkeys(
    (
        "test_parallel_pickling",
        "test_backend_hinting_and_constraints",
        "test_invalid_backend_hinting_and_constraints",
        "test_threadpool_limitation_in_child_loky",
        "test_threadpool_limitation_in_child_context",
        "test_threadpool_limitation_in_child_override",
    ),
    SHARED,
)
#: What would fail for such a reason too, but waits for processes, or fails only now and then.
NOT_RUN_ON_THREADS = dict.fromkeys(("test_initializer_reused", "test_initializer_not_reused"), SHARED) | {
    "test_nested_parallel_warnings[hypern-multiprocessing-True]": "threads take the recorded warnings from each other, "
    "for which it lets its own backend of threads off",
}

THREADS = hypern.joblib.HypernBackend().uses_threads
PROCESSES = "[]" if THREADS else '["hypern"]'
#: From joblib's text to ours.
REWRITTEN = {
    '"loky"': '"hypern"',
    "from joblib._parallel_backends import (\n    LokyBackend,": "from hypern.joblib import HypernBackend\n"
    "from joblib._parallel_backends import (",
    "joblib._parallel_backends.LokyBackend": "HypernBackend",
    "LokyBackend": "HypernBackend",
    # In programs that are run apart.
    "from joblib import Parallel, delayed": "import hypern.joblib\nfrom joblib import Parallel, delayed",
    "from joblib.externals.loky import get_reusable_executor": "from joblib_suite import get_reusable_executor",
    # Backends of processes, and all that are parallel.
    'PROCESS_BACKENDS = ["multiprocessing", "hypern"]': f"PROCESS_BACKENDS = {PROCESSES}",
    'PROCESS_BACKENDS + ["threading"]': '["hypern", "threading"]',
    # The collection of a generator ends all calls of loky's workers; of ours, those of that generator.
    '("hypern", True),': '("hypern", False),',
    "from ._openmp_test_helper": "from joblib.test._openmp_test_helper",
}


def get_reusable_executor(reuse=True):
    """Return what theirs asks loky for."""
    ((_, executor),) = hypern.joblib._kept.values()
    return executor


def rewritten() -> str:
    text = Path(joblib.test.__file__).with_name("test_parallel.py").read_text()
    for theirs, ours in REWRITTEN.items():
        assert theirs in text, theirs
        text = text.replace(theirs, ours)
    return text


def concerns_us(item: pytest.Item) -> bool:
    """Tell whether a test is about our backend, or about what joblib does whatever the backend."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    asked = [value for name, value in parameters.items() if name.endswith("backend")]
    return not asked or any(each in (None, "hypern") or type(each) is hypern.joblib.HypernBackend for each in asked)


def chosen(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return the tests that are about us: all in the long run, else each with the parameters that suit it best."""
    ours = [item for item in items if concerns_us(item)]
    if os.environ.get("HYPERN_TEST_LONG"):
        return ours
    best: dict[str, pytest.Item] = {}
    for item in ours:
        best[item.originalname] = min(best.get(item.originalname, item), item, key=_unsuited)
    return [item for item in ours if item in best.values() or item.name in DEVIATIONS]


def _unsuited(item: pytest.Item) -> tuple[bool, bool]:
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    return parameters.get("n_jobs", 2) != 2, "hypern" not in parameters.values()


def row(rows: dict[str, str], item: pytest.Item) -> str | None:
    return rows.get(item.name) or rows.get(item.originalname)


class Plugin:
    """What this makes of the tests that pytest finds."""

    @staticmethod
    def pytest_collection_modifyitems(config, items):
        kept = chosen(items)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept
        for item in items:
            if THREADS and (reason := row(NOT_RUN_ON_THREADS, item)) is not None:
                item.add_marker(pytest.mark.skip(reason=reason))
            elif (reason := row(DEVIATIONS_OF_THREADS if THREADS else DEVIATIONS, item)) is not None:
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
        # A row for a test that is gone is an error.
        names = {name for item in items for name in (item.name, item.originalname)}
        assert names >= {*(DEVIATIONS_OF_THREADS if THREADS else DEVIATIONS)}

    @staticmethod
    def pytest_configure(config):
        for mark in ("no_cover", "thread_unsafe"):
            config.addinivalue_line("markers", f"{mark}: joblib's")


if __name__ == "__main__":
    joblib.parallel.DEFAULT_BACKEND = joblib.parallel.DEFAULT_PROCESS_BACKEND = "hypern"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_parallel.py").write_text(rewritten())
        Path(folder, "pytest.ini").write_text("[pytest]\n")
        options = ["-q", "-p", "no:cacheprovider", "--rootdir", folder, "--timeout", "60", "-W", "ignore"]
        status = pytest.main([*options, *sys.argv[1:], folder], plugins=[Plugin])
    if THREADS:
        sys.stdout.flush()
        # Tasks that sleep on a thread are left behind in that, which would be another exit code.
        os._exit(status)
    sys.exit(status)
