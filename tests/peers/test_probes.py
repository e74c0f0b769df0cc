"""Probes over real connections, and the health service that they ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from conductor.peers import LocalHealth
from conductor.peers.health import OVERALL, UNPAUSED
from conductor.peers.probes import CHECK_PATH, WATCH_PATH
from conductor.ports import MemberObservation
from tests.peers.kit import DEADLINE_S, SILENT_PROBES, PeerNode, cluster, join, running

Request = health_pb2.HealthCheckRequest
Response = health_pb2.HealthCheckResponse
Watch = grpc.aio.UnaryStreamCall[Request, Response]


def seen_by(node: PeerNode) -> MemberObservation:
    """What `node` says of the only other member."""
    (observed,) = node.peers.prober.observe(node.clock.now_ms())
    return observed


async def test_probes_learn_whether_a_member_serves_and_is_paused() -> None:
    async with cluster("a", "b") as (a, b):
        await a.inbox.until(lambda: seen_by(a).reachable)
        assert not seen_by(a).serving
        assert not seen_by(a).paused

        b.peers.health.set_serving(True)
        await a.inbox.until(lambda: seen_by(a).serving)
        b.peers.health.set_serving(False)
        await a.inbox.until(lambda: not seen_by(a).serving)
        b.peers.health.set_paused(True)
        await a.inbox.until(lambda: seen_by(a).paused)
        b.peers.health.set_paused(False)
        b.peers.health.set_serving(True)
        await a.inbox.until(lambda: seen_by(a).serving and not seen_by(a).paused)
        assert a.inbox.health_changes >= 4


async def test_a_change_is_seen_at_once_although_no_probe_is_due() -> None:
    async with cluster("a", "b", timing=SILENT_PROBES) as (a, b):
        await a.inbox.until(lambda: seen_by(a).reachable)
        b.peers.health.set_serving(True)
        await a.inbox.until(lambda: seen_by(a).serving)
        b.peers.health.set_serving(False)
        await a.inbox.until(lambda: not seen_by(a).serving)


async def test_observations_are_of_all_other_members_in_order() -> None:
    async with cluster("c", "a", "b") as nodes:
        (c, a, b) = nodes
        for node, others in ((a, ["b", "c"]), (b, ["a", "c"]), (c, ["a", "b"])):
            observed = node.peers.prober.observe(node.clock.now_ms())
            assert [observation.server_id for observation in observed] == others
        a.peers.set_members([a.member, c.member], bytes(32))  # type: ignore[arg-type]
        assert [seen_by(a).server_id] == ["c"]


async def test_a_server_that_stops_says_so_before_it_goes() -> None:
    a, b = PeerNode("a", SILENT_PROBES), PeerNode("b", SILENT_PROBES)
    async with running(a):
        async with running(b):
            join([a, b])
            b.peers.health.set_serving(True)
            await a.inbox.until(lambda: seen_by(a).serving)
            b.peers.health.enter_shutdown()
            await a.inbox.until(lambda: not seen_by(a).serving)
            assert seen_by(a).reachable
        await a.inbox.until(lambda: not seen_by(a).reachable)


async def test_a_node_that_was_held_up_blames_nobody() -> None:
    async with cluster("a", "b") as (a, b):
        b.peers.health.set_serving(True)
        await a.inbox.until(lambda: seen_by(a).serving)
        much_later_ms = a.clock.now_ms() + 60_000
        assert not a.peers.prober.observe(much_later_ms)[0].serving

        a.peers.prober.suspend(much_later_ms + 1)
        assert a.peers.prober.observe(much_later_ms)[0].serving


@asynccontextmanager
async def served(health: LocalHealth) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server with nothing but `health`."""
    server = grpc.aio.server()
    add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(0)


async def check(channel: grpc.aio.Channel, service: str) -> int:
    """The status of a name."""
    call: grpc.aio.UnaryUnaryMultiCallable[Request, Response]
    call = channel.unary_unary(CHECK_PATH, Request.SerializeToString, Response.FromString)
    return (await call(Request(service=service), timeout=DEADLINE_S)).status


def watch(channel: grpc.aio.Channel, service: str) -> Watch:
    """An open watch on a name."""
    call: grpc.aio.UnaryStreamMultiCallable[Request, Response]
    call = channel.unary_stream(WATCH_PATH, Request.SerializeToString, Response.FromString)
    return call(Request(service=service), timeout=DEADLINE_S)


async def told(watching: Watch) -> int | None:
    """The next status, None when the watch was ended by the server.

    By iteration: `read` forgets what came just before the end.
    """
    async with asyncio.timeout(DEADLINE_S):
        response = await anext(aiter(watching), None)
    return response.status if response is not None else None


async def test_a_node_does_not_serve_before_it_says_so() -> None:
    health = LocalHealth(paused=True)
    async with served(health) as channel:
        assert await check(channel, OVERALL) == Response.NOT_SERVING
        assert await check(channel, UNPAUSED) == Response.NOT_SERVING
        health.set_serving(True)
        health.set_paused(False)
        assert await check(channel, OVERALL) == Response.SERVING
        assert await check(channel, UNPAUSED) == Response.SERVING


async def test_other_names_are_unknown() -> None:
    async with served(LocalHealth(paused=False)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await check(channel, "something.else")
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND
        assert await told(watch(channel, "something.else")) == Response.SERVICE_UNKNOWN


async def test_a_watcher_that_leaves_does_not_blind_the_others() -> None:
    left = asyncio.Event()

    class Observed(LocalHealth):
        async def Watch(self, request: Request, context: Any) -> None:  # noqa: N802
            try:
                await super().Watch(request, context)
            finally:
                left.set()

    health = Observed(paused=False)
    async with served(health) as channel:
        leaving, staying = watch(channel, OVERALL), watch(channel, OVERALL)
        assert await told(leaving) == await told(staying) == Response.NOT_SERVING
        leaving.cancel()
        async with asyncio.timeout(DEADLINE_S):
            await left.wait()
        health.set_serving(True)
        assert await told(staying) == Response.SERVING


async def test_a_change_while_a_status_is_written_is_not_lost() -> None:
    health = LocalHealth(paused=False)
    health.set_serving(True)
    written: list[int] = []

    class Context:
        async def write(self, response: Response) -> None:
            written.append(response.status)
            health.enter_shutdown()

    context: Any = Context()
    await health.Watch(Request(service=OVERALL), context)

    assert written == [Response.SERVING, Response.NOT_SERVING]


async def test_shutdown_is_final_and_lets_the_watchers_go() -> None:
    health = LocalHealth(paused=False)
    health.set_serving(True)
    async with served(health) as channel:
        watching = watch(channel, OVERALL)
        assert await told(watching) == Response.SERVING
        health.enter_shutdown()
        assert await told(watching) == Response.NOT_SERVING
        assert await told(watching) is None
        health.set_serving(True)
        assert await check(channel, OVERALL) == Response.NOT_SERVING
