"""The data directory: whose it is while a process runs, and what is in it.

Invariant: at most one process at a time has the directory open. The lock is the kernel's, so it
ends with the process that holds it, however that ends.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from conductor.errors import StoreLocked
from conductor.store.error_map import mapped_errors

_DATABASE = "store.db"


class DataDirectory:
    """A data directory that this process has locked, until `close`."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.path / _DATABASE

    @property
    def log(self) -> Path:
        """SQLite's write-ahead log."""
        return self.path / "store.db-wal"

    @property
    def unfinished_database(self) -> Path:
        """The SQLite file while it is being made: it has held nothing yet."""
        return self.path / "store.db.new"

    @property
    def mark(self) -> Path:
        """How many transactions are durable."""
        return self.path / "mark"

    @property
    def reserve(self) -> Path:
        """Room for promises."""
        return self.path / "reserve"

    def close(self) -> None:
        """Let others use the directory."""
        os.close(self._lock)


def has_store(directory: Path) -> bool:
    """Whether a store has been made in that directory. StoreError when nobody lets us look."""
    with mapped_errors(f"cannot use the data directory {directory}"):
        return (directory / _DATABASE).exists()


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def lock_directory(path: Path) -> DataDirectory:
    """Take the directory for this process; one that is not there is made, for its owner alone.

    StoreLocked when another process has it. Beside the store it may hold other files of the node.
    """
    with mapped_errors(f"cannot use the data directory {path}"):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_directory(path.parent)
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
            os.close(lock)
            raise StoreLocked(
                f"the data directory {path} is used by another process"
                + (f", with process id {holder}" if holder.isdigit() else "")
                + ": stop that one, or give this server another --data-dir"
            ) from error
        try:
            # Always of one size: on a full disk it still fits where the one before stood.
            os.pwrite(lock, f"{os.getpid():<19}\n".encode(), 0)
        except OSError:
            os.close(lock)
            raise
        return DataDirectory(path, lock)
