"""Whether a database is sound: for reading it, and for bolt to go on writing to it.

Law: everything that the format promises is looked at, and every finding names the page. Damage
never ends the check: what hangs below a damaged page is left out, and so are then the pages that
nothing refers to, since the damaged page may have referred to them.

Beyond what `bbolt check` looks at: that each branch element has exactly the first key of its child
(if it is lower, the next write there duplicates the child), that a branch has two children or more
and that no leaf but a root is empty (deleting panics), free pages that cannot be free, element
bounds, and the meta page that does not count.

Memory: one byte for each page of the file, and one path from the root to a leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from raft_state.bolt import layout
from raft_state.bolt.bucket import Bucket, open_bucket
from raft_state.bolt.damage import Damage, DatabaseDamaged
from raft_state.bolt.database import Database
from raft_state.bolt.freelist import Freelist, read_freelist
from raft_state.bolt.page_map import PageMap, Use
from raft_state.bolt.pages import FIRST_PAGE, Page, shown
from raft_state.bolt.tree import DEPTH_MAX, load_child

Progress = Callable[[int, int], None]
"""Called with how many pages are known by now, and how many there are."""

NESTING_MAX = 16
"""Buckets inside buckets; Raft's are one deep."""

FINDINGS_MAX = 1000
"""More are not told: a page full of nonsense gives one for each of its words."""

_CHILDREN_MIN = 2


def check_database(database: Database, *, progress: Progress | None = None) -> Iterator[Damage]:
    """Everything that is wrong with the structure of a database; raises for none of it."""
    return DatabaseCheck(database, progress).findings()


@dataclass(slots=True)
class _Step:
    """A page on the path from the root bucket down, and how far it has been looked through."""

    page: Page
    upper: bytes | None
    """All keys on the page and below have to be lower. None: no limit."""
    depth: int
    """How many branches of the same bucket are above it."""
    nesting: int
    """How many buckets it is in; the nameless one at the top does not count."""
    index: int = 0


