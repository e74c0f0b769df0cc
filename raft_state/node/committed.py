"""What of a log is committed for sure, although no file says how far Raft had committed.

Law: never more than the truth. Certain is what a snapshot holds, the entries up to the
configuration before the newest (Raft appends one only after the one before was committed), and the
configuration that a cluster began with.
"""

from __future__ import annotations

from raft_state.node.node_state import NodeState
from raft_state.raft import EntryType

FIRST_INDEX = 1
_CONFIGURATIONS = (EntryType.CONFIGURATION, EntryType.ADD_PEER, EntryType.REMOVE_PEER)


def certain_index(node: NodeState) -> int:
    """The highest index that is committed for sure; 0 when none is. Reads the whole log.

    Raises DatabaseDamaged.
    """
    snapshot = next(iter(node.snapshots.usable), None)
    floor = snapshot.meta.index if snapshot is not None else 0
    newest = before = floor
    for stored in node.log.entries(first=floor + 1) if node.log is not None else ():
        if stored.index is None or stored.decoded is None:
            continue
        if stored.decoded.entry.type in _CONFIGURATIONS:
            before, newest = newest, stored.index
    return newest if newest == FIRST_INDEX else before
