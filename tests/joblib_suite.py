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
from hypern import _gil

STAYS = "workers stay after an error or a timeout: only the batches of that Parallel are stopped"

#: What fails, and why it is to fail. Each is run, and fails the suite if it passes.
DEVIATIONS = {
    "test_nested_parallel_warnings[multiprocessing-hypern-True]": "workers can be started by a daemonic process",
    "test_nested_parallel_warnings[threading-hypern-True]": "workers can be started by any thread",
    "test_parallel_pickling": "what cannot cross is a TransferError, which names it, as everywhere in hypern",
    "test_error_capture[hypern]": STAYS,
    "test_parallel_with_interactively_defined_bound_method_loky": "it looks for the name of loky's processes in a log",
}
#: The same where calls run on threads.
DEVIATIONS_OF_THREADS: dict[str, str] = {}

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
    # What is left of their own backend would be tested twice.
    '["multiprocessing", "hypern"]': '["hypern"]',
    # The collection of a generator ends all calls of loky's workers; of ours, those of that generator.
    '("hypern", True),': '("hypern", False),',
    "from ._openmp_test_helper": "from joblib.test._openmp_test_helper",
}


def get_reusable_executor(reuse=True):
    """Return what theirs asks loky for."""
    return hypern.joblib._kept[0][1]


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
    return [item for item in ours if item in best.values() or item.name in deviations()]


def _unsuited(item: pytest.Item) -> tuple[bool, bool]:
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    return parameters.get("n_jobs", 2) != 2, "hypern" not in parameters.values()


def deviations() -> dict[str, str]:
    return DEVIATIONS if _gil.is_enabled() else DEVIATIONS_OF_THREADS


class Plugin:
    """What this makes of the tests that pytest finds."""

    @staticmethod
    def pytest_collection_modifyitems(config, items):
        kept = chosen(items)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept
        for item in items:
            if item.name in deviations():
                item.add_marker(pytest.mark.xfail(reason=deviations()[item.name], strict=True))
        # A test that got another name takes its row with it.
        gone = deviations().keys() - {item.name for item in items}
        assert not gone, gone

    @staticmethod
    def pytest_configure(config):
        for mark in ("no_cover", "thread_unsafe"):
            config.addinivalue_line("markers", f"{mark}: joblib's")


if __name__ == "__main__":
    joblib.parallel.DEFAULT_BACKEND = joblib.parallel.DEFAULT_PROCESS_BACKEND = "hypern"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_parallel.py").write_text(rewritten())
        Path(folder, "pytest.ini").write_text("[pytest]\n")
        options = ["-q", "-p", "no:cacheprovider", "-o", "strict_markers=false", "--rootdir", folder, "--timeout", "60", "-W", "ignore"]
        sys.exit(pytest.main([*options, *sys.argv[1:], folder], plugins=[Plugin]))
