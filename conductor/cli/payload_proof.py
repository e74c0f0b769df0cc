"""Whether a certificate proves that a payload is certified, found out here and not from a server.

Invariant: pure, and honest. What is not computed from the bytes at hand is listed as trusted, and a
payload that the certificate does not speak of itself is not proven: a certificate covers everything
before its entry by the chain of digests, but conductors give out no digests in between.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from conductor.core.certificate import Certificate
from conductor.core.encoding import sha256
from conductor.core.values import Digest, EntryKind, Genesis, Head, Membership
from conductor.errors import ConductorError, InvalidArgument
from conductor.identity import verify_signature
from conductor.payload import payload_header, validate_ssz


@dataclass(frozen=True, slots=True)
class Claim:
    """What a server said."""

    ssz: bytes
    height: int | None
    """The height that was asked for; None: the newest."""
    index: int
    epoch: int
    cluster_name: str
    cluster_id: Digest
    membership: Membership
    certificate: Certificate
    head: Head | None = None
    """The block of the genesis, if the server names one."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of checking a claim: sentences for people."""

    verified: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()
    problem: str = ""
    """Why the payload is not proven; empty when it is."""

    @property
    def holds(self) -> bool:
        """Whether the payload is proven."""
        return not self.problem


def check_claim(claim: Claim, pinned_cluster_id: bytes | None) -> Proof:
    """Check everything that can be; `pinned_cluster_id`: what the operator knows, if they do."""
    verified: list[str] = []
    try:
        for sentence in _checks(claim, pinned_cluster_id):
            verified.append(sentence)
    except ConductorError as error:
        return Proof(tuple(verified), problem=str(error))
    return Proof(tuple(verified), tuple(_trusted(claim, pinned_cluster_id)))


def _checks(claim: Claim, pinned_cluster_id: bytes | None) -> Iterator[str]:
    """A sentence for everything that holds, in turn; InvalidArgument for the first that does not.

    Errors of the certificate's own check and of the payload's decoding come through.
    """
    if pinned_cluster_id is not None:
        if claim.cluster_id != pinned_cluster_id:
            raise InvalidArgument(
                f"the server is of cluster {claim.cluster_id.hex()}, not of the one of --cluster-id"
            )
        yield "the cluster id is that of --cluster-id"
    membership, certificate = claim.membership, claim.certificate
    if membership.version != 0:
        raise InvalidArgument(
            f"not proven: the voters are those of membership {membership.version}, and that the "
            "cluster came to it from its genesis is only the server's word"
        )
    if not _makes_cluster_id(claim):
        raise InvalidArgument("the voters that the server names do not make its cluster id")
    yield f"the voters, their keys and the quorum rule make cluster id {claim.cluster_id.hex()}"
    certificate.check(claim.cluster_id, membership, verify_signature)
    signers = ", ".join(word.member.server_id for word in certificate.acknowledgements)
    yield (
        f"entry {certificate.index} of epoch {certificate.epoch} is certified: {signers} signed, "
        f"a quorum is {membership.quorum} of {len(membership.voters)} voters"
    )
    yield from _coverage(claim)


def _coverage(claim: Claim) -> Iterator[str]:
    """Whether the certified entry is this payload."""
    certificate = claim.certificate
    if claim.index < certificate.index:
        raise InvalidArgument(_not_covered(claim))
    if claim.index > certificate.index:
        raise InvalidArgument(
            f"the payload is said to be entry {claim.index}, which the newest certificate, of "
            f"entry {certificate.index}, does not cover"
        )
    validate_ssz(claim.ssz)
    body_hash = sha256(claim.ssz)
    is_this = certificate.kind is EntryKind.PAYLOAD and certificate.body_hash == body_hash
    if not is_this or certificate.epoch != claim.epoch:
        raise InvalidArgument(f"the certified entry {certificate.index} is another than this")
    height = payload_header(claim.ssz).height
    if claim.height is not None and height != claim.height:
        raise InvalidArgument(f"the payload has height {height}, not {claim.height}")
    yield f"that entry is this payload of height {height}: its SHA-256 is {body_hash.hex()}"


def _not_covered(claim: Claim) -> str:
    """Nothing is wrong; only a proof is missing."""
    certificate = claim.certificate
    what = "a later payload"
    if certificate.kind is EntryKind.EPOCH_START:
        what = f"the beginning of epoch {certificate.epoch}"
    return (
        f"not proven: the newest certificate is that of entry {certificate.index}, {what}. It "
        f"holds, and covers all before it, but that this payload is entry {claim.index} before it "
        "is only the server's word: take that by leaving out --verify, or verify the next payload"
    )


def _trusted(claim: Claim, pinned_cluster_id: bytes | None) -> Iterator[str]:
    if pinned_cluster_id is None:
        yield "the server's word for the cluster id: give --cluster-id to check it"
    if claim.height is None:
        yield "the server's word that nothing newer is certified"
    yield "op-node, for what a conductor never checks: the block hash, and what the block does"


def _makes_cluster_id(claim: Claim) -> bool:
    """Whether the membership is that of the genesis whose hash the cluster id is."""
    membership = claim.membership
    if not all(member.voter for member in membership.members):
        # The hash does not cover this, and of fewer voters fewer would be a quorum.
        return False
    plain = Genesis(claim.cluster_name, membership.quorum_rule, membership.members, head=claim.head)
    # The genesis may name an initial leader, which no membership tells.
    initial_leaders = (None, *(member.server_id for member in membership.members))
    return any(
        dataclasses.replace(plain, initial_leader=leader).cluster_id == claim.cluster_id
        for leader in initial_leaders
    )
