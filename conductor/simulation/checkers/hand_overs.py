"""What is said of a transfer is true (rule 5.5).

Done: the target leads, in that epoch. Refused: nobody ever leads because of this request, neither
then nor later. Unknown: anything. Every request has a reason of its own, which the leadership that
comes of it names.
"""

from __future__ import annotations

from conductor.core.effects import HandOverDone, LeadershipChanged, Notice, RequestFailed
from conductor.core.events import Event, HandOverRequested
from conductor.core.values import Epoch, ServerId
from conductor.errors import Refused
from conductor.simulation.checkers.checker import Checker, fail
from conductor.simulation.node import SimulatedNode


class HandOvers(Checker):
    """Follows requests from when they are asked to the leaderships that come of them."""

    def __init__(self) -> None:
        self._asked: dict[tuple[ServerId, int], HandOverRequested] = {}
        self._leaders: dict[Epoch, ServerId] = {}
        self._refused: set[str] = set()
        self._fulfilled: set[str] = set()
        self.forced = 0
        """How many leaderships began with a transfer that was forced."""
        self._forced_reasons: set[str] = set()

    def on_event(self, node: SimulatedNode, event: Event) -> None:
        """Note who is asked for what."""
        if isinstance(event, HandOverRequested):
            self._asked[node.key.server_id, event.request_id] = event
            if event.force:
                self._forced_reasons.add(event.reason)

    def on_notice(self, node: SimulatedNode, notice: Notice) -> None:
        """Hold answers against leaderships, whichever come first."""
        server_id = node.key.server_id
        if isinstance(notice, LeadershipChanged) and notice.leader_id == server_id:
            self._leads(notice.epoch, server_id, notice.reason)
        elif isinstance(notice, HandOverDone | RequestFailed):
            asked = self._asked.pop((server_id, notice.request_id), None)
            if asked is not None:
                self._judge(asked, notice)

    def _leads(self, epoch: Epoch, leader_id: ServerId, reason: str) -> None:
        self._leaders[epoch] = leader_id
        self._fulfilled.add(reason)
        self.forced += reason in self._forced_reasons
        if reason in self._refused:
            fail("refused means never", f"{leader_id} leads by '{reason}', which was refused")

    def _judge(self, asked: HandOverRequested, notice: HandOverDone | RequestFailed) -> None:
        if isinstance(notice, HandOverDone):
            is_target = asked.target in (None, notice.leader_id)
            if not is_target or self._leaders.get(notice.epoch) != notice.leader_id:
                fail("done means that it leads", f"{notice} answers {asked}")
        elif isinstance(notice.error, Refused):
            self._refused.add(asked.reason)
            if asked.reason in self._fulfilled:
                fail("refused means never", f"'{asked.reason}' was refused, and somebody leads")
