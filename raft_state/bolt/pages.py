"""The pages of a database in one buffer, and the elements of the tree pages among them.

Law: whoever holds a `Page` may use every part of it. It was checked as a whole when it was loaded:
its number, kind and length, and that its elements follow each other without a gap, in strictly
ascending order of their keys, within the page and its overflow. That is how every bolt writes them;
so a wrong position or size shows up here, with the page, and not as somebody else's bytes.

Nothing is copied or allocated for a page but its keys, one at a time.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

from raft_state.bolt import layout
from raft_state.bolt.damage import DatabaseDamaged

FIRST_PAGE = 2
"""Pages 0 and 1 are the meta pages, which nothing may refer to."""


@dataclass(frozen=True, slots=True)
class Run:
    """A page with the overflow pages that follow it and belong to it."""

    number: int
    flags: int
    count: int
    pages: int
    view: memoryview


@dataclass(frozen=True, slots=True)
class Page:
    """A branch or leaf page. Elements are named by their index, from 0 to `count` - 1."""

    number: int
    """Of an inline bucket: the page that holds it."""
    is_leaf: bool
    count: int
    pages: int
    """How many it takes, overflow included; an inline bucket takes none of its own."""
    view: memoryview
    end: int
    """Where the last element ends in the view."""

    def element(self, index: int) -> tuple[bool, bytes, memoryview]:
        """Of a leaf: whether the value is a bucket, key, value."""
        start = _element_start(index)
        flags, position, key_bytes, value_bytes = layout.LEAF_ELEMENT.unpack_from(self.view, start)
        key_start = start + position
        key_end = key_start + key_bytes
        value = self.view[key_end : key_end + value_bytes]
        return flags == layout.BUCKET_ELEMENT, bytes(self.view[key_start:key_end]), value

    def key(self, index: int) -> bytes:
        """Of a leaf: the key. Of a branch: the first key of the child."""
        start = _element_start(index)
        if self.is_leaf:
            _, position, key_bytes, _ = layout.LEAF_ELEMENT.unpack_from(self.view, start)
        else:
            position, key_bytes, _ = layout.BRANCH_ELEMENT.unpack_from(self.view, start)
        return bytes(self.view[start + position : start + position + key_bytes])

    def child(self, index: int) -> int:
        """Of a branch: the page below; it is one that the database has."""
        child: int = layout.BRANCH_ELEMENT.unpack_from(self.view, _element_start(index))[2]
        return child

    def keys_up_to(self, key: bytes) -> int:
        """How many of the keys are lower than or equal to this one."""
        return bisect_right(range(self.count), key, key=self.key)


def _element_start(index: int) -> int:
    return layout.PAGE_HEADER_BYTES + index * layout.ELEMENT_BYTES


class Pages:
    """All pages below the high-water mark, by their numbers."""

    __slots__ = ("count", "page_bytes", "path", "view")

    def __init__(self, path: Path, view: memoryview, page_bytes: int, count: int) -> None:
        """The view holds at least `count` pages of `page_bytes` bytes."""
        self.path = path
        self.view = view
        self.page_bytes = page_bytes
        self.count = count

    def damaged(self, page: int, reason: str) -> DatabaseDamaged:
        """The error to raise about a page of this database."""
        return DatabaseDamaged(self.path, page, reason)

    def referred(self, number: int, holder: int, name: str) -> int:
        """A page number that was found in the page `holder`, if it can be followed."""
        if FIRST_PAGE <= number < self.count:
            return number
        raise self.damaged(
            holder, f"{name} {number} is not one of the pages {FIRST_PAGE} to {self.count - 1}"
        )

    def run(self, number: int) -> Run:
        """A page whose number `referred` has passed, and its overflow."""
        start = number * self.page_bytes
        page_id, flags, count, overflow = layout.PAGE_HEADER.unpack_from(self.view, start)
        if page_id != number:
            raise self.damaged(number, f"its header says that it is page {page_id}")
        if overflow >= self.count - number:
            raise self.damaged(
                number,
                f"{overflow} overflow pages reach over the high-water mark of {self.count} pages",
            )
        pages = 1 + overflow
        view = self.view[start : start + pages * self.page_bytes]
        return Run(number, flags, count, pages, view)

    def tree_page(self, number: int) -> Page:
        """The branch or leaf of a number that `referred` has passed. Raises DatabaseDamaged."""
        run = self.run(number)
        if run.flags not in (layout.BRANCH, layout.LEAF):
            raise self.damaged(number, f"flags {run.flags:#x} are not those of a branch or a leaf")
        return self._page(run, is_leaf=run.flags == layout.LEAF, name="")

    def inline_page(self, view: memoryview, holder: int, name: str) -> Page:
        """The leaf that an inline bucket consists of: the rest of a value in the page `holder`."""
        if len(view) < layout.PAGE_HEADER_BYTES:
            raise self.damaged(holder, f"{name}: {len(view)} bytes are no page")
        page_id, flags, count, overflow = layout.PAGE_HEADER.unpack_from(view)
        if (page_id, flags, overflow) != (0, layout.LEAF, 0):
            raise self.damaged(
                holder,
                f"{name}: inline pages have number 0, flags 0x2 and no overflow; "
                f"not {page_id}, {flags:#x} and {overflow}",
            )
        page = self._page(Run(holder, flags, count, 0, view), is_leaf=True, name=f"{name}: ")
        if page.end != len(view):
            unused = len(view) - page.end
            raise self.damaged(holder, f"{name}: {unused} bytes after its last element")
        return page

    def _page(self, run: Run, *, is_leaf: bool, name: str) -> Page:
        """The run as a tree page, once every element in it has been checked."""
        elements_end = _element_start(run.count)
        if run.count > layout.ELEMENTS_MAX or elements_end > len(run.view):
            reason = f"{name}{run.count} elements do not fit into {len(run.view)} bytes"
            raise self.damaged(run.number, reason)
        walk = _ElementWalk(self, run, name, elements_end)
        elements = run.view[layout.PAGE_HEADER_BYTES : elements_end]
        if is_leaf:
            walk.over_leaf(elements)
        else:
            walk.over_branch(elements)
        if run.count == 0 and any(run.view[elements_end : elements_end + layout.ELEMENT_BYTES]):
            # A wrong count shows in where the first key is, but for this one.
            raise self.damaged(run.number, f"{name}it counts no elements, but there is one")
        return Page(run.number, is_leaf, run.count, run.pages, run.view, walk.data_end)


class _ElementWalk:
    """One pass over the elements of a page, each of which has to continue where the last ended."""

    __slots__ = ("_last", "_name", "_pages", "_run", "_start", "data_end")

    def __init__(self, pages: Pages, run: Run, name: str, data_start: int) -> None:
        self._pages = pages
        self._run = run
        self._name = name
        self._start = layout.PAGE_HEADER_BYTES
        self._last = b""
        self.data_end = data_start

    def over_leaf(self, elements: memoryview) -> None:
        """Check leaf elements."""
        for flags, position, key_bytes, value_bytes in layout.LEAF_ELEMENT.iter_unpack(elements):
            if flags not in (0, layout.BUCKET_ELEMENT):
                raise self._wrong(f"flags {flags:#x} are not known")
            self._step(position, key_bytes, value_bytes)

    def over_branch(self, elements: memoryview) -> None:
        """Check branch elements."""
        last_page = self._pages.count - 1
        for position, key_bytes, child in layout.BRANCH_ELEMENT.iter_unpack(elements):
            if not FIRST_PAGE <= child <= last_page:
                raise self._wrong(
                    f"its child {child} is not one of the pages {FIRST_PAGE} to {last_page}"
                )
            self._step(position, key_bytes, 0)

    def _step(self, position: int, key_bytes: int, value_bytes: int) -> None:
        """Go over the element at `_start`, whose key is to begin at `data_end`."""
        begin = self._start + position
        if begin != self.data_end:
            raise self._wrong(f"its key is at byte {begin} of the page instead of {self.data_end}")
        if not 1 <= key_bytes <= layout.KEY_BYTES_MAX:
            raise self._wrong(f"a key of {key_bytes} bytes is impossible")
        key_end = begin + key_bytes
        view = self._run.view
        if key_end + value_bytes > len(view) or value_bytes > layout.VALUE_BYTES_MAX:
            raise self._wrong(
                f"a key of {key_bytes} and a value of {value_bytes} bytes at byte {begin} "
                f"do not fit into {len(view)} bytes"
            )
        key = bytes(view[begin:key_end])
        if key <= self._last:
            raise self._wrong(f"its key {shown(key)} does not follow the key {shown(self._last)}")
        self._last = key
        self.data_end = key_end + value_bytes
        self._start += layout.ELEMENT_BYTES

    def _wrong(self, reason: str) -> DatabaseDamaged:
        """The error about the element at `_start`."""
        index = (self._start - layout.PAGE_HEADER_BYTES) // layout.ELEMENT_BYTES
        return self._pages.damaged(self._run.number, f"{self._name}element {index}: {reason}")


def shown(key: bytes) -> str:
    """A key for a message: hexadecimal, or text when it is plain; cut when it is long."""
    part = key[:24]
    text = part.decode("ascii") if part.isascii() else ""
    quoted = f"'{text}'" if text.isprintable() and text else part.hex()
    return quoted if len(key) == len(part) else f"{quoted}... ({len(key)} bytes)"
