"""Databases that are written whole: content, structure, and what a crash leaves."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor.errors import InvariantViolation, Refused, StoreError, StoreFull
from raft_state.bolt import check_database, open_database, write_database
from tests.raft_state.bolt_walk import Items, walk

PAGE_SIZES = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]
HEADER_BYTES = 16
ELEMENT_BYTES = 16


def log_items(count: int, value_bytes: int) -> Items:
    return [(struct.pack(">Q", i), bytes([i % 251]) * value_bytes) for i in range(1, count + 1)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "raft-log.db"


@pytest.mark.parametrize("page_bytes", PAGE_SIZES)
@pytest.mark.parametrize("count", [0, 1, 10, 1000])
def test_written_entries_are_read_back(path: Path, page_bytes: int, count: int) -> None:
    items = log_items(count, 100)

    write_database(path, {b"logs": iter(items), b"conf": []}, page_bytes=page_bytes)

    found = walk(path)
    assert found.page_bytes == page_bytes
    assert found.buckets == {b"logs": items, b"conf": []}


@pytest.mark.parametrize("page_bytes", [512, 4096, 65536])
def test_many_entries_make_a_balanced_tree(path: Path, page_bytes: int) -> None:
    items = log_items(20_000, 60)

    write_database(path, {b"logs": iter(items), b"conf": []}, page_bytes=page_bytes)

    found = walk(path)
    assert found.buckets[b"logs"] == items
    assert found.depths[b"logs"] == {512: 4, 4096: 3, 65536: 2}[page_bytes]


@pytest.mark.parametrize("page_bytes", [512, 4096, 16384, 65536])
@pytest.mark.parametrize("value_bytes", [0, 31, 32, 255, 256, 65_535, 65_536, 100_000, 1_000_000])
def test_values_of_any_size_are_read_back(path: Path, page_bytes: int, value_bytes: int) -> None:
    items = log_items(5, value_bytes)
    conf = [(b"CurrentTerm", bytes(8))]

    write_database(path, {b"logs": iter(items), b"conf": conf}, page_bytes=page_bytes)

    assert walk(path).buckets == {b"logs": items, b"conf": conf}


@pytest.mark.parametrize("page_bytes", PAGE_SIZES)
@pytest.mark.parametrize(("excess_bytes", "inline"), [(-1, True), (0, True), (1, False)])
def test_bucket_is_inline_up_to_a_quarter_of_a_page(
    path: Path, page_bytes: int, excess_bytes: int, inline: bool
) -> None:
    value_bytes = page_bytes // 4 - HEADER_BYTES - ELEMENT_BYTES - 8 + excess_bytes

    write_database(path, {b"logs": log_items(1, value_bytes)}, page_bytes=page_bytes)

    assert (b"logs" in walk(path).inline) is inline


def test_no_number_of_children_leaves_a_branch_with_one(path: Path) -> None:
    """Four fit in a branch: every count up to three levels, and the walk refuses single ones."""
    for count in range(1, 90):
        items = [(b"%0100d" % number, bytes(300)) for number in range(count)]

        write_database(path, {b"logs": items}, page_bytes=512, replace=True)

        found = walk(path)
        assert found.buckets[b"logs"] == items
    assert found.depths[b"logs"] == 5


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8, 50])
def test_keys_larger_than_pages_are_read_back(path: Path, count: int) -> None:
    items = [(bytes([number]) * 20_000, b"value") for number in range(1, count + 1)]

    write_database(path, {b"logs": items}, page_bytes=512)

    assert walk(path).buckets[b"logs"] == items


def test_hundreds_of_buckets_make_a_tree_of_their_own(path: Path) -> None:
    buckets = {b"%04d" % number: [(b"key", b"v" * number)] for number in range(700)}

    write_database(path, buckets)

    found = walk(path)
    assert found.buckets == buckets
    assert found.depths[b""] == 2


@pytest.mark.parametrize("page_bytes", PAGE_SIZES)
def test_reader_and_check_agree(path: Path, page_bytes: int) -> None:
    sizes = (0, 5, 90, 400, page_bytes - 70, page_bytes - 39, 3 * page_bytes)
    items = [(struct.pack(">Q", i), bytes(sizes[i * i % 7])) for i in range(1, 400)]

    write_database(
        path, {b"logs": items, b"conf": [(b"CurrentTerm", bytes(8))]}, page_bytes=page_bytes
    )

    with open_database(path) as database:
        assert list(check_database(database)) == []
        logs = database.bucket(b"logs")
        assert logs is not None
        assert [(key, bytes(value)) for key, value in logs.items()] == items


def test_database_without_buckets(path: Path) -> None:
    write_database(path, {})

    assert walk(path).buckets == {}


@settings(max_examples=60, deadline=None)
@given(
    logs=st.dictionaries(st.binary(min_size=1, max_size=300), st.binary(max_size=900)),
    conf=st.dictionaries(st.binary(min_size=1, max_size=30), st.binary(max_size=30)),
    page_bytes=st.sampled_from(PAGE_SIZES),
    fill_percent=st.integers(50, 100),
)
def test_any_content_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    logs: dict[bytes, bytes],
    conf: dict[bytes, bytes],
    page_bytes: int,
    fill_percent: int,
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.db"
    buckets = {b"logs": sorted(logs.items()), b"conf": sorted(conf.items())}

    write_database(path, buckets, page_bytes=page_bytes, fill_percent=fill_percent, replace=True)

    assert walk(path).buckets == buckets


@pytest.mark.parametrize(("fill_percent", "in_a_leaf"), [(50, 18), (100, 36)])
def test_pages_are_filled_as_asked(path: Path, fill_percent: int, in_a_leaf: int) -> None:
    write_database(path, {b"logs": log_items(500, 88)}, fill_percent=fill_percent)

    assert set(walk(path).leaf_counts[b"logs"][:-1]) == {in_a_leaf}


def test_page_is_never_exactly_full(path: Path) -> None:
    """Bolt would split it at the next change, whatever that is."""
    value_bytes = (4096 - HEADER_BYTES) // 8 - ELEMENT_BYTES - 8

    write_database(path, {b"logs": log_items(16, value_bytes)})

    assert walk(path).leaf_counts[b"logs"] == [7, 7, 2]


@pytest.mark.parametrize("transaction_id", [1, 2, 5, 2**64 - 1])
def test_transaction_is_in_one_meta_page_and_the_one_before_in_the_other(
    path: Path, transaction_id: int
) -> None:
    write_database(path, {b"logs": []}, transaction_id=transaction_id)

    assert walk(path).transaction_id == transaction_id


def test_smallest_database_has_four_pages(path: Path) -> None:
    write_database(path, {b"logs": log_items(1, 200), b"conf": []})

    assert path.stat().st_size == 4 * 4096


def test_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "1.db", tmp_path / "2.db"
    logs, conf = log_items(3000, 77), [(b"CurrentTerm", bytes(8))]

    write_database(first, {b"logs": iter(logs), b"conf": conf})
    write_database(second, {b"conf": iter(conf), b"logs": [(k, memoryview(v)) for k, v in logs]})

    assert first.read_bytes() == second.read_bytes()


def test_values_are_written_while_they_come(path: Path) -> None:
    """Of a long log only the page in the making is in memory: its file grows before it ends."""
    sizes: list[int] = []

    def items() -> Iterator[tuple[bytes, bytes]]:
        for key, value in log_items(40, 100_000):
            yield key, value
            sizes.append(sum(file.stat().st_size for file in path.parent.iterdir()))

    write_database(path, {b"logs": items()})

    # The stream's own buffer of 1 MiB is all that may be missing.
    assert all(size >= number * 100_000 - 100_000 - 2**20 for number, size in enumerate(sizes, 1))


def test_file_is_for_its_owner_alone(path: Path) -> None:
    write_database(path, {})

    assert path.stat().st_mode & 0o7777 == 0o600


@pytest.mark.parametrize(
    "keys",
    [[b""], [b"b", b"a"], [b"a", b"a"], [b"k" * 32_769]],
    ids=["empty", "order", "2", "long"],
)
def test_keys_that_no_database_can_hold_are_refused(path: Path, keys: list[bytes]) -> None:
    with pytest.raises(InvariantViolation):
        write_database(path, {b"logs": [(key, b"") for key in keys]})

    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    "numbers",
    [
        {"page_bytes": 256},
        {"page_bytes": 5000},
        {"page_bytes": 131_072},
        {"transaction_id": 0},
        {"transaction_id": 2**64},
        {"fill_percent": 49},
        {"fill_percent": 101},
    ],
    ids=str,
)
def test_numbers_that_no_database_can_have_are_refused(path: Path, numbers: dict[str, int]) -> None:
    with pytest.raises(InvariantViolation):
        write_database(path, {}, **numbers)  # type: ignore[arg-type] # each is a number

    assert list(path.parent.iterdir()) == []


def test_existing_file_is_not_replaced_unasked(path: Path) -> None:
    path.write_bytes(b"old")

    with pytest.raises(Refused, match="exists already"):
        write_database(path, {})

    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_file_that_appears_meanwhile_is_not_replaced(path: Path) -> None:
    def items() -> Iterator[tuple[bytes, bytes]]:
        path.write_bytes(b"somebody else's")
        yield b"key", b"value"

    with pytest.raises(Refused, match="exists already"):
        write_database(path, {b"logs": items()})

    assert path.read_bytes() == b"somebody else's"
    assert list(path.parent.iterdir()) == [path]


def test_existing_file_is_replaced_when_asked(path: Path) -> None:
    write_database(path, {b"logs": log_items(1000, 100)})

    write_database(path, {b"logs": []}, replace=True)

    assert walk(path).buckets == {b"logs": []}
    assert list(path.parent.iterdir()) == [path]


def test_missing_directory_is_named_and_not_made(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "raft-log.db"

    with pytest.raises(StoreError, match=r"missing/raft-log\.db: No such file or directory"):
        write_database(path, {})

    assert list(tmp_path.iterdir()) == []


def test_file_system_without_hard_links_will_do(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)

    write_database(path, {b"logs": log_items(3, 3)})

    assert walk(path).buckets == {b"logs": log_items(3, 3)}
    assert list(path.parent.iterdir()) == [path]


class Failing:
    """Calls of the operating system of which the one with a chosen number fails."""

    NAMES = ("open", "fdopen", "fsync", "link", "replace", "rename")

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fatal: int, error_number: int) -> None:
        self.fatal = fatal
        self.error_number = error_number
        self.calls: list[str] = []
        for name in self.NAMES:
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, function: object) -> object:
        def call(*arguments: object, **options: object) -> object:
            self.calls.append(name)
            if len(self.calls) == self.fatal:
                raise OSError(self.error_number, os.strerror(self.error_number))
            assert callable(function)
            return function(*arguments, **options)

        return call


@pytest.mark.parametrize(
    ("replace", "steps"),
    [
        (False, ["open", "fdopen", "fsync", "link", "open", "fsync"]),
        (True, ["open", "fdopen", "fsync", "replace", "open", "fsync"]),
    ],
)
def test_failure_at_any_step_leaves_the_old_or_the_new(
    path: Path, monkeypatch: pytest.MonkeyPatch, replace: bool, steps: list[str]
) -> None:
    for fatal in range(1, len(steps) + 1):
        path.unlink(missing_ok=True)
        if replace:
            write_database(path, {b"old": []})
        with monkeypatch.context() as patch:
            failing = Failing(patch, fatal, errno.EIO)

            with pytest.raises(StoreError, match="Input/output error"):
                write_database(path, {b"new": []}, replace=replace)

        assert failing.calls == steps[:fatal]
        appears = steps.index("replace" if replace else "link") + 1
        old = [b"old"] if replace else []
        left = [file.name for file in path.parent.iterdir()]
        if fatal <= appears and not replace:
            assert left == []
        else:
            assert left == [path.name]
            assert list(walk(path).buckets) == (old if fatal <= appears else [b"new"])


def test_full_disk_is_named_and_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Failing(monkeypatch, 3, errno.ENOSPC)

    with pytest.raises(StoreFull, match="No space left"):
        write_database(path, {b"logs": log_items(10, 10)})

    assert list(path.parent.iterdir()) == []


def test_source_that_fails_leaves_nothing(path: Path) -> None:
    def items() -> Iterator[tuple[bytes, bytes]]:
        yield from log_items(100, 1000)
        raise StoreError("the source is damaged")

    with pytest.raises(StoreError, match="the source is damaged"):
        write_database(path, {b"logs": items()})

    assert list(path.parent.iterdir()) == []
