"""What a member does once in an interval, whatever else happens.

Invariant: under any load the log is pruned, and under none the disk is still written to, so that
one that takes no writes is noticed before a commit is due (rules 5.5 and 5.7).
"""

from __future__ import annotations

from conductor.core.effects import Prune, Touch
from conductor.core.node import Node


class Housekeeping:
    """Saves how far the log is certified, prunes, and touches the disk."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._done_ms: int | None = None

    @property
    def next_deadline_ms(self) -> int:
        """When it is due again."""
        since_ms = self._node.now_ms if self._done_ms is None else self._done_ms
        return since_ms + self._node.settings.touch_interval_ms

    def on_time(self) -> None:
        """Do it when it is due. A disk that is busy is not given more to do than it needs."""
        node = self._node
        if self._done_ms is None:
            self._done_ms = node.now_ms
        elif node.now_ms >= self.next_deadline_ms:
            self._done_ms = node.now_ms
            node.save_certified()
            self._prune()
            if node.outbox.is_idle():
                node.outbox.write(Touch())

    def _prune(self) -> None:
        node = self._node
        base = node.log.prunable(
            retain_payloads=node.settings.retain_payloads,
            retain_bytes=node.settings.retain_bytes,
        )
        if base is not None:
            node.log.prune(base)
            node.outbox.write(Prune(base))
