"""Walks over the trees of a database: leaf by leaf in key order, from any key, in both directions.

Law: no walk is endless, whatever the file says. A path is at most DEPTH_MAX pages long, so a branch
that leads back to itself ends it; and every leaf has to continue in strict key order where the one
before it stopped, so a leaf that is referred to twice ends it too. Each branch must name the first
key of its child, which is what makes a search by key as trustworthy as a walk over everything.
"""

from __future__ import annotations

from collections.abc import Iterator

from raft_state.bolt.pages import Page, Pages, shown

DEPTH_MAX = 64
"""Real trees are 10 deep at most: a branch has two children or more, mostly hundreds."""

_Path = list[tuple[Page, int]]
"""The branches above a page, from the root down, each with the index of the child taken."""


def load_child(pages: Pages, branch: Page, index: int) -> Page:
    """The page below this element of a branch, whose first key must be the element's."""
    child = pages.tree_page(branch.child(index))
    if child.count == 0:
        raise pages.damaged(child.number, f"it is empty, but a child of page {branch.number}")
    if child.key(0) != branch.key(index):
        raise pages.damaged(
            branch.number,
            f"element {index}: its key {shown(branch.key(index))} is not the first key "
            f"{shown(child.key(0))} of its child, page {child.number}",
        )
    return child


def leaves(
    pages: Pages, root: Page, *, start: bytes = b"", reverse: bool = False
) -> Iterator[tuple[Page, int]]:
    """Each leaf from `start` on, with the index of the element to begin with.

    Forward, that is the first element whose key is not lower than `start`; in reverse, the last
    whose key is not higher, from where elements are to be taken downwards. The index is one outside
    the leaf when it has no such element, and then another leaf may follow. An empty `start` means
    the end that the walk begins at. Raises DatabaseDamaged.
    """
    path: _Path = []
    leaf = _descend(pages, path, root, start, reverse)
    index = _first_index(leaf, start, reverse)
    while True:
        yield leaf, index
        following = _next_subtree(pages, path, reverse)
        if following is None:
            return
        previous = leaf
        leaf = _descend(pages, path, following, b"", reverse)
        _require_order(pages, *((leaf, previous) if reverse else (previous, leaf)))
        index = leaf.count - 1 if reverse else 0


def _descend(pages: Pages, path: _Path, page: Page, start: bytes, reverse: bool) -> Page:
    """The leaf below `page` that `start` belongs to; the path grows by the branches in between."""
    while not page.is_leaf:
        if page.count == 0:
            raise pages.damaged(page.number, "it is a branch without children")
        if len(path) == DEPTH_MAX:
            raise pages.damaged(page.number, f"it is more than {DEPTH_MAX} pages below its root")
        index = page.count - 1 if reverse else 0
        if start:
            index = max(page.keys_up_to(start) - 1, 0)
        path.append((page, index))
        page = load_child(pages, page, index)
    return page


def _first_index(leaf: Page, start: bytes, reverse: bool) -> int:
    """Where to begin in the leaf that `start` belongs to."""
    if not start:
        return leaf.count - 1 if reverse else 0
    up_to = leaf.keys_up_to(start)
    if reverse:
        return up_to - 1
    return up_to - 1 if up_to and leaf.key(up_to - 1) == start else up_to


def _next_subtree(pages: Pages, path: _Path, reverse: bool) -> Page | None:
    """The page right after (in reverse: before) everything below the last page of the path."""
    while path:
        branch, index = path.pop()
        index += -1 if reverse else 1
        if 0 <= index < branch.count:
            path.append((branch, index))
            return load_child(pages, branch, index)
    return None


def _require_order(pages: Pages, lower: Page, higher: Page) -> None:
    """Stop unless one leaf ends before the other begins. Neither is empty: both have a parent."""
    last, first = lower.key(lower.count - 1), higher.key(0)
    if last >= first:
        # The first key of the higher one is known to be what its branch says.
        raise pages.damaged(
            lower.number,
            f"its last key {shown(last)} is not lower than {shown(first)}, "
            f"the first key of page {higher.number} after it",
        )
