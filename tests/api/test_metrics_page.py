"""`GET /metrics`: the route, over a page that a test makes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp
import pytest
from aiohttp import web
from structlog.typing import EventDict

from conductor.api import create_gateway, gateway_runner
from conductor.api.metrics_page import Scrape
from conductor.config import Limits
from conductor.errors import Overloaded
from tests.api.conftest import GatewayClient
from tests.api.fakes import FakeConductor

StartWithPage = Callable[[Scrape | None], Awaitable[GatewayClient]]


@pytest.fixture
async def start() -> AsyncIterator[StartWithPage]:
    """Starts a gateway that shows a page, or none."""
    async with AsyncExitStack() as stack:

        async def started(scrape: Scrape | None) -> GatewayClient:
            gateway = create_gateway(FakeConductor(), Limits(), None, scrape)
            runner = gateway_runner(gateway)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            session = await stack.enter_async_context(aiohttp.ClientSession())
            return GatewayClient(session, runner.addresses[0][1])

        yield started


async def test_page_comes_as_it_was_made_for_what_the_client_accepts(start: StartWithPage) -> None:
    accepted = []

    async def scrape(accept: str) -> tuple[bytes, str]:
        accepted.append(accept)
        return b"up 1\n", "text/plain; version=0.0.4; charset=utf-8"

    client = await start(scrape)
    reply = await client.request(
        "GET", "/metrics", headers=[("Accept", "a/b"), ("Accept", "text/plain;q=0.5")]
    )

    assert (reply.status, reply.body) == (200, b"up 1\n")
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert accepted == ["a/b,text/plain;q=0.5"]


async def test_too_many_scrapes_are_told_so(start: StartWithPage) -> None:
    async def scrape(_: str) -> tuple[bytes, str]:
        raise Overloaded("too many ask")

    reply = await (await start(scrape)).get("/metrics")

    assert (reply.status, reply.document["code"]) == (503, "overloaded")


async def test_page_that_fails_is_an_internal_error_and_the_gateway_lives(
    start: StartWithPage, logs: list[EventDict]
) -> None:
    async def scrape(_: str) -> tuple[bytes, str]:
        raise RuntimeError("a bug, with a secret")

    client = await start(scrape)
    reply = await client.get("/metrics")

    assert reply.status == 500
    assert "secret" not in reply.text
    assert [(event["event"], event["call"]) for event in logs] == [("call_failed", "GET /metrics")]
    assert (await client.get("/leader")).status == 200


async def test_metrics_are_read_only(start: StartWithPage) -> None:
    async def scrape(_: str) -> tuple[bytes, str]:
        return b"", "text/plain"

    client = await start(scrape)

    assert (await client.post("/metrics", b"{}")).status == 405


async def test_gateway_without_a_page_has_no_such_path(start: StartWithPage) -> None:
    assert (await (await start(None)).get("/metrics")).status == 404
