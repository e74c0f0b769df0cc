"""What a survivor holds that is not in the one that the others are recovered from.

Law: two logs of one cluster agree up to some index and never again behind it, and what is committed
is in every later leader's log. Whatever contradicts that is told as such: the directories are not
of one history, or the wrong one was chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from raft_state.bolt import DatabaseDamaged
from raft_state.node import (
    NodeLog,
    NodeState,
    difference,
    open_node,
    same_bytes,
    same_content,
    side_by_side,
)
from raft_state.raft import EncodingDamaged, decode_entry
from raft_state.recover.survivor import Survivor

_SOURCE, _OTHER = "0", "1"


@dataclass(frozen=True, slots=True)
class Divergence:
    """How a survivor differs from the source."""

    server_id: str
    dropped_first: int
    dropped_last: int
    """The survivor's entries that are not in the source; from 1 to 0 when there are none."""
    contradiction: str
    """Why Raft cannot have left both; empty when it can."""

    @property
    def drops(self) -> bool:
        """Whether anything of the survivor is lost."""
        return self.dropped_first <= self.dropped_last


def compare(source: Survivor, other: Survivor) -> Divergence:
    """Compare two survivors of which no conductor uses any. DatabaseDamaged, StoreLocked."""
    split, contradiction = _walk(source, other)
    first = split if split is not None else source.last_index + 1
    last = other.last_index
    if not contradiction and first <= min(last, other.certain_index):
        contradiction = (
            f"entries {first} to {min(last, other.certain_index)} of {other.server_id} are "
            f"committed for sure, and {source.server_id} does not have them"
        )
    dropped = (first, last) if first <= last else (1, 0)
    return Divergence(other.server_id, *dropped, contradiction)


def _walk(source: Survivor, other: Survivor) -> tuple[int | None, str]:
    """The first index at which the terms differ, and what cannot be."""
    split: int | None = None
    with open_node(source.directory) as one, open_node(other.directory) as two:
        logs = [NodeLog(_SOURCE, _items(one)), NodeLog(_OTHER, _items(two))]
        for index, values in side_by_side(logs):
            if len(values) < 2:
                continue
            (_, mine), (_, theirs) = values
            is_same_term, problem = _relation(index, mine, theirs)
            if not is_same_term:
                split = index if split is None else split
                continue
            if not problem and split is not None:
                problem = f"they differ in term at index {split} and agree again at {index}"
            if problem:
                return split, f"{source.server_id} and {other.server_id}: {problem}"
        splits = [*_boundary_splits(one, two), *([] if split is None else [split])]
    return min(splits, default=None), ""


def _items(node: NodeState) -> Iterator[tuple[int, memoryview]]:
    """The entries as far as they can be read."""
    try:
        for stored in node.log.entries() if node.log is not None else ():
            if stored.index is not None:
                yield stored.index, stored.value
    except DatabaseDamaged:
        return


def _boundary_splits(one: NodeState, two: NodeState) -> Iterator[int]:
    """Where the last entry in a snapshot of one is of another term than that in the other's log."""
    for holder, log in ((one, two.log), (two, one.log)):
        for snapshot in holder.snapshots.usable[:1]:
            stored = log.entry(snapshot.meta.index) if log is not None else None
            if stored is None or stored.decoded is None:
                continue
            if stored.decoded.entry.term != snapshot.meta.term:
                yield snapshot.meta.index


def _relation(index: int, one: memoryview, other: memoryview) -> tuple[bool, str]:
    """Whether two values are entries of one term; and why they then cannot be what they are."""
    if same_bytes(one, other):
        return True, ""
    try:
        mine, theirs = decode_entry(one).entry, decode_entry(other).entry
    except EncodingDamaged:
        return False, ""
    if mine.term != theirs.term or same_content(mine, theirs):
        return mine.term == theirs.term, ""
    return True, (
        f"their entries at index {index} are both of term {mine.term} and differ in "
        f"{difference(mine, theirs)}"
    )
