"""A leader's sending side: who gets which entries, and whether a quorum is still there.

Rules 5.4 and 5.5. Invariant: contact with a member is measured from when a message was *sent* that
it answered, so that a slow answer never prolongs the lease.
"""

from __future__ import annotations

from conductor.core.messages import Append, InstallBase, LogReport, Mismatch
from conductor.core.node import Node
from conductor.core.progress import Progress
from conductor.core.values import Entry, Epoch, Index, MemberKey, Position, ServerId
from conductor.errors import ensure


class Replication:
    """Keeps every other member's log moving towards this leader's."""

    def __init__(self, node: Node, epoch: Epoch) -> None:
        self._node = node
        self._epoch = epoch
        self._sequence = 0
        self._broadcast_ms = node.now_ms
        self._announce_ms: int | None = None
        self.progress = {
            member.server_id: Progress(
                member, next_index=Index(node.log.last.index + 1), heard_ms=node.now_ms
            )
            for member in node.others
        }

    @property
    def sequence(self) -> int:
        """The sequence number of the newest message."""
        return self._sequence

    # Contact

    def quorum_heard_ms(self) -> int:
        """When the newest messages were sent that a quorum has answered; now for a lone voter."""
        membership = self._node.log.membership
        heard = []
        for voter in membership.voters:
            progress = self.progress.get(voter.server_id)
            heard.append(self._node.now_ms if progress is None else progress.heard_ms)
        heard.sort(reverse=True)
        return heard[membership.quorum - 1]

    def find(self, key: MemberKey) -> Progress | None:
        """The progress of that member, in that incarnation."""
        progress = self.progress.get(key.server_id)
        return progress if progress is not None and progress.member.key == key else None

    # Sending

    def send_to_all(self) -> None:
        """Send everyone what it lacks."""
        self._note_broadcast()
        for progress in self.progress.values():
            self.send_entries(progress)

    def send_heartbeats(self) -> None:
        """Speak to everyone, entries or not: contact, the certificate, and fitness."""
        self._note_broadcast()
        for progress in self.progress.values():
            if not self.send_entries(progress):
                self._send_append(progress, ())

    def skip_heartbeats(self) -> None:
        """Stay silent this once: the disk owes too much."""
        self._note_broadcast()

    def announce_certificate(self) -> None:
        """Let everyone hear of a new certificate soon: with the next entries, if those come first.

        Not in the step that certifies: the commit that waits for it would wait for these messages.
        """
        self._announce_ms = self._node.now_ms + self._node.settings.announce_delay_ms

    def _note_broadcast(self) -> None:
        self._broadcast_ms = self._node.now_ms
        self._announce_ms = None

    @property
    def heartbeat_due_ms(self) -> int:
        """When everyone must hear something again."""
        heartbeat_ms = self._broadcast_ms + self._node.settings.heartbeat_ms
        return heartbeat_ms if self._announce_ms is None else min(heartbeat_ms, self._announce_ms)

    def send_entries(self, progress: Progress) -> bool:
        """Send as much of what the member lacks as may be in flight; whether anything went out."""
        settings = self._node.settings
        sent = False
        while progress.next_index <= self._node.log.last.index:
            if progress.next_index <= self._node.log.base.position.index:
                return self._send_base(progress) or sent
            room = 2 * settings.batch_bytes_max - progress.bytes_in_flight
            if not progress.is_quiet and (progress.probing or room <= 0):
                return sent
            entries = self._node.log.after(
                Index(progress.next_index - 1),
                bytes_max=min(room, settings.batch_bytes_max),
                aligned_to=settings.batch_entries_aligned_to,
            )
            self._send_append(progress, entries)
            sent = True
        return sent

    def _send_append(self, progress: Progress, entries: tuple[Entry, ...]) -> None:
        node = self._node
        previous = node.log.position_at(Index(progress.next_index - 1))
        if previous is None:
            previous = node.log.base.position
        if not entries and not progress.is_quiet:
            previous = self._known_common(progress, previous)
        self._sequence += 1
        append = Append(
            epoch=self._epoch,
            sequence=self._sequence,
            previous=previous,
            entries=entries,
            certificate=node.log.certificate,
            sequencer_ok=node.fit,
        )
        size = sum(entry.body_size for entry in entries)
        progress.sent(self._sequence, node.now_ms, size, has_entries=bool(entries))
        if entries:
            progress.next_index = Index(entries[-1].index + 1)
        node.outbox.send(progress.member.server_id, append)

    def _known_common(self, progress: Progress, otherwise: Position) -> Position:
        """Where a heartbeat can point while entries are on their way."""
        common = self._node.log.position_at(progress.match) if progress.match else None
        return common or otherwise

    def _send_base(self, progress: Progress) -> bool:
        """Send a member that is behind the window a new beginning, one at a time."""
        node = self._node
        certificate = node.log.certificate
        if not progress.is_quiet or certificate is None:
            return False
        base, entries = node.log.short_window(node.settings.batch_bytes_max)
        ensure(bool(entries), "a window without a certified entry")
        self._sequence += 1
        message = InstallBase(
            epoch=self._epoch,
            sequence=self._sequence,
            base=base,
            entries=entries,
            certificate=certificate,
            sequencer_ok=node.fit,
        )
        size = sum(entry.body_size for entry in entries)
        progress.sent(self._sequence, node.now_ms, size, has_entries=True)
        node.outbox.send(progress.member.server_id, message)
        return True

    # Answers

    def on_mismatch(self, progress: Progress, mismatch: Mismatch) -> None:
        """Go back to where the member's log meets ours."""
        if mismatch.sequence < progress.valid_from_sequence:
            return
        if not progress.is_quiet and not progress.carries(mismatch.sequence):
            return  # A heartbeat overtook entries whose own answer will tell.
        start = self._meeting_point(progress, mismatch.report)
        is_stuck = progress.probing and start == progress.restarted_at
        progress.restart(start)
        if not is_stuck:  # Else the next heartbeat tries again: not at the speed of the network.
            self.send_entries(progress)

    def _meeting_point(self, progress: Progress, report: LogReport) -> Index:
        """The next index to send: after the newest position that both surely hold."""
        log = self._node.log
        for position in (report.last, report.certified):
            if log.matches(position):
                return Index(position.index + 1)
        beyond = max(report.certified.index, progress.match) + 1
        return Index(min(beyond, log.last.index + 1))

    def restart(self, server_id: ServerId) -> None:
        """The stream to that member is new: what was in flight may be lost."""
        progress = self.progress.get(server_id)
        if progress is not None:
            restart_at = progress.match + 1 if progress.match else progress.next_index
            progress.restart(Index(min(restart_at, progress.next_index)))
            if not self.send_entries(progress):
                self._send_append(progress, ())

    def restart_overdue(self) -> None:
        """Take long unanswered entries for lost."""
        for progress in self.progress.values():
            if progress.is_overdue(self._node.now_ms, self._node.settings.append_timeout_ms):
                progress.restart(Index(progress.match + 1 if progress.match else self._restart()))
                self.send_entries(progress)

    def _restart(self) -> Index:
        """Where to begin with a member that has acknowledged nothing yet."""
        return Index(self._node.log.last.index)
