"""Structures that lie: each is a named error with the page, wherever Go would crash or carry on."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from raft_state.bolt import DatabaseDamaged, check_database, layout, open_database
from tests.raft_state import bolt_images as images
from tests.raft_state.bolt_contents import contents_at, contents_of, findings_in
from tests.raft_state.bolt_images import (
    FIRST_LEAF,
    FREE,
    FREELIST,
    LOGS,
    LOGS_ROOT,
    PAGES,
    ROOT,
    SECOND_LEAF,
    THIRD_LEAF,
    Surgery,
    key,
)

HUGE = 2**63
MIB = 1 << 20


@dataclass(frozen=True)
class Case:
    """A change to the sample, and the damage that has to be named."""

    name: str
    change: Callable[[Surgery], None]
    page: int
    reason: str


def case(name: str, page: int, reason: str, change: Callable[[Surgery], None]) -> Case:
    return Case(name, change, page, reason)


UNREADABLE = [
    case("leaf_with_wrong_id", 5, "says that it is page 9", lambda s: s.header(5, page_id=9)),
    case("branch_with_wrong_id", 3, "says that it is page 4", lambda s: s.header(3, page_id=4)),
    case("swapped_leaves", 4, "says that it is page 5", lambda s: s.swap(4, 5)),
    case("flags_zero", 4, "flags 0x0 are not", lambda s: s.header(4, flags=0)),
    case("flags_of_two_kinds", 4, "flags 0x3 are not", lambda s: s.header(4, flags=3)),
    case("flags_unknown", 4, "flags 0x12 are not", lambda s: s.header(4, flags=0x12)),
    case("leaf_that_says_branch", 4, "child", lambda s: s.header(4, flags=layout.BRANCH)),
    case("branch_that_says_leaf", 3, "element 0", lambda s: s.header(3, flags=layout.LEAF)),
    case("count_over_page", 4, "300 elements do not fit", lambda s: s.header(4, count=300)),
    case("count_reserved", 4, "65535 elements", lambda s: s.header(4, count=0xFFFF)),
    case("count_too_low", 4, "element 0: its key is at", lambda s: s.header(4, count=2)),
    case("count_too_high", 4, "element 0: its key is at", lambda s: s.header(4, count=4)),
    case("branch_count_over_page", 3, "do not fit", lambda s: s.header(3, count=256)),
    case("branch_count_zero", 3, "counts no elements", lambda s: s.header(3, count=0)),
    case("branch_without_children", 3, "without children", lambda s: empty(s, 3, layout.BRANCH)),
    case("leaf_count_zero", 5, "counts no elements", lambda s: s.header(5, count=0)),
    case("leaf_empty_in_the_middle", 5, "is empty, but a child", lambda s: empty(s, 5)),
    case("leaf_empty_at_the_end", 6, "is empty, but a child", lambda s: empty(s, 6)),
    case("root_count_zero", 2, "counts no elements", lambda s: s.header(2, count=0)),
    case("inline_count_zero", 2, "counts no", lambda s: s.put(2, inline_at(s) + 26, b"\0\0")),
    case("overflow_over_mark", 6, "over the high-water", lambda s: s.header(6, overflow=5)),
    case("overflow_huge", 6, "over the high-water", lambda s: s.header(6, overflow=2**32 - 1)),
    case("overflow_missing", 6, "do not fit into 4096", lambda s: s.header(6, overflow=0)),
    case("position_low", 4, "element 1", lambda s: s.leaf_element(4, 1, position=0)),
    case("position_off", 4, "element 2", lambda s: s.leaf_element(4, 2, position=2**32 - 1)),
    case("key_empty", 4, "a key of 0 bytes", lambda s: s.leaf_element(4, 0, key_bytes=0)),
    case("key_huge", 4, "is impossible", lambda s: s.leaf_element(4, 0, key_bytes=2**32 - 1)),
    case("key_longer", 4, "element 1", lambda s: s.leaf_element(4, 0, key_bytes=9)),
    case("value_huge", 4, "do not fit", lambda s: s.leaf_element(4, 2, value_bytes=2**32 - 1)),
    case("value_over_page", 4, "do not fit", lambda s: s.leaf_element(4, 2, value_bytes=4096)),
    case("value_shorter", 4, "element 2", lambda s: s.leaf_element(4, 1, value_bytes=1)),
    case("element_flags", 4, "flags 0x2 are not", lambda s: s.leaf_element(4, 1, flags=2)),
    case("value_says_bucket", 4, "too short", lambda s: s.leaf_element(4, 1, flags=1)),
    case("big_value_says_bucket", 6, "root page", lambda s: s.leaf_element(6, 2, flags=1)),
    case("keys_unsorted", 4, "does not follow", lambda s: s.leaf_key(4, 1, key(0))),
    case("keys_equal", 4, "does not follow", lambda s: s.leaf_key(4, 1, key(1))),
    case("key_over_parent_range", 4, "is not lower than", lambda s: s.leaf_key(4, 2, key(4))),
    case("key_under_parent_range", 3, "first key", lambda s: s.leaf_key(5, 0, key(3))),
    case("branch_key_lower", 3, "first key", lambda s: s.element_key(3, 0, key(0))),
    case("branch_key_higher", 3, "first key", lambda s: s.element_key(3, 1, key(5))),
    case("branch_keys_unsorted", 3, "does not follow", lambda s: s.element_key(3, 1, key(9))),
    case("branch_key_empty", 3, "a key of 0", lambda s: s.branch_element(3, 1, key_bytes=0)),
    case("branch_position", 3, "element 1", lambda s: s.branch_element(3, 1, position=7)),
    case("child_is_itself", 3, "", lambda s: s.branch_element(3, 0, child=3)),
    case("child_is_root", 3, "first key", lambda s: s.branch_element(3, 1, child=2)),
    case("child_twice", 3, "first key", lambda s: s.branch_element(3, 1, child=4)),
    case("child_meta", 3, "its child 0 is not", lambda s: s.branch_element(3, 0, child=0)),
    case("child_meta_too", 3, "its child 1 is not", lambda s: s.branch_element(3, 1, child=1)),
    case("child_at_mark", 3, "its child 11 is not", lambda s: s.branch_element(3, 2, child=PAGES)),
    case("child_huge", 3, "is not one of", lambda s: s.branch_element(3, 2, child=2**64 - 1)),
    case("child_freelist", 8, "flags 0x10", lambda s: s.branch_element(3, 1, child=FREELIST)),
    case("child_free", 9, "says that it is page 0", lambda s: s.branch_element(3, 1, child=FREE)),
    case("child_overflow", 7, "says that it is page", lambda s: s.branch_element(3, 2, child=7)),
    case("root_is_meta", 1, "the root page 1", lambda s: s.meta(root_page=1)),
    case("root_zero", 1, "the root page 0", lambda s: s.meta(root_page=0)),
    case("root_at_mark", 1, "the root page 11", lambda s: s.meta(root_page=PAGES)),
    case("root_huge", 1, "the root page", lambda s: s.meta(root_page=HUGE)),
    case("root_is_freelist", 8, "flags 0x10", lambda s: s.meta(root_page=FREELIST)),
    case("root_is_a_bucket", 4, "only buckets", lambda s: s.meta(root_page=FIRST_LEAF)),
    case("mark_zero", 1, "high-water mark of 0", lambda s: s.meta(page_count=0)),
    case("mark_without_root", 1, "high-water mark of 2", lambda s: s.meta(page_count=2)),
    case("mark_too_low", 3, "its child 6 is not", lambda s: s.meta(page_count=6)),
    case("mark_over_file", 11, "it was cut off", lambda s: s.meta(page_count=PAGES + 1)),
    case("mark_huge", 11, "it was cut off", lambda s: s.meta(page_count=2**64 - 1)),
    case("page_size_zero", 0, "page size of 0", lambda s: s.meta(page_bytes=0)),
    case("page_size_odd", 0, "page size of 5000", lambda s: s.meta(page_bytes=5000)),
    case("page_size_tiny", 0, "page size of 256", lambda s: s.meta(page_bytes=256)),
    case("page_size_huge", 0, "page size of", lambda s: s.meta(page_bytes=2**31)),
    case("page_size_half", 2, "says that it is page", lambda s: s.meta(0, page_bytes=2048)),
    case("bucket_root_itself", 2, "the one that it is in", lambda s: set_logs_root(s, ROOT)),
    case("bucket_root_meta", 2, "its root page 1", lambda s: set_logs_root(s, 1)),
    case("bucket_root_huge", 2, "its root page", lambda s: set_logs_root(s, HUGE)),
    case("bucket_root_at_mark", 2, "its root page 11", lambda s: set_logs_root(s, PAGES)),
    case("bucket_root_free", 9, "says that it is page", lambda s: set_logs_root(s, FREE)),
    case("bucket_root_zero", 2, "are no page", lambda s: set_logs_root(s, 0)),
    case("bucket_is_a_value", 2, "only buckets", lambda s: s.leaf_element(2, 1, flags=0)),
    case("inline_count", 2, "bucket 'conf'", lambda s: s.put(ROOT, inline_at(s) + 26, b"\xff\x7f")),
    case("inline_count_less", 2, "bucket 'conf'", lambda s: s.put(2, inline_at(s) + 26, b"\1\0")),
    case("inline_flags", 2, "inline pages have", lambda s: s.put(2, inline_at(s) + 24, b"\1")),
    case("inline_number", 2, "inline pages have", lambda s: s.put(2, inline_at(s) + 16, b"\7")),
    case("inline_overflow", 2, "inline pages have", lambda s: s.put(2, inline_at(s) + 28, b"\1")),
    case("inline_with_root", 2, "though it has a root", lambda s: s.put(2, inline_at(s), b"\4")),
    case("inline_value_size", 2, "bytes after", lambda s: s.put(2, inline_at(s) + 60, b"\1")),
]  # fmt: skip


def empty(surgery: Surgery, number: int, flags: int = layout.LEAF) -> None:
    """Make a page one without elements, as nobody would write it there."""
    surgery.put(number, 0, bytes(images.PAGE_BYTES))
    surgery.header(number, page_id=number, flags=flags, overflow=int(number == THIRD_LEAF))


def logs_at(surgery: Surgery) -> int:
    """Where the value of the bucket `logs` begins in the root page."""
    return _value_at(surgery, b"logs")


def inline_at(surgery: Surgery) -> int:
    """Where the value of the bucket `conf` begins in the root page."""
    return _value_at(surgery, b"conf")


def _value_at(surgery: Surgery, name: bytes) -> int:
    start = ROOT * images.PAGE_BYTES
    return surgery.data.index(name, start) + len(name) - start


def set_logs_root(surgery: Surgery, page: int) -> None:
    surgery.put(ROOT, logs_at(surgery), images.bucket_value(page))


@pytest.mark.parametrize("each", UNREADABLE, ids=lambda each: each.name)
def test_reading_names_the_page_and_the_reason(tmp_path: Path, each: Case) -> None:
    surgery = Surgery(images.sample())
    each.change(surgery)
    path = tmp_path / "raft-log.db"
    path.write_bytes(surgery.data)
    with pytest.raises(DatabaseDamaged) as caught:
        contents_at(path)
    error = caught.value
    assert (error.page, error.path) == (each.page, path)
    assert each.reason in error.reason
    assert str(error) == f"{path}: page {each.page}: {error.reason}"
    assert error.code == "store_damaged"


OPENED = [each for each in UNREADABLE if not each.name.startswith(("mark_", "page_size_"))]


@pytest.mark.parametrize("each", OPENED, ids=lambda each: each.name)
def test_check_names_the_page_too_and_goes_on(tmp_path: Path, each: Case) -> None:
    surgery = Surgery(images.sample())
    each.change(surgery)
    found = findings_in(tmp_path, bytes(surgery.data))
    assert all(finding.reason for finding in found)
    assert any(finding.severity == "error" for finding in found)
    named = {finding.page for finding in found}
    # A page that is referred to twice is named itself; reading it can name only who refers to it.
    assert each.page in named or each.name in {"child_is_itself", "child_twice"}


def test_damage_in_one_bucket_leaves_the_other_readable(tmp_path: Path) -> None:
    surgery = Surgery(images.sample())
    surgery.header(LOGS_ROOT, flags=0)
    path = tmp_path / "raft-log.db"
    path.write_bytes(surgery.data)
    with open_database(path) as database:
        conf = database.bucket(b"conf")
        assert conf is not None
        assert {name: bytes(value) for name, value in conf.items()} == images.CONF
        with pytest.raises(DatabaseDamaged, match="page 3: flags"):
            database.bucket(b"logs")


def test_what_was_read_before_the_damage_is_right(tmp_path: Path) -> None:
    surgery = Surgery(images.sample())
    surgery.header(THIRD_LEAF, page_id=1)
    path = tmp_path / "raft-log.db"
    path.write_bytes(surgery.data)
    with open_database(path) as database:
        logs = database.bucket(b"logs")
        assert logs is not None
        items = ((name, bytes(value)) for name, value in logs.items())
        for number in range(1, 7):
            assert next(items) == (key(number), LOGS[key(number)])
        with pytest.raises(DatabaseDamaged, match="page 6"):
            next(items)


def test_search_does_not_miss_a_key_that_the_branch_misplaces(tmp_path: Path) -> None:
    # Raised from 4 to 5, the branch key of the second leaf sends key 4 to the first one.
    surgery = Surgery(images.sample())
    surgery.element_key(LOGS_ROOT, 1, key(5))
    path = tmp_path / "raft-log.db"
    path.write_bytes(surgery.data)
    with open_database(path) as database:
        logs = database.bucket(b"logs")
        assert logs is not None
        with pytest.raises(DatabaseDamaged, match="page 3: element 1"):
            logs.get(key(4))


def test_chain_of_branches_ends_at_the_depth_limit(tmp_path: Path) -> None:
    length = 80
    chain = [images.branch(3 + n, [(key(1), 4 + n), (key(2), 4 + n)]) for n in range(length)]
    root = images.leaf(2, [(layout.BUCKET_ELEMENT, b"logs", images.bucket_value(3))])
    last = images.leaf(3 + length, images.plain([(key(1), b"")]))
    path = tmp_path / "raft-log.db"
    path.write_bytes(images.image([root, *chain, last], root_page=2))
    with open_database(path) as database:
        with pytest.raises(DatabaseDamaged, match="more than 64 pages below"):
            contents_of(database)
        assert any("64 pages below" in found.reason for found in check_database(database))


def test_buckets_inside_buckets_end_at_the_nesting_limit(tmp_path: Path) -> None:
    value = images.inline_value([])
    for _ in range(40):
        value = images.inline_value([(layout.BUCKET_ELEMENT, b"in", value)])
    root = images.leaf(2, [(layout.BUCKET_ELEMENT, b"logs", value)])
    (found,) = findings_in(tmp_path, images.image([root], root_page=2))[:1]
    assert (found.page, found.severity) == (2, "error")
    assert "inside more than 16 others" in found.reason


# Memory


def measured(path: Path) -> tuple[int, int]:
    """The most memory that reading and checking took, and the size of the file, in bytes."""
    tracemalloc.start()
    try:
        with open_database(path) as database:
            for finding in check_database(database):
                assert finding.reason
            for _, bucket in database.buckets():
                assert bucket.count() >= 0
    except DatabaseDamaged:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak, path.stat().st_size


def freelist_of_nonsense() -> bytes:
    pages = [images.leaf(2, []), images.freelist(3, [HUGE + number for number in range(100_000)])]
    return images.image(pages, root_page=2, freelist_page=3)


def freelist_count_absurd() -> bytes:
    surgery = Surgery(images.sample())
    surgery.header(FREELIST, count=0xFFFF)
    surgery.put(FREELIST, layout.PAGE_HEADER_BYTES, layout.PAGE_ID.pack(HUGE))
    return bytes(surgery.data)


def leaf_of_many_elements() -> bytes:
    items = images.plain((key(number), b"") for number in range(8000))
    root = images.leaf(2, [(layout.BUCKET_ELEMENT, b"logs", images.bucket_value(3))])
    return images.image([root, images.leaf(3, items)], root_page=2)


def key_as_long_as_can_be() -> bytes:
    element = (layout.BUCKET_ELEMENT, b"k" * layout.KEY_BYTES_MAX, images.inline_value([]))
    return images.image([images.leaf(2, [element])], root_page=2)


@pytest.mark.parametrize(
    "make",
    [freelist_of_nonsense, freelist_count_absurd, leaf_of_many_elements, key_as_long_as_can_be],
)
def test_lying_numbers_allocate_nothing(tmp_path: Path, make: Callable[[], bytes]) -> None:
    path = tmp_path / "raft-log.db"
    path.write_bytes(make())
    peak, _ = measured(path)
    assert peak <= MIB


def test_every_corrupt_sample_stays_within_small_memory(tmp_path: Path) -> None:
    path = tmp_path / "raft-log.db"
    for each in UNREADABLE:
        surgery = Surgery(images.sample())
        each.change(surgery)
        path.write_bytes(surgery.data)
        peak, _ = measured(path)
        assert peak < MIB, each.name


def test_sample_itself_is_sound(tmp_path: Path) -> None:
    path = tmp_path / "raft-log.db"
    path.write_bytes(images.sample())
    assert contents_at(path) == {b"conf": list(images.CONF.items()), b"logs": list(LOGS.items())}
    assert findings_in(tmp_path, images.sample()) == []
    assert SECOND_LEAF in range(PAGES)
