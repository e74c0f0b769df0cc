"""The log as rows: one entry with its body is one row of the table `entries`.

Invariant: a row that is read is what was written, column by column: the digest covers the header,
the checksum covers what the digest does not, and the body has the hash and the size that the header
names.
"""

from __future__ import annotations

from collections.abc import Sequence

from conductor.core.encoding import sha256, sized, u64
from conductor.core.values import (
    BlockReference,
    Digest,
    Entry,
    EntryKind,
    Epoch,
    Height,
    Index,
)
from conductor.store.codec import entry_kind
from conductor.store.error_map import damaged

ROW_TAG = b"op-conductor/store-row/v1"

INDEX_MAX = 2**63 - 1
"""SQLite's integers are signed, and an index is a key that has to sort right."""

Row = tuple[int | bytes | None, ...]
"""A row of the table, in the order of ENTRY_COLUMNS."""

ENTRY_COLUMNS = (
    "log_index",
    "epoch",
    "kind",
    "previous_digest",
    "digest",
    "body_hash",
    "body_size",
    "height",
    "block_hash",
    "parent_hash",
    "checksum",
    "body",
)


def encode_entry(entry: Entry, body: bytes) -> Row:
    """The row of an entry, in the order of ENTRY_COLUMNS."""
    block = entry.block
    return (
        entry.index,
        _signed(entry.epoch),
        int(entry.kind),
        entry.previous_digest,
        entry.digest,
        entry.body_hash,
        entry.body_size,
        None if block is None else _signed(block.height),
        None if block is None else block.block_hash,
        None if block is None else block.parent_hash,
        _entry_checksum(entry),
        body,
    )


def decode_entry(row: Sequence[object]) -> Entry:
    """The entry of a row of ENTRY_COLUMNS, its body checked; StoreDamaged when it is none."""
    match row:
        case (
            int(index),
            int(epoch),
            int(kind),
            bytes(previous_digest),
            bytes(digest),
            bytes(body_hash),
            int(body_size),
            int() | None as height,
            bytes() | None as block_hash,
            bytes() | None as parent_hash,
            bytes(checksum),
            bytes(body),
        ):
            pass
        case _:
            raise damaged(f"a row of the log has columns of other types: entry {row[0]!r}")
    check_body(index, body_hash, body)
    block = None
    if height is not None and block_hash is not None and parent_hash is not None:
        block = BlockReference(Height(_unsigned(height)), block_hash, parent_hash)
    entry = Entry(
        index=Index(_unsigned(index)),
        epoch=Epoch(_unsigned(epoch)),
        kind=entry_kind(kind),
        previous_digest=Digest(previous_digest),
        body_hash=body_hash,
        body_size=body_size,
        block=block,
        control=b"" if kind == EntryKind.PAYLOAD else body,
    )
    if entry.digest != digest or _entry_checksum(entry) != checksum or body_size != len(body):
        raise damaged(f"the header of entry {index} is not what was written")
    return entry


def check_body(index: int, body_hash: object, body: object) -> bytes:
    """The body, if it has that hash; StoreDamaged if not."""
    if not isinstance(body, bytes) or sha256(body) != body_hash:
        raise damaged(f"the body of entry {index} is not what was written")
    return body


def _entry_checksum(entry: Entry) -> bytes:
    """Covers what the digest does not: the size of the body and the block."""
    parts = [ROW_TAG, sized(entry.digest), u64(entry.body_size)]
    if entry.block is not None:
        parts.append(u64(entry.block.height))
        parts.append(sized(entry.block.block_hash))
        parts.append(sized(entry.block.parent_hash))
    return sha256(b"".join(parts))


def _signed(number: int) -> int:
    """An unsigned number of 64 bits as SQLite holds it; below 2^63 that is the number itself."""
    return number - 2**64 if number >= 2**63 else number


def _unsigned(number: int) -> int:
    return number % 2**64
