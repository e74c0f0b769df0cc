"""Whatever bytes come in, the gateway names what is wrong with them, or takes them as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import Message as WireMessage
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor.core.messages import (
    FetchRequest,
    HandOver,
    InstallBase,
    PrePromiseRequest,
    PromiseRequest,
)
from conductor.errors import InvalidArgument
from conductor.peers import calls, codec
from conductor.peers.calls import CALLS
from conductor.peers.fields import REASON_BYTES_MAX
from conductor.v1 import replication_pb2 as wire
from tests.peers import samples
from tests.peers.kit import a_payload
from tests.peers.samples import BODIES, SPEAKER

Decode = Callable[[bytes], object]
Spoil = Callable[[Any], object]

_REQUESTS = {type(message): message for message in samples.REQUESTS}


def request_of(request_type: type[Any]) -> bytes:
    """A well-formed request of that type."""
    return calls.encode_request(SPEAKER, _REQUESTS[request_type], BODIES)


def answer_to(request_type: type[Any], place: int = 0) -> bytes:
    """A well-formed answer to a request of that type."""
    found = [message for kind, message in samples.ANSWERS if kind is request_type]
    return calls.encode_answer(SPEAKER, found[place], BODIES)


APPEND = (wire.AppendRequest, codec.decode_append, codec.encode_append(samples.APPEND, BODIES))
OPENING = (wire.AppendRequest, codec.decode_stream_opening, codec.encode_stream_opening(SPEAKER))
WELCOME = (wire.AppendResponse, codec.decode_stream_welcome, codec.encode_stream_welcome(SPEAKER))
HEARD, ACKNOWLEDGED, MISMATCH, _ = (
    (wire.AppendResponse, codec.decode_append_answer, codec.encode_append_answer(answer))
    for answer in samples.APPEND_ANSWERS
)
GREET = (
    wire.GreetRequest,
    codec.decode_greet_request,
    codec.encode_greet_request(samples.GREETING),
)
GREETED = (
    wire.GreetResponse,
    codec.decode_greet_answer,
    codec.encode_greet_answer(samples.GREETING),
)
PRE_PROMISE = (
    wire.PrePromiseRequest,
    CALLS[PrePromiseRequest].decode_request,
    request_of(PrePromiseRequest),
)
PRE_PROMISED = (
    wire.PrePromiseResponse,
    CALLS[PrePromiseRequest].decode_answer,
    answer_to(PrePromiseRequest),
)
PROMISE = (
    wire.RequestPromiseRequest,
    CALLS[PromiseRequest].decode_request,
    request_of(PromiseRequest),
)
GRANTED = (
    wire.RequestPromiseResponse,
    CALLS[PromiseRequest].decode_answer,
    answer_to(PromiseRequest),
)
REFUSED = (
    wire.RequestPromiseResponse,
    CALLS[PromiseRequest].decode_answer,
    answer_to(PromiseRequest, 1),
)
FETCH = (wire.FetchEntriesRequest, CALLS[FetchRequest].decode_request, request_of(FetchRequest))
FETCHED = (
    wire.FetchEntriesResponse,
    CALLS[FetchRequest].decode_answer,
    answer_to(FetchRequest, 1),
)
INSTALL = (wire.InstallBaseRequest, CALLS[InstallBase].decode_request, request_of(InstallBase))
INSTALLED = (wire.InstallBaseResponse, CALLS[InstallBase].decode_answer, answer_to(InstallBase))
HAND_OVER = (wire.HandOverRequest, CALLS[HandOver].decode_request, request_of(HandOver))
HANDED_OVER = (wire.HandOverResponse, CALLS[HandOver].decode_answer, answer_to(HandOver))

ALL = (
    APPEND,
    OPENING,
    WELCOME,
    HEARD,
    ACKNOWLEDGED,
    MISMATCH,
    GREET,
    GREETED,
    PRE_PROMISE,
    PRE_PROMISED,
    PROMISE,
    GRANTED,
    REFUSED,
    FETCH,
    FETCHED,
    INSTALL,
    INSTALLED,
    HAND_OVER,
    HANDED_OVER,
)


def put(path: str, value: object) -> Spoil:
    """Set the field at `path` (dots, and numbers for list places)."""

    def spoil(message: Any) -> None:
        *way, last = path.split(".")
        for step in way:
            message = message[int(step)] if step.isdigit() else getattr(message, step)
        setattr(message, last, value)

    return spoil


def drop(path: str) -> Spoil:
    """Clear the field at `path`."""

    def spoil(message: Any) -> None:
        *way, last = path.split(".")
        for step in way:
            message = message[int(step)] if step.isdigit() else getattr(message, step)
        message.ClearField(last)

    return spoil


def swap_voters(message: Any) -> None:
    """Bring the configured voters out of order."""
    message.greeting.configured_voters.reverse()


def double_member(message: Any) -> None:
    """Name one member twice."""
    message.base.membership.members[1].CopyFrom(message.base.membership.members[0])


def no_voters(message: Any) -> None:
    """Leave nobody to count."""
    for member in message.base.membership.members:
        member.voter = False


def too_many_signers(message: Any) -> None:
    """More acknowledgements than there can be members."""
    words = message.certificate.acknowledgements
    words.extend([words[0]] * 64)


def skip_entry(message: Any) -> None:
    """Leave a gap in the entries."""
    del message.entries[0]


LONG = "x" * 257
CASES: tuple[tuple[Any, Spoil, str], ...] = (
    (OPENING, drop("sender"), "sender: is missing"),
    (OPENING, put("sender.server_id", ""), "sender.server_id: has 0 bytes"),
    (OPENING, put("sender.server_id", LONG), "sender.server_id: has 257 bytes"),
    (OPENING, put("sender.incarnation", ""), "sender.incarnation: has 0 bytes"),
    (OPENING, put("sender.incarnation", LONG), "sender.incarnation: has 257"),
    (OPENING, put("sender.cluster_id", bytes(31)), "sender.cluster_id: has 31 bytes"),
    (WELCOME, drop("sender"), "sender: is missing"),
    (WELCOME, put("sender.cluster_id", b""), "sender.cluster_id: has 0 bytes"),
    (APPEND, put("sender.server_id", "a"), "sender: only the first message"),
    (APPEND, drop("previous"), "previous: is missing"),
    (APPEND, put("previous.digest", bytes(33)), "previous.digest: has 33 bytes"),
    (APPEND, put("previous.index", 7), "entries[0].index: is 42, 8 is next"),
    (APPEND, put("previous.epoch", 5), "entries[0].epoch: falls from 5 to 4"),
    (APPEND, put("previous.digest", bytes(32)), "entries[0].previous_digest: does not chain"),
    (APPEND, skip_entry, "entries[0].index: is 43, 42 is next"),
    (APPEND, put("entries.0.index", 0), "entries[0].index: is 0"),
    (APPEND, put("entries.1.index", 44), "entries[1].index: is 44, 43 is next"),
    (APPEND, put("entries.1.epoch", 3), "entries[1].epoch: falls from 4 to 3"),
    (APPEND, put("entries.1.kind", 0), "entries[1].kind: 0 is no kind"),
    (APPEND, put("entries.1.kind", 9), "entries[1].kind: 9 is no kind"),
    (APPEND, put("entries.1.previous_digest", b""), "entries[1].previous_digest: has 0 bytes"),
    (APPEND, put("entries.1.previous_digest", bytes(32)), "entries[1].previous_digest: does not"),
    (APPEND, put("entries.0.body", b"x"), "entries[0].body: not an epoch start"),
    (APPEND, put("entries.0.body", bytes(12)), "entries[0].body.leader.server_id: has 0"),
    (APPEND, put("entries.1.body", b"x"), "entries[1].body: payload"),
    (APPEND, put("entries.1.body", samples.START.control), "entries[1].body: payload"),
    (APPEND, put("certificate.previous_digest", b"x"), "certificate.previous_digest: has 1"),
    (APPEND, put("certificate.kind", 3), "certificate.kind: 3 is no kind"),
    (APPEND, put("certificate.body_hash", bytes(31)), "certificate.body_hash: has 31"),
    (APPEND, too_many_signers, "certificate.acknowledgements: has 66 elements"),
    (
        APPEND,
        put("certificate.acknowledgements.1.signature", bytes(63)),
        "certificate.acknowledgements[1].signature: has 63 bytes",
    ),
    (
        APPEND,
        put("certificate.acknowledgements.0.digest", b""),
        "certificate.acknowledgements[0].digest: has 0 bytes",
    ),
    (
        APPEND,
        put("certificate.acknowledgements.0.server_id", ""),
        "certificate.acknowledgements[0].server_id: has 0",
    ),
    (HEARD, drop("heard"), "answer: is missing"),
    (ACKNOWLEDGED, put("epoch", 5), "epoch: is not that of the acknowledgement"),
    (ACKNOWLEDGED, put("acknowledged.signature", b""), "acknowledged.signature: has 0"),
    (ACKNOWLEDGED, put("acknowledged.incarnation", ""), "acknowledged.incarnation: has 0"),
    (MISMATCH, drop("mismatch.last"), "mismatch.last: is missing"),
    (MISMATCH, drop("mismatch.certified"), "mismatch.certified: is missing"),
    (MISMATCH, put("mismatch.certified.digest", b"x"), "mismatch.certified.digest: has 1"),
    (PRE_PROMISE, drop("sender"), "sender: is missing"),
    (PRE_PROMISED, drop("report"), "report: is missing"),
    (PRE_PROMISED, put("reason", "x" * (REASON_BYTES_MAX + 1)), "reason: has 1025 bytes"),
    (PROMISE, put("order.signature", bytes(65)), "order.signature: has 65 bytes"),
    (PROMISE, put("order.leader_id", ""), "order.leader_id: has 0 bytes"),
    (PROMISE, put("order.leader_incarnation", ""), "order.leader_incarnation: has 0"),
    (PROMISE, put("order.target_id", LONG), "order.target_id: has 257"),
    (PROMISE, put("order.target_incarnation", ""), "order.target_incarnation: has 0"),
    (GRANTED, drop("report"), "report: is missing"),
    (GRANTED, put("report.last.digest", b""), "report.last.digest: has 0 bytes"),
    (REFUSED, put("reason", "x" * (REASON_BYTES_MAX + 1)), "reason: has 1025 bytes"),
    (FETCH, drop("target"), "target: is missing"),
    (FETCH, put("target.digest", b""), "target.digest: has 0 bytes"),
    (FETCHED, drop("base.position"), "base.position: is missing"),
    (FETCHED, drop("base.membership"), "base.membership: is missing"),
    (FETCHED, put("base.position.index", 40), "entries[0].index: is 42, 41 is next"),
    (FETCHED, put("certificate.body_hash", b""), "certificate.body_hash: has 0"),
    (INSTALL, drop("base"), "base: is missing"),
    (INSTALL, drop("certificate"), "certificate: is missing"),
    (INSTALL, skip_entry, "entries[0].index: is 43, 42 is next"),
    (INSTALL, drop("base.membership.members"), "base.membership.members: hold no voter"),
    (INSTALL, no_voters, "base.membership.members: hold no voter"),
    (INSTALL, double_member, "base.membership.members: are not in the order"),
    (INSTALL, put("base.membership.quorum_rule", 3), "base.membership.quorum_rule: a quorum"),
    (INSTALL, put("base.membership.version", 42), "base.membership.version: 42 is above"),
    (
        INSTALL,
        put("base.membership.members.1.public_key", bytes(31)),
        "base.membership.members[1].public_key: has 31 bytes",
    ),
    (INSTALLED, drop("sender"), "sender: is missing"),
    (INSTALLED, drop("answer"), "answer.answer: is missing"),
    (HAND_OVER, drop("order"), "order: is missing"),
    (HAND_OVER, put("reason", "x" * (REASON_BYTES_MAX + 1)), "reason: has 1025"),
    (HANDED_OVER, put("sender.server_id", ""), "sender.server_id: has 0"),
    (GREET, drop("greeting"), "greeting: is missing"),
    (GREETED, drop("greeting"), "greeting: is missing"),
    (GREET, drop("greeting.member"), "greeting.member: is missing"),
    (GREET, put("greeting.cluster_name", ""), "greeting.cluster_name: has 0"),
    (GREET, put("greeting.member.server_id", LONG), "greeting.member.server_id: has 257"),
    (GREET, put("greeting.member.incarnation", ""), "greeting.member.incarnation: has 0"),
    (GREET, put("greeting.member.public_key", bytes(33)), "greeting.member.public_key: has 33"),
    (GREET, put("greeting.member.grpc_address", "nowhere"), "grpc_address: is not host:port"),
    (GREET, put("greeting.member.grpc_address", "unix:/x:1"), "grpc_address: is not host:port"),
    (GREET, put("greeting.member.gateway_address", "a:65536"), "gateway_address: is not host"),
    (GREET, put("greeting.member.gateway_address", ":80"), "gateway_address: is not host"),
    (GREET, swap_voters, "greeting.configured_voters: are not sorted"),
    (
        GREET,
        lambda message: message.greeting.configured_voters.extend(["y"] * 64),
        "greeting.configured_voters: has 66 elements",
    ),
    (
        GREET,
        lambda message: message.greeting.configured_voters.insert(0, ""),
        "greeting.configured_voters[0]: has 0 bytes",
    ),
    (GREET, put("greeting.genesis", b"x"), "greeting.genesis: not a genesis"),
    (GREET, put("greeting.proposed_cluster_id", b"x"), "proposed_cluster_id: has 1 bytes"),
    (GREET, put("greeting.version", LONG), "greeting.version: has 257"),
    (GREET, put("greeting.initial_leader", LONG), "greeting.initial_leader: has 257"),
    (
        GREET,
        put("greeting.raft_end.head.block_hash", bytes(31)),
        "greeting.raft_end.head.block_hash: has 31",
    ),
    (GREET, put("greeting.raft_end.head.parent_hash", b""), "raft_end.head.parent_hash: has 0"),
    (GREETED, put("greeting.raft_end.head.body_hash", bytes(33)), "raft_end.head.body_hash: has"),
)


@pytest.mark.parametrize(("sample", "spoil", "expected"), CASES, ids=lambda value: "")
def test_every_malformed_field_is_named(sample: Any, spoil: Spoil, expected: str) -> None:
    kind, decode, data = sample
    message = kind.FromString(data)
    spoil(message)

    with pytest.raises(InvalidArgument) as raised:
        decode(message.SerializeToString())

    assert expected in str(raised.value)


@pytest.mark.parametrize(("kind", "decode", "data"), ALL)
def test_samples_are_well_formed(kind: type[WireMessage], decode: Decode, data: bytes) -> None:
    """Otherwise the table above would prove nothing."""
    assert kind.FromString(data).SerializeToString()
    decode(data)


def test_a_genesis_without_a_quorum_is_refused() -> None:
    genesis = samples.GREETING.genesis
    assert genesis is not None
    unruly = genesis.to_bytes().replace(b"\0\0\0\2\0\0\0\2", b"\0\0\0\7\0\0\0\2")
    assert unruly != genesis.to_bytes()
    request = wire.GreetRequest.FromString(codec.encode_greet_request(samples.GREETING))
    request.greeting.genesis = unruly

    with pytest.raises(InvalidArgument, match=r"^greeting\.genesis.* a quorum of 7"):
        codec.decode_greet_request(request.SerializeToString())


def test_a_payload_over_the_limit_is_refused() -> None:
    request = wire.AppendRequest.FromString(APPEND[2])
    body = bytearray(a_payload(8, size=1000))
    request.entries[1].body = bytes(body) + bytes(16 * 2**20)

    with pytest.raises(InvalidArgument, match=r"entries\[1\].body: the payload has .* bytes"):
        codec.decode_append(request.SerializeToString())


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=200))
def test_random_bytes_do_no_harm(data: bytes) -> None:
    for _, decode, _ in ALL:
        try:
            decode(data)
        except InvalidArgument:
            continue


@settings(max_examples=150, deadline=None)
@given(
    sample=st.sampled_from(ALL),
    place=st.floats(0, 1, exclude_max=True),
    byte=st.integers(0, 255),
    cut=st.booleans(),
)
def test_damaged_messages_do_no_harm(sample: Any, place: float, byte: int, cut: bool) -> None:
    _, decode, data = sample
    at = int(place * len(data))
    damaged = data[:at] if cut else data[:at] + bytes([byte]) + data[at + 1 :]
    try:
        decode(damaged)
    except InvalidArgument:
        return
