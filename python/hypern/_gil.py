"""Says when threads cannot run in parallel on a free-threaded interpreter because something turned the GIL back on."""

from __future__ import annotations

import sys
import sysconfig
import warnings

_warned = False


def is_free_threaded_build() -> bool:
    """Tell whether this interpreter can run without a GIL."""
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def is_enabled() -> bool:
    """Tell whether the GIL is on now."""
    return getattr(sys, "_is_gil_enabled", lambda: True)()


def warn_if_turned_on() -> None:
    """Warn once where the build could run threads in parallel and the GIL is on, naming who turned it on."""
    global _warned
    if _warned or not is_free_threaded_build() or not is_enabled():
        return
    _warned = True
    warnings.warn(
        f"this free-threaded Python runs with the GIL on, so threads take turns: {_culprit()}",
        RuntimeWarning,
        stacklevel=4,
    )


def _culprit() -> str:
    if getattr(sys.flags, "gil", None) == 1:
        return "it was started with PYTHON_GIL=1 or -X gil=1"
    from hypern import _core

    names = sorted(name for name, module in list(sys.modules.items()) if _core.needs_gil(module))
    if not names:
        return "an extension module that does not declare support for free threading was imported"
    return f"the extension module {', '.join(map(repr, names))} does not declare support for free threading"
