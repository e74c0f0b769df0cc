"""Whom a leader hands over to.

Invariant: a target is serving by its own fresh word and caught up; nothing else is ever chosen.
Among those the order is the epoch managers' own (sorted ids, held-down ones last), so that nobody
names the next leader by another rule and sends the leadership back and forth.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """A voter other than the leader."""

    server_id: str
    serving: bool
    """Fit to lead, by its own word, and that word is fresh."""
    caught_up: bool
    """It has, or is about to have, everything that the leader has."""
    held_down_until_ms: int = 0
    """It led and failed: others come first until then. 0 when it is not held down."""


def choose_successor(candidates: Iterable[Candidate], now_ms: int) -> str | None:
    """The server to hand over to; None: nobody is better, the leader stays.

    Those whose hold-down is over come first, by id; then the others, the soonest over first.
    """
    fit = [candidate for candidate in candidates if candidate.serving and candidate.caught_up]
    if not fit:
        return None

    def rank(candidate: Candidate) -> tuple[int, str]:
        remaining_ms = max(0, candidate.held_down_until_ms - now_ms)
        return remaining_ms, candidate.server_id

    return min(fit, key=rank).server_id
