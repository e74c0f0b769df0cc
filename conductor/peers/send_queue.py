"""Messages on their way into one stream.

Invariant: never more than `bytes_max` bytes and `messages_max` messages wait, except that one
message always may. What does not fit breaks the queue for good, and with it the stream: dropping
from the middle would leave a gap that nobody notices.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from conductor.errors import ConductorError, Overloaded

QUEUE_BYTES_MAX = 32 * 2**20
QUEUE_MESSAGES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A serialised message. `sequence` is that of an Append, 0 for everything else."""

    data: bytes
    sequence: int = 0


class SendQueue:
    """Filled by code that must not wait, emptied by the one task that writes."""

    def __init__(
        self, bytes_max: int = QUEUE_BYTES_MAX, messages_max: int = QUEUE_MESSAGES_MAX
    ) -> None:
        self._bytes_max = bytes_max
        self._messages_max = messages_max
        self._waiting: deque[Outgoing] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._failed = asyncio.Event()
        self._error: ConductorError | None = None

    def put(self, outgoing: Outgoing) -> None:
        """Add a message, or break the queue when it does not fit."""
        if self._error is not None:
            return
        bytes_after = self._bytes + len(outgoing.data)
        is_full = bytes_after > self._bytes_max or len(self._waiting) >= self._messages_max
        if self._waiting and is_full:
            count = len(self._waiting)
            self.fail(Overloaded(f"{count} messages of {self._bytes} bytes wait to be sent"))
            return
        self._waiting.append(outgoing)
        self._bytes = bytes_after
        self._filled.set()

    async def get(self) -> Outgoing:
        """The next message, in the order in which they were put."""
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        outgoing = self._waiting.popleft()
        self._bytes -= len(outgoing.data)
        return outgoing

    def fail(self, error: ConductorError) -> None:
        """Break the queue; the first error counts."""
        if self._error is None:
            self._error = error
            self._waiting.clear()
            self._failed.set()

    async def broken(self) -> None:
        """Wait until the queue breaks, then raise why."""
        await self._failed.wait()
        assert self._error is not None
        raise self._error
