"""`conductor.v1.AdminService` over the use cases: what operators tell a node to do (docs/api.md).

Invariant: a call that was begun runs to its end, also when the client hangs up.
"""

from __future__ import annotations

from conductor.api.calls import LastingCalls
from conductor.config import parse_server_id
from conductor.core.values import ServerId
from conductor.errors import ConfigError, InvalidArgument
from conductor.service import Conductor
from conductor.v1 import admin_pb2


class AdminService:
    """The RPCs by their names, over one conductor."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor
        self._calls = LastingCalls()

    async def Pause(self, _: admin_pb2.PauseRequest) -> admin_pb2.PauseResponse:  # noqa: N802
        """Step aside."""
        was_paused = await self._calls.run(self._conductor.pause())
        return admin_pb2.PauseResponse(was_paused=was_paused)

    async def Resume(self, _: admin_pb2.ResumeRequest) -> admin_pb2.ResumeResponse:  # noqa: N802
        """Take part again."""
        was_paused = await self._calls.run(self._conductor.resume())
        return admin_pb2.ResumeResponse(was_paused=was_paused)

    async def Stop(self, _: admin_pb2.StopRequest) -> admin_pb2.StopResponse:  # noqa: N802
        """End the process."""
        await self._calls.run(self._conductor.stop())
        return admin_pb2.StopResponse()

    async def OverrideLeader(  # noqa: N802
        self, request: admin_pb2.OverrideLeaderRequest
    ) -> admin_pb2.OverrideLeaderResponse:
        """Say that this node leads, or the truth again."""
        was = await self._calls.run(self._conductor.override_leader(request.overridden))
        return admin_pb2.OverrideLeaderResponse(was_overridden=was)

    async def TransferLeader(  # noqa: N802
        self, request: admin_pb2.TransferLeaderRequest
    ) -> admin_pb2.TransferLeaderResponse:
        """Pass the leadership on, and wait for the outcome."""
        target = _server_id(request.server_id) if request.server_id else None
        receipt = await self._calls.run(self._conductor.transfer(target, force=request.force))
        return admin_pb2.TransferLeaderResponse(
            previous_leader_id=receipt.previous_leader_id,
            leader_id=receipt.leader_id,
            epoch=receipt.epoch,
        )


def _server_id(text: str) -> ServerId:
    """The name of a server. InvalidArgument when no server can have it."""
    try:
        return ServerId(parse_server_id(text))
    except ConfigError as error:
        raise InvalidArgument(f"server_id: {error}") from error
