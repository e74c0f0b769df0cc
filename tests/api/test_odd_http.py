"""Bad HTTP is told to its sender, in words that can be sent, and is no error in the log."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct

import pytest
from aiohttp.http_exceptions import BadStatusLine
from structlog.typing import EventDict

from conductor.api.http_log import HttpLog
from tests.api.conftest import GatewayClient

DEADLINE_S = 10
NO_REQUESTS = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET\r\n\r\n",
    b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
    b"GET /" + b"a" * 10_000,
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET /leader HTTP/1.1\r\nHost: x\r\n\r\nnothing at all\r\n\r\n",
)


async def answers_to(gateway: GatewayClient, request: bytes) -> bytes:
    """All that comes back over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(request)
    try:
        async with asyncio.timeout(DEADLINE_S):
            return await reader.read(-1)
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("request_bytes", NO_REQUESTS, ids=range(len(NO_REQUESTS)))
async def test_what_is_no_request_is_refused_and_no_error(
    gateway: GatewayClient,
    caplog: pytest.LogCaptureFixture,
    logs: list[EventDict],
    request_bytes: bytes,
) -> None:
    caplog.set_level(logging.DEBUG, "aiohttp")

    answer = await answers_to(gateway, request_bytes)

    assert b"HTTP/1.0 400 Bad Request" in answer or b"HTTP/1.1 400 Bad Request" in answer
    assert b"Traceback" not in answer
    assert [(event["event"], event["log_level"]) for event in logs] == [("http_refused", "debug")]
    assert logs[0]["error"]
    assert not caplog.records


async def test_client_that_leaves_before_it_may_continue_is_no_error(
    gateway: GatewayClient, caplog: pytest.LogCaptureFixture, logs: list[EventDict]
) -> None:
    """aiohttp says `100 Continue` before the request gets to the gateway's edge."""
    head = b"POST /commit HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(head)
        end: socket.socket = writer.get_extra_info("socket")
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    assert (await gateway.get("/leader")).status == 200
    assert not [event for event in logs if event["log_level"] != "debug"]
    assert not caplog.records


def test_what_breaks_the_server_itself_is_an_error_with_its_traceback(
    logs: list[EventDict],
) -> None:
    fault, tell = ValueError("ours"), HttpLog().exception

    tell("Error handling request from %s", "1.2.3.4", exc_info=fault)
    tell("Error handling request from %s", "1.2.3.4", exc_info=BadStatusLine("a\nb"))
    tell("Unhandled exception", exc_info=ConnectionResetError("gone"))
    tell("Missing return statement on request handler")

    text = "Error handling request from 1.2.3.4"
    assert [(event["event"], event["log_level"]) for event in logs] == [
        ("http_failed", "error"),
        ("http_refused", "debug"),
        ("http_refused", "debug"),
        ("http_failed", "error"),
    ]
    assert (logs[0]["text"], logs[0]["exc_info"]) == (text, fault)
    assert "\n" not in logs[1]["error"]


@pytest.mark.parametrize(
    ("path", "header", "status"),
    [
        ("/commit", b"Origin: http://\xff", b"403 Forbidden"),
        ("/", b"Origin: http://\xff", b"403 Forbidden"),
        ("/commit", b"Content-Encoding: \xff", b"415 Unsupported Media Type"),
        ("/", b"Content-Encoding: \xff", b"415 Unsupported Media Type"),
        ("/acknowledge", b"Content-Encoding: \xff", b"415 Unsupported Media Type"),
        ("/commit-unsafe-payload", b"Content-Type: \xff", b"415 Unsupported Media Type"),
        ("/", b"Content-Type: \xff", b"415 Unsupported Media Type"),
    ],
)
async def test_header_that_is_no_text_is_shown_escaped(
    gateway: GatewayClient, logs: list[EventDict], path: str, header: bytes, status: bytes
) -> None:
    """aiohttp holds such bytes as lone surrogates, which cannot be sent back."""
    lines = [f"POST {path} HTTP/1.1".encode(), b"Host: x", b"Content-Length: 0", header]
    lines += [b"Content-Type: application/json"] * (b"Type" not in header)

    answer = await answers_to(gateway, b"\r\n".join([*lines, b"Connection: close", b"", b""]))

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"udcff" in answer or b"only application/json is supported" in answer
    assert not logs
