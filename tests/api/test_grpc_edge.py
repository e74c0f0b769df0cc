"""What the edge of the gRPC services keeps out: wrong bytes, late calls, too much of anything."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.typing import EventDict

from conductor.api import register
from conductor.api.grpc_edge import REQUEST_BYTES_MAX, TOO_LATE, Edge
from conductor.payload import encode
from conductor.v1 import admin_pb2, conductor_pb2
from tests.api.fakes import FakeConductor
from tests.api.grpc_kit import ADMIN, CONDUCTOR, DEADLINE_S, RPCS, Client, failed, serving
from tests.payload.builders import an_envelope

SSZ = encode(an_envelope())
LARGE = encode(an_envelope(transactions=(bytes(REQUEST_BYTES_MAX),)))
NO_MESSAGE = b"\x0a\xff"
"""A field of 255 bytes or more of which there are none."""

UNKNOWN_FIELD = b"\xfa\x7f\x03new"
"""Number 2047, three bytes."""

COMMIT = CONDUCTOR.methods_by_name["Commit"]
TRANSFER = ADMIN.methods_by_name["TransferLeader"]

rpcs = pytest.mark.parametrize("method", RPCS, ids=[method.name for method in RPCS])


@pytest.fixture
async def client(conductor: FakeConductor) -> AsyncIterator[Client]:
    conductor.payloads[1000] = SSZ
    async with serving(conductor) as client:
        yield client


def changed(conductor: FakeConductor) -> list[object]:
    """All that a call can have changed."""
    return [
        conductor.committed,
        conductor.acknowledged,
        conductor.transfers,
        conductor.stops,
        conductor.paused,
        conductor.leader_view.is_overridden,
    ]


@rpcs
async def test_bytes_that_are_no_message_are_refused_and_change_nothing(
    conductor: FakeConductor, client: Client, logs: list[EventDict], method: MethodDescriptor
) -> None:
    failure = await failed(client.send(method, NO_MESSAGE))
    assert (failure.status, failure.reason) == ("INVALID_ARGUMENT", "invalid_argument")
    assert failure.text == f"the request is no {method.input_type.full_name}"
    assert changed(conductor) == changed(FakeConductor())
    assert logs == []


async def test_text_that_is_no_utf_8_is_refused(conductor: FakeConductor, client: Client) -> None:
    failure = await failed(client.send(TRANSFER, b"\x0a\x01\xff"))
    assert failure.status == "INVALID_ARGUMENT"
    assert conductor.transfers == []


@rpcs
async def test_every_rpc_is_served_and_skips_fields_that_it_does_not_know(
    client: Client, method: MethodDescriptor
) -> None:
    """A newer client may say more than we understand."""
    known: dict[str, Any] = {
        "Commit": conductor_pb2.CommitRequest(payload=SSZ),
        "GetPayload": conductor_pb2.GetPayloadRequest(height=1000),
    }
    data = known[method.name].SerializeToString() if method.name in known else b""
    if method.name == "Acknowledge":
        failure = await failed(client.send(method, data + UNKNOWN_FIELD))
        assert failure.text.startswith("server_id: ")
    else:
        assert await client.send(method, data + UNKNOWN_FIELD) is not None


@rpcs
async def test_only_commits_may_be_large(
    conductor: FakeConductor, client: Client, method: MethodDescriptor
) -> None:
    call = client.send(method, conductor_pb2.CommitRequest(payload=LARGE).SerializeToString())
    if method is COMMIT:
        assert await call
        return
    failure = await failed(call)
    assert (failure.status, failure.reason) == ("RESOURCE_EXHAUSTED", "too_large")
    assert f"{method.input_type.name} has at most {REQUEST_BYTES_MAX} bytes" in failure.text
    assert changed(conductor) == changed(FakeConductor())


async def test_message_over_the_limit_of_the_server_is_refused(client: Client) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.send(COMMIT, bytes(18 * 2**20))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_what_is_no_rpc_is_unimplemented(client: Client) -> None:
    for path in ("/conductor.v1.AdminService/Explode", "/conductor.v2.AdminService/Stop", "/"):
        call: Any = client.channel.unary_unary(path)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


class Aborted(Exception):
    """The call was ended by the edge."""


class LateContext:
    """Of a call whose deadline has passed; only what is needed of it."""

    def __init__(self) -> None:
        self.ended: list[tuple[grpc.StatusCode, str]] = []

    def time_remaining(self) -> float:
        return -0.001

    async def abort(self, code: grpc.StatusCode, text: str) -> None:
        self.ended.append((code, text))
        raise Aborted


class CallDetails:
    """Names an RPC, as gRPC does when it looks for the handler."""

    def __init__(self, method: MethodDescriptor) -> None:
        self.method = f"/{method.containing_service.full_name}/{method.name}"
        self.invocation_metadata = ()


async def test_call_whose_deadline_has_passed_begins_nothing(conductor: FakeConductor) -> None:
    """It came while the process was stopped, say."""
    handlers: list[Any] = []

    class Server:
        def add_generic_rpc_handlers(self, added: tuple[Any, ...]) -> None:
            handlers.extend(added)

    server: Any = Server()
    register(server, conductor)
    for method in RPCS:
        found = [handler.service(CallDetails(method)) for handler in handlers]
        (rpc,) = (handler for handler in found if handler is not None)
        context = LateContext()
        with pytest.raises(Aborted):
            await (rpc.unary_stream or rpc.unary_unary)(b"", context)
        assert context.ended == [(grpc.StatusCode.DEADLINE_EXCEEDED, TOO_LATE)]
    assert changed(conductor) == changed(FakeConductor())


async def test_deadline_that_passes_cancels_the_wait_and_not_the_commit(
    conductor: FakeConductor, client: Client
) -> None:
    conductor.commit_may_end = asyncio.Event()
    call = client.conductor.Commit(conductor_pb2.CommitRequest(payload=SSZ), timeout=0.3)
    assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert conductor.committed == []
    conductor.commit_may_end.set()
    async with asyncio.timeout(DEADLINE_S):
        await conductor.commit_ended.wait()
    assert conductor.committed == [SSZ]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for plain state, with a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0)


async def test_calls_over_the_bound_are_refused_and_ended_ones_make_room(
    conductor: FakeConductor,
) -> None:
    edge = Edge(calls_max=2)
    conductor.commit_may_end = asyncio.Event()
    request = conductor_pb2.CommitRequest(payload=SSZ)
    async with serving(conductor, edge) as client:
        waiting = [client.conductor.Commit(request) for _ in range(2)]
        await until(lambda: edge.calls.used == 2)
        failure = await failed(client.admin.Pause(admin_pb2.PauseRequest()))
        assert (failure.status, failure.reason) == ("RESOURCE_EXHAUSTED", "overloaded")
        assert not conductor.paused

        waiting[0].cancel()
        await until(lambda: edge.calls.used == 1)
        await client.admin.Pause(admin_pb2.PauseRequest())
        conductor.commit_may_end.set()
        await waiting[1]
        await until(lambda: edge.calls.used == 0)


async def test_large_requests_share_a_memory_and_small_ones_find_room(
    conductor: FakeConductor,
) -> None:
    edge = Edge(memory_bytes_max=len(LARGE) * 3 // 2)
    conductor.commit_may_end = asyncio.Event()
    large = conductor_pb2.CommitRequest(payload=LARGE)
    async with serving(conductor, edge) as client:
        waiting = client.conductor.Commit(large)
        await until(lambda: edge.request_bytes.used > 0)
        failure = await failed(client.conductor.Commit(large))
        assert (failure.status, failure.reason) == ("RESOURCE_EXHAUSTED", "overloaded")
        assert failure.metadata["outcome"] == "refused"
        conductor.commit_may_end.set()
        await client.conductor.Commit(conductor_pb2.CommitRequest(payload=SSZ))
        await waiting
        await until(lambda: edge.request_bytes.used == 0)
    assert sorted(conductor.committed) == sorted([SSZ, LARGE])


async def test_answers_that_nobody_takes_fill_a_memory_of_their_own(
    conductor: FakeConductor,
) -> None:
    conductor.payloads[1000] = LARGE
    async with serving(conductor, Edge(memory_bytes_max=len(LARGE) // 2)) as client:
        request = conductor_pb2.GetPayloadRequest(height=1000)
        failure = await failed(client.conductor.GetPayload(request))
        assert (failure.status, failure.reason) == ("RESOURCE_EXHAUSTED", "overloaded")
        assert client.edge.answer_bytes.used == 0


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Without the cyclic garbage collector."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
async def test_refused_call_leaves_nothing_large_for_the_garbage_collector(client: Client) -> None:
    size = 2**20
    request = NO_MESSAGE * (size // 2)
    tracemalloc.start()
    try:
        for _ in range(10):
            await failed(client.send(COMMIT, request))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 3 * size


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(RPCS), st.binary(max_size=100), st.integers(0, 400), st.integers(0, 255))
async def test_any_bytes_get_an_answer_or_a_clear_error(
    method: MethodDescriptor, noise: bytes, place: int, byte: int
) -> None:
    """Noise, and a good message with a byte of it changed."""
    async with serving(FakeConductor()) as client:
        good = bytearray(conductor_pb2.CommitRequest(payload=SSZ).SerializeToString())
        good[min(place, len(good) - 1)] = byte
        for data in (noise, bytes(good)):
            assert await status_of(client.send(method, data)) in {
                "OK",
                "INVALID_ARGUMENT",
                "NOT_FOUND",
            }


async def status_of(call: Awaitable[object]) -> str:
    """How a call ended, well or not."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"
