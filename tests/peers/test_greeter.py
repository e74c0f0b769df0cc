"""Greetings: before there is a cluster by configured address, afterwards by member."""

from __future__ import annotations

import socket

import grpc
import pytest

from conductor.core.greeting import Greeting
from conductor.errors import PeerRejected
from conductor.peers.codec import encode_greet_request
from conductor.v1 import replication_pb2
from tests.peers import samples
from tests.peers.kit import PeerNode, cluster, raw_call, running


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_configured_nodes_greet_each_other() -> None:
    ports = free_port(), free_port()
    a = PeerNode("a", port=ports[0], configured=(f"127.0.0.1:{ports[1]}",))
    b = PeerNode("b", port=ports[1], configured=(f"127.0.0.1:{ports[0]}",))
    async with running(a, b):
        await a.inbox.until(lambda: a.inbox.greetings.count((b.address, b.greeting())) >= 2)
        await b.inbox.until(lambda: b.inbox.greetings.count((a.address, a.greeting())) >= 2)

        assert {address for address, _ in a.inbox.greetings} == {b.address}


async def test_a_node_hears_from_whoever_greets_it_although_it_does_not_know_him() -> None:
    b = PeerNode("b")
    async with running(b):
        a = PeerNode("a", configured=(b.address,))
        async with running(a):
            await b.inbox.until(lambda: (a.address, a.greeting()) in b.inbox.greetings)


async def test_the_greeting_is_that_of_the_moment() -> None:
    b = PeerNode("b")
    async with running(b):
        a = PeerNode("a", configured=(b.address,))
        async with running(a):
            await a.inbox.until(lambda: bool(a.inbox.greetings))
            b.cluster_name = "renamed"
            await a.inbox.until(lambda: (b.address, b.greeting()) in a.inbox.greetings)


async def test_who_does_not_answer_is_reported_by_address() -> None:
    silent = f"127.0.0.1:{free_port()}"
    a = PeerNode("a", configured=(silent,))
    async with running(a):
        await a.inbox.until(lambda: len(a.inbox.problems) >= 2)

        assert {address for address, _ in a.inbox.problems} == {silent}
        assert a.inbox.problems[0][1].startswith("UNAVAILABLE: ")


async def test_a_greeting_that_does_not_fit_is_refused_with_the_reason() -> None:
    b = PeerNode("b")

    def refuse(address: str, greeting: Greeting) -> None:
        raise PeerRejected(f"{greeting.member.server_id} is called {greeting.cluster_name}")

    b.inbox.on_greeting = refuse
    async with running(b):
        a = PeerNode("a", configured=(b.address,))
        async with running(a):
            await a.inbox.until(lambda: bool(a.inbox.problems))

        assert a.inbox.problems[0] == (b.address, "FAILED_PRECONDITION: a is called test")
        assert a.inbox.greetings == []


async def test_an_answer_that_does_not_fit_is_reported() -> None:
    b = PeerNode("b")
    async with running(b):
        a = PeerNode("a", configured=(b.address,))

        def refuse(address: str, greeting: Greeting) -> None:
            raise PeerRejected("another quorum rule")

        a.inbox.on_greeting = refuse
        async with running(a):
            await a.inbox.until(lambda: len(a.inbox.problems) >= 2)

        assert a.inbox.problems[0] == (b.address, "another quorum rule")


async def test_members_are_greeted_too() -> None:
    async with cluster("a", "b") as (a, b):
        await a.inbox.until(lambda: a.inbox.greetings.count((b.address, b.greeting())) >= 2)


async def test_a_malformed_greeting_is_refused_by_name() -> None:
    request = replication_pb2.GreetRequest.FromString(encode_greet_request(samples.GREETING))
    request.greeting.member.public_key = b"short"
    b = PeerNode("b")
    async with running(b):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await raw_call(b.address, "Greet", request.SerializeToString())

        assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert raised.value.details() == "greeting.member.public_key: has 5 bytes, it must have 32"
        assert b.inbox.greetings == []


async def test_a_node_does_not_greet_its_own_address() -> None:
    port = free_port()
    other = f"127.0.0.1:{free_port()}"
    a = PeerNode("a", port=port, configured=(f"127.0.0.1:{port}", other))
    async with running(a):
        await a.inbox.until(lambda: len(a.inbox.problems) >= 2)

        assert a.inbox.greetings == []
