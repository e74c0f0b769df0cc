"""The use cases: what a conductor does for its callers, whatever protocol they speak.

Invariant: every call ends, in an answer or in an error of `conductor.errors`, within the time that
its docstring names.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from conductor.core.certificate import Acknowledgement, Certificate
from conductor.core.values import (
    Digest,
    Epoch,
    Genesis,
    Head,
    Height,
    Index,
    Membership,
    Position,
    ServerId,
)


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
    is_overridden: bool
    """An operator makes this node say that it leads, whatever `is_leader` is."""
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
    only_paused: bool = False
    """Nothing but an operator's pause keeps it from being fit."""


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
    paused: bool
    """An operator has paused the node."""
    leader_overridden: bool
    """An operator makes the node say that it leads."""


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
    head: Head | None = None
    """What the genesis names, which the cluster id is made of, too."""


@dataclass(frozen=True, slots=True)
class AcknowledgeReceipt:
    """What became of the position that was acknowledged."""

    certified: bool
    height: int
    """The newest certified height; 0 when there is none."""


@dataclass(frozen=True, slots=True)
class LeadershipRecord:
    """A leadership as this node saw it begin, or the beginning of a time without one."""

    leader_id: str
    """Empty: nobody led, as far as this node knew."""
    epoch: Epoch
    reason: str
    """Why it began, in words."""
    began_at_ms: int
    """Of this node's wall clock, since the Unix epoch."""


@dataclass(frozen=True, slots=True)
class TransferReceipt:
    """The leadership has passed."""

    previous_leader_id: str
    leader_id: str
    epoch: Epoch


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

    def is_paused(self) -> bool:
        """Whether an operator has paused the node."""
        ...

    def is_stopped(self) -> bool:
        """Whether the end of the node has begun."""
        ...

    def is_leader_overridden(self) -> bool:
        """Whether an operator makes the node say that it leads."""
        ...

    async def pause(self) -> bool:
        """Step aside until `resume`; whether the node was paused already. Takes under a second."""
        ...

    async def resume(self) -> bool:
        """Take part again; whether the node was paused. Takes under a second."""
        ...

    async def stop(self) -> None:
        """Ask for the orderly end of the process, which begins once this has been answered."""
        ...

    async def override_leader(self, overridden: bool) -> bool:
        """Say that this node leads, or the truth again; what was in force before.

        Answers about the leadership change (`leader().is_overridden`), commits do not.
        """
        ...

    async def transfer(self, target: ServerId | None, *, force: bool = False) -> TransferReceipt:
        """Pass the leadership to a voter (None: the best one), within 10 s at most.

        NotLeader; TransferRefused: this node leads on; OutcomeUnknown and its kin; NotFormed.
        """
        ...

    def history(self) -> tuple[LeadershipRecord, ...]:
        """The last leaderships that this node has seen since it started, oldest first."""
        ...

    def watch_epochs(self) -> AsyncIterator[LeadershipRecord]:
        """The leadership now, then every change of it until the node stops.

        A reader who is too slow misses changes in between, never the newest.
        """
        ...
