"""Clients that open connections and then take their time: each must be gone after a known while."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from conductor.api.bounds import Bounds
from conductor.api.gateway import KEEPALIVE_S
from conductor.config import Address
from conductor.peers.channels import KEEPALIVE_INTERVAL_MS, KEEPALIVE_TIMEOUT_MS
from tests.malformed.http2_inputs import PREFACE, SETTINGS, Frame
from tests.malformed.http_inputs import posted
from tests.malformed.talk import connected
from tests.malformed.tally import Tally

LATE_S = 20.0
"""How much later than its bound a connection may end while the node is busy."""
DRIP_S = 1.0

_BODY_S = Bounds().body_timeout_ms / 1000
_ANSWER_S = Bounds().answer_timeout_ms / 1000
_LINGERING_S = 10.0
"""How long aiohttp reads on after its answer, for the rest of a body."""
_HANDSHAKE_S = 120.0
"""gRPC's own, for the first bytes of a connection."""
_PINGS_S = (KEEPALIVE_INTERVAL_MS + KEEPALIVE_TIMEOUT_MS) / 1000


@dataclass(frozen=True, slots=True)
class Lingerer:
    """A client that sends something, then drips or falls silent."""

    name: str
    data: bytes
    drip: bytes
    """Sent again and again; empty for one that falls silent."""
    bound_s: float
    reads: bool = True


_HALF_BODY = posted("/commit", b" " * 1000)[:-900]
HTTP: Sequence[Lingerer] = (
    Lingerer("silent", b"", b"", KEEPALIVE_S),
    Lingerer("half a head", b"POST / HTTP/1.1\r\nHost: x\r\nX-Long: ", b"", KEEPALIVE_S),
    Lingerer("head in drips", b"POST / HTTP/1.1\r\nHost: x\r\nX-Long: ", b"a", KEEPALIVE_S),
    Lingerer("half a body", _HALF_BODY, b"", _BODY_S + _LINGERING_S),
    Lingerer("body in drips", _HALF_BODY, b" ", _BODY_S + _LINGERING_S),
    Lingerer(
        "answers not taken",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 3000,
        b"x",
        _ANSWER_S,
        reads=False,
    ),
)
GRPC: Sequence[Lingerer] = (
    Lingerer("silent", b"", b"", _HANDSHAKE_S),
    Lingerer("half a preface", PREFACE[:10], b"", _HANDSHAKE_S),
    Lingerer("pings not answered", PREFACE + Frame(SETTINGS).encoded(), b"", _PINGS_S),
)


async def linger(address: Address, lingerers: Sequence[Lingerer], tally: Tally) -> None:
    """Have them all at once, until each is cut off; one that is not in time is a finding."""
    async with asyncio.TaskGroup() as group:
        for number, lingerer in enumerate(lingerers):
            group.create_task(_linger(address, lingerer, number, tally))


async def _linger(address: Address, lingerer: Lingerer, number: int, tally: Tally) -> None:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    async with connected(address) as (reader, writer):
        if not lingerer.reads:
            transport: Any = writer.transport
            transport.pause_reading()
        writer.write(lingerer.data)
        try:
            async with asyncio.timeout(lingerer.bound_s + LATE_S):
                await _until_cut_off(lingerer, reader, writer)
        except TimeoutError:
            late_s = lingerer.bound_s + LATE_S
            tally.fail(number, f"{lingerer.name}: still connected after {late_s:g} s", b"")
            return
    tally.outcomes[f"{lingerer.name} {loop.time() - began_s:.0f} s"] += 1


async def _until_cut_off(
    lingerer: Lingerer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Drip until the other side ends the connection."""
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(lingerer.drip)
            try:
                async with asyncio.timeout(DRIP_S):
                    if lingerer.reads and not await reader.read(65_536):
                        return
                    if not lingerer.reads:
                        await writer.drain()
                        await asyncio.sleep(DRIP_S)
            except TimeoutError:
                continue
