"""The state directories of a cluster that has never run, made for all its nodes at once.

Law: all or nothing. A request is checked as a whole before anything is written, and the directories
of all nodes appear together or not at all.
"""

from raft_state.generate.cluster import GenerateReport, Member, generate_cluster
from raft_state.generate.plan import ClusterPlan, ClusterRequest, LeaderMode, make_plan
from raft_state.generate.state import InitialState, initial_states

__all__ = [
    "ClusterPlan",
    "ClusterRequest",
    "GenerateReport",
    "InitialState",
    "LeaderMode",
    "Member",
    "generate_cluster",
    "initial_states",
    "make_plan",
]
