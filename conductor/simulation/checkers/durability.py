"""Promise 5: what a node said is on its disk before the words leave, and is never taken back.

Promises only rise; an epoch is promised to one candidate; after a grant nothing of a lower epoch is
acknowledged; what an acknowledgement or a log report speaks of is on the disk when it leaves.
"""

from __future__ import annotations

from conductor.core.certificate import Acknowledgement
from conductor.core.effects import AppendEntries, InstallWindow, Operation, RaisePromise, Send
from conductor.core.messages import Acknowledged, Heard, Mismatch, PromiseGrant, PromiseRequest
from conductor.core.values import Digest, EntryKind, Epoch, Position, ServerId
from conductor.simulation.checkers.checker import Checker, fail
from conductor.simulation.node import SimulatedNode


class Durability(Checker):
    """Holds every word against the disk of whoever says it."""

    def __init__(self) -> None:
        self._granted: dict[tuple[ServerId, Epoch], ServerId] = {}
        self._highest_grant: dict[ServerId, Epoch] = {}
        self._durable_promise: dict[ServerId, Epoch] = {}
        self._begun: set[Epoch] = set()
        self._once_durable: dict[ServerId, set[Digest]] = {}

    def on_applied(self, node: SimulatedNode, operation: Operation) -> None:
        """Note what has become durable."""
        server_id = node.key.server_id
        if isinstance(operation, RaisePromise):
            epoch = operation.promise.epoch
            if epoch < self._durable_promise.get(server_id, 0):
                fail("promises only rise", f"{server_id} falls back to {epoch}")
            self._durable_promise[server_id] = epoch
        elif isinstance(operation, AppendEntries | InstallWindow):
            held = self._once_durable.setdefault(server_id, set())
            held.update(entry.digest for entry in operation.entries)

    def on_operation(self, node: SimulatedNode, operation: Operation) -> None:
        """A leadership begins only with a log that is durable to its end."""
        if not isinstance(operation, AppendEntries):
            return
        for entry in operation.entries:
            if entry.kind is EntryKind.EPOCH_START and entry.epoch not in self._begun:
                self._begun.add(entry.epoch)
                if node.disk.last.digest != entry.previous_digest:
                    fail("durable before it is said", f"{entry.epoch} begins on an unsynced log")

    def on_boot(self, node: SimulatedNode) -> None:
        """A restart forgets no promise."""
        server_id = node.key.server_id
        if node.machine.node.promise.epoch < self._highest_grant.get(server_id, 0):
            fail("promises outlive crashes", f"{server_id} has forgotten what it promised")

    def on_send(self, node: SimulatedNode, send: Send) -> None:
        """Check acknowledgements and grants at the moment when they leave."""
        match send.message:
            case Acknowledged(_, acknowledgement):
                self._acknowledges(node, acknowledgement)
            case PromiseGrant() as grant:
                self._grants(node, send.to, grant)
            case Heard(epoch) | Mismatch(epoch) | PromiseRequest(epoch):
                if node.disk.promise.epoch < epoch:
                    fail("durable before it is said", f"{node.key.server_id} speaks of {epoch}")

    def _acknowledges(self, node: SimulatedNode, said: Acknowledgement) -> None:
        server_id = node.key.server_id
        if not node.disk.holds(Position(said.index, said.epoch, said.digest)):
            fail("durable before it is said", f"{server_id} acknowledges {said.index} too early")
        if node.disk.promise.epoch < said.epoch:
            fail("durable before it is said", f"{server_id} follows {said.epoch} without a promise")
        if self._highest_grant.get(server_id, 0) > said.epoch:
            fail("promises are kept", f"{server_id} acknowledges below what it has granted")

    def _grants(self, node: SimulatedNode, candidate: ServerId, grant: PromiseGrant) -> None:
        server_id, promise = node.key.server_id, node.disk.promise
        if promise.epoch < grant.epoch:
            fail("durable before it is said", f"{server_id} grants {grant.epoch} too early")
        if self._granted.setdefault((server_id, grant.epoch), candidate) != candidate:
            fail("promises are kept", f"{server_id} grants {grant.epoch} to two candidates")
        highest = self._highest_grant.get(server_id, Epoch(0))
        self._highest_grant[server_id] = max(highest, grant.epoch)
        last = grant.report.last
        held = self._once_durable.get(server_id, set())
        if last.index and last.digest not in held and not node.disk.holds(last):
            fail("durable before it is said", f"{server_id} reports {last.index} too early")
