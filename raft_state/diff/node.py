"""Compares the directories of two nodes.

Law: a comparison that damage keeps from being whole is an error, never an answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conductor.errors import NotFound
from raft_state.diff.entries import EntryRange, compare_logs
from raft_state.node import CurrentConfiguration, NodeState, open_node
from raft_state.raft import (
    CURRENT_TERM,
    LAST_VOTE_CANDIDATE,
    LAST_VOTE_TERM,
    Snapshot,
    StableState,
    shown,
)


@dataclass(frozen=True, slots=True)
class ValueDifference:
    """Something that both could have, and how it reads on either side."""

    what: str
    a: str
    b: str


@dataclass(frozen=True, slots=True)
class NodeDifference:
    """Two nodes, compared."""

    a: Path
    b: Path
    entries: tuple[EntryRange, ...]
    more_entries: int
    """Entries that differ and are in none of the ranges."""
    equal_entries: int
    stable: tuple[ValueDifference, ...]
    configuration: tuple[ValueDifference, ...]
    snapshots: tuple[ValueDifference, ...]
    remarks: tuple[str, ...]
    """What is wrong with one of them and no difference by itself."""

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs."""
        return not (self.entries or self.stable or self.configuration or self.snapshots)


def compare_nodes(a: Path, b: Path, *, lock_timeout_s: float = 0.0) -> NodeDifference:
    """Compare two node directories. StoreLocked, StoreDamaged: they cannot be read whole."""
    with (
        open_node(a, lock_timeout_s=lock_timeout_s) as one,
        open_node(b, lock_timeout_s=lock_timeout_s) as other,
    ):
        _require_readable(one)
        _require_readable(other)
        log = compare_logs(one.log, other.log)
        return NodeDifference(
            a=a,
            b=b,
            entries=log.ranges,
            more_entries=log.more,
            equal_entries=log.equal,
            stable=tuple(_stable(one.stable, other.stable)),
            configuration=tuple(_configuration(one, other)),
            snapshots=tuple(_snapshots(one, other)),
            remarks=(*_remarks("A", one), *_remarks("B", other), *log.remarks),
        )


def _require_readable(node: NodeState) -> None:
    for failure in node.failures.values():
        if not isinstance(failure, NotFound):
            raise failure


def _stable(a: StableState | None, b: StableState | None) -> Iterator[ValueDifference]:
    one, other = _stable_values(a), _stable_values(b)
    for name in sorted(one.keys() | other.keys()):
        if one.get(name) != other.get(name):
            yield ValueDifference(name, one.get(name, "none"), other.get(name, "none"))


def _stable_values(stable: StableState | None) -> dict[str, str]:
    if stable is None:
        return {}
    values = {
        CURRENT_TERM.decode(): stable.current_term,
        LAST_VOTE_TERM.decode(): stable.last_vote_term,
        LAST_VOTE_CANDIDATE.decode(): _text(stable.last_vote_candidate),
        **{shown(key): _text(value) for key, value in stable.unknown.items()},
    }
    return {name: str(value) for name, value in values.items() if value is not None}


def _text(value: bytes | None) -> str | None:
    return None if value is None else shown(value)


def _configuration(a: NodeState, b: NodeState) -> Iterator[ValueDifference]:
    one, other = a.latest_configuration(), b.latest_configuration()
    if _members(one) != _members(other):
        yield ValueDifference("members", _members(one), _members(other))
    if _place(one) != _place(other):
        yield ValueDifference("configuration index", _place(one), _place(other))


def _members(known: CurrentConfiguration | None) -> str:
    if known is None:
        return "none"
    return ", ".join(
        f"{shown(server.server_id)} at {shown(server.address)} ({server.suffrage_name})"
        for server in known.configuration.servers
    )


def _place(known: CurrentConfiguration | None) -> str:
    return "none" if known is None else str(known.index)


def _snapshots(a: NodeState, b: NodeState) -> Iterator[ValueDifference]:
    """Snapshots by what they hold: their names have the time in them."""
    one = Counter(map(_snapshot_text, a.snapshots.listed))
    other = Counter(map(_snapshot_text, b.snapshots.listed))
    for text in sorted((one - other).elements()):
        yield ValueDifference("snapshot", text, "none")
    for text in sorted((other - one).elements()):
        yield ValueDifference("snapshot", "none", text)


def _snapshot_text(snapshot: Snapshot) -> str:
    meta = snapshot.meta
    members = ", ".join(
        f"{shown(server.server_id)} at {shown(server.address)} ({server.suffrage_name})"
        for server in snapshot.configuration.servers
    )
    problems = "".join(f"; {problem}" for problem in snapshot.problems)
    return (
        f"index {meta.index}, term {meta.term}, {snapshot.state_bytes} bytes with CRC "
        f"{meta.crc.hex() if meta.crc is not None else 'none'}, members at index "
        f"{meta.configuration_index}: {members}{problems}"
    )


def _remarks(name: str, node: NodeState) -> Iterator[str]:
    yield from (f"{name}: {problem}" for problem in node.problems)
    if node.stable is not None:
        yield from (f"{name}: {problem}" for problem in node.stable.problems)
    for ignored in node.snapshots.ignored:
        if ignored.is_finished:
            yield f"{name}: snapshot {ignored.path.name}: {ignored.reason}"
