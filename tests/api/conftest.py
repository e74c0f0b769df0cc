"""A gateway on a port of its own, over a fake conductor, and a client that talks to it."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs
from structlog.typing import EventDict

from conductor.api import create_gateway, gateway_runner
from conductor.api.bounds import Bounds
from conductor.config import Limits
from tests.api.fakes import FakeConductor

JSON_HEADERS = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back over HTTP."""

    status: int
    headers: Any
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


@dataclass(frozen=True, slots=True)
class GatewayClient:
    """Talks to one gateway."""

    session: aiohttp.ClientSession
    port: int

    async def request(self, method: str, path: str, **options: Any) -> Reply:
        """One exchange."""
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self.session.request(method, url, **options) as response:
            return Reply(response.status, response.headers, await response.read())

    async def get(self, path: str) -> Reply:
        """GET a path."""
        return await self.request("GET", path)

    async def post(self, path: str, body: object, **options: Any) -> Reply:
        """POST bytes, or a document as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        options.setdefault("headers", JSON_HEADERS)
        return await self.request("POST", path, data=io.BytesIO(data), **options)

    async def call(self, method: str, *params: object) -> Any:
        """The answer to a JSON-RPC request, which must have the id that was sent."""
        request = {"jsonrpc": "2.0", "id": 5, "method": method, "params": params}
        reply = await self.post("/", request)
        assert reply.status == 200
        answer = reply.document
        assert answer.pop("jsonrpc") == "2.0"
        assert answer.pop("id") == 5
        return answer


StartGateway = Callable[..., Awaitable[GatewayClient]]


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    """What is logged, as events: rendering a traceback would read files on the event loop."""
    with capture_logs() as events:
        yield events


@pytest.fixture
async def conductor() -> FakeConductor:
    """The conductor behind the gateway."""
    return FakeConductor()


@pytest.fixture
async def start_gateway(conductor: FakeConductor) -> AsyncIterator[StartGateway]:
    """Starts a gateway with the limits and bounds given."""
    async with AsyncExitStack() as stack:

        async def start(
            limits: Limits | None = None,
            bounds: Bounds | None = None,
            make_runner: Callable[[web.Application], web.AppRunner] = gateway_runner,
        ) -> GatewayClient:
            runner = make_runner(create_gateway(conductor, limits or Limits(), bounds))
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            session = await stack.enter_async_context(aiohttp.ClientSession())
            return GatewayClient(session, runner.addresses[0][1])

        yield start


@pytest.fixture
async def gateway(start_gateway: StartGateway) -> GatewayClient:
    """A gateway with the default limits."""
    return await start_gateway()
