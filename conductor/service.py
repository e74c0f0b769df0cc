"""The use cases: what a conductor does for its callers, whatever protocol they speak.

Invariant: every call ends, in an answer or in an error of `conductor.errors`, within the time that
its docstring names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from conductor.core.certificate import Acknowledgement, Certificate
from conductor.core.values import Digest, Epoch, Genesis, Height, Index, Membership, Position


@dataclass(frozen=True, slots=True)
class CommitReceipt:
    """A payload is certified."""

    height: Height
    epoch: Epoch
    index: Index


@dataclass(frozen=True, slots=True)
class LeaderView:
    """The leadership as this node sees it."""

    is_leader: bool
    """Established, in contact with a quorum."""
    epoch: Epoch
    leader_id: str
    """Empty when none is known."""
    leader_address: str
    """The gateway address of the leader; empty when none is known."""
    next_height: int
    """The newest certified height + 1; 0 when there is none."""


@dataclass(frozen=True, slots=True)
class HealthView:
    """Whether this node is fit to lead, and why not."""

    serving: bool
    identity: str
    """The public key, hex."""
    epoch: Epoch
    is_leader: bool
    server_id: str
    leader_id: str
    certified_height: int
    """0 when there is none."""
    quorum_safe: bool
    reasons: tuple[str, ...]
    version: str


@dataclass(frozen=True, slots=True)
class MemberView:
    """One member as this node sees it."""

    server_id: str
    incarnation: str
    public_key: bytes
    grpc_address: str
    gateway_address: str
    voter: bool
    role: str
    """leader, follower, candidate or unknown."""
    reachable: bool
    serving: bool
    match_index: int
    """What the leader knows to be durable there; 0 when not known."""


@dataclass(frozen=True, slots=True)
class StatusView:
    """Everything at a glance."""

    cluster_name: str
    cluster_id: bytes
    """Empty until the cluster has formed."""
    incarnation: str
    role: str
    """leader, follower, candidate or forming."""
    health: HealthView
    last: Position
    certified: Position
    base_index: Index
    quorum: int
    members: tuple[MemberView, ...]


@dataclass(frozen=True, slots=True)
class StoredPayload:
    """A certified payload."""

    ssz: bytes
    index: Index
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class CertificateView:
    """The newest certificate and what is needed to check it."""

    certificate: Certificate
    cluster_id: Digest
    membership: Membership


@dataclass(frozen=True, slots=True)
class AcknowledgeReceipt:
    """What became of the position that was acknowledged."""

    certified: bool
    height: int
    """The newest certified height; 0 when there is none."""


class Conductor(Protocol):
    """What the API adapters call. `runtime` implements it; nothing in it speaks a wire protocol."""

    async def commit(self, ssz: bytes) -> CommitReceipt:
        """Certify a payload, within the commit timeout.

        InvalidPayload, TooLarge; Refused and its kin; OutcomeUnknown and its kin; NotFormed.
        """
        ...

    async def acknowledge(self, acknowledgement: Acknowledgement) -> AcknowledgeReceipt:
        """Count a signed acknowledgement that came another way.

        Unauthenticated, NotLeader, Stale, NotFormed.
        """
        ...

    def leader(self) -> LeaderView:
        """Who leads. Never fails: before the cluster has formed nobody does, in epoch 0."""
        ...

    def health(self) -> HealthView:
        """Whether this node is fit to lead. Never fails."""
        ...

    def status(self) -> StatusView:
        """All of it. Never fails."""
        ...

    def genesis(self) -> Genesis:
        """What the cluster was formed with. NotFormed."""
        ...

    async def latest(self, *, consistent: bool) -> StoredPayload:
        """The newest certified payload.

        NotFound; with `consistent` also NotLeader, CommitTimeout.
        """
        ...

    async def payload_by_height(self, height: Height) -> StoredPayload:
        """From the ancestors of the newest certified payload. NotFound."""
        ...

    def certificate(self) -> CertificateView:
        """The newest certificate. NotFound while nothing is certified."""
        ...

    def is_sequencer_healthy(self) -> bool:
        """Whether the sequencer is healthy; true while none is configured."""
        ...

    def is_active(self) -> bool:
        """Whether the node runs and is not paused."""
        ...
