"""What JSON-RPC methods answer with, as documents: one type each, which is also its JSON schema.

Law: numbers are JSON numbers, bytes are lower-case hex without `0x`, and an address is `host:port`.
Payloads alone are Ethereum's JSON, which the payload codec writes: their types are but schemas.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from conductor.core.certificate import Acknowledgement, Certificate
from conductor.core.values import Head, Member, Membership, Position
from conductor.service import CertificateView, MemberView, StatusView

Number: TypeAlias = Annotated[int, Meta(ge=0)]
Hex: TypeAlias = Annotated[str, Meta(pattern="^([0-9a-f]{2})*$")]
LenientHex: TypeAlias = Annotated[str, Meta(pattern="^(0x)?([0-9a-fA-F]{2})*$")]
Data: TypeAlias = Annotated[str, Meta(pattern="^0x([0-9a-f]{2})*$")]
Quantity: TypeAlias = Annotated[str, Meta(pattern="^0x(0|[1-9a-f][0-9a-f]*)$")]
Hash: TypeAlias = Annotated[str, Meta(pattern="^0x[0-9a-f]{64}$")]
AccountAddress: TypeAlias = Annotated[str, Meta(pattern="^0x[0-9a-f]{40}$")]


class ServerDocument(msgspec.Struct, frozen=True):
    """A server as the Go op-conductor describes one: suffrage 0 is a voter, 1 a nonvoter."""

    id: str
    addr: str
    suffrage: Number


class ServersDocument(msgspec.Struct, frozen=True):
    """Every server of the cluster; `servers` is null until the cluster has formed."""

    servers: list[ServerDocument] | None
    version: Number


class PositionDocument(msgspec.Struct, frozen=True):
    """A place in the log; equal digests mean equal logs up to there."""

    index: Number
    epoch: Number
    digest: Hex


class MemberStatusDocument(msgspec.Struct, frozen=True):
    """A member as the node that answers sees it."""

    server_id: str
    incarnation: str
    public_key: Hex
    grpc_address: str
    gateway_address: str
    voter: bool
    role: str
    reachable: bool
    serving: bool
    match_index: Number


class StatusDocument(msgspec.Struct, frozen=True):
    """All that a node knows of itself and the cluster."""

    cluster_name: str
    cluster_id: Hex
    server_id: str
    incarnation: str
    role: str
    is_leader: bool
    leader_overridden: bool
    leader_id: str
    epoch: Number
    last: PositionDocument
    certified: PositionDocument
    certified_height: Number
    base_index: Number
    serving: bool
    paused: bool
    reasons: list[str]
    quorum_safe: bool
    quorum: Number
    members: list[MemberStatusDocument]
    version: str


class AcknowledgementDocument(msgspec.Struct, frozen=True):
    """A member's signed word that it has a position on disk."""

    server_id: str
    incarnation: str
    epoch: Number
    index: Number
    digest: LenientHex
    signature: LenientHex


class SignedEntryDocument(msgspec.Struct, frozen=True):
    """The header of the certified entry, and who has signed it; `kind` 1 is a payload."""

    epoch: Number
    index: Number
    previous_digest: Hex
    kind: Number
    body_hash: Hex
    acknowledgements: list[AcknowledgementDocument]


class MemberDocument(msgspec.Struct, frozen=True):
    """A member as the membership names it."""

    server_id: str
    incarnation: str
    public_key: Hex
    grpc_address: str
    gateway_address: str
    voter: bool


class MembershipDocument(msgspec.Struct, frozen=True):
    """Who belongs to the cluster; `quorum_rule` 0 is a majority of the voters."""

    members: list[MemberDocument]
    quorum_rule: Number
    version: Number


class HeadDocument(msgspec.Struct, frozen=True):
    """The block that a cluster goes on from when it takes the place of another."""

    height: Number
    block_hash: Hex
    parent_hash: Hex
    body_hash: Hex


class CertificateDocument(msgspec.Struct, frozen=True):
    """The newest certificate, and what is needed to check it; `head` if the genesis names one."""

    certificate: SignedEntryDocument
    cluster_id: Hex
    membership: MembershipDocument
    head: HeadDocument | UnsetType = UNSET


class AcknowledgedDocument(msgspec.Struct, frozen=True):
    """What became of the position that was acknowledged; `height` is the newest certified one."""

    certified: bool
    height: Number


