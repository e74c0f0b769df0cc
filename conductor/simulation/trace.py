"""What happened, as a hash that two equal runs share, and as text for whoever replays one."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import deque

from conductor.core.certificate import Certificate
from conductor.core.effects import Effects
from conductor.core.events import Event, MessageReceived
from conductor.core.values import Base, Entry, MemberKey, Position, ServerId
from conductor.simulation.node import SimulatedNode

LINES_MAX = 20_000


class Trace:
    """The steps of one schedule. Text is kept only when asked for: it costs most of the time."""

    def __init__(self, *, keeps_text: bool = False) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._keeps_text = keeps_text
        self.lines: deque[str] = deque(maxlen=LINES_MAX)
        self.steps = 0

    @property
    def digest(self) -> str:
        """Equal for equal schedules, hex."""
        return self._hash.hexdigest()

    def step(self, now_ms: int, node: SimulatedNode, event: Event, effects: Effects) -> None:
        """A node has taken an event."""
        self.steps += 1
        self._hash.update(
            f"{now_ms} {node.key.server_id} {_kind(event)} {len(effects.sends)} "
            f"{len(effects.writes)} {len(effects.notices)}\n".encode()
        )
        if self._keeps_text:
            self._describe(now_ms, node, event, effects)

    def note(self, now_ms: int, server_id: ServerId, what: str) -> None:
        """Something was done to a node."""
        line = f"{now_ms:>7} {server_id} {what}"
        self._hash.update(line.encode())
        if self._keeps_text:
            self.lines.append(line)

    def _describe(self, now_ms: int, node: SimulatedNode, event: Event, effects: Effects) -> None:
        machine = node.machine
        log = machine.node.log
        promise = machine.node.promise
        promised_to = promise.promised_to.server_id if promise.promised_to else "nobody"
        self.lines.append(
            f"{now_ms:>7} {node.key.server_id} {machine.role.value} last {log.last.index} of "
            f"{log.last.epoch} certified {log.certified.index} promised {promise.epoch} to "
            f"{promised_to} <- {shorten(event)}"
        )
        for write in effects.writes:
            for operation in write.operations:
                self.lines.append(f"          write {write.sequence}: {shorten(operation)}")
        for send in effects.sends:
            self.lines.append(f"          to {send.to}: {shorten(send.message)}")
        for notice in effects.notices:
            self.lines.append(f"          {shorten(notice)}")


def _kind(event: Event) -> str:
    if isinstance(event, MessageReceived):
        return f"{event.sender.server_id}:{type(event.message).__name__}"
    return type(event).__name__


def shorten(value: object) -> str:
    """A value of the core in a few words: bytes as eight hex digits, positions as index/epoch."""
    match value:
        case MemberKey(server_id, _):
            return server_id
        case Position(index, epoch, digest):
            return f"{index}/{epoch}/{digest.hex()[:8]}"
        case Entry():
            return f"{shorten(value.position)} {value.kind.name.lower()}"
        case Certificate(epoch, index):
            return f"certificate({index}/{epoch})"
        case MessageReceived(sender, message):
            return f"{shorten(message)} of {sender.server_id}"
        case bytes():
            return value.hex()[:8] or "-"
        case tuple():
            return "[" + ", ".join(shorten(item) for item in value) + "]"
        case Base(position, _):
            return f"base({shorten(position)})"
        case _ if dataclasses.is_dataclass(value):
            parts = (
                f"{field.name}={shorten(getattr(value, field.name))}"
                for field in dataclasses.fields(value)
            )
            return f"{type(value).__name__}({', '.join(parts)})"
    return str(value)
