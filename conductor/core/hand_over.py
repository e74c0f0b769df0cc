"""Passing the leadership to another member (rule 5.5): bring up to date, drain, order, await.

Invariants: until some member promises a higher epoch nothing is given up; an attempt that fails
leaves the leadership where it was. Whoever asked learns the true outcome: *refused* says that the
target will never lead by this order, and an order that is under way cannot be called back.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from conductor.core.effects import HandOverDone, RequestFailed
from conductor.core.leadership import Leadership
from conductor.core.messages import HandOver, HandOverAnswer, HandOverOrder
from conductor.core.node import Node
from conductor.core.progress import Progress
from conductor.core.values import Epoch, MemberKey, ServerId
from conductor.errors import ConductorError, LeadershipLost, OutcomeUnknown, TransferRefused


class Stage(enum.Enum):
    """How far a hand-over has come."""

    CATCH_UP = "lets the target come near while commits go on"
    DRAIN = "waits until everything is certified and the target has it"
    ORDERED = "has ordered the target to campaign"
    AWAITED = "has stepped down and waits for the target to lead"
    ENDED = "is over"


_LATE = {
    Stage.CATCH_UP: "was not caught up in time",
    Stage.DRAIN: "was not caught up in time",
    Stage.ORDERED: "did not campaign in time",
    Stage.AWAITED: "did not take the leadership in time",
}
"""What the target has failed to do when the time is up."""


class HandOverAttempt:
    """One attempt to pass the leadership of `epoch` to `target`."""

    def __init__(
        self,
        node: Node,
        leadership: Leadership,
        target: MemberKey,
        *,
        request_id: int,
        reason: str,
        timeout_ms: int,
        forced: bool,
        take_back: Callable[[str], None],
    ) -> None:
        self._node = node
        self._leadership = leadership
        self._request_id = request_id
        self._reason = reason
        self._forced = forced
        self._take_back = take_back
        self.target = target
        self.epoch: Epoch = leadership.epoch
        self.stage = Stage.CATCH_UP
        self.deadline_ms = node.now_ms + timeout_ms
        self._ordered_ms = node.now_ms

    def on_progress(self) -> None:
        """Go on as far as the target has come: drain once it is near, order once it is level.

        From the drain on commits wait: a target that is far behind must not make that long.
        """
        node, progress = self._node, self._leadership.replication.find(self.target)
        if progress is None:
            return
        if self.stage is Stage.CATCH_UP and is_near(node, progress):
            self.stage = Stage.DRAIN
            self._leadership.draining = True
        is_drained = node.log.certified == node.log.last
        if self.stage is Stage.DRAIN and is_drained and progress.match >= node.log.last.index:
            self.stage = Stage.ORDERED
            self._order(progress)

    def _order(self, progress: Progress) -> None:
        node = self._node
        self._ordered_ms = node.now_ms
        progress.open_orders += 1
        order = HandOverOrder(node.cluster_id, self.epoch, node.key, self.target)
        node.outbox.send(self.target.server_id, HandOver(order, self._reason, self._forced))

    def on_refused(self, progress: Progress, reason: str) -> None:
        """A member does not want it. Of several orders the target may yet obey another."""
        if self.stage is not Stage.ORDERED or progress.member.key != self.target:
            return
        problem = f"{self.target.server_id} refuses: {reason}"
        if progress.open_orders:
            self._fail(OutcomeUnknown(f"{problem}; it was ordered before, and may still obey"))
        else:
            self._fail(TransferRefused(problem))

    def on_stepped_down(self) -> None:
        """The leadership is over, whoever ended it. A campaign has its own time."""
        node = self._node
        if self.stage is Stage.ORDERED:
            self.stage = Stage.AWAITED
            own_time_ms = node.now_ms + node.settings.campaign_timeout_ms
            self.deadline_ms = min(self.deadline_ms, own_time_ms)
        elif self.stage in (Stage.CATCH_UP, Stage.DRAIN):
            self._end(LeadershipLost("the leadership was lost before it could be handed over"))

    def on_leader(self, leader_id: ServerId, epoch: Epoch) -> None:
        """Someone leads now."""
        if self.stage is not Stage.AWAITED:
            return
        if leader_id == self.target.server_id:
            self.stage = Stage.ENDED
            self._node.outbox.notify(HandOverDone(self._request_id, leader_id, epoch))
        else:
            self._end(LeadershipLost(f"{leader_id} took the leadership instead"))

    def on_time(self) -> None:
        """Give up in time; until then repeat the order, which may have been lost.

        Commits wait: not for a target that has not answered for a whole lease.
        """
        node = self._node
        progress = self._leadership.replication.find(self.target)
        if node.now_ms >= self.deadline_ms:
            self._give_up(_LATE.get(self.stage, ""))
        elif progress is None or self.stage in (Stage.AWAITED, Stage.ENDED):
            return
        elif is_silent(node, progress):
            self._give_up("does not answer")
        elif (
            self.stage is Stage.ORDERED
            and node.now_ms >= self._ordered_ms + node.settings.heartbeat_ms
        ):
            self._order(progress)

    @property
    def is_given_away(self) -> bool:
        """Whether the target has its chance now: the old leader does not compete with it."""
        return self.stage is Stage.AWAITED

    def on_target_died(self) -> None:
        """The target's machine refuses connections."""
        self._give_up("has died")

    def _give_up(self, what: str) -> None:
        """Go on leading, or try to lead again."""
        problem = f"{self.target.server_id} {what}"
        if self.stage is Stage.AWAITED:
            self._end(LeadershipLost(problem))
            self._take_back(problem)
        elif self.stage is Stage.ORDERED:
            self._fail(OutcomeUnknown(f"{problem}; it was ordered to lead, and may still do so"))
        elif self.stage is not Stage.ENDED:
            self._fail(TransferRefused(problem))

    def _fail(self, error: ConductorError) -> None:
        self._end(error)
        self._leadership.resume_commits()

    def _end(self, error: ConductorError) -> None:
        self.stage = Stage.ENDED
        self._node.outbox.notify(RequestFailed(self._request_id, error))


