"""What `info` tells of a state directory: plain values, ready to be shown or written as JSON.

Invariant: nothing here refers to an open file, and text can be printed whatever the files held.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Member:
    """One server of a configuration."""

    server_id: str
    address: str
    suffrage: str
    """Voter, Nonvoter, Staging, or `suffrage 9` for what Raft does not know."""


@dataclass(frozen=True, slots=True)
class Members:
    """A configuration and where it comes from."""

    index: int
    term: int | None
    """None when only the index is known, as for the configuration in a snapshot."""
    source: str
    """`log` or `snapshot`."""
    servers: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class PayloadView:
    """An op-conductor payload inside an entry or a snapshot."""

    height: int
    block_hash: str
    """0x and 64 hex digits, as are all hashes here."""
    parent_hash: str
    transactions_count: int
    timestamp: int
    """Seconds since the Unix epoch."""
    version: int
    """1 Bedrock, 2 Canyon, 3 Ecotone, 4 Isthmus and later."""


@dataclass(frozen=True, slots=True)
class EntryRow:
    """One log entry."""

    index: int | None
    """By its key; None when that is no index."""
    value_bytes: int
    """Of the whole stored value."""
    term: int | None = None
    type: str = ""
    """Raft's name for the type, or `type 9` for one that it does not know."""
    data_bytes: int | None = None
    """None when there is no data at all."""
    appended_at: str | None = None
    """When the leader took it in; None when that was not stored."""
    payload: PayloadView | None = None
    members: tuple[Member, ...] | None = None
    note: str = ""
    """What could not be read, or is unusual."""


@dataclass(frozen=True, slots=True)
class EntryTable:
    """The entries that were asked for, or the first and the last of them."""

    matching: int
    """How many fit the question."""
    rows: tuple[EntryRow, ...]
    rows_before_gap: int
    """After so many rows some are left out, if any are."""

    @property
    def left_out(self) -> int:
        """How many of those that fit are not among the rows."""
        return self.matching - len(self.rows)


@dataclass(frozen=True, slots=True)
class LogView:
    """The log as a whole."""

    file_bytes: int
    page_bytes: int
    count: int
    first_index: int | None
    last_index: int | None
    last_term: int | None
    entries: EntryTable | None
    """None when none were asked for."""


@dataclass(frozen=True, slots=True)
class VoteView:
    """The last vote that this node gave. It says nothing of who leads."""

    term: int | None
    candidate: str | None


@dataclass(frozen=True, slots=True)
class SnapshotView:
    """One snapshot that Raft would list."""

    snapshot_id: str
    index: int
    term: int
    state_bytes: int | None
    members: Members
    payload: PayloadView | None
    note: str


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node's directory."""

    server_id: str
    directory: Path
    current_term: int | None
    """None when it is not stored or cannot be read."""
    vote: VoteView | None
    log: LogView | None
    latest: Members | None
    """The members that Raft would go by."""
    committed: Members | None
    """The newest members that are certain to be committed; None when that cannot be told."""
    snapshots: tuple[SnapshotView, ...]
    """Newest first."""
    problems: tuple[str, ...]
    """What could not be read, each as a sentence."""
    is_incomplete: bool
    """Whether a database is missing or could not be read."""


@dataclass(frozen=True, slots=True)
class StateView:
    """A state directory: one node, or a folder of nodes."""

    state_dir: Path
    is_cluster: bool
    nodes: tuple[NodeView, ...]
