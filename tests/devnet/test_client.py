"""The client gives an answer or the one error that its caller handles, whatever comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from conductor.config import Address
from conductor.devnet.client import ConductorClient, Health
from conductor.errors import OutcomeUnknown, PeerUnreachable
from tests.devnet.builders import some_blocks
from tests.devnet.fake_conductor import Answer, FakeConductor, connected

(BLOCK,) = some_blocks(1)


@asynccontextmanager
async def answering(status: int, body: bytes) -> AsyncIterator[ConductorClient]:
    """A client of a server that says the same to everything."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=status, body=body)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        assert server.port is not None
        yield ConductorClient(session, Address(server.host, server.port))


@pytest.mark.parametrize("leads", [True, False])
async def test_leader_is_what_the_conductor_says(leads: bool) -> None:
    conductor = FakeConductor()
    conductor.leads = leads

    async with connected(conductor) as client:
        assert await client.is_leader() is leads


async def test_committed_payload_arrives_byte_for_byte() -> None:
    conductor = FakeConductor()

    async with connected(conductor) as client:
        await client.commit(BLOCK.envelope_json)

    assert conductor.offered == [BLOCK.ssz]


async def test_latest_is_the_certified_payload_as_ssz() -> None:
    conductor = FakeConductor()
    conductor.latest = BLOCK.ssz

    async with connected(conductor) as client:
        assert await client.latest() == BLOCK.ssz


async def test_latest_is_none_when_nothing_is_certified() -> None:
    async with connected(FakeConductor()) as client:
        assert await client.latest() is None


async def test_health_is_read_also_from_a_node_that_does_not_serve() -> None:
    async with connected(FakeConductor()) as client:
        health = await client.health()

    assert health == Health(healthy=False, epoch=3, is_leader=True, certified_height=7)


async def test_error_answer_to_a_commit_leaves_its_outcome_unknown() -> None:
    conductor = FakeConductor()
    conductor.script.append(Answer.REFUSE)

    async with connected(conductor) as client:
        with pytest.raises(OutcomeUnknown, match="node is not the leader"):
            await client.commit(BLOCK.envelope_json)


async def test_broken_connection_leaves_the_outcome_of_a_commit_unknown() -> None:
    conductor = FakeConductor()
    conductor.is_dead = True

    async with connected(conductor) as client:
        with pytest.raises(OutcomeUnknown):
            await client.commit(BLOCK.envelope_json)


async def test_broken_connection_makes_all_else_unreachable() -> None:
    conductor = FakeConductor()
    conductor.is_dead = True

    async with connected(conductor) as client:
        for call in (client.is_leader, client.latest, client.health):
            with pytest.raises(PeerUnreachable):
                await call()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"oops"),
        (413, b""),
        (200, b""),
        (200, b"{"),
        (200, b"[]"),
        (200, b'{"result": "yes"}'),
        (200, b'{"error": "text"}'),
        (200, b"\xff\xfe"),
    ],
)
async def test_answer_that_makes_no_sense_is_no_answer(status: int, body: bytes) -> None:
    async with answering(status, body) as client:
        for call in (client.is_leader, client.latest, client.health):
            with pytest.raises(PeerUnreachable):
                await call()


@pytest.mark.parametrize(("status", "body"), [(500, b"oops"), (200, b"{"), (200, b"[]")])
async def test_commit_succeeds_by_a_clear_answer_only(status: int, body: bytes) -> None:
    async with answering(status, body) as client:
        with pytest.raises(OutcomeUnknown):
            await client.commit(BLOCK.envelope_json)
