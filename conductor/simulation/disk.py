"""A disk that writes in order, takes its time, and forgets in a crash what is unfinished.

Invariant: every write happens as a whole or not at all, and none before those that were queued
before it. What is loaded, and what is written, is checked as the real store checks it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random

from conductor.core.certificate import Certificate
from conductor.core.effects import (
    AppendEntries,
    InstallWindow,
    Operation,
    Prune,
    RaiseCertified,
    RaisePromise,
    Touch,
    Truncate,
    Write,
)
from conductor.core.log import Log
from conductor.core.values import Base, Entry, Epoch, Head, Index, Position, Promise
from conductor.errors import StoreDamaged, ensure
from conductor.simulation.scheduler import Scheduler


@dataclass(frozen=True, slots=True)
class DiskRates:
    """How fast a disk is."""

    latency_ms_max: int = 2
    stall: float = 0.0
    """How many syncs take up to `stall_ms_max` instead."""
    stall_ms_max: int = 0


class Disk:
    """What one node has made durable, and the writes that it still owes."""

    def __init__(
        self,
        scheduler: Scheduler,
        random: Random,
        rates: DiskRates,
        genesis: Base,
        head: Head | None = None,
    ) -> None:
        self._scheduler = scheduler
        self._random = random
        self._pending: deque[Write] = deque()
        self._powered = 0
        """Counts crashes: a sync that began before one completes nothing."""
        self._syncing = False
        self.rates = rates
        self.promise = Promise(Epoch(0), None)
        self.base = genesis
        self._head = head
        self.entries: list[Entry] = []
        self.certified: Position = genesis.position
        self.certificate: Certificate | None = None
        self.on_applied: Callable[[Operation], None] = lambda operation: None
        self.on_completed: Callable[[int], None] = lambda sequence: None

    # Writing

    def write(self, write: Write) -> None:
        """Queue a write. `on_completed` is called with its sequence number once it is durable."""
        self._pending.append(write)
        if not self._syncing:
            self._start_sync()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is owed."""
        return not self._pending

    def _start_sync(self) -> None:
        """Sync everything that is queued by now, in one go."""
        self._syncing = True
        rates, latency_ms = self.rates, 0
        if rates.stall and self._random.random() < rates.stall:
            latency_ms = int(self._random.random() * (rates.stall_ms_max + 1))
        elif rates.latency_ms_max:
            latency_ms = int(self._random.random() * (rates.latency_ms_max + 1))
        finish = partial(self._finish_sync, self._powered, len(self._pending))
        self._scheduler.after(latency_ms, finish)

    def _finish_sync(self, powered: int, count: int) -> None:
        if powered != self._powered:
            return
        for _ in range(count):
            newest = self._pending.popleft()
            self._apply(newest)
        self._syncing = False
        if self._pending:
            self._start_sync()
        self.on_completed(newest.sequence)

    def crash(self) -> None:
        """Lose power: of the writes that are owed, any first part may have been finished."""
        self._powered += 1
        self._syncing = False
        survivors = int(self._random.random() * (len(self._pending) + 1))
        for _ in range(survivors):
            self._apply(self._pending.popleft())
        self._pending.clear()

    def _apply(self, write: Write) -> None:
        for operation in write.operations:
            self._perform(operation)
            self.on_applied(operation)

    def _perform(self, operation: Operation) -> None:
        match operation:
            case AppendEntries(entries):
                for entry in entries:
                    self._append(entry)
            case RaiseCertified(position, certificate):
                self._raise_certified(position, certificate)
            case RaisePromise(promise):
                ensure(promise.epoch >= self.promise.epoch, "the disk is told a lower promise")
                self.promise = promise
            case Truncate(after):
                ensure(after >= self.certified.index, "the disk is told to cut what is certified")
                del self.entries[after - self.base.position.index :]
            case InstallWindow(base, entries):
                ensure(
                    bool(entries) and entries[-1].index > self.certified.index,
                    "the disk is told to replace what is certified",
                )
                self.base, self.entries = base, []
                for entry in entries:
                    self._append(entry)
            case Prune(base):
                ensure(base.position.index <= self.certified.index, "pruned above the certified")
                del self.entries[: base.position.index - self.base.position.index]
                self.base = base
            case Touch():
                pass

    def _append(self, entry: Entry) -> None:
        last = self.last
        follows = entry.index == last.index + 1 and entry.previous_digest == last.digest
        ensure(follows, f"the disk is told to append {entry.index} after {last.index}")
        self.entries.append(entry)

    def _raise_certified(self, position: Position, certificate: Certificate) -> None:
        ensure(self.holds(position), f"certified {position.index} is not in the durable log")
        ensure(position.index >= self.certified.index, "the disk is told a lower certified index")
        self.certified, self.certificate = position, certificate

    # Reading

    @property
    def last(self) -> Position:
        """The newest durable position."""
        return self.entries[-1].position if self.entries else self.base.position

    def entry(self, index: Index) -> Entry | None:
        """The durable entry there; None outside the window."""
        offset = index - self.base.position.index - 1
        return self.entries[offset] if 0 <= offset < len(self.entries) else None

    def holds(self, position: Position) -> bool:
        """Whether that position is durable here, or was and has been pruned."""
        if position.index <= self.base.position.index:
            is_base = position.index == self.base.position.index
            return not is_base or position.digest == self.base.position.digest
        entry = self.entry(position.index)
        return entry is not None and entry.digest == position.digest

    def load(self) -> Log:
        """The log, checked. StoreDamaged when what is stored contradicts itself (rule 5.1)."""
        if self.promise.epoch < self.last.epoch:
            raise StoreDamaged(f"an entry of epoch {self.last.epoch} above the promise")
        if not self.holds(self.certified):
            raise StoreDamaged(f"the certified index {self.certified.index} is not in the log")
        return Log.restored(self.base, self.entries, self.certificate, self._head)