class DatabaseCheck:
    """One check of one database; after it, `page_map` tells what each page is used for."""

    def __init__(self, database: Database, progress: Progress | None = None) -> None:
        self.page_map = PageMap(database.pages.count)
        self._database = database
        self._pages = database.pages
        self._progress = progress or (lambda done, total: None)
        self._is_whole = True
        """Whether every page that the database refers to could be followed."""

    def findings(self) -> Iterator[Damage]:
        """What is wrong, in the order in which it is found. To be called once."""
        found = self._all_findings()
        yield from islice(found, FINDINGS_MAX)
        if next(found, None) is not None:
            yield Damage(None, f"more than {FINDINGS_MAX} findings: the others are not told")
        self._progress(self._pages.count, self._pages.count)

    def _all_findings(self) -> Iterator[Damage]:
        yield from self._database.warnings
        yield from self._meta_pages()
        yield from self._trees()
        yield from self._free_pages()

    def _meta_pages(self) -> Iterator[Damage]:
        """The headers around the two meta pages, and the file around all pages."""
        for number in range(FIRST_PAGE):
            start = number * self._pages.page_bytes
            page_id, flags, _, _ = layout.PAGE_HEADER.unpack_from(self._pages.view, start)
            if page_id != number:
                yield Damage(number, f"its header says that it is page {page_id}")
            if flags != layout.META:
                yield Damage(number, f"flags {flags:#x} are not those of a meta page")
        file_bytes = self._database.file_bytes
        if file_bytes < layout.FILE_BYTES_MIN:
            reason = (
                f"bolt takes no file below {layout.FILE_BYTES_MIN} bytes: this has {file_bytes}"
            )
            yield Damage(None, reason, "warning")

    # Trees

    def _trees(self) -> Iterator[Damage]:
        """All buckets, each branch and leaf once, without recursion."""
        try:
            path = [_Step(self._claimed(self._database.root.root), None, 0, 0)]
        except DatabaseDamaged as damaged:
            yield self._lost(damaged)
            return
        yield from _page_findings(path[0])
        while path:
            step = path[-1]
            if step.index == step.page.count:
                path.pop()
                continue
            index, step.index = step.index, step.index + 1
            try:
                below = self._step_below(step, index)
            except DatabaseDamaged as damaged:
                yield self._lost(damaged)
                continue
            if below is not None:
                yield from _page_findings(below)
                path.append(below)
            elif step.nesting == 0:
                name = shown(step.page.key(index))
                reason = f"at the top there are only buckets, but {name} is a value"
                yield Damage(step.page.number, reason)

    def _lost(self, damaged: DatabaseDamaged) -> Damage:
        self._is_whole = False
        return damaged.damage

    def _step_below(self, step: _Step, index: int) -> _Step | None:
        """The page that an element leads to; None for a plain value. Raises DatabaseDamaged."""
        page = step.page
        if page.is_leaf:
            is_bucket, key, value = page.element(index)
            if not is_bucket:
                return None
            if step.nesting == NESTING_MAX:
                reason = f"bucket {shown(key)} is inside more than {NESTING_MAX} others"
                raise self._pages.damaged(page.number, reason)
            bucket = open_bucket(self._pages, page.number, key, value)
            return _Step(self._bucket_root(bucket), None, 0, step.nesting + 1)
        if step.depth == DEPTH_MAX:
            raise self._pages.damaged(page.number, f"it is {DEPTH_MAX} pages below its root")
        last = index + 1 == page.count
        upper = step.upper if last else page.key(index + 1)
        child = self._claimed(load_child(self._pages, page, index))
        return _Step(child, upper, step.depth + 1, step.nesting)

    def _bucket_root(self, bucket: Bucket) -> Page:
        return bucket.root if bucket.is_inline else self._claimed(bucket.root)

    def _claimed(self, page: Page) -> Page:
        """The same page, which nothing else has referred to. Raises DatabaseDamaged."""
        use = Use.LEAF if page.is_leaf else Use.BRANCH
        taken = self.page_map.claim(page.number, page.pages, use)
        if taken is not None:
            whose = "" if taken == page.number else f", overflow of page {page.number},"
            raise self._pages.damaged(taken, f"this page{whose} is referred to more than once")
        self._progress(self.page_map.claimed, self._pages.count)
        return page

    # Free pages

    def _free_pages(self) -> Iterator[Damage]:
        """The freelist, and the pages that are in no tree and not in it."""
        try:
            freelist = self._freelist()
        except DatabaseDamaged as damaged:
            yield self._lost(damaged)
        else:
            if freelist is None:
                return  # Then every page that nothing refers to is free.
            yield from self._listed(freelist)
        if not self._is_whole:
            reason = "damage above: pages that nothing refers to were not looked for"
            yield Damage(None, reason, "warning")
            return
        for first, last in self.page_map.runs(Use.UNKNOWN):
            pages = "it is" if first == last else f"pages {first} to {last} are"
            yield Damage(first, f"{pages} neither in use nor listed as free")

    def _freelist(self) -> Freelist | None:
        freelist = read_freelist(self._pages, self._database.meta, self._database.meta_page)
        if freelist is None:
            return None
        run = freelist.run
        taken = self.page_map.claim(run.number, run.pages, Use.FREELIST)
        if taken is not None:
            use = self.page_map.use(taken).name.lower()
            reason = f"the freelist at page {run.number} takes it, but it is in use ({use})"
            raise self._pages.damaged(taken, reason)
        return freelist

    def _listed(self, freelist: Freelist) -> Iterator[Damage]:
        """The pages that the freelist names."""
        holder = freelist.run.number
        previous = 0
        is_sorted = True
        for page in freelist.ids():
            is_sorted = is_sorted and page >= previous
            previous = page
            if not FIRST_PAGE <= page < self._pages.count:
                last = self._pages.count - 1
                yield Damage(holder, f"it lists page {page}, but only {FIRST_PAGE} to {last} exist")
            elif self.page_map.claim(page, 1, Use.FREE) is not None:
                use = self.page_map.use(page)
                but = "twice" if use is Use.FREE else f"but it is in use ({use.name.lower()})"
                yield Damage(page, f"page {holder} lists it as free, {but}")
        if not is_sorted:
            yield Damage(holder, "the free pages are not in ascending order", "warning")


def _page_findings(step: _Step) -> Iterator[Damage]:
    """What is wrong with a page that can be read, and whose parent has its first key."""
    page = step.page
    if not page.is_leaf and page.count < _CHILDREN_MIN:
        reason = f"a branch has two children or more, not {page.count}: bolt panics when it deletes"
        yield Damage(page.number, reason)
    if step.upper is not None and page.count and page.key(page.count - 1) >= step.upper:
        reason = (
            f"its last key {shown(page.key(page.count - 1))} is not lower than "
            f"{shown(step.upper)}, the first key after it in the page above"
        )
        yield Damage(page.number, reason)
    # bolt writes pages into zeroed memory. A page's length is enough to look at in a long overflow.
    tail = bytes(page.view[page.end : page.end + len(page.view) // max(page.pages, 1)])
    if tail.count(0) != len(tail):
        reason = "there are bytes after its last value: a size in it may have been changed"
        yield Damage(page.number, reason, "warning")
