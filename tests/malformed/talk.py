"""Talks to a port byte by byte: what is sent, how it ends, and what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from conductor.config import Address

ANSWER_S = 30.0
"""For an answer that must come, from a node that is being fed by many."""
PATIENCE_S = 0.25
"""For one that need not come, because the request may be unfinished."""


class Ending(enum.Enum):
    """What a client does when it has sent everything."""

    WAIT = enum.auto()
    """It is owed an answer, and waits for it."""
    SEE = enum.auto()
    """It waits a moment: an answer, a closed connection and silence are all well."""
    LEAVE = enum.auto()
    """It closes the connection."""
    RESET = enum.auto()
    """It resets the connection."""
    SHUT = enum.auto()
    """It closes its half of the connection, and waits a moment."""


@dataclass(frozen=True, slots=True)
class Talk:
    """One input: the bytes of one connection."""

    kind: str
    pieces: tuple[bytes, ...]
    ending: Ending = Ending.SEE
    pause_s: float = 0.0
    """Between two pieces."""
    heavy: bool = False
    """Whether it takes megabytes: no two of these at a time."""

    @property
    def data(self) -> bytes:
        """All that is sent."""
        return b"".join(self.pieces)


@asynccontextmanager
async def connected(
    address: Address,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection, gone without a trace when the block is left."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def reset(writer: asyncio.StreamWriter) -> None:
    """Make the connection end with a reset."""
    endpoint: socket.socket = writer.get_extra_info("socket")
    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def send(talk: Talk, writer: asyncio.StreamWriter) -> None:
    """Send the pieces of a talk, as far as the other side takes them."""
    with contextlib.suppress(OSError):
        async with asyncio.timeout(ANSWER_S):
            for place, piece in enumerate(talk.pieces):
                if place and talk.pause_s:
                    await asyncio.sleep(talk.pause_s)
                writer.write(piece)
                await writer.drain()
            if talk.ending is Ending.SHUT:
                writer.write_eof()
