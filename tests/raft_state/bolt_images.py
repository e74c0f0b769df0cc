"""Databases made byte by byte for tests, right or wrong at will; independent of the writer.

`sample` is a small sound database with everything in it that a page can refer to. `Surgery` changes
single fields of one; it makes the checksums of meta pages right again, or nothing else was read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import replace

from raft_state.bolt import layout
from raft_state.bolt.layout import Meta

PAGE_BYTES = 4096

Element = tuple[int, bytes, bytes]
"""Flags, key, value."""


def key(number: int) -> bytes:
    """A key as Raft's log has them."""
    return struct.pack(">Q", number)


def plain(items: Iterable[tuple[bytes, bytes]]) -> list[Element]:
    """Elements with plain values."""
    return [(0, name, value) for name, value in items]


def leaf_body(elements: Sequence[Element]) -> bytes:
    """Elements and data of a leaf, without the page header."""
    headers, data = bytearray(), bytearray()
    for index, (flags, name, value) in enumerate(elements):
        position = (len(elements) - index) * layout.ELEMENT_BYTES + len(data)
        headers += layout.LEAF_ELEMENT.pack(flags, position, len(name), len(value))
        data += name + value
    return bytes(headers + data)


def branch_body(children: Sequence[tuple[bytes, int]]) -> bytes:
    """Elements and keys of a branch, without the page header."""
    headers, data = bytearray(), bytearray()
    for index, (name, child) in enumerate(children):
        position = (len(children) - index) * layout.ELEMENT_BYTES + len(data)
        headers += layout.BRANCH_ELEMENT.pack(position, len(name), child)
        data += name
    return bytes(headers + data)


def freelist_body(ids: Sequence[int]) -> tuple[int, bytes]:
    """The count for the page header, and what follows that header."""
    body = struct.pack(f"<{len(ids)}Q", *ids)
    if len(ids) < layout.COUNT_OVERFLOWS:
        return len(ids), body
    return layout.COUNT_OVERFLOWS, layout.PAGE_ID.pack(len(ids)) + body


