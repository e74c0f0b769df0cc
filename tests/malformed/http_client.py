"""Gives a gateway malformed HTTP, and requires that each answer is a clear one."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable

from conductor.config import Address
from tests.malformed.api_targets import check_jsonrpc
from tests.malformed.talk import ANSWER_S, PATIENCE_S, Ending, Talk, connected, reset, send
from tests.malformed.tally import Tally, Unexpected

CONNECTIONS = 48
"""At a time."""
SECRETS = (b"Traceback", b"internal error", b"method handler crashed", b"/conductor/", b".py")
"""What an answer must not hold: it would say that the server is at fault, or how it is built."""
ERROR_BYTES_MAX = 64 * 1024

_STATUS = re.compile(rb"HTTP/[0-9.]+ ([0-9]{3}) ")
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_MAY_BE_500 = b"POST /commit-unsafe-payload "
"""There a refused commit is a 500, as at the Go server."""


class HttpClient:
    """Feeds one gateway."""

    def __init__(self, address: Address, tally: Tally, on_input: Callable[[], None]) -> None:
        self._address = address
        self._tally = tally
        self._on_input = on_input
        self._one_heavy = asyncio.Semaphore(1)

    async def feed(self, talks: Iterable[Talk]) -> None:
        """Have all these talks, many at a time."""
        waiting = iter(enumerate(talks))

        async def work() -> None:
            for number, talk in waiting:
                await self._have(number, talk)

        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(work())

    async def _have(self, number: int, talk: Talk) -> None:
        with Unexpected(self._tally, number, talk.data):
            if talk.heavy:
                async with self._one_heavy:
                    outcome = await self._outcome(talk)
            else:
                outcome = await self._outcome(talk)
            self._tally.outcomes[outcome] += 1
        self._on_input()

    async def _outcome(self, talk: Talk) -> str:
        async with connected(self._address) as (reader, writer):
            sending = asyncio.create_task(send(talk, writer))
            try:
                if talk.ending is Ending.WAIT:
                    async with asyncio.timeout(ANSWER_S):
                        return check_answer(talk, *await _answer(reader))
                await sending
                return await _seen(talk, reader, writer)
            finally:
                sending.cancel()


async def _seen(talk: Talk, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """What comes of a talk that is owed no answer."""
    if talk.ending is Ending.LEAVE:
        return "client left"
    if talk.ending is Ending.RESET:
        reset(writer)
        return "client left"
    try:
        async with asyncio.timeout(PATIENCE_S):
            head, body = await _answer(reader)
    except TimeoutError:
        return "waits for the rest"
    except (ConnectionError, asyncio.IncompleteReadError):
        return "closed"
    return check_answer(talk, head, body)


async def _answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The head and the body of the first answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return head, await reader.readexactly(int(length[1])) if length else b""


def check_answer(talk: Talk, head: bytes, body: bytes) -> str:
    """The status of an answer; AssertionError unless it is a clear one."""
    match = _STATUS.match(head)
    assert match, f"no answer in HTTP: {head[:200]!r}"
    status = int(match[1])
    assert status < 500 or status == 503 or talk.data.startswith(_MAY_BE_500), (head, body[:500])
    for secret in SECRETS:
        assert secret not in body, (status, body[:500])
    if status >= 400:
        assert len(body) <= ERROR_BYTES_MAX, (status, len(body))
        assert body or talk.data.startswith(b"HEAD") or b"Content-Length: 0" in head, head
    if b"application/json" in head and body:
        document = json.loads(body, parse_int=str)
        if talk.kind == "document to /":
            return f"200 {check_jsonrpc(body)}"
        if status >= 400:
            assert document.get("error") or document["reasons"]
    return str(status)
