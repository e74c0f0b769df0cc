"""What every page of a database is used for.

Invariant: a page has one use. Claiming it for a second one changes nothing and tells which it has.
One byte is kept for each page of the file.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

_META_PAGES = 2


class Use(enum.IntEnum):
    """What a page is."""

    UNKNOWN = 0
    META = 1
    BRANCH = 2
    LEAF = 3
    OVERFLOW = 4
    FREELIST = 5
    FREE = 6


class PageMap:
    """The uses of the pages below the high-water mark."""

    __slots__ = ("_uses", "claimed")

    def __init__(self, page_count: int) -> None:
        self._uses = bytearray(page_count)
        self._uses[:_META_PAGES] = bytes([Use.META]) * _META_PAGES
        self.claimed = _META_PAGES
        """How many pages have a use."""

    def use(self, page: int) -> Use:
        """What the page is used for."""
        return Use(self._uses[page])

    def claim(self, first: int, pages: int, use: Use) -> int | None:
        """Give a page and its overflow this use; or return one of them that has a use already."""
        last = first + pages
        if self._uses.count(Use.UNKNOWN, first, last) != pages:
            return next(page for page in range(first, last) if self._uses[page] != Use.UNKNOWN)
        self._uses[first] = use
        self._uses[first + 1 : last] = bytes([Use.OVERFLOW]) * (pages - 1)
        self.claimed += pages
        return None

    def count(self, use: Use) -> int:
        """How many pages have this use."""
        return self._uses.count(use)

    def runs(self, use: Use) -> Iterator[tuple[int, int]]:
        """Pages of this use, as first and last of each unbroken run."""
        first = self._uses.find(use)
        while first >= 0:
            last = first
            while last + 1 < len(self._uses) and self._uses[last + 1] == use:
                last += 1
            yield first, last
            first = self._uses.find(use, last + 1)
