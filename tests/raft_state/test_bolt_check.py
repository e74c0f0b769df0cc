"""The check finds what reading would never notice, and what bolt's own check does not look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from raft_state.bolt import Damage, DatabaseCheck, Use, check_database, layout, open_database
from raft_state.bolt.check import FINDINGS_MAX
from raft_state.bolt.page_map import PageMap
from tests.raft_state import bolt_images as images
from tests.raft_state.bolt_contents import contents_at, findings_at, findings_in
from tests.raft_state.bolt_images import (
    CONF,
    FREE,
    FREE_TOO,
    FREELIST,
    LOGS,
    LOGS_ROOT,
    PAGES,
    Surgery,
    key,
)

HUGE = 2**63


def errors(findings: list[Damage]) -> list[str]:
    return [str(each) for each in findings if each.severity == "error"]


def set_ids(surgery: Surgery, *ids: int) -> None:
    """Write another list of free pages, in the short form."""
    surgery.header(FREELIST, count=len(ids))
    surgery.put(FREELIST, layout.PAGE_HEADER_BYTES, images.freelist_body(ids)[1])


def set_long_form(surgery: Surgery, count: int, *ids: int) -> None:
    """Write a list of free pages in the form for very many."""
    surgery.header(FREELIST, count=layout.COUNT_OVERFLOWS)
    body = layout.PAGE_ID.pack(count) + images.freelist_body(ids)[1]
    surgery.put(FREELIST, layout.PAGE_HEADER_BYTES, body)


@dataclass(frozen=True)
class Case:
    """A change to the sample that reading does not notice, and all errors that the check has."""

    name: str
    change: Callable[[Surgery], None]
    expected: tuple[str, ...]


def case(name: str, change: Callable[[Surgery], None], *expected: str) -> Case:
    return Case(name, change, expected)


UNNOTICED = [
    case(
        "free_page_missing",
        lambda s: set_ids(s, FREE_TOO),
        "page 9: it is neither in use nor listed as free",
    ),
    case(
        "free_pages_all_missing",
        set_ids,
        "page 9: pages 9 to 10 are neither in use nor listed as free",
    ),
    case(
        "free_page_twice",
        lambda s: set_ids(s, FREE, FREE, FREE_TOO),
        "page 9: page 8 lists it as free, twice",
    ),
    case(
        "free_page_is_meta_0",
        lambda s: set_ids(s, 0, FREE, FREE_TOO),
        "page 8: it lists page 0, but only 2 to 10 exist",
    ),
    case(
        "free_page_is_meta_1",
        lambda s: set_ids(s, 1, FREE, FREE_TOO),
        "page 8: it lists page 1, but only 2 to 10 exist",
    ),
    case(
        "free_page_at_mark",
        lambda s: set_ids(s, FREE, FREE_TOO, PAGES),
        "page 8: it lists page 11, but only 2 to 10 exist",
    ),
    case(
        "free_page_huge",
        lambda s: set_ids(s, FREE, FREE_TOO, HUGE),
        f"page 8: it lists page {HUGE}, but only 2 to 10 exist",
    ),
    case(
        "free_page_is_a_leaf",
        lambda s: set_ids(s, 4, FREE, FREE_TOO),
        "page 4: page 8 lists it as free, but it is in use (leaf)",
    ),
    case(
        "free_page_is_overflow",
        lambda s: set_ids(s, 7, FREE, FREE_TOO),
        "page 7: page 8 lists it as free, but it is in use (overflow)",
    ),
    case(
        "free_page_is_the_freelist",
        lambda s: set_ids(s, FREELIST, FREE, FREE_TOO),
        "page 8: page 8 lists it as free, but it is in use (freelist)",
    ),
    case(
        "freelist_count_absurd",
        lambda s: set_long_form(s, HUGE, FREE, FREE_TOO),
        f"page 8: {HUGE} free pages are listed where 509 have room",
    ),
    case(
        "freelist_count_over_page",
        lambda s: s.header(FREELIST, count=511),
        "page 8: 511 free pages are listed where 510 have room",
    ),
    case(
        "freelist_is_a_leaf",
        lambda s: s.meta(freelist_page=4),
        "page 4: flags 0x2 are not those of a freelist",
    ),
    case(
        "freelist_is_meta",
        lambda s: s.meta(freelist_page=1),
        "page 1: the freelist page 1 is not one of the pages 2 to 10",
    ),
    case(
        "freelist_at_mark",
        lambda s: s.meta(freelist_page=PAGES),
        "page 1: the freelist page 11 is not one of the pages 2 to 10",
    ),
    case(
        "freelist_with_wrong_id",
        lambda s: s.header(FREELIST, page_id=7),
        "page 8: its header says that it is page 7",
    ),
    case(
        "freelist_overflow_over_mark",
        lambda s: s.header(FREELIST, overflow=9),
        "page 8: 9 overflow pages reach over the high-water mark of 11 pages",
    ),
    case(
        "freelist_overflow_over_free_pages",
        lambda s: s.header(FREELIST, overflow=1),
        "page 9: page 8 lists it as free, but it is in use (overflow)",
    ),
    case(
        "freelist_over_a_tree",
        lambda s: freelist_at(s, 6),
        "page 6: flags 0x10 are not those of a branch or a leaf",
    ),
    case(
        "overflow_over_a_neighbour",
        lambda s: s.header(4, overflow=1),
        "page 5: this page is referred to more than once",
    ),
    case(
        "overflow_over_free_pages",
        lambda s: s.header(6, overflow=3),
        "page 8: the freelist at page 8 takes it, but it is in use (overflow)",
    ),
    case(
        "meta_0_with_wrong_id",
        lambda s: s.header(0, page_id=5),
        "page 0: its header says that it is page 5",
    ),
    case(
        "meta_1_with_wrong_flags",
        lambda s: s.header(1, flags=layout.LEAF),
        "page 1: flags 0x2 are not those of a meta page",
    ),
    case(
        "mark_too_high",
        lambda s: raise_mark(s, PAGES + 2),
        "page 11: pages 11 to 12 are neither in use nor listed as free",
    ),
]


def freelist_at(surgery: Surgery, number: int) -> None:
    surgery.meta(freelist_page=number)
    surgery.header(number, flags=layout.FREELIST, count=0)


def raise_mark(surgery: Surgery, page_count: int) -> None:
    surgery.meta(page_count=page_count)
    surgery.data.extend(bytes(page_count * images.PAGE_BYTES - len(surgery.data)))


READABLE = [each for each in UNNOTICED if each.name != "freelist_over_a_tree"]


@pytest.mark.parametrize("each", UNNOTICED, ids=lambda each: each.name)
def test_check_finds_exactly_what_is_wrong(tmp_path: Path, each: Case) -> None:
    surgery = Surgery(images.sample())
    each.change(surgery)
    assert tuple(errors(findings_in(tmp_path, bytes(surgery.data)))) == each.expected


@pytest.mark.parametrize("each", READABLE, ids=lambda each: each.name)
def test_reading_needs_none_of_it(tmp_path: Path, each: Case) -> None:
    surgery = Surgery(images.sample())
    each.change(surgery)
    path = tmp_path / "raft-log.db"
    path.write_bytes(surgery.data)
    assert contents_at(path) == {b"conf": list(CONF.items()), b"logs": list(LOGS.items())}


def test_branch_with_one_child_is_readable_but_an_error(tmp_path: Path) -> None:
    path = tmp_path / "raft-log.db"
    root = images.leaf(2, [(layout.BUCKET_ELEMENT, b"logs", images.bucket_value(3))])
    only = images.leaf(4, images.plain([(key(1), b"one")]))
    path.write_bytes(images.image([root, images.branch(3, [(key(1), 4)]), only], root_page=2))
    assert contents_at(path) == {b"logs": [(key(1), b"one")]}
    assert errors(findings_at(path)) == [
        "page 3: a branch has two children or more, not 1: bolt panics when it deletes"
    ]


def test_uneven_depth_and_sparse_pages_are_sound(tmp_path: Path) -> None:
    root = images.leaf(2, [(layout.BUCKET_ELEMENT, b"logs", images.bucket_value(3))])
    pages = [
        root,
        images.branch(3, [(key(1), 4), (key(2), 5)]),
        images.leaf(4, images.plain([(key(1), b"")])),
        images.branch(5, [(key(2), 6), (key(3), 7)]),
        images.leaf(6, images.plain([(key(2), b"")])),
        images.leaf(7, images.plain([(key(3), b"x" * 9000)])),
    ]
    assert findings_in(tmp_path, images.image(pages, root_page=2)) == []


def test_keys_below_a_branch_stay_below_its_next_key(tmp_path: Path) -> None:
    # The bound of the grandparent, over a branch in between that knows nothing of it.
    root = images.leaf(2, [(layout.BUCKET_ELEMENT, b"logs", images.bucket_value(3))])
    pages = [
        root,
        images.branch(3, [(key(1), 4), (key(5), 7)]),
        images.branch(4, [(key(1), 5), (key(2), 6)]),
        images.leaf(5, images.plain([(key(1), b"")])),
        images.leaf(6, images.plain([(key(2), b""), (key(7), b"")])),
        images.leaf(7, images.plain([(key(5), b"")])),
    ]
    (found,) = errors(findings_in(tmp_path, images.image(pages, root_page=2)))
    assert found.startswith(
        "page 6: its last key 0000000000000007 is not lower than 00000000000000"
    )


def test_page_in_two_buckets_is_named(tmp_path: Path) -> None:
    root = images.leaf(
        2,
        [
            (layout.BUCKET_ELEMENT, b"conf", images.bucket_value(3)),
            (layout.BUCKET_ELEMENT, b"logs", images.bucket_value(3)),
        ],
    )
    pages = [root, images.leaf(3, images.plain([(key(1), b"")]))]
    assert errors(findings_in(tmp_path, images.image(pages, root_page=2))) == [
        "page 3: this page is referred to more than once"
    ]


def test_every_damage_is_told_not_only_the_first(tmp_path: Path) -> None:
    surgery = Surgery(images.sample())
    surgery.header(4, flags=0)
    surgery.header(6, page_id=77)
    set_ids(surgery, 5, FREE)
    found = findings_in(tmp_path, bytes(surgery.data))
    assert errors(found) == [
        "page 4: flags 0x0 are not those of a branch or a leaf",
        "page 6: its header says that it is page 77",
        "page 5: page 8 lists it as free, but it is in use (leaf)",
    ]
    assert [str(each) for each in found if each.severity == "warning"] == [
        "damage above: pages that nothing refers to were not looked for"
    ]


def test_unsorted_free_pages_are_a_warning(tmp_path: Path) -> None:
    surgery = Surgery(images.sample())
    set_ids(surgery, FREE_TOO, FREE)
    (found,) = findings_in(tmp_path, bytes(surgery.data))
    assert (found.page, found.severity) == (FREELIST, "warning")
    assert found.reason == "the free pages are not in ascending order"


def test_bytes_behind_the_last_value_are_a_warning(tmp_path: Path) -> None:
    surgery = Surgery(images.sample())
    surgery.leaf_element(4, 2, value_bytes=3)
    (found,) = findings_in(tmp_path, bytes(surgery.data))
    assert (found.page, found.severity) == (4, "warning")
    assert "a size in it may have been changed" in found.reason


@pytest.mark.parametrize("count", [0, 1, 509, 510, 65534, 65535, 65536])
def test_freelists_of_every_form_are_sound(tmp_path: Path, count: int) -> None:
    listed = images.freelist(3, [0] * count)
    first_free = 3 + len(listed) // images.PAGE_BYTES
    ids = range(first_free, first_free + count)
    path = tmp_path / "raft-log.db"
    pages = [images.leaf(2, []), images.freelist(3, ids)]
    head = images.image([*pages, b""], root_page=2, freelist_page=3)
    surgery = Surgery(head)
    surgery.meta(page_count=first_free + count)
    with path.open("wb") as stream:
        stream.write(surgery.data)
        stream.truncate((first_free + count) * images.PAGE_BYTES)
    with open_database(path) as database:
        check = DatabaseCheck(database)
        assert list(check.findings()) == []
        assert check.page_map.count(Use.FREE) == count
        runs = [(first_free, first_free + count - 1)] if count else []
        assert list(check.page_map.runs(Use.FREE)) == runs


def test_pages_without_a_freelist_are_free_when_nothing_refers_to_them(tmp_path: Path) -> None:
    surgery = Surgery(images.sample())
    surgery.meta(freelist_page=layout.NO_FREELIST)
    path = tmp_path / "raft-log.db"
    path.write_bytes(surgery.data)
    with open_database(path) as database:
        check = DatabaseCheck(database)
        assert list(check.findings()) == []
        assert list(check.page_map.runs(Use.UNKNOWN)) == [(FREELIST, FREE_TOO)]


def test_findings_end_somewhere(tmp_path: Path) -> None:
    pages = [images.leaf(2, []), images.freelist(3, [HUGE] * 5000)]
    found = findings_in(tmp_path, images.image(pages, root_page=2, freelist_page=3))
    assert len(found) == FINDINGS_MAX + 1
    assert str(found[-1]) == f"more than {FINDINGS_MAX} findings: the others are not told"


def test_progress_ends_with_all_pages(tmp_path: Path) -> None:
    path = tmp_path / "raft-log.db"
    path.write_bytes(images.sample())
    calls: list[tuple[int, int]] = []
    with open_database(path) as database:
        assert list(check_database(database, progress=lambda *call: calls.append(call))) == []
    assert calls[-1] == (PAGES, PAGES)
    assert calls == sorted(calls)
    assert len(calls) > len((LOGS_ROOT, 4, 5, 6))


def test_page_has_one_use() -> None:
    pages = PageMap(10)
    assert pages.claim(2, 3, Use.LEAF) is None
    assert pages.claim(5, 1, Use.FREE) is None
    assert pages.claim(1, 1, Use.LEAF) == 1
    assert pages.claim(6, 4, Use.BRANCH) is None
    assert pages.claim(4, 1, Use.FREE) == 4
    assert [pages.use(page) for page in range(10)] == [
        *(Use.META, Use.META, Use.LEAF, Use.OVERFLOW, Use.OVERFLOW),
        *(Use.FREE, Use.BRANCH, Use.OVERFLOW, Use.OVERFLOW, Use.OVERFLOW),
    ]
    assert list(pages.runs(Use.OVERFLOW)) == [(3, 4), (7, 9)]
    assert pages.claimed == 10
