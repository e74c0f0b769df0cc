"""Health checks and reflection stand any bytes: the libraries' servicers alone do not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2_grpc import add_ServerReflectionServicer_to_server

from conductor.peers import CheckedRequests, LocalHealth

DEADLINE_S = 10
CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
NO_MESSAGES = (b"\xff", b"\x0a\xff", b"\x0a\x02\xff\xfe", b"\x00\x01")
"""An endless number, a field that is cut off, a text that is none, a field that cannot be."""

no_messages = pytest.mark.parametrize("data", NO_MESSAGES, ids=bytes.hex)


@pytest.fixture
async def channel() -> AsyncIterator[Any]:
    """To a server of both services. Untyped: it sends bytes as they are."""
    server = grpc.aio.server()
    checked: Any = CheckedRequests(server)
    add_HealthServicer_to_server(LocalHealth(paused=False), checked)
    names = ["grpc.health.v1.Health", reflection.SERVICE_NAME]
    servicer = reflection.aio.ReflectionServicer(names)
    add_ServerReflectionServicer_to_server(servicer, checked)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(0)


async def check_refused(call: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Require that a call was ended as the client's fault, and without a word in the log."""
    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (await call.details()).startswith("no such request: ")
    assert not caplog.records


@no_messages
@pytest.mark.parametrize("method", [CHECK, WATCH])
async def test_malformed_health_check_is_refused(
    channel: Any, caplog: pytest.LogCaptureFixture, method: str, data: bytes
) -> None:
    of_kind = channel.unary_unary if method == CHECK else channel.unary_stream

    await check_refused(of_kind(method)(data, timeout=DEADLINE_S), caplog)


@no_messages
async def test_malformed_question_of_reflection_is_refused(
    channel: Any, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    call = channel.stream_stream(REFLECTION)(timeout=DEADLINE_S)
    await call.write(data)

    await check_refused(call, caplog)


async def test_good_requests_are_answered_as_ever(channel: Any) -> None:
    health = await channel.unary_unary(CHECK)(b"", timeout=DEADLINE_S)
    watching = channel.unary_stream(WATCH)(b"", timeout=DEADLINE_S)
    first = await watching.read()
    watching.cancel()
    asking = channel.stream_stream(REFLECTION)(timeout=DEADLINE_S)
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    answers = []
    for _ in range(2):
        await asking.write(question.SerializeToString())
        answers.append(await asking.read())
    await asking.done_writing()

    not_serving = health_pb2.HealthCheckResponse(status="NOT_SERVING").SerializeToString()
    assert health == first == not_serving
    assert await asking.code() is grpc.StatusCode.OK
    for answer in answers:
        listed = reflection_pb2.ServerReflectionResponse.FromString(answer)
        named = [service.name for service in listed.list_services_response.service]
        assert named == ["grpc.health.v1.Health", reflection.SERVICE_NAME]


async def test_unknown_name_is_still_not_found(channel: Any) -> None:
    request = health_pb2.HealthCheckRequest(service="nothing").SerializeToString()

    call = channel.unary_unary(CHECK)(request, timeout=DEADLINE_S)

    assert await call.code() is grpc.StatusCode.NOT_FOUND
