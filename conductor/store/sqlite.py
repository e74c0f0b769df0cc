"""The store on disk: SQLite with a write-ahead log that is synced at every commit.

Invariants: one call of `apply` is one transaction and one sync, and returns after it. What it is
given is judged before anything is written. When a commit fails in any way but for lack of space,
nobody knows what is on disk: the store takes nothing more, and the process has to start again.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from conductor.core.effects import Write
from conductor.core.values import Genesis, Index
from conductor.errors import InvariantViolation, NotFound, StoreError, StoreFull
from conductor.ports import Bodies, StoredState
from conductor.store.changes import Change, entry_changes, is_vital, log_bytes, record_changes
from conductor.store.directory import DataDirectory
from conductor.store.error_map import mapped_errors
from conductor.store.loading import Loaded, load, read_head
from conductor.store.mark import Mark
from conductor.store.reserve import Reserve
from conductor.store.rows import INDEX_MAX, check_body
from conductor.store.schema import PAGE_BYTES
from conductor.store.transition import form, perform

CHECKPOINT_BYTES = 16 * 2**20
"""A log of this size is worth the syncs of a checkpoint; a smaller one is written faster."""

LOG_BYTES_MAX = 64 * 2**20
"""A log of this size has to begin again, even if writes must wait for that."""

SELECT_BODY = "SELECT body_hash, body FROM entries WHERE log_index = ?"


class SqliteStore:
    """Implements `conductor.ports.Store`. Made by `open_store`; `load` comes before anything else.

    `apply` and `set_genesis` are for one thread, everything else may be called from any.
    """

    def __init__(
        self,
        directory: DataDirectory,
        writer: sqlite3.Connection,
        reader: sqlite3.Connection,
        checkpointer: sqlite3.Connection,
        mark: Mark,
        reserve: Reserve,
    ) -> None:
        self._directory = directory
        self._writer = writer
        self._reader = reader
        self._reader_lock = threading.Lock()
        self._checkpointer = checkpointer
        self._checkpointer_lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._mark = mark
        self._reserve = reserve
        self._loaded: Loaded | None = None
        self._failure: StoreError | None = None
        self._written_bytes = directory.log.stat().st_size
        self._checkpointed_bytes = 0
        self._is_closed = False

    def load(self) -> StoredState:
        """Everything but the bodies, read from disk. StoreDamaged when it contradicts itself."""
        with self._reader_lock, mapped_errors("cannot read the store"):
            loaded = load(self._reader)
        if self._loaded is None:
            self._loaded = loaded
        return loaded.state

    def set_genesis(self, genesis: Genesis) -> None:
        """Store the genesis and its base, durably. StoreMismatch when there is another."""
        before = self._held().state
        after = form(before, genesis)
        if after is not before:
            self._make_durable(after, [], may_use_reserve=False)

    def apply(self, writes: Sequence[Write], bodies: Bodies) -> None:
        """Perform the writes in order, in one transaction, durable on return.

        StoreFull: rolled back, nothing changed; it may be tried again. Any other StoreError: what
        is on disk is not known, and the store takes nothing more. InvariantViolation: nothing was
        written, for the writes break a rule.
        """
        operations = [operation for write in writes for operation in write.operations]
        if not operations:
            return
        after = perform(self._held().state, operations)
        changes = list(entry_changes(operations, bodies))
        may_use_reserve = any(is_vital(operation) for operation in operations)
        self._make_durable(after, changes, may_use_reserve=may_use_reserve)

    def read_body(self, index: Index) -> bytes:
        """The body of the entry there, checked against its hash; NotFound when it is not held."""
        row = None
        if 0 < index <= INDEX_MAX:
            with self._reader_lock, mapped_errors(f"cannot read entry {index} of the store"):
                row = self._reader.execute(SELECT_BODY, (index,)).fetchone()
        if row is None:
            raise NotFound(f"entry {index} is not in the log of this node")
        body_hash, body = row
        return check_body(index, body_hash, body)

    def read_head(self) -> bytes:
        """The payload that came with the founding; NotFound when none did."""
        founding = self._held().state.founding
        with self._reader_lock, mapped_errors("cannot read what the store began with"):
            head = read_head(self._reader, founding)
        if head is None:
            raise NotFound("the store of this node did not begin with a payload")
        return head

    def wal_bytes(self) -> int:
        """About how much was written since the last checkpoint that moved everything."""
        return self._written_bytes - self._checkpointed_bytes

    def checkpoint(self) -> None:
        """Move what is in the log into the database, beside whatever is being written.

        Due from CHECKPOINT_BYTES on; takes as long as some syncs. StoreFull: the database cannot
        grow, nothing is lost. Any other StoreError: as for `apply`.
        """
        if self._move_log() > LOG_BYTES_MAX:
            # It begins again when a write finds it moved whole, but writes came too fast for that.
            with self._write_lock:
                self._move_log()

    def close(self) -> None:
        """Release the files. A second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        locks = (self._write_lock, self._checkpointer_lock, self._reader_lock)
        with ExitStack() as held, mapped_errors("cannot close the store"):
            for lock in locks:
                held.enter_context(lock)
            self._reader.close()
            self._checkpointer.close()
            self._writer.close()
            self._mark.close()
            self._directory.close()

    # Writing

    def _held(self) -> Loaded:
        if self._loaded is None:
            raise InvariantViolation("a store is loaded before it is written to")
        return self._loaded

    def _make_durable(
        self, after: StoredState, changes: list[Change], *, may_use_reserve: bool
    ) -> None:
        held = self._held()
        transactions = held.transactions + 1
        changes.extend(record_changes(held.state, after, transactions))
        with self._write_lock, self._usable():
            if may_use_reserve:
                self._commit_vital(changes)
            else:
                self._reserve.hold()
                self._commit(changes)
            self._loaded = Loaded(after, transactions)
            self._written_bytes += log_bytes(changes)
            self._mark.write(transactions)

    def _commit_vital(self, changes: Sequence[Change]) -> None:
        try:
            self._commit(changes)
            return
        except StoreFull:
            self._reserve.release()
        try:
            self._commit(changes)
        except StoreFull:
            self._move_log()  # lets the log begin again in the blocks that it has
            self._commit(changes)

    def _commit(self, changes: Sequence[Change]) -> None:
        with mapped_errors("cannot write to the store"):
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                for statement, parameters in changes:
                    self._writer.execute(statement, parameters)
                self._writer.execute("COMMIT")
            finally:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")

    def _move_log(self) -> int:
        """Move the log into the database as far as it goes; how many bytes of log there are."""
        with self._checkpointer_lock, self._usable(), mapped_errors("cannot checkpoint the store"):
            written_bytes = self._written_bytes
            cursor = self._checkpointer.execute("PRAGMA wal_checkpoint(PASSIVE)")
            _, frames_in_log, frames_moved = cursor.fetchone()
            if frames_in_log == frames_moved:
                self._checkpointed_bytes = written_bytes
            log_bytes: int = frames_in_log * PAGE_BYTES
            return log_bytes

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """Refuse to go on after a failure, and remember one of the block."""
        if self._failure is not None:
            raise StoreError(f"the store failed before and takes nothing more: {self._failure}")
        try:
            yield
        except StoreFull:
            raise
        except StoreError as failure:
            self._failure = failure
            raise
