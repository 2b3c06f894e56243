"""Pickles what pickle refuses: lambdas, closures, local classes, and what lives in ``__main__``.

This is cloudpickle, but for code and memoryviews. The interpreters at both ends are the same, so code is marshalled,
which keeps the name of its file; cloudpickle drops it (from 3.1.3 on), and a traceback then shows no lines. It makes
bytes of memoryviews, too.
"""

from __future__ import annotations

import io
import marshal
from types import CodeType
from typing import TYPE_CHECKING, Any

import cloudpickle

from hypern._wire import PROTOCOL, view_reduced

if TYPE_CHECKING:
    import pickle
    from collections.abc import Callable


class Pickler(cloudpickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is CodeType:
            try:
                return marshal.loads, (marshal.dumps(obj),)
            except ValueError:  # A constant that no compiler makes: somebody has rewritten the code.
                return NotImplemented
        if type(obj) is memoryview:
            return view_reduced(obj)
        return super().reducer_override(obj)


def dumps(value: Any, buffer_callback: Callable[[pickle.PickleBuffer], bool] | None = None) -> bytes:
    """Return ``value`` as a pickle."""
    file = io.BytesIO()
    Pickler(file, PROTOCOL, buffer_callback).dump(value)
    return file.getvalue()
