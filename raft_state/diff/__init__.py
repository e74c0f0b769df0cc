"""Says in what two state directories differ: logs, stable stores, members, snapshots.

Law: two states are equal when Raft would make the same of both. How a value is encoded and what a
snapshot is called does not count; all else does. Memory does not grow with the logs.
"""

from raft_state.diff.entries import EntryRange
from raft_state.diff.node import NodeDifference, ValueDifference
from raft_state.diff.state import StateDifference, compare_states

__all__ = [
    "EntryRange",
    "NodeDifference",
    "StateDifference",
    "ValueDifference",
    "compare_states",
]
