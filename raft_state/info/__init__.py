"""Describes state directories: term, vote, log, members, snapshots and the payloads in entries.

Law: nothing is written or created, and nothing is judged. A log of many gigabytes takes no longer
than its number of entries demands: of those that are not shown, no more than the ends are read.
"""

from raft_state.info.describe import describe
from raft_state.info.entries import LIMIT_DEFAULT, EntryQuery
from raft_state.info.report import (
    EntryRow,
    EntryTable,
    LogView,
    Member,
    Members,
    NodeView,
    PayloadView,
    SnapshotView,
    StateView,
    VoteView,
)

__all__ = [
    "LIMIT_DEFAULT",
    "EntryQuery",
    "EntryRow",
    "EntryTable",
    "LogView",
    "Member",
    "Members",
    "NodeView",
    "PayloadView",
    "SnapshotView",
    "StateView",
    "VoteView",
    "describe",
]
