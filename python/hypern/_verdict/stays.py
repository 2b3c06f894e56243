"""The answer that a call must stay, which ends the walk over what it reaches."""

from __future__ import annotations


class Stays(Exception):
    """A call must stay in the shared interpreter: why, which name decided, and what would help."""

    def __init__(self, reason: str, name: str | None = None, advice: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.name = name
        self.advice = advice
        self.file: str | None = None
        self.line: int | None = None

    def at(self, file: str | None, line: int | None) -> Stays:
        """Say where, if nobody has said so yet."""
        if self.file is None:
            self.file, self.line = file, line
        return self
