"""Brings the epoch manager's word to the core: who should try to lead.

Invariant: nothing here decides about safety. A designation is repeated while it holds, so that a
lost or early one does no harm; the core heeds it only when it may.
"""

from __future__ import annotations

from collections.abc import Callable

from conductor.core.events import Designated, PeerFitnessChanged
from conductor.core.machine import Machine
from conductor.core.values import EntryKind, Epoch, EpochStart, ServerId
from conductor.ports import (
    Designation,
    EpochManager,
    LeaderObservation,
    MemberObservation,
    Observation,
)
from conductor.runtime.driver import Driver

TRANSFER_REASON = "transfer"
"""How the reason of a leadership begins that an operator asked for."""


class Election:
    """Asks the epoch manager again and again, and notices when its word comes to nothing."""

    def __init__(
        self,
        driver: Driver,
        manager: EpochManager,
        observe_others: Callable[[int], tuple[MemberObservation, ...]],
        *,
        initial_leader: ServerId | None,
        campaign_timeout_ms: int,
    ) -> None:
        self._driver = driver
        self._manager = manager
        self._observe_others = observe_others
        self._initial_leader = initial_leader
        self._campaign_timeout_ms = campaign_timeout_ms
        self._known_serving: dict[ServerId, bool] = {}
        self._named: tuple[ServerId, int] | None = None
        self._leader: LeaderObservation | None = None
        self._designated: Designation | None = None
        self.observed: dict[ServerId, MemberObservation] = {}
        """The newest observation of every voter, this node included."""

    def consider(self, own: MemberObservation, now_ms: int) -> None:
        """Look at the cluster once, and pass on whom the manager names."""
        others = self._observe_others(now_ms)
        self._tell_fitness(others)
        self._note_leader(now_ms)
        voters = {voter.server_id for voter in self._machine.node.log.membership.voters}
        self.observed = {seen.server_id: seen for seen in (*others, own)}
        observation = Observation(
            now_ms=now_ms,
            self_id=own.server_id,
            voters=tuple(seen for name, seen in sorted(self.observed.items()) if name in voters),
            quorum=self._machine.node.log.membership.quorum,
            leader=self._leader,
            initial_leader=None if self._has_been_led else self._initial_leader,
        )
        designation = self._manager.designate(observation)
        self._designated = designation
        self._give_up_on_failed(designation, now_ms)
        if designation is not None:
            self._driver.post(Designated(designation.server_id, designation.reason))

    @property
    def _machine(self) -> Machine:
        return self._driver.machine

    @property
    def _has_been_led(self) -> bool:
        """Whether this node has heard of a leadership: each begins with an entry."""
        return self._machine.node.log.last.index > 0

    def _tell_fitness(self, others: tuple[MemberObservation, ...]) -> None:
        for seen in others:
            if self._known_serving.get(seen.server_id) != seen.serving:
                self._known_serving[seen.server_id] = seen.serving
                self._driver.post(PeerFitnessChanged(seen.server_id, seen.serving))

    def _note_leader(self, now_ms: int) -> None:
        known = self._machine.known_leader
        if known is None:
            self._leader = None
        elif self._leader is None or (self._leader.server_id, self._leader.epoch) != (
            known.server_id,
            known.epoch,
        ):
            reason = self.reason_of(known.epoch)
            self._leader = LeaderObservation(
                server_id=known.server_id,
                epoch=known.epoch,
                since_ms=now_ms,
                by_transfer=reason.startswith(TRANSFER_REASON),
            )

    def reason_of(self, epoch: Epoch) -> str:
        """Why the leader of that epoch leads, as its epoch-start entry says."""
        for entry in reversed(self._machine.node.log.entries):
            if entry.epoch == epoch and entry.kind is EntryKind.EPOCH_START:
                return EpochStart.from_bytes(entry.control).reason
            if entry.epoch < epoch:
                break
        return ""

    def hand_over_failed(self, now_ms: int) -> None:
        """The leadership was to be passed to whom the manager named, and was not."""
        if (
            self._designated is not None
            and self._designated.server_id != self._machine.node.key.server_id
        ):
            self._manager.campaign_failed(self._designated.server_id, now_ms)

    def _give_up_on_failed(self, designation: Designation | None, now_ms: int) -> None:
        """Tell the manager when whom it named has not come to lead in time (rule 5.3.5)."""
        if designation is None or self._leader is not None:
            self._named = None
            return
        if self._named is None or self._named[0] != designation.server_id:
            self._named = (designation.server_id, now_ms)
        elif now_ms >= self._named[1] + self._campaign_timeout_ms:
            self._named = None
            self._manager.campaign_failed(designation.server_id, now_ms)
