"""The one place where errors of SQLite and of the operating system become ours.

Invariant: whatever goes wrong below this package leaves it as a StoreError of the right kind. Only
StoreFull promises that nothing changed.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from conductor.errors import StoreDamaged, StoreError, StoreFull, StoreLocked

SQLITE_ERRORS: Mapping[int, type[StoreError]] = MappingProxyType(
    {
        # All SQL here is fixed and tested: if SQLite cannot run it, the schema on disk is not ours.
        sqlite3.SQLITE_ERROR: StoreDamaged,
        sqlite3.SQLITE_INTERNAL: StoreError,
        sqlite3.SQLITE_PERM: StoreError,
        sqlite3.SQLITE_ABORT: StoreError,
        sqlite3.SQLITE_BUSY: StoreLocked,
        sqlite3.SQLITE_LOCKED: StoreLocked,
        sqlite3.SQLITE_NOMEM: StoreError,
        sqlite3.SQLITE_READONLY: StoreError,
        sqlite3.SQLITE_INTERRUPT: StoreError,
        sqlite3.SQLITE_IOERR: StoreError,
        sqlite3.SQLITE_CORRUPT: StoreDamaged,
        sqlite3.SQLITE_NOTFOUND: StoreError,
        # Raised when pages are written to the log, which comes before the sync that commits them.
        sqlite3.SQLITE_FULL: StoreFull,
        sqlite3.SQLITE_CANTOPEN: StoreError,
        sqlite3.SQLITE_PROTOCOL: StoreLocked,
        sqlite3.SQLITE_EMPTY: StoreError,
        sqlite3.SQLITE_SCHEMA: StoreDamaged,
        # No body comes near SQLite's limit: only a broken length does.
        sqlite3.SQLITE_TOOBIG: StoreDamaged,
        # Writes are checked against the state in memory first: the disk holds something else.
        sqlite3.SQLITE_CONSTRAINT: StoreDamaged,
        sqlite3.SQLITE_MISMATCH: StoreDamaged,
        sqlite3.SQLITE_MISUSE: StoreError,
        sqlite3.SQLITE_NOLFS: StoreError,
        sqlite3.SQLITE_AUTH: StoreError,
        sqlite3.SQLITE_FORMAT: StoreDamaged,
        sqlite3.SQLITE_RANGE: StoreError,
        sqlite3.SQLITE_NOTADB: StoreDamaged,
    }
)
"""By primary result code, the low byte of an extended one (https://www.sqlite.org/rescode.html)."""

SYSTEM_ERRORS: Mapping[int, type[StoreError]] = MappingProxyType(
    {errno.ENOSPC: StoreFull, errno.EDQUOT: StoreFull}
)
"""By errno; any other is a StoreError."""


def damaged(problem: str) -> StoreDamaged:
    """The error for a store that contradicts itself, with the way out."""
    return StoreDamaged(
        f"the store is damaged: {problem}. Move the data directory aside (keep it) and start with "
        "--new-incarnation: the server comes back with an empty store, and counts for the quorum "
        "again once the leader has taken its new incarnation in"
    )


def from_sqlite(error: sqlite3.Error, doing: str) -> StoreError:
    """Our error for one of SQLite. `doing` says what was attempted."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # the Python module refused by itself, as after close()
        return StoreError(f"{doing}: {error}")
    kind = SQLITE_ERRORS.get(code & 0xFF, StoreError)
    text = f"{doing}: {error} ({error.sqlite_errorname})"
    return damaged(text) if kind is StoreDamaged else kind(text)


def from_system(error: OSError, doing: str) -> StoreError:
    """Our error for one of the operating system."""
    kind = SYSTEM_ERRORS.get(error.errno or 0, StoreError)
    return kind(f"{doing}: {error}")


@contextmanager
def mapped_errors(doing: str) -> Iterator[None]:
    """Turn foreign errors of the block into ours; `doing` begins their text."""
    try:
        yield
    except sqlite3.Error as error:
        raise from_sqlite(error, doing) from error
    except UnicodeDecodeError as error:  # SQLite quotes the bytes that it cannot make sense of
        raise damaged(f"{doing}: SQLite's complaint is no text: {error.object!r}") from error
    except OSError as error:
        raise from_system(error, doing) from error
