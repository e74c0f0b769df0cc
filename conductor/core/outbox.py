"""What a step wants done, and what must wait until the disk has caught up.

Invariant: an action given to `when_durable` runs only in the step that learns that every write
queued before it, those of its own step included, is durable. Actions run in the order in which they
were given.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from conductor.core.effects import Effects, Notice, Operation, Send, Write
from conductor.core.messages import Message
from conductor.core.values import ServerId
from conductor.errors import ensure


@dataclass(frozen=True, slots=True)
class _Pending:
    sequence: int
    issued_ms: int


@dataclass(frozen=True, slots=True)
class _Waiting:
    sequence: int
    """The write that has to be durable first."""
    action: Callable[[], None]


class Outbox:
    """Collects the effects of one step and keeps what waits for a write."""

    def __init__(self) -> None:
        self._sends: list[Send] = []
        self._notices: list[Notice] = []
        self._operations: list[Operation] = []
        self._waiting: deque[_Waiting] = deque()
        self._pending: deque[_Pending] = deque()
        self._sequence = 0

    def send(self, to: ServerId, message: Message, reply_to: int = 0) -> None:
        """Say it at once, beside this step's write."""
        self._sends.append(Send(to, message, reply_to))

    def notify(self, notice: Notice) -> None:
        """Tell the node's own callers."""
        self._notices.append(notice)

    def write(self, operation: Operation) -> None:
        """Make it durable with this step's other operations."""
        self._operations.append(operation)

    def when_durable(self, action: Callable[[], None]) -> None:
        """Run `action` once everything written so far is durable: now, if it is."""
        sequence = self._sequence + 1 if self._operations else self._sequence
        is_durable = not self._operations and not self._pending
        if is_durable and not self._waiting:
            action()
        else:
            self._waiting.append(_Waiting(sequence, action))

    def completed(self, sequence: int) -> None:
        """The write of that sequence is durable: run what waited for it."""
        ensure(
            bool(self._pending) and self._pending[0].sequence <= sequence <= self._sequence,
            f"write {sequence} completed out of order",
        )
        while self._pending and self._pending[0].sequence <= sequence:
            self._pending.popleft()
        while self._waiting and self._waiting[0].sequence <= sequence:
            self._waiting.popleft().action()

    def is_idle(self) -> bool:
        """Whether everything written so far is durable."""
        return not self._pending and not self._operations

    def oldest_pending_age_ms(self, now_ms: int) -> int:
        """For how long the disk has owed an answer; 0 when it owes none."""
        return now_ms - self._pending[0].issued_ms if self._pending else 0

    def take(self, now_ms: int) -> Effects:
        """The effects of this step; the outbox is empty for the next one."""
        writes: tuple[Write, ...] = ()
        if self._operations:
            self._sequence += 1
            self._pending.append(_Pending(self._sequence, now_ms))
            writes = (Write(self._sequence, tuple(self._operations)),)
        effects = Effects(tuple(self._sends), writes, tuple(self._notices))
        self._sends, self._notices, self._operations = [], [], []
        return effects
