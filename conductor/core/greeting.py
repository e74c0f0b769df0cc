"""What a node says of itself before anything else.

It is the only unauthenticated input to forming a cluster.
"""

from __future__ import annotations

from dataclasses import dataclass

from conductor.core.founding import RaftEnd
from conductor.core.values import Digest, Genesis, Member, ServerId


@dataclass(frozen=True, slots=True)
class Greeting:
    """Who a node is, and which cluster it thinks that this is."""

    cluster_name: str
    member: Member
    configured_voters: tuple[str, ...]
    """The gRPC addresses of all voters that it is configured with, its own included, sorted."""
    quorum_rule: int
    genesis: Genesis | None
    """What its store holds."""
    proposed_cluster_id: Digest | None
    """Of the genesis that it would form with now; None when it cannot."""
    paused: bool
    version: str
    initial_leader: ServerId | None = None
    """Who shall lead first, as the Raft state says that it began with."""
    raft_end: RaftEnd | None = None
    """How far it had come in the Raft cluster that it began with; None when there was none."""
