"""Two epoch managers: one that is wrong at its worst, and one that is sane."""

from __future__ import annotations

from collections.abc import Sequence

from conductor.core.events import Designated
from conductor.core.values import ServerId
from conductor.simulation.cluster import Cluster


class AdversarialManager:
    """Names anyone at any time, and several at once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._ids = list(cluster.nodes)

    def designate(self) -> None:
        """Name someone, to someone: mostly to the very server that is named."""
        random = self._cluster.random
        server_id = random.choice(self._ids)
        told = server_id if random.random() < 0.8 else random.choice(self._ids)
        self._cluster.deliver_to(told, Designated(server_id, "adversary"))

    def contest(self) -> None:
        """Name several at once, each to itself."""
        for server_id in self._ids:
            if self._cluster.random.random() < 0.7:
                self._cluster.deliver_to(server_id, Designated(server_id, "contest"))


class SaneManager:
    """Names the present leader while it leads, else the first of those that it may name."""

    def __init__(self, cluster: Cluster, candidates: Sequence[ServerId], *, every_ms: int) -> None:
        self._cluster = cluster
        self._candidates = tuple(candidates)
        self._every_ms = every_ms
        cluster.scheduler.after(0, self._tick)

    def _tick(self) -> None:
        named = self._named()
        for server_id in self._candidates:
            self._cluster.deliver_to(server_id, Designated(named, "manager"))
        self._cluster.scheduler.after(self._every_ms, self._tick)

    def _named(self) -> ServerId:
        nodes = self._cluster.nodes
        leading = [server_id for server_id in self._candidates if nodes[server_id].leads]
        newest = max(
            leading, key=lambda server_id: nodes[server_id].machine.node.promise.epoch, default=None
        )
        return newest or self._candidates[0]
