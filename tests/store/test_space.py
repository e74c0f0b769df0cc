"""A full disk: what does not fit changes nothing, promises fit, and all goes on with new space."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor.core.effects import AppendEntries, Touch
from conductor.errors import StoreError, StoreFull
from conductor.store import SqliteStore
from conductor.store.mark import Mark
from conductor.store.reserve import RESERVE_BYTES, Reserve
from tests.store.builders import GENESIS, Chain, apply, bodies_of, expected_bodies, form, promise
from tests.store.disk import DirectoryDisk

DISK_BYTES = 8 * 2**20


@pytest.fixture
def small_path(tmp_path: Path) -> Iterator[Path]:
    """The root of a file system of DISK_BYTES; the test is skipped where none can be mounted."""
    mount: list[str | Path] = [
        "mount",
        "-t",
        "tmpfs",
        "-o",
        f"size={DISK_BYTES}",
        "tmpfs",
        tmp_path,
    ]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], check=True)


@pytest.fixture
def disk(small_path: Path) -> Iterator[DirectoryDisk]:
    """A directory without a store on the small file system."""
    disk = DirectoryDisk(small_path / "data")
    yield disk
    disk.stop()


@pytest.fixture
def store(disk: DirectoryDisk) -> SqliteStore:
    """A store with a genesis and a promise of epoch 1."""
    store = disk.boot()
    form(store)
    return store


def fill(path: Path) -> Path:
    """Take all the space that is left."""
    filler = path / "filler"
    file = os.open(filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for size in (65536, 4096, 1):
        try:
            while True:
                os.write(file, bytes(size))
        except OSError:
            pass
    os.close(file)
    return filler


def fill_with_payloads(store: SqliteStore, chain: Chain) -> None:
    """Append until an append is refused; the chain then ends where the log does."""
    source = random.Random(1)
    while True:
        end = chain.last
        entry = chain.payload(source.randbytes(700_000))
        try:
            apply(store, AppendEntries((entry,)), bodies=chain.bodies)
        except StoreFull:
            chain.last = end
            return


def test_append_that_does_not_fit_changes_nothing(disk: DirectoryDisk, store: SqliteStore) -> None:
    chain = Chain()

    fill_with_payloads(store, chain)

    state = store.load()
    assert 2 <= len(state.entries) < DISK_BYTES // 700_000
    assert state.entries[-1].position == chain.last
    store = disk.boot()
    assert store.load() == state
    assert bodies_of(store, state) == expected_bodies(state.entries, chain)


def test_full_disk_still_takes_promises_and_epoch_starts(
    disk: DirectoryDisk, store: SqliteStore
) -> None:
    chain = Chain()
    fill_with_payloads(store, chain)
    fill(disk.path)

    for epoch in range(2, 20):
        apply(store, promise(epoch, "b"))
    apply(store, AppendEntries((chain.epoch_start(epoch=19),)))

    state = store.load()
    assert state.promise.epoch == 19
    assert state.entries[-1].position == chain.last
    store = disk.boot()
    assert store.load() == state
    assert bodies_of(store, state) == expected_bodies(state.entries, chain)


def test_full_disk_takes_promises_for_ever_once_the_log_was_moved(
    disk: DirectoryDisk, store: SqliteStore
) -> None:
    chain = Chain()
    apply(store, AppendEntries((chain.payload(bytes(500_000)),)), bodies=chain.bodies)
    store.checkpoint()
    fill(disk.path)

    for epoch in range(2, 300):
        apply(store, promise(epoch, "b"))

    assert disk.boot().load().promise.epoch == 299


def test_ordinary_writes_wait_for_the_reserve_to_be_back(
    disk: DirectoryDisk, store: SqliteStore
) -> None:
    filler = fill(disk.path)
    for epoch in range(2, 20):
        apply(store, promise(epoch))
    for _ in range(2):
        with pytest.raises(StoreFull, match="no space"):
            apply(store, Touch())
    chain = Chain()
    apply(store, AppendEntries((chain.epoch_start(epoch=19),)))

    filler.unlink()
    apply(store, Touch())

    assert (disk.path / "reserve").stat().st_size == RESERVE_BYTES
    apply(store, AppendEntries(chain.payloads(3, epoch=19)), bodies=chain.bodies)
    assert disk.boot().load().entries[-1].position == chain.last


def test_store_on_a_full_disk_opens_and_promises(disk: DirectoryDisk, store: SqliteStore) -> None:
    before = store.load()
    disk.stop()
    filler = fill(disk.path)

    store = disk.boot()
    assert store.load() == before
    apply(store, promise(7))
    with pytest.raises(StoreFull):
        apply(store, Touch())
    filler.unlink()
    apply(store, Touch())

    assert disk.boot().load().promise.epoch == 7


def test_checkpoint_on_a_full_disk_loses_nothing(disk: DirectoryDisk, store: SqliteStore) -> None:
    chain = Chain()
    apply(store, AppendEntries((chain.payload(bytes(500_000)),)), bodies=chain.bodies)
    filler = fill(disk.path)

    with pytest.raises(StoreFull):
        store.checkpoint()

    assert store.load().entries[-1].position == chain.last
    filler.unlink()
    store.checkpoint()
    assert store.wal_bytes() == 0
    assert disk.boot().load().entries[-1].position == chain.last


def test_new_store_on_a_full_disk_is_refused_and_made_later(
    disk: DirectoryDisk, small_path: Path
) -> None:
    filler = fill(small_path)
    with pytest.raises(StoreError):
        disk.boot()
    filler.unlink()

    assert disk.boot().load().genesis is None


def test_genesis_on_a_full_disk_is_refused_and_set_later(disk: DirectoryDisk) -> None:
    store = disk.boot()
    before = store.load()
    filler = fill(disk.path)
    apply(store, promise(1, None))
    with pytest.raises(StoreFull):
        store.set_genesis(GENESIS)
    assert store.load().genesis == before.genesis is None
    filler.unlink()

    store.set_genesis(GENESIS)

    assert disk.boot().load().genesis == GENESIS


def test_reserve_is_whole_or_not_there(small_path: Path) -> None:
    reserve = Reserve(small_path / "reserve")
    filler = fill(small_path)
    os.truncate(filler, filler.stat().st_size - RESERVE_BYTES // 2)
    with pytest.raises(StoreFull):
        reserve.hold()
    assert (small_path / "reserve").stat().st_size == 0

    filler.unlink()
    reserve.hold()

    assert (small_path / "reserve").stat().st_size == RESERVE_BYTES
    Reserve(small_path / "reserve").release()
    assert (small_path / "reserve").stat().st_size == 0


def test_mark_that_finds_no_space_keeps_the_older_note(small_path: Path) -> None:
    mark = Mark(small_path / "mark")
    filler = fill(small_path)

    mark.write(5)

    assert mark.read() == 0
    filler.unlink()
    mark.write(6)
    assert mark.read() == 6
    mark.close()
