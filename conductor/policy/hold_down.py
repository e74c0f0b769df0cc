"""Remembers who has failed lately, so that others are tried before it.

Invariant: a hold-down ranks a server behind the others and never excludes it. It doubles when the
server fails again soon, and is as short as the first one after it has behaved for as long as it was
held: a server that flaps is left alone for longer and longer, one bad day is forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass

DOUBLINGS_MAX = 4
"""The longest hold-down is 16 times the first."""


@dataclass(frozen=True, slots=True)
class _Failure:
    doublings: int
    until_ms: int
    forgotten_ms: int


class HoldDowns:
    """The hold-downs of all servers, as one node sees them."""

    def __init__(self, hold_down_ms: int) -> None:
        self._hold_down_ms = hold_down_ms
        self._failures: dict[str, _Failure] = {}

    def failed(self, server_id: str, now_ms: int) -> None:
        """The server led or tried to, and failed."""
        last = self._failures.get(server_id)
        doublings = 0
        if last is not None and now_ms < last.forgotten_ms:
            doublings = min(last.doublings + 1, DOUBLINGS_MAX)
        length_ms = self._hold_down_ms * 2**doublings
        self._failures[server_id] = _Failure(
            doublings, until_ms=now_ms + length_ms, forgotten_ms=now_ms + 2 * length_ms
        )

    def until_ms(self, server_id: str, now_ms: int) -> int:
        """When the hold-down of the server ends; 0 when it is not held down."""
        failure = self._failures.get(server_id)
        return failure.until_ms if failure is not None and now_ms < failure.until_ms else 0
