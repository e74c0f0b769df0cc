"""The locks that a running conductor holds: BSD locks on the database files themselves.

Invariant: a lock belongs to a file, whatever its name becomes, so files stay open here as long as
anything is asked about them. A conductor opens its log and locks it, then its stable store, and
holds both exclusively to its end. For a busy one it asks every 50 ms, for ever, on the file that it
has opened once; but what it gets must be a database, else it gives up and says so.
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from conductor.errors import StoreLocked
from raft_state.exchange.disk import disk_errors
from raft_state.node import DATABASES

POLL_S = 0.05
"""How often a Go process asks again for a lock that it could not get."""

SETTLE_S = 4 * POLL_S

_TURNED_AWAY_TRIES = 100
_META_BYTES = 2 * 64 * 1024
"""Both meta pages lie within, whatever the page size: without one of them it is no database."""

_TURNED_AWAY_FAILED = (
    "{} was replaced, and what is new is in place, but another process keeps the old file, which "
    "stays unreadable: look who uses it"
)


class DatabaseLocks:
    """The databases of some node directories, held open. A context manager: closing unlocks."""

    def __init__(
        self, directories: Iterable[Path], *, exclusive: bool, writable: bool = False
    ) -> None:
        """StoreError when one cannot be opened. What is missing or no file has no lock.

        `writable`: as it must be for `spoil` and `turn_away`.
        """
        self._operation = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        self._flags = os.O_NONBLOCK | (os.O_RDWR if writable else os.O_RDONLY)
        self._files: list[tuple[Path, int]] = []
        with ExitStack() as undo:
            undo.callback(self.close)
            for directory in directories:
                for name in DATABASES:
                    self._open(directory / name)
            undo.pop_all()

    def __enter__(self) -> DatabaseLocks:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        """How many files there are to lock."""
        return len(self._files)

    def try_lock(self) -> Path | None:
        """Lock them all at once, without waiting: the busy one, and then none is locked."""
        for path, descriptor in self._files:
            with disk_errors(f"lock {path}"):
                try:
                    fcntl.flock(descriptor, self._operation | fcntl.LOCK_NB)
                except BlockingIOError:
                    self.unlock()
                    return path
        return None

    def unlock(self) -> None:
        """Let others have them; the files stay open."""
        for _, descriptor in self._files:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def holds(self, path: Path) -> bool:
        """Whether the file of this name is one of those that are open here. OSError."""
        status = path.stat()
        return any(os.path.samestat(status, os.fstat(descriptor)) for _, descriptor in self._files)

    def spoil(self) -> list[bytes]:
        """Make them no databases, so that nobody comes to run on them. OSError.

        Returns what has been overwritten at the beginning of each. They have to be locked.
        """
        beginnings = []
        for _, descriptor in self._files:
            beginning = os.pread(descriptor, _META_BYTES, 0)
            os.pwrite(descriptor, bytes(len(beginning)), 0)
            beginnings.append(beginning)
        return beginnings

    def turn_away(self, settled: Callable[[], None]) -> None:
        """Let those who wait for a lock find no database, then make all readable again.

        They are locked before and unlocked afterwards. `settled` waits until everybody has asked
        again. StoreLocked when somebody keeps one: it stays unreadable.
        """
        if not self._files:
            return
        with disk_errors("turn away those who wait for what was replaced"):
            beginnings = self.spoil()
            try:
                self.unlock()
                settled()
            finally:
                kept = []
                for (path, descriptor), beginning in zip(self._files, beginnings, strict=True):
                    if self._locked_soon(descriptor):
                        os.pwrite(descriptor, beginning, 0)
                    else:
                        kept.append(str(path))
                self.unlock()
            if kept:
                raise StoreLocked(_TURNED_AWAY_FAILED.format(", ".join(kept)))

    def close(self) -> None:
        """Unlock and close all."""
        while self._files:
            os.close(self._files.pop()[1])

    def _locked_soon(self, descriptor: int) -> bool:
        """Lock one file that others may hold only as long as it takes to see what it is."""
        for _ in range(_TURNED_AWAY_TRIES):
            try:
                fcntl.flock(descriptor, self._operation | fcntl.LOCK_NB)
            except BlockingIOError:
                threading.Event().wait(POLL_S)
            else:
                return True
        return False

    def _open(self, path: Path) -> None:
        with disk_errors(f"open {path}"):
            try:
                descriptor = os.open(path, self._flags)
            except (FileNotFoundError, IsADirectoryError):
                return
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                self._files.append((path, descriptor))
            else:
                os.close(descriptor)


def require_unlocked(locks: DatabaseLocks) -> None:
    """StoreLocked when a running conductor uses one of the databases; else all are locked."""
    busy = locks.try_lock()
    if busy is not None:
        raise StoreLocked(
            f"{busy} is in use by a running process: nothing was changed; stop the conductor "
            "(and whatever would start it again), then try again"
        )


def settle() -> None:
    """Wait until a conductor that waits for a lock must have asked for it again."""
    threading.Event().wait(SETTLE_S)