def page(number: int, flags: int, count: int, body: bytes, page_bytes: int = PAGE_BYTES) -> bytes:
    """A page with as much overflow as it needs."""
    pages = -(-(layout.PAGE_HEADER_BYTES + len(body)) // page_bytes)
    header = layout.PAGE_HEADER.pack(number, flags, count, pages - 1)
    return (header + body).ljust(pages * page_bytes, b"\0")


def leaf(number: int, elements: Sequence[Element], page_bytes: int = PAGE_BYTES) -> bytes:
    """A leaf page."""
    return page(number, layout.LEAF, len(elements), leaf_body(elements), page_bytes)


def branch(
    number: int, children: Sequence[tuple[bytes, int]], page_bytes: int = PAGE_BYTES
) -> bytes:
    """A branch page."""
    return page(number, layout.BRANCH, len(children), branch_body(children), page_bytes)


def freelist(number: int, ids: Sequence[int], page_bytes: int = PAGE_BYTES) -> bytes:
    """A freelist page."""
    return page(number, layout.FREELIST, *freelist_body(ids), page_bytes)


def bucket_value(root_page: int, sequence: int = 0) -> bytes:
    """What a bucket with pages of its own has as a value."""
    return layout.BUCKET_HEADER.pack(root_page, sequence)


def inline_value(elements: Sequence[Element], sequence: int = 0) -> bytes:
    """What an inline bucket has as a value."""
    header = layout.PAGE_HEADER.pack(0, layout.LEAF, len(elements), 0)
    return bucket_value(0, sequence) + header + leaf_body(elements)


def meta_page(meta: Meta) -> bytes:
    """A meta page for the place that its transaction belongs in."""
    header = layout.PAGE_HEADER.pack(meta.transaction_id % 2, layout.META, 0, 0)
    return (header + meta.pack()).ljust(meta.page_bytes, b"\0")


def image(
    pages: Sequence[bytes],
    *,
    root_page: int,
    freelist_page: int = layout.NO_FREELIST,
    page_bytes: int = PAGE_BYTES,
    transaction_id: int = 3,
) -> bytes:
    """A whole file: the pages from number 2 on, behind two meta pages that both describe them."""
    body = b"".join(pages)
    meta = Meta(
        page_bytes=page_bytes,
        root_page=root_page,
        freelist_page=freelist_page,
        page_count=2 + len(body) // page_bytes,
        transaction_id=transaction_id,
    )
    metas = [meta_page(meta), meta_page(replace(meta, transaction_id=transaction_id - 1))]
    if transaction_id % 2:
        metas.reverse()
    return b"".join(metas) + body


BIG = 5000
CONF = {b"CurrentTerm": key(7), b"LastVoteTerm": key(6)}
LOGS = {key(number): b"value-%d" % number for number in range(1, 9)} | {key(9): b"x" * BIG}
ROOT, LOGS_ROOT, FIRST_LEAF, SECOND_LEAF, THIRD_LEAF, FREELIST, FREE, FREE_TOO = (
    2,
    3,
    4,
    5,
    6,
    8,
    9,
    10,
)
"""The pages of the sample; the third leaf has an overflow page, 7."""
PAGES = 11


def sample() -> bytes:
    """A sound database: `conf` inline, `logs` a branch with three leaves, two free pages."""
    items = list(LOGS.items())
    thirds = [plain(items[start : start + 3]) for start in (0, 3, 6)]
    leaves = (FIRST_LEAF, SECOND_LEAF, THIRD_LEAF)
    root = [
        (layout.BUCKET_ELEMENT, b"conf", inline_value(plain(CONF.items()))),
        (layout.BUCKET_ELEMENT, b"logs", bucket_value(LOGS_ROOT)),
    ]
    children = [(third[0][1], number) for third, number in zip(thirds, leaves, strict=True)]
    return image(
        [
            leaf(ROOT, root),
            branch(LOGS_ROOT, children),
            *(leaf(number, third) for number, third in zip(leaves, thirds, strict=True)),
            freelist(FREELIST, [FREE, FREE_TOO]),
            bytes(2 * PAGE_BYTES),
        ],
        root_page=ROOT,
        freelist_page=FREELIST,
    )


class Surgery:
    """A database whose fields can be changed one at a time."""

    def __init__(self, data: bytes, page_bytes: int = PAGE_BYTES) -> None:
        self.data = bytearray(data)
        self.page_bytes = page_bytes

    def put(self, number: int, offset: int, value: bytes) -> None:
        """Overwrite bytes of a page."""
        start = number * self.page_bytes + offset
        self.data[start : start + len(value)] = value

    def swap(self, one: int, other: int) -> None:
        """Exchange two pages, headers and all."""
        first, second = (
            slice(n * self.page_bytes, (n + 1) * self.page_bytes) for n in (one, other)
        )
        self.data[first], self.data[second] = self.data[second], self.data[first]

    def header(self, number: int, **fields: int) -> None:
        """Change `page_id`, `flags`, `count` or `overflow` of a page."""
        self._fields(
            number, 0, layout.PAGE_HEADER, ("page_id", "flags", "count", "overflow"), fields
        )

    def leaf_element(self, number: int, index: int, **fields: int) -> None:
        """Change `flags`, `position`, `key_bytes` or `value_bytes` of a leaf's element."""
        names = ("flags", "position", "key_bytes", "value_bytes")
        self._fields(number, _element(index), layout.LEAF_ELEMENT, names, fields)

    def branch_element(self, number: int, index: int, **fields: int) -> None:
        """Change `position`, `key_bytes` or `child` of a branch's element."""
        names = ("position", "key_bytes", "child")
        self._fields(number, _element(index), layout.BRANCH_ELEMENT, names, fields)

    def element_key(self, number: int, index: int, value: bytes) -> None:
        """Overwrite the key of a branch's element."""
        start = _element(index)
        place = number * self.page_bytes + start
        position, _, _ = layout.BRANCH_ELEMENT.unpack_from(self.data, place)
        self.put(number, start + position, value)

    def leaf_key(self, number: int, index: int, value: bytes) -> None:
        """Overwrite the key of a leaf's element."""
        start = _element(index)
        place = number * self.page_bytes + start
        _, position, _, _ = layout.LEAF_ELEMENT.unpack_from(self.data, place)
        self.put(number, start + position, value)

    def meta(self, *numbers: int, **fields: int) -> None:
        """Change fields of these meta pages, or of both; the checksums follow."""
        for number in numbers or (0, 1):
            start = number * self.page_bytes + layout.PAGE_HEADER_BYTES
            old = layout.unpack_meta(bytes(self.data[start : start + layout.META_BYTES])).meta
            self.put(number, layout.PAGE_HEADER_BYTES, replace(old, **fields).pack())

    def _fields(
        self,
        number: int,
        offset: int,
        form: struct.Struct,
        names: tuple[str, ...],
        fields: dict[str, int],
    ) -> None:
        place = number * self.page_bytes + offset
        old = dict(zip(names, form.unpack_from(self.data, place), strict=True))
        form.pack_into(self.data, place, *(old | fields).values())
        assert len(old | fields) == len(names), fields


def _element(index: int) -> int:
    return layout.PAGE_HEADER_BYTES + index * layout.ELEMENT_BYTES
