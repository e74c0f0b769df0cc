"""Promises 1 and 2: what a node knows to be certified it never cuts, nor its disk forgets."""

from __future__ import annotations

from conductor.core.effects import (
    CertifiedRaised,
    InstallWindow,
    Notice,
    Operation,
    Prune,
    RaiseCertified,
    Truncate,
)
from conductor.core.values import Index, ServerId
from conductor.simulation.checkers.checker import Checker, fail
from conductor.simulation.node import SimulatedNode


class CertifiedStays(Checker):
    """Remembers the highest certified index of every node, through its crashes."""

    def __init__(self) -> None:
        self._known: dict[ServerId, Index] = {}
        self._in_this_life: dict[ServerId, Index] = {}
        self._durable: dict[ServerId, Index] = {}

    def on_boot(self, node: SimulatedNode) -> None:
        """A new life begins with what the disk knows."""
        self._in_this_life[node.key.server_id] = node.disk.certified.index

    def on_notice(self, node: SimulatedNode, notice: Notice) -> None:
        """The certified index of a running node only rises."""
        if not isinstance(notice, CertifiedRaised):
            return
        server_id, index = node.key.server_id, notice.position.index
        if index <= self._in_this_life[server_id]:
            fail("the certified index only rises", f"{server_id} raises it to {index} again")
        self._in_this_life[server_id] = index
        self._known[server_id] = max(index, self._known.get(server_id, Index(0)))

    def on_operation(self, node: SimulatedNode, operation: Operation) -> None:
        """Nothing known to be certified is cut, and nothing else is pruned."""
        server_id = node.key.server_id
        known = self._known.get(server_id, 0)
        if isinstance(operation, RaiseCertified):
            self._known[server_id] = max(operation.position.index, Index(known))
        if isinstance(operation, Truncate) and operation.after < known:
            fail("certified entries stay", f"{server_id} cuts after {operation.after}")
        if isinstance(operation, InstallWindow) and operation.entries[-1].index < known:
            fail("certified entries stay", f"{server_id} installs a window below {known}")
        if isinstance(operation, Prune) and operation.base.position.index > known:
            fail("certified entries stay", f"{server_id} prunes what is not certified")

    def on_applied(self, node: SimulatedNode, operation: Operation) -> None:
        """The durable certified index only rises."""
        if isinstance(operation, RaiseCertified):
            server_id, index = node.key.server_id, operation.position.index
            if index < self._durable.get(server_id, 0):
                fail("the certified index only rises", f"the disk of {server_id} goes back")
            self._durable[server_id] = index
