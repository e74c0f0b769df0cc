"""What one node encodes, another decodes to the very same values."""

from __future__ import annotations

import dataclasses

import pytest

from conductor.core.founding import RaftEnd
from conductor.core.greeting import Greeting
from conductor.core.messages import FetchAnswer, InstallBase, Message, PrePromiseAnswer
from conductor.core.values import Epoch
from conductor.errors import InvariantViolation
from conductor.peers import calls, codec
from conductor.peers.calls import CALLS
from conductor.peers.codec import AppendAnswer
from conductor.peers.fields import REASON_BYTES_MAX
from conductor.v1 import replication_pb2, types_pb2
from tests.peers import samples
from tests.peers.kit import a_payload, an_append
from tests.peers.samples import BODIES, BODY, SPEAKER


def has_entries(message: Message) -> bool:
    """Whether bodies travel with it."""
    return isinstance(message, FetchAnswer | InstallBase) and bool(message.entries)


@pytest.mark.parametrize("message", samples.REQUESTS, ids=lambda message: type(message).__name__)
def test_requests_come_back_as_they_were(message: Message) -> None:
    data = calls.encode_request(SPEAKER, message, BODIES)

    said = CALLS[type(message)].decode_request(data)

    assert said == calls.Said(SPEAKER, message, BODIES if has_entries(message) else {})


@pytest.mark.parametrize(("request_type", "message"), samples.ANSWERS)
def test_answers_come_back_as_they_were(request_type: type[Message], message: Message) -> None:
    data = calls.encode_answer(SPEAKER, message, BODIES)

    said = CALLS[request_type].decode_answer(data)

    assert said == calls.Said(SPEAKER, message, BODIES if has_entries(message) else {})


def test_an_append_comes_back_as_it_was() -> None:
    assert codec.decode_append(codec.encode_append(samples.APPEND, BODIES)) == (
        samples.APPEND,
        BODIES,
    )
    assert codec.decode_append(codec.encode_append(samples.HEARTBEAT, {})) == (
        samples.HEARTBEAT,
        {},
    )


@pytest.mark.parametrize("answer", samples.APPEND_ANSWERS)
def test_stream_answers_come_back_as_they_were(answer: AppendAnswer) -> None:
    assert codec.decode_append_answer(codec.encode_append_answer(answer)) == answer


def test_introductions_come_back_as_they_were() -> None:
    opening, welcome = codec.encode_stream_opening(SPEAKER), codec.encode_stream_welcome(SPEAKER)

    assert codec.decode_stream_opening(opening) == SPEAKER
    assert codec.decode_stream_welcome(welcome) == SPEAKER


@pytest.mark.parametrize(
    "greeting",
    [
        samples.GREETING,
        dataclasses.replace(samples.GREETING, genesis=None, proposed_cluster_id=None),
        dataclasses.replace(samples.GREETING, initial_leader=None),
        dataclasses.replace(samples.GREETING, raft_end=None),
        dataclasses.replace(samples.GREETING, raft_end=RaftEnd(0, 0, None)),
        dataclasses.replace(samples.GREETING, raft_end=RaftEnd(2**64 - 1, 2**64 - 1, samples.HEAD)),
    ],
)
def test_greetings_come_back_as_they_were(greeting: Greeting) -> None:
    assert codec.decode_greet_request(codec.encode_greet_request(greeting)) == greeting
    assert codec.decode_greet_answer(codec.encode_greet_answer(greeting)) == greeting


@pytest.mark.parametrize("size", [0, 100, 127, 128, 16_383, 16_384, 3_000_000])
def test_framing_by_hand_is_what_protobuf_writes(size: int) -> None:
    body = a_payload(1, size=size)
    append = an_append(5, body)
    (entry,) = append.entries
    expected = replication_pb2.AppendRequest(
        epoch=1,
        sequence=5,
        previous=types_pb2.Position(digest=append.previous.digest),
        entries=[
            types_pb2.Entry(
                index=1,
                epoch=1,
                kind=types_pb2.ENTRY_KIND_PAYLOAD,
                previous_digest=entry.previous_digest,
                body=body,
            )
        ],
        sequencer_ok=True,
    )

    data = codec.encode_append(append, {entry.body_hash: body})

    assert replication_pb2.AppendRequest.FromString(data) == expected


def test_hashes_are_those_of_the_bytes_that_came() -> None:
    request = replication_pb2.AppendRequest.FromString(codec.encode_append(samples.APPEND, BODIES))
    other = a_payload(8, size=299)
    request.entries[1].body = other

    append, bodies = codec.decode_append(request.SerializeToString())

    (changed,) = bodies
    assert append.entries[1].body_hash == changed
    assert bodies[changed] == other
    assert append.entries[1].digest != samples.PAYLOAD.digest
    assert other != BODY


def test_a_payload_without_its_body_is_never_sent() -> None:
    with pytest.raises(InvariantViolation, match="without its body"):
        codec.encode_append(samples.APPEND, {})


def test_a_long_reason_is_cut_to_what_the_other_side_takes() -> None:
    answer = PrePromiseAnswer(1, False, Epoch(3), "é" * REASON_BYTES_MAX, samples.REPORT)
    call = CALLS[type(samples.REQUESTS[0])]

    said = call.decode_answer(calls.encode_answer(SPEAKER, answer, {}))

    assert isinstance(said.message, PrePromiseAnswer)
    assert said.message.reason == "é" * (REASON_BYTES_MAX // 2)
