"""What the parts of the core share: who this node is, its log, its promise, the time of a step."""

from __future__ import annotations

from dataclasses import dataclass, field

from conductor.core.effects import RaiseCertified, RaisePromise
from conductor.core.log import Log
from conductor.core.messages import LogReport
from conductor.core.outbox import Outbox
from conductor.core.values import (
    Digest,
    Epoch,
    Member,
    MemberKey,
    Promise,
    ServerId,
)
from conductor.errors import ensure

EPOCH_STEP_MAX = 2**32
"""A higher epoch is heeded by at most this much at once: nobody can use up the numbers."""


EPOCH_MAX = 2**64 - 1
"""The highest number that an entry and a message can carry."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The numbers that the protocol runs with; times in milliseconds."""

    heartbeat_ms: int = 100
    announce_delay_ms: int = 5
    """A certificate that no entries carry is sent alone after this."""
    lease_ms: int = 1000
    leader_timeout_ms: int = 1500
    campaign_timeout_ms: int = 2000
    touch_interval_ms: int = 1000
    """How often something is written when nothing else is."""
    append_timeout_ms: int = 2000
    """An unanswered Append is taken for lost after this."""
    commit_rule: str = "reorg"
    pending_payloads_max: int = 64
    batch_bytes_max: int = 8 * 2**20
    batch_entries_aligned_to: int = 64
    retain_payloads: int = 1024
    retain_bytes: int = 512 * 2**20


@dataclass(slots=True)
class Node:
    """One member of a formed cluster."""

    key: MemberKey
    cluster_id: Digest
    settings: Settings
    log: Log
    promise: Promise
    now_ms: int = 0
    """The time of the step that is being made."""
    outbox: Outbox = field(default_factory=Outbox)
    highest_epoch: Epoch = field(default=Epoch(0))
    """The highest epoch that any member ever spoke of. Invariant: at least the promised one."""
    promise_durable: bool = True
    """Whether the disk holds the present promise."""
    serving: bool = False
    """Whether this node's own monitors say that it is fit to lead."""
    sequencer_ok: bool = True
    paused: bool = False
    """Whether an operator has paused this node: no order makes it lead."""
    serving_peers: set[ServerId] = field(default_factory=set)
    """The members that the probes found fit to lead."""
    dead_peers: set[ServerId] = field(default_factory=set)
    """The members whose machine refuses connections. Cleared when one is heard again."""
    certified_unsaved: bool = False
    """Whether the disk does not yet know how far the log is certified."""

    def __post_init__(self) -> None:
        """A restarted node never leads in an epoch that it promised before."""
        self.highest_epoch = max(self.highest_epoch, self.promise.epoch)

    @property
    def others(self) -> tuple[Member, ...]:
        """All members but this one."""
        members = self.log.membership.members
        return tuple(member for member in members if member.server_id != self.key.server_id)

    @property
    def is_voter(self) -> bool:
        """Whether the membership in force lists this node, in this incarnation, as a voter."""
        return self.log.membership.has_voter(self.key)

    @property
    def fit(self) -> bool:
        """Whether this node is fit to go on leading."""
        return self.serving and self.sequencer_ok

    def is_heeded(self, epoch: Epoch) -> bool:
        """Whether an epoch is one that a member could have come to honestly."""
        return epoch <= self.highest_epoch + EPOCH_STEP_MAX

    def observe_epoch(self, epoch: Epoch) -> None:
        """Remember that a member spoke of that epoch."""
        if self.is_heeded(epoch):
            self.highest_epoch = max(self.highest_epoch, epoch)

    def raise_promise(self, epoch: Epoch, promised_to: MemberKey | None) -> None:
        """Vow to refuse lower epochs; the write is queued, and answers wait for it."""
        ensure(epoch >= self.promise.epoch, f"promise {epoch} is below {self.promise.epoch}")
        promise = Promise(epoch, promised_to)
        self.promise = promise
        self.highest_epoch = max(self.highest_epoch, epoch)
        self.promise_durable = False
        self.outbox.write(RaisePromise(promise))

        def note_durable() -> None:
            if self.promise == promise:
                self.promise_durable = True

        self.outbox.when_durable(note_durable)

    def report(self) -> LogReport:
        """What this node says of its log: to be sent only when what is queued is durable."""
        return LogReport(self.log.last, self.log.certified, self.log.base.position.index)

    def save_certified(self) -> None:
        """Write down how far the log is certified, if the disk does not know."""
        if self.certified_unsaved and self.log.certificate is not None:
            self.certified_unsaved = False
            self.outbox.write(RaiseCertified(self.log.certified, self.log.certificate))
