"""What one node's directory of a Raft state says, as far as a cluster of conductors begins with it.

Invariant: it is read whole or refused, and nothing in it is changed. The payload that counts is the
last one in the log: the block that op-node was told of last, whatever its height. After an L1 reorg
that is not the highest, which is the one that op-conductor's own state machine keeps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from conductor.core.encoding import sha256
from conductor.core.founding import RaftEnd
from conductor.core.values import BlockReference, Head, Height
from conductor.errors import StoreDamaged, StoreError
from conductor.payload import PayloadHeader
from raft_state.node import NodeState
from raft_state.raft import (
    CommandPayload,
    Configuration,
    EncodingDamaged,
    EntryType,
    LogEntry,
    Snapshot,
    StableState,
    configuration_of,
    decode_command,
    shown,
    text_of,
)

LOOK = "`op-conductor-init verify --state-dir` says more"


@dataclass(frozen=True, slots=True)
class RaftState:
    """What the directory of a node says, as far as a cluster is founded on it."""

    server_id: str
    term: int
    """The highest that it speaks of, in its log or as current or voted in."""
    voted_for: str
    """Its vote in that term: a server id, or an address as HashiCorp's Raft writes it; or none."""
    configurations: tuple[Configuration, ...]
    """The first one, where the log still has it, and the latest."""
    end: RaftEnd | None = None
    """Where its log ends, and the last payload in it."""
    payload: bytes = field(default=b"", repr=False)
    """That payload as SSZ."""
    remarks: tuple[str, ...] = ()
    """What an operator should know of how it was read, in sentences."""


def state_of(node: NodeState, server_id: str) -> RaftState:
    """Read a node's directory. StoreDamaged; StoreError: its payload is none that can be used."""
    log, stable = node.log, node.stable
    if log is None or stable is None or node.problems:
        raise StoreDamaged(
            f"{node.directory} is no whole Raft state: {'; '.join(node.problems)}; {LOOK}"
        )
    if stable.problems:
        raise StoreDamaged(f"{node.directory}: {'; '.join(stable.problems)}; {LOOK}")
    snapshot = _snapshot(node)
    walk = _Walk(node.directory, snapshot.meta.index if snapshot is not None else 0)
    for stored in log.entries():
        entry = stored.decoded.entry if stored.decoded is not None else None
        if entry is None or stored.index != entry.index or not walk.follows(entry.index):
            why = stored.damage or f"where entry {walk.next_index} should be, there is another"
            raise StoreDamaged(f"{node.directory}: the log cannot be read: {why}; {LOOK}")
        walk.take(entry)
    return _judged(node, walk, snapshot, stable, server_id)


@dataclass
class _Walk:
    """What was seen of a log so far."""

    directory: Path
    snapshot_index: int
    """The last index that the snapshot covers; 0 without one."""
    next_index: int = 1
    last_index: int = 0
    last_term: int = 0
    highest_term: int = 0
    is_whole: bool = False
    """Whether the log still has its first entry."""
    began_with: tuple[int, Configuration] | None = None
    """The first configuration, and its index, of a log that nothing was cut from."""
    newest: tuple[int, bytes | memoryview, PayloadHeader] | None = None
    """The last payload that op-conductor can read: its index, bytes and header."""
    highest: PayloadHeader | None = None
    unreadable: tuple[int, CommandPayload] | None = None
    """The last command after it that op-conductor cannot read."""

    def follows(self, index: int) -> bool:
        """Whether the entry of that index may be the next one: what a snapshot covers may miss."""
        is_first = self.last_index == 0
        return index == self.next_index or (is_first and 1 <= index <= self.snapshot_index + 1)

    def take(self, entry: LogEntry) -> None:
        """The next entry."""
        self.is_whole = self.is_whole or entry.index == 1
        self.last_index, self.last_term = entry.index, entry.term
        self.next_index = entry.index + 1
        self.highest_term = max(self.highest_term, entry.term)
        if entry.type == EntryType.COMMAND:
            self._take_command(entry)
        try:
            configuration = configuration_of(entry)
        except EncodingDamaged as error:
            raise StoreDamaged(f"{self.directory}: entry {entry.index}: {error}; {LOOK}") from error
        if configuration is not None and self.is_whole and self.began_with is None:
            self.began_with = (entry.index, configuration)

    def _take_command(self, entry: LogEntry) -> None:
        payload = decode_command(entry.data)
        if payload.header is not None and payload.is_applied and entry.data is not None:
            self.newest = (entry.index, entry.data, payload.header)
            self.unreadable = None
            if self.highest is None or payload.header.height > self.highest.height:
                self.highest = payload.header
        elif payload.data_bytes:
            self.unreadable = (entry.index, payload)