class Withdrawal(msgspec.Struct, frozen=True, rename="camel"):
    """A withdrawal, as the consensus layer numbers them."""

    index: Quantity
    validator_index: Quantity
    address: AccountAddress
    amount: Quantity


class ExecutionPayload(msgspec.Struct, frozen=True, rename="camel"):
    """An execution payload of any fork. `withdrawals` came with Canyon, the blob fields with
    Ecotone, `withdrawalsRoot` with Isthmus.
    """

    parent_hash: Hash
    fee_recipient: AccountAddress
    state_root: Hash
    receipts_root: Hash
    logs_bloom: Data
    prev_randao: Hash
    block_number: Quantity
    gas_limit: Quantity
    gas_used: Quantity
    timestamp: Quantity
    extra_data: Data
    base_fee_per_gas: Quantity
    block_hash: Hash
    transactions: list[Data]
    withdrawals: list[Withdrawal] | UnsetType = UNSET
    blob_gas_used: Quantity | UnsetType = UNSET
    excess_blob_gas: Quantity | UnsetType = UNSET
    withdrawals_root: Hash | UnsetType = UNSET


class Envelope(msgspec.Struct, frozen=True, rename="camel"):
    """A payload as op-node writes it; the root is there since Ecotone."""

    execution_payload: ExecutionPayload
    parent_beacon_block_root: Hash | UnsetType = UNSET


def status_document(status: StatusView) -> StatusDocument:
    """The document of `conductor_status`."""
    health = status.health
    return StatusDocument(
        cluster_name=status.cluster_name,
        cluster_id=status.cluster_id.hex(),
        server_id=health.server_id,
        incarnation=status.incarnation,
        role=status.role,
        is_leader=health.is_leader,
        leader_overridden=status.leader_overridden,
        leader_id=health.leader_id,
        epoch=health.epoch,
        last=_position(status.last),
        certified=_position(status.certified),
        certified_height=health.certified_height,
        base_index=status.base_index,
        serving=health.serving,
        paused=status.paused,
        reasons=list(health.reasons),
        quorum_safe=health.quorum_safe,
        quorum=status.quorum,
        members=[_member_status(member) for member in status.members],
        version=health.version,
    )


def certificate_document(view: CertificateView) -> CertificateDocument:
    """The document of `conductor_certificate`."""
    return CertificateDocument(
        certificate=_signed_entry(view.certificate),
        cluster_id=view.cluster_id.hex(),
        membership=_membership(view.membership),
        head=_head(view.head) if view.head is not None else UNSET,
    )


def _head(head: Head) -> HeadDocument:
    return HeadDocument(
        height=head.block.height,
        block_hash=head.block.block_hash.hex(),
        parent_hash=head.block.parent_hash.hex(),
        body_hash=head.body_hash.hex(),
    )


def _position(position: Position) -> PositionDocument:
    return PositionDocument(position.index, position.epoch, position.digest.hex())


def _member_status(view: MemberView) -> MemberStatusDocument:
    return MemberStatusDocument(
        server_id=view.server_id,
        incarnation=view.incarnation,
        public_key=view.public_key.hex(),
        grpc_address=view.grpc_address,
        gateway_address=view.gateway_address,
        voter=view.voter,
        role=view.role,
        reachable=view.reachable,
        serving=view.serving,
        match_index=view.match_index,
    )


def _signed_entry(certificate: Certificate) -> SignedEntryDocument:
    return SignedEntryDocument(
        epoch=certificate.epoch,
        index=certificate.index,
        previous_digest=certificate.previous_digest.hex(),
        kind=certificate.kind,
        body_hash=certificate.body_hash.hex(),
        acknowledgements=[_acknowledgement(word) for word in certificate.acknowledgements],
    )


def _acknowledgement(word: Acknowledgement) -> AcknowledgementDocument:
    return AcknowledgementDocument(
        server_id=word.member.server_id,
        incarnation=word.member.incarnation,
        epoch=word.epoch,
        index=word.index,
        digest=word.digest.hex(),
        signature=word.signature.hex(),
    )


def _membership(membership: Membership) -> MembershipDocument:
    return MembershipDocument(
        members=[_member(member) for member in membership.members],
        quorum_rule=membership.quorum_rule,
        version=membership.version,
    )


def _member(member: Member) -> MemberDocument:
    return MemberDocument(
        server_id=member.server_id,
        incarnation=member.incarnation,
        public_key=member.public_key.hex(),
        grpc_address=member.grpc_address,
        gateway_address=member.gateway_address,
        voter=member.voter,
    )
