"""What an operator's Raft state says of the cluster that is to form, and of its first epoch.

Invariant: a node keeps it from the moment at which its store is made, so a start that fails, or a
crash before the cluster has formed, changes nothing of whom it forms with or what it has promised.
"""

from __future__ import annotations

from dataclasses import dataclass

from conductor.core.node import EPOCH_STEP_MAX
from conductor.core.values import MEMBERS_MAX, Epoch, Head, ServerId
from conductor.errors import InvalidArgument

FIRST_PROMISE_MAX = EPOCH_STEP_MAX // 2
"""The highest promise to begin with. A server that begins further ahead of another than the epochs
that this one heeds in a step would not be heard by it, ever; half of them are left for campaigns
that fail."""


@dataclass(frozen=True, slots=True)
class FoundingVoter:
    """A voter of the cluster that is to form."""

    server_id: ServerId
    grpc_address: str
    """`host:port`, in the spelling in which nodes compare addresses."""


@dataclass(frozen=True, slots=True)
class RaftEnd:
    """Where the log of a node of the Raft cluster ends, and the newest payload in it.

    Of a majority of the nodes, the one whose end has the highest rank holds all that was committed.
    """

    term: int
    """Of the last entry."""
    index: int
    head: Head | None
    """None when that node has never held a payload."""

    @property
    def rank(self) -> tuple[int, int]:
        """The order in which Raft's logs are better; of equal rank are equal logs alone."""
        return (self.term, self.index)


@dataclass(frozen=True, slots=True)
class Founding:
    """With whom to form a cluster, and after which epoch to begin. Raises InvalidArgument."""

    voters: tuple[FoundingVoter, ...]
    """All of them, this server included, sorted by server id."""
    first_promise: Epoch
    """Promised from the beginning, to nobody: the first epoch comes after it."""
    initial_leader: ServerId | None
    """Who is to lead first, if the Raft state says."""
    raft_end: RaftEnd | None = None
    """How far this server had come; None in stores of before payloads were taken over."""

    def __post_init__(self) -> None:
        """Refuse what no cluster could form with."""
        ids = [voter.server_id for voter in self.voters]
        addresses = {voter.grpc_address for voter in self.voters}
        if not 1 <= len(ids) <= MEMBERS_MAX:
            raise InvalidArgument(f"{len(ids)} voters: 1 to {MEMBERS_MAX} can form a cluster")
        if ids != sorted(set(ids)) or len(addresses) < len(ids):
            raise InvalidArgument("the voters are not distinct and in the order of their ids")
        if not 0 <= self.first_promise <= FIRST_PROMISE_MAX:
            raise InvalidArgument(
                f"epoch {self.first_promise} is too high to begin after: at most "
                f"{FIRST_PROMISE_MAX} is possible"
            )
        if self.initial_leader is not None and self.initial_leader not in ids:
            raise InvalidArgument(f"the initial leader '{self.initial_leader}' is no voter")
