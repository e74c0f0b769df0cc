"""Writes whole BoltDB files from sorted keys, page after page, in one pass.

Invariant: a finished file is one that every version of bolt can go on writing to. All leaves of a
bucket are equally deep, every branch element carries exactly the first key of its child, a branch
has two children at least, no leaf is empty but the root of an empty bucket, and every page is
either reachable or the freelist. The same input gives the same bytes.

Leaves are filled to the brim by default: Raft appends at the end and deletes at the ends, so room
in the middle would never be used. An element that is larger than a page has pages of its own, and
deleting it rewrites no neighbour.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from conductor.errors import ensure
from raft_state.bolt import layout
from raft_state.bolt.layout import BUCKET_HEADER, ELEMENT_BYTES
from raft_state.bolt.new_file import new_file

Value = bytes | memoryview
_Child = tuple[bytes, int]
"""The first key under a page, and the page."""

FILL_PERCENT_MIN = 50
FILL_PERCENT_MAX = 100

_META_PAGES = 2
_FILE_BYTES_MIN = 4096
"""What bolt reads first: a file that is shorter is taken for no database."""
_INLINE_PART = 4
"""A bucket that fits in this part of a page lives in its parent."""
_BRANCH_CHILDREN_MIN = 2


def write_database(
    path: Path,
    buckets: Mapping[bytes, Iterable[tuple[bytes, Value]]],
    *,
    page_bytes: int = layout.PAGE_BYTES_DEFAULT,
    transaction_id: int = 2,
    fill_percent: int = FILL_PERCENT_MAX,
    replace: bool = False,
) -> None:
    """Write a database with these top-level buckets; it appears complete and durable, or not.

    Keys come strictly ascending in each bucket and values are written as they come: memory holds
    one page, or one larger value, and one branch page for each level. The buckets are drained one
    after the other, in the order of their names. A page is begun anew once `fill_percent` of it
    (50 to 100) are full. Mode 0600.

    Refused when `path` exists and `replace` is not set; StoreError when the system refuses;
    InvariantViolation for keys out of order and for sizes that the format cannot hold.
    """
    _check_numbers(page_bytes, transaction_id, fill_percent)
    with new_file(path, replace=replace) as stream:
        # One byte less than a page: bolt splits one that is exactly full when it next changes.
        fill_bytes = min(page_bytes - 1, page_bytes * fill_percent // 100)
        pages = _Pages(stream, page_bytes, fill_bytes)
        root = _Tree(pages, layout.BUCKET_ELEMENT)
        for name in sorted(buckets):
            root.add(name, _write_bucket(pages, buckets[name]))
        root_page = root.finish()
        freelist_page = pages.write(layout.FREELIST, 0, [])
        pages.finish(root_page, freelist_page, transaction_id)


def _write_bucket(pages: _Pages, items: Iterable[tuple[bytes, Value]]) -> bytes:
    """The value that stands for a bucket in its parent: where its root is, or all of it."""
    tree = _Tree(pages)
    for key, value in items:
        tree.add(key, value)
    if tree.is_inline:
        return BUCKET_HEADER.pack(0, 0) + tree.inline_page()
    return BUCKET_HEADER.pack(tree.finish(), 0)


@dataclass(slots=True)
class _Pages:
    """Hands out page numbers in ascending order and writes each page when it is handed out."""

    stream: BinaryIO
    page_bytes: int
    fill_bytes: int
    next_page: int = _META_PAGES

    def __post_init__(self) -> None:
        self.stream.write(bytes(_META_PAGES * self.page_bytes))

    def write(self, flags: int, count: int, parts: Sequence[Value]) -> int:
        """Write a page with its overflow pages; its number."""
        used_bytes = layout.PAGE_HEADER_BYTES + sum(map(len, parts))
        page_count = -(-used_bytes // self.page_bytes)
        page = self.next_page
        self.stream.write(layout.PAGE_HEADER.pack(page, flags, count, page_count - 1))
        for part in parts:
            self.stream.write(part)
        self.stream.write(bytes(page_count * self.page_bytes - used_bytes))
        self.next_page += page_count
        return page

    def finish(self, root_page: int, freelist_page: int, transaction_id: int) -> None:
        """Write both meta pages, of this transaction and the one before it."""
        self.stream.write(bytes(max(0, _FILE_BYTES_MIN - self.next_page * self.page_bytes)))
        for transaction in (transaction_id - 1, transaction_id):
            page = transaction % _META_PAGES
            meta = layout.Meta(
                page_bytes=self.page_bytes,
                root_page=root_page,
                freelist_page=freelist_page,
                page_count=self.next_page,
                transaction_id=transaction,
            )
            self.stream.seek(page * self.page_bytes)
            self.stream.write(layout.PAGE_HEADER.pack(page, layout.META, 0, 0) + meta.pack())


@dataclass(slots=True)
class _Tree:
    """The leaves of one bucket; only the last one is still in memory."""

    pages: _Pages
    element_flags: int = 0
    _items: list[tuple[bytes, Value]] = field(default_factory=list)
    _leaf_bytes: int = layout.PAGE_HEADER_BYTES
    _branches: _Branches | None = None
    _last_key: bytes = b""

    def add(self, key: bytes, value: Value) -> None:
        """Take the next element."""
        ensure(key > self._last_key, f"key {key!r} does not come after {self._last_key!r}")
        ensure(len(key) <= layout.KEY_BYTES_MAX, f"a key has {len(key)} bytes")
        ensure(len(value) <= layout.VALUE_BYTES_MAX, f"value of {key!r} has {len(value)} bytes")
        element_bytes = ELEMENT_BYTES + len(key) + len(value)
        if self._items and self._leaf_bytes + element_bytes > self.pages.fill_bytes:
            self._write_leaf()
        self._items.append((key, value))
        self._leaf_bytes += element_bytes
        self._last_key = key

    @property
    def is_inline(self) -> bool:
        """Whether bolt would keep what was added inside of the parent."""
        return self._branches is None and self._leaf_bytes <= self.pages.page_bytes // _INLINE_PART

    def inline_page(self) -> bytes:
        """All elements as the page that follows a bucket header; it has no number."""
        header = layout.PAGE_HEADER.pack(0, layout.LEAF, len(self._items), 0)
        return header + b"".join(self._leaf_parts())

    def finish(self) -> int:
        """Write what is still in memory; the root page."""
        page = self._write_leaf()
        return page if self._branches is None else self._branches.finish()

    def _write_leaf(self) -> int:
        page = self.pages.write(layout.LEAF, len(self._items), self._leaf_parts())
        if self._items:
            if self._branches is None:
                self._branches = _Branches(self.pages)
            self._branches.add(self._items[0][0], page)
        self._items = []
        self._leaf_bytes = layout.PAGE_HEADER_BYTES
        return page

    def _leaf_parts(self) -> list[Value]:
        """Element headers, then keys and values in the same order."""
        headers: list[Value] = []
        contents: list[Value] = []
        end = ELEMENT_BYTES * len(self._items)
        for number, (key, value) in enumerate(self._items):
            # A position counts from where its own header starts.
            position = end - ELEMENT_BYTES * number
            headers.append(
                layout.LEAF_ELEMENT.pack(self.element_flags, position, len(key), len(value))
            )
            contents += (key, value)
            end += len(key) + len(value)
        return headers + contents


@dataclass(slots=True)
class _Branches:
    """One level of branch pages, and through `_parent` all levels above it.

    The last full page is held back until the next one has two children, so that no page is left
    with a single one.
    """

    pages: _Pages
    _full: list[_Child] = field(default_factory=list)
    _open: list[_Child] = field(default_factory=list)
    _open_bytes: int = layout.PAGE_HEADER_BYTES
    _parent: _Branches | None = None

    def add(self, key: bytes, page: int) -> None:
        """Take the next child: its first key and its page."""
        element_bytes = ELEMENT_BYTES + len(key)
        is_full = self._open_bytes + element_bytes > self.pages.fill_bytes
        if is_full and len(self._open) >= _BRANCH_CHILDREN_MIN:
            if self._full:
                self._write(self._full)
            self._full, self._open = self._open, []
            self._open_bytes = layout.PAGE_HEADER_BYTES
        self._open.append((key, page))
        self._open_bytes += element_bytes

    def finish(self) -> int:
        """Write what is still in memory; the root page."""
        if not self._full and len(self._open) == 1:
            return self._open[0][1]
        for children in self._last_pages():
            self._write(children)
        assert self._parent is not None
        return self._parent.finish()

    def _last_pages(self) -> list[list[_Child]]:
        if not self._full:
            return [self._open]
        if len(self._open) >= _BRANCH_CHILDREN_MIN:
            return [self._full, self._open]
        # A single child is left over: it moves in with the others, or takes half of them along.
        children = self._full + self._open
        middle = len(children) // 2
        if middle < _BRANCH_CHILDREN_MIN or _branch_bytes(children) <= self.pages.fill_bytes:
            return [children]
        return [children[:middle], children[middle:]]

    def _write(self, children: list[_Child]) -> None:
        headers: list[Value] = []
        end = ELEMENT_BYTES * len(children)
        for number, (key, page) in enumerate(children):
            position = end - ELEMENT_BYTES * number
            headers.append(layout.BRANCH_ELEMENT.pack(position, len(key), page))
            end += len(key)
        page = self.pages.write(
            layout.BRANCH, len(children), headers + [key for key, _ in children]
        )
        if self._parent is None:
            self._parent = _Branches(self.pages)
        self._parent.add(children[0][0], page)


def _branch_bytes(children: Sequence[_Child]) -> int:
    return layout.PAGE_HEADER_BYTES + sum(ELEMENT_BYTES + len(key) for key, _ in children)


def _check_numbers(page_bytes: int, transaction_id: int, fill_percent: int) -> None:
    ensure(
        layout.PAGE_BYTES_MIN <= page_bytes <= layout.PAGE_BYTES_MAX
        and page_bytes.bit_count() == 1,
        f"a page of {page_bytes} bytes: a power of two from 512 to 65536",
    )
    ensure(1 <= transaction_id < 2**64, f"transaction {transaction_id}: a number from 1")
    ensure(
        FILL_PERCENT_MIN <= fill_percent <= FILL_PERCENT_MAX,
        f"pages filled to {fill_percent} %: from {FILL_PERCENT_MIN} to {FILL_PERCENT_MAX}",
    )
