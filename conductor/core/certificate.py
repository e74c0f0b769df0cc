"""Acknowledgements and the certificates they make.

Invariant: a certificate names acknowledgements of a quorum of distinct voters, all for one epoch,
index and digest, and its header proves that the entry there is *of that epoch*. It then certifies
that position and everything before it, to anyone who knows the membership, with no other witness.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from conductor.core import encoding
from conductor.core.values import (
    Digest,
    Entry,
    EntryKind,
    Epoch,
    Index,
    MemberKey,
    Membership,
    Position,
)
from conductor.errors import InvalidArgument, Unauthenticated

VerifySignature = Callable[[bytes, bytes, bytes], bool]
"""(public key, message, signature) -> whether the signature is good."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A member's word that it has made a log position durable, under a leader's epoch."""

    member: MemberKey
    epoch: Epoch
    index: Index
    digest: Digest
    signature: bytes = b""
    """ed25519, 64 bytes; empty until the node that says it has signed it."""

    def message(self, cluster_id: Digest) -> bytes:
        """The bytes that the signature covers."""
        return encoding.acknowledgement_message(
            cluster_id=cluster_id,
            server_id=self.member.server_id,
            incarnation=self.member.incarnation,
            epoch=self.epoch,
            index=self.index,
            digest=self.digest,
        )

    def check(self, cluster_id: Digest, membership: Membership, verify: VerifySignature) -> None:
        """Raise Unauthenticated unless a member of this very incarnation signed it."""
        member = membership.member(self.member.server_id)
        if member is None:
            raise Unauthenticated(f"{self.member.server_id} is not a member of this cluster")
        if member.incarnation != self.member.incarnation:
            raise Unauthenticated(
                f"{self.member.server_id} has another incarnation than the membership names: "
                "its store was made anew"
            )
        if not verify(member.public_key, self.message(cluster_id), self.signature):
            raise Unauthenticated(f"the signature of {self.member.server_id} does not fit")


@dataclass(frozen=True, slots=True)
class Certificate:
    """Proof that a quorum made one position durable in the epoch that wrote it."""

    epoch: Epoch
    index: Index
    previous_digest: Digest
    kind: EntryKind
    body_hash: bytes
    acknowledgements: tuple[Acknowledgement, ...]

    @classmethod
    def assemble(cls, entry: Entry, acknowledgements: Iterable[Acknowledgement]) -> Certificate:
        """The certificate of `entry`, from verified acknowledgements for exactly its position."""
        kept = sorted(acknowledgements, key=lambda acknowledgement: acknowledgement.member)
        return cls(
            epoch=entry.epoch,
            index=entry.index,
            previous_digest=entry.previous_digest,
            kind=entry.kind,
            body_hash=entry.body_hash,
            acknowledgements=tuple(kept),
        )

    @property
    def digest(self) -> Digest:
        """The digest of the certified entry, computed from its header."""
        return Digest(
            encoding.entry_digest(
                self.previous_digest,
                epoch=self.epoch,
                index=self.index,
                kind=self.kind,
                body_hash=self.body_hash,
            )
        )

    @property
    def position(self) -> Position:
        """The newest position that it certifies."""
        return Position(self.index, self.epoch, self.digest)

    def check(self, cluster_id: Digest, membership: Membership, verify: VerifySignature) -> None:
        """Raise unless this proves what it says, to someone who trusts only the membership.

        InvalidArgument: its parts do not belong together, or are too few for a quorum.
        Unauthenticated: a signer is no voter, or a signature does not fit.
        """
        digest = self.digest
        signers = set()
        for acknowledgement in self.acknowledgements:
            where = (acknowledgement.epoch, acknowledgement.index, acknowledgement.digest)
            if where != (self.epoch, self.index, digest):
                raise InvalidArgument("an acknowledgement in the certificate is for another entry")
            if acknowledgement.member in signers:
                raise InvalidArgument("one member stands twice in the certificate")
            acknowledgement.check(cluster_id, membership, verify)
            if not membership.has_voter(acknowledgement.member):
                raise Unauthenticated(f"{acknowledgement.member.server_id} is not a voter")
            signers.add(acknowledgement.member)
        if not membership.is_quorum(signers):
            raise InvalidArgument(
                f"{len(signers)} acknowledgements are no quorum of {membership.quorum}"
            )
