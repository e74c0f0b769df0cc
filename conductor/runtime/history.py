"""The leaderships that this node has seen, and those who wait for the next one.

Invariants: bounded. Old records make room for new ones; a watcher who reads slowly is told the
newest state, not everything that it has missed, and leaves nothing behind here when it goes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from conductor.core.values import Epoch
from conductor.service import LeadershipRecord

RECORDS_MAX = 64


class History:
    """The last leaderships, oldest first. `wall_ms` is milliseconds since the Unix epoch."""

    def __init__(self, wall_ms: Callable[[], int]) -> None:
        self._wall_ms = wall_ms
        self._records: deque[LeadershipRecord] = deque(maxlen=RECORDS_MAX)
        self._changed = asyncio.Event()
        self._ended = False

    @property
    def records(self) -> tuple[LeadershipRecord, ...]:
        """What has been noted."""
        return tuple(self._records)

    def note(self, leader_id: str, epoch: Epoch, reason: str) -> None:
        """A leadership has begun, or one has ended and nobody leads (an empty `leader_id`)."""
        newest = self._newest()
        if newest is None or (newest.leader_id, newest.epoch) != (leader_id, epoch):
            self._records.append(LeadershipRecord(leader_id, epoch, reason, self._wall_ms()))
            self._wake()

    def end(self) -> None:
        """The node stops: every watcher is told the newest record, if need be, and ends."""
        self._ended = True
        self._wake()

    async def watch(self) -> AsyncIterator[LeadershipRecord]:
        """The newest record (of nobody, in epoch 0, while there is none), then each newer one."""
        told = self._newest()
        yield told or LeadershipRecord("", Epoch(0), "", self._wall_ms())
        while True:
            changed = self._changed
            newest = self._newest()
            if newest is not None and newest is not told:
                told = newest
                yield newest
            elif self._ended:
                return
            else:
                await changed.wait()

    def _newest(self) -> LeadershipRecord | None:
        return self._records[-1] if self._records else None

    def _wake(self) -> None:
        """All who wait go on, and wait for the next change on a new event."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
