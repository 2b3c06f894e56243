"""A module of a user, as programs under test import it: functions and constants, and things that change."""

from __future__ import annotations

RATE = 3
TABLE = {"a": 1}
calls = 0


def triple(number):
    return RATE * number


def count(number):
    global calls
    calls += 1
    return number


def __getattr__(name):
    if name == "computed":
        return 42
    raise AttributeError(name)
