"""Finds entries in a log and reads those that are shown.

Invariant: an entry that is not shown costs no more than a look at the last bytes of its value, and
only where its type matters. That is what keeps a log of many gigabytes answering at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from raft_state.bolt import Bucket
from raft_state.info.report import EntryRow, EntryTable, Member
from raft_state.info.values import member_of, payload_of
from raft_state.raft import (
    EncodingDamaged,
    EntryType,
    LogEntry,
    configuration_of,
    decode_command,
    decode_entry,
    index_key,
    index_of_key,
)

LIMIT_DEFAULT = 20

CONFIGURATION_TYPES = frozenset(
    {EntryType.CONFIGURATION, EntryType.ADD_PEER, EntryType.REMOVE_PEER}
)

_TAIL_KEY = b"\xa4Type"
_TAIL_BYTES = len(_TAIL_KEY) + 1
_MAP_HEADERS = (0x85, 0x86)

Item = tuple[bytes, memoryview]


@dataclass(frozen=True, slots=True)
class EntryQuery:
    """Which entries to show."""

    first: int | None = None
    """Lowest index."""
    last: int | None = None
    """Highest index."""
    types: frozenset[int] = frozenset()
    """Of these types alone; empty: of all."""
    limit: int = LIMIT_DEFAULT
    """At most so many, half of them from the end; 0: all."""


def find_entries(bucket: Bucket, query: EntryQuery) -> EntryTable:
    """The entries that fit, as many as may be shown. Raises DatabaseDamaged."""
    head_count = (query.limit + 1) // 2
    tail_count = query.limit // 2
    if query.first is None and query.last is None and not query.types and query.limit:
        matching = bucket.count()
        head = list(islice(bucket.items(), head_count))
        tail_count = min(tail_count, max(0, matching - head_count))
        tail = list(islice(bucket.items(reverse=True), tail_count))[::-1]
    else:
        found = _matching(bucket, query)
        head = list(islice(found, head_count or None))
        last = deque[Item](maxlen=tail_count)
        matching = len(head)
        for item in found:
            last.append(item)
            matching += 1
        tail = list(last)
    return EntryTable(matching, tuple(read_entry(*item) for item in (*head, *tail)), len(head))


def entry_type(value: memoryview) -> int | None:
    """The type of a stored entry; None when it cannot be decoded.

    Every release of Raft writes it last, so that a look at the end of the value is enough; values
    that end in another way are decoded.
    """
    tail = bytes(value[-_TAIL_BYTES:])
    if tail[:-1] == _TAIL_KEY and tail[-1] <= max(EntryType) and value[0] in _MAP_HEADERS:
        return tail[-1]
    try:
        return decode_entry(value).entry.type
    except EncodingDamaged:
        return None


def read_entry(key: bytes, value: memoryview) -> EntryRow:
    """All that is told about one entry, damaged or not."""
    index = index_of_key(key)
    notes = [] if index is not None else [f"the key {key[:32].hex()} is no index"]
    try:
        decoded = decode_entry(value)
    except EncodingDamaged as error:
        notes.append(f"cannot be decoded: {error}")
        return EntryRow(index, len(value), note="; ".join(notes))
    entry = decoded.entry
    notes += decoded.remarks
    if index is not None and entry.index != index:
        notes.append(f"says that it is entry {entry.index}")
    payload, members, note = None, None, ""
    if entry.type == EntryType.COMMAND:
        payload, note = payload_of(decode_command(entry.data))
    elif entry.type in CONFIGURATION_TYPES:
        members, note = _members(entry)
    if note:
        notes.append(note)
    appended_at = entry.appended_at
    return EntryRow(
        index=index,
        value_bytes=len(value),
        term=entry.term,
        type=entry.type_name,
        data_bytes=None if entry.data is None else len(entry.data),
        appended_at=None if appended_at is None or appended_at.is_zero else appended_at.isoformat(),
        payload=payload,
        members=members,
        note="; ".join(notes),
    )


def _members(entry: LogEntry) -> tuple[tuple[Member, ...] | None, str]:
    try:
        configuration = configuration_of(entry)
    except EncodingDamaged as error:
        return None, f"its members cannot be read: {error}"
    if configuration is None:
        return None, ""
    return tuple(map(member_of, configuration.servers)), ""


def _matching(bucket: Bucket, query: EntryQuery) -> Iterator[Item]:
    start = b"" if query.first is None else index_key(query.first)
    for key, value in bucket.items(start=start):
        index = index_of_key(key)
        if query.last is not None and index is not None and index > query.last:
            return
        if not query.types or entry_type(value) in query.types:
            yield key, value
