"""The tables, and the steps that brought them here.

Invariants: a store that was ever released can be opened; a step happens whole or not at all. The
table `records` keeps its shape for ever, so that any version can tell a newer store from a damaged
one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from conductor.errors import StoreMismatch
from conductor.store.codec import decode_number, encode_number, record_checksum
from conductor.store.error_map import damaged

APPLICATION_ID = 0x6F70636F
"""`opco`: what the header of the file says that it is."""

PAGE_BYTES = 32768
"""Large, because bodies are: 2 MB are 64 pages to write instead of 512."""

Step = tuple[str, ...]
"""The statements that lead from one schema version to the next."""

STEPS: tuple[Step, ...] = (
    (
        """
        CREATE TABLE records (
            name TEXT PRIMARY KEY,
            value BLOB NOT NULL,
            checksum BLOB NOT NULL
        ) WITHOUT ROWID
        """,
        # The body comes last: what stands before it is read without it.
        """
        CREATE TABLE entries (
            log_index INTEGER PRIMARY KEY,
            epoch INTEGER NOT NULL,
            kind INTEGER NOT NULL,
            previous_digest BLOB NOT NULL,
            digest BLOB NOT NULL,
            body_hash BLOB NOT NULL,
            body_size INTEGER NOT NULL,
            height INTEGER,
            block_hash BLOB,
            parent_hash BLOB,
            checksum BLOB NOT NULL,
            body BLOB NOT NULL
        )
        """,
    ),
)
"""Step n leads from version n to version n + 1; an empty file has version 0."""

VERSION_RECORD = "schema"
PUT_RECORD = "INSERT OR REPLACE INTO records (name, value, checksum) VALUES (?, ?, ?)"


def put_record(connection: sqlite3.Connection, name: str, value: bytes) -> None:
    """Store one record in the open transaction."""
    connection.execute(PUT_RECORD, (name, value, record_checksum(name, value)))


def read_record(connection: sqlite3.Connection, name: str) -> bytes:
    """One record; StoreDamaged when it is not there as it was written."""
    rows = connection.execute("SELECT value, checksum FROM records WHERE name = ?", (name,))
    value, checksum = rows.fetchone() or (None, None)
    if not isinstance(value, bytes) or record_checksum(name, value) != checksum:
        raise damaged(f"the record of its {name} is not what was written")
    return value


def read_record_if_any(connection: sqlite3.Connection, name: str) -> bytes | None:
    """A record that not every store has; StoreDamaged when it is not what was written."""
    rows = connection.execute("SELECT count(*) FROM records WHERE name = ?", (name,))
    return read_record(connection, name) if rows.fetchone() != (0,) else None


def read_version(connection: sqlite3.Connection) -> int:
    """The schema version of a store, which stands in two places; StoreDamaged when they differ."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if decode_number(read_record(connection, VERSION_RECORD)) != version:
        raise damaged(f"its header says schema version {version}, its records say another")
    return version


def migrate(connection: sqlite3.Connection, version: int, steps: Sequence[Step] = STEPS) -> None:
    """Bring the tables from `version` to the newest, a transaction for each step.

    StoreMismatch when the store is newer than this program.
    """
    if version > len(steps):
        raise StoreMismatch(
            f"the store has schema version {version}, this program knows {len(steps)}: "
            "a newer op-conductor wrote it, run that one"
        )
    for number, step in enumerate(steps[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        for statement in step:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
        put_record(connection, VERSION_RECORD, encode_number(number))
        connection.execute("COMMIT")
