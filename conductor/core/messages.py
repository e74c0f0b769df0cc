"""What conductors say to each other. Frozen values; the wire forms are in `proto/conductor/v1`.

Entries travel with their bodies, but the core sees headers only: whoever sends or receives a
message puts the bodies beside it. `cluster_id` is checked by the receiver before the core hears
anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from conductor.core import encoding
from conductor.core.certificate import Acknowledgement, Certificate
from conductor.core.values import Base, Digest, Entry, Epoch, Index, MemberKey, Position


@dataclass(frozen=True, slots=True)
class LogReport:
    """What a member says of its own log, everything queued for its disk included."""

    last: Position
    certified: Position
    base_index: Index


@dataclass(frozen=True, slots=True)
class HandOverOrder:
    """A leader's signed order that `target` take the leadership from it now."""

    cluster_id: Digest
    epoch: Epoch
    """The epoch of the leader that orders; honoured only while it is the promised one."""
    leader: MemberKey
    target: MemberKey
    signature: bytes = b""
    """ed25519 of the leader, 64 bytes; empty until it is sent."""

    def message(self) -> bytes:
        """The bytes that the signature covers."""
        return encoding.hand_over_message(
            cluster_id=self.cluster_id,
            epoch=self.epoch,
            target_id=self.target.server_id,
            target_incarnation=self.target.incarnation,
        )


@dataclass(frozen=True, slots=True)
class PrePromiseRequest:
    """Would you grant? Changes nothing at the receiver."""

    epoch: Epoch
    nonce: int


@dataclass(frozen=True, slots=True)
class PrePromiseAnswer:
    """Whether a promise would be granted, and the log that a grant would report."""

    nonce: int
    would_grant: bool
    promised_epoch: Epoch
    reason: str
    """Why not; empty when it would."""
    report: LogReport


@dataclass(frozen=True, slots=True)
class PromiseRequest:
    """Vow to refuse every epoch below this one."""

    epoch: Epoch
    nonce: int
    """Names the campaign: a resend carries the same."""
    order: HandOverOrder | None = None
    """Lifts the refusal of those who hear a live leader."""


@dataclass(frozen=True, slots=True)
class PromiseGrant:
    """The vow is durable, and so is the log that is reported with it."""

    epoch: Epoch
    nonce: int
    report: LogReport


@dataclass(frozen=True, slots=True)
class PromiseRefusal:
    """No vow was made."""

    epoch: Epoch
    nonce: int
    promised_epoch: Epoch
    reason: str


@dataclass(frozen=True, slots=True)
class Append:
    """A leader's entries after `previous`; with none it is a heartbeat."""

    epoch: Epoch
    sequence: int
    """Counts the leader's Appends to all members; answers carry it back."""
    previous: Position
    entries: tuple[Entry, ...]
    certificate: Certificate | None
    """Of the newest certified position; None while nothing is."""
    sequencer_ok: bool
    """Whether the leader is fit to go on leading."""


@dataclass(frozen=True, slots=True)
class Heard:
    """The Append was taken but is not durable yet: proves contact, nothing else."""

    epoch: Epoch
    sequence: int


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The last position that an Append covered is durable here."""

    sequence: int
    acknowledgement: Acknowledgement


@dataclass(frozen=True, slots=True)
class Mismatch:
    """`previous` is not in my log: go back."""

    epoch: Epoch
    sequence: int
    report: LogReport


@dataclass(frozen=True, slots=True)
class AppendRefusal:
    """I promised a higher epoch, or to another in this one."""

    epoch: Epoch
    sequence: int
    promised_epoch: Epoch


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """Send me your entries after `after`, towards exactly `target`."""

    nonce: int
    after: Index
    target: Position


@dataclass(frozen=True, slots=True)
class FetchAnswer:
    """Entries in order. With `base` set they follow it instead of what was asked for.

    None of either: the target is gone. `certificate` comes with a base, for a position among the
    entries.
    """

    nonce: int
    entries: tuple[Entry, ...]
    base: Base | None = None
    certificate: Certificate | None = None


@dataclass(frozen=True, slots=True)
class InstallBase:
    """For a member behind the leader's window: start from here."""

    epoch: Epoch
    sequence: int
    base: Base
    entries: tuple[Entry, ...]
    certificate: Certificate
    """For the last of the entries, or one before it."""
    sequencer_ok: bool


@dataclass(frozen=True, slots=True)
class HandOver:
    """The order, sent to its target."""

    order: HandOverOrder
    reason: str
    """Why, for the epoch-start entry and for people."""
    forced: bool = False
    """An operator wants it although the target is not fit to lead."""


@dataclass(frozen=True, slots=True)
class HandOverAnswer:
    """Whether the target campaigns; `reason` says why not."""

    epoch: Epoch
    accepted: bool
    reason: str


Message = (
    PrePromiseRequest
    | PrePromiseAnswer
    | PromiseRequest
    | PromiseGrant
    | PromiseRefusal
    | Append
    | Heard
    | Acknowledged
    | Mismatch
    | AppendRefusal
    | FetchRequest
    | FetchAnswer
    | InstallBase
    | HandOver
    | HandOverAnswer
)
