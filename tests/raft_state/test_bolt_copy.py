"""A database is copied while it is written to: the copy is one committed state, or not there."""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import chain, count, repeat
from pathlib import Path

import pytest

from conductor.errors import NotFound, Refused, StoreLocked
from raft_state.bolt import DatabaseDamaged, copy_database, layout, open_database
from tests.raft_state import bolt_images as images
from tests.raft_state.bolt_contents import contents_at, findings_at
from tests.raft_state.bolt_images import PAGE_BYTES, Surgery
from tests.raft_state.bolt_recycler import Recycler, transaction_in

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(path.relative_to(GOLDEN).as_posix() for path in GOLDEN.rglob("*.db"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder / "raft-log.db"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder / "raft-log.db"


@pytest.fixture
def writer(source: Path) -> Iterator[Recycler]:
    with closing(Recycler(source)) as writer:
        yield writer


class Schedule:
    """Lets the writer take a number of steps at each page that is copied; also for ever."""

    def __init__(self, writer: Recycler, steps: Iterator[int]) -> None:
        self._turns = steps
        self._steps = chain.from_iterable(writer.steps() for _ in count())
        self.pages = 0
        self.passes = 0

    def __call__(self, done: int, total: int) -> None:
        self.pages += 1
        self.passes += done == PAGE_BYTES
        assert 0 < done <= total
        for _ in range(next(self._turns, 0)):
            next(self._steps)


def naive_copy(source: Path, target: Path, schedule: Schedule) -> None:
    """What `cp` does, at the same pace."""
    pages = source.stat().st_size // PAGE_BYTES
    with source.open("rb", buffering=0) as stream, target.open("wb") as copy:
        for page in range(pages):
            copy.write(stream.read(PAGE_BYTES))
            schedule((page + 1) * PAGE_BYTES, pages * PAGE_BYTES)


def is_one_state(path: Path) -> bool:
    """Whether a copy is whole."""
    try:
        transaction_in(path)
    except (DatabaseDamaged, AssertionError):
        return False
    return findings_at(path) == []


@pytest.mark.parametrize("delay", range(0, 13, 3))
@pytest.mark.parametrize("steps", [1, 2, 3, 5, 8, 13])
def test_copy_between_any_writes_is_one_state(
    writer: Recycler, source: Path, target: Path, steps: int, delay: int
) -> None:
    # A burst of writes as long as two copies take, then peace.
    turns = chain(repeat(0, delay), repeat(steps, 40))
    schedule = Schedule(writer, turns)
    copy_database(source, target, progress=schedule, chunk_bytes=PAGE_BYTES)
    assert is_one_state(target)
    assert schedule.passes > 1


def test_naive_copy_under_the_same_writes_is_not(source: Path, target: Path) -> None:
    torn = 0
    for steps in (1, 2, 3, 5, 8, 13):
        for delay in range(0, 13, 3):
            with closing(Recycler(source)) as writer:
                turns = chain(repeat(0, delay), repeat(steps, 40))
                naive_copy(source, target, Schedule(writer, turns))
                torn += not is_one_state(target)
    assert torn > 10


def test_one_unfinished_transaction_does_not_disturb(
    writer: Recycler, source: Path, target: Path
) -> None:
    # All of its writes but the last, the meta page.
    schedule = Schedule(writer, chain([writer.leaves + 3], repeat(0)))
    copy_database(source, target, attempts=1, progress=schedule, chunk_bytes=PAGE_BYTES)
    assert transaction_in(target) == writer.transaction_id == 3
    assert findings_at(target) == []


def test_one_finished_transaction_makes_it_begin_again(
    writer: Recycler, source: Path, target: Path
) -> None:
    schedule = Schedule(writer, chain([writer.leaves + 4], repeat(0)))
    copy_database(source, target, attempts=2, progress=schedule, chunk_bytes=PAGE_BYTES)
    assert schedule.passes == 2
    assert transaction_in(target) == 4


def test_file_that_grows_meanwhile_is_copied_whole(source: Path, target: Path) -> None:
    with closing(Recycler(source, grow_every=1)) as writer:
        schedule = Schedule(writer, repeat(2, 30))
        copy_database(source, target, progress=schedule, chunk_bytes=PAGE_BYTES)
    assert is_one_state(target)
    with open_database(target) as database:
        assert target.stat().st_size == database.meta.page_count * PAGE_BYTES


def test_no_still_moment_leaves_nothing_behind(
    writer: Recycler, source: Path, target: Path
) -> None:
    schedule = Schedule(writer, repeat(5))
    with pytest.raises(StoreLocked, match="during each of 4 attempts") as caught:
        copy_database(source, target, attempts=4, progress=schedule, chunk_bytes=PAGE_BYTES)
    assert str(source) in str(caught.value)
    assert schedule.passes == 4
    assert list(target.parent.iterdir()) == []


def test_copies_beside_a_busy_writer_are_each_one_state(source: Path, target: Path) -> None:
    stopped = threading.Event()
    with closing(Recycler(source, leaves=40)) as writer:

        def write() -> None:
            while not stopped.is_set():
                writer.commit()

        thread = threading.Thread(target=write)
        thread.start()
        try:
            for _ in range(25):
                with suppress(StoreLocked):
                    copy_database(source, target)
                    assert is_one_state(target)
                    target.unlink()
        finally:
            stopped.set()
            thread.join()
        copy_database(source, target)
        assert transaction_in(target) == writer.transaction_id


# What a copy is


@pytest.mark.parametrize("name", FILES)
def test_copies_of_go_files_have_the_same_content(target: Path, name: str) -> None:
    source = GOLDEN / name
    copy_database(source, target)
    assert contents_at(target) == contents_at(source)
    assert findings_at(target) == []
    with open_database(source) as theirs, open_database(target) as ours:
        assert ours.meta == theirs.meta
        assert ours.warnings == ()
        assert target.stat().st_size == theirs.meta.page_count * theirs.page_bytes
        assert ours.meta_page == theirs.meta.transaction_id % 2


@pytest.mark.parametrize("transaction", [0, 1, 2, 7, 2**64 - 1])
def test_both_meta_pages_tell_of_the_copied_state(
    source: Path, target: Path, transaction: int
) -> None:
    surgery = Surgery(images.sample())
    surgery.meta(transaction % 2, transaction_id=transaction)
    surgery.meta(1 - transaction % 2, transaction_id=0, magic=1)
    source.write_bytes(surgery.data)
    copy_database(source, target)
    data = target.read_bytes()
    metas = []
    for number in (0, 1):
        start = number * PAGE_BYTES
        header = layout.PAGE_HEADER.unpack_from(data, start)
        assert header == (number, layout.META, 0, 0)
        stored = layout.unpack_meta(data[start + 16 : start + 80])
        assert stored.checksum == stored.checksum_expected
        assert stored.meta.transaction_id % 2 == number
        metas.append(stored.meta)
    numbers = {meta.transaction_id for meta in metas}
    assert numbers == ({0, 1} if transaction == 0 else {transaction, transaction - 1})
    assert {meta.root_page for meta in metas} == {images.ROOT}
    assert data[2 * PAGE_BYTES :] == surgery.data[2 * PAGE_BYTES :]


def test_small_pages_still_make_a_file_that_bolt_opens(source: Path, target: Path) -> None:
    root = images.leaf(2, [], page_bytes=512)
    source.write_bytes(images.image([root], root_page=2, page_bytes=512))
    copy_database(source, target)
    assert target.stat().st_size == layout.FILE_BYTES_MIN
    assert contents_at(target) == {}


def test_copy_is_for_its_owner_alone_and_the_source_untouched(source: Path, target: Path) -> None:
    source.write_bytes(images.sample() + b"junk")
    source.chmod(0o644)
    before = source.stat()
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    umask = os.umask(0)
    try:
        copy_database(source, target)
    finally:
        os.umask(umask)
    assert target.stat().st_mode & 0o777 == 0o600
    assert source.stat().st_mtime_ns == before.st_mtime_ns
    assert hashlib.sha256(source.read_bytes()).hexdigest() == digest
    assert list(target.parent.iterdir()) == [target]


def test_locked_source_is_copied(source: Path, target: Path) -> None:
    source.write_bytes(images.sample())
    with source.open("rb+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        copy_database(source, target)
    assert findings_at(target) == []


def test_existing_target_is_refused_and_kept(source: Path, target: Path) -> None:
    source.write_bytes(images.sample())
    target.write_bytes(b"precious")
    with pytest.raises(Refused, match="exists already"):
        copy_database(source, target)
    assert target.read_bytes() == b"precious"


def test_missing_source_creates_nothing(source: Path, target: Path) -> None:
    with pytest.raises(NotFound):
        copy_database(source, target)
    assert list(target.parent.iterdir()) == list(source.parent.iterdir()) == []


@pytest.mark.parametrize("size", [100, 8191, 8192, 40000])
def test_source_that_was_cut_off_is_damage(source: Path, target: Path, size: int) -> None:
    source.write_bytes(images.sample()[:size])
    with pytest.raises(DatabaseDamaged, match="cut off"):
        copy_database(source, target)
    assert list(target.parent.iterdir()) == []


def test_progress_counts_the_bytes_of_the_attempt(source: Path, target: Path) -> None:
    source.write_bytes(images.sample())
    calls: list[tuple[int, int]] = []
    copy_database(
        source, target, progress=lambda *call: calls.append(call), chunk_bytes=3 * PAGE_BYTES
    )
    size = images.PAGES * PAGE_BYTES
    assert calls == [(min(n * 3 * PAGE_BYTES, size), size) for n in range(1, 5)]
