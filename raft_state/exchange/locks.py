"""The locks that a running conductor holds: BSD locks on the database files themselves.

Invariant: a lock belongs to a file, whatever its name becomes, so files stay open here as long as
anything is asked about them. A conductor holds both of its databases exclusively from its start to
its end, and asks for a busy one every 50 ms, for ever, on the file it has opened once.
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from conductor.errors import StoreLocked
from raft_state.exchange.disk import disk_errors
from raft_state.node import DATABASES

POLL_S = 0.05
"""How often a Go process asks again for a lock that it could not get."""

SETTLE_S = 4 * POLL_S


class DatabaseLocks:
    """The databases of some node directories, held open. A context manager: closing unlocks."""

    def __init__(self, directories: Iterable[Path], *, exclusive: bool) -> None:
        """StoreError when one cannot be opened. What is missing or no file has no lock."""
        self._operation = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
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

    def close(self) -> None:
        """Unlock and close all."""
        while self._files:
            os.close(self._files.pop()[1])

    def _open(self, path: Path) -> None:
        with disk_errors(f"open {path}"):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            except FileNotFoundError:
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
