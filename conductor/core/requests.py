"""Who waits for what: commits by index, and linearizable reads.

Invariant: every request is answered exactly once, unless it was abandoned.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from conductor.core.effects import CommitCertified, ReadReady, RequestFailed
from conductor.core.node import Node
from conductor.core.values import Index, MemberKey, Position
from conductor.errors import ConductorError, LeadershipLost, NotLeader, ensure


class Commits:
    """The commit calls of one leadership that wait for a certificate."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._waiting: dict[Index, list[int]] = {}

    def wait(self, request_id: int, index: Index) -> None:
        """Answer the request when that entry is certified: at once, if it is."""
        self._waiting.setdefault(index, []).append(request_id)
        if index <= self._node.log.certified.index:
            self.certified()

    def certified(self) -> None:
        """Answer everything up to the certified index."""
        log = self._node.log
        for index in sorted(index for index in self._waiting if index <= log.certified.index):
            entry = log.entry(index)
            ensure(entry is not None, "a commit waits for an entry that is not held")
            epoch = entry.epoch if entry else log.certified.epoch
            for request_id in self._waiting.pop(index):
                self._node.outbox.notify(CommitCertified(request_id, index, epoch))

    def abandon(self, request_id: int) -> None:
        """Nobody waits for that one any more."""
        for index, requests in list(self._waiting.items()):
            if request_id in requests:
                requests.remove(request_id)
                if not requests:
                    del self._waiting[index]

    def lose(self, reason: str) -> None:
        """The leadership is over: what waits may still be certified by the next leader."""
        error = LeadershipLost(f"leadership lost while committing log: {reason}")
        for requests in self._waiting.values():
            for request_id in requests:
                self._node.outbox.notify(RequestFailed(request_id, error))
        self._waiting.clear()


@dataclass(slots=True)
class _Read:
    request_id: int
    after_sequence: int
    """Only answers to messages after this one count."""
    certified: Position
    heard: set[MemberKey] = field(default_factory=set)


class Reads:
    """Reads that wait until a quorum has confirmed the leadership (rule 5.5)."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._reads: list[_Read] = []

    def add(self, request_id: int, sequence: int) -> None:
        """Note a read that came after the message with that sequence number was sent."""
        read = _Read(request_id, sequence, self._node.log.certified, {self._node.key})
        self._reads.append(read)
        self._finish()

    def answered(self, key: MemberKey, sequence: int) -> None:
        """A member has answered the message with that sequence number."""
        for read in self._reads:
            if sequence > read.after_sequence:
                read.heard.add(key)
        self._finish()

    def _finish(self) -> None:
        membership = self._node.log.membership
        for read in list(self._reads):
            if membership.is_quorum(read.heard):
                self._reads.remove(read)
                self._node.outbox.notify(ReadReady(read.request_id, read.certified))

    def abandon(self, request_id: int) -> None:
        """Nobody waits for that one any more."""
        self._reads = [read for read in self._reads if read.request_id != request_id]

    def fail(self, error: ConductorError | None = None) -> None:
        """The leadership is over."""
        for read in self._reads:
            failure = RequestFailed(read.request_id, error or NotLeader())
            self._node.outbox.notify(failure)
        self._reads.clear()
