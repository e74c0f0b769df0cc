"""No client can take more of the node than its share: size, time, memory, places."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from conductor.api.bounds import MIB, Admission, Bounds
from conductor.config import Limits
from conductor.errors import Overloaded
from conductor.payload import encode
from tests.api.conftest import GatewayClient, Reply, StartGateway
from tests.api.fakes import FakeConductor
from tests.payload.builders import a_document, an_envelope, as_bytes

KIB = 1024
DEADLINE_S = 10


@asynccontextmanager
async def connection(
    gateway: GatewayClient,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection to the gateway."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=KIB)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def head(path: str, *lines: str) -> bytes:
    """The head of a POST."""
    fixed = (f"POST {path} HTTP/1.1", "Host: test", "Content-Type: application/json")
    return "\r\n".join((*fixed, *lines, "", "")).encode()


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    """What arrives before the server closes the connection."""
    async with asyncio.timeout(DEADLINE_S):
        return await reader.read(-1)


async def status_line(reader: asyncio.StreamReader) -> bytes:
    """The first line of an answer."""
    async with asyncio.timeout(DEADLINE_S):
        return (await reader.readline()).rstrip()


async def test_announced_size_over_the_limit_is_refused_unread(gateway: GatewayClient) -> None:
    size = 34 * KIB * KIB + 1
    async with connection(gateway) as (reader, writer):
        writer.write(head("/", f"Content-Length: {size}", "Connection: close"))
        assert await status_line(reader) == b"HTTP/1.1 413 Request Entity Too Large"
        writer.write_eof()
        assert f"content length too large ({size}>{size - 1})\n".encode() in await until_closed(
            reader
        )


async def test_body_that_grows_over_the_limit_is_refused(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(Limits(json_body_bytes_max=2000))

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b" " * 1000

    reply = await gateway.request(
        "POST", "/", data=chunks(), headers={"Content-Type": "application/json"}
    )
    assert reply.status == 413
    assert reply.text.startswith("content length too large (")
    assert reply.text.endswith(">2000)\n")


@pytest.mark.parametrize("path", ["/", "/commit", "/acknowledge", "/commit-unsafe-payload"])
async def test_body_that_does_not_arrive_in_time_is_given_up(
    start_gateway: StartGateway, path: str
) -> None:
    gateway = await start_gateway(bounds=Bounds(body_timeout_ms=20))
    async with connection(gateway) as (reader, writer):
        request = head(path, "Content-Length: 100").replace(b"json", b"octet-stream")
        writer.write((request if "unsafe" in path else head(path, "Content-Length: 100")) + b"{")
        assert await status_line(reader) == b"HTTP/1.1 408 Request Timeout"


async def test_broken_chunk_ends_in_an_error(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(bounds=Bounds(body_timeout_ms=20))
    async with connection(gateway) as (reader, writer):
        writer.write(head("/commit", "Transfer-Encoding: chunked") + b"1\r\n{\r\nzz\r\n")
        line = await status_line(reader)
    assert line.split()[1] in (b"400", b"408")


async def test_client_that_leaves_in_the_middle_of_its_body_harms_nobody(
    start_gateway: StartGateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = await start_gateway(bounds=Bounds(requests_max=1))
    async with connection(gateway) as (_, writer):
        writer.write(head("/commit", "Content-Length: 100") + b"{")
        await until_full(gateway)
    assert (await once_there_is_room(gateway)).status == 200
    assert not caplog.records


async def until_full(gateway: GatewayClient) -> None:
    """Return once a gateway with one place has given it away."""
    async with asyncio.timeout(DEADLINE_S):
        while (await gateway.get("/leader")).status != 503:
            pass


async def once_there_is_room(gateway: GatewayClient) -> Reply:
    """The answer to GET /leader as soon as it is not 503."""
    async with asyncio.timeout(DEADLINE_S):
        while (reply := await gateway.get("/leader")).status == 503:
            pass
    return reply


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
async def test_compressed_body_is_refused(gateway: GatewayClient, encoding: str) -> None:
    body = gzip.compress(as_bytes({"payload": a_document()}))
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    reply = await gateway.post("/commit", body, headers=headers)
    assert (reply.status, reply.document["code"]) == (415, "invalid_request")


async def test_more_requests_than_there_are_places_are_refused_at_once(
    start_gateway: StartGateway, conductor: FakeConductor
) -> None:
    gateway = await start_gateway(bounds=Bounds(requests_max=1))
    conductor.commit_may_end = asyncio.Event()
    first = asyncio.create_task(gateway.post("/commit", {"payload": a_document()}))
    await conductor.commit_started.wait()
    refused = await gateway.get("/leader")
    conductor.commit_may_end.set()
    assert (refused.status, refused.document["code"]) == (503, "overloaded")
    assert (await first).status == 200
    assert (await gateway.get("/leader")).status == 200


async def test_large_bodies_share_bounded_memory_and_small_ones_always_pass(
    start_gateway: StartGateway, conductor: FakeConductor
) -> None:
    gateway = await start_gateway(bounds=Bounds(memory_bytes_max=200 * KIB))
    conductor.commit_may_end = asyncio.Event()
    ssz = encode(an_envelope(transactions=(bytes(200 * KIB),)))
    headers = {"Content-Type": "application/octet-stream"}
    first = asyncio.create_task(gateway.post("/commit-unsafe-payload", ssz, headers=headers))
    await conductor.commit_started.wait()
    second = await gateway.post("/commit", b" " * (200 * KIB))
    small = await gateway.call("conductor_leader")
    conductor.commit_may_end.set()
    assert (second.status, second.document["code"]) == (503, "overloaded")
    assert small == {"result": True}
    assert (await first).status == 200
    assert (await gateway.post("/commit", b" " * (200 * KIB))).status == 400


class TrickledContent:
    """A body that comes one byte at a time."""

    def __init__(self, size: int) -> None:
        self._left = size

    async def readany(self) -> bytes:
        """The next byte, until there is none."""
        self._left -= 1
        return b"x" if self._left >= 0 else b""


async def test_what_many_small_pieces_cost_is_counted() -> None:
    admission = Admission(Bounds(memory_bytes_max=100 * KIB))
    for size, taken in ((1000, True), (4000, False), (1000, True)):
        content: Any = TrickledContent(size)
        request: Any = SimpleNamespace(headers={}, content_length=None, content=content)
        outcome = contextlib.nullcontext() if taken else pytest.raises(Overloaded)
        with outcome:
            async with admission.body(request, MIB) as body:
                assert body == b"x" * size


async def test_client_that_does_not_take_its_answer_is_cut_off(
    start_gateway: StartGateway, conductor: FakeConductor
) -> None:
    gateway = await start_gateway(bounds=Bounds(requests_max=1, answer_timeout_ms=20))
    size = 6 * KIB * KIB
    conductor.payloads[1000] = encode(an_envelope(transactions=(bytes(size),)))
    async with connection(gateway) as (reader, writer):
        writer.write(b"GET /latest HTTP/1.1\r\nHost: test\r\n\r\n")
        await writer.drain()
        await conductor.read_started.wait()
        assert (await once_there_is_room(gateway)).status == 200
        assert await size_until_closed(reader) < 2 * size


async def size_until_closed(reader: asyncio.StreamReader) -> int:
    """How many bytes arrive before the connection ends, in whichever way."""
    size = 0
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(KIB * KIB):
            size += len(chunk)
    return size


async def test_payloads_are_read_a_few_at_a_time(
    start_gateway: StartGateway, conductor: FakeConductor
) -> None:
    gateway = await start_gateway(bounds=Bounds(payload_reads_max=2))
    conductor.payloads[1000] = encode(an_envelope())
    conductor.read_may_end = asyncio.Event()
    reads = [asyncio.create_task(gateway.get(path)) for path in 3 * ("/latest", "/payload/1000")]
    await conductor.read_started.wait()
    for _ in range(10):
        await gateway.get("/leader")
    conductor.read_may_end.set()
    assert {(await read).status for read in reads} == {200}
    assert conductor.reads_at_once_max == 2


async def test_answers_that_nobody_takes_count_as_memory(
    start_gateway: StartGateway, conductor: FakeConductor
) -> None:
    gateway = await start_gateway(bounds=Bounds(memory_bytes_max=100 * KIB))
    conductor.payloads[1000] = encode(an_envelope(transactions=(bytes(200 * KIB),)))
    reply = await gateway.get("/latest")
    assert (reply.status, reply.document["code"]) == (503, "overloaded")


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://evil.example", 403), ("null", 403), ("http://{host}", 200), (None, 200)],
)
async def test_page_of_another_site_cannot_make_its_reader_commit(
    gateway: GatewayClient, conductor: FakeConductor, origin: str | None, status: int
) -> None:
    host = f"127.0.0.1:{gateway.port}"
    headers = {"Origin": origin.format(host=host)} if origin else {}
    reply = await gateway.post("/commit", {"payload": a_document()}, headers=headers)
    assert reply.status == status
    assert len(conductor.committed) == (status == 200)


async def test_no_cors_headers_are_sent(gateway: GatewayClient) -> None:
    reply = await gateway.request("GET", "/leader", headers={"Origin": "http://evil.example"})
    assert reply.status == 200
    assert not [name for name in reply.headers if name.lower().startswith("access-control")]
