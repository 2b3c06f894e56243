"""What a frame says, by number; ``hypern_wire::Kind`` is the other side of this page."""

from __future__ import annotations

#: Call the function once.
CALL = 1
#: Call the function with each item.
EACH = 2
#: Call the function with the elements of each item.
STAR = 3
#: Call the callables of ``(callable, args)`` or ``(callable, args, kwargs)``.
CALLS = 4
#: Keep the function in the payload under the function number.
DEFINE = 5
#: Forget the function of that number.
FORGET = 6
#: From the guest: it is ready.
READY = 7
#: From the guest: the payload holds what was returned, None where it is empty.
RETURNED = 8
#: From the guest: the payload holds what was raised.
RAISED = 9
#: First of all: what the guest takes over.
SETUP = 10
#: The module search path of what follows.
PATH = 11
#: Like EACH, but no item's failure ends the chunk; what comes back is the results and the failures.
EACH_CAUGHT = 12
#: Like STAR, caught in the same way.
STAR_CAUGHT = 13

#: The kinds whose chunks come back as results and failures.
CAUGHT = (EACH_CAUGHT, STAR_CAUGHT)
