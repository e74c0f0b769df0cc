"""A client that leaves while a stream is written to it is no failure of the call."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from conductor.api.grpc_edge import Edge
from conductor.api.grpc_service import ConductorService
from tests.api.fakes import FakeConductor
from tests.api.grpc_kit import CONDUCTOR

WATCH = f"/{CONDUCTOR.full_name}/WatchEpochs"


class LeftContext:
    """The context of a call whose client has just left."""

    def time_remaining(self) -> float | None:
        return None

    def add_done_callback(self, _: object) -> None:
        return None

    async def write(self, _: bytes) -> None:
        raise grpc.aio.InternalError("Failed execute_batch")


async def test_client_that_leaves_while_it_is_told_is_no_failure() -> None:
    handler = Edge().handler(CONDUCTOR, ConductorService(FakeConductor()), large={"Commit"})
    details: Any = SimpleNamespace(method=WATCH, invocation_metadata=())
    rpc: Any = handler.service(details)

    with capture_logs() as events, pytest.raises(grpc.aio.InternalError):
        await rpc.unary_stream(b"", LeftContext())

    assert not events
