"""The window of the replicated log that this node holds, as headers.

Invariants: entries follow the base without gaps, each chained to the one before by digest; epochs
never fall; nothing at or below the certified index is ever removed from the end. It holds what has
been handed to the disk, durable or not: whoever speaks of it to others waits for the disk first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from conductor.core.certificate import Certificate
from conductor.core.values import Base, Entry, EntryKind, Head, Index, Membership, Position
from conductor.errors import ensure


@dataclass(frozen=True, slots=True)
class Merge:
    """What taking over entries changed."""

    truncated_after: Index | None
    """Everything of ours after this index was removed; None when nothing was."""
    appended: tuple[Entry, ...]


class Log:
    """Entries by index, what is certified, and the chain of blocks that the payloads make."""

    def __init__(self, base: Base, head: Head | None = None) -> None:
        """`head`: what the genesis names, if the cluster goes on from another's block."""
        self.base = base
        self.head = head
        self.certified: Position = base.position
        self.certificate: Certificate | None = None
        self._entries: list[Entry] = []
        self._indexes_by_block: dict[bytes, list[Index]] = {}

    @classmethod
    def restored(
        cls,
        base: Base,
        entries: Sequence[Entry],
        certificate: Certificate | None,
        head: Head | None = None,
    ) -> Log:
        """The log that a disk held."""
        log = cls(base, head)
        for entry in entries:
            log.append(entry)
        if certificate is not None and certificate.index > base.position.index:
            log.raise_certified(certificate)
        elif certificate is not None:
            log.certificate = certificate
        return log

    # Positions

    @property
    def last(self) -> Position:
        """The newest position; the base when there are no entries."""
        return self._entries[-1].position if self._entries else self.base.position

    @property
    def entries(self) -> Sequence[Entry]:
        """All entries of the window, in order."""
        return self._entries

    def membership_at(self, index: Index) -> Membership:
        """The membership by which a certificate at `index` is judged."""
        ensure(index >= self.base.position.index, "the membership below the base is not known")
        return self.base.membership

    @property
    def membership(self) -> Membership:
        """The membership in force. No entry changes it: it is that of the base."""
        return self.base.membership

    def entry(self, index: Index) -> Entry | None:
        """The entry there; None outside the window."""
        offset = index - self.base.position.index - 1
        return self._entries[offset] if 0 <= offset < len(self._entries) else None

    def position_at(self, index: Index) -> Position | None:
        """The position there; None outside the window. The base itself is inside."""
        if index == self.base.position.index:
            return self.base.position
        entry = self.entry(index)
        return entry.position if entry else None

    def matches(self, position: Position) -> bool:
        """Whether this log holds exactly that position, and so everything before it."""
        held = self.position_at(position.index)
        return held is not None and held.digest == position.digest

    def after(self, index: Index, *, bytes_max: int, aligned_to: int) -> tuple[Entry, ...]:
        """Entries after `index`: at least one if there is any, then as many as fit `bytes_max`.

        A batch ends at every multiple of `aligned_to`, so that members who catch up from different
        places acknowledge common positions.
        """
        taken: list[Entry] = []
        size = 0
        for entry in self._entries[index - self.base.position.index :]:
            size += entry.body_size
            if taken and size > bytes_max:
                break
            taken.append(entry)
            if entry.index % aligned_to == 0:
                break
        return tuple(taken)

    # Changes

    def append(self, entry: Entry) -> None:
        """Add one entry at the end."""
        last = self.last
        ensure(entry.index == last.index + 1, f"entry {entry.index} does not follow {last.index}")
        ensure(entry.previous_digest == last.digest, f"entry {entry.index} breaks the chain")
        ensure(entry.epoch >= last.epoch, f"epochs fall at entry {entry.index}")
        self._entries.append(entry)
        if entry.block is not None:
            self._indexes_by_block.setdefault(entry.block.block_hash, []).append(entry.index)

    def merge(self, entries: Sequence[Entry]) -> Merge:
        """Take over entries that chain from a position of ours (rule 5.4.2).

        Only an entry whose digest differs from ours at its index removes anything: a shorter, older
        or repeated message never does.
        """
        for number, entry in enumerate(entries):
            held = self.entry(entry.index)
            if held is not None and held.digest == entry.digest:
                continue
            truncated_after = None
            if held is not None:
                truncated_after = Index(entry.index - 1)
                self.truncate(truncated_after)
            appended = tuple(entries[number:])
            for new in appended:
                self.append(new)
            return Merge(truncated_after, appended)
        return Merge(None, ())

    def truncate(self, after: Index) -> None:
        """Remove every entry after `after`, which is never below what is certified (rule 5.4.5)."""
        ensure(
            after >= self.certified.index,
            f"a truncation after {after} would remove certified entry {self.certified.index}",
        )
        keep = after - self.base.position.index
        for entry in reversed(self._entries[keep:]):
            self._forget_block(entry)
        del self._entries[keep:]

    def raise_certified(self, certificate: Certificate) -> None:
        """Note that everything up to the certificate's position is certified."""
        position = certificate.position
        ensure(self.matches(position), f"a certificate for another entry {position.index}")
        ensure(position.index >= self.certified.index, "the certified index never falls")
        self.certified = position
        self.certificate = certificate

    def install(self, base: Base, entries: Sequence[Entry], certificate: Certificate) -> None:
        """Replace everything by a base and entries that reach a certified position (rule 5.7)."""
        ensure(
            certificate.index > self.certified.index,
            f"a base below certified entry {self.certified.index} would remove it",
        )
        renewed = Log.restored(base, entries, certificate)
        self.base, self.certified = renewed.base, renewed.certified
        self.certificate = renewed.certificate
        self._entries = renewed._entries
        self._indexes_by_block = renewed._indexes_by_block

    def prune(self, base: Base) -> None:
        """Drop the entries up to and including the new base."""
        drop = base.position.index - self.base.position.index
        ensure(self.matches(base.position), "a base that is not in the log")
        ensure(base.position.index <= self.certified.index, "uncertified entries are never pruned")
        for entry in self._entries[:drop]:
            self._forget_block(entry)
        del self._entries[:drop]
        self.base = base

    def _forget_block(self, entry: Entry) -> None:
        if entry.block is None:
            return
        indexes = self._indexes_by_block[entry.block.block_hash]
        indexes.remove(entry.index)
        if not indexes:
            del self._indexes_by_block[entry.block.block_hash]

    # What may be dropped or left out

    def prunable(self, *, retain_payloads: int, retain_bytes: int) -> Base | None:
        """The base after pruning to what must be retained; None when there is nothing to prune.

        Never the newest certified payload nor anything after it (rule 5.7).
        """
        payloads = 0
        size = 0
        for entry in reversed(self._entries):
            size += entry.body_size
            if payloads >= 1 and (payloads >= retain_payloads or size > retain_bytes):
                return Base(entry.position, self.membership_at(entry.index))
            is_payload = entry.kind is EntryKind.PAYLOAD
            payloads += is_payload and entry.index <= self.certified.index
        return None

    def short_window(self, bytes_max: int) -> tuple[Base, tuple[Entry, ...]]:
        """A base and the entries from it to the certified position, for one message.

        It always holds the newest certified payload, and as much before it as fits `bytes_max`.
        """
        first = min(self._newest_certified_payload_index(), self.certified.index)
        size = sum(entry.body_size for entry in self._slice(first, self.certified.index))
        while (previous := self.entry(Index(first - 1))) is not None:
            size += previous.body_size
            if size > bytes_max:
                break
            first = previous.index
        position = self.position_at(Index(first - 1))
        ensure(position is not None, "a window without a base")
        base = Base(position or self.base.position, self.membership_at(Index(first - 1)))
        return base, tuple(self._slice(Index(first), self.certified.index))

    def _slice(self, first: Index, last: Index) -> Sequence[Entry]:
        start = self.base.position.index + 1
        return self._entries[first - start : last - start + 1]

    def _newest_certified_payload_index(self) -> Index:
        entry = self.certified_payload
        return entry.index if entry else Index(self.certified.index + 1)

    # The chain of blocks

    @property
    def last_payload(self) -> Entry | None:
        """The newest payload, certified or not."""
        return next(self._payloads_back_from(self.last.index), None)

    @property
    def certified_payload(self) -> Entry | None:
        """The newest certified payload."""
        return next(self._payloads_back_from(self.certified.index), None)

    def payloads_of_block(self, block_hash: bytes) -> tuple[Entry, ...]:
        """Every payload of that block in the window, oldest first."""
        indexes = self._indexes_by_block.get(block_hash, [])
        return tuple(entry for index in indexes if (entry := self.entry(index)) is not None)

    def ancestry(self, newest: Entry) -> Iterator[Entry]:
        """`newest` and its ancestors in the window, by parent hash, newest first."""
        entry: Entry | None = newest
        while entry is not None and entry.block is not None:
            yield entry
            below = entry.index
            parents = self.payloads_of_block(entry.block.parent_hash)
            entry = next((parent for parent in reversed(parents) if parent.index < below), None)

    def _payloads_back_from(self, index: Index) -> Iterator[Entry]:
        for offset in range(index - self.base.position.index - 1, -1, -1):
            entry = self._entries[offset]
            if entry.kind is EntryKind.PAYLOAD:
                yield entry
