"""An operator's calls over gRPC, as programs make them that are not ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # no stubs

from conductor.v1 import admin_pb2, conductor_pb2
from conductor.v1.admin_pb2_grpc import AdminServiceStub
from conductor.v1.conductor_pb2_grpc import ConductorServiceStub
from tests.e2e.nodes import Node

CALL_S = 15.0
"""More than the longest transfer may take."""


@dataclass(frozen=True, slots=True)
class Transferred:
    """What was answered to a transfer: a leadership, or an error."""

    leader_id: str = ""
    epoch: int = 0
    code: str = ""
    """Of the error, as `docs/errors.md` has it; `no_answer` when there was none."""
    message: str = ""


class Operator:
    """Calls one node; the connection lasts as long as the context of `operator_of`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._admin = AdminServiceStub(channel)
        self._conductor = ConductorServiceStub(channel)

    async def transfer(self, target: str = "", *, force: bool = False) -> Transferred:
        """Have the leadership passed on, and wait for what is said of it."""
        request = admin_pb2.TransferLeaderRequest(server_id=target, force=force)
        try:
            answer = await self._admin.TransferLeader(request, timeout=CALL_S)
        except grpc.aio.AioRpcError as error:
            return Transferred(code=_code(error), message=error.details() or "")
        return Transferred(answer.leader_id, answer.epoch)

    async def pause(self) -> None:
        """Make it step aside."""
        await self._admin.Pause(admin_pb2.PauseRequest(), timeout=CALL_S)

    async def resume(self) -> None:
        """Make it take part again."""
        await self._admin.Resume(admin_pb2.ResumeRequest(), timeout=CALL_S)

    async def stop(self) -> None:
        """Make it end."""
        await self._admin.Stop(admin_pb2.StopRequest(), timeout=CALL_S)

    async def status(self) -> conductor_pb2.GetStatusResponse:
        """All that it says of itself and of the others."""
        request = conductor_pb2.GetStatusRequest()
        return await self._conductor.GetStatus(request, timeout=CALL_S)

    async def serving(self) -> set[str]:
        """Who is fit to lead, as far as it knows."""
        members = (await self.status()).members
        return {seen.member.server_id for seen in members if seen.serving}

    async def last_leadership(self) -> tuple[str, str]:
        """Who leads now as far as it knows, and why."""
        request = conductor_pb2.GetHistoryRequest()
        answer = await self._conductor.GetHistory(request, timeout=CALL_S)
        record = answer.records[-1]
        return record.leader_id, record.reason


@asynccontextmanager
async def operator_of(node: Node) -> AsyncIterator[Operator]:
    """An operator at that node."""
    options = (("grpc.enable_http_proxy", 0),)
    async with grpc.aio.insecure_channel(str(node.plan.grpc), options=options) as channel:
        yield Operator(channel)


def _code(error: grpc.aio.AioRpcError) -> str:
    """The code that the node gave the error."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            info = error_details_pb2.ErrorInfo()
            for detail in status_pb2.Status.FromString(value).details:
                if detail.Unpack(info):
                    return str(info.reason)
    return "no_answer"
