"""Senders, positions and certificates as protobuf messages, both ways.

Together with the other `wire_` modules and `codec` this is the gateway for untrusted bytes: what
comes out of a `..._from_wire` is well formed, and whatever is not raises `InvalidArgument` naming
the field. Signatures are checked further inside, where the membership is known.
"""

from __future__ import annotations

from dataclasses import dataclass

from conductor.core.certificate import Acknowledgement, Certificate
from conductor.core.encoding import DIGEST_BYTES
from conductor.core.messages import LogReport
from conductor.core.values import (
    MEMBERS_MAX,
    Digest,
    EntryKind,
    Epoch,
    Incarnation,
    Index,
    MemberKey,
    Position,
    ServerId,
)
from conductor.errors import InvalidArgument
from conductor.peers import fields
from conductor.v1 import replication_pb2, types_pb2

SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who says something, and for which cluster."""

    key: MemberKey
    cluster_id: Digest


def speaker_to_wire(speaker: Speaker) -> replication_pb2.Sender:
    """`Sender`."""
    return replication_pb2.Sender(
        server_id=speaker.key.server_id,
        incarnation=speaker.key.incarnation,
        cluster_id=speaker.cluster_id,
    )


def speaker_from_wire(wire: replication_pb2.Sender) -> Speaker:
    """`Sender`."""
    return Speaker(
        key_from_wire(wire.server_id, wire.incarnation, "sender"),
        fields.digest(wire.cluster_id, "sender.cluster_id"),
    )


def key_from_wire(server_id: str, incarnation: str, field: str) -> MemberKey:
    """The fields `server_id` and `incarnation` of the message `field`."""
    return MemberKey(
        ServerId(fields.name(server_id, f"{field}.server_id")),
        Incarnation(fields.name(incarnation, f"{field}.incarnation")),
    )


def position_to_wire(position: Position) -> types_pb2.Position:
    """`Position`."""
    return types_pb2.Position(index=position.index, epoch=position.epoch, digest=position.digest)


def position_from_wire(wire: types_pb2.Position, field: str) -> Position:
    """`Position`."""
    digest = fields.digest(wire.digest, f"{field}.digest")
    return Position(Index(wire.index), Epoch(wire.epoch), digest)


def report_to_wire(report: LogReport) -> replication_pb2.LogReport:
    """`LogReport`."""
    return replication_pb2.LogReport(
        last=position_to_wire(report.last),
        certified=position_to_wire(report.certified),
        base_index=report.base_index,
    )


def report_from_wire(wire: replication_pb2.LogReport, field: str) -> LogReport:
    """`LogReport`."""
    fields.present(wire, "last", f"{field}.last")
    fields.present(wire, "certified", f"{field}.certified")
    return LogReport(
        position_from_wire(wire.last, f"{field}.last"),
        position_from_wire(wire.certified, f"{field}.certified"),
        Index(wire.base_index),
    )


def kind_from_wire(kind: int, field: str) -> EntryKind:
    """`EntryKind`, which may hold any number."""
    try:
        return EntryKind(kind)
    except ValueError:
        raise InvalidArgument(f"{field}: {kind} is no kind of entry known here") from None


def acknowledgement_to_wire(acknowledgement: Acknowledgement) -> types_pb2.Acknowledgement:
    """`Acknowledgement`."""
    return types_pb2.Acknowledgement(
        server_id=acknowledgement.member.server_id,
        incarnation=acknowledgement.member.incarnation,
        epoch=acknowledgement.epoch,
        index=acknowledgement.index,
        digest=acknowledgement.digest,
        signature=acknowledgement.signature,
    )


def acknowledgement_from_wire(wire: types_pb2.Acknowledgement, field: str) -> Acknowledgement:
    """`Acknowledgement`. Its signature has the right size; whether it is good is not known."""
    return Acknowledgement(
        member=key_from_wire(wire.server_id, wire.incarnation, field),
        epoch=Epoch(wire.epoch),
        index=Index(wire.index),
        digest=fields.digest(wire.digest, f"{field}.digest"),
        signature=fields.fixed(wire.signature, SIGNATURE_BYTES, f"{field}.signature"),
    )


def certificate_to_wire(certificate: Certificate) -> types_pb2.Certificate:
    """`Certificate`."""
    return types_pb2.Certificate(
        epoch=certificate.epoch,
        index=certificate.index,
        previous_digest=certificate.previous_digest,
        kind=types_pb2.EntryKind.ValueType(certificate.kind),
        body_hash=certificate.body_hash,
        acknowledgements=[
            acknowledgement_to_wire(acknowledgement)
            for acknowledgement in certificate.acknowledgements
        ],
    )


def certificate_from_wire(wire: types_pb2.Certificate, field: str) -> Certificate:
    """`Certificate`. Whether it proves anything is not known yet."""
    fields.at_most(len(wire.acknowledgements), MEMBERS_MAX, f"{field}.acknowledgements")
    return Certificate(
        epoch=Epoch(wire.epoch),
        index=Index(wire.index),
        previous_digest=fields.digest(wire.previous_digest, f"{field}.previous_digest"),
        kind=kind_from_wire(wire.kind, f"{field}.kind"),
        body_hash=fields.fixed(wire.body_hash, DIGEST_BYTES, f"{field}.body_hash"),
        acknowledgements=tuple(
            acknowledgement_from_wire(acknowledgement, f"{field}.acknowledgements[{place}]")
            for place, acknowledgement in enumerate(wire.acknowledgements)
        ),
    )
