"""Names the first fit voter, by what the voters' health probes say of each other.

Invariants: a leader that is fit is left alone, but for the one planned move back to an earlier
voter that was fit throughout a whole hold-down; somebody is named whenever a quorum is in reach,
however sick everyone is; nodes that see the same name the same. Nodes that see differently are kept
apart in time: whoever passes over voters that others may still think fit waits a stagger for each.

A dead leader is replaced at once. One that is sick but alive gets an interval to recover, then a
voter with a clean record is named; one that failed lately is named only after a minimum tenure, so
that two sick servers do not pass the leadership back and forth.

Whom an operator chose is left alone while it is fit, however long. If it was unfit already when it
came to lead, by force, it gets a whole hold-down to become fit, unless it is paused meanwhile.
"""

from __future__ import annotations

from conductor.core.values import Epoch, ServerId
from conductor.policy.hold_down import HoldDowns
from conductor.ports import Designation, LeaderObservation, MemberObservation, Observation

TENURE_MS_MIN = 10_000
"""For how long a sick leader stays when all others have failed lately, too."""

SETTLE_INTERVALS = 5
"""How many health intervals it takes until the probes of all nodes agree: five to count as up."""


class HealthEpochManager:
    """Implements `ports.EpochManager` from health probes alone.

    `preempts`: whether an earlier voter takes the leadership back (`--leader-order ordered`).
    """

    def __init__(
        self,
        *,
        preempts: bool,
        preempt_hold_down_ms: int,
        campaign_stagger_ms: int,
        health_interval_ms: int,
    ) -> None:
        self._preempts = preempts
        self._preempt_hold_down_ms = preempt_hold_down_ms
        self._campaign_stagger_ms = campaign_stagger_ms
        self._health_interval_ms = health_interval_ms
        self._settle_ms = SETTLE_INTERVALS * health_interval_ms
        self._hold_downs = HoldDowns(preempt_hold_down_ms)
        self._last_fit_ms: dict[ServerId, int] = {}
        """When each voter was last fit, or first heard of: others may think it fit for longer."""
        self._last_leader: LeaderObservation | None = None
        self._fit_epoch: Epoch | None = None
        """The newest leadership whose leader was seen fit."""
        self._blamed_epoch: Epoch | None = None
        """The leadership whose failure is already counted."""
        self._lost_ms: int | None = None
        """Since when no fit leader is seen."""

    async def start(self) -> None:
        """There is nothing to watch: the probes come with each observation."""

    async def stop(self) -> None:
        """There is nothing to let go of."""

    def campaign_failed(self, server_id: ServerId, now_ms: int) -> None:
        """It ranks behind the others for a while; the next attempt is staggered afresh."""
        self._hold_downs.failed(server_id, now_ms)
        self._lost_ms = now_ms

    def designate(self, observation: Observation) -> Designation | None:
        """Whom the rules name now; None when no quorum is in reach, or not yet."""
        voters = {voter.server_id: voter for voter in observation.voters}
        self._remember(observation, voters)
        leader = observation.leader
        present = voters.get(leader.server_id) if leader is not None else None
        if leader is None or present is None:
            return self._elect(observation)
        if _is_fit(present):
            return self._preempt(observation, leader)
        return self._replace(observation, leader, present)

    def _remember(
        self, observation: Observation, voters: dict[ServerId, MemberObservation]
    ) -> None:
        """Note who is fit, since when no leader is, and whose leadership has failed."""
        now_ms = observation.now_ms
        self._last_fit_ms = {
            server_id: now_ms if _is_fit(voter) else self._last_fit_ms.get(server_id, now_ms)
            for server_id, voter in voters.items()
        }
        current, last = observation.leader, self._last_leader
        leader = current or last
        seen = voters.get(leader.server_id) if leader is not None else None
        if current is not None and (last is None or current.epoch != last.epoch):
            self._lost_ms = None
        if current is not None and seen is not None and _is_fit(seen):
            self._lost_ms = None
            self._fit_epoch = current.epoch
        elif self._lost_ms is None:
            self._lost_ms = now_ms
        self._last_leader = leader
        if leader is None or seen is None or leader.epoch == self._blamed_epoch:
            return
        if self._has_failed(leader, seen, now_ms):
            self._blamed_epoch = leader.epoch
            self._hold_downs.failed(leader.server_id, now_ms)

    def _has_failed(self, leader: LeaderObservation, seen: MemberObservation, now_ms: int) -> bool:
        """Out of reach, or sick for longer than a hiccup, unless an operator wants it so."""
        if self._lost_ms is None or _is_fit(seen):
            return False
        if not seen.reachable:
            return True
        was_forced = leader.by_transfer and leader.epoch != self._fit_epoch
        if was_forced and not seen.paused and now_ms - leader.since_ms < self._preempt_hold_down_ms:
            return False
        return now_ms - self._lost_ms >= self._health_interval_ms

    # A leader that is fit

    def _preempt(self, observation: Observation, leader: LeaderObservation) -> Designation:
        """The leader, or an earlier voter that was fit under it for a whole hold-down."""
        now_ms = observation.now_ms
        for voter in observation.voters:
            is_earlier = voter.server_id < leader.server_id
            if not is_earlier or not self._preempts or leader.by_transfer or not _is_fit(voter):
                continue
            if voter.serving_since_ms is None or self._is_held(voter, now_ms):
                continue
            since_ms = max(voter.serving_since_ms, leader.since_ms)
            if now_ms - since_ms >= self._preempt_hold_down_ms:
                seconds = (now_ms - since_ms) // 1000
                reason = f"comes before {leader.server_id} and has been fit for {seconds} s"
                return Designation(voter.server_id, reason)
        return Designation(leader.server_id, "leads and is fit")

    # A leader that is not

    def _replace(
        self, observation: Observation, leader: LeaderObservation, present: MemberObservation
    ) -> Designation | None:
        """Somebody fitter than a leader that is sick or out of reach."""
        if not present.reachable:
            return self._elect(observation)
        now_ms = observation.now_ms
        best = self._best(observation)
        stay = Designation(leader.server_id, "leads, and nobody else is fitter")
        if best is None or not _is_fit(best) or not self._has_failed(leader, present, now_ms):
            return stay
        if self._is_held(best, now_ms) and now_ms - leader.since_ms < TENURE_MS_MIN:
            return stay
        if self._must_wait(observation, best.server_id):
            return stay
        return Designation(best.server_id, f"is fit, and the leader {leader.server_id} is not")

    # Nobody

    def _elect(self, observation: Observation) -> Designation | None:
        """The best voter that there is, once its rank's time has come."""
        best = self._best(observation)
        if best is None:
            return None
        if initial := self._initial(observation):
            return Designation(initial, "is the initial leader, and nobody has led yet")
        if self._must_wait(observation, best.server_id):
            return None
        if _is_fit(best):
            return Designation(best.server_id, "is the first fit voter, and nobody leads")
        return Designation(
            best.server_id,
            "is the first voter in reach; nobody leads, and none is known to be fit yet",
        )

    def _initial(self, observation: Observation) -> ServerId | None:
        """The initial leader, fit or not, until it has had its chance and let it pass.

        All nodes name it, so nobody waits for a rank; and nobody goes by probes, which may know
        less of it so soon after the start than of others.
        """
        for voter in observation.voters:
            if voter.server_id == observation.initial_leader and not voter.paused:
                return None if self._is_held(voter, observation.now_ms) else voter.server_id
        return None

    def _best(self, observation: Observation) -> MemberObservation | None:
        """Fit before unfit, unpaused before paused, never failed before held down, then by id."""
        in_reach = [
            voter
            for voter in observation.voters
            if voter.reachable or voter.server_id == observation.self_id
        ]
        if len(in_reach) < max(1, observation.quorum):
            return None

        def rank(voter: MemberObservation) -> tuple[bool, bool, int, ServerId]:
            held_until_ms = self._hold_downs.until_ms(voter.server_id, observation.now_ms)
            return (not _is_fit(voter), voter.paused, held_until_ms, voter.server_id)

        return min(in_reach, key=rank)

    def _is_held(self, voter: MemberObservation, now_ms: int) -> bool:
        return self._hold_downs.until_ms(voter.server_id, now_ms) > 0

    def _must_wait(self, observation: Observation, server_id: ServerId) -> bool:
        """Whether others may still be naming somebody before this server."""
        if self._lost_ms is None:
            return False
        lost_id = self._last_leader.server_id if self._last_leader is not None else None
        recently_ms = self._lost_ms - self._settle_ms
        passed_over = [
            voter_id
            for voter_id, last_fit_ms in self._last_fit_ms.items()
            if voter_id < server_id and voter_id != lost_id and last_fit_ms >= recently_ms
        ]
        waited_ms = observation.now_ms - self._lost_ms
        return waited_ms < len(passed_over) * self._campaign_stagger_ms


def _is_fit(voter: MemberObservation) -> bool:
    return voter.reachable and voter.serving and not voter.paused
