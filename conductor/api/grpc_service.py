"""`conductor.v1.ConductorService` over the use cases, with errors as canonical status codes.

The code of an error (docs/errors.md) travels as the reason of a `google.rpc.ErrorInfo`, so that a
client tells errors apart without reading their texts.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Never, TypeVar

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # no stubs

from conductor.api.acknowledgements import acknowledgement_from_wire
from conductor.api.calls import LastingCalls
from conductor.api.error_map import Failure, failure_of
from conductor.api.grpc_messages import certificate_response, status_response
from conductor.core.values import Height
from conductor.service import Conductor
from conductor.v1 import conductor_pb2, conductor_pb2_grpc

ERROR_DOMAIN = "op-conductor"
DETAILS_KEY = "grpc-status-details-bin"
"""Where gRPC clients look for the details of a status."""

MESSAGE_BYTES_MAX = 1024
"""Trailers have room for 8 KiB, and this text stands there twice, encoded."""

Service = TypeVar("Service")
Request = TypeVar("Request")
Response = TypeVar("Response")
Context = grpc.aio.ServicerContext[Any, Any]


def register(server: grpc.aio.Server, conductor: Conductor) -> None:
    """Add ConductorService to a server that has not been started. docs/api.md."""
    conductor_pb2_grpc.add_ConductorServiceServicer_to_server(ConductorService(conductor), server)


def _edge(
    method: Callable[[Service, Request], Awaitable[Response]],
) -> Callable[[Service, Request, Context], Coroutine[Any, Any, Response]]:
    """The method as gRPC calls it: every error becomes a status here."""

    @functools.wraps(method)
    async def answer(service: Service, request: Request, context: Context) -> Response:
        try:
            return await method(service, request)
        except Exception as error:
            return await _abort(context, failure_of(error, method.__name__))

    return answer


async def _abort(context: Context, failure: Failure) -> Never:
    """End the call with the status of the failure, rich details included."""
    info = error_details_pb2.ErrorInfo(
        reason=failure.code, domain=ERROR_DOMAIN, metadata={"outcome": failure.wire.outcome}
    )
    if failure.leader_id:
        info.metadata["leader_id"] = failure.leader_id
    details = any_pb2.Any()
    details.Pack(info)
    code = failure.wire.grpc_status
    text = failure.message.encode()[:MESSAGE_BYTES_MAX].decode(errors="ignore")
    status = status_pb2.Status(code=code.value[0], message=text, details=[details])
    await context.abort(code, text, ((DETAILS_KEY, status.SerializeToString()),))


class ConductorService(conductor_pb2_grpc.ConductorServiceServicer):
    """The RPCs, over one conductor."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor
        self._calls = LastingCalls()

    @_edge
    async def Commit(  # noqa: N802
        self, request: conductor_pb2.CommitRequest
    ) -> conductor_pb2.CommitResponse:
        """Certify a payload."""
        receipt = await self._calls.run(self._conductor.commit(request.payload))
        return conductor_pb2.CommitResponse(
            height=receipt.height, epoch=receipt.epoch, index=receipt.index
        )

    @_edge
    async def Acknowledge(  # noqa: N802
        self, request: conductor_pb2.AcknowledgeRequest
    ) -> conductor_pb2.AcknowledgeResponse:
        """Count an acknowledgement that came this way."""
        acknowledgement = acknowledgement_from_wire(request.acknowledgement)
        receipt = await self._calls.run(self._conductor.acknowledge(acknowledgement))
        return conductor_pb2.AcknowledgeResponse(certified=receipt.certified, height=receipt.height)

    @_edge
    async def GetLeader(  # noqa: N802
        self, _: conductor_pb2.GetLeaderRequest
    ) -> conductor_pb2.GetLeaderResponse:
        """Who leads."""
        leader = self._conductor.leader()
        return conductor_pb2.GetLeaderResponse(
            is_leader=leader.is_leader,
            epoch=leader.epoch,
            next_height=leader.next_height,
            leader_id=leader.leader_id,
        )

    @_edge
    async def GetStatus(  # noqa: N802
        self, _: conductor_pb2.GetStatusRequest
    ) -> conductor_pb2.GetStatusResponse:
        """Everything at a glance."""
        return status_response(self._conductor.status())

    @_edge
    async def GetPayload(  # noqa: N802
        self, request: conductor_pb2.GetPayloadRequest
    ) -> conductor_pb2.GetPayloadResponse:
        """A certified payload by its height."""
        stored = await self._conductor.payload_by_height(Height(request.height))
        return conductor_pb2.GetPayloadResponse(
            payload=stored.ssz, index=stored.index, epoch=stored.epoch
        )

    @_edge
    async def GetLatestPayload(  # noqa: N802
        self, request: conductor_pb2.GetLatestPayloadRequest
    ) -> conductor_pb2.GetLatestPayloadResponse:
        """The newest certified payload."""
        stored = await self._conductor.latest(consistent=request.consistent)
        return conductor_pb2.GetLatestPayloadResponse(
            payload=stored.ssz, index=stored.index, epoch=stored.epoch
        )

    @_edge
    async def GetCertificate(  # noqa: N802
        self, _: conductor_pb2.GetCertificateRequest
    ) -> conductor_pb2.GetCertificateResponse:
        """The newest certificate."""
        return certificate_response(self._conductor.certificate())