def order_refused(
    leadership: Leadership,
    attempt: HandOverAttempt | None,
    sender: MemberKey,
    answer: HandOverAnswer,
) -> None:
    """A member refuses one of its orders: of the attempt that is under way, or of one before."""
    progress = leadership.replication.find(sender)
    if progress is None or answer.epoch != leadership.epoch:
        return
    progress.open_orders = max(0, progress.open_orders - 1)
    if attempt is not None:
        attempt.on_refused(progress, answer.reason)


def find_target(
    node: Node, leadership: Leadership, wanted: ServerId | None, *, forced: bool = False
) -> Progress:
    """Whom to hand over to: the one that is wanted, or the best. TransferRefused says why not.

    Forced, the one that is wanted need not be fit to lead. It must still be there.
    """
    candidates = leadership.replication.progress
    if wanted is not None:
        progress = candidates.get(wanted)
        problem = _unfitness(node, wanted, progress, forced=forced)
        if progress is None or problem:
            raise TransferRefused(problem)
        return progress
    fit = [
        progress
        for server_id, progress in candidates.items()
        if not _unfitness(node, server_id, progress, forced=False)
    ]
    if not fit:
        raise TransferRefused("cannot find peer: no other voter is fit to lead")
    return min(fit, key=lambda progress: (-progress.match, progress.member.server_id))


def _unfitness(node: Node, server_id: ServerId, progress: Progress | None, *, forced: bool) -> str:
    """Why this member cannot be handed the leadership; empty when it can."""
    if server_id == node.key.server_id:
        return "cannot transfer leadership to itself"
    if progress is None:
        return f"cannot find replication state for {server_id}"
    if not node.log.membership.has_voter(progress.member.key):
        return f"{server_id} is not a voter"
    if server_id not in node.serving_peers and not forced:
        return f"{server_id} is not fit to lead"
    if is_silent(node, progress) or server_id in node.dead_peers:
        return f"{server_id} does not answer"
    return ""


def is_silent(node: Node, progress: Progress) -> bool:
    """Whether a member has not answered within a lease."""
    return node.now_ms >= progress.heard_ms + node.settings.lease_ms


def is_near(node: Node, progress: Progress) -> bool:
    """Whether a member lacks so little that commits can wait until it has that, too."""
    return progress.match + node.settings.pending_payloads_max >= node.log.last.index
