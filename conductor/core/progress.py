"""How far one member has come, as its leader knows it.

Invariants: `match` is only ever raised by an acknowledgement of this leadership; Appends go out in
one pipeline bounded in bytes, which starts again from the last match when the stream breaks, an
answer says that it does not fit, or an answer is overdue.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from conductor.core.values import Index, Member


@dataclass(frozen=True, slots=True)
class _InFlight:
    sequence: int
    sent_ms: int
    size: int


@dataclass(slots=True)
class Progress:
    """The leader's view of one other member."""

    member: Member
    next_index: Index
    """The next entry to send it."""
    heard_ms: int
    """When the newest message was sent that it has answered."""
    match: Index = field(default=Index(0))
    """What it has acknowledged as durable in this epoch."""
    probing: bool = True
    """Whether it is not yet known where its log meets the leader's."""
    sent_sequence: int = 0
    valid_from_sequence: int = 0
    """Answers to older messages say nothing of the present pipeline."""
    restarted_at: Index = field(default=Index(0))
    """Where the present pipeline began."""
    open_orders: int = 0
    """Orders to campaign that it got and has not refused: under way, lost or obeyed."""
    _in_flight: deque[_InFlight] = field(default_factory=deque)
    _sent_times: deque[_InFlight] = field(default_factory=deque)

    @property
    def bytes_in_flight(self) -> int:
        """The size of the bodies that are not answered yet."""
        return sum(message.size for message in self._in_flight)

    @property
    def is_quiet(self) -> bool:
        """Whether no entries are on their way."""
        return not self._in_flight

    def carries(self, sequence: int) -> bool:
        """Whether that message has entries that are on their way."""
        return any(message.sequence == sequence for message in self._in_flight)

    def sent(self, sequence: int, now_ms: int, size: int, *, has_entries: bool) -> None:
        """A message went out."""
        message = _InFlight(sequence, now_ms, size)
        self._sent_times.append(message)
        while len(self._sent_times) > 1024:
            self._sent_times.popleft()
        if has_entries:
            self._in_flight.append(message)
        self.sent_sequence = sequence

    def answered(self, sequence: int) -> None:
        """Any answer came: the member was there when that message had been sent."""
        while self._sent_times and self._sent_times[0].sequence <= sequence:
            self.heard_ms = max(self.heard_ms, self._sent_times.popleft().sent_ms)

    def landed(self, sequence: int, index: Index) -> None:
        """An acknowledgement: everything up to `index` is durable there."""
        while self._in_flight and self._in_flight[0].sequence <= sequence:
            self._in_flight.popleft()
        self.match = max(self.match, index)
        self.next_index = Index(max(self.next_index, self.match + 1))
        self.probing = False

    def is_overdue(self, now_ms: int, timeout_ms: int) -> bool:
        """Whether entries were sent so long ago that they must be taken for lost."""
        return bool(self._in_flight) and now_ms >= self._in_flight[0].sent_ms + timeout_ms

    def restart(self, next_index: Index) -> None:
        """Forget what is in flight and start again from there."""
        self._in_flight.clear()
        self.next_index = self.restarted_at = next_index
        self.probing = True
        self.valid_from_sequence = self.sent_sequence + 1
