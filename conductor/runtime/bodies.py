"""The bodies of payload entries that are on their way, by hash, so that the core need not hold
them.

Invariant: a body is found here from the moment its entry is known until its write is durable; what
is older may have to be read from the store.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable

from conductor.core.effects import AppendEntries, InstallWindow, Write
from conductor.core.values import Entry, EntryKind
from conductor.errors import InvariantViolation
from conductor.ports import Bodies

CACHE_BYTES = 32 * 2**20
"""What is kept after it is durable, for members that are a little behind."""


class BodyCache:
    """Bodies by SHA-256; pinned until they are written, else dropped oldest first."""

    def __init__(self, bytes_max: int = CACHE_BYTES) -> None:
        self._bytes_max = bytes_max
        self._bodies: OrderedDict[bytes, bytes] = OrderedDict()
        self._pins: Counter[bytes] = Counter()
        self._size = 0

    def add(self, bodies: Bodies) -> None:
        """Keep these; they are dropped again when nothing pins them and room is short."""
        for body_hash, body in bodies.items():
            if body_hash not in self._bodies:
                self._bodies[body_hash] = body
                self._size += len(body)
            self._bodies.move_to_end(body_hash)

    def add_pinned(self, bodies: Bodies) -> None:
        """Keep these until `unpin`: the core may write them in a later step."""
        self.add(bodies)
        self._pins.update(bodies.keys())

    def get(self, body_hash: bytes) -> bytes | None:
        """The body, if it is still here."""
        return self._bodies.get(body_hash)

    def pin(self, write: Write) -> Bodies:
        """The bodies that a write needs, kept until `unpin`."""
        bodies = {}
        for entry in payloads_of(write):
            body = self._bodies.get(entry.body_hash)
            if body is None:
                raise InvariantViolation(f"the body of entry {entry.index} is missing")
            bodies[entry.body_hash] = body
            self._pins[entry.body_hash] += 1
        return bodies

    def unpin(self, bodies: Bodies) -> None:
        """These are durable, or not wanted any more: they may be dropped."""
        for body_hash in bodies:
            self._pins[body_hash] -= 1
            if self._pins[body_hash] <= 0:
                del self._pins[body_hash]
        self.shrink()

    def shrink(self) -> None:
        """Drop the oldest that nothing pins until the rest fits."""
        if self._size <= self._bytes_max:
            return
        for body_hash in list(self._bodies):
            if self._size <= self._bytes_max:
                break
            if body_hash not in self._pins:
                self._size -= len(self._bodies.pop(body_hash))


def payloads_of(write: Write) -> Iterable[Entry]:
    """The payload entries that a write adds."""
    for operation in write.operations:
        if isinstance(operation, AppendEntries | InstallWindow):
            yield from (entry for entry in operation.entries if entry.kind is EntryKind.PAYLOAD)
