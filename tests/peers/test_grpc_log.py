"""Calls whose path or headers are no text harm nobody, and are no errors in the log."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from conductor.config import Address
from conductor.peers import refuse_quietly
from conductor.peers.grpc_log import GRPC_MODULE, ClientFaults
from tests.malformed.http2_inputs import call_headers, plain_call
from tests.malformed.talk import connected

DEADLINE_S = 10
NO_TEXTS = ((b":path", b"/\xff/\xfe"), (b"x-name", b"\xff\xfe"), (b"user-agent", b"\xff"))

GRPC_LOGGER = logging.getLogger(GRPC_MODULE)


@pytest.fixture(autouse=True)
def as_in_a_node() -> Iterator[None]:
    """What a node does with gRPC's log, undone afterwards."""
    module = vars(sys.modules[GRPC_MODULE])
    filters, traceback = GRPC_LOGGER.filters[:], module["traceback"]
    refuse_quietly()
    yield
    GRPC_LOGGER.filters[:] = filters
    module["traceback"] = traceback


@pytest.fixture
async def address() -> AsyncIterator[Address]:
    """Where a server without any service listens."""
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield Address("127.0.0.1", port)
    await server.stop(0)


@pytest.mark.parametrize(("name", "value"), NO_TEXTS)
async def test_call_that_is_no_text_ends_alone_and_is_no_error(
    address: Address,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    name: bytes,
    value: bytes,
) -> None:
    """From 1.84 on such a path has ended the whole server of grpcio: see pyproject.toml."""
    with capture_logs() as events:
        async with connected(address) as (reader, writer):
            writer.write(plain_call(call_headers("/no.Service/Method", (name, value))))
            async with asyncio.timeout(DEADLINE_S):
                while b"grpc-status" not in (seen := await reader.read(65_536)):
                    assert seen, "the server has closed the connection"
        async with grpc.aio.insecure_channel(str(address)) as channel:
            method: Any = channel.unary_unary("/no.Service/Method")
            other = method(b"", timeout=DEADLINE_S)
            assert await other.code() is grpc.StatusCode.UNIMPLEMENTED

    assert not caplog.records
    assert capfd.readouterr().err == ""
    assert {event["event"] for event in events} == {"grpc_refused"}
    assert {event["log_level"] for event in events} == {"debug"}


def a_record(text: str, error: Exception) -> logging.LogRecord:
    """A line of gRPC about an error."""
    told = (type(error), error, None)
    return logging.LogRecord(GRPC_MODULE, logging.ERROR, __file__, 1, text, (), told)


class ExecuteBatchError(Exception):
    """Named as gRPC's, which cannot be made here."""


NO_TEXT = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
OWN = "Unexpected [UnicodeDecodeError] raised by servicer method [/conductor.v1.AdminService/Stop]"


@pytest.mark.parametrize(
    ("text", "error", "is_kept"),
    [
        ("Invalid encoding on b'\\xff'", NO_TEXT, False),
        ("Unexpected [UnicodeDecodeError] raised by servicer method [/ÿ]", NO_TEXT, False),
        (OWN, NO_TEXT, True),
        ("Unexpected [ValueError] raised by servicer method [/ÿ]", ValueError("x"), True),
        ("Failed sending error status from server", ExecuteBatchError(), False),
    ],
)
def test_our_own_errors_stay_in_the_log(text: str, error: Exception, is_kept: bool) -> None:
    with capture_logs() as events:
        assert ClientFaults().filter(a_record(text, error)) is is_kept

    assert [event["event"] for event in events] == ([] if is_kept else ["grpc_refused"])


def test_there_is_one_filter_however_often_a_node_is_run() -> None:
    refuse_quietly()

    assert sum(isinstance(present, ClientFaults) for present in GRPC_LOGGER.filters) == 1
