"""The list of pages that are free to be written to.

Invariant: the ids are given as they are stored, any number of them without a copy; whether they are
sensible is for the check to say, since reading a database needs none of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from raft_state.bolt import layout
from raft_state.bolt.pages import Pages, Run


@dataclass(frozen=True, slots=True)
class Freelist:
    """A freelist page that fits its own count."""

    run: Run
    count: int
    start: int
    """Where the ids begin in the page."""

    def ids(self) -> Iterator[int]:
        """The free pages, in the order in which they are stored."""
        ids = self.run.view[self.start : self.start + self.count * layout.PAGE_ID.size]
        return (page for (page,) in layout.PAGE_ID.iter_unpack(ids))


def read_freelist(pages: Pages, meta: layout.Meta, meta_page: int) -> Freelist | None:
    """The freelist that this meta page names, or None if its database does not store one.

    Raises DatabaseDamaged when it is no freelist or longer than its page.
    """
    if meta.freelist_page == layout.NO_FREELIST:
        return None
    run = pages.run(pages.referred(meta.freelist_page, meta_page, "the freelist page"))
    if run.flags != layout.FREELIST:
        raise pages.damaged(run.number, f"flags {run.flags:#x} are not those of a freelist")
    count, start = run.count, layout.PAGE_HEADER_BYTES
    if count == layout.COUNT_OVERFLOWS:
        (count,) = layout.PAGE_ID.unpack_from(run.view, start)
        start += layout.PAGE_ID.size
    room = (len(run.view) - start) // layout.PAGE_ID.size
    if count > room:
        raise pages.damaged(run.number, f"{count} free pages are listed where {room} have room")
    return Freelist(run, count, start)
