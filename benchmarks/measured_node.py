"""A conductor as `op-conductor run` makes it, whose gateway can also time commits inside of it.

`POST /benchmark/commits?pause_s=0.1` takes SSZ payloads, each behind its length (four bytes,
big-endian), and commits them one after the other, each after a pause, through
`service.Conductor.commit`: what the gateway itself calls once it has read a request. The answer is
the milliseconds of each call, as a JSON array. Nothing else differs from a node in production.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from conductor import api, app
from conductor.cli.main import main
from conductor.service import Conductor

COMMITS_PATH = "/benchmark/commits"

_LENGTH = struct.Struct(">I")


def framed(payloads: list[bytes]) -> bytes:
    """The body of a request."""
    return b"".join(part for ssz in payloads for part in (_LENGTH.pack(len(ssz)), ssz))


def _unframed(body: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(body):
        (size,) = _LENGTH.unpack_from(body, start)
        start += _LENGTH.size
        yield body[start : start + size]
        start += size


def create_measured_gateway(conductor: Conductor, *rest: Any) -> web.Application:
    """The gateway, with the path."""

    async def commits(request: web.Request) -> web.Response:
        # Read past the limit for one body: this one holds many payloads.
        body = b"".join([chunk async for chunk in request.content.iter_any()])
        pause_s = float(request.query["pause_s"])
        samples_ms = []
        for ssz in list(_unframed(body)):
            await asyncio.sleep(pause_s)
            started = time.perf_counter()
            await conductor.commit(ssz)
            samples_ms.append((time.perf_counter() - started) * 1000)
        return web.json_response(samples_ms)

    application = api.create_gateway(conductor, *rest)
    application.router.add_post(COMMITS_PATH, commits)
    return application


if __name__ == "__main__":
    # By name: the composition root has no seam for this, and needs none for anything else.
    setattr(app, "create_gateway", create_measured_gateway)  # noqa: B010
    main()
