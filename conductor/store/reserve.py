"""Room on the disk that only promises and epoch starts may use.

Invariant: while the reserve is held, an ordinary write cannot take the last of the space, so that a
node with a full disk can still promise, and a cluster of such nodes can still choose a leader.
"""

from __future__ import annotations

import os
from pathlib import Path

from conductor.errors import StoreFull
from conductor.store.error_map import mapped_errors

RESERVE_BYTES = 2**20
"""Enough for some thirty promises; for any number if the log can be moved into the database."""


class Reserve:
    """A file of zeros that is cut to nothing when its room is needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_held = path.exists() and path.stat().st_size == RESERVE_BYTES

    def hold(self) -> None:
        """Take the room, if it is not held already. StoreFull: there is not that much."""
        if self._is_held:
            return
        try:
            with mapped_errors("no space beside the reserve for promises"):
                self._write(RESERVE_BYTES)
        except StoreFull:
            self.release()
            raise
        self._is_held = True

    def release(self) -> None:
        """Give the room back to the file system."""
        self._is_held = False
        with mapped_errors("cannot release the reserve for promises"):
            self._write(0)

    def _write(self, size: int) -> None:
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(file, "wb") as stream:
            stream.write(bytes(size))
            stream.flush()
            # Blocks count as free, or as taken, once the file system's journal says so.
            os.fsync(stream.fileno())
