"""Greetings and the Append stream as bytes, both ways; `calls` has the rest.

The gateway for untrusted bytes: every decoder returns well-formed core values, the bodies beside
them, or raises `InvalidArgument` naming the field. It blocks for as long as hashing the bodies
takes (about half a millisecond a megabyte), so large messages belong on another thread.
"""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as WireMessage

from conductor.core.greeting import Greeting
from conductor.core.messages import Acknowledged, Append, AppendRefusal, Heard, Mismatch
from conductor.core.values import Epoch
from conductor.errors import InvalidArgument
from conductor.peers import fields
from conductor.peers.wire_entries import entries_from_wire, with_entries
from conductor.peers.wire_members import greeting_from_wire, greeting_to_wire
from conductor.peers.wire_values import (
    Speaker,
    acknowledgement_from_wire,
    acknowledgement_to_wire,
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

AppendAnswer = Heard | Acknowledged | Mismatch | AppendRefusal
"""What an Append is answered with; each names the sequence number that it answers."""

_Wire = TypeVar("_Wire", bound=WireMessage)


def parsed(kind: type[_Wire], data: bytes) -> _Wire:
    """The protobuf message in `data`, its fields not checked yet."""
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise InvalidArgument(f"{kind.__name__}: is no such message: {error}") from error


# Greetings


def encode_greet_request(greeting: Greeting) -> bytes:
    """`GreetRequest`."""
    return wire.GreetRequest(greeting=greeting_to_wire(greeting)).SerializeToString()


def decode_greet_request(data: bytes) -> Greeting:
    """`GreetRequest`."""
    request = parsed(wire.GreetRequest, data)
    fields.present(request, "greeting", "greeting")
    return greeting_from_wire(request.greeting)


def encode_greet_answer(greeting: Greeting) -> bytes:
    """`GreetResponse`."""
    return wire.GreetResponse(greeting=greeting_to_wire(greeting)).SerializeToString()


def decode_greet_answer(data: bytes) -> Greeting:
    """`GreetResponse`."""
    answer = parsed(wire.GreetResponse, data)
    fields.present(answer, "greeting", "greeting")
    return greeting_from_wire(answer.greeting)


# The Append stream


def encode_stream_opening(speaker: Speaker) -> bytes:
    """The first message of a stream, from the side that opens it."""
    return wire.AppendRequest(sender=speaker_to_wire(speaker)).SerializeToString()


def decode_stream_opening(data: bytes) -> Speaker:
    """The first message of a stream, from the side that opens it."""
    request = parsed(wire.AppendRequest, data)
    fields.present(request, "sender", "sender")
    return speaker_from_wire(request.sender)


def encode_stream_welcome(speaker: Speaker) -> bytes:
    """The first message of a stream, from the side that answers."""
    return wire.AppendResponse(sender=speaker_to_wire(speaker)).SerializeToString()


def decode_stream_welcome(data: bytes) -> Speaker:
    """The first message of a stream, from the side that answers."""
    response = parsed(wire.AppendResponse, data)
    fields.present(response, "sender", "sender")
    return speaker_from_wire(response.sender)


def encode_append(append: Append, bodies: Bodies) -> bytes:
    """`AppendRequest`."""
    request = wire.AppendRequest(
        epoch=append.epoch,
        sequence=append.sequence,
        previous=position_to_wire(append.previous),
        certificate=certificate_to_wire(append.certificate) if append.certificate else None,
        sequencer_ok=append.sequencer_ok,
    )
    number = wire.AppendRequest.ENTRIES_FIELD_NUMBER
    return with_entries(request.SerializeToString(), number, append.entries, bodies)


def decode_append(data: bytes) -> tuple[Append, Bodies]:
    """`AppendRequest`."""
    request = parsed(wire.AppendRequest, data)
    if request.HasField("sender"):
        raise InvalidArgument("sender: only the first message of a stream has one")
    fields.present(request, "previous", "previous")
    previous = position_from_wire(request.previous, "previous")
    entries, bodies = entries_from_wire(request.entries, previous)
    has_certificate = request.HasField("certificate")
    append = Append(
        epoch=Epoch(request.epoch),
        sequence=request.sequence,
        previous=previous,
        entries=entries,
        certificate=(
            certificate_from_wire(request.certificate, "certificate") if has_certificate else None
        ),
        sequencer_ok=request.sequencer_ok,
    )
    return append, bodies


def encode_append_answer(answer: AppendAnswer) -> bytes:
    """`AppendResponse`."""
    return append_answer_to_wire(answer).SerializeToString()


def decode_append_answer(data: bytes) -> AppendAnswer:
    """`AppendResponse`."""
    return append_answer_from_wire(parsed(wire.AppendResponse, data), "")


def append_answer_to_wire(answer: AppendAnswer) -> wire.AppendResponse:
    """`AppendResponse`, without a sender."""
    match answer:
        case Acknowledged(sequence, acknowledgement):
            return wire.AppendResponse(
                epoch=acknowledgement.epoch,
                sequence=sequence,
                acknowledged=acknowledgement_to_wire(acknowledgement),
            )
        case Heard(epoch, sequence):
            return wire.AppendResponse(epoch=epoch, sequence=sequence, heard=wire.Heard())
        case Mismatch(epoch, sequence, report):
            return wire.AppendResponse(
                epoch=epoch, sequence=sequence, mismatch=report_to_wire(report)
            )
        case AppendRefusal(epoch, sequence, promised_epoch):
            refusal = wire.AppendRefusal(promised_epoch=promised_epoch)
            return wire.AppendResponse(epoch=epoch, sequence=sequence, refusal=refusal)


def append_answer_from_wire(response: wire.AppendResponse, prefix: str) -> AppendAnswer:
    """`AppendResponse`, whatever its sender; `prefix` goes before the names of its fields."""
    epoch = Epoch(response.epoch)
    match response.WhichOneof("answer"):
        case "acknowledged":
            acknowledgement = acknowledgement_from_wire(
                response.acknowledged, f"{prefix}acknowledged"
            )
            if acknowledgement.epoch != epoch:
                raise InvalidArgument(f"{prefix}epoch: is not that of the acknowledgement")
            return Acknowledged(response.sequence, acknowledgement)
        case "heard":
            return Heard(epoch, response.sequence)
        case "mismatch":
            report = report_from_wire(response.mismatch, f"{prefix}mismatch")
            return Mismatch(epoch, response.sequence, report)
        case "refusal":
            return AppendRefusal(epoch, response.sequence, Epoch(response.refusal.promised_epoch))
        case None:
            raise InvalidArgument(f"{prefix}answer: is missing")
