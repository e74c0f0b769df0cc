"""Fetching the best log that a candidate was told of, towards exactly the granted digest.

Rule 5.3.3. Invariants: fetching starts at the own certified position, which every best log
contains; matching entries are never dropped; the own log is cut only at the first entry that
differs.
"""

from __future__ import annotations

from conductor.core.messages import FetchAnswer, FetchRequest
from conductor.core.node import Node
from conductor.core.values import Index, MemberKey, Position
from conductor.core.voter import Voter, Window


class Adoption:
    """Takes one member's log over, batch by batch."""

    def __init__(
        self, node: Node, voter: Voter, source: MemberKey, target: Position, nonce: int
    ) -> None:
        self._node = node
        self._voter = voter
        self._nonce = nonce
        self._fetched: Index = node.log.certified.index
        """The newest index known to be common with the source."""
        self.source = source
        self.target = target

    @property
    def is_complete(self) -> bool:
        """Whether the own log ends where the target does."""
        return self._node.log.last == self.target

    def ask(self) -> None:
        """Ask for the next batch."""
        request = FetchRequest(self._nonce, self._fetched, self.target)
        self._node.outbox.send(self.source.server_id, request)

    def expects(self, sender: MemberKey, nonce: int) -> bool:
        """Whether an answer of `sender` belongs to this adoption."""
        return sender == self.source and nonce == self._nonce

    def take(self, answer: FetchAnswer) -> bool:
        """Take a batch and ask for the next; False when the source no longer has the target."""
        if not answer.entries or answer.entries[-1].index > self.target.index:
            return False
        if not self._node.is_heeded(self.target.epoch):
            return False
        if answer.entries[-1].index <= self._fetched:
            return True  # An answer to an earlier request, come twice.
        if not self._take_entries(answer):
            return False
        self._fetched = answer.entries[-1].index
        self._cover_with_promise()
        if not self.is_complete:
            if self._fetched >= self.target.index:
                return False
            self.ask()
        return True

    def _take_entries(self, answer: FetchAnswer) -> bool:
        log = self._node.log
        epoch_max = self.target.epoch
        if answer.base is not None and answer.certificate is not None:
            window = Window(answer.base, answer.certificate)
            return self._voter.take_window(answer.base.position, answer.entries, epoch_max, window)
        previous = log.position_at(Index(answer.entries[0].index - 1))
        return previous is not None and self._voter.take_window(
            previous, answer.entries, epoch_max, None
        )

    def _cover_with_promise(self) -> None:
        """What is taken, and what it replaces, is only touched by who refuses all below the target.

        From its first batch on: an early one may end in entries older than those that it cuts.
        """
        if self.target.epoch > self._node.promise.epoch:
            self._node.raise_promise(self.target.epoch, None)


def fetched(node: Node, request: FetchRequest) -> FetchAnswer:
    """What a member answers: the next entries towards the target, or none if that is gone."""
    log, settings = node.log, node.settings
    if not log.matches(request.target) or request.after >= request.target.index:
        return FetchAnswer(request.nonce, ())
    if request.after < log.base.position.index:
        if request.target.index < log.certified.index:
            return FetchAnswer(request.nonce, ())
        base, entries = log.short_window(settings.batch_bytes_max)
        return FetchAnswer(request.nonce, entries, base, log.certificate)
    entries = log.after(
        request.after,
        bytes_max=settings.batch_bytes_max,
        aligned_to=settings.batch_entries_aligned_to,
    )
    wanted = tuple(entry for entry in entries if entry.index <= request.target.index)
    return FetchAnswer(request.nonce, wanted)
