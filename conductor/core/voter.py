"""What a member may promise, and what it takes from a leader (rules 5.3.2 and 5.4.2).

Invariants: a promise only rises; an answer never speaks of a promise or an entry that the disk
could still forget; what is certified is never cut.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from conductor.core.certificate import Acknowledgement, Certificate
from conductor.core.effects import (
    AppendEntries,
    CertifiedRaised,
    InstallWindow,
    Truncate,
)
from conductor.core.messages import (
    Acknowledged,
    Append,
    AppendRefusal,
    HandOverOrder,
    Heard,
    InstallBase,
    Mismatch,
    PrePromiseAnswer,
    PrePromiseRequest,
    PromiseGrant,
    PromiseRefusal,
    PromiseRequest,
)
from conductor.core.node import Node
from conductor.core.values import Base, Entry, Epoch, MemberKey, Position, ServerId


@dataclass(frozen=True, slots=True)
class LeaderContact:
    """The last word of a leader."""

    leader: MemberKey
    epoch: Epoch
    heard_ms: int
    fit: bool
    """Its own word that it is fit to go on."""
    established: bool
    """Whether it shows a certificate of its epoch."""


@dataclass(frozen=True, slots=True)
class Window:
    """A new beginning for a log that is behind, with proof that it leads to something certified."""

    base: Base
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class Grant:
    """The last promise that was given on request."""

    candidate: MemberKey
    epoch: Epoch
    nonce: int
    granted_ms: int


class Voter:
    """The promising and accepting half of a member. `abdicate` ends its own role, if it has one."""

    def __init__(
        self,
        node: Node,
        *,
        leads_with_quorum: Callable[[], bool],
        abdicate: Callable[[str], None],
    ) -> None:
        self._node = node
        self._leads_with_quorum = leads_with_quorum
        self._abdicate = abdicate
        self.contact: LeaderContact | None = None
        self.grant: Grant | None = None
        self._appended_epoch: Epoch | None = None

    # Promises

    def on_pre_promise(self, sender: MemberKey, request: PrePromiseRequest, reply_to: int) -> None:
        """Say whether a promise would be granted, and what it would report."""
        node = self._node
        reason = self._not_a_candidate(sender, request.epoch) or self._loyalty(sender)

        def answer() -> None:
            node.outbox.send(
                sender.server_id,
                PrePromiseAnswer(
                    request.nonce, not reason, node.promise.epoch, reason, node.report()
                ),
                reply_to,
            )

        node.outbox.when_durable(answer)

    def on_promise_request(self, sender: MemberKey, request: PromiseRequest, reply_to: int) -> None:
        """Promise, or say why not. The grant leaves when it and all before it are durable."""
        node = self._node
        reason = self.why_not(sender, request.epoch, nonce=request.nonce, order=request.order)
        if reason:
            refusal = PromiseRefusal(request.epoch, request.nonce, node.promise.epoch, reason)
            node.outbox.send(sender.server_id, refusal, reply_to)
            return
        self._abdicate(f"promised epoch {request.epoch} to {sender.server_id}")
        if (node.promise.epoch, node.promise.promised_to) != (request.epoch, sender):
            node.raise_promise(request.epoch, sender)
        self.grant = Grant(sender, request.epoch, request.nonce, node.now_ms)
        grant = PromiseGrant(request.epoch, request.nonce, node.report())
        node.outbox.when_durable(
            partial(node.outbox.send, sender.server_id, grant, reply_to),
        )

    def why_not(
        self, candidate: MemberKey, epoch: Epoch, *, nonce: int, order: HandOverOrder | None
    ) -> str:
        """Why no promise of `epoch` would be given to `candidate`; empty when one would."""
        reason = self._not_a_candidate(candidate, epoch)
        if reason:
            return reason
        if not self._may_promise(candidate, epoch, nonce):
            return f"epoch {self._node.promise.epoch} is promised already"
        if order is not None and self._honours(order, candidate):
            return ""
        return self._loyalty(candidate)

    def why_not_campaign(self) -> str:
        """Why this node should not campaign of its own accord; empty when it may."""
        if not self._node.is_voter:
            return f"{self._node.key.server_id} is no voter in this incarnation"
        return self._loyalty(self._node.key)

    def _not_a_candidate(self, candidate: MemberKey, epoch: Epoch) -> str:
        node = self._node
        if not node.log.membership.has_member(candidate):
            return f"{candidate.server_id} is no member in this incarnation"
        if not node.is_heeded(epoch):
            return f"epoch {epoch} is too far above {node.highest_epoch}"
        return ""

    def _may_promise(self, candidate: MemberKey, epoch: Epoch, nonce: int) -> bool:
        """Above the promise, or the very campaign that has it."""
        promise = self._node.promise
        if epoch != promise.epoch:
            return epoch > promise.epoch
        is_resend = self.grant is None or self.grant.nonce == nonce
        return promise.promised_to == candidate and is_resend and self._appended_epoch != epoch

    def _honours(self, order: HandOverOrder, candidate: MemberKey) -> bool:
        """Whether the order is of the leader to whom this node is promised, for this candidate."""
        promise = self._node.promise
        return (
            order.cluster_id == self._node.cluster_id
            and order.epoch == promise.epoch
            and order.leader == promise.promised_to
            and order.target == candidate
        )

    def _loyalty(self, candidate: MemberKey) -> str:
        """Which leader or earlier candidate this node stays with; empty when none."""
        node = self._node
        if self._leads_with_quorum() and node.fit and candidate != node.key:
            return f"{node.key.server_id} leads in contact with a quorum"
        contact = self.live_contact()
        if contact is not None and contact.fit and contact.leader != candidate:
            return f"hears the leader {contact.leader.server_id} of epoch {contact.epoch}"
        grant = self.grant
        if (
            grant is not None
            and grant.candidate != candidate
            and grant.epoch == node.promise.epoch
            and node.now_ms < grant.granted_ms + node.settings.campaign_timeout_ms
            and grant.candidate.server_id not in node.dead_peers
        ):
            return f"waits for {grant.candidate.server_id}, to which it has just promised"
        return ""

    def note_own_promise(self, epoch: Epoch, nonce: int) -> None:
        """This node campaigns: for a while it refuses rivals like any voter that has granted."""
        self.grant = Grant(self._node.key, epoch, nonce, self._node.now_ms)

    def forget_grant_to(self, candidate: MemberKey) -> None:
        """That campaign is over: rivals need not wait for it."""
        if self.grant is not None and self.grant.candidate == candidate:
            self.grant = None

    def live_contact(self) -> LeaderContact | None:
        """The leader that was heard within the leader timeout and is not known to be dead."""
        contact = self.contact
        if contact is None or contact.epoch != self._node.promise.epoch:
            return None
        return None if self._is_silent(contact) else contact

    def _is_silent(self, contact: LeaderContact) -> bool:
        node = self._node
        is_late = node.now_ms >= contact.heard_ms + node.settings.leader_timeout_ms
        return is_late or contact.leader.server_id in node.dead_peers

    def why_left(self, leader_id: ServerId, epoch: Epoch) -> str:
        """Why the leader of `epoch` is not this node's any more: it fell silent, or gave way."""
        contact, promise = self.contact, self._node.promise
        fell_silent = contact is not None and contact.epoch == epoch and self._is_silent(contact)
        if fell_silent or promise.promised_to is None or promise.epoch <= epoch:
            return f"{leader_id} is not heard any more"
        return f"promised epoch {promise.epoch} to {promise.promised_to.server_id}"

    # Entries

    def on_append(self, sender: MemberKey, append: Append, reply_to: int) -> None:
        """Take entries from a leader and acknowledge the last position that it covers."""
        if not self._follows(sender, append, reply_to):
            return
        node = self._node
        entries = self._entries_above_base(append)
        if entries is None or not _is_chain(append.previous, append.entries, append.epoch):
            mismatch = Mismatch(append.epoch, append.sequence, node.report())
            node.outbox.when_durable(
                partial(node.outbox.send, sender.server_id, mismatch, reply_to)
            )
            return
        self._merge(entries)
        self._answer(sender, append, entries, reply_to)

    def _answer(
        self, sender: MemberKey, append: Append, entries: tuple[Entry, ...], reply_to: int
    ) -> None:
        node = self._node
        certificate = append.certificate
        brings_certificate = certificate is not None and self._will_raise(certificate)
        if certificate is not None and brings_certificate:
            node.outbox.when_durable(partial(self.raise_certified, certificate))
        covered = append.entries[-1].position if append.entries else append.previous
        can_wait = brings_certificate or not node.outbox.is_idle()
        if not append.entries and can_wait and node.promise_durable:
            node.outbox.send(sender.server_id, Heard(append.epoch, append.sequence), reply_to)
        else:
            node.outbox.when_durable(
                partial(self._acknowledge, sender, append.epoch, append.sequence, covered, reply_to)
            )

    def on_install_base(self, sender: MemberKey, message: InstallBase, reply_to: int) -> None:
        """Start again from the leader's window, if this log is really behind it (rule 5.7)."""
        epoch, sequence = message.epoch, message.sequence
        if not self._follows(sender, message, reply_to):
            return
        node = self._node
        window = Window(message.base, message.certificate)
        if not self.take_window(message.base.position, message.entries, epoch, window):
            mismatch = Mismatch(epoch, sequence, node.report())
            node.outbox.when_durable(
                partial(node.outbox.send, sender.server_id, mismatch, reply_to)
            )
            return
        covered = message.entries[-1].position if message.entries else message.base.position
        node.outbox.when_durable(
            partial(self._acknowledge, sender, epoch, sequence, covered, reply_to)
        )

    def take_window(
        self,
        base: Position,
        entries: tuple[Entry, ...],
        epoch_max: Epoch,
        window: Window | None,
    ) -> bool:
        """Merge entries that follow `base`, or install them with `window`; False: neither fits."""
        node = self._node
        if not _is_chain(base, entries, epoch_max):
            return False
        if node.log.position_at(base.index) == base:
            self._merge(entries)
            if window is not None and self._will_raise(window.certificate):
                node.outbox.when_durable(partial(self.raise_certified, window.certificate))
            return True
        if window is None or not self._needs(base) or not _reaches(entries, window.certificate):
            return False
        if window.certificate.index <= node.log.certified.index:
            return False
        node.log.install(window.base, entries, window.certificate)
        node.outbox.write(InstallWindow(window.base, entries))
        node.certified_unsaved = True
        node.save_certified()
        node.outbox.notify(CertifiedRaised(node.log.certified))
        return True

    def _needs(self, base: Position) -> bool:
        """Whether the own chain lacks that base, which it does not if it has pruned beyond it."""
        log = self._node.log
        return base.index >= log.base.position.index and not log.matches(base)

    def _follows(self, sender: MemberKey, message: Append | InstallBase, reply_to: int) -> bool:
        """Accept `sender` as the leader of that epoch, or refuse it and say why."""
        node = self._node
        promise, epoch = node.promise, message.epoch
        is_rival = self._appended_epoch == epoch and promise.promised_to != sender
        if (
            epoch < promise.epoch
            or not node.is_heeded(epoch)
            or not node.log.membership.has_member(sender)
            or is_rival
        ):
            refusal = AppendRefusal(epoch, message.sequence, promise.epoch)
            node.outbox.send(sender.server_id, refusal, reply_to)
            return False
        self._abdicate(f"follows {sender.server_id} in epoch {epoch}")
        if (promise.epoch, promise.promised_to) != (epoch, sender):
            node.raise_promise(epoch, sender)
        self._appended_epoch = epoch
        node.dead_peers.discard(sender.server_id)
        certificate = message.certificate
        established = certificate is not None and certificate.epoch == epoch
        self.contact = LeaderContact(sender, epoch, node.now_ms, message.sequencer_ok, established)
        return True

    def note_own_leadership(self, epoch: Epoch) -> None:
        """From now on this node writes in `epoch`: it takes no Append in it."""
        self._appended_epoch = epoch
        self.contact = None
        self.forget_grant_to(self._node.key)

    def _entries_above_base(self, append: Append) -> tuple[Entry, ...] | None:
        """The part of the entries that this log does not have pruned; None when nothing fits."""
        log = self._node.log
        base = log.base.position
        if append.previous.index >= base.index:
            fits = log.position_at(append.previous.index) == append.previous
            return append.entries if fits else None
        skipped = base.index - append.previous.index
        if skipped > len(append.entries) or append.entries[skipped - 1].position != base:
            return None
        return append.entries[skipped:]

    def _merge(self, entries: tuple[Entry, ...]) -> None:
        node = self._node
        merge = node.log.merge(entries)
        if merge.truncated_after is not None:
            node.outbox.write(Truncate(merge.truncated_after))
        if merge.appended:
            node.outbox.write(AppendEntries(merge.appended))
            node.save_certified()

    def _acknowledge(
        self, leader: MemberKey, epoch: Epoch, sequence: int, covered: Position, reply_to: int
    ) -> None:
        """Acknowledge what is durable now, unless a newer promise or another entry came between."""
        node = self._node
        is_promised = (node.promise.epoch, node.promise.promised_to) == (epoch, leader)
        if not is_promised or not self._holds(covered):
            return
        acknowledgement = Acknowledgement(node.key, epoch, covered.index, covered.digest)
        node.outbox.send(leader.server_id, Acknowledged(sequence, acknowledgement), reply_to)

    def _holds(self, position: Position) -> bool:
        """Whether the log has that position, or has pruned it as certified."""
        log = self._node.log
        return log.matches(position) or position.index < log.base.position.index

    def _will_raise(self, certificate: Certificate) -> bool:
        log = self._node.log
        return certificate.index > log.certified.index and log.matches(certificate.position)

    def raise_certified(self, certificate: Certificate) -> None:
        """Note a certificate, once the log that it is about is durable."""
        if self._will_raise(certificate):
            node = self._node
            node.log.raise_certified(certificate)
            node.certified_unsaved = True
            node.outbox.notify(CertifiedRaised(node.log.certified))


def _is_chain(previous: Position, entries: tuple[Entry, ...], epoch_max: Epoch) -> bool:
    """Whether the entries chain from `previous`, with epochs that neither fall nor go too high."""
    for entry in entries:
        if entry.index != previous.index + 1 or entry.previous_digest != previous.digest:
            return False
        if not previous.epoch <= entry.epoch <= epoch_max:
            return False
        previous = entry.position
    return True


def _reaches(entries: tuple[Entry, ...], certificate: Certificate) -> bool:
    position = certificate.position
    return any(entry.position == position for entry in entries)
