"""The payload that a cluster has come to, replayed from the snapshot and the log of one node.

Law: it is what op-conductor's state machine would hold if the whole log is committed, which no file
says. A payload replaces one of lower height only; what op-conductor cannot read changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from conductor.payload import PayloadHeader
from raft_state.node.node_state import NodeState
from raft_state.raft import EntryType, decode_command


@dataclass(frozen=True, slots=True)
class NewestPayload:
    """The payload that op-conductor's state machine would hold if the whole log is committed."""

    index: int
    """Of its entry; of the snapshot when it comes from one."""
    header: PayloadHeader
    data: bytes | memoryview = field(repr=False)
    """SSZ bytes; a view is valid while the node is open."""
    is_from_snapshot: bool


def newest_payload(node: NodeState) -> NewestPayload | None:
    """Replay snapshot and log; None when there is no payload. Reads the whole log.

    Raises DatabaseDamaged, or StoreError when the state of the snapshot cannot be read.
    """
    newest = _of_snapshot(node)
    for index, data in _commands(node):
        payload = decode_command(data, all_transactions=True)
        if payload.header is None or not payload.is_applied:
            continue
        if newest is None or payload.header.height > newest.header.height:
            newest = NewestPayload(index, payload.header, data, is_from_snapshot=False)
    return newest


def _of_snapshot(node: NodeState) -> NewestPayload | None:
    snapshot = next(iter(node.snapshots.usable), None)
    if snapshot is None:
        return None
    state = snapshot.read_state()
    header = decode_command(state, all_transactions=True).header
    if header is None:
        return None
    return NewestPayload(snapshot.meta.index, header, state, is_from_snapshot=True)


def _commands(node: NodeState) -> Iterator[tuple[int, bytes | memoryview]]:
    """The data of the commands that Raft would apply on top of the newest usable snapshot."""
    snapshot = next(iter(node.snapshots.usable), None)
    first = snapshot.meta.index + 1 if snapshot is not None else 1
    for stored in node.log.entries(first=first) if node.log is not None else ():
        if stored.index is None or stored.decoded is None:
            continue
        entry = stored.decoded.entry
        if entry.type == EntryType.COMMAND and entry.data is not None:
            yield stored.index, entry.data
