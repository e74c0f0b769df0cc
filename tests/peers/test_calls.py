"""Calls with one answer: each finds its way back, and what cannot be answered ends."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

import grpc
import pytest

from conductor.core.encoding import sha256
from conductor.core.messages import (
    Acknowledged,
    FetchAnswer,
    FetchRequest,
    Heard,
    Message,
    PrePromiseAnswer,
    PrePromiseRequest,
)
from conductor.core.values import Digest, Epoch, Index, ServerId
from conductor.errors import Overloaded
from conductor.peers.calls import encode_request
from conductor.peers.client import OPEN_CALLS_MAX
from conductor.peers.server import OPEN_CALLS_MAX as SERVED_CALLS_MAX
from conductor.peers.server import ReplyDesk
from conductor.peers.wire_values import Speaker
from conductor.ports import Bodies
from tests.peers import samples
from tests.peers.kit import (
    CLUSTER_ID,
    PeerNode,
    Received,
    a_heartbeat,
    a_key,
    a_payload,
    a_payload_entry,
    a_position,
    an_acknowledgement,
    cluster,
    raw_call,
    running,
)

A = ServerId("a")
B = ServerId("b")


FINAL_ANSWERS = [sample for sample in samples.ANSWERS if not isinstance(sample[1], Heard)]


@pytest.mark.parametrize(("request_type", "answer"), FINAL_ANSWERS)
async def test_every_call_is_delivered_and_answered(
    request_type: type[Message], answer: Message
) -> None:
    request = next(known for known in samples.REQUESTS if isinstance(known, request_type))
    async with cluster("a", "b") as (a, b):
        a.peers.send(B, request, samples.BODIES, 0)
        await b.inbox.until(lambda: bool(b.inbox.received))
        (asked,) = b.inbox.received
        b.peers.send(A, answer, samples.BODIES, asked.reply_to)
        await a.inbox.until(lambda: bool(a.inbox.received))
        (answered,) = a.inbox.received

    assert (asked.sender, asked.message) == (a_key("a"), request)
    assert asked.reply_to != 0
    assert (answered.sender, answered.message, answered.reply_to) == (a_key("b"), answer, 0)


async def test_answers_go_to_the_calls_they_belong_to() -> None:
    async with cluster("a", "b", "c") as (a, b, c):
        for node in (a, c):
            for nonce in range(8):
                node.peers.send(B, PrePromiseRequest(Epoch(1), nonce), {}, 0)
        await b.inbox.until(lambda: len(b.inbox.received) == 16)
        for asked in reversed(b.inbox.received):
            assert isinstance(asked.message, PrePromiseRequest)
            reason = f"{asked.sender.server_id} {asked.message.nonce}"
            answer = PrePromiseAnswer(asked.message.nonce, False, Epoch(2), reason, samples.REPORT)
            b.peers.send(asked.sender.server_id, answer, {}, asked.reply_to)
        for node in (a, c):
            await node.inbox.until(partial(has_received, node, 8))

            said = {reason_in(received) for received in node.inbox.received}
            assert said == {f"{node.name} {nonce}" for nonce in range(8)}


def has_received(node: PeerNode, count: int) -> bool:
    """Whether that many messages came in."""
    return len(node.inbox.received) == count


def reason_in(received: Received) -> str:
    """The text of a pre-promise answer."""
    assert isinstance(received.message, PrePromiseAnswer)
    return received.message.reason


async def test_entries_of_megabytes_come_with_an_answer() -> None:
    body = a_payload(1, size=2_000_000)
    entry = a_payload_entry(a_position(), body, height=1)
    answer = FetchAnswer(5, (entry,))
    async with cluster("a", "b") as (a, b):
        a.peers.send(B, FetchRequest(5, Index(0), entry.position), {}, 0)
        await b.inbox.until(lambda: bool(b.inbox.received))
        b.peers.send(A, answer, {entry.body_hash: body}, b.inbox.received[0].reply_to)
        await a.inbox.until(lambda: bool(a.inbox.received))

        assert a.inbox.received[0].message == answer
        assert a.inbox.received[0].bodies == {sha256(body): body}


async def test_that_a_base_was_heard_is_not_the_answer_to_it() -> None:
    acknowledged = Acknowledged(19, an_acknowledgement("b", samples.PAYLOAD.position))
    async with cluster("a", "b") as (a, b):
        a.peers.send(B, samples.INSTALL, samples.BODIES, 0)
        await b.inbox.until(lambda: bool(b.inbox.received))
        reply_to = b.inbox.received[0].reply_to
        b.peers.send(A, Heard(Epoch(4), 19), {}, reply_to)
        b.peers.send(A, acknowledged, {}, reply_to)
        b.peers.send(A, acknowledged, {}, reply_to)
        await a.inbox.until(lambda: bool(a.inbox.received))

        assert a.inbox.messages == [acknowledged]


async def test_calls_to_a_peer_that_is_away_are_dropped_and_said_so() -> None:
    async with cluster("a", "b") as (a, b):
        await b.stop()
        a.peers.send(B, PrePromiseRequest(Epoch(1), 1), {}, 0)
        await a.inbox.until(
            lambda: any(why.startswith("PrePromise: UNAVAILABLE") for _, why in a.inbox.problems)
        )
        assert a.inbox.received == []
        await b.start()


async def test_no_more_calls_wait_than_the_limit() -> None:
    async with cluster("a", "b") as (a, b):
        for nonce in range(OPEN_CALLS_MAX + 5):
            a.peers.send(B, PrePromiseRequest(Epoch(1), nonce), {}, 0)
        await b.inbox.until(lambda: len(b.inbox.received) >= OPEN_CALLS_MAX)
        b.peers.send(A, samples.ANSWERS[0][1], {}, b.inbox.received[0].reply_to)
        await a.inbox.until(lambda: bool(a.inbox.received))
        last = PrePromiseRequest(Epoch(1), 999)
        a.peers.send(B, last, {}, 0)
        await b.inbox.until(lambda: last in b.inbox.messages)

        asked = [m.nonce for m in b.inbox.messages if isinstance(m, PrePromiseRequest)]
        assert sorted(asked) == [*range(OPEN_CALLS_MAX), 999]


async def test_what_nobody_could_carry_is_dropped() -> None:
    node = PeerNode("a")
    async with running(node):
        node.peers.send(B, a_heartbeat(1), {}, 0)
        node.peers.send(B, Heard(Epoch(1), 1), {}, 4711)
    node.peers.send(B, a_heartbeat(2), {}, 0)


@pytest.mark.parametrize(
    ("speaker", "code"),
    [
        (Speaker(a_key("a"), Digest(bytes(32))), grpc.StatusCode.FAILED_PRECONDITION),
        (Speaker(a_key("z"), CLUSTER_ID), grpc.StatusCode.PERMISSION_DENIED),
    ],
)
async def test_only_members_may_call(speaker: Speaker, code: grpc.StatusCode) -> None:
    request = encode_request(speaker, PrePromiseRequest(Epoch(1), 1), {})
    async with cluster("a", "b") as (_, b):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await raw_call(b.address, "PrePromise", request)

        assert raised.value.code() is code
        assert b.inbox.received == []


async def test_a_malformed_request_is_refused_by_name() -> None:
    async with cluster("a", "b") as (_, b):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await raw_call(b.address, "HandOver", b"\xff")

        assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (raised.value.details() or "").startswith("HandOverRequest: is no such message")
        assert b.inbox.received == []


async def test_a_call_that_its_caller_gave_up_is_not_answered() -> None:
    request = encode_request(Speaker(a_key("a"), CLUSTER_ID), PrePromiseRequest(Epoch(1), 1), {})
    async with cluster("a", "b") as (a, b):
        with pytest.raises(grpc.aio.AioRpcError, match="DEADLINE_EXCEEDED"):
            await raw_call(b.address, "PrePromise", request, timeout_s=0.05)
        (asked,) = b.inbox.received
        b.peers.send(A, samples.ANSWERS[0][1], {}, asked.reply_to)

        b.peers.send(A, a_heartbeat(1), {}, 0)
        await a.inbox.until(lambda: a.inbox.messages == [a_heartbeat(1)])


def test_a_number_is_good_for_one_call_only() -> None:
    desk = ReplyDesk()
    heard: list[Message] = []
    with desk.opened(lambda message, _: heard.append(message)) as first:
        desk.answer(first, a_heartbeat(1), {})
    with desk.opened(lambda message, _: heard.append(message)) as second:
        desk.answer(first, a_heartbeat(2), {})
        desk.answer(second, a_heartbeat(3), {})

    assert heard == [a_heartbeat(1), a_heartbeat(3)]
    assert 0 not in (first, second)


def test_open_calls_are_bounded() -> None:
    desk = ReplyDesk()

    def ignore(_message: Message, _bodies: Bodies) -> None:
        """Nobody listens."""

    with ExitStack() as opened:
        for _ in range(SERVED_CALLS_MAX):
            opened.enter_context(desk.opened(ignore))
        with pytest.raises(Overloaded, match="256 calls"):
            opened.enter_context(desk.opened(ignore))
    with desk.opened(ignore) as reply_to:
        assert reply_to == SERVED_CALLS_MAX + 1
