"""One leadership: from the epoch-start entry to stepping down (rules 5.3.4 to 5.5).

Invariants: it is established, and takes commits, only once its epoch-start entry is certified; only
entries of its own epoch are certified by counting, by acknowledgements that are all for one
position; it counts itself like everyone else, by an acknowledgement that waited for its own disk.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from conductor.core.certificate import Acknowledgement, Certificate
from conductor.core.commit_rule import Duplicate, judge
from conductor.core.effects import AppendEntries, CertifiedRaised, LeadershipChanged, RequestFailed
from conductor.core.encoding import sha256
from conductor.core.events import PayloadSubmitted
from conductor.core.messages import Acknowledged, AppendRefusal, Heard, Mismatch
from conductor.core.node import Node
from conductor.core.progress import Progress
from conductor.core.replication import Replication
from conductor.core.requests import Commits, Reads
from conductor.core.values import (
    BlockReference,
    Entry,
    EntryKind,
    Epoch,
    EpochStart,
    Index,
    MemberKey,
    Position,
)
from conductor.errors import Conflict, NotLeader, Overloaded


class Leadership:
    """This node leads `epoch`. `abdicate` is called when it has to stop."""

    def __init__(
        self, node: Node, epoch: Epoch, reason: str, *, abdicate: Callable[[str], None]
    ) -> None:
        self._node = node
        self._abdicate = abdicate
        self._acknowledgements: dict[Index, dict[MemberKey, Acknowledgement]] = {}
        self._continuity_proven = False
        self._reason = reason
        self.epoch = epoch
        self.since_ms = node.now_ms
        self.established = False
        self.uncertified_since_ms: int | None = node.now_ms
        """Since when the oldest entry that is not certified waits; None when all are."""
        self.draining = False
        """A hand-over is under way: commits wait."""
        self.replication = Replication(node, epoch)
        self.commits = Commits(node)
        self.reads = Reads(node)
        self._held: list[PayloadSubmitted] = []

    def start(self) -> None:
        """Write the epoch-start entry and send it to everyone."""
        body = EpochStart(self._node.key, self._reason).to_bytes()
        self._append(EntryKind.EPOCH_START, sha256(body), len(body), block=None, control=body)
        self.replication.send_to_all()

    # Time

    @property
    def has_quorum(self) -> bool:
        """Whether a quorum was heard within the lease."""
        return self._node.now_ms < self._lease_end_ms

    @property
    def _lease_end_ms(self) -> int:
        return self.replication.quorum_heard_ms() + self._node.settings.lease_ms

    @property
    def _establish_by_ms(self) -> int:
        return self.since_ms + self._node.settings.campaign_timeout_ms

    @property
    def next_deadline_ms(self) -> int:
        """When this leadership wants to be looked at again."""
        lone = not self.replication.progress
        deadlines = [] if lone else [self.replication.heartbeat_due_ms, self._lease_end_ms]
        if not self.established:
            deadlines.append(self._establish_by_ms)
        return min(deadlines, default=self._node.now_ms + self._node.settings.lease_ms)

    def on_time(self) -> None:
        """Step down when the quorum or the disk is lost; otherwise let everyone hear."""
        node = self._node
        disk_age_ms = node.outbox.oldest_pending_age_ms(node.now_ms)
        if not self.has_quorum:
            self._abdicate(f"no quorum answered within {node.settings.lease_ms} ms")
        elif disk_age_ms >= node.settings.lease_ms:
            self._abdicate(f"its disk has not finished a write for {disk_age_ms} ms")
        elif not self.established and node.now_ms >= self._establish_by_ms:
            self._abdicate("its epoch start was not certified in time")
        else:
            self.replication.restart_overdue()
            if node.now_ms < self.replication.heartbeat_due_ms:
                return
            if disk_age_ms < node.settings.lease_ms // 2:
                self.replication.send_heartbeats()
            else:
                self.replication.skip_heartbeats()

    # Commits

    def submit(self, payload: PayloadSubmitted) -> None:
        """Append a payload and answer when it is certified, or say why not."""
        if not self.established:
            self._fail(payload, NotLeader("node is not the leader: its epoch is not established"))
        elif not self.draining:
            self._judge(payload)
        elif len(self._held) < self._node.settings.pending_payloads_max:
            self._held.append(payload)
        else:
            self._fail(payload, Overloaded("too many payloads wait for a hand-over to end already"))

    def _judge(self, payload: PayloadSubmitted) -> None:
        node = self._node
        try:
            verdict = judge(
                node.settings.commit_rule,
                node.log,
                payload.block,
                payload.body_hash,
                continuity_proven=self._continuity_proven,
            )
        except Conflict as conflict:
            self._fail(payload, conflict)
            return
        if isinstance(verdict, Duplicate):
            self.commits.wait(payload.request_id, verdict.index)
            return
        pending = node.log.last.index - node.log.certified.index
        if pending >= node.settings.pending_payloads_max:
            self._fail(payload, Overloaded("too many payloads wait for a certificate already"))
            return
        self._continuity_proven = self._continuity_proven or verdict.extends_last
        entry = self._append(
            EntryKind.PAYLOAD, payload.body_hash, payload.body_size, block=payload.block
        )
        self.commits.wait(payload.request_id, entry.index)
        self.replication.send_to_all()

    def sequencer_started(self, block_hash: bytes) -> None:
        """The own sequencer builds on that block; if it is the last one, nothing stale is left."""
        last = self._node.log.last_payload
        if last is not None and last.block is not None and last.block.block_hash == block_hash:
            self._continuity_proven = True

    def _fail(self, payload: PayloadSubmitted, error: NotLeader | Overloaded | Conflict) -> None:
        self._node.outbox.notify(RequestFailed(payload.request_id, error))

    def resume_commits(self) -> None:
        """The hand-over came to nothing: take what waited, and go on."""
        self.draining = False
        held, self._held = self._held, []
        for payload in held:
            self._judge(payload)

    def abandon(self, request_id: int) -> None:
        """Nobody waits for that request any more."""
        self.commits.abandon(request_id)
        self.reads.abandon(request_id)
        self._held = [payload for payload in self._held if payload.request_id != request_id]

    def _append(
        self,
        kind: EntryKind,
        body_hash: bytes,
        body_size: int,
        *,
        block: BlockReference | None,
        control: bytes = b"",
    ) -> Entry:
        node = self._node
        last = node.log.last
        entry = Entry(
            index=Index(last.index + 1),
            epoch=self.epoch,
            kind=kind,
            previous_digest=last.digest,
            body_hash=body_hash,
            body_size=body_size,
            block=block,
            control=control,
        )
        node.log.append(entry)
        if self.uncertified_since_ms is None:
            self.uncertified_since_ms = node.now_ms
        node.outbox.write(AppendEntries((entry,)))
        node.save_certified()
        node.outbox.when_durable(partial(self._acknowledge_own, entry.position))
        return entry

    def _acknowledge_own(self, position: Position) -> None:
        """Say to oneself what every member says: this is durable here."""
        node = self._node
        still_ours = (node.promise.epoch, node.promise.promised_to) == (self.epoch, node.key)
        if still_ours and node.log.matches(position):
            acknowledgement = Acknowledgement(node.key, self.epoch, position.index, position.digest)
            node.outbox.send(node.key.server_id, Acknowledged(0, acknowledgement))

    # Answers

    def on_acknowledged(self, sender: MemberKey, message: Acknowledged) -> None:
        """Count a verified acknowledgement."""
        acknowledgement = message.acknowledgement
        if acknowledgement.epoch != self.epoch or acknowledgement.member != sender:
            return
        self._note_contact(sender, message.sequence)
        position = Position(acknowledgement.index, acknowledgement.epoch, acknowledgement.digest)
        if not self._node.log.matches(position):
            return
        progress = self.replication.find(sender)
        if progress is not None:
            progress.landed(message.sequence, position.index)
        self.count(acknowledgement)
        if progress is not None:
            self.replication.send_entries(progress)

    def count(self, acknowledgement: Acknowledgement) -> None:
        """Add a verified acknowledgement of this epoch and certify what it completes."""
        log = self._node.log
        index = acknowledgement.index
        entry = log.entry(index)
        if entry is None or index <= log.certified.index or entry.epoch != self.epoch:
            return
        if entry.digest != acknowledgement.digest or acknowledgement.epoch != self.epoch:
            return
        found = self._acknowledgements.setdefault(index, {})
        found[acknowledgement.member] = acknowledgement
        membership = log.membership_at(index)
        if membership.is_quorum(found.keys()):
            voters = (found[key] for key in found if membership.has_voter(key))
            self._certify(Certificate.assemble(entry, voters))

    def _certify(self, certificate: Certificate) -> None:
        node = self._node
        node.log.raise_certified(certificate)
        node.certified_unsaved = True
        is_complete = node.log.certified == node.log.last
        self.uncertified_since_ms = None if is_complete else node.now_ms
        node.outbox.notify(CertifiedRaised(node.log.certified))
        for index in [index for index in self._acknowledgements if index <= certificate.index]:
            del self._acknowledgements[index]
        self.commits.certified()
        if not self.established:  # Its start is the first entry of this epoch.
            self.established = True
            node.outbox.notify(LeadershipChanged(self.epoch, node.key.server_id, self._reason))
        self.replication.announce_certificate()

    def on_heard(self, sender: MemberKey, message: Heard) -> None:
        """A member took a message without saying that it is durable."""
        if message.epoch == self.epoch:
            self._note_contact(sender, message.sequence)

    def on_mismatch(self, sender: MemberKey, message: Mismatch) -> None:
        """A member's log does not meet ours where we thought."""
        if message.epoch != self.epoch:
            return
        progress = self._note_contact(sender, message.sequence)
        if progress is not None:
            self.replication.on_mismatch(progress, message)

    def on_refusal(self, sender: MemberKey, message: AppendRefusal) -> None:
        """A member has promised more than this epoch."""
        is_heeded = self.epoch < message.promised_epoch <= self._node.highest_epoch
        if is_heeded and self.replication.find(sender) is not None:
            self._abdicate(f"{sender.server_id} has promised epoch {message.promised_epoch}")

    def _note_contact(self, sender: MemberKey, sequence: int) -> Progress | None:
        progress = self.replication.find(sender)
        if progress is not None and sequence <= self.replication.sequence:
            progress.answered(sequence)
            self.reads.answered(sender, sequence)
        return progress

    # Reads and the end

    def read(self, request_id: int) -> None:
        """Answer once a quorum has confirmed, after now, that this is still the leader."""
        if not self.established:
            self._node.outbox.notify(RequestFailed(request_id, NotLeader()))
            return
        self.reads.add(request_id, self.replication.sequence)
        self.replication.send_heartbeats()

    def end(self, reason: str) -> None:
        """Answer everyone who waits: *unknown* if the payload is in the log, else *refused*."""
        self.commits.lose(reason)
        self.reads.fail()
        for payload in self._held:
            self._fail(payload, NotLeader(f"node is not the leader: {reason}"))
        self._held.clear()
