"""Keeps the store's log short, in a thread of its own, off the commit path.

Invariant: a checkpoint never holds up the writer; lack of space for it loses nothing and is tried
again, any other failure is as fatal as that of a write.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from conductor.errors import StoreFull
from conductor.runtime.supervisor import supervised


class Checkpointed(Protocol):
    """A store with a log that grows."""

    def wal_bytes(self) -> int:
        """About how much has been written since the last full checkpoint."""
        ...

    def checkpoint(self) -> None:
        """Move what is in the log into the database. StoreFull: nothing is lost."""
        ...


class Checkpointer:
    """Checkpoints when the log has grown beyond `bytes_max`."""

    def __init__(
        self, store: Checkpointed, bytes_max: int, on_failure: Callable[[Exception], None]
    ) -> None:
        """`on_failure` is called from the checkpointer's thread."""
        self._store = store
        self._bytes_max = bytes_max
        self._on_failure = on_failure
        self._wanted = threading.Event()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="checkpointer", daemon=True)

    def start(self) -> None:
        """Begin to watch the log."""
        self._thread.start()

    def consider(self) -> None:
        """Something was written; never blocks. From any thread."""
        if self._store.wal_bytes() >= self._bytes_max:
            self._wanted.set()

    def stop(self) -> None:
        """End the thread; waits for a checkpoint that is under way."""
        self._is_stopping = True
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        with supervised("checkpointer", self._on_failure):
            while True:
                self._wanted.wait()
                self._wanted.clear()
                if self._is_stopping:
                    return
                with suppress(StoreFull):
                    self._store.checkpoint()
