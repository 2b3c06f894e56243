"""CPython's own tests of executors hold for ours; which do not, and why, is in cpython.py."""

from __future__ import annotations

import contextlib
import importlib.util

import pytest

import child
import cpython


@pytest.mark.skipif(
    importlib.util.find_spec(cpython.PACKAGE) is None,
    reason=f"this Python was installed without {cpython.PACKAGE}, which is to be run",
)
def test_the_classes_of_cpython_pass(backend):
    flags = (*child.STRICT, "-W", "ignore:This process:DeprecationWarning")  # they fork beside threads
    script = str(child.HERE / "cpython.py")
    with contextlib.ExitStack() as stack:
        # At once: before 3.14 they mostly sleep.
        parts = [stack.enter_context(child.Child(*flags, script, backend, part)) for part in cpython.parts(backend)]
        for part in parts:
            part.finish(patience=100).ok()
