"""Buckets: named trees of keys and values, at the top of a database or inside each other.

Invariant: a bucket that exists has a root page that was loaded and checked; its header is not
trusted any further. Values are views of the file: nothing of them is read before somebody looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from raft_state.bolt import layout
from raft_state.bolt.pages import Page, Pages, shown
from raft_state.bolt.tree import leaves


@dataclass(frozen=True, slots=True)
class Bucket:
    """Keys in ascending order, each with a value or with another bucket.

    All methods raise DatabaseDamaged; what they gave before is as it was written.
    """

    sequence: int
    root_page: int
    """0: the bucket is inline, a part of the page that names it."""
    pages: Pages = field(repr=False)
    root: Page = field(repr=False)

    @property
    def is_inline(self) -> bool:
        """Whether it has no pages of its own."""
        return self.root_page == 0

    def items(
        self, *, start: bytes = b"", reverse: bool = False
    ) -> Iterator[tuple[bytes, memoryview]]:
        """Keys with their plain values, in key order, lazily.

        Begins with the first key that is not lower than `start`; in reverse with the last that is
        not higher; an empty `start` means the end where the walk begins. The views are valid while
        the database is open.
        """
        for leaf, index in self._elements(start, reverse):
            is_bucket, key, value = leaf.element(index)
            if is_bucket:
                # Passed over only if it is one: else a value with a wrong flag would just vanish.
                self._nested(leaf, key, value)
            else:
                yield key, value

    def get(self, key: bytes) -> memoryview | None:
        """The plain value of a key, if there is one."""
        found = next(self.items(start=key), None) if key else None
        return found[1] if found is not None and found[0] == key else None

    def first(self) -> tuple[bytes, memoryview] | None:
        """The lowest key with a plain value."""
        return next(self.items(), None)

    def last(self) -> tuple[bytes, memoryview] | None:
        """The highest key with a plain value."""
        return next(self.items(reverse=True), None)

    def count(self) -> int:
        """How many keys have plain values; reads keys, but no values."""
        return sum(1 for _ in self.items())

    def buckets(self) -> Iterator[tuple[bytes, Bucket]]:
        """The buckets inside this one, with their names, in the order of these."""
        for leaf, index in self._elements(b"", False):
            is_bucket, key, value = leaf.element(index)
            if is_bucket:
                yield key, self._nested(leaf, key, value)

    def bucket(self, name: bytes) -> Bucket | None:
        """The bucket of this name; DatabaseDamaged when the name has a plain value instead."""
        for leaf, index in self._elements(name, False):
            is_bucket, key, value = leaf.element(index)
            if key != name:
                return None
            if not is_bucket:
                raise self.pages.damaged(leaf.number, f"{shown(name)} is a value, not a bucket")
            return self._nested(leaf, key, value)
        return None

    def _elements(self, start: bytes, reverse: bool) -> Iterator[tuple[Page, int]]:
        """Each element in order, as its leaf and its index there."""
        for leaf, begin in leaves(self.pages, self.root, start=start, reverse=reverse):
            indexes = range(begin, -1, -1) if reverse else range(begin, leaf.count)
            for index in indexes:
                yield leaf, index

    def _nested(self, leaf: Page, key: bytes, value: memoryview) -> Bucket:
        return open_bucket(self.pages, leaf.number, key, value)


def open_bucket(pages: Pages, holder: int, name: bytes, value: memoryview) -> Bucket:
    """The bucket that a value in the page `holder` describes. Raises DatabaseDamaged."""
    title = f"bucket {shown(name)}"
    if len(value) < layout.BUCKET_HEADER_BYTES:
        raise pages.damaged(holder, f"{title}: {len(value)} bytes are too short for its header")
    root_page, sequence = layout.BUCKET_HEADER.unpack_from(value)
    rest = value[layout.BUCKET_HEADER_BYTES :]
    if root_page == 0:
        return Bucket(sequence, 0, pages, pages.inline_page(rest, holder, title))
    if len(rest):
        reason = f"{title}: {len(rest)} bytes after its header, though it has a root page"
        raise pages.damaged(holder, reason)
    number = pages.referred(root_page, holder, f"{title}: its root page")
    if number == holder:
        raise pages.damaged(holder, f"{title}: its root page is the one that it is in")
    return Bucket(sequence, number, pages, pages.tree_page(number))
