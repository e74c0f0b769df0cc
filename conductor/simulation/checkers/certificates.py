"""Promises 2 and 3: one certified entry per index, and every later leader has what is certified.

Acknowledgements are facts: once a quorum has said that a position of an epoch is durable, it is
certified, whether or not anybody ever assembles the certificate. An acknowledgement speaks for the
entries of its own epoch below it too; older ones are certified only with something above them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from conductor.core.certificate import Acknowledgement, Certificate
from conductor.core.effects import AppendEntries, CertifiedRaised, Notice, Operation, Send
from conductor.core.messages import Acknowledged, Append, FetchAnswer, InstallBase
from conductor.core.values import (
    Digest,
    Entry,
    EntryKind,
    Epoch,
    Index,
    MemberKey,
    Membership,
    Position,
    ServerId,
)
from conductor.simulation.checkers.checker import Checker, fail
from conductor.simulation.checkers.history import History
from conductor.simulation.node import SimulatedNode


@dataclass(slots=True)
class Inheritance:
    """The log that a leadership began with."""

    leader_id: ServerId
    epoch: Epoch
    last_index: Index
    uncertified: dict[Index, Digest] = field(default_factory=dict)
    """Of what was not certified at that time."""


class Certificates(Checker):
    """Knows what is certified as an outsider would who hears every acknowledgement."""

    def __init__(self, history: History, genesis: Position, membership: Membership) -> None:
        self._history = history
        self._quorum = membership.quorum
        self._voters = {voter.key for voter in membership.voters}
        self._said: set[tuple[MemberKey, Epoch, Digest]] = set()
        self._signers: dict[Digest, set[MemberKey]] = {}
        self._facts: list[Position] = []
        self._seen_certificates: set[tuple[Epoch, Index]] = set()
        self.certified: dict[Index, Digest] = {genesis.index: genesis.digest}
        self.newest = genesis
        self.inheritances: dict[Epoch, Inheritance] = {}
        self.late = 0
        """How often a leader certified something when a later leadership had begun already."""

    def is_certified(self, position: Position) -> bool:
        """Whether some certificate covers that very position."""
        return self.certified.get(position.index) == position.digest

    # Acknowledgements

    def on_send(self, node: SimulatedNode, send: Send) -> None:
        """Count acknowledgements as they leave a node, and check certificates that do."""
        match send.message:
            case Acknowledged(_, acknowledgement):
                self._count(acknowledgement)
            case Append() | InstallBase() | FetchAnswer() as message if message.certificate:
                self._check(message.certificate)

    def _count(self, acknowledgement: Acknowledgement) -> None:
        member, epoch = acknowledgement.member, acknowledgement.epoch
        self._said.add((member, epoch, acknowledgement.digest))
        if member not in self._voters:
            return
        for entry in self._history.back_from(acknowledgement.digest):
            if entry.epoch != epoch:
                break
            signers = self._signers.setdefault(entry.digest, set())
            if member in signers:
                break
            signers.add(member)
            if len(signers) == self._quorum:
                self._certify(entry)

    def _certify(self, newest: Entry) -> None:
        position = newest.position
        self._facts.append(position)
        for entry in self._history.back_from(newest.digest):
            known = self.certified.setdefault(entry.index, entry.digest)
            if known != entry.digest:
                fail("one entry per index", f"two entries are certified at {entry.index}")
            if entry.index <= self.newest.index:
                break
        if position.index > self.newest.index:
            self.newest = position
        for inheritance in self.inheritances.values():
            if inheritance.epoch > position.epoch:
                self._require(inheritance, position)

    def _check(self, certificate: Certificate) -> None:
        """A certificate that anyone sends is made of what members really said."""
        place = (certificate.epoch, certificate.index)
        if place in self._seen_certificates:
            return
        self._seen_certificates.add(place)
        digest = certificate.digest
        signers = {
            acknowledgement.member
            for acknowledgement in certificate.acknowledgements
            if (acknowledgement.member, certificate.epoch, digest) in self._said
            and acknowledgement.signature
            and acknowledgement.epoch == certificate.epoch
        }
        if len(signers & self._voters) < self._quorum:
            fail("certificates prove what they say", f"that of {place} has too few true signers")

    # Leaders

    def on_operation(self, node: SimulatedNode, operation: Operation) -> None:
        """A leadership begins with its epoch-start entry."""
        if isinstance(operation, AppendEntries):
            for entry in operation.entries:
                if entry.kind is EntryKind.EPOCH_START and entry.epoch not in self.inheritances:
                    self._begin(node, entry)

    def _begin(self, node: SimulatedNode, start: Entry) -> None:
        inheritance = Inheritance(node.key.server_id, start.epoch, Index(start.index - 1))
        for entry in self._history.back_from(start.previous_digest):
            if self.certified.get(entry.index) == entry.digest:
                break
            inheritance.uncertified[entry.index] = entry.digest
        self.inheritances[start.epoch] = inheritance
        for position in self._facts:
            if position.epoch < start.epoch:
                self._require(inheritance, position)

    def _require(self, inheritance: Inheritance, position: Position) -> None:
        index = position.index
        held = inheritance.uncertified.get(index) or self.certified.get(index)
        if index > inheritance.last_index or held != position.digest:
            fail(
                "later leaders have what is certified",
                f"{inheritance.leader_id} leads epoch {inheritance.epoch} without entry {index}, "
                f"certified in epoch {position.epoch}",
            )

    # Nodes

    def on_notice(self, node: SimulatedNode, notice: Notice) -> None:
        """A node holds for certified only what is."""
        if not isinstance(notice, CertifiedRaised):
            return
        server_id, position = node.key.server_id, notice.position
        if not self.is_certified(position):
            fail("certified means certified", f"{server_id} takes {position.index} for certified")
        leader = self.inheritances.get(position.epoch)
        is_own = leader is not None and leader.leader_id == server_id
        self.late += is_own and any(epoch > position.epoch for epoch in self.inheritances)
