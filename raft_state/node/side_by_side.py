"""Logs of several nodes, read together, entry by entry.

Invariant: no more than one entry of each is held, however long they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from raft_state.raft import LogEntry

COMPARED_BYTES = 2**20
"""Of two values, at once."""

Items = Iterator[tuple[int, memoryview]]
"""Index and value of each entry, ascending."""


@dataclass(frozen=True, slots=True)
class NodeLog:
    """One node's log, to be read once."""

    server_id: str
    items: Iterable[tuple[int, memoryview]]


def side_by_side(logs: Sequence[NodeLog]) -> Iterator[tuple[int, list[tuple[str, memoryview]]]]:
    """Each index that any log has, with the values of those that have it."""
    readers = {log.server_id: iter(log.items) for log in logs}
    heads: dict[str, tuple[int, memoryview]] = {}
    _advance(readers, heads, list(readers))
    while heads:
        index = min(head[0] for head in heads.values())
        # Sorted, so that two nodes are always compared the same way round.
        here = sorted(name for name, head in heads.items() if head[0] == index)
        yield index, [(name, heads.pop(name)[1]) for name in here]
        _advance(readers, heads, here)


def same_bytes(one: memoryview, other: memoryview) -> bool:
    """Whether two values are equal, compared in pieces."""
    if len(one) != len(other):
        return False
    return all(
        bytes(one[start : start + COMPARED_BYTES]) == bytes(other[start : start + COMPARED_BYTES])
        for start in range(0, len(one), COMPARED_BYTES)
    )


def all_equal(values: Sequence[memoryview]) -> bool:
    """Whether all values are the same bytes."""
    return all(same_bytes(values[0], value) for value in values[1:])


def same_content(one: LogEntry, other: LogEntry) -> bool:
    """Equal but for the time stamp, which releases before 1.3 did not keep, and nil for empty.

    Of two entries of one index and term.
    """
    return (
        one.type == other.type
        and same_bytes(memoryview(one.data or b""), memoryview(other.data or b""))
        and bytes(one.extensions or b"") == bytes(other.extensions or b"")
    )


def difference(one: LogEntry, other: LogEntry) -> str:
    """In what two entries of one index and term differ."""
    if one.type != other.type:
        return f"type ({one.type} and {other.type})"
    if not same_bytes(memoryview(one.data or b""), memoryview(other.data or b"")):
        return f"data ({len(one.data or b'')} and {len(other.data or b'')} bytes)"
    return "extensions"


def _advance(
    readers: dict[str, Items], heads: dict[str, tuple[int, memoryview]], names: list[str]
) -> None:
    for name in names:
        item = next(readers[name], None)
        if item is not None:
            heads[name] = item
