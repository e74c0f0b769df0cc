"""Passing the leadership to another member (rule 5.5): drain, bring up to date, order, await.

Invariant: until some member promises a higher epoch nothing is given up; an attempt that fails
leaves the leadership where it was, and whoever asked learns the true outcome.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from conductor.core.effects import HandOverDone, RequestFailed
from conductor.core.leadership import Leadership
from conductor.core.messages import HandOver, HandOverOrder
from conductor.core.node import Node
from conductor.core.progress import Progress
from conductor.core.values import Epoch, MemberKey, ServerId
from conductor.errors import ConductorError, LeadershipLost, TransferRefused


class Stage(enum.Enum):
    """How far a hand-over has come."""

    DRAIN = "waits until everything is certified and the target has it"
    ORDERED = "has ordered the target to campaign"
    AWAITED = "has stepped down and waits for the target to lead"
    ENDED = "is over"


_LATE = {
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
        take_back: Callable[[str], None],
    ) -> None:
        self._node = node
        self._leadership = leadership
        self._request_id = request_id
        self._reason = reason
        self._take_back = take_back
        self.target = target
        self.epoch: Epoch = leadership.epoch
        self.stage = Stage.DRAIN
        self.deadline_ms = node.now_ms + timeout_ms
        self._ordered_ms = node.now_ms

    def start(self) -> None:
        """Stop taking commits, and order at once if there is nothing to drain."""
        self._leadership.draining = True
        self.on_progress()

    def on_progress(self) -> None:
        """Order the target to campaign as soon as it has everything, certified."""
        if self.stage is not Stage.DRAIN:
            return
        node = self._node
        progress = self._leadership.replication.find(self.target)
        is_drained = node.log.certified == node.log.last
        if progress is None or not is_drained or progress.match < node.log.last.index:
            return
        self.stage = Stage.ORDERED
        self._order()

    def _order(self) -> None:
        node = self._node
        self._ordered_ms = node.now_ms
        order = HandOverOrder(node.cluster_id, self.epoch, node.key, self.target)
        node.outbox.send(self.target.server_id, HandOver(order, self._reason))

    def on_refused(self, sender: MemberKey, reason: str) -> None:
        """The target does not want it."""
        if self.stage is Stage.ORDERED and sender == self.target:
            self._fail(TransferRefused(f"{self.target.server_id} refuses: {reason}"))

    def on_stepped_down(self) -> None:
        """The leadership is over, whoever ended it."""
        if self.stage is Stage.ORDERED:
            self.stage = Stage.AWAITED
        elif self.stage is Stage.DRAIN:
            self._end(LeadershipLost("the leadership was lost before it could be handed over"))

    def on_leader(self, leader_id: ServerId, epoch: Epoch) -> None:
        """Someone leads now."""
        if self.stage is not Stage.AWAITED:
            return
        if leader_id == self.target.server_id:
            self.stage = Stage.ENDED
            self._node.outbox.notify(HandOverDone(self._request_id, leader_id, epoch))
        else:
            self._end(TransferRefused(f"{leader_id} took the leadership instead"))

    def on_time(self) -> None:
        """Give up at the deadline; until then repeat the order, which may have been lost."""
        now_ms = self._node.now_ms
        if now_ms >= self.deadline_ms:
            self._give_up(_LATE.get(self.stage, ""))
        elif (
            self.stage is Stage.ORDERED
            and now_ms >= self._ordered_ms + self._node.settings.heartbeat_ms
        ):
            self._order()

    def on_target_died(self) -> None:
        """The target's machine refuses connections."""
        self._give_up("has died")

    def _give_up(self, what: str) -> None:
        """Go on leading, or try to lead again."""
        problem = f"{self.target.server_id} {what}"
        if self.stage is Stage.AWAITED:
            self._end(LeadershipLost(problem))
            self._take_back(problem)
        elif self.stage is not Stage.ENDED:
            self._fail(TransferRefused(problem))

    def _fail(self, error: ConductorError) -> None:
        self._end(error)
        self._leadership.resume_commits()

    def _end(self, error: ConductorError) -> None:
        self.stage = Stage.ENDED
        self._node.outbox.notify(RequestFailed(self._request_id, error))


def find_target(node: Node, leadership: Leadership, wanted: ServerId | None) -> Progress:
    """Whom to hand over to: the one that is wanted, or the best. TransferRefused says why not."""
    candidates = leadership.replication.progress
    if wanted is not None:
        progress = candidates.get(wanted)
        problem = _unfitness(node, wanted, progress)
        if progress is None or problem:
            raise TransferRefused(problem)
        return progress
    fit = [
        progress
        for server_id, progress in candidates.items()
        if not _unfitness(node, server_id, progress)
    ]
    if not fit:
        raise TransferRefused("no other voter is fit to lead")
    return min(fit, key=lambda progress: (-progress.match, progress.member.server_id))


def _unfitness(node: Node, server_id: ServerId, progress: Progress | None) -> str:
    """Why this member cannot be handed the leadership; empty when it can."""
    if server_id == node.key.server_id:
        return "cannot transfer leadership to itself"
    if progress is None:
        return f"cannot find replication state for {server_id}"
    if not node.log.membership.has_voter(progress.member.key):
        return f"{server_id} is not a voter"
    if server_id not in node.serving_peers:
        return f"{server_id} is not fit to lead"
    is_silent = node.now_ms >= progress.heard_ms + node.settings.lease_ms
    if is_silent or server_id in node.dead_peers:
        return f"{server_id} does not answer"
    return ""
