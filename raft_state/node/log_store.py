"""The log of a node, walked entry by entry.

Law: memory does not grow with the log, and the data of an entry stay where they are: in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from raft_state.bolt import Bucket, Database
from raft_state.raft import (
    Configuration,
    DecodedEntry,
    EncodingDamaged,
    configuration_of,
    decode_entry,
    index_key,
    index_of_key,
)


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """One item of the log. Views are valid while the node is open."""

    index: int | None
    """From the key; None for a key that is not of 8 bytes."""
    key: bytes
    value: memoryview = field(repr=False)
    decoded: DecodedEntry | None
    damage: str = ""
    """Why it cannot be decoded."""

    @property
    def value_bytes(self) -> int:
        """The size of what is stored under the key."""
        return len(self.value)


class LogStore:
    """The log of a node. Everything here reads pages as needed and raises DatabaseDamaged."""

    __slots__ = ("_bucket", "database")

    def __init__(self, database: Database, bucket: Bucket | None) -> None:
        """`bucket` is None for a database without one, which is an empty log."""
        self.database = database
        self._bucket = bucket

    @property
    def first_index(self) -> int | None:
        """The lowest index, of the keys that are indices; None for an empty log."""
        return next(self._indices(reverse=False), None)

    @property
    def last_index(self) -> int | None:
        """The highest index, of the keys that are indices; None for an empty log."""
        return next(self._indices(reverse=True), None)

    @property
    def count(self) -> int:
        """How many keys there are, also those that are no indices."""
        return 0 if self._bucket is None else self._bucket.count()

    def entries(self, first: int | None = None, last: int | None = None) -> Iterator[StoredEntry]:
        """The entries in the order of their keys, from index `first` to `last`, both included.

        Gaps are passed over, and keys that are no indices come where they are sorted.
        """
        if self._bucket is None:
            return
        end = None if last is None else index_key(last)
        for key, value in self._bucket.items(start=b"" if first is None else index_key(first)):
            if end is not None and key > end:
                return
            yield _stored(key, value)

    def entry(self, index: int) -> StoredEntry | None:
        """The entry under the key of this index, if there is one."""
        value = None if self._bucket is None else self._bucket.get(index_key(index))
        return None if value is None else _stored(index_key(index), value)

    def latest_configuration(self, *, after: int = 0) -> tuple[int, int, Configuration] | None:
        """Index, term and members of the newest configuration behind the index `after`.

        It counts for Raft from the moment it is in the log, committed or not. Walks back from the
        end; entries that cannot be decoded are passed over (Raft would stop at them).
        """
        if self._bucket is None:
            return None
        for key, value in self._bucket.items(reverse=True):
            index = index_of_key(key)
            if index is None:
                continue
            if index <= after:
                break
            try:
                entry = decode_entry(value).entry
                configuration = configuration_of(entry)
            except EncodingDamaged:
                continue
            if configuration is not None:
                return index, entry.term, configuration
        return None

    def _indices(self, *, reverse: bool) -> Iterator[int]:
        items = self._bucket.items(reverse=reverse) if self._bucket is not None else iter(())
        for key, _value in items:
            index = index_of_key(key)
            if index is not None:
                yield index


def _stored(key: bytes, value: memoryview) -> StoredEntry:
    index = index_of_key(key)
    try:
        return StoredEntry(index, key, value, decode_entry(value))
    except EncodingDamaged as error:
        return StoredEntry(index, key, value, None, str(error))
