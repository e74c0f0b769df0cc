"""Rule 5.4.2: what a member has acknowledged it cuts only for a leader of a higher epoch.

A shorter, older or repeated message of the same leader never takes an acknowledged entry away: that
leader counts on it.
"""

from __future__ import annotations

from conductor.core.effects import InstallWindow, Operation, RaisePromise, Send, Truncate
from conductor.core.messages import Acknowledged
from conductor.core.values import Epoch, Index, ServerId
from conductor.simulation.checkers.checker import Checker, fail
from conductor.simulation.node import SimulatedNode


class AcknowledgedStays(Checker):
    """Remembers how far each node has acknowledged, in the newest epoch in which it did."""

    def __init__(self) -> None:
        self._acknowledged: dict[ServerId, tuple[Epoch, Index]] = {}
        self._promised: dict[ServerId, Epoch] = {}
        self._cut: dict[ServerId, Index] = {}

    def on_boot(self, node: SimulatedNode) -> None:
        """A crash takes back the promises that nobody heard of."""
        self._promised[node.key.server_id] = node.disk.promise.epoch

    def on_send(self, node: SimulatedNode, send: Send) -> None:
        """Note acknowledgements."""
        if isinstance(send.message, Acknowledged):
            said = send.message.acknowledgement
            place = (said.epoch, said.index)
            known = self._acknowledged.get(node.key.server_id, place)
            self._acknowledged[node.key.server_id] = max(known, place)

    def on_operation(self, node: SimulatedNode, operation: Operation) -> None:
        """Note promises and cuts; those of one step belong together."""
        if isinstance(operation, RaisePromise):
            self._promised[node.key.server_id] = operation.promise.epoch
        elif isinstance(operation, Truncate):
            self._cut[node.key.server_id] = operation.after
        elif isinstance(operation, InstallWindow):
            self._cut[node.key.server_id] = operation.entries[-1].index

    def on_step(self, node: SimulatedNode) -> None:
        """Judge the cut of this step, if there was one."""
        server_id = node.key.server_id
        after = self._cut.pop(server_id, None)
        if after is None or server_id not in self._acknowledged:
            return
        epoch, index = self._acknowledged[server_id]
        if after < index and self._promised[server_id] <= epoch:
            fail("acknowledged entries stay", f"{server_id} cuts after {after} in epoch {epoch}")
