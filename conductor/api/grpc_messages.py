"""The views of the service as protobuf messages."""

from __future__ import annotations

from collections.abc import Sequence

from conductor.core.certificate import Acknowledgement, Certificate
from conductor.core.values import Head, Member, Membership, Position
from conductor.service import (
    CertificateView,
    LeadershipRecord,
    LeaderView,
    MemberView,
    StatusView,
)
from conductor.v1 import conductor_pb2, types_pb2


def status_response(status: StatusView) -> conductor_pb2.GetStatusResponse:
    """`GetStatusResponse`."""
    health = status.health
    return conductor_pb2.GetStatusResponse(
        cluster_name=status.cluster_name,
        cluster_id=status.cluster_id,
        server_id=health.server_id,
        incarnation=status.incarnation,
        role=status.role,
        is_leader=health.is_leader or status.leader_overridden,
        leader_id=health.leader_id,
        epoch=health.epoch,
        last=_position(status.last),
        certified=_position(status.certified),
        certified_height=health.certified_height,
        base_index=status.base_index,
        serving=health.serving,
        reasons=health.reasons,
        quorum_safe=health.quorum_safe,
        quorum=status.quorum,
        members=[_member_status(member) for member in status.members],
        version=health.version,
        paused=status.paused,
        leader_overridden=status.leader_overridden,
    )


def certificate_response(view: CertificateView) -> conductor_pb2.GetCertificateResponse:
    """`GetCertificateResponse`."""
    return conductor_pb2.GetCertificateResponse(
        certificate=_certificate(view.certificate),
        cluster_id=view.cluster_id,
        membership=_membership(view.membership),
        head=_head(view.head) if view.head is not None else None,
    )


def history_response(records: Sequence[LeadershipRecord]) -> conductor_pb2.GetHistoryResponse:
    """`GetHistoryResponse`."""
    return conductor_pb2.GetHistoryResponse(
        records=[
            conductor_pb2.LeadershipRecord(
                leader_id=record.leader_id,
                epoch=record.epoch,
                reason=record.reason,
                began_at_ms=record.began_at_ms,
            )
            for record in records
        ]
    )


def watch_response(
    record: LeadershipRecord, leader: LeaderView, *, first: bool
) -> conductor_pb2.WatchEpochsResponse:
    """`WatchEpochsResponse` for the newest record. The first one of a stream is no change."""
    return conductor_pb2.WatchEpochsResponse(
        epoch=record.epoch if record.leader_id else max(record.epoch, leader.epoch),
        leader_id=record.leader_id,
        is_leader=leader.is_leader and leader.epoch == record.epoch,
        reason="" if first else record.reason,
    )


def _head(head: Head) -> types_pb2.Head:
    return types_pb2.Head(
        height=head.block.height,
        block_hash=head.block.block_hash,
        parent_hash=head.block.parent_hash,
        body_hash=head.body_hash,
    )


def _position(position: Position) -> types_pb2.Position:
    return types_pb2.Position(index=position.index, epoch=position.epoch, digest=position.digest)


def _member_status(view: MemberView) -> conductor_pb2.MemberStatus:
    return conductor_pb2.MemberStatus(
        member=types_pb2.Member(
            server_id=view.server_id,
            incarnation=view.incarnation,
            public_key=view.public_key,
            grpc_address=view.grpc_address,
            gateway_address=view.gateway_address,
            voter=view.voter,
        ),
        role=view.role,
        reachable=view.reachable,
        serving=view.serving,
        match_index=view.match_index,
    )


def _membership(membership: Membership) -> types_pb2.Membership:
    return types_pb2.Membership(
        members=[_member(member) for member in membership.members],
        quorum_rule=membership.quorum_rule,
        version=membership.version,
    )


def _member(member: Member) -> types_pb2.Member:
    return types_pb2.Member(
        server_id=member.server_id,
        incarnation=member.incarnation,
        public_key=member.public_key,
        grpc_address=member.grpc_address,
        gateway_address=member.gateway_address,
        voter=member.voter,
    )


def _certificate(certificate: Certificate) -> types_pb2.Certificate:
    return types_pb2.Certificate(
        epoch=certificate.epoch,
        index=certificate.index,
        previous_digest=certificate.previous_digest,
        kind=types_pb2.EntryKind.ValueType(certificate.kind),
        body_hash=certificate.body_hash,
        acknowledgements=[_acknowledgement(word) for word in certificate.acknowledgements],
    )


def _acknowledgement(acknowledgement: Acknowledgement) -> types_pb2.Acknowledgement:
    return types_pb2.Acknowledgement(
        server_id=acknowledgement.member.server_id,
        incarnation=acknowledgement.member.incarnation,
        epoch=acknowledgement.epoch,
        index=acknowledgement.index,
        digest=acknowledgement.digest,
        signature=acknowledgement.signature,
    )
