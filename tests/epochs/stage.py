"""A cluster as one epoch manager sees it, in steps of time: whom it names comes to lead.

What the protocol adds (promises, draining) is left out on purpose: here the manager alone decides
how often the leadership moves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from conductor.ports import EpochManager, LeaderObservation, MemberObservation
from tests.epochs.builders import a_leader, a_voter, observe

STEP_MS = 100
CAMPAIGN_TIMEOUT_MS = 2000


class Condition(Enum):
    """How a server is."""

    FIT = "fit"
    SICK = "up, not fit to lead"
    DEAD = "does not answer"


ConditionOf = Callable[[str, int, bool], Condition]
"""(server, time in ms, whether it leads) -> how it is."""


@dataclass
class Stage:
    """Plays what happens to the voters, and keeps who led from when on."""

    manager: EpochManager
    condition_of: ConditionOf
    names: tuple[str, ...] = ("a", "b", "c")
    leader: LeaderObservation | None = field(default_factory=lambda: a_leader("a"))
    now_ms: int = 0
    moves: list[tuple[int, str]] = field(default_factory=list)
    """The times at which somebody else came to lead, and who."""
    _serving_since_ms: dict[str, int] = field(default_factory=dict)
    _named: tuple[str, int] | None = None

    def play(self, duration_ms: int) -> None:
        """Let that much time pass."""
        end_ms = self.now_ms + duration_ms
        while self.now_ms < end_ms:
            self._step()
            self.now_ms += STEP_MS

    def _step(self) -> None:
        conditions = {name: self._condition(name) for name in self.names}
        if self.leader is not None and conditions[self.leader.server_id] is Condition.DEAD:
            self.leader = None
        voters = [self._seen(name, condition) for name, condition in conditions.items()]
        designation = self.manager.designate(observe(self.now_ms, *voters, leader=self.leader))
        name = designation.server_id if designation is not None else None
        if self.leader is not None and name in (None, self.leader.server_id):
            self._named = None
        elif name is not None and conditions[name] is not Condition.DEAD:
            self._move(name)
        elif name is not None:
            self._wait_for(name)

    def _condition(self, name: str) -> Condition:
        leads = self.leader is not None and self.leader.server_id == name
        return self.condition_of(name, self.now_ms, leads)

    def _seen(self, name: str, condition: Condition) -> MemberObservation:
        if condition is Condition.FIT:
            since_ms = self._serving_since_ms.setdefault(name, self.now_ms)
            return a_voter(name, since_ms=since_ms)
        self._serving_since_ms.pop(name, None)
        return a_voter(name, serving=False, reachable=condition is Condition.SICK)

    def _move(self, name: str) -> None:
        epoch = len(self.moves) + 2
        self.leader = a_leader(name, epoch=epoch, since_ms=self.now_ms)
        self.moves.append((self.now_ms, name))
        self._named = None

    def _wait_for(self, name: str) -> None:
        if self._named is None or self._named[0] != name:
            self._named = (name, self.now_ms)
        elif self.now_ms >= self._named[1] + CAMPAIGN_TIMEOUT_MS:
            self._named = None
            self.manager.campaign_failed(a_voter(name).server_id, self.now_ms)
