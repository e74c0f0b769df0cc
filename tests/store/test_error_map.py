"""Every error of SQLite and of the system has its place in our tree."""

from __future__ import annotations

import errno
import sqlite3

import pytest

from conductor.errors import StoreDamaged, StoreError, StoreFull, StoreLocked
from conductor.store.error_map import SQLITE_ERRORS, mapped_errors


def sqlite_error(name: str) -> sqlite3.Error:
    """An error as the module raises it."""
    error = sqlite3.DatabaseError("as SQLite puts it")
    error.sqlite_errorname = name
    error.sqlite_errorcode = getattr(sqlite3, name)
    return error


def test_every_result_code_of_sqlite_is_decided_on() -> None:
    """Codes 1 to 26 are errors; 27 and 28 are for its log, 100 and up are results."""
    assert sorted(SQLITE_ERRORS) == list(range(1, 27))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SQLITE_FULL", StoreFull),
        ("SQLITE_BUSY", StoreLocked),
        ("SQLITE_BUSY_SNAPSHOT", StoreLocked),
        ("SQLITE_CORRUPT", StoreDamaged),
        ("SQLITE_CORRUPT_INDEX", StoreDamaged),
        ("SQLITE_NOTADB", StoreDamaged),
        ("SQLITE_ERROR", StoreDamaged),
        ("SQLITE_CONSTRAINT_PRIMARYKEY", StoreDamaged),
        ("SQLITE_IOERR", StoreError),
        ("SQLITE_IOERR_FSYNC", StoreError),
        ("SQLITE_IOERR_SHMSIZE", StoreError),
        ("SQLITE_READONLY_DBMOVED", StoreError),
        ("SQLITE_CANTOPEN", StoreError),
        ("SQLITE_NOMEM", StoreError),
    ],
)
def test_error_of_sqlite_becomes_ours(name: str, kind: type[StoreError]) -> None:
    with (
        pytest.raises(StoreError, match="cannot do it: as SQLite puts it") as found,
        mapped_errors("cannot do it"),
    ):
        raise sqlite_error(name)

    assert type(found.value) is kind
    assert name in str(found.value)


def test_error_of_the_module_itself_is_a_store_error() -> None:
    with (
        pytest.raises(StoreError, match="cannot do it: closed") as found,
        mapped_errors("cannot do it"),
    ):
        raise sqlite3.ProgrammingError("closed")

    assert type(found.value) is StoreError


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EIO, StoreError),
        (errno.EACCES, StoreError),
        (errno.EROFS, StoreError),
    ],
)
def test_error_of_the_system_becomes_ours(number: int, kind: type[StoreError]) -> None:
    with pytest.raises(StoreError, match="cannot do it") as found, mapped_errors("cannot do it"):
        raise OSError(number, "as the system puts it", "file")

    assert type(found.value) is kind


def test_our_own_errors_pass() -> None:
    with pytest.raises(StoreLocked, match=r"^ours$"), mapped_errors("cannot do it"):
        raise StoreLocked("ours")
