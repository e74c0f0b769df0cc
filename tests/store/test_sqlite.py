"""The store on disk: the suite, and what only a disk has."""

from __future__ import annotations

import itertools
import random
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor.core.effects import AppendEntries, Prune, Touch
from conductor.core.values import Index
from conductor.errors import InvariantViolation, StoreDamaged, StoreError
from conductor.store import SqliteStore, sqlite
from conductor.store.schema import PAGE_BYTES
from tests.conformance.store import Disk, StoreConformance
from tests.store.builders import Chain, apply, base_at, certify, form, promise
from tests.store.disk import DirectoryDisk


@pytest.fixture
def disk(quick_path: Path) -> Iterator[DirectoryDisk]:
    """A directory without a store."""
    disk = DirectoryDisk(quick_path / "data")
    yield disk
    disk.stop()


@pytest.fixture
def store(disk: DirectoryDisk) -> SqliteStore:
    """A store with a genesis and a promise of epoch 1."""
    store = disk.boot()
    form(store)
    return store


class TestSqliteStore(StoreConformance):
    """The whole suite."""

    @pytest.fixture
    def disk(self, quick_path: Path) -> Iterator[Disk]:
        """A directory without a store."""
        disk = DirectoryDisk(quick_path / "data")
        yield disk
        disk.stop()


def log_size(disk: DirectoryDisk) -> int:
    """Bytes in the file of SQLite's write-ahead log."""
    return (disk.path / "store.db-wal").stat().st_size


def test_store_takes_nothing_before_it_is_loaded(disk: DirectoryDisk) -> None:
    with pytest.raises(InvariantViolation, match="loaded"):
        apply(disk.boot(), promise(1))


def test_closed_store_answers_with_a_store_error(store: SqliteStore) -> None:
    store.close()
    store.close()

    with pytest.raises(StoreError, match="closed"):
        apply(store, promise(2))
    with pytest.raises(StoreError, match="closed"):
        store.read_body(Index(1))
    with pytest.raises(StoreError, match="closed"):
        store.load()


def test_bodies_are_read_beside_writes(store: SqliteStore) -> None:
    chain = Chain()
    entries = chain.payloads(40)
    apply(store, AppendEntries(entries[:10]), bodies=chain.bodies)
    failures: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(20):
                for entry in entries[:10]:
                    assert store.read_body(entry.index) == chain.bodies[entry.body_hash]
        except (StoreError, AssertionError) as failure:
            failures.append(failure)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for entry in entries[10:]:
        apply(store, AppendEntries((entry,)), bodies=chain.bodies)
        store.checkpoint()
    for reader in readers:
        reader.join()

    assert not failures
    assert store.load().entries == entries


def test_checkpoint_lets_the_log_begin_again(disk: DirectoryDisk, store: SqliteStore) -> None:
    chain = Chain()
    sizes: list[int] = []
    for _ in range(6):
        entry = chain.payload(random.Random(len(sizes)).randbytes(300_000))
        apply(store, AppendEntries((entry,)), bodies=chain.bodies)
        assert store.wal_bytes() >= entry.body_size
        store.checkpoint()
        assert store.wal_bytes() == 0
        sizes.append(log_size(disk))

    assert len(set(sizes[1:])) == 1
    assert disk.boot().load().entries[-1].position == chain.last


def test_log_that_is_too_long_begins_again_though_writes_go_on(
    disk: DirectoryDisk, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log begins again only when all of it was moved, and a busy node always has a write left."""
    epochs = itertools.count(2)
    reader = sqlite3.connect(disk.path / "store.db", isolation_level=None)
    move_log = store._move_log

    def move_log_beside_a_write() -> int:
        if store._write_lock.locked():
            return move_log()
        reader.execute("BEGIN")
        reader.execute("SELECT name FROM records").fetchall()  # what comes now is not moved
        apply(store, promise(next(epochs)))
        size = move_log()
        reader.execute("COMMIT")
        return size

    monkeypatch.setattr(sqlite, "LOG_BYTES_MAX", 20 * PAGE_BYTES)
    monkeypatch.setattr(store, "_move_log", move_log_beside_a_write)
    for _ in range(100):
        store.checkpoint()
    reader.close()

    assert log_size(disk) < 30 * PAGE_BYTES


def test_pruned_pages_are_used_again(disk: DirectoryDisk, store: SqliteStore) -> None:
    chain = Chain()
    sizes: list[int] = []
    for number in range(40):
        entry = chain.payload(random.Random(number).randbytes(100_000))
        apply(store, AppendEntries((entry,)), certify(entry), bodies=chain.bodies)
        entries = store.load().entries
        if len(entries) > 4:
            apply(store, Prune(base_at(entries[0].position)))
        store.checkpoint()
        sizes.append((disk.path / "store.db").stat().st_size)

    assert sizes[-1] == sizes[8]


def test_failed_write_ends_the_store(disk: DirectoryDisk, store: SqliteStore) -> None:
    """After a commit that failed nobody knows what is on disk: nothing may build on it."""
    other = sqlite3.connect(disk.path / "store.db")
    other.execute("DROP TABLE entries")
    other.commit()
    other.close()
    chain = Chain()

    with pytest.raises(StoreDamaged, match="no such table"):
        apply(store, AppendEntries(chain.payloads(1)), bodies=chain.bodies)

    other = sqlite3.connect(disk.path / "store.db", timeout=0)
    other.execute("CREATE TABLE free (number INTEGER)")  # nothing is left locked
    other.close()
    with pytest.raises(StoreError, match=r"takes nothing more.*no such table"):
        apply(store, promise(2))
    with pytest.raises(StoreError, match="takes nothing more"):
        store.checkpoint()


def test_body_that_was_changed_is_not_given_out(disk: DirectoryDisk, store: SqliteStore) -> None:
    chain = Chain()
    entry = chain.payload(b"what was agreed on")
    apply(store, AppendEntries((entry,)), bodies=chain.bodies)
    other = sqlite3.connect(disk.path / "store.db")
    other.execute("UPDATE entries SET body = x'00'")
    other.commit()
    other.close()

    with pytest.raises(StoreDamaged, match="body of entry 1"):
        store.read_body(Index(1))


def test_load_reads_the_disk_every_time(disk: DirectoryDisk, store: SqliteStore) -> None:
    store.load()
    other = sqlite3.connect(disk.path / "store.db")
    other.execute("DELETE FROM records WHERE name = 'promise'")
    other.commit()
    other.close()

    with pytest.raises(StoreDamaged, match="promise"):
        store.load()


def test_touch_writes_to_the_disk(disk: DirectoryDisk, store: SqliteStore) -> None:
    size = log_size(disk)

    apply(store, Touch())

    assert log_size(disk) > size
