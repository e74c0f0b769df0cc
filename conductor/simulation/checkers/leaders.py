"""Promise 3: at most one leader per epoch.

No epoch serves two campaigns either, nor two lives of one server.
"""

from __future__ import annotations

from conductor.core.effects import LeadershipChanged, Notice, Send
from conductor.core.messages import Append, InstallBase, PromiseRequest
from conductor.core.values import Epoch, MemberKey, ServerId
from conductor.simulation.checkers.checker import Checker, fail
from conductor.simulation.node import SimulatedNode


class OneLeader(Checker):
    """Watches who asks for promises, who writes, and who says that it leads."""

    def __init__(self) -> None:
        self._campaigns: dict[tuple[Epoch, MemberKey], tuple[int, int]] = {}
        self._writers: dict[Epoch, tuple[ServerId, int]] = {}
        self._candidates: dict[Epoch, MemberKey] = {}
        self._established: dict[Epoch, ServerId] = {}
        self.contested: set[Epoch] = set()
        """The epochs for which more than one server campaigned."""

    def on_send(self, node: SimulatedNode, send: Send) -> None:
        """Every Append shows a leader, every promise request a campaign."""
        message = send.message
        if isinstance(message, Append | InstallBase):
            writer = (node.key.server_id, node.life)
            known = self._writers.setdefault(message.epoch, writer)
            if known != writer:
                fail("one leader per epoch", f"{known} and {writer} write in {message.epoch}")
        elif isinstance(message, PromiseRequest):
            self._campaigns_for(node, message)

    def _campaigns_for(self, node: SimulatedNode, request: PromiseRequest) -> None:
        campaign = (node.life, request.nonce)
        known = self._campaigns.setdefault((request.epoch, node.key), campaign)
        if known != campaign:
            fail("one campaign per epoch", f"{node.key.server_id} asks again for {request.epoch}")
        if self._candidates.setdefault(request.epoch, node.key) != node.key:
            self.contested.add(request.epoch)

    def on_notice(self, node: SimulatedNode, notice: Notice) -> None:
        """All who name the leader of an epoch name the same one."""
        if isinstance(notice, LeadershipChanged) and notice.leader_id is not None:
            known = self._established.setdefault(notice.epoch, notice.leader_id)
            if known != notice.leader_id:
                fail("one leader per epoch", f"{known} and {notice.leader_id} in {notice.epoch}")
