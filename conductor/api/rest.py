"""The REST interface: who leads, how the node is, what is certified, commits, acknowledgements.

Each handler reads its request and makes one call; errors become answers in `gateway`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
from aiohttp import web

from conductor.api.acknowledgements import acknowledgement_from_json
from conductor.api.bounds import Admission
from conductor.api.calls import LastingCalls, worked_out
from conductor.api.http_answers import COMMIT_PATH, COMMIT_SSZ_PATH, JSON, json_answer, shown
from conductor.api.json_input import ABSENT, U64_MAX, decode
from conductor.config import Limits
from conductor.core.values import Height
from conductor.errors import InvalidArgument, InvalidPayload
from conductor.payload import json_from_ssz, ssz_from_json
from conductor.service import CommitReceipt, Conductor, HealthView, StoredPayload

ACKNOWLEDGEMENT_BYTES_MAX = 64 * 1024
SSZ_CONTENT_TYPE = "application/octet-stream"

_HEIGHT = re.compile(r"[0-9]{1,20}")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class _CommitDocument(msgspec.Struct):
    payload: msgspec.Raw = ABSENT


_COMMIT = msgspec.json.Decoder(_CommitDocument)


class Rest:
    """The handlers, over one conductor."""

    def __init__(
        self, conductor: Conductor, calls: LastingCalls, admission: Admission, limits: Limits
    ) -> None:
        self._conductor = conductor
        self._calls = calls
        self._admission = admission
        self._limits = limits

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """Every path of the REST interface."""
        return (
            web.get("/health", self._health),
            web.get("/healthz", self._alive),
            web.get("/healthz/", self._alive),
            web.get("/readyz", self._ready),
            web.get("/leader", self._leader),
            web.get("/latest", self._latest),
            web.get("/payload/{height}", self._payload),
            web.post(COMMIT_PATH, self._commit),
            web.post("/acknowledge", self._acknowledge),
            web.post(COMMIT_SSZ_PATH, self._commit_ssz),
        )

    async def _health(self, _: web.Request) -> web.Response:
        health = self._conductor.health()
        document = {
            "healthy": health.serving,
            "identity": health.identity,
            "epoch": health.epoch,
            "is_leader": health.is_leader,
            "server_id": health.server_id,
            "leader_id": health.leader_id,
            "certified_height": health.certified_height,
            "quorum_safe": health.quorum_safe,
            "reasons": health.reasons,
            "version": health.version,
        }
        return json_answer(document, 200 if health.serving else 503)

    async def _alive(self, _: web.Request) -> web.Response:
        """That the process answers, as the Go op-conductor says it."""
        return json_answer({"version": self._conductor.health().version})

    async def _ready(self, _: web.Request) -> web.Response:
        health = self._conductor.health()
        obstacles = _unreadiness(health)
        document = {"ready": not obstacles, "reasons": obstacles, "version": health.version}
        return json_answer(document, 503 if obstacles else 200)

    async def _leader(self, _: web.Request) -> web.Response:
        leader = self._conductor.leader()
        return json_answer(
            {
                "is_leader": leader.is_leader,
                "is_overridden": leader.is_overridden,
                "epoch": leader.epoch,
                "next_height": leader.next_height,
                "leader_id": leader.leader_id,
            }
        )

    async def _latest(self, request: web.Request) -> web.Response:
        consistent = _BOOLEANS.get(request.query.get("consistent", "false"))
        if consistent is None:
            raise InvalidArgument("consistent: is neither true nor false")
        async with self._admission.payload_reads:
            return await _envelope(await self._conductor.latest(consistent=consistent))

    async def _payload(self, request: web.Request) -> web.Response:
        height = _height(request.match_info["height"])
        async with self._admission.payload_reads:
            return await _envelope(await self._conductor.payload_by_height(height))

    async def _commit(self, request: web.Request) -> web.Response:
        async with self._admission.body(request, self._limits.json_body_bytes_max) as body:
            ssz = await worked_out(_committed_ssz, body)
        receipt = await self._certified(ssz)
        return json_answer(
            {
                "success": True,
                "height": receipt.height,
                "epoch": receipt.epoch,
                "index": receipt.index,
            }
        )

    async def _commit_ssz(self, request: web.Request) -> web.Response:
        content_type = request.headers.get("Content-Type", SSZ_CONTENT_TYPE)
        if content_type != SSZ_CONTENT_TYPE:
            text = f"unsupported content-type {shown(content_type)}, want {SSZ_CONTENT_TYPE}"
            raise web.HTTPUnsupportedMediaType(text=text)
        async with self._admission.body(request, self._limits.payload_bytes_max) as ssz:
            if not ssz:
                raise InvalidPayload("payload", "is empty")
            await self._certified(ssz)
        return web.Response()

    async def _certified(self, ssz: bytes) -> CommitReceipt:
        return await self._calls.run(self._conductor.commit(ssz))

    async def _acknowledge(self, request: web.Request) -> web.Response:
        async with self._admission.body(request, ACKNOWLEDGEMENT_BYTES_MAX) as body:
            acknowledgement = acknowledgement_from_json(body)
        receipt = await self._calls.run(self._conductor.acknowledge(acknowledgement))
        return json_answer({"certified": receipt.certified, "height": receipt.height})


def _unreadiness(health: HealthView) -> tuple[str, ...]:
    """Why the node does not do its part in the cluster; empty when it does, leading or not.

    A node that is only paused follows as it should: that an operator keeps it from leading is no
    fault of it.
    """
    if health.leader_id and (health.serving or health.only_paused):
        return ()
    return health.reasons if health.leader_id else ("no leader is known", *health.reasons)


def _committed_ssz(body: bytes) -> bytes:
    """The payload in `{"payload": {...}}`, as SSZ."""
    payload = decode(_COMMIT, body).payload
    if not payload:
        raise InvalidPayload("payload", "is missing")
    return ssz_from_json(bytes(payload))


def _height(text: str) -> Height:
    if not _HEIGHT.fullmatch(text) or int(text) > U64_MAX:
        raise InvalidArgument("height: is no decimal number between 0 and 2^64 - 1")
    return Height(int(text))


async def _envelope(stored: StoredPayload) -> web.Response:
    """A payload as op-node's envelope JSON."""
    body = await worked_out(json_from_ssz, stored.ssz)
    return web.Response(body=body, content_type=JSON)
