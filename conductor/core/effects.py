"""What the core wants done. The order is in the types.

A step gives sends and writes. Its sends may leave at once, in order, beside its writes: whatever
has to wait for a write is not in this batch but comes out of the step that handles that write's
`WriteCompleted`. So "durable before it is said" cannot be got wrong by whoever performs effects.
Writes are performed strictly in the order of their sequence numbers; several may share a
transaction.
"""

from __future__ import annotations

from dataclasses import dataclass

from conductor.core.certificate import Certificate
from conductor.core.messages import Message
from conductor.core.values import Base, Entry, Epoch, Index, Position, Promise, ServerId
from conductor.errors import ConductorError


@dataclass(frozen=True, slots=True)
class Send:
    """Say this to a member. To oneself it means: sign it and hand it back as an event."""

    to: ServerId
    message: Message
    reply_to: int = 0
    """Copied from the event that it answers; 0 for a message of our own accord."""


@dataclass(frozen=True, slots=True)
class RaisePromise:
    """Store the promise."""

    promise: Promise


@dataclass(frozen=True, slots=True)
class Truncate:
    """Remove every entry after `after`. Never at or below the certified index."""

    after: Index


@dataclass(frozen=True, slots=True)
class AppendEntries:
    """Add entries with their bodies at the end."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class RaiseCertified:
    """Store how far the log is certified, with the proof."""

    position: Position
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class InstallWindow:
    """Replace the whole log by a base and the entries after it."""

    base: Base
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Prune:
    """Remove the entries up to and including the new base."""

    base: Base


@dataclass(frozen=True, slots=True)
class Touch:
    """Write something small: proves that the disk still takes writes."""


Operation = RaisePromise | Truncate | AppendEntries | RaiseCertified | InstallWindow | Prune | Touch


@dataclass(frozen=True, slots=True)
class Write:
    """Operations that become durable together."""

    sequence: int
    """Counts from 1 in this process; completions carry it back."""
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class CommitCertified:
    """The payload is certified: it will never be lost or changed."""

    request_id: int
    index: Index
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """The request ended otherwise; the error's class says whether it is refused or unknown."""

    request_id: int
    error: ConductorError


@dataclass(frozen=True, slots=True)
class ReadReady:
    """At some moment after the read was asked for, this much was certified."""

    request_id: int
    certified: Position


@dataclass(frozen=True, slots=True)
class HandOverDone:
    """Another member has taken the leadership over."""

    request_id: int
    leader_id: ServerId
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class LeadershipChanged:
    """Who leads has changed, as this node sees it. `leader_id` is None when nobody does."""

    epoch: Epoch
    leader_id: ServerId | None
    reason: str


@dataclass(frozen=True, slots=True)
class CertifiedRaised:
    """The certified index of this node rose."""

    position: Position


@dataclass(frozen=True, slots=True)
class CampaignEnded:
    """An attempt to lead failed."""

    epoch: Epoch
    reason: str


Notice = (
    CommitCertified
    | RequestFailed
    | ReadReady
    | HandOverDone
    | LeadershipChanged
    | CertifiedRaised
    | CampaignEnded
)


@dataclass(frozen=True, slots=True)
class Effects:
    """All that one step wants done."""

    sends: tuple[Send, ...] = ()
    writes: tuple[Write, ...] = ()
    notices: tuple[Notice, ...] = ()
