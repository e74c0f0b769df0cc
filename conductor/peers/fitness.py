"""What the probes of one member add up to. No clock, no network: times come as arguments.

Fast down, slow up: a refused connection or three misses in a row count a member as down, and then
it takes five good answers to count as up again. Its own word that it serves is believed only while
it is up and the word is fresh. Misses prove nothing while this node itself was held up.
"""

from __future__ import annotations

from dataclasses import dataclass

from conductor.core.values import ServerId
from conductor.ports import MemberObservation

MISSES_TO_DOWN = 3
ANSWERS_TO_UP = 5


@dataclass(slots=True)
class Fitness:
    """The judgement of one member."""

    server_id: ServerId
    word_age_max_ms: int
    """How old the member's last word may be before it counts for nothing."""
    _is_up: bool = False
    _misses: int = 0
    _answers: int = 0
    """Good ones in a row since the last miss."""
    _heard_ms: int | None = None
    """When the last answer came. None: never one."""
    _serving: bool = False
    _paused: bool = False
    _serving_since_ms: int | None = None
    _suspended_until_ms: int = 0

    def suspend(self, until_ms: int) -> None:
        """Until then misses do not count and words do not grow old: this node was held up."""
        self._suspended_until_ms = max(self._suspended_until_ms, until_ms)

    def answered(self, now_ms: int, *, serving: bool, paused: bool) -> None:
        """A probe came back."""
        served_since_ms = self.observe(now_ms).serving_since_ms
        self._answers += 1
        if self._heard_ms is None or self._answers >= ANSWERS_TO_UP:
            self._is_up = True
        self._heard_ms = now_ms
        self._misses = 0
        self._serving, self._paused = serving, paused
        self._serving_since_ms = now_ms if served_since_ms is None else served_since_ms

    def missed(self, now_ms: int) -> None:
        """A probe had no answer in time."""
        if now_ms >= self._suspended_until_ms:
            self._misses += 1
            self._answers = 0
            self._is_up = self._is_up and self._misses < MISSES_TO_DOWN

    def refused(self) -> None:
        """Its machine refuses connections: nothing serves there, whoever was held up."""
        self._misses = max(self._misses, MISSES_TO_DOWN)
        self._answers = 0
        self._is_up = False

    def observe(self, now_ms: int) -> MemberObservation:
        """The judgement now."""
        is_fresh = self._heard_ms is not None and now_ms < max(
            self._heard_ms + self.word_age_max_ms, self._suspended_until_ms
        )
        serving = self._is_up and self._serving and is_fresh
        return MemberObservation(
            server_id=self.server_id,
            reachable=is_fresh and self._misses < MISSES_TO_DOWN,
            serving=serving,
            paused=self._paused,
            serving_since_ms=self._serving_since_ms if serving else None,
        )
