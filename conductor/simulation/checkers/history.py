"""Every entry that was ever written anywhere: a tree, of which each log is one path.

Promise: an epoch has one writer, so one entry for each index; logs that share an entry are equal
up to it, because an entry names the one before by its digest.
"""

from __future__ import annotations

from collections.abc import Iterator

from conductor.core.effects import AppendEntries, InstallWindow, Operation
from conductor.core.values import Digest, Entry, Epoch, Index
from conductor.simulation.checkers.checker import Checker, fail
from conductor.simulation.node import SimulatedNode


class History(Checker):
    """Learns of entries where they are queued for a disk; other checkers look them up here."""

    def __init__(self) -> None:
        self._entries: dict[Digest, Entry] = {}
        self._by_place: dict[tuple[Epoch, Index], Digest] = {}

    def on_operation(self, node: SimulatedNode, operation: Operation) -> None:
        """Note new entries."""
        if isinstance(operation, AppendEntries | InstallWindow):
            for entry in operation.entries:
                if entry.digest not in self._entries:
                    self._add(entry)

    def _add(self, entry: Entry) -> None:
        self._entries[entry.digest] = entry
        place = (entry.epoch, entry.index)
        if self._by_place.setdefault(place, entry.digest) != entry.digest:
            fail("log agreement", f"epoch {entry.epoch} wrote two entries at {entry.index}")
        previous = self._entries.get(entry.previous_digest)
        if previous is not None and previous.epoch > entry.epoch:
            fail("log agreement", f"epochs fall at {entry.index}")

    def back_from(self, digest: Digest) -> Iterator[Entry]:
        """The entry of that digest and all before it, newest first."""
        entry = self._entries.get(digest)
        while entry is not None:
            yield entry
            entry = self._entries.get(entry.previous_digest)
