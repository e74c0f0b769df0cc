"""A damaged store is refused with the way out, or was not damaged where it matters: nothing else.

One bit at a time is turned in every file of a store, at many places, and what is missing or cut is
tried, too. Whatever opens afterwards holds exactly what was written, and goes on from there.
"""

from __future__ import annotations

import random
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from conductor.core.effects import AppendEntries, Prune, Truncate
from conductor.core.values import Index
from conductor.errors import StoreDamaged
from conductor.ports import StoredState
from conductor.store import SqliteStore, open_store
from conductor.store.schema import PAGE_BYTES
from tests.store.builders import (
    Chain,
    apply,
    base_at,
    bodies_of,
    certify,
    form,
    promise,
)

HEADER_BYTES = 100


class Image:
    """The files of a store, to be damaged and put back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files = {file.name: file.read_bytes() for file in path.iterdir()}

    def restore(self) -> None:
        """Put every file back as it was."""
        for file in self.path.iterdir():
            if file.name not in self._files:
                file.unlink()
        for name, data in self._files.items():
            (self.path / name).write_bytes(data)

    def bytes_of(self, name: str) -> bytes:
        """What was in a file."""
        return self._files[name]

    def turn_bit(self, name: str, offset: int, bit: int) -> None:
        """Turn one bit of a file."""
        data = bytearray(self._files[name])
        data[offset] ^= 1 << bit
        (self.path / name).write_bytes(data)

    def read(self) -> tuple[StoredState, Sequence[bytes]] | None:
        """What the store holds; None when it is refused as damaged."""
        try:
            with closing(open_store(self.path, "a")) as store:
                state = store.load()
                bodies = bodies_of(store, state)
                _go_on(store)
                return state, bodies
        except StoreDamaged as damage:
            if "--new-incarnation" not in str(damage):
                raise
            return None


def _go_on(store: SqliteStore) -> None:
    """Write to a store as if nothing had happened to it."""
    state = store.load()
    chain = Chain(state.entries[-1].position)
    entry = chain.payload(bytes(3 * PAGE_BYTES), epoch=state.promise.epoch)
    apply(store, AppendEntries((entry,)), bodies=chain.bodies)
    again = store.load()
    assert again.entries == (*state.entries, entry)


def _write_history(path: Path) -> SqliteStore:
    """A small store that has seen everything, still open, its newest writes only in the log."""
    store = open_store(path, "a")
    form(store)
    chain = Chain()
    source = random.Random(7)
    entries = [chain.epoch_start(epoch=1)]
    for size in (50, 70_000, 500, 90_000, 200, 10):
        entries.append(chain.payload(source.randbytes(size)))
    apply(store, AppendEntries(tuple(entries)), certify(entries[4]), bodies=chain.bodies)
    apply(store, Prune(base_at(entries[2].position)))
    store.checkpoint()
    apply(store, promise(2, "b"), Truncate(Index(6)))
    chain = chain.fork(entries[5].position)
    start = chain.epoch_start(epoch=2, leader="b")
    last = chain.payload(source.randbytes(40_000), epoch=2)
    apply(store, AppendEntries((start, last)), bodies=chain.bodies)
    apply(store, certify(last))
    return store


@pytest.fixture(scope="module")
def pristine(memory_path: Path) -> Path:
    """Two directories: `closed` after a clean stop, `killed` as a kill would leave it."""
    path = Path(tempfile.mkdtemp(dir=memory_path))
    store = _write_history(path / "closed")
    # Not by this process: closing a file would drop the locks that SQLite holds on it here.
    subprocess.run(["cp", "-r", path / "closed", path / "killed"], check=True)
    store.close()
    for reserve in path.glob("*/reserve"):
        reserve.unlink()
    return path


@pytest.fixture
def closed(pristine: Path) -> Iterator[Image]:
    """A store after a clean stop."""
    image = Image(pristine / "closed")
    yield image
    image.restore()


@pytest.fixture
def killed(pristine: Path) -> Iterator[Image]:
    """A store whose newest writes are in the write-ahead log."""
    image = Image(pristine / "killed")
    yield image
    image.restore()


def turn_bits(image: Image, name: str, offsets: Sequence[int]) -> int:
    """Turn one bit at each offset, one after the other; how many were refused."""
    image.restore()
    expected = image.read()
    assert expected is not None
    source = random.Random(len(offsets))
    refused = 0
    for offset in offsets:
        image.restore()
        bit = source.randrange(8)
        image.turn_bit(name, offset, bit)
        found = image.read()
        assert found in (None, expected), f"bit {bit} of byte {offset} in {name}"
        refused += found is None
    return refused


def used_offsets(data: bytes, count: int) -> list[int]:
    """Some offsets of bytes that are not zero, the same ones every time."""
    used = [offset for offset in range(HEADER_BYTES, len(data)) if data[offset]]
    return sorted(random.Random(3).sample(used, count))


def test_turned_bit_in_the_header_is_refused_or_harmless(closed: Image) -> None:
    refused = turn_bits(closed, "store.db", range(HEADER_BYTES))

    assert refused > 30


def test_turned_bit_in_the_database_is_refused_or_harmless(closed: Image) -> None:
    offsets = used_offsets(closed.bytes_of("store.db"), 150)

    refused = turn_bits(closed, "store.db", offsets)

    assert refused > 75


def test_turned_bit_in_the_log_is_refused(killed: Image) -> None:
    """SQLite alone would take it for a torn write, and drop what was acknowledged."""
    offsets = used_offsets(killed.bytes_of("store.db-wal"), 150)

    refused = turn_bits(killed, "store.db-wal", offsets)

    assert refused > 75


@pytest.mark.parametrize("name", ["store.db-shm", "mark", "lock"])
def test_turned_bit_beside_the_store_is_harmless(killed: Image, name: str) -> None:
    size = len(killed.bytes_of(name))

    refused = turn_bits(killed, name, range(0, size, max(1, size // 16)))

    assert refused == 0


def test_page_that_is_in_use_and_free_is_refused(closed: Image) -> None:
    """It would be read without complaint, until the next write overwrites it.

    Format: https://www.sqlite.org/fileformat2.html#the_freelist.
    """
    with closing(open_store(closed.path, "a")) as store:
        last = store.load().entries[-1].position
        _go_on(store)
        apply(store, Truncate(last.index))
    data = bytearray((closed.path / "store.db").read_bytes())
    (trunk,) = struct.unpack_from(">I", data, 32)
    at = (trunk - 1) * PAGE_BYTES + 4
    (count,) = struct.unpack_from(">I", data, at)
    assert count > 0
    last_page = len(data) // PAGE_BYTES
    free = struct.unpack_from(f">{count}I", data, at + 4)
    in_use = next(page for page in range(last_page, 1, -1) if page not in (trunk, *free))
    struct.pack_into(">I", data, at + 4, in_use)

    (closed.path / "store.db").write_bytes(data)

    with pytest.raises(StoreDamaged, match=r"[Pp]age"):
        open_store(closed.path, "a")


def test_log_of_a_killed_process_is_moved_before_it_is_read(killed: Image) -> None:
    """Its last sync may have failed: what is believed has to be synced once more."""
    assert len(killed.bytes_of("store.db-wal")) > 0

    with closing(open_store(killed.path, "a")):
        assert (killed.path / "store.db-wal").stat().st_size == 0


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("name", ["store.db", "store.db-wal"])
def test_file_that_was_cut_is_refused(killed: Image, name: str, share: float) -> None:
    data = killed.bytes_of(name)

    (killed.path / name).write_bytes(data[: int(len(data) * share)])

    assert killed.read() is None


@pytest.mark.parametrize("name", ["store.db", "store.db-wal"])
def test_file_that_is_missing_is_refused(killed: Image, name: str) -> None:
    (killed.path / name).unlink()

    assert killed.read() is None


@pytest.mark.parametrize("name", ["store.db-shm", "mark", "lock"])
def test_file_that_can_be_made_again_may_be_missing(killed: Image, name: str) -> None:
    expected = killed.read()
    assert expected is not None
    killed.restore()

    (killed.path / name).unlink()

    assert killed.read() == expected


def test_store_that_is_gone_is_not_replaced_by_a_new_one(closed: Image) -> None:
    """Its promise is gone with it: whoever starts again has to say so."""
    (closed.path / "store.db").unlink()

    for _ in range(2):
        with pytest.raises(StoreDamaged, match="is gone, but mark of it is there"):
            open_store(closed.path, "a")


def test_file_of_another_kind_is_refused(closed: Image) -> None:
    (closed.path / "store.db").write_bytes(b"BoltDB, perhaps" * 1000)

    with pytest.raises(StoreDamaged, match="does not begin as a store does"):
        open_store(closed.path, "a")


def test_older_log_than_what_was_durable_is_refused(killed: Image) -> None:
    """A backup of the database, put back over a store that has gone on."""
    assert killed.read() is not None
    (killed.path / "store.db").write_bytes(killed.bytes_of("store.db"))

    with pytest.raises(StoreDamaged, match="transactions were durable"):
        open_store(killed.path, "a")


def test_complaint_of_sqlite_that_is_no_text_is_damage(closed: Image) -> None:
    data = closed.bytes_of("store.db")
    (closed.path / "store.db").write_bytes(data.replace(b"NOT NULL", b"NOT NUL\xf9"))

    assert closed.read() is None
