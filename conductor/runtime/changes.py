"""Says in the log what has changed of the node's fitness and of its peers, once a change.

Invariant: what stays as it is is said once. These are the lines that answer, after the fact, why a
node did not serve and whom it did not reach.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from conductor.core.values import ServerId
from conductor.ports import MemberObservation
from conductor.runtime.monitor import Condition

logger = structlog.get_logger(__name__)


class Changes:
    """What was said last."""

    def __init__(self) -> None:
        self._serving = False
        self._reached: set[ServerId] = set()

    def condition(self, condition: Condition) -> None:
        """The node is in this condition."""
        if condition.serving == self._serving:
            return
        self._serving = condition.serving
        if condition.serving:
            logger.info("serving_began")
        else:
            logger.warning("serving_ended", reasons=list(condition.reasons))

    def peers(self, observed: Iterable[MemberObservation]) -> None:
        """The probes say this of the other members."""
        for seen in observed:
            if seen.reachable and seen.server_id not in self._reached:
                self._reached.add(seen.server_id)
                logger.info("peer_reached", peer=seen.server_id)
            elif not seen.reachable and seen.server_id in self._reached:
                self._reached.discard(seen.server_id)
                logger.warning("peer_lost", peer=seen.server_id)
