"""A writer that recycles pages as bolt does, write by write, so that tests can look in between.

What matters about bolt here: a transaction writes only to pages that are free in the one before it,
lowest first, and those that its predecessor gave up are free at once; the file grows before the
meta page tells of it; the meta page is written last, in the place of the transaction before the
last.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from raft_state.bolt import layout, open_database
from raft_state.bolt.layout import Meta
from tests.raft_state import bolt_images as images
from tests.raft_state.bolt_images import PAGE_BYTES, key

ENTRIES_PER_LEAF = 3


class Recycler:
    """A database of which each transaction rewrites every value to its own number."""

    def __init__(self, path: Path, leaves: int = 8, grow_every: int = 0) -> None:
        self.leaves = leaves
        self.transaction_id = 1
        self._grow_every = grow_every
        """Every how many transactions some pages are added; 0: never."""
        self._page_count = 2
        self._free: set[int] = set()
        self._used: set[int] = set()
        path.write_bytes(b"")
        self._descriptor = os.open(path, os.O_RDWR)
        self.commit()
        self.commit()

    def close(self) -> None:
        """End writing."""
        os.close(self._descriptor)

    def commit(self) -> None:
        """A whole transaction."""
        for _ in self.steps():
            pass

    def steps(self) -> Iterator[None]:
        """A transaction; each step is one write to the file."""
        transaction = self.transaction_id + 1
        used: list[int] = []
        count = ENTRIES_PER_LEAF * self.leaves
        numbers = [self._allocate(used) for _ in range(self.leaves)]
        children = []
        for index, number in enumerate(numbers):
            first = 1 + index * ENTRIES_PER_LEAF
            items = [(key(first + n), value_of(transaction)) for n in range(ENTRIES_PER_LEAF)]
            children.append((items[0][0], number))
            yield from self._write(number, images.leaf(number, images.plain(items)))
        branch, root, freelist = (self._allocate(used) for _ in range(3))
        yield from self._write(branch, images.branch(branch, children))
        element = (layout.BUCKET_ELEMENT, b"logs", images.bucket_value(branch, count))
        yield from self._write(root, images.leaf(root, [element]))
        if self._grow_every and transaction % self._grow_every == 0:
            self._free.update(range(self._page_count, self._page_count + 5))
            self._page_count += 5
        # As in bolt, what this gives up is listed as free: once it is committed nobody needs that.
        self._free |= self._used
        self._used = set(used)
        yield from self._write(freelist, images.freelist(freelist, sorted(self._free)))
        os.truncate(self._descriptor, (self._page_count + 3) * PAGE_BYTES)
        meta = Meta(
            page_bytes=PAGE_BYTES,
            root_page=root,
            freelist_page=freelist,
            page_count=self._page_count,
            transaction_id=transaction,
        )
        yield from self._write(transaction % 2, images.meta_page(meta))
        self.transaction_id = transaction

    def _allocate(self, used: list[int]) -> int:
        if self._free:
            page = min(self._free)
            self._free.remove(page)
        else:
            page = self._page_count
            self._page_count += 1
        used.append(page)
        return page

    def _write(self, number: int, data: bytes) -> Iterator[None]:
        os.pwrite(self._descriptor, data, number * PAGE_BYTES)
        yield


def value_of(transaction: int) -> bytes:
    """A value that tells its transaction everywhere in a page."""
    return transaction.to_bytes(8, "big") * 160


def transaction_in(path: Path) -> int:
    """The transaction that all values of this database are of; they have to agree."""
    with open_database(path) as database:
        logs = database.bucket(b"logs")
        assert logs is not None
        values = {bytes(value) for _, value in logs.items()}
        assert logs.count() == logs.sequence
        assert values == {value_of(database.meta.transaction_id)}
        return database.meta.transaction_id
