"""The gRPC services over a fake conductor, in the event loop of the test, and how calls end there.

What plain blocking clients see is tested through pytest-grpc, in `test_grpc_service`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # no stubs

from conductor.api import register
from conductor.api.grpc_edge import Edge
from conductor.config import Limits
from conductor.core.values import Epoch
from conductor.peers import server_options
from conductor.runtime.history import History
from conductor.v1 import admin_pb2, admin_pb2_grpc, conductor_pb2, conductor_pb2_grpc
from tests.api.fakes import FakeConductor

DEADLINE_S = 10

CONDUCTOR = conductor_pb2.DESCRIPTOR.services_by_name["ConductorService"]
ADMIN = admin_pb2.DESCRIPTOR.services_by_name["AdminService"]
RPCS = [*CONDUCTOR.methods, *ADMIN.methods]


class LivelyConductor(FakeConductor):
    """A fake whose leadership changes when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.past = History(lambda: 5_000)

    def watch_epochs(self) -> Any:
        return self.past.watch()

    def lead(self, leader_id: str, epoch: int, reason: str) -> None:
        """That server leads now; an empty name: nobody does."""
        self.past.note(leader_id, Epoch(epoch), reason)


@dataclass(frozen=True, slots=True)
class Client:
    """Talks to the services over one connection."""

    channel: grpc.aio.Channel
    edge: Edge
    server: grpc.aio.Server
    conductor: conductor_pb2_grpc.ConductorServiceStub = field(init=False)
    admin: admin_pb2_grpc.AdminServiceStub = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "conductor", conductor_pb2_grpc.ConductorServiceStub(self.channel))
        object.__setattr__(self, "admin", admin_pb2_grpc.AdminServiceStub(self.channel))

    async def send(self, method: MethodDescriptor, data: bytes) -> bytes | None:
        """The answer to bytes that need not be a message; of a stream, its first one."""
        path = f"/{method.containing_service.full_name}/{method.name}"
        if method.server_streaming:
            stream: Any = self.channel.unary_stream(path)
            async for answer in (call := stream(data, timeout=DEADLINE_S)):
                call.cancel()
                return bytes(answer)
            return None
        unary: Any = self.channel.unary_unary(path)
        return bytes(await unary(data, timeout=DEADLINE_S))


@asynccontextmanager
async def serving(conductor: FakeConductor, edge: Edge | None = None) -> AsyncIterator[Client]:
    """Both services, with the options of a node's server."""
    edge = edge or Edge()
    server = grpc.aio.server(options=server_options(Limits()))
    register(server, conductor, edge)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            yield Client(channel, edge, server)
    finally:
        await server.stop(None)


@dataclass(frozen=True, slots=True)
class Failed:
    """How a call ended that failed."""

    status: str
    text: str
    reason: str
    """The code of the error (docs/errors.md)."""
    metadata: dict[str, str]


async def failed(call: Awaitable[object]) -> Failed:
    """The failure of a call, its details checked for what all have in common."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = caught.value
    trailers: dict[str, Any] = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    assert (status.code, status.message) == (error.code().value[0], error.details())
    (detail,) = status.details
    info = error_details_pb2.ErrorInfo()
    assert detail.Unpack(info)
    assert info.domain == "op-conductor"
    return Failed(error.code().name, error.details() or "", info.reason, dict(info.metadata))


async def next_of(call: Any) -> Any:
    """The next answer of a stream, or the end of it; the error that it ends with."""
    async with asyncio.timeout(DEADLINE_S):
        return await call.read()
