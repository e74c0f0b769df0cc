"""Brings back a cluster that has lost its quorum: what `raft.RecoverCluster` does, offline.

Law: everything in the log of the most advanced survivor counts from then on, committed or not; all
survivors get the same state; and until that is durable everywhere, what was there is there.
"""

from raft_state.recover.divergence import Divergence
from raft_state.recover.members import parse_members
from raft_state.recover.plan import (
    RECOVERING,
    Entries,
    Outlook,
    RecoveryPlan,
    Target,
    plan_recovery,
)
from raft_state.recover.recovery import RecoveryReport, recover
from raft_state.recover.survivor import PayloadFacts, Survivor

__all__ = [
    "RECOVERING",
    "Divergence",
    "Entries",
    "Outlook",
    "PayloadFacts",
    "RecoveryPlan",
    "RecoveryReport",
    "Survivor",
    "Target",
    "parse_members",
    "plan_recovery",
    "recover",
]
