"""A conductor that is just starting, one step at a time: as Go's opens and locks its databases."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from raft_state.node import DATABASES


class StartingConductor:
    """It opens a database by its path and asks for its lock; with the lock, it goes on to the next.

    `ask` is what it does every 50 ms. A file of zeros is no database: it gives up.
    """

    def __init__(self, directory: Path) -> None:
        self._waiting = [directory / name for name in DATABASES]
        self._held: list[int] = []
        self._asked = self._opened()
        self.gave_up = False

    def ask(self) -> None:
        """Ask once for the lock of the file that it waits for, and then for the next."""
        while self._waiting and not self.gave_up:
            try:
                fcntl.flock(self._asked, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            beginning = os.pread(self._asked, 1 << 20, 0)
            self._held.append(self._asked)
            self._waiting.pop(0)
            if beginning and not any(beginning):
                self.gave_up = True
                self.stop()
            elif self._waiting:
                self._asked = self._opened()

    @property
    def runs(self) -> bool:
        """Whether it holds both databases."""
        return not self._waiting and not self.gave_up

    def holds(self, directory: Path) -> bool:
        """Whether what it runs on are the databases that have their names in this directory."""
        files = [os.fstat(descriptor) for descriptor in self._held]
        named = [(directory / name).stat() for name in DATABASES]
        return self.runs and all(map(os.path.samestat, files, named))

    @property
    def has_none(self) -> bool:
        """Whether it holds nothing yet, or no more."""
        return not self._held

    def stop(self) -> None:
        """End: all locks are free."""
        while self._held:
            os.close(self._held.pop())

    def _opened(self) -> int:
        return os.open(self._waiting[0], os.O_RDWR | os.O_CREAT, 0o600)
