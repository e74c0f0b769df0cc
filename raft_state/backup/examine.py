"""Says what one node's files hold, and why Raft could not run on them.

Invariant: never raises for damage: each contradiction is a sentence, so that the caller decides
whether it is a reason to refuse. Only what stops Raft, or lets it break its own rules, is a
problem; what is merely odd is for `verify` to tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from conductor.errors import NotFound
from raft_state.backup.files import Progress
from raft_state.backup.manifest import LogRange, NodeFacts, SnapshotRecord
from raft_state.bolt import DatabaseDamaged, check_database
from raft_state.node import LOG_FILE, STABLE_FILE, LogStore, NodeState, StoredEntry, open_node
from raft_state.raft import shown

PROBLEMS_MAX = 5
"""Of one kind: what is damaged once is often damaged a thousand times."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found in a node's directory."""

    facts: NodeFacts
    problems: tuple[str, ...]


def examine(directory: Path, *, progress: Progress | None = None) -> Examination:
    """Check structure and sense of a node's files, which nobody may write to meanwhile.

    NotFound when it is no node's directory; StoreLocked when a running process has it.
    """
    with open_node(directory) as node:
        problems = [*_missing(node), *_structure(node, progress)]
        # What stands on damage need not make sense as well.
        return Examination(_facts(node), tuple(problems or _nonsense(node)))


def facts_of(directory: Path) -> NodeFacts:
    """What can be read of a directory, whatever is in it. StoreLocked."""
    try:
        with open_node(directory) as node:
            return _facts(node)
    except NotFound:
        return NodeFacts()


def _facts(node: NodeState) -> NodeFacts:
    stable = node.stable
    candidate = stable.last_vote_candidate if stable is not None else None
    return NodeFacts(
        current_term=stable.current_term if stable is not None else None,
        last_vote_term=stable.last_vote_term if stable is not None else None,
        last_vote_candidate=shown(candidate) if candidate is not None else None,
        log=_range_of(node.log) if node.log is not None else None,
        snapshots=tuple(
            SnapshotRecord(shown(each.meta.snapshot_id), each.meta.index, each.meta.term)
            for each in node.snapshots.usable
        ),
    )


def _range_of(log: LogStore) -> LogRange | None:
    try:
        first, last = log.first_index, log.last_index
        if first is None or last is None:
            return LogRange(0, 0, None, 0)
        entry = log.entry(last)
        term = entry.decoded.entry.term if entry is not None and entry.decoded else None
        return LogRange(first, last, term, log.count)
    except DatabaseDamaged:
        return None


def _missing(node: NodeState) -> Iterator[str]:
    for name in (LOG_FILE, STABLE_FILE):
        error = node.failures.get(name)
        if isinstance(error, DatabaseDamaged):
            yield f"{name}: {error.damage}"
        elif error is not None:
            yield str(error)


def _structure(node: NodeState, progress: Progress | None) -> Iterator[str]:
    for name, database in node.databases.items():
        errors = (
            f"{name}: {damage}"
            for damage in check_database(database, progress=progress)
            if damage.severity == "error"
        )
        yield from _few(errors)


def _nonsense(node: NodeState) -> Iterator[str]:
    """What Raft would stop at, or go wrong by, although every file is sound."""
    for each in node.snapshots.listed:
        yield from (f"snapshot {each.directory.name}: {problem}" for problem in each.problems)
    for ignored in node.snapshots.ignored:
        if ignored.is_finished:
            yield f"snapshot {ignored.path.name}: {ignored.reason}: Raft would start without it"
    if node.stable is not None:
        yield from (f"{STABLE_FILE}: {problem}" for problem in node.stable.problems)
    if node.log is not None:
        yield from _few(f"{LOG_FILE}: {problem}" for problem in _holes(node, node.log))
    term = (node.stable.current_term if node.stable is not None else None) or 0
    newest = _facts(node).position[0]
    if newest > term:
        yield (
            f"{STABLE_FILE}: CurrentTerm {term} is lower than the term {newest} of the newest "
            "entry: Raft would give an old term to new entries"
        )


def _holes(node: NodeState, log: LogStore) -> Iterator[str]:
    """Entries that Raft reads when it starts, and that are not there or cannot be read."""
    snapshot = next(iter(node.snapshots.usable), None)
    expected = snapshot.meta.index + 1 if snapshot is not None else 1
    try:
        for stored in log.entries(first=expected):
            if stored.index != expected:
                yield _hole(stored, expected)
            if stored.damage or stored.decoded is None:
                yield f"entry {stored.index} cannot be read: {stored.damage}"
            elif stored.decoded.entry.index != stored.index:
                yield f"the entry under key {stored.index} says {stored.decoded.entry.index}"
            expected = (stored.index if stored.index is not None else expected) + 1
    except DatabaseDamaged as error:
        yield str(error.damage)


def _hole(stored: StoredEntry, expected: int) -> str:
    if stored.index is None:
        return f"the key {shown(stored.key)} is not of 8 bytes"
    if expected == 1:
        return (
            f"begins at entry {stored.index} and there is no snapshot that holds what was before: "
            'Raft stops with "log not found"'
        )
    return f"entry {expected} is missing and {stored.index} is there: Raft stops at the hole"


def _few(problems: Iterator[str]) -> Iterator[str]:
    """The first of many problems of one kind."""
    yield from islice(problems, PROBLEMS_MAX)
    if next(problems, None) is not None:
        yield "and more of the kind"
