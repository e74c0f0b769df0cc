"""Describes state directories: opens each node, looks at what is asked for, and closes it again.

Law: nothing is judged here, which is what `verify` is for; what cannot be read is named beside what
can. The cost depends on what is shown, and hardly on how much is stored.
"""

from __future__ import annotations

from pathlib import Path

from conductor.errors import StoreError, StoreLocked
from raft_state.bolt import Bucket, DatabaseDamaged
from raft_state.info.entries import EntryQuery, find_entries
from raft_state.info.members import FoundMembers, find_members
from raft_state.info.report import (
    LogView,
    Members,
    NodeView,
    PayloadView,
    SnapshotView,
    StateView,
    VoteView,
)
from raft_state.info.values import member_of, payload_of
from raft_state.node import (
    NodeState,
    is_node_directory,
    node_directories,
    open_node,
    server_id_of,
)
from raft_state.raft import (
    LOGS,
    EncodingDamaged,
    Snapshot,
    StableState,
    decode_entry,
    index_of_key,
    shown,
)


def describe(
    state_dir: Path, query: EntryQuery | None = None, *, lock_timeout_s: float = 0.0
) -> StateView:
    """Describe one node's directory, or each node of a folder of them.

    `query` says which entries to list; None: none of them. NotFound when there is no node's
    directory; StoreLocked when it is one that is in use (in a folder of them that is a problem of
    the node, and the others are described).
    """
    is_cluster = not is_node_directory(state_dir)
    nodes = []
    for directory in node_directories(state_dir):
        try:
            with open_node(directory, lock_timeout_s=lock_timeout_s) as node:
                nodes.append(_node_view(node, query))
        except StoreLocked as error:
            if not is_cluster:
                raise
            nodes.append(_locked(directory, error))
    return StateView(state_dir, is_cluster, tuple(nodes))


def _node_view(node: NodeState, query: EntryQuery | None) -> NodeView:
    problems = list(node.problems)
    log: LogView | None = None
    found: FoundMembers | None = None
    snapshot_members, snapshot_index = _restored(node)
    try:
        log, found = _read_log(node, query, snapshot_members, snapshot_index)
    except DatabaseDamaged as error:
        problems.append(str(error))
    if found is None:
        found = FoundMembers(snapshot_members, snapshot_members, ())
    problems += [
        f"snapshots: {shown(ignored.path.name)} is passed over: {ignored.reason}"
        for ignored in node.snapshots.ignored
    ]
    return NodeView(
        server_id=shown(node.server_id),
        directory=node.directory,
        current_term=None if node.stable is None else node.stable.current_term,
        vote=_vote(node.stable),
        log=log,
        latest=found.latest,
        committed=found.committed,
        snapshots=tuple(map(_snapshot_view, node.snapshots.listed)),
        problems=(*problems, *_stable_problems(node.stable), *found.problems),
        is_incomplete=bool(node.failures) or log is None or node.stable is None,
    )


def _read_log(
    node: NodeState, query: EntryQuery | None, members: Members | None, snapshot_index: int
) -> tuple[LogView | None, FoundMembers | None]:
    """The log and whom it makes members. Raises DatabaseDamaged."""
    if node.log is None:
        return None, None
    database = node.log.database
    bucket = database.bucket(LOGS)
    view = LogView(
        file_bytes=database.file_bytes,
        page_bytes=database.page_bytes,
        count=node.log.count,
        first_index=node.log.first_index,
        last_index=node.log.last_index,
        last_term=None if bucket is None else _last_term(bucket),
        entries=None if query is None or bucket is None else find_entries(bucket, query),
    )
    return view, None if bucket is None else find_members(bucket, members, snapshot_index)


def _last_term(bucket: Bucket) -> int | None:
    """The term of the newest entry; None when there is none or it cannot be decoded."""
    for key, value in bucket.items(reverse=True):
        if index_of_key(key) is None:
            continue
        try:
            return decode_entry(value).entry.term
        except EncodingDamaged:
            return None
    return None


def _restored(node: NodeState) -> tuple[Members | None, int]:
    """Members and last index of the snapshot that Raft would restore; 0 when there is none."""
    for snapshot in node.snapshots.usable:
        return _snapshot_members(snapshot), snapshot.meta.index
    return None, 0


def _snapshot_members(snapshot: Snapshot) -> Members:
    servers = tuple(map(member_of, snapshot.configuration.servers))
    return Members(snapshot.meta.configuration_index, None, "snapshot", servers)


def _snapshot_view(snapshot: Snapshot) -> SnapshotView:
    payload: PayloadView | None = None
    notes = [*snapshot.problems, *snapshot.remarks]
    try:
        payload, note = payload_of(snapshot.payload())
        notes += [note] if note else []
    except StoreError:
        pass  # then it is among the problems
    return SnapshotView(
        snapshot_id=shown(snapshot.directory.name),
        index=snapshot.meta.index,
        term=snapshot.meta.term,
        state_bytes=snapshot.state_bytes,
        members=_snapshot_members(snapshot),
        payload=payload,
        note="; ".join(notes),
    )


def _vote(stable: StableState | None) -> VoteView | None:
    if stable is None or (stable.last_vote_term is None and not stable.last_vote_candidate):
        return None
    candidate = stable.last_vote_candidate
    return VoteView(stable.last_vote_term, shown(candidate) if candidate else None)


def _stable_problems(stable: StableState | None) -> list[str]:
    if stable is None:
        return []
    unknown = [f"the stable store has an unknown key {shown(key)}" for key in stable.unknown]
    return [*stable.problems, *unknown]


def _locked(directory: Path, error: StoreLocked) -> NodeView:
    """A node that is in use: its folder is all that can be told."""
    return NodeView(
        server_id=shown(server_id_of(directory)),
        directory=directory,
        current_term=None,
        vote=None,
        log=None,
        latest=None,
        committed=None,
        snapshots=(),
        problems=(str(error),),
        is_incomplete=True,
    )
