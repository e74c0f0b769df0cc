"""A caller that hangs up takes nothing along: what it asked for runs to its end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from aiohttp import web
from structlog.typing import EventDict

from conductor import errors
from conductor.api import gateway_runner, register
from conductor.api.calls import LastingCalls
from conductor.payload import encode
from conductor.v1 import conductor_pb2, conductor_pb2_grpc
from tests.api.conftest import StartGateway
from tests.api.fakes import FakeConductor
from tests.payload.builders import a_document, an_envelope

SSZ = encode(an_envelope())
DEADLINE_S = 10


@pytest.fixture
async def stub(conductor: FakeConductor) -> AsyncIterator[conductor_pb2_grpc.ConductorServiceStub]:
    """A client of the gRPC service in this very loop."""
    server = grpc.aio.server()
    register(server, conductor)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield conductor_pb2_grpc.ConductorServiceStub(channel)
    await server.stop(None)


async def ended(conductor: FakeConductor) -> None:
    """Let the commit go on, and wait for its end."""
    assert conductor.commit_may_end is not None
    conductor.commit_may_end.set()
    async with asyncio.timeout(DEADLINE_S):
        await conductor.commit_ended.wait()


def cancelling_runner(application: web.Application) -> web.AppRunner:
    """A server that cancels the handler of a client that has left, as gRPC's does."""
    return web.AppRunner(application, handler_cancellation=True)


@pytest.mark.parametrize("make_runner", [gateway_runner, cancelling_runner])
async def test_http_commit_survives_its_client(
    start_gateway: StartGateway, conductor: FakeConductor, make_runner: Any
) -> None:
    gateway = await start_gateway(make_runner=make_runner)
    conductor.commit_may_end = asyncio.Event()
    call = asyncio.create_task(gateway.post("/commit", {"payload": a_document()}))
    await conductor.commit_started.wait()
    call.cancel()
    await asyncio.wait((call,))
    await gateway.get("/leader")  # by now the server has seen the connection close
    await ended(conductor)
    assert len(conductor.committed) == 1


async def test_grpc_commit_survives_its_client(
    stub: conductor_pb2_grpc.ConductorServiceStub, conductor: FakeConductor
) -> None:
    conductor.commit_may_end = asyncio.Event()
    call = stub.Commit(conductor_pb2.CommitRequest(payload=SSZ))
    waiting = asyncio.ensure_future(call)
    await conductor.commit_started.wait()
    call.cancel()
    await asyncio.wait((waiting,))
    assert call.cancelled()
    await ended(conductor)
    assert conductor.committed == [SSZ]


async def test_commit_survives_the_shutdown_of_its_handler(conductor: FakeConductor) -> None:
    conductor.commit_may_end = asyncio.Event()
    handler = asyncio.create_task(LastingCalls().run(conductor.commit(SSZ)))
    await conductor.commit_started.wait()
    handler.cancel()
    await asyncio.wait((handler,))
    assert handler.cancelled()
    await ended(conductor)
    assert conductor.committed == [SSZ]


async def test_error_that_nobody_waits_for_any_more_is_no_noise(
    conductor: FakeConductor, logs: list[EventDict]
) -> None:
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    conductor.commit_may_end = asyncio.Event()
    conductor.error = errors.LeadershipLost("a higher epoch came")
    handler = asyncio.create_task(LastingCalls().run(conductor.commit(SSZ)))
    await conductor.commit_started.wait()
    handler.cancel()
    await asyncio.wait((handler,))
    await ended(conductor)
    await asyncio.sleep(0)
    del handler  # its traceback holds on to the inner task
    gc.collect()
    assert complaints == []
    assert logs == []
