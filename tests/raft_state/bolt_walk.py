"""A second reader of BoltDB files, for judging the writer: whole file in memory, no mercy.

It shares no line with the product, so that a misread format cannot agree with itself.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

Items = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class Walk:
    """A database that keeps every rule a writer has; AssertionError names the first broken one."""

    data: bytes
    page_bytes: int = 0
    page_count: int = 0
    transaction_id: int = 0
    pages: dict[int, int] = field(default_factory=dict)
    """Which first page each used page belongs to."""
    inline: set[bytes] = field(default_factory=set)
    depths: dict[bytes, int] = field(default_factory=dict)
    leaf_counts: dict[bytes, list[int]] = field(default_factory=dict)
    """How many elements each leaf of a bucket has, in order."""
    buckets: dict[bytes, Items] = field(default_factory=dict)

    def run(self) -> None:
        """Read both meta pages and everything below the root."""
        (self.page_bytes,) = struct.unpack_from("<I", self.data, 24)
        first, second = self._meta(0), self._meta(1)
        assert first[:7] == second[:7], "both meta pages describe the same tree"
        assert first[0] == self.page_bytes
        _, root, sequence, freelist, self.page_count, flags, version, _ = first
        assert (sequence, flags, version) == (0, 0, 2)
        newest, older = sorted((first[7], second[7]), reverse=True)
        assert newest == older + 1
        assert newest % 2 == (1 if second[7] == newest else 0), "page number and parity agree"
        self.transaction_id = newest
        assert len(self.data) == max(4096, self.page_count * self.page_bytes)
        assert not any(self.data[self.page_count * self.page_bytes :])
        for name, flag, value in self._tree(b"", root):
            assert flag == 1, "the root holds buckets only"
            self.buckets[name] = self._bucket(name, value)
        assert self._header(freelist) == (freelist, 0x10, 0, 0)
        self._use(freelist, 1)
        assert sorted(self.pages) == list(range(2, self.page_count)), "pages without a use"

    def _meta(self, page: int) -> tuple[int, ...]:
        start = page * self.page_bytes
        assert struct.unpack_from("<QHHI", self.data, start) == (page, 4, 0, 0)
        body = self.data[start + 16 : start + 16 + 56]
        hashed = 0xCBF29CE484222325
        for byte in body:
            hashed = ((hashed ^ byte) * 0x100000001B3) % 2**64
        assert struct.unpack_from("<Q", self.data, start + 72) == (hashed,)
        magic, version, size, flags, root, sequence, freelist, count, transaction = struct.unpack(
            "<IIIIQQQQQ", body
        )
        assert magic == 0xED0CDAED
        return size, root, sequence, freelist, count, flags, version, transaction

    def _header(self, page: int) -> tuple[int, int, int, int]:
        number, flags, count, overflow = struct.unpack_from(
            "<QHHI", self.data, page * self.page_bytes
        )
        return number, flags, count, overflow

    def _use(self, first: int, count: int) -> None:
        for page in range(first, first + count):
            assert 2 <= page < self.page_count, f"page {page} is out of range"
            assert page not in self.pages, f"page {page} is used twice"
            self.pages[page] = first

    def _bucket(self, name: bytes, value: bytes) -> Items:
        root, sequence = struct.unpack_from("<QQ", value)
        assert sequence == 0
        if root:
            assert len(value) == 16
            items = self._tree(name, root)
        else:
            number, flags, count, overflow = struct.unpack_from("<QHHI", value, 16)
            assert (number, flags, overflow) == (0, 2, 0)
            items, end = self._leaf(value[16:], count)
            assert end == len(value) - 16
            self.inline.add(name)
        assert all(flag == 0 for _, flag, _ in items)
        size = 16 + sum(16 + len(key) + len(item) for key, _, item in items)
        assert (root == 0) == (size <= self.page_bytes // 4), "inline exactly when small"
        return [(key, item) for key, _, item in items]

    def _tree(self, name: bytes, root: int) -> list[tuple[bytes, int, bytes]]:
        """All elements under a page, level by level from the root."""
        level: list[tuple[bytes | None, int]] = [(None, root)]
        depth = 0
        while True:
            kinds = {self._header(page)[1] for _, page in level}
            assert len(kinds) == 1, "leaves are equally deep"
            depth += 1
            if kinds == {2}:
                break
            assert kinds == {1}
            level = [child for key, page in level for child in self._branch(key, page)]
        self.depths[name] = depth
        items = [item for key, page in level for item in self._leaf_page(name, key, page)]
        keys = [key for key, _, _ in items]
        assert keys == sorted(set(keys)), "keys ascend"
        return items

    def _branch(self, expected_key: bytes | None, page: int) -> list[tuple[bytes | None, int]]:
        data, count = self._page(page)
        assert count >= 2, f"branch page {page} has {count} children"
        children: list[tuple[bytes | None, int]] = []
        end = 16 + 16 * count
        for start in range(16, 16 + 16 * count, 16):
            position, key_bytes, child = struct.unpack_from("<IIQ", data, start)
            assert start + position == end, "keys lie in order, without gaps"
            end += key_bytes
            children.append((data[end - key_bytes : end], child))
        self._is_full_run(page, end)
        assert expected_key in (None, children[0][0]), "branch key is its child's first"
        return children

    def _leaf_page(
        self, name: bytes, expected_key: bytes | None, page: int
    ) -> list[tuple[bytes, int, bytes]]:
        data, count = self._page(page)
        assert count or expected_key is None, f"leaf page {page} is empty and no root"
        items, end = self._leaf(data, count)
        self._is_full_run(page, end)
        assert expected_key is None or expected_key == items[0][0], "branch key is its child's"
        self.leaf_counts.setdefault(name, []).append(count)
        return items

    def _page(self, page: int) -> tuple[bytes, int]:
        number, _, count, overflow = self._header(page)
        assert number == page
        self._use(page, 1 + overflow)
        start = page * self.page_bytes
        return self.data[start : start + (1 + overflow) * self.page_bytes], count

    def _is_full_run(self, page: int, end: int) -> None:
        _, _, _, overflow = self._header(page)
        assert overflow == (end - 1) // self.page_bytes, "no more pages than needed"

    @staticmethod
    def _leaf(data: bytes, count: int) -> tuple[list[tuple[bytes, int, bytes]], int]:
        items = []
        end = 16 + 16 * count
        for start in range(16, 16 + 16 * count, 16):
            flag, position, key_bytes, value_bytes = struct.unpack_from("<IIII", data, start)
            assert start + position == end, "keys and values lie in order, without gaps"
            assert key_bytes > 0
            key = data[end : end + key_bytes]
            end += key_bytes + value_bytes
            items.append((key, flag, data[end - value_bytes : end]))
        assert end <= len(data)
        return items, end


def walk(path: Path) -> Walk:
    """What a database holds, after it has been found flawless."""
    result = Walk(path.read_bytes())
    result.run()
    return result
