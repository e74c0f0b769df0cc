"""What a write changes in the tables, as statements.

Invariant: after the statements the tables hold exactly the state that `transition.perform`
computed. They are all worked out, missing bodies included, before the first one is run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from conductor.core.effects import (
    AppendEntries,
    InstallWindow,
    Operation,
    Prune,
    RaiseCertified,
    RaisePromise,
    Touch,
    Truncate,
)
from conductor.core.values import Entry, EntryKind
from conductor.ports import Bodies, StoredState
from conductor.store.codec import record_checksum
from conductor.store.loading import TAIL_RECORD, state_records, tail_record
from conductor.store.rows import ENTRY_COLUMNS, INDEX_MAX, encode_entry
from conductor.store.schema import PAGE_BYTES, PUT_RECORD
from conductor.store.transition import body_of

INSERT_ENTRY = (
    f"INSERT INTO entries ({', '.join(ENTRY_COLUMNS)}) "
    f"VALUES ({', '.join('?' for _ in ENTRY_COLUMNS)})"
)
DELETE_AFTER = "DELETE FROM entries WHERE log_index > ?"
DELETE_UP_TO = "DELETE FROM entries WHERE log_index <= ?"
DELETE_ALL = "DELETE FROM entries"

Change = tuple[str, tuple[int | bytes | str | None, ...]]
"""A statement and its parameters."""


def entry_changes(operations: Iterable[Operation], bodies: Bodies) -> Iterator[Change]:
    """What the operations do to the log, in order; InvariantViolation when a body is missing."""
    for operation in operations:
        match operation:
            case AppendEntries(entries):
                yield from _inserts(entries, bodies)
            case InstallWindow(_, entries):
                yield DELETE_ALL, ()
                yield from _inserts(entries, bodies)
            case Truncate(after):
                yield DELETE_AFTER, (min(after, INDEX_MAX),)
            case Prune(base):
                yield DELETE_UP_TO, (base.position.index,)
            case RaisePromise() | RaiseCertified() | Touch():
                pass  # kept as records


def record_changes(before: StoredState, after: StoredState, transactions: int) -> Iterator[Change]:
    """The records in which the states differ, and the tail, which moves every time."""
    for name, value in state_records(after, before).items():
        yield _put(name, value)
    yield _put(TAIL_RECORD, tail_record(after, transactions))


def log_bytes(changes: Iterable[Change]) -> int:
    """About how much the changes add to the write-ahead log: whole pages, one for each and more."""
    pages = 0
    for _, parameters in changes:
        sizes = (len(value) for value in parameters if isinstance(value, bytes))
        pages += 1 + sum(sizes) // PAGE_BYTES
    return pages * PAGE_BYTES


def is_vital(operation: Operation) -> bool:
    """Whether the reserve is there for it: without promises and epoch starts nobody can lead."""
    match operation:
        case RaisePromise():
            return True
        case AppendEntries(entries):
            return any(entry.kind is EntryKind.EPOCH_START for entry in entries)
        case _:
            return False


def _inserts(entries: Iterable[Entry], bodies: Bodies) -> Iterator[Change]:
    for entry in entries:
        yield INSERT_ENTRY, encode_entry(entry, body_of(entry, bodies))


def _put(name: str, value: bytes) -> Change:
    return PUT_RECORD, (name, value, record_checksum(name, value))
