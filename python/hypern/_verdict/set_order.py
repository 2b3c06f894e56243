"""Whether a set is in the same order in its copy.

In an interpreter of the same process text has the same hash, so a set that is built in the same way has the same order.
Another process has other hashes, unless PYTHONHASHSEED is 0.
"""

from __future__ import annotations

import marshal
import sys
from typing import Any

#: Whether calls that leave may run in processes with hashes of their own: where interpreters are not offered, and from
#: the first pool on that has processes instead. A seed other than 0 may have been named after this process began.
SEEDS_DIFFER = sys.version_info < (3, 13) and bool(sys.flags.hash_randomization)


def keeps_order(value: frozenset[Any]) -> bool:
    """Tell whether a constant set has the same order when it was marshalled or pickled, and rebuilt elsewhere."""
    if len(value) < 2:
        return True
    if SEEDS_DIFFER and not all(type(each) in (int, float, bool) for each in value):
        return False
    order = list(value)
    if order != list(frozenset(order)):
        return False
    try:
        return order == list(marshal.loads(marshal.dumps(value)))  # noqa: S302 - as code travels
    except ValueError:  # It has members of other kinds, which are pickled.
        return True
