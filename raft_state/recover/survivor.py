"""What is left of one node, as far as a recovery needs to know it.

Law: what Raft's own recovery would stop at is a problem: a missing entry, an entry that cannot be
read. Such a node may still be the most advanced, so its position is told as far as it is certain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conductor.errors import NotFound, StoreError
from raft_state.bolt import DatabaseDamaged
from raft_state.node import (
    LOG_FILE,
    NewestPayload,
    NodeState,
    certain_index,
    newest_payload,
    open_node,
)
from raft_state.raft import Configuration, EntryType, shown

PROBLEMS_MAX = 5
"""Told of one node: what is damaged once is often damaged a thousand times."""


@dataclass(frozen=True, slots=True)
class PayloadFacts:
    """The newest payload of a node."""

    height: int
    block_hash: str
    index: int
    """Of its entry; of the snapshot when it is in one."""
    is_certain: bool
    """Whether it is committed for sure."""


@dataclass(frozen=True, slots=True)
class Survivor:
    """A node's directory that was read."""

    server_id: str
    directory: Path
    """Symbolic links resolved."""
    current_term: int
    """0 when there is none."""
    last_index: int
    """Of the newest entry, in log or snapshot; 0 when there is no state."""
    last_term: int
    """Of that entry."""
    certain_index: int
    """What is committed for sure: all up to this index."""
    configuration: Configuration | None
    """The members as Raft would see them now."""
    payload: PayloadFacts | None
    is_position_known: bool
    """False when damage hides how far the node had come."""
    problems: tuple[str, ...]
    """Why nothing can be recovered from it."""
    remarks: tuple[str, ...]
    """What is missing or odd and does not stand in the way."""

    @property
    def position(self) -> tuple[int, int]:
        """Raft's order of who is more advanced: last term, last index."""
        return self.last_term, self.last_index

    @property
    def position_text(self) -> str:
        """The position in words."""
        return f"entry {self.last_index}, term {self.last_term}"


def examine_survivor(directory: Path) -> tuple[Survivor, bytes]:
    """Read a node whose conductor is stopped; with the SSZ bytes of its newest payload, or b"".

    NotFound when it is no node's directory; StoreLocked when a conductor runs on it.
    """
    with open_node(directory) as node:
        walk = _Walk(node)
        payload = walk.payload
        survivor = Survivor(
            server_id=node.server_id,
            directory=directory.resolve(),
            current_term=(node.stable.current_term or 0) if node.stable is not None else 0,
            last_index=walk.last_index,
            last_term=walk.last_term,
            certain_index=walk.certain_index,
            configuration=walk.configuration,
            payload=None if payload is None else _facts(payload, walk.certain_index),
            is_position_known=walk.is_position_known,
            problems=tuple(walk.problems[:PROBLEMS_MAX]),
            remarks=tuple(walk.remarks),
        )
        return survivor, b"" if payload is None else bytes(payload.data)


class _Walk:
    """One node's snapshot and log, gone through as Raft would at its start."""

    def __init__(self, node: NodeState) -> None:
        self.problems: list[str] = []
        self.remarks: list[str] = []
        self.is_position_known = True
        self.last_index = self.last_term = self.certain_index = 0
        self.configuration: Configuration | None = None
        self.payload: NewestPayload | None = None
        self._see_snapshots(node)
        self._see_files(node)
        try:
            self._see_entries(node)
            self.certain_index = certain_index(node)
            latest = node.latest_configuration()
            self.configuration = latest.configuration if latest is not None else None
            self._see_payload(node)
        except DatabaseDamaged as error:
            self._hides(str(error))

    def _hides(self, problem: str) -> None:
        self.is_position_known = False
        self.problems.append(problem)

    def _see_files(self, node: NodeState) -> None:
        failure = node.failures.get(LOG_FILE)
        if isinstance(failure, NotFound) and node.snapshots.usable and node.log is None:
            self.remarks.append(f"{failure}: only what is in the snapshot is recovered")
        elif failure is not None:
            self._hides(str(failure))
        elif node.log is not None and node.log.database is not node.databases[LOG_FILE]:
            self._hides(f"the log entries are not in {LOG_FILE}, where Raft reads them")
        elif node.log is None:
            self._hides(f"{LOG_FILE} holds no log that can be read")
        if node.stable is None or node.stable.problems:
            self.remarks.append(
                "its term and vote cannot be read: it gets the highest term that is known here"
            )

    def _see_snapshots(self, node: NodeState) -> None:
        for snapshot in node.snapshots.usable[:1]:
            self.last_index, self.last_term = snapshot.meta.index, snapshot.meta.term
        for snapshot in node.snapshots.listed:
            name = snapshot.directory.name
            self.remarks += [f"snapshot {name}: {problem}" for problem in snapshot.problems]
        for ignored in node.snapshots.ignored:
            if ignored.is_finished:
                self.remarks.append(f"snapshot {ignored.path.name}: {ignored.reason}")

    def _see_entries(self, node: NodeState) -> None:
        expected = self.last_index + 1
        for stored in node.log.entries(first=expected) if node.log is not None else ():
            if stored.index is None:
                self._hides(f"the key {shown(stored.key)} of its log is no index")
                continue
            if stored.index != expected:
                self.problems.append(_hole(expected, stored.index))
            entry = stored.decoded.entry if stored.decoded is not None else None
            if entry is None:
                self._hides(f"entry {stored.index} cannot be read: {stored.damage}")
            elif entry.index != stored.index:
                self._hides(f"the entry under key {stored.index} says it is {entry.index}")
            else:
                self.last_index, self.last_term = stored.index, entry.term
                self.is_position_known = True
                self.problems += _unknown_type(stored.index, entry.type)
            expected = stored.index + 1

    def _see_payload(self, node: NodeState) -> None:
        try:
            self.payload = newest_payload(node)
            for snapshot in node.snapshots.usable[:1]:
                problem = snapshot.payload().problem
                if problem and (self.payload is None or self.payload.is_from_snapshot):
                    self.problems.append(
                        f"the state of its snapshot is no payload that op-conductor reads "
                        f"({problem}), and its log holds none that is newer"
                    )
        except DatabaseDamaged:
            raise
        except StoreError as error:
            self.problems.append(str(error))


def _hole(expected: int, found: int) -> str:
    if expected == 1:
        return f"its log begins at entry {found}, and there is no snapshot of what was before"
    return f"entry {expected} is missing and {found} is there"


def _unknown_type(index: int, entry_type: int) -> Iterator[str]:
    if entry_type > max(EntryType):
        yield f"entry {index} is of type {entry_type}, which Raft does not know"


def _facts(payload: NewestPayload, certain: int) -> PayloadFacts:
    return PayloadFacts(
        height=payload.header.height,
        block_hash=f"0x{payload.header.block_hash.hex()}",
        index=payload.index,
        is_certain=payload.index <= certain,
    )
