"""Makes a store, or opens one after looking at all of it that SQLite can judge.

Invariants: a database gets its name only when it is complete, so one that has its name may hold a
promise and is never made anew. What an earlier process left in the write-ahead log is moved into
the database before anything is loaded: it may never have been synced, and must not be told to
anyone before it is durable. (A full disk puts that off.)
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
import uuid
from contextlib import ExitStack, suppress
from pathlib import Path

from conductor.core.founding import Founding
from conductor.core.values import Incarnation, MemberKey, ServerId
from conductor.errors import NotFound, StoreError, StoreFull, StoreMismatch
from conductor.ports import StoredState
from conductor.store.codec import decode_member_key, decode_tail, encode_member_key
from conductor.store.directory import (
    DataDirectory,
    has_store,
    lock_directory,
    sync_directory,
)
from conductor.store.error_map import damaged, mapped_errors
from conductor.store.loading import (
    HEAD_RECORD,
    IDENTITY_RECORD,
    TAIL_RECORD,
    state_records,
    tail_record,
)
from conductor.store.mark import Mark
from conductor.store.memory import empty_state
from conductor.store.reserve import RESERVE_BYTES, Reserve
from conductor.store.schema import (
    APPLICATION_ID,
    PAGE_BYTES,
    migrate,
    put_record,
    read_record,
    read_version,
)
from conductor.store.sqlite import SqliteStore

BUSY_SECONDS = 5.0

SETTINGS = (
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",  # where fsync alone does not reach the disk (macOS)
    "PRAGMA checkpoint_fullfsync = ON",
    "PRAGMA wal_autocheckpoint = 0",  # SqliteStore.checkpoint, off the commit path
    "PRAGMA cache_spill = OFF",  # a transaction goes to the log at once, when it commits
    "PRAGMA secure_delete = OFF",  # some builds overwrite what is pruned: twice the writing
    "PRAGMA mmap_size = 0",  # an I/O error has to be an error, not a signal
    "PRAGMA cell_size_check = ON",
    "PRAGMA trusted_schema = OFF",
)


def open_store(
    directory: Path, server_id: str, founding: Founding | None = None, head: bytes = b""
) -> SqliteStore:
    """The store of that server in that directory; made, of a new incarnation, if none is there.

    `founding`, and the payload `head` that it names: what a store that is made now begins with; one
    that is there already ignores them.
    StoreLocked: another process has it. StoreMismatch: it is another server's, or of a newer
    version. StoreDamaged: it contradicts itself. StoreFull: no space to open it. Any other
    StoreError: the directory cannot be used.
    """
    with ExitStack() as cleanup, mapped_errors(f"cannot open the store in {directory}"):
        data = lock_directory(directory)
        cleanup.callback(data.close)
        if not data.database.exists():
            _refuse_remains(data)
            key = MemberKey(ServerId(server_id), Incarnation(uuid.uuid4().hex))
            _create(data, empty_state(key, founding), head)
        return _open(data, server_id, cleanup)


def open_existing_store(directory: Path) -> SqliteStore:
    """The store in that directory, whichever server's it is. NotFound: there is none.

    Errors otherwise as of `open_store`.
    """
    if not has_store(directory):
        raise NotFound(f"{directory} holds no store: name the --data-dir of a conductor")
    with ExitStack() as cleanup, mapped_errors(f"cannot open the store in {directory}"):
        data = lock_directory(directory)
        cleanup.callback(data.close)
        return _open(data, None, cleanup)


def _open(data: DataDirectory, server_id: str | None, cleanup: ExitStack) -> SqliteStore:
    """The store of a locked directory; takes over what `cleanup` would undo."""
    _check_header(data.database)
    reserve = Reserve(data.reserve)
    if shutil.disk_usage(data.path).free < RESERVE_BYTES:
        reserve.release()  # SQLite needs a little room to open
    mark = Mark(data.mark)
    cleanup.callback(mark.close)
    writer, reader, checkpointer = (_connect(data.database, cleanup) for _ in range(3))
    reader.execute("PRAGMA query_only = ON")
    _check_database(writer, server_id, mark)
    with suppress(StoreFull):  # it starts nevertheless: it can promise, and read
        _empty_log(checkpointer)
        reserve.hold()
    store = SqliteStore(data, writer, reader, checkpointer, mark, reserve)
    cleanup.pop_all()
    return store


def _refuse_remains(data: DataDirectory) -> None:
    """A directory that has held a store never gets a new one by itself."""
    for remains in (data.log, data.mark):
        if remains.exists():
            raise damaged(f"{data.database} is gone, but {remains.name} of it is there")


def _create(data: DataDirectory, state: StoredState, head: bytes) -> None:
    path = data.unfinished_database
    for leftover in data.path.glob(f"{path.name}*"):
        leftover.unlink()
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA journal_mode = WAL")
        migrate(connection, 0)
        connection.execute("BEGIN IMMEDIATE")
        key = MemberKey(state.server_id, state.incarnation)
        put_record(connection, IDENTITY_RECORD, encode_member_key(key))
        for name, value in state_records(state).items():
            put_record(connection, name, value)
        if head:
            put_record(connection, HEAD_RECORD, head)
        put_record(connection, TAIL_RECORD, tail_record(state, 0))
        connection.execute("COMMIT")
    finally:
        connection.close()  # moves its log into the file
    with path.open("rb") as file:
        os.fsync(file.fileno())
    path.rename(data.database)
    sync_directory(data.path)


def _check_header(path: Path) -> None:
    """What SQLite would take for another kind of file, or another mode, is damage here.

    Format: https://www.sqlite.org/fileformat2.html#the_database_header. Only while no connection
    is open: closing a file drops the locks that this process has on it.
    """
    with path.open("rb") as file:
        header = file.read(100)
    write_ahead = 2
    fields = (b"SQLite format 3\x00", PAGE_BYTES, write_ahead, write_ahead, APPLICATION_ID)
    if len(header) < 100 or struct.unpack(">16sHBB48xI28x", header) != fields:
        raise damaged(f"{path} does not begin as a store does")


def _connect(path: Path, cleanup: ExitStack) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    cleanup.callback(connection.close)
    connection.text_factory = bytes  # a damaged text is no reason to fail in another way
    for setting in SETTINGS:
        connection.execute(setting)
    return connection


def _check_database(connection: sqlite3.Connection, server_id: str | None, mark: Mark) -> None:
    """Whether it is a store of this server, whole as far as pages, and brought up to date."""
    version = read_version(connection)
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != b"ok":
        raise damaged(verdict.decode(errors="replace"))
    owner = decode_member_key(read_record(connection, IDENTITY_RECORD)).server_id
    if server_id is not None and owner != server_id:
        raise StoreMismatch(
            f"the store belongs to server {owner!r}, not to {server_id!r}: start with --server-id "
            f"{owner}, or give {server_id} another --data-dir"
        )
    migrate(connection, version)
    held = decode_tail(read_record(connection, TAIL_RECORD)).transactions
    if held < mark.read():
        raise damaged(
            f"{mark.read()} transactions were durable and {held} are left: its log was cut or "
            "damaged, or the disk loses what it has synced"
        )


def _empty_log(connection: sqlite3.Connection) -> None:
    with mapped_errors("cannot move the log of the store into it"):
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise StoreError("the log of the store cannot be moved into it: something else reads it")
