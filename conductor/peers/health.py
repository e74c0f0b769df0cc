"""This node's own word on its fitness: the standard service `grpc.health.v1`.

Two names are known: "" says whether the node is serving, and `UNPAUSED` whether no operator has
paused it, which nobody asks who hears that it is serving: a paused node is not. The servicer that
comes with `grpcio-health-checking` forgets all watchers of a name as soon as one of them leaves
(seen in 1.80), which would blind the other peers; hence our own, on the generated base.
"""

from __future__ import annotations

import asyncio

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

OVERALL = ""
UNPAUSED = "op-conductor.unpaused"

_Context = grpc.aio.ServicerContext[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]


class LocalHealth(health_pb2_grpc.HealthServicer):
    """Not serving until told otherwise."""

    def __init__(self, *, paused: bool) -> None:
        self._status: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._shut_down = False
        self.set_serving(False)
        self.set_paused(paused)

    def set_serving(self, serving: bool) -> None:
        """Whether this node is fit to lead."""
        self._set(OVERALL, serving)

    def set_paused(self, paused: bool) -> None:
        """Whether an operator has paused this node."""
        self._set(UNPAUSED, not paused)

    def enter_shutdown(self) -> None:
        """Say NOT_SERVING for good, and let go of the watchers."""
        for name in self._status:
            self._set(name, False)
        self._shut_down = True
        self._announce()

    def _set(self, name: str, good: bool) -> None:
        response = health_pb2.HealthCheckResponse
        status = response.SERVING if good else response.NOT_SERVING
        if not self._shut_down and self._status.get(name) != status:
            self._status[name] = status
            self._announce()

    def _announce(self) -> None:
        """Wake all watchers; each waits for the next change on the event that follows."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def Check(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: _Context
    ) -> health_pb2.HealthCheckResponse:
        """The status of a name; NOT_FOUND for others than the two."""
        status = self._status.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r} here")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: _Context
    ) -> None:
        """The status of a name now and at every change; SERVICE_UNKNOWN for others."""
        unknown = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        said: int | None = None
        while True:
            changed = self._changed
            status = self._status.get(request.service, unknown)
            if status != said:
                await context.write(health_pb2.HealthCheckResponse(status=status))
                said = status
            # While it was being written the status may have changed once more.
            if self._shut_down and not changed.is_set():
                return
            await changed.wait()
