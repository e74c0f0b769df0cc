"""`conductor.v1.ConductorService` over the use cases (docs/api.md)."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import grpc

from conductor.api.acknowledgements import acknowledgement_from_wire
from conductor.api.calls import LastingCalls
from conductor.api.grpc_admin import AdminService
from conductor.api.grpc_edge import Edge
from conductor.api.grpc_messages import (
    certificate_response,
    history_response,
    status_response,
    watch_response,
)
from conductor.core.values import Height
from conductor.errors import Overloaded
from conductor.service import Conductor
from conductor.v1 import admin_pb2, conductor_pb2

WATCHERS_MAX = 64
"""Streams of epochs at once: each costs a connection and memory for as long as it likes."""


def register(server: grpc.aio.Server, conductor: Conductor, edge: Edge | None = None) -> None:
    """Add our services to a server that has not been started. `edge` has other bounds than ours."""
    edge = edge or Edge()
    service = conductor_pb2.DESCRIPTOR.services_by_name["ConductorService"]
    admin = admin_pb2.DESCRIPTOR.services_by_name["AdminService"]
    handlers = (
        edge.handler(service, ConductorService(conductor), large={"Commit"}),
        edge.handler(admin, AdminService(conductor)),
    )
    server.add_generic_rpc_handlers(handlers)


class ConductorService:
    """The RPCs by their names, over one conductor."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor
        self._calls = LastingCalls()
        self._watchers = 0

    async def Commit(  # noqa: N802
        self, request: conductor_pb2.CommitRequest
    ) -> conductor_pb2.CommitResponse:
        """Certify a payload."""
        receipt = await self._calls.run(self._conductor.commit(request.payload))
        return conductor_pb2.CommitResponse(
            height=receipt.height, epoch=receipt.epoch, index=receipt.index
        )

    async def Acknowledge(  # noqa: N802
        self, request: conductor_pb2.AcknowledgeRequest
    ) -> conductor_pb2.AcknowledgeResponse:
        """Count an acknowledgement that came this way."""
        acknowledgement = acknowledgement_from_wire(request.acknowledgement)
        receipt = await self._calls.run(self._conductor.acknowledge(acknowledgement))
        return conductor_pb2.AcknowledgeResponse(certified=receipt.certified, height=receipt.height)

    async def GetLeader(  # noqa: N802
        self, _: conductor_pb2.GetLeaderRequest
    ) -> conductor_pb2.GetLeaderResponse:
        """Who leads."""
        leader = self._conductor.leader()
        return conductor_pb2.GetLeaderResponse(
            is_leader=leader.is_leader or leader.is_overridden,
            epoch=leader.epoch,
            next_height=leader.next_height,
            leader_id=leader.leader_id,
        )

    async def GetStatus(  # noqa: N802
        self, _: conductor_pb2.GetStatusRequest
    ) -> conductor_pb2.GetStatusResponse:
        """Everything at a glance."""
        return status_response(self._conductor.status())

    async def GetPayload(  # noqa: N802
        self, request: conductor_pb2.GetPayloadRequest
    ) -> conductor_pb2.GetPayloadResponse:
        """A certified payload by its height."""
        stored = await self._conductor.payload_by_height(Height(request.height))
        return conductor_pb2.GetPayloadResponse(
            payload=stored.ssz, index=stored.index, epoch=stored.epoch
        )

    async def GetLatestPayload(  # noqa: N802
        self, request: conductor_pb2.GetLatestPayloadRequest
    ) -> conductor_pb2.GetLatestPayloadResponse:
        """The newest certified payload."""
        stored = await self._conductor.latest(consistent=request.consistent)
        return conductor_pb2.GetLatestPayloadResponse(
            payload=stored.ssz, index=stored.index, epoch=stored.epoch
        )

    async def GetCertificate(  # noqa: N802
        self, _: conductor_pb2.GetCertificateRequest
    ) -> conductor_pb2.GetCertificateResponse:
        """The newest certificate."""
        return certificate_response(self._conductor.certificate())

    async def GetHistory(  # noqa: N802
        self, _: conductor_pb2.GetHistoryRequest
    ) -> conductor_pb2.GetHistoryResponse:
        """The last leaderships."""
        return history_response(self._conductor.history())

    async def WatchEpochs(  # noqa: N802
        self, _: conductor_pb2.WatchEpochsRequest
    ) -> AsyncGenerator[conductor_pb2.WatchEpochsResponse, None]:
        """The leadership, and every change of it."""
        if self._watchers >= WATCHERS_MAX:
            raise Overloaded(f"{WATCHERS_MAX} clients watch already")
        self._watchers += 1
        try:
            first = True
            async for record in self._conductor.watch_epochs():
                yield watch_response(record, self._conductor.leader(), first=first)
                first = False
        finally:
            self._watchers -= 1
