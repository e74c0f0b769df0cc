"""What can be opened, which meta page counts, how long a lock is waited for: without a trace."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from conductor.errors import NotFound, StoreError, StoreLocked
from raft_state.bolt import DatabaseDamaged, check_database, layout, open_database
from raft_state.bolt.file import DatabaseFile
from tests.raft_state import bolt_images as images
from tests.raft_state.bolt_contents import contents_at, findings_at
from tests.raft_state.bolt_images import CONF, LOGS, Surgery

GOLDEN = Path(__file__).parent / "golden"
PAGE_SIZES = (512, 1024, 4096, 16384, 65536)
CHECKSUM_AT = layout.PAGE_HEADER_BYTES + layout.META_BYTES - 8


def written(path: Path, data: bytes | bytearray) -> Path:
    path.write_bytes(data)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "raft-log.db"


# What is no database


def no_file(path: Path) -> None:
    path.with_name("other").touch()


def parent_is_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.touch()


def directory(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


def empty_file(path: Path) -> None:
    path.touch()


def dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def unix_socket(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(os.fspath(path))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (no_file, "No such file"),
        (parent_is_a_file, "Not a directory"),
        (directory, "this is a directory"),
        (pipe, "not a regular file"),
        (empty_file, "the file is empty"),
        (dangling_link, "No such file"),
        (link_to_itself, "symbolic links"),
        (unix_socket, "not a regular file"),
    ],
)
def test_what_is_no_file_with_contents_is_not_found(
    tmp_path: Path, make: Callable[[Path], None], reason: str
) -> None:
    folder = tmp_path / "node"
    folder.mkdir()
    path = folder / "raft-log.db"
    make(path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(NotFound, match=reason) as caught:
        open_database(path)
    assert str(path) in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_unreadable_file_is_a_store_error(path: Path) -> None:
    written(path, images.sample()).chmod(0)
    with (
        without_privileges(),
        pytest.raises(StoreError, match="cannot be read: Permission denied"),
    ):
        open_database(path)


@contextmanager
def without_privileges() -> Iterator[None]:
    """The superuser may read everything: be somebody else meanwhile."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize(
    "data",
    [b"x", b"\0" * 8192, b"no database, but a text that is long enough\n" * 400, b"\xff" * 40000],
)
def test_foreign_file_is_called_no_database(path: Path, data: bytes) -> None:
    with pytest.raises(DatabaseDamaged, match=r"page 0: .*meta page") as caught:
        open_database(written(path, data))
    assert caught.value.page == 0


