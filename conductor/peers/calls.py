"""The calls that have one request and one answer, as bytes, both ways, each with its deadline.

The gateway for untrusted bytes, as `codec` is: what is decoded is well formed, or `InvalidArgument`
names the field. Whether the speaker belongs to this cluster is for `members` to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from conductor.core.messages import (
    Acknowledged,
    AppendRefusal,
    FetchAnswer,
    FetchRequest,
    HandOver,
    HandOverAnswer,
    Heard,
    InstallBase,
    Message,
    Mismatch,
    PrePromiseAnswer,
    PrePromiseRequest,
    PromiseGrant,
    PromiseRefusal,
    PromiseRequest,
)
from conductor.core.values import Epoch, Index
from conductor.errors import InvariantViolation
from conductor.peers import fields
from conductor.peers.codec import (
    append_answer_from_wire,
    append_answer_to_wire,
    parsed,
)
from conductor.peers.wire_entries import entries_from_wire, with_entries
from conductor.peers.wire_members import (
    base_from_wire,
    base_to_wire,
    order_from_wire,
    order_to_wire,
)
from conductor.peers.wire_values import (
    Speaker,
    certificate_from_wire,
    certificate_to_wire,
    position_from_wire,
    position_to_wire,
    report_from_wire,
    report_to_wire,
    speaker_from_wire,
    speaker_to_wire,
)
from conductor.ports import Bodies
from conductor.v1 import replication_pb2 as wire

SERVICE = "conductor.v1.ReplicationService"
CALL_DEADLINE_MS = 5_000
BULK_DEADLINE_MS = 10_000


@dataclass(frozen=True, slots=True)
class Said:
    """A message with its speaker, whose word for the cluster is still to be compared with ours."""

    speaker: Speaker
    message: Message
    bodies: Bodies = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """One method of `ReplicationService` with a single request and answer."""

    name: str
    decode_request: Callable[[bytes], Said]
    decode_answer: Callable[[bytes], Said]
    deadline_ms: int = CALL_DEADLINE_MS


def encode_request(speaker: Speaker, message: Message, bodies: Bodies) -> bytes:
    """The request that carries `message`, which must be of a type in `CALLS`."""
    sender = speaker_to_wire(speaker)
    match message:
        case PrePromiseRequest(epoch, nonce):
            return wire.PrePromiseRequest(
                sender=sender, epoch=epoch, nonce=nonce
            ).SerializeToString()
        case PromiseRequest(epoch, nonce, order):
            return wire.RequestPromiseRequest(
                sender=sender,
                epoch=epoch,
                nonce=nonce,
                order=order_to_wire(order) if order is not None else None,
            ).SerializeToString()
        case FetchRequest(nonce, after, target):
            return wire.FetchEntriesRequest(
                sender=sender, nonce=nonce, after=after, target=position_to_wire(target)
            ).SerializeToString()
        case InstallBase():
            return _encode_install_request(sender, message, bodies)
        case HandOver(order, reason, forced):
            return wire.HandOverRequest(
                sender=sender,
                order=order_to_wire(order),
                reason=fields.shortened(reason),
                forced=forced,
            ).SerializeToString()
        case _:
            raise InvariantViolation(f"{type(message).__name__} is no request")


def _encode_install_request(sender: wire.Sender, message: InstallBase, bodies: Bodies) -> bytes:
    request = wire.InstallBaseRequest(
        sender=sender,
        epoch=message.epoch,
        sequence=message.sequence,
        base=base_to_wire(message.base),
        certificate=certificate_to_wire(message.certificate),
        sequencer_ok=message.sequencer_ok,
    )
    number = wire.InstallBaseRequest.ENTRIES_FIELD_NUMBER
    return with_entries(request.SerializeToString(), number, message.entries, bodies)


def encode_answer(speaker: Speaker, message: Message, bodies: Bodies) -> bytes:
    """The answer that carries `message`."""
    sender = speaker_to_wire(speaker)
    match message:
        case PrePromiseAnswer():
            return wire.PrePromiseResponse(
                sender=sender,
                nonce=message.nonce,
                would_grant=message.would_grant,
                promised_epoch=message.promised_epoch,
                reason=fields.shortened(message.reason),
                report=report_to_wire(message.report),
            ).SerializeToString()
        case PromiseGrant() | PromiseRefusal():
            return _encode_promise_answer(sender, message)
        case FetchAnswer():
            return _encode_fetch_answer(sender, message, bodies)
        case Heard() | Acknowledged() | Mismatch() | AppendRefusal():
            return wire.InstallBaseResponse(
                sender=sender, answer=append_answer_to_wire(message)
            ).SerializeToString()
        case HandOverAnswer(epoch, accepted, reason):
            return wire.HandOverResponse(
                sender=sender, epoch=epoch, accepted=accepted, reason=fields.shortened(reason)
            ).SerializeToString()
        case _:
            raise InvariantViolation(f"{type(message).__name__} is no answer to a call")


def _encode_promise_answer(sender: wire.Sender, message: PromiseGrant | PromiseRefusal) -> bytes:
    answer = wire.RequestPromiseResponse(sender=sender, epoch=message.epoch, nonce=message.nonce)
    match message:
        case PromiseGrant():
            answer.granted = True
            answer.report.CopyFrom(report_to_wire(message.report))
        case PromiseRefusal():
            answer.promised_epoch = message.promised_epoch
            answer.reason = fields.shortened(message.reason)
    return answer.SerializeToString()


def _encode_fetch_answer(sender: wire.Sender, message: FetchAnswer, bodies: Bodies) -> bytes:
    certificate = message.certificate
    answer = wire.FetchEntriesResponse(
        sender=sender,
        nonce=message.nonce,
        base=base_to_wire(message.base) if message.base is not None else None,
        certificate=certificate_to_wire(certificate) if certificate is not None else None,
    )
    number = wire.FetchEntriesResponse.ENTRIES_FIELD_NUMBER
    return with_entries(answer.SerializeToString(), number, message.entries, bodies)


def _speaker_of(
    message: wire.PrePromiseRequest
    | wire.PrePromiseResponse
    | wire.RequestPromiseRequest
    | wire.RequestPromiseResponse
    | wire.FetchEntriesRequest
    | wire.FetchEntriesResponse
    | wire.InstallBaseRequest
    | wire.InstallBaseResponse
    | wire.HandOverRequest
    | wire.HandOverResponse,
) -> Speaker:
    fields.present(message, "sender", "sender")
    return speaker_from_wire(message.sender)


def _decode_pre_promise_request(data: bytes) -> Said:
    request = parsed(wire.PrePromiseRequest, data)
    return Said(_speaker_of(request), PrePromiseRequest(Epoch(request.epoch), request.nonce))


def _decode_pre_promise_answer(data: bytes) -> Said:
    answer = parsed(wire.PrePromiseResponse, data)
    speaker = _speaker_of(answer)
    fields.present(answer, "report", "report")
    message = PrePromiseAnswer(
        nonce=answer.nonce,
        would_grant=answer.would_grant,
        promised_epoch=Epoch(answer.promised_epoch),
        reason=fields.reason(answer.reason, "reason"),
        report=report_from_wire(answer.report, "report"),
    )
    return Said(speaker, message)


def _decode_promise_request(data: bytes) -> Said:
    request = parsed(wire.RequestPromiseRequest, data)
    speaker = _speaker_of(request)
    order = None
    if request.HasField("order"):
        order = order_from_wire(request.order, speaker.cluster_id, "order")
    return Said(speaker, PromiseRequest(Epoch(request.epoch), request.nonce, order))


def _decode_promise_answer(data: bytes) -> Said:
    answer = parsed(wire.RequestPromiseResponse, data)
    speaker = _speaker_of(answer)
    epoch = Epoch(answer.epoch)
    if answer.granted:
        fields.present(answer, "report", "report")
        report = report_from_wire(answer.report, "report")
        return Said(speaker, PromiseGrant(epoch, answer.nonce, report))
    reason = fields.reason(answer.reason, "reason")
    refusal = PromiseRefusal(epoch, answer.nonce, Epoch(answer.promised_epoch), reason)
    return Said(speaker, refusal)


def _decode_fetch_request(data: bytes) -> Said:
    request = parsed(wire.FetchEntriesRequest, data)
    speaker = _speaker_of(request)
    fields.present(request, "target", "target")
    target = position_from_wire(request.target, "target")
    return Said(speaker, FetchRequest(request.nonce, Index(request.after), target))


def _decode_fetch_answer(data: bytes) -> Said:
    answer = parsed(wire.FetchEntriesResponse, data)
    speaker = _speaker_of(answer)
    base = base_from_wire(answer.base, "base") if answer.HasField("base") else None
    previous = base.position if base is not None else None
    entries, bodies = entries_from_wire(answer.entries, previous)
    certificate = None
    if answer.HasField("certificate"):
        certificate = certificate_from_wire(answer.certificate, "certificate")
    return Said(speaker, FetchAnswer(answer.nonce, entries, base, certificate), bodies)


def _decode_install_request(data: bytes) -> Said:
    request = parsed(wire.InstallBaseRequest, data)
    speaker = _speaker_of(request)
    fields.present(request, "base", "base")
    fields.present(request, "certificate", "certificate")
    base = base_from_wire(request.base, "base")
    entries, bodies = entries_from_wire(request.entries, base.position)
    message = InstallBase(
        epoch=Epoch(request.epoch),
        sequence=request.sequence,
        base=base,
        entries=entries,
        certificate=certificate_from_wire(request.certificate, "certificate"),
        sequencer_ok=request.sequencer_ok,
    )
    return Said(speaker, message, bodies)


def _decode_install_answer(data: bytes) -> Said:
    answer = parsed(wire.InstallBaseResponse, data)
    speaker = _speaker_of(answer)
    return Said(speaker, append_answer_from_wire(answer.answer, "answer."))


def _decode_hand_over_request(data: bytes) -> Said:
    request = parsed(wire.HandOverRequest, data)
    speaker = _speaker_of(request)
    fields.present(request, "order", "order")
    order = order_from_wire(request.order, speaker.cluster_id, "order")
    return Said(speaker, HandOver(order, fields.reason(request.reason, "reason"), request.forced))


def _decode_hand_over_answer(data: bytes) -> Said:
    answer = parsed(wire.HandOverResponse, data)
    reason = fields.reason(answer.reason, "reason")
    return Said(_speaker_of(answer), HandOverAnswer(Epoch(answer.epoch), answer.accepted, reason))


CALLS: Mapping[type[Message], Call] = MappingProxyType(
    {
        PrePromiseRequest: Call(
            "PrePromise", _decode_pre_promise_request, _decode_pre_promise_answer
        ),
        PromiseRequest: Call("RequestPromise", _decode_promise_request, _decode_promise_answer),
        FetchRequest: Call(
            "FetchEntries", _decode_fetch_request, _decode_fetch_answer, BULK_DEADLINE_MS
        ),
        InstallBase: Call(
            "InstallBase", _decode_install_request, _decode_install_answer, BULK_DEADLINE_MS
        ),
        HandOver: Call("HandOver", _decode_hand_over_request, _decode_hand_over_answer),
    }
)
"""By the type of the message that the request carries."""
