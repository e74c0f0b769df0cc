"""A directory with a store on disk, as the suite and the other tests restart it."""

from __future__ import annotations

from pathlib import Path

from conductor.core.founding import Founding
from conductor.store import SqliteStore, open_store


class DirectoryDisk:
    """The store of server `a` in a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._store: SqliteStore | None = None

    def boot(self, founding: Founding | None = None, head: bytes = b"") -> SqliteStore:
        """Open the store, after closing the one before; what is new begins with `founding`."""
        self.stop()
        self._store = open_store(self.path, "a", founding, head)
        return self._store

    def stop(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()
            self._store = None
