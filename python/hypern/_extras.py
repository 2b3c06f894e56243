"""Packages that only some of hypern needs: what is told where one is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re

from hypern import _gil


def check(extra: str, *modules: str) -> None:
    """Raise ImportError, which names the extra that brings them, where a top-level module is not installed."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        names, are = " and ".join(missing), "is" if len(missing) == 1 else "are"
        raise ImportError(f"{names} {are} not installed: pip install 'hypern[{extra}]'", name=missing[0])


def check_free_threaded(package: str, least: tuple[int, int], instead: str) -> None:
    """Raise ImportError where importing a package older than ``least`` would turn the GIL of this process on."""
    if _gil.is_enabled():
        return
    version = importlib.metadata.version(package)
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < least:
        raise ImportError(
            f"{package} {version} turns the GIL on, for the whole process, when it is imported by this free-threaded "
            f"Python; {package} {'.'.join(map(str, least))} does not. {instead}",
            name=package,
        )