def _snapshot(node: NodeState) -> Snapshot | None:
    """The snapshot that Raft starts from. StoreDamaged when Raft would pass over a finished one."""
    for ignored in node.snapshots.ignored:
        if ignored.is_finished:
            name, reason = shown(ignored.path.name), ignored.reason
            raise StoreDamaged(f"{node.directory}: the snapshot {name}: {reason}; {LOOK}")
    newest = next(iter(node.snapshots.listed), None)
    if newest is not None and newest.problems:
        name, reason = shown(newest.directory.name), "; ".join(newest.problems)
        raise StoreDamaged(f"{node.directory}: the snapshot {name}: {reason}; {LOOK}")
    return newest


def _judged(
    node: NodeState, walk: _Walk, snapshot: Snapshot | None, stable: StableState, server_id: str
) -> RaftState:
    """The state, once log and snapshot have been put together."""
    directory = node.directory
    term, index = walk.last_term, walk.last_index
    remarks: list[str] = []
    if walk.unreadable is not None and walk.unreadable[0] > walk.snapshot_index:
        remarks.append(_passed_over(directory, *walk.unreadable, walk, snapshot))
    if snapshot is not None and (walk.newest is None or index < snapshot.meta.index):
        payload = _of_snapshot(directory, snapshot)
    else:
        payload = _of_log(directory, walk, remarks)
    if snapshot is not None and index < snapshot.meta.index:
        term, index = snapshot.meta.term, snapshot.meta.index
    head = _head_of(payload) if payload else None
    highest_term = max(
        stable.current_term or 0, stable.last_vote_term or 0, walk.highest_term, term
    )
    return RaftState(
        server_id=server_id,
        term=highest_term,
        voted_for=_vote_in(highest_term, stable),
        configurations=_configurations(node, walk),
        end=RaftEnd(term, index, head),
        payload=payload,
        remarks=tuple(remarks),
    )


def _configurations(node: NodeState, walk: _Walk) -> tuple[Configuration, ...]:
    """The first one, if the log still has it, and the latest, if that is another entry's."""
    latest = node.latest_configuration()
    if walk.began_with is None or latest is None:
        return (latest.configuration,) if latest is not None else ()
    index, first = walk.began_with
    return (first,) if index == latest.index else (first, latest.configuration)


def _of_snapshot(directory: Path, snapshot: Snapshot) -> bytes:
    state = snapshot.read_state()
    found = decode_command(state, all_transactions=True)
    if not found.is_applied:
        raise StoreError(
            f"{directory}: the snapshot {shown(snapshot.directory.name)} holds no payload that "
            f"op-conductor can read: {found.problem}; {LOOK}"
        )
    return state


def _passed_over(
    directory: Path, index: int, found: CommandPayload, walk: _Walk, snapshot: Snapshot | None
) -> str:
    """A remark on a last command that is no payload; StoreError when it was one, or all there is.

    What no op-conductor could read was never answered to op-node as committed.
    """
    is_alone = walk.newest is None and snapshot is None
    if found.header is None and not is_alone:
        return (
            f"entry {index} is no payload that op-conductor can read ({found.problem}): it was "
            "passed over, as op-conductor does"
        )
    raise StoreError(
        f"{directory}: entry {index} holds the newest payload, and it cannot be taken over: "
        f"{found.problem}. Let a Go op-conductor of today commit a block first; or let the "
        "cluster begin with --peers and without Raft states, which leaves all payloads behind"
    )


def _of_log(directory: Path, walk: _Walk, remarks: list[str]) -> bytes:
    """The last payload; empty when there is none."""
    if walk.newest is None:
        return b""
    index, data, header = walk.newest
    found = decode_command(data, all_transactions=True)
    if not found.is_applied:
        raise StoreError(f"{directory}: the payload in entry {index}: {found.problem}; {LOOK}")
    if walk.highest is not None and walk.highest.height > header.height:
        remarks.append(
            f"the log goes on with block {header.height} after block {walk.highest.height}: the "
            "chain was reorganised, and what came last counts (`op-conductor-init info` shows the "
            "highest)"
        )
    return bytes(data)


def _head_of(payload: bytes) -> Head:
    header = decode_command(payload).header
    assert header is not None
    block = BlockReference(Height(header.height), header.block_hash, header.parent_hash)
    return Head(block, sha256(payload))


def _vote_in(term: int, stable: StableState) -> str:
    """For whom it has voted in that term; empty when for nobody."""
    candidate = stable.last_vote_candidate
    is_of_term = stable.last_vote_term == term and candidate is not None
    return text_of(candidate) if is_of_term and candidate is not None else ""
