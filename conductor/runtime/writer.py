"""The one thread that writes to the store.

Invariants: writes reach the store in the order of their sequence numbers; a completion is told only
after the transaction that holds the write is durable; writes that wait while one is being synced
share the next transaction. Lack of space is waited out with the write in hand; any other failure is
fatal.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol

from conductor.core.effects import Write
from conductor.errors import StoreFull
from conductor.ports import Bodies, Store
from conductor.runtime.supervisor import supervised

SPACE_RETRY_SECONDS = 0.5
GROUP_BYTES_MAX = 32 * 2**20


class WriterListener(Protocol):
    """Whom the writer tells. Called from its thread."""

    def write_completed(self, sequence: int, bodies: Bodies) -> None:
        """That write and all before it are durable."""
        ...

    def space_changed(self, is_full: bool) -> None:
        """The store has no space, or has some again."""
        ...

    def write_failed(self, error: Exception) -> None:
        """The store is not to be trusted any more: the process has to stop."""
        ...


@dataclass(frozen=True, slots=True)
class _Job:
    write: Write
    bodies: Bodies

    @property
    def size(self) -> int:
        return sum(len(body) for body in self.bodies.values())


class Writer:
    """Feeds the store from a queue, in its own thread."""

    def __init__(
        self, store: Store, listener: WriterListener, *, after_write: Callable[[], None]
    ) -> None:
        self._store = store
        self._listener = listener
        self._after_write = after_write
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def submit(self, write: Write, bodies: Bodies) -> None:
        """Queue a write; never blocks."""
        self._jobs.put(_Job(write, bodies))

    def stop(self) -> None:
        """Finish what is queued, but for what there is no space for, and end the thread.

        Blocks until then: whoever closes the store under a write may crash the process.
        """
        self._stopped.set()
        self._jobs.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        with supervised("store-writer", self._listener.write_failed):
            while (job := self._jobs.get()) is not None:
                jobs, is_last = self._gather([job])
                is_last = self._apply(jobs) or is_last
                self._after_write()
                if is_last:
                    return

    def _gather(self, jobs: list[_Job]) -> tuple[list[_Job], bool]:
        """Add what waits already, up to a bound; whether the writer is to end then."""
        size = sum(job.size for job in jobs)
        while size < GROUP_BYTES_MAX:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
            if job is None:
                return jobs, True
            jobs.append(job)
            size += job.size
        return jobs, False

    def _apply(self, jobs: list[_Job]) -> bool:
        """Make the jobs durable and tell; whether the writer was asked to end meanwhile."""
        is_last = False
        was_full = False
        while True:
            bodies = {name: body for job in jobs for name, body in job.bodies.items()}
            try:
                self._store.apply([job.write for job in jobs], bodies)
                break
            except StoreFull:
                if not was_full:
                    self._listener.space_changed(True)
                was_full = True
                if self._stopped.wait(SPACE_RETRY_SECONDS):
                    return True  # Nobody was told of these writes, so nothing is lost.
                # A promise that waits behind a payload may use the store's reserve for both.
                jobs, has_ended = self._gather(jobs)
                is_last = is_last or has_ended
        if was_full:
            self._listener.space_changed(False)
        for job in jobs:
            self._listener.write_completed(job.write.sequence, job.bodies)
        return is_last
