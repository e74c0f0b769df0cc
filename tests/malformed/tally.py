"""What became of the inputs: how many of each class, the slowest, and all that went wrong."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

FINDINGS_MAX = 20
SHOWN_BYTES = 300


@dataclass(frozen=True, slots=True)
class Finding:
    """One input that was not taken as it must be."""

    target: str
    number: int
    problem: str
    data: bytes

    def __str__(self) -> str:
        shown = self.data[:SHOWN_BYTES]
        rest = f" and {len(self.data) - SHOWN_BYTES} bytes more" if shown != self.data else ""
        return f"{self.target} #{self.number}: {self.problem}\n    input: {shown!r}{rest}"


@dataclass(slots=True)
class Slowest:
    """The input that took most CPU time."""

    seconds: float = 0.0
    number: int = 0
    size: int = 0


@dataclass(slots=True)
class Tally:
    """The outcomes of one kind of input."""

    target: str
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    slowest: Slowest = field(default_factory=Slowest)

    @property
    def count(self) -> int:
        """How many inputs there were."""
        return sum(self.outcomes.values())

    def fail(self, number: int, problem: str, data: bytes) -> None:
        """Remember an input that was not taken as it must be."""
        self.outcomes["WRONG"] += 1
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(Finding(self.target, number, problem, data))

    @contextmanager
    def timed(self, number: int, data: bytes, limit_s: float) -> Iterator[None]:
        """Measure the CPU time that an input takes; too much of it is a finding."""
        began_s = time.process_time()
        yield
        took_s = time.process_time() - began_s
        if took_s > self.slowest.seconds:
            self.slowest = Slowest(took_s, number, len(data))
        if took_s > limit_s:
            self.fail(number, f"took {took_s:.2f} s of CPU time, over {limit_s} s", data)

    def lines(self) -> Iterator[str]:
        """The figures, for people."""
        shares = ", ".join(f"{name} {count}" for name, count in sorted(self.outcomes.items()))
        slowest = self.slowest
        slow = (
            f"; slowest {slowest.seconds * 1000:.1f} ms CPU ({slowest.size} bytes)"
            if slowest.seconds
            else ""
        )
        yield f"{self.target}: {self.count} inputs: {shares}{slow}"
        yield from (f"  {finding}" for finding in self.findings)


class Unexpected:
    """Turns an error that must not come out into a finding, and goes on with the next input.

    A context manager rather than a handler: it takes note of every error and decides about none.
    """

    def __init__(self, tally: Tally, number: int, data: bytes) -> None:
        self._tally = tally
        self._number = number
        self._data = data

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        last = "".join(traceback.format_exception(error)[-3:]).rstrip()
        self._tally.fail(self._number, f"{type(error).__name__}: {last}", self._data)
        return True