def test_sparse_file_is_called_no_database(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(DatabaseDamaged, match="page 0: this is no meta page of a BoltDB database"):
        open_database(path)


def test_symbolic_links_are_followed(tmp_path: Path, path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    written(folder / "real.db", images.sample())
    (tmp_path / "linked").symlink_to(folder)
    path.symlink_to(tmp_path / "linked" / "real.db")
    assert contents_at(path)[b"logs"] == list(LOGS.items())


# Length


def test_file_may_end_at_the_high_water_mark_or_anywhere_behind(path: Path) -> None:
    for tail in (b"", b"\0", b"junk" * 999, images.sample(), b"\0" * (1 << 20)):
        written(path, images.sample() + tail)
        assert contents_at(path)[b"conf"] == list(CONF.items())
        assert findings_at(path) == []


def test_every_shorter_length_is_caught_before_it_is_touched(path: Path) -> None:
    golden = GOLDEN / "r173-bb139/gen1/sequencer-1/raft-stable.db"
    expected = contents_at(golden)
    written(path, golden.read_bytes())
    needed = 6 * 4096
    for size in range(path.stat().st_size, 0, -1):
        os.truncate(path, size)
        if size >= needed:
            if size % 512 == 0:
                assert contents_at(path) == expected
            continue
        with pytest.raises(DatabaseDamaged) as caught:
            open_database(path, lock=False)
        # Without the second meta page the first one tells how long the file should be.
        assert caught.value.page == (size // 4096 if size >= 80 else 0)
        assert "cut off" in caught.value.reason or size < 80


@pytest.mark.parametrize("page_bytes", PAGE_SIZES)
def test_each_page_size_is_recognised(path: Path, page_bytes: int) -> None:
    written(path, tiny(page_bytes))
    with open_database(path) as database:
        assert database.page_bytes == page_bytes
        assert [name for name, _ in database.buckets()] == [b"conf"]
        warnings = list(check_database(database))
    size = 3 * page_bytes
    assert [str(each) for each in warnings] == (
        [f"bolt takes no file below 4096 bytes: this has {size}"] if size < 4096 else []
    )


def tiny(page_bytes: int) -> bytes:
    """The smallest database: one root page, without a freelist."""
    root = images.leaf(2, [(layout.BUCKET_ELEMENT, b"conf", images.inline_value([]))], page_bytes)
    return images.image([root], root_page=2, page_bytes=page_bytes)


# Meta pages


def break_magic(surgery: Surgery, number: int) -> None:
    surgery.put(number, 16, b"\0")


def break_version(surgery: Surgery, number: int) -> None:
    surgery.meta(number, version=3)


def break_checksum(surgery: Surgery, number: int) -> None:
    surgery.put(number, CHECKSUM_AT, b"\x5a" * 8)


def tear(surgery: Surgery, number: int) -> None:
    surgery.put(number, 16 + 32, b"\x11" * 32)


BREAKAGES: list[tuple[Callable[[Surgery, int], None], str]] = [
    (break_magic, "this is no meta page"),
    (break_version, "format version 3"),
    (break_checksum, "the checksum of the meta page is 0x5a5a5a5a5a5a5a5a instead of"),
    (tear, "the checksum"),
]


@pytest.mark.parametrize(("breakage", "reason"), BREAKAGES)
@pytest.mark.parametrize("number", [0, 1])
def test_one_bad_meta_page_is_a_warning(
    path: Path, breakage: Callable[[Surgery, int], None], reason: str, number: int
) -> None:
    surgery = Surgery(images.sample())
    breakage(surgery, number)
    written(path, surgery.data)
    with open_database(path) as database:
        (warning,) = database.warnings
        assert (warning.page, warning.severity) == (number, "warning")
        assert warning.reason.startswith(reason)
        assert database.meta_page == 1 - number
        assert database.meta.transaction_id == 3 - number if number else 3
        assert warning in list(check_database(database))
    assert contents_at(path)[b"logs"] == list(LOGS.items())


@pytest.mark.parametrize(("breakage", "reason"), BREAKAGES)
def test_two_bad_meta_pages_are_the_error_of_the_first(
    path: Path, breakage: Callable[[Surgery, int], None], reason: str
) -> None:
    surgery = Surgery(images.sample())
    breakage(surgery, 0)
    break_checksum(surgery, 1)
    with pytest.raises(DatabaseDamaged) as caught:
        open_database(written(path, surgery.data))
    assert caught.value.page == 0
    assert caught.value.reason.startswith(reason)


@pytest.mark.parametrize("page_bytes", PAGE_SIZES)
def test_second_meta_page_is_found_without_the_first(path: Path, page_bytes: int) -> None:
    surgery = Surgery(tiny(page_bytes), page_bytes)
    break_magic(surgery, 0)
    with open_database(written(path, surgery.data)) as database:
        assert (database.page_bytes, database.meta_page) == (page_bytes, 1)


def test_missing_checksum_is_taken_with_a_warning(path: Path) -> None:
    surgery = Surgery(images.sample())
    surgery.put(1, CHECKSUM_AT, bytes(8))
    with open_database(written(path, surgery.data)) as database:
        assert database.meta.transaction_id == 3
        (warning,) = database.warnings
    assert str(warning) == (
        "page 1: the meta page has no checksum: bbolt 1.3.7 and newer do not take it"
    )


@pytest.mark.parametrize(("first", "second", "counts"), [(8, 7, 0), (8, 9, 1), (8, 8, 0)])
def test_higher_transaction_counts(path: Path, first: int, second: int, counts: int) -> None:
    surgery = Surgery(images.sample())
    surgery.meta(0, transaction_id=first)
    surgery.meta(1, transaction_id=second)
    with open_database(written(path, surgery.data)) as database:
        assert database.meta_page == counts
        assert database.warnings == ()


def test_second_meta_page_of_another_page_size_does_not_count(path: Path) -> None:
    surgery = Surgery(images.sample())
    surgery.meta(1, page_bytes=8192, transaction_id=9)
    with open_database(written(path, surgery.data)) as database:
        assert database.meta.transaction_id == 2
        assert "8192 bytes, but this page is at byte 4096" in database.warnings[0].reason


# Locks


@contextmanager
def held(path: Path, operation: int = fcntl.LOCK_EX) -> Iterator[int]:
    """A process that has the database open, as bolt opens it."""
    descriptor = os.open(path, os.O_RDWR)
    fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("timeout_s", [0.0, 0.01, 0.12])
def test_running_conductor_is_named_with_the_ways_out(path: Path, timeout_s: float) -> None:
    written(path, images.sample())
    with held(path), pytest.raises(StoreLocked) as caught:
        open_database(path, lock_timeout_s=timeout_s)
    for part in (str(path), "running op-conductor", "stop", "backup"):
        assert part in str(caught.value)


def test_readers_share_and_keep_writers_away(path: Path) -> None:
    written(path, images.sample())
    with open_database(path), open_database(path):
        with pytest.raises(BlockingIOError), held(path):
            pass
        with held(path, fcntl.LOCK_SH):
            pass
    with held(path):
        pass


def test_unlocked_reading_is_for_those_who_ask(path: Path) -> None:
    written(path, images.sample())
    with held(path), open_database(path, lock=False) as database:
        assert database.bucket(b"logs") is not None


def test_lock_is_tried_again_until_it_is_free(path: Path) -> None:
    written(path, images.sample())
    pauses: list[float] = []
    with held(path) as holder, closing(DatabaseFile(path)) as file:

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                fcntl.flock(holder, fcntl.LOCK_UN)

        file.lock(60.0, pause=pause)
    assert pauses == [0.05, 0.05, 0.05]


def test_closing_lets_writers_in_though_a_view_is_still_held(path: Path) -> None:
    written(path, images.sample())
    with open_database(path) as database:
        logs = database.bucket(b"logs")
        assert logs is not None
        last = logs.last()
    assert last is not None
    assert bytes(last[1]) == LOGS[images.key(9)]
    with held(path):
        pass
    database.close()


def test_failed_opening_leaves_no_lock(path: Path) -> None:
    surgery = Surgery(images.sample())
    surgery.meta(page_count=99)
    with pytest.raises(DatabaseDamaged):
        open_database(written(path, surgery.data))
    with held(path):
        pass


# What a database gives


def test_items_begin_at_any_key_in_both_directions(path: Path) -> None:
    written(path, images.sample())
    with open_database(path) as database:
        logs = database.bucket(b"logs")
        assert logs is not None
        for number in range(12):
            forwards = [
                struct.unpack(">Q", key)[0] for key, _ in logs.items(start=images.key(number))
            ]
            assert forwards == list(range(max(number, 1), 10))
            start = images.key(number)
            backwards = [
                struct.unpack(">Q", key)[0] for key, _ in logs.items(start=start, reverse=True)
            ]
            assert backwards == list(range(min(number, 9), 0, -1))
            between = start + b"\0"
            assert [key for key, _ in logs.items(start=between)] == [
                images.key(each) for each in range(number + 1, 10)
            ]
            value = logs.get(images.key(number))
            assert (bytes(value) if value is not None else None) == LOGS.get(images.key(number))
        assert logs.get(b"") is None


def test_nested_buckets_are_no_items(path: Path) -> None:
    inner = images.inline_value([(0, b"deep", b"1")], sequence=77)
    elements = [
        (0, b"a", b"first"),
        (layout.BUCKET_ELEMENT, b"b", inner),
        (0, b"c", b"last"),
        (layout.BUCKET_ELEMENT, b"d", images.inline_value([])),
    ]
    value = images.inline_value(elements)
    root = images.leaf(2, [(layout.BUCKET_ELEMENT, b"logs", value)])
    written(path, images.image([root], root_page=2))
    with open_database(path) as database:
        logs = database.bucket(b"logs")
        assert logs is not None
        assert [key for key, _ in logs.items()] == [b"a", b"c"]
        ends = [(key, bytes(value)) for key, value in filter(None, (logs.first(), logs.last()))]
        assert ends == [(b"a", b"first"), (b"c", b"last")]
        assert logs.count() == 2
        assert logs.get(b"b") is None
        assert [(name, bucket.sequence) for name, bucket in logs.buckets()] == [
            (b"b", 77),
            (b"d", 0),
        ]
        nested = logs.bucket(b"b")
        assert nested is not None
        assert nested.is_inline
        assert [(key, bytes(value)) for key, value in nested.items()] == [(b"deep", b"1")]
        with pytest.raises(DatabaseDamaged, match="page 2: 'a' is a value, not a bucket"):
            logs.bucket(b"a")
        assert database.bucket(b"conf") is None
        assert database.bucket(b"") is None
        assert list(check_database(database)) == []


def test_empty_bucket_with_a_page_of_its_own_is_empty(path: Path) -> None:
    root = images.leaf(2, [(layout.BUCKET_ELEMENT, b"logs", images.bucket_value(3))])
    written(path, images.image([root, images.leaf(3, [])], root_page=2))
    with open_database(path) as database:
        logs = database.bucket(b"logs")
        assert logs is not None
        assert (logs.first(), logs.last(), logs.count(), logs.root_page) == (None, None, 0, 3)
        assert list(check_database(database)) == []


def test_database_without_any_bucket_is_empty(path: Path) -> None:
    written(path, images.image([images.leaf(2, [])], root_page=2))
    assert contents_at(path) == {}
    assert findings_at(path) == []
