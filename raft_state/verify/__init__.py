"""Verifies state directories: their structure, their meaning, and what the nodes must agree on.

Law: nothing is written or created, and damage of any kind is a finding, never an error. Memory does
not grow with the log: entries are judged one at a time, logs compared side by side.
"""

from raft_state.verify.finding import (
    Finding,
    KnownConfiguration,
    NodeSummary,
    Report,
    SnapshotPoint,
    Vote,
)
from raft_state.verify.rules import Rule, Severity
from raft_state.verify.state import verify_state

__all__ = [
    "Finding",
    "KnownConfiguration",
    "NodeSummary",
    "Report",
    "Rule",
    "Severity",
    "SnapshotPoint",
    "Vote",
    "verify_state",
]
