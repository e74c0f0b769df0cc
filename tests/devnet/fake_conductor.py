"""A conductor's HTTP gateway that does as it is told: what a sequencer can meet, on demand."""

from __future__ import annotations

import asyncio
import enum
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from conductor.config import Address
from conductor.devnet.client import ConductorClient
from conductor.payload import json_from_ssz, payload_header, ssz_from_json


class Answer(enum.Enum):
    """What becomes of one commit."""

    ACCEPT = "certified, and said so"
    REFUSE = "not taken"
    KEEP_AND_FAIL = "certified, but the answer is an error"
    HANG = "no answer at all"


class FakeConductor:
    """Answers as a conductor, from a script; without one it accepts everything."""

    def __init__(self) -> None:
        self.leads = True
        self.is_dead = False
        """Connections are closed without an answer."""
        self.latest: bytes | None = None
        """The certified head as SSZ."""
        self.script: deque[Answer] = deque()
        """For the next commits."""
        self.offered: list[bytes] = []
        """The SSZ of every commit call, repeated ones included."""
        self.leader_calls = 0

    def app(self) -> web.Application:
        """The gateway."""
        app = web.Application()
        app.router.add_post("/", self._rpc)
        app.router.add_get("/latest", self._latest)
        app.router.add_get("/health", self._health)
        return app

    async def _rpc(self, request: web.Request) -> web.StreamResponse:
        self._die_if_dead(request)
        call = json.loads(await request.read())
        if call["method"] == "conductor_leader":
            self.leader_calls += 1
            return _result(self.leads)
        return await self._commit(ssz_from_json(json.dumps(call["params"][0]).encode()))

    async def _commit(self, ssz: bytes) -> web.Response:
        self.offered.append(ssz)
        answer = self.script.popleft() if self.script else Answer.ACCEPT
        if answer is Answer.HANG:
            await asyncio.Event().wait()
        if not self.leads or answer is Answer.REFUSE:
            return _error("node is not the leader")
        if self.latest is None or payload_header(ssz).parent_hash == self._head_hash():
            self.latest = ssz
        elif ssz != self.latest:
            return _error("expected another parent")
        return _error("no quorum in time") if answer is Answer.KEEP_AND_FAIL else _result(None)

    def _head_hash(self) -> bytes:
        assert self.latest is not None
        return payload_header(self.latest).block_hash

    async def _latest(self, request: web.Request) -> web.Response:
        self._die_if_dead(request)
        assert request.query["consistent"] == "true"
        if self.latest is None:
            return web.json_response({"error": "nothing is certified"}, status=404)
        return web.Response(body=json_from_ssz(self.latest), content_type="application/json")

    async def _health(self, request: web.Request) -> web.Response:
        self._die_if_dead(request)
        health = {"healthy": False, "epoch": 3, "is_leader": self.leads, "certified_height": 7}
        return web.json_response({**health, "reasons": ["paused"]}, status=503)

    def _die_if_dead(self, request: web.Request) -> None:
        if self.is_dead:
            assert request.transport is not None
            request.transport.close()
            raise web.HTTPServiceUnavailable  # goes nowhere, and ends the handler


@asynccontextmanager
async def connected(conductor: FakeConductor) -> AsyncIterator[ConductorClient]:
    """A client of that conductor, over HTTP."""
    async with TestServer(conductor.app()) as server, aiohttp.ClientSession() as session:
        assert server.port is not None
        yield ConductorClient(session, Address(server.host, server.port))


def _result(value: Any) -> web.Response:
    return web.json_response({"jsonrpc": "2.0", "id": 1, "result": value})


def _error(message: str) -> web.Response:
    error = {"code": -32000, "message": message}
    return web.json_response({"jsonrpc": "2.0", "id": 1, "error": error})
