"""The seams between the inside and the adapters.

Each port has one conformance suite under `tests/`. Ports are small on purpose: what is not here, an
adapter keeps to itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from conductor.core.certificate import Certificate
from conductor.core.effects import Write
from conductor.core.founding import Founding
from conductor.core.messages import Message
from conductor.core.values import (
    Base,
    Entry,
    Epoch,
    Genesis,
    Incarnation,
    Index,
    MemberKey,
    Position,
    Promise,
    ServerId,
)

Bodies = Mapping[bytes, bytes]
"""Bodies of payload entries by their SHA-256 hash."""


@dataclass(frozen=True, slots=True)
class StoredState:
    """What a node's disk holds, checked: the chain is unbroken and nothing contradicts itself."""

    server_id: ServerId
    incarnation: Incarnation
    genesis: Genesis | None
    promise: Promise
    base: Base | None
    """None exactly while there is no genesis."""
    entries: tuple[Entry, ...]
    certified: Position | None
    """None while nothing is certified."""
    certificate: Certificate | None
    founding: Founding | None = None
    """What the store was made from, when that was a Raft state. It never changes."""


class Store(Protocol):
    """What a node keeps on disk. `apply` and `set_genesis` are called from one thread only."""

    def load(self) -> StoredState:
        """Everything but the bodies. StoreDamaged when it contradicts itself."""
        ...

    def set_genesis(self, genesis: Genesis) -> None:
        """Store the genesis and its base, durably. StoreMismatch when there is another."""
        ...

    def apply(self, writes: Sequence[Write], bodies: Bodies) -> None:
        """Perform the writes in order, in one transaction, durable on return.

        StoreFull: rolled back, nothing changed. InvariantViolation: a write breaks a rule, nothing
        was written. Any other StoreError: nothing is known; stop.
        """
        ...

    def read_body(self, index: Index) -> bytes:
        """The body of the entry there, from any thread. NotFound: not held. StoreDamaged."""
        ...

    def read_head(self) -> bytes:
        """The payload that came with the founding, from any thread. NotFound: none did."""
        ...

    def close(self) -> None:
        """Release the files."""
        ...


class Signer(Protocol):
    """This node's ed25519 identity."""

    @property
    def public_key(self) -> bytes:
        """32 bytes."""
        ...

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        ...


class Clock(Protocol):
    """Monotonic time."""

    def now_ms(self) -> int:
        """Milliseconds since some fixed moment; never goes back."""
        ...


class PeerTransport(Protocol):
    """Carries messages to other members. Never blocks; what cannot be sent is dropped."""

    def send(self, to: ServerId, message: Message, bodies: Bodies, reply_to: int) -> None:
        """Send to a member, or answer the open call `reply_to` (0: a message of our own)."""
        ...


class PeerInbox(Protocol):
    """Where a transport delivers. Everything is checked for form, hashes included, before."""

    def receive(self, sender: MemberKey, message: Message, bodies: Bodies, reply_to: int) -> None:
        """A member said something."""
        ...

    def peer_connected(self, server_id: ServerId) -> None:
        """A replication stream to that server is open."""
        ...

    def peer_disconnected(self, server_id: ServerId) -> None:
        """The replication stream to that server broke."""
        ...

    def peer_died(self, server_id: ServerId) -> None:
        """That server's machine refuses connections."""
        ...


@dataclass(frozen=True, slots=True)
class MemberObservation:
    """What the probes of this node say of one voter, itself included."""

    server_id: ServerId
    reachable: bool
    serving: bool
    """Fit to lead, by its own word, and that word is fresh."""
    paused: bool
    serving_since_ms: int | None
    """When it was last seen to begin serving; None while it does not."""


@dataclass(frozen=True, slots=True)
class LeaderObservation:
    """The leadership that this node knows of."""

    server_id: ServerId
    epoch: Epoch
    since_ms: int
    by_transfer: bool
    """An operator put it there: it is not preempted while it serves."""


@dataclass(frozen=True, slots=True)
class Observation:
    """All that an epoch manager goes by."""

    now_ms: int
    self_id: ServerId
    voters: tuple[MemberObservation, ...]
    """Sorted by server id."""
    quorum: int
    """How many of the voters make a quorum: fewer in reach cannot elect anyone."""
    leader: LeaderObservation | None
    initial_leader: ServerId | None = None
    """Who is to lead first; None when nobody was named, and once anybody has led."""


@dataclass(frozen=True, slots=True)
class Designation:
    """An epoch manager's word that a server should lead."""

    server_id: ServerId
    reason: str


class EpochManager(Protocol):
    """Decides who should try to lead. However wrong it is, nothing forks and nothing is lost."""

    async def start(self) -> None:
        """Begin to watch whatever outside service it needs."""
        ...

    async def stop(self) -> None:
        """Let go of it."""
        ...

    def designate(self, observation: Observation) -> Designation | None:
        """Who should lead now; None when nobody is to be named. Asked again and again."""
        ...

    def campaign_failed(self, server_id: ServerId, now_ms: int) -> None:
        """That server was named and did not get established in time."""
        ...


Outcome = Literal["success", "refused", "unknown"]
"""What became of what a caller wanted: done, certainly not done, or nobody knows (promise 8)."""

TransferTrigger = Literal["operator", "health"]
"""Who wanted the leadership to pass: an operator, or the epoch manager."""


class Meters:
    """Hears what happens, for whoever counts it. Never waits and never fails, on any thread.

    This one counts nothing.
    """

    def commit_ended(self, outcome: Outcome, size_bytes: int, duration_s: float) -> None:
        """A commit has ended."""

    def transfer_ended(self, trigger: TransferTrigger, outcome: Outcome) -> None:
        """An attempt to pass the own leadership on has ended."""

    def leader_changed(self, *, is_own: bool) -> None:
        """A leadership has begun."""

    def campaign_failed(self) -> None:
        """An attempt to lead came to nothing."""

    def probe_ended(self, peer: ServerId, duration_s: float | None) -> None:
        """A peer was probed; None: it did not answer."""

    def beat(self, lag_s: float) -> None:
        """The event loop was so late."""


UNMETERED = Meters()
"""For whoever counts nothing."""
