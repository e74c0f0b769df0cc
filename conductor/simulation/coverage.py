"""Counts the rare events without which a schedule proves little."""

from __future__ import annotations

from collections import Counter

from conductor.core.effects import (
    CampaignEnded,
    InstallWindow,
    LeadershipChanged,
    Notice,
    Operation,
    Prune,
    Truncate,
)
from conductor.core.events import Event, MessageReceived
from conductor.core.messages import FetchAnswer, Mismatch
from conductor.simulation.checkers.checker import Checker
from conductor.simulation.node import SimulatedNode


class Coverage(Checker):
    """How often each thing happened in one schedule."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def on_event(self, node: SimulatedNode, event: Event) -> None:
        """Count what nodes hear."""
        if isinstance(event, MessageReceived):
            if isinstance(event.message, FetchAnswer) and event.message.entries:
                self.counts["adoption"] += 1
            elif isinstance(event.message, Mismatch):
                self.counts["mismatch"] += 1

    def on_operation(self, node: SimulatedNode, operation: Operation) -> None:
        """Count what nodes write."""
        if isinstance(operation, Truncate):
            self.counts["truncation"] += 1
        elif isinstance(operation, InstallWindow):
            self.counts["base_install"] += 1
        elif isinstance(operation, Prune):
            self.counts["prune"] += 1

    def on_notice(self, node: SimulatedNode, notice: Notice) -> None:
        """Count what nodes say to their own."""
        if isinstance(notice, LeadershipChanged) and notice.leader_id == node.key.server_id:
            self.counts["established"] += 1
        elif isinstance(notice, CampaignEnded):
            self.counts["campaign_failed"] += 1

    def on_boot(self, node: SimulatedNode) -> None:
        """Count restarts."""
        if node.life > 1:
            self.counts["restart"] += 1
