"""The Append stream between members: order, breaks, overflow and refusals."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import pytest

from conductor.config import Limits
from conductor.core.encoding import sha256
from conductor.core.messages import Heard
from conductor.core.values import Digest, Epoch, Incarnation, MemberKey, ServerId
from conductor.peers.calls import SERVICE
from conductor.peers.client import MemberLink
from conductor.peers.codec import (
    encode_append,
    encode_stream_opening,
    encode_stream_welcome,
)
from conductor.peers.liveness import Liveness
from conductor.peers.members import Members
from conductor.peers.server import ReplicationServer
from conductor.peers.tasks import OwnedTasks
from conductor.peers.wire_values import Speaker
from conductor.v1 import replication_pb2
from tests.peers.kit import (
    CLUSTER_ID,
    PeerNode,
    a_heartbeat,
    a_key,
    a_member,
    a_payload,
    an_append,
    answer_with_heard,
    cluster,
    join,
    running,
    scripted_peer,
)

A = ServerId("a")
B = ServerId("b")

Context = grpc.aio.ServicerContext[bytes, bytes]
ByteStream = grpc.aio.StreamStreamCall[bytes, bytes]


@asynccontextmanager
async def raw_stream(address: str, speaker: Speaker) -> AsyncIterator[ByteStream]:
    """A stream on which a test says what it likes, introduced as `speaker`."""
    async with grpc.aio.insecure_channel(address) as channel:
        call: ByteStream = channel.stream_stream(f"/{SERVICE}/Append")()
        try:
            await call.write(encode_stream_opening(speaker))
            yield call
        finally:
            # A channel that closes leaves calls open that nobody is waiting for.
            call.cancel()


async def refusal_of(call: ByteStream) -> tuple[grpc.StatusCode, str]:
    """How the server ends a stream, whatever it says before."""
    try:
        while await call.read():
            continue
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


async def test_appends_arrive_in_order_and_answers_come_back() -> None:
    async with cluster("a", "b") as (a, b):
        answer_with_heard(b)
        for sequence in range(1, 101):
            a.peers.send(B, a_heartbeat(sequence), {}, 0)
        await a.inbox.until(lambda: len(a.inbox.received) == 100)

        assert b.inbox.messages == [a_heartbeat(sequence) for sequence in range(1, 101)]
        assert {received.sender for received in b.inbox.received} == {a_key("a")}
        assert a.inbox.messages == [Heard(Epoch(1), sequence) for sequence in range(1, 101)]
        assert {received.sender for received in a.inbox.received} == {a_key("b")}
        assert {received.reply_to for received in a.inbox.received} == {0}


async def test_one_append_may_be_answered_twice() -> None:
    async with cluster("a", "b") as (a, b):
        a.peers.send(B, a_heartbeat(1), {}, 0)
        await b.inbox.until(lambda: bool(b.inbox.received))
        (received,) = b.inbox.received
        for _ in range(2):
            b.peers.send(A, Heard(Epoch(1), 1), {}, received.reply_to)

        await a.inbox.until(lambda: len(a.inbox.received) == 2)


async def test_the_largest_payload_passes_and_what_follows_waits_for_it() -> None:
    empty = len(a_payload(1, size=1)) - 1
    body = a_payload(1, size=Limits().payload_bytes_max - empty)
    assert len(body) == Limits().payload_bytes_max
    append = an_append(1, body)
    async with cluster("a", "b") as (a, b):
        a.peers.send(B, append, {sha256(body): body}, 0)
        a.peers.send(B, a_heartbeat(2), {}, 0)
        await b.inbox.until(lambda: len(b.inbox.received) == 2)

        assert b.inbox.messages == [append, a_heartbeat(2)]
        assert b.inbox.received[0].bodies == {sha256(body): body}


async def test_a_message_over_the_limit_is_not_sent_and_said_so() -> None:
    body = a_payload(1, size=200_000)
    small = dataclasses.replace(Limits(), grpc_message_bytes_max=100_000)
    a, b = PeerNode("a", limits=small), PeerNode("b")
    async with running(a, b):
        join([a, b])
        await a.inbox.until(lambda: ("connected", "b") in a.inbox.events)
        a.peers.send(B, an_append(1, body), {sha256(body): body}, 0)
        a.peers.send(B, a_heartbeat(2), {}, 0)
        await b.inbox.until(lambda: bool(b.inbox.received))

        assert b.inbox.messages == [a_heartbeat(2)]
        ((address, why),) = [told for told in a.inbox.problems if "not sent" in told[1]]
        assert address == b.address
        assert "over the limit of 100000" in why


async def test_a_message_over_the_limit_ends_its_stream_alone() -> None:
    async with (
        cluster("a", "b") as (a, b),
        raw_stream(b.address, Speaker(a_key("a"), CLUSTER_ID)) as call,
    ):
        await call.write(bytes(b.limits.grpc_message_bytes_max + 1))
        code, text = await refusal_of(call)

        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert str(b.limits.grpc_message_bytes_max) in text
        a.peers.send(B, a_heartbeat(1), {}, 0)
        await b.inbox.until(lambda: b.inbox.messages == [a_heartbeat(1)])
        assert ("disconnected", "b") not in a.inbox.events


async def test_a_malformed_append_ends_its_stream_and_changes_nothing() -> None:
    wrong = replication_pb2.AppendRequest.FromString(encode_append(a_heartbeat(1), {}))
    wrong.previous.digest = b"short"
    async with (
        cluster("a", "b") as (a, b),
        raw_stream(b.address, Speaker(a_key("a"), CLUSTER_ID)) as call,
    ):
        await call.write(wrong.SerializeToString())

        assert await refusal_of(call) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "previous.digest: has 5 bytes, it must have 32",
        )
        assert b.inbox.received == []
        a.peers.send(B, a_heartbeat(2), {}, 0)
        await b.inbox.until(lambda: b.inbox.messages == [a_heartbeat(2)])


@pytest.mark.parametrize(
    ("speaker", "code", "text"),
    [
        (
            Speaker(a_key("a"), Digest(bytes(32))),
            grpc.StatusCode.FAILED_PRECONDITION,
            f"a is of cluster {bytes(32).hex()}, this server of cluster {CLUSTER_ID.hex()}",
        ),
        (
            Speaker(a_key("z"), CLUSTER_ID),
            grpc.StatusCode.PERMISSION_DENIED,
            "z is no other member of this cluster",
        ),
        (
            Speaker(a_key("b"), CLUSTER_ID),
            grpc.StatusCode.PERMISSION_DENIED,
            "b is no other member of this cluster",
        ),
    ],
    ids=["another cluster", "a stranger", "the server itself"],
)
async def test_only_other_members_may_open_a_stream(
    speaker: Speaker, code: grpc.StatusCode, text: str
) -> None:
    async with cluster("a", "b") as (_, b), raw_stream(b.address, speaker) as call:
        assert await refusal_of(call) == (code, text)


async def test_a_member_with_another_incarnation_is_heard_under_it() -> None:
    """What a wiped disk says is for the core to judge."""
    reborn = MemberKey(A, Incarnation("f" * 32))
    async with (
        cluster("a", "b") as (_, b),
        raw_stream(b.address, Speaker(reborn, CLUSTER_ID)) as call,
    ):
        await call.write(encode_append(a_heartbeat(1), {}))
        await b.inbox.until(lambda: bool(b.inbox.received))

        assert b.inbox.received[0].sender == reborn


async def test_a_node_without_a_cluster_takes_no_stream() -> None:
    lonely = PeerNode("b")
    async with running(lonely), raw_stream(lonely.address, Speaker(a_key("a"), CLUSTER_ID)) as call:
        code, text = await refusal_of(call)

    assert code is grpc.StatusCode.UNAVAILABLE
    assert "has not joined a cluster" in text


async def test_a_stream_is_opened_again_when_the_peer_comes_back() -> None:
    async with cluster("a", "b") as (a, b):
        await b.stop()
        await a.inbox.until(lambda: ("disconnected", "b") in a.inbox.events)
        a.peers.send(B, a_heartbeat(1), {}, 0)
        a.inbox.events.clear()

        await b.start()
        join([a, b])
        await a.inbox.until(lambda: ("connected", "b") in a.inbox.events)
        a.peers.send(B, a_heartbeat(2), {}, 0)
        await b.inbox.until(lambda: bool(b.inbox.received))

        assert b.inbox.messages == [a_heartbeat(2)], "what was sent meanwhile is dropped"


async def test_too_much_at_once_breaks_the_stream_which_then_recovers() -> None:
    body = a_payload(1, size=2**20)
    async with cluster("a", "b") as (a, b):
        for sequence in range(1, 41):
            a.peers.send(B, an_append(sequence, body), {sha256(body): body}, 0)
        await a.inbox.until(lambda: ("disconnected", "b") in a.inbox.events)

        assert any("wait to be sent" in why for _, why in a.inbox.problems)
        await a.inbox.until(lambda: a.inbox.events.count(("connected", "b")) == 2)
        a.peers.send(B, a_heartbeat(99), {}, 0)
        await b.inbox.until(lambda: a_heartbeat(99) in b.inbox.messages)


async def test_members_can_come_go_and_move() -> None:
    async with cluster("a", "b") as (a, b):
        c, moved = PeerNode("c"), PeerNode("b")
        async with running(c, moved):
            members = [a.member, moved.member, c.member]
            for node in (a, moved, c):
                node.peers.set_members(members, CLUSTER_ID)
            await moved.inbox.until(lambda: ("connected", "a") in moved.inbox.events)
            await a.inbox.until(lambda: a.inbox.events.count(("connected", "b")) == 2)
            await a.inbox.until(lambda: ("connected", "c") in a.inbox.events)

            a.peers.send(B, a_heartbeat(1), {}, 0)
            await moved.inbox.until(lambda: moved.inbox.messages == [a_heartbeat(1)])
            a.peers.set_members([a.member, moved.member], CLUSTER_ID)
            a.peers.send(ServerId("c"), a_heartbeat(2), {}, 0)
            a.peers.send(B, a_heartbeat(3), {}, 0)
            await moved.inbox.until(lambda: len(moved.inbox.messages) == 2)

            assert c.inbox.received == []
            assert b.inbox.received == []


@asynccontextmanager
async def link_to(
    address: str, node: PeerNode, answer_timeout_ms: int
) -> AsyncIterator[MemberLink]:
    """A link of server "a" to a server "b" at `address`, with `node` for its inbox and problems."""
    host_port = int(address.rpartition(":")[2])
    members = Members(lambda: dataclasses.replace(node.greeting(), member=a_member("a")))
    members.set([a_member("a"), a_member("b", host_port)], CLUSTER_ID)
    tasks = OwnedTasks()
    async with grpc.aio.insecure_channel(address) as channel:
        link = MemberLink(
            members.others[B],
            channel,
            members,
            node.inbox,
            Liveness(tasks, node.inbox.peer_died),
            node.inbox.unreachable,
            answer_timeout_ms=answer_timeout_ms,
            message_bytes_max=2**24,
        )
        link.start()
        yield link
        await link.stop()
        await tasks.stop()


async def test_a_stream_that_breaks_makes_the_link_look_whether_the_peer_is_dead() -> None:
    async def welcome(context: Context) -> None:
        await context.read()
        await context.write(encode_stream_welcome(Speaker(a_key("b"), CLUSTER_ID)))
        await asyncio.Event().wait()

    node = PeerNode("a", port=1)
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(scripted_peer(welcome))
        async with link_to(address, node, 2000):
            await node.inbox.until(lambda: ("connected", "b") in node.inbox.events)
            await stack.aclose()
            await node.inbox.until(lambda: ("died", "b") in node.inbox.events)


async def test_a_stream_of_others_that_breaks_makes_the_server_look_whether_they_are_dead() -> None:
    gone = a_member("a", 1)
    node = PeerNode("b", port=2)
    members = Members(node.greeting)
    members.set([gone, node.member], CLUSTER_ID)
    tasks = OwnedTasks()
    liveness = Liveness(tasks, node.inbox.peer_died)
    service = ReplicationServer(members, node.inbox, liveness, node.inbox.greeted_by)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((service.handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with raw_stream(f"127.0.0.1:{port}", Speaker(gone.key, CLUSTER_ID)) as call:
        assert await call.read()
        assert node.inbox.events == []
    await node.inbox.until(lambda: node.inbox.events == [("died", "a")])
    await server.stop(0)
    await tasks.stop()


async def test_a_node_that_stops_ends_the_streams_of_others_and_says_why() -> None:
    speaker = Speaker(a_key("a"), CLUSTER_ID)
    async with cluster("a", "b") as (_, b), raw_stream(b.address, speaker) as call:
        assert await call.read()
        await b.peers.stop()

        stopping = (grpc.StatusCode.UNAVAILABLE, "this server stops")
        assert await refusal_of(call) == stopping
        async with raw_stream(b.address, speaker) as another:
            assert await refusal_of(another) == stopping


async def test_an_append_that_stays_unanswered_ends_the_stream() -> None:
    async def be_silent(context: Context) -> None:
        await context.read()
        await context.write(encode_stream_welcome(Speaker(a_key("b"), CLUSTER_ID)))
        await asyncio.Event().wait()

    node = PeerNode("a", port=1)
    async with scripted_peer(be_silent) as address, link_to(address, node, 50) as link:
        await node.inbox.until(lambda: ("connected", "b") in node.inbox.events)
        link.send(a_heartbeat(7), {})
        await node.inbox.until(lambda: node.inbox.events.count(("connected", "b")) == 2)

        assert (address, "no answer to message 7 within 0.05 s") in node.inbox.problems
        assert node.inbox.events[:2] == [("connected", "b"), ("disconnected", "b")]
        assert ("died", "b") not in node.inbox.events


async def test_a_later_answer_speaks_for_earlier_messages_too() -> None:
    """A member with a busy disk answers heartbeats before the entries that came earlier."""
    answers = [Heard(Epoch(1), 3), Heard(Epoch(1), 6)]

    async def answer_every_third(context: Context) -> None:
        await context.read()
        await context.write(encode_stream_welcome(Speaker(a_key("b"), CLUSTER_ID)))
        while True:
            request = replication_pb2.AppendRequest.FromString(await context.read())
            if request.sequence % 3 == 0:
                response = replication_pb2.AppendResponse(epoch=1, sequence=request.sequence)
                response.heard.SetInParent()
                await context.write(response.SerializeToString())

    node = PeerNode("a", port=1)
    async with scripted_peer(answer_every_third) as address, link_to(address, node, 400) as link:
        await node.inbox.until(lambda: ("connected", "b") in node.inbox.events)
        for sequence in range(1, 7):
            link.send(a_heartbeat(sequence), {})
        await node.inbox.until(lambda: len(node.inbox.messages) == 2)
        assert node.inbox.messages == answers

        link.send(a_heartbeat(8), {})
        await node.inbox.until(lambda: ("disconnected", "b") in node.inbox.events)
        assert [why for _, why in node.inbox.problems] == ["no answer to message 8 within 0.4 s"]


async def test_a_peer_that_answers_under_another_name_is_not_connected() -> None:
    async def pretend(context: Context) -> None:
        await context.read()
        await context.write(encode_stream_welcome(Speaker(a_key("c"), CLUSTER_ID)))
        await context.read()

    node = PeerNode("a", port=1)
    async with scripted_peer(pretend) as address, link_to(address, node, 2000):
        await node.inbox.until(lambda: bool(node.inbox.problems))

        assert node.inbox.problems[0] == (address, "c answers where b should")
        assert node.inbox.events == []


async def test_a_malformed_answer_ends_the_stream() -> None:
    async def babble(context: Context) -> None:
        await context.read()
        await context.write(encode_stream_welcome(Speaker(a_key("b"), CLUSTER_ID)))
        await context.write(replication_pb2.AppendResponse(epoch=1).SerializeToString())
        await context.read()

    node = PeerNode("a", port=1)
    async with scripted_peer(babble) as address, link_to(address, node, 2000):
        await node.inbox.until(lambda: ("disconnected", "b") in node.inbox.events)

        assert (address, "answer: is missing") in node.inbox.problems
        assert node.inbox.received == []
