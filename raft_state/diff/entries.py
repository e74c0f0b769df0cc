"""Compares two logs, entry by entry, and tells in few words where they differ.

Invariant: of each log one entry is held, and no more ranges than RANGES_MAX; beyond them entries
are only counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from raft_state.node import (
    LogStore,
    NodeLog,
    difference,
    same_bytes,
    same_content,
    side_by_side,
)
from raft_state.raft import EncodingDamaged, LogEntry, decode_entry, shown

RANGES_MAX = 100

ONLY_A = "only in A"
ONLY_B = "only in B"


@dataclass(frozen=True, slots=True)
class EntryRange:
    """Entries behind each other that differ alike."""

    first: int
    last: int
    kind: str
    """`only in A`, `only in B`, or the part in which both differ."""
    detail: str
    """Of the first of them: both sides."""


@dataclass(frozen=True, slots=True)
class LogDifference:
    """Two logs, compared."""

    ranges: tuple[EntryRange, ...]
    more: int
    """Entries that differ behind the last range that is told."""
    equal: int
    """How many entries are in both and equal."""
    remarks: tuple[str, ...]
    """Keys that are no indices."""


def compare_logs(a: LogStore | None, b: LogStore | None) -> LogDifference:
    """Compare two logs; None is an empty one. Raises DatabaseDamaged."""
    ranges: list[EntryRange] = []
    more = equal = 0
    remarks: list[str] = []
    logs = [NodeLog("A", _items(a, "A", remarks)), NodeLog("B", _items(b, "B", remarks))]
    for index, values in side_by_side(logs):
        found = _judge(index, values)
        if found is None:
            equal += 1
        elif ranges and ranges[-1].last + 1 == index and ranges[-1].kind == found.kind:
            ranges[-1] = replace(ranges[-1], last=index)
        elif len(ranges) < RANGES_MAX:
            ranges.append(found)
        else:
            more += 1
    return LogDifference(tuple(ranges), more, equal, tuple(remarks))


def _items(log: LogStore | None, name: str, remarks: list[str]) -> Iterator[tuple[int, memoryview]]:
    for stored in log.entries() if log is not None else ():
        if stored.index is not None:
            yield stored.index, stored.value
        elif len(remarks) < RANGES_MAX:
            remarks.append(f"{name}: the key {shown(stored.key)} of the log is no index")


def _judge(index: int, values: list[tuple[str, memoryview]]) -> EntryRange | None:
    """What differs at an index; None when nothing does."""
    if len(values) == 1:
        ((name, value),) = values
        return EntryRange(index, index, ONLY_A if name == "A" else ONLY_B, _shown(value))
    (_, one), (_, other) = values
    if same_bytes(one, other):
        return None
    try:
        kind, detail = _difference(decode_entry(one).entry, decode_entry(other).entry)
    except EncodingDamaged as error:
        kind, detail = "bytes", f"and one of them cannot be decoded: {error}"
    return EntryRange(index, index, kind, detail) if kind else None


def _difference(one: LogEntry, other: LogEntry) -> tuple[str, str]:
    """The part that differs, and both sides of it; empty when only the encoding differs."""
    if one.index != other.index:
        return "index", f"{one.index} and {other.index}"
    if one.term != other.term:
        return "term", f"{one.term} and {other.term}"
    if not same_content(one, other):
        part, _, detail = difference(one, other).partition(" ")
        return part, detail.strip("()")
    if one.appended_at != other.appended_at:
        times = [each.appended_at for each in (one, other)]
        return "time", " and ".join(at.isoformat() if at is not None else "none" for at in times)
    return "", ""


def _shown(value: memoryview) -> str:
    try:
        entry = decode_entry(value).entry
    except EncodingDamaged as error:
        return f"which cannot be decoded: {error}"
    return f"{entry.type_name}, term {entry.term}"
