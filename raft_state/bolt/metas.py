"""Which of the two meta pages counts, and how long a page is.

Law: among the valid meta pages the one with the higher transaction id counts, as in every version
of bolt. That one of them is bad is a warning: a commit that was cut short leaves just that behind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from raft_state.bolt import layout
from raft_state.bolt.damage import Damage, DatabaseDamaged
from raft_state.bolt.layout import Meta

ReadAt = Callable[[int, int], bytes]
"""Up to `size` bytes from `offset` of the file; fewer only where it ends."""

_PAGES_MIN = 3
"""Two meta pages and a root: a database that does not store its free pages has no more."""


@dataclass(frozen=True, slots=True)
class ActiveMeta:
    """The meta page that counts."""

    meta: Meta
    page: int
    """0 or 1."""
    warnings: tuple[Damage, ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A meta page that was looked at. It is valid unless there is a problem."""

    page: int
    stored: layout.StoredMeta | None
    problem: str


def active_meta(path: Path, read_at: ReadAt, bytes_now: Callable[[], int]) -> ActiveMeta:
    """The meta page that counts in this file, whose pages then all lie within the file.

    `bytes_now` gives the length of the file. It is asked last: while another process writes, the
    file grows before a meta page tells of it. Raises DatabaseDamaged when neither meta page is
    valid, or when the one that counts cannot be true.
    """
    first = _candidate(read_at, 0, 0)
    if first.stored is not None and not first.problem:
        second = _candidate(read_at, 1, first.stored.meta.page_bytes)
    else:
        second = _probed(read_at)
    valid = [each.stored for each in (first, second) if each.stored and not each.problem]
    if not valid:
        raise DatabaseDamaged(path, 0, f"{first.problem}; page 1: {second.problem}")
    # `max` keeps the first of equals, as bolt does.
    stored = max(valid, key=lambda each: each.meta.transaction_id)
    page = 0 if stored is first.stored else 1
    _refuse_impossible(path, stored.meta, page, bytes_now())
    return ActiveMeta(stored.meta, page, _warnings(first, second, stored.meta))


def _candidate(read_at: ReadAt, page: int, offset: int) -> _Candidate:
    """The meta page at this offset, judged by itself."""
    data = read_at(offset + layout.PAGE_HEADER_BYTES, layout.META_BYTES)
    if len(data) < layout.META_BYTES:
        return _Candidate(page, None, "the file ends before the end of its meta page")
    stored = layout.unpack_meta(data)
    return _Candidate(page, stored, _problem(stored, page, offset))


def _problem(stored: layout.StoredMeta, page: int, offset: int) -> str:
    """Why this is no valid meta page, or nothing."""
    meta = stored.meta
    if meta.magic != layout.MAGIC:
        return f"this is no meta page of a BoltDB database (magic number {meta.magic:#010x})"
    if meta.version != layout.VERSION:
        return f"format version {meta.version} of BoltDB is not known, only {layout.VERSION}"
    # Zero is what old writers left; op-conductor's bbolt 1.3.5 takes it, and so does this reader.
    if stored.checksum not in (0, stored.checksum_expected):
        return (
            f"the checksum of the meta page is {stored.checksum:#018x} "
            f"instead of {stored.checksum_expected:#018x}"
        )
    if not _is_page_size(meta.page_bytes):
        return f"a page size of {meta.page_bytes} bytes is impossible"
    if page == 1 and meta.page_bytes != offset:
        return f"a page size of {meta.page_bytes} bytes, but this page is at byte {offset}"
    return ""


def _is_page_size(page_bytes: int) -> bool:
    """Whether it is a power of two in the range that is supported."""
    in_range = layout.PAGE_BYTES_MIN <= page_bytes <= layout.PAGE_BYTES_MAX
    return in_range and page_bytes & (page_bytes - 1) == 0


def _probed(read_at: ReadAt) -> _Candidate:
    """Meta page 1 where it first fits, when meta page 0 does not tell how long a page is."""
    page_bytes = layout.PAGE_BYTES_MIN
    while page_bytes <= layout.PAGE_BYTES_MAX:
        candidate = _candidate(read_at, 1, page_bytes)
        if not candidate.problem:
            return candidate
        page_bytes *= 2
    return _Candidate(1, None, "no valid meta page at any page size")


def _refuse_impossible(path: Path, meta: Meta, page: int, file_bytes: int) -> None:
    """Stop at a meta page that promises pages which cannot be or are not there.

    Everything that is read later lies below `meta.page_count`: this is what keeps the memory map
    from being touched behind the end of the file, which would kill the process (SIGBUS).
    """
    if meta.page_count < _PAGES_MIN:
        raise DatabaseDamaged(
            path, page, f"a high-water mark of {meta.page_count} leaves no room for a root page"
        )
    if meta.page_count * meta.page_bytes > file_bytes:
        raise DatabaseDamaged(
            path,
            file_bytes // meta.page_bytes,
            f"the file ends in or before this page: it has {file_bytes} bytes, and its "
            f"{meta.page_count} pages need {meta.page_count * meta.page_bytes}; it was cut off",
        )


def _warnings(first: _Candidate, second: _Candidate, used: Meta) -> tuple[Damage, ...]:
    """What is not right with the meta pages, though the database can be read."""
    found = []
    for candidate in (first, second):
        if candidate.problem:
            way_out = f"transaction {used.transaction_id} of the other meta page counts"
            found.append(Damage(candidate.page, f"{candidate.problem}; {way_out}", "warning"))
        elif candidate.stored is not None and candidate.stored.checksum == 0:
            reason = "the meta page has no checksum: bbolt 1.3.7 and newer do not take it"
            found.append(Damage(candidate.page, reason, "warning"))
    return tuple(found)
