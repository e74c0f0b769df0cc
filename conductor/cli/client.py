"""Asks conductors over gRPC. The one place of the command line where gRPC's errors become ours."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import grpc

from conductor.cli.status_report import Answer
from conductor.config import Address
from conductor.errors import PeerError, PeerUnreachable
from conductor.v1.conductor_pb2 import GetStatusRequest
from conductor.v1.conductor_pb2_grpc import ConductorServiceStub

_CHANNEL_OPTIONS = (
    # gRPC takes http_proxy from the environment even for loopback.
    ("grpc.enable_http_proxy", 0),
)

_NO_ANSWER = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


def ask_status(servers: Sequence[Address], timeout_ms: int) -> list[Answer]:
    """The status of every server, asked all at once; waits no longer than the timeout."""

    async def ask_all() -> list[Answer]:
        return list(await asyncio.gather(*(_ask_status(server, timeout_ms) for server in servers)))

    return asyncio.run(ask_all())


async def _ask_status(server: Address, timeout_ms: int) -> Answer:
    async with grpc.aio.insecure_channel(str(server), options=_CHANNEL_OPTIONS) as channel:
        call = ConductorServiceStub(channel).GetStatus(
            GetStatusRequest(), timeout=timeout_ms / 1000
        )
        try:
            return Answer(server, await call)
        except grpc.aio.AioRpcError as error:
            return Answer(server, _our_error(server, error))


def _our_error(server: Address, error: grpc.aio.AioRpcError) -> PeerError:
    if error.code() in _NO_ANSWER:
        return PeerUnreachable(
            f"{server} does not answer ({error.details()}): is it running, and is this its gRPC "
            "port (by default the gateway's + 10000)?"
        )
    return PeerError(f"{server} answers {error.code().name}: {error.details()}")
