"""Names the server that the configuration names, whenever nobody leads.

Invariant: a leader that lives is left alone, whoever it is. So an operator's transfer lasts for as
long as the new leader does; and of two nodes that were given different leaders by mistake, the one
that is promised first leads, and the other says so in its reason instead of fighting. There is no
failover: while the configured server is away nobody else is named.
"""

from __future__ import annotations

from conductor.core.values import ServerId
from conductor.ports import Designation, Observation

DOUBLINGS_MAX = 4


class StaticEpochManager:
    """Implements `ports.EpochManager` with one fixed name."""

    def __init__(self, leader: ServerId, *, campaign_stagger_ms: int) -> None:
        self._leader = leader
        self._campaign_stagger_ms = campaign_stagger_ms
        self._failures = 0
        self._failed_ms = 0

    async def start(self) -> None:
        """There is nothing to watch."""

    async def stop(self) -> None:
        """There is nothing to let go of."""

    def designate(self, observation: Observation) -> Designation | None:
        """The present leader, or else the configured one if it is a voter and not backing off."""
        voter_ids = [voter.server_id for voter in observation.voters]
        leader = observation.leader
        if leader is not None and leader.server_id in voter_ids:
            self._failures = 0
            return Designation(leader.server_id, self._reason_to_stay(leader.server_id))
        if self._leader not in voter_ids:
            return None
        if observation.now_ms < self._failed_ms + self._back_off_ms(voter_ids):
            return None
        return Designation(self._leader, "is the configured leader")

    def campaign_failed(self, server_id: ServerId, now_ms: int) -> None:
        """Back off, so that two different configured leaders do not block each other for ever."""
        if server_id == self._leader:
            self._failures += 1
            self._failed_ms = now_ms

    def _back_off_ms(self, voter_ids: list[ServerId]) -> int:
        """None for the first in order, then a rank's stagger each, doubling with every failure."""
        if not self._failures:
            return 0
        doublings = min(self._failures - 1, DOUBLINGS_MAX)
        return (voter_ids.index(self._leader) * self._campaign_stagger_ms) << doublings

    def _reason_to_stay(self, leader_id: ServerId) -> str:
        if leader_id == self._leader:
            return "leads, as configured"
        return f"leads, although {self._leader} is the configured leader here"
