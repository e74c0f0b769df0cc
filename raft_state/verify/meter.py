"""Progress over several stages of work, told as one.

Invariant: what is done never falls and never exceeds the total, whatever the stages report and
however they take turns.
"""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with what is done and the total, in any unit."""


class Meter:
    """Adds up stages whose sizes, in bytes, are known beforehand only as a sum."""

    def __init__(self, total_bytes: int, report: Progress | None) -> None:
        self._total_bytes = max(total_bytes, 1)
        self._report = report
        self._begun_bytes = 0
        self._done_bytes = 0

    def stage(self, size_bytes: int) -> Progress:
        """Begin a stage; what it returns is to be told how far the stage is, in any unit."""
        span = min(size_bytes, self._total_bytes - self._begun_bytes)
        self._begun_bytes += span
        part = 0

        def told(done: int, total: int) -> None:
            nonlocal part
            reached = span * min(done, total) // total if total > 0 else span
            if reached > part:
                self._advance(reached - part)
                part = reached

        return told

    def finish(self) -> None:
        """All is done, also what could not be gone through."""
        self._advance(self._total_bytes - self._done_bytes)

    def _advance(self, by_bytes: int) -> None:
        self._done_bytes += by_bytes
        if self._report is not None:
            self._report(self._done_bytes, self._total_bytes)
