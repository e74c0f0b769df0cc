"""A crowd of clients that send as slowly as they like is gone after a known while."""

from __future__ import annotations

import asyncio
from collections import Counter

from conductor.api.bounds import Bounds
from tests.api.conftest import GatewayClient, StartGateway

CLIENTS = 60
BODY_TIMEOUT_MS = 200
DEADLINE_S = 20

HEAD = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
SLOW_REQUESTS = (
    HEAD % b"/commit" + b"Content-Length: 1000\r\n\r\n{",
    HEAD % b"/" + b"Content-Length: 1000\r\n\r\n[",
    HEAD % b"/acknowledge" + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
)


async def slow_answer(gateway: GatewayClient, number: int) -> bytes:
    """The status line that a client gets which sends its body byte by byte."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    request = SLOW_REQUESTS[number % len(SLOW_REQUESTS)]
    writer.write(request)

    async def drip() -> None:
        while True:
            writer.write(b"1\r\n \r\n" if b"chunked" in request else b" ")
            await writer.drain()
            await asyncio.sleep(BODY_TIMEOUT_MS / 10_000)

    dripping = asyncio.create_task(drip())
    try:
        async with asyncio.timeout(DEADLINE_S):
            return (await reader.readline()).rstrip()
    finally:
        dripping.cancel()
        await asyncio.wait((dripping,))
        writer.transport.abort()


async def test_bodies_in_drips_are_given_up_and_their_places_free_again(
    start_gateway: StartGateway,
) -> None:
    bounds = Bounds(requests_max=CLIENTS, body_timeout_ms=BODY_TIMEOUT_MS)
    gateway = await start_gateway(bounds=bounds)

    answers = await asyncio.gather(*(slow_answer(gateway, number) for number in range(CLIENTS)))

    assert Counter(answers) == {b"HTTP/1.1 408 Request Timeout": CLIENTS}
    many = (gateway.get("/leader") for _ in range(CLIENTS))
    assert {reply.status for reply in await asyncio.gather(*many)} == {200}


async def test_slow_body_that_is_whole_in_time_is_taken(gateway: GatewayClient) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"conductor_leader"}'
    head = HEAD % b"/" + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    for byte in head + body:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)

    async with asyncio.timeout(DEADLINE_S):
        answer = await reader.read(-1)
    writer.transport.abort()

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b'"result":true,"id":1}')
