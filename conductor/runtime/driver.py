"""The only caller of the core: takes events one at a time and performs their effects in order.

Invariants: a step runs to its end without giving up the event loop, so no cancellation can come
between a step and its effects; what the core wants written is queued before anything else happens;
a step that fails in any way stops everything, with the disk left as it is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from conductor.core.certificate import VerifySignature
from conductor.core.effects import Effects, Notice, Send
from conductor.core.events import (
    DeadlineReached,
    Event,
    MessageReceived,
    PeerConnected,
    PeerDied,
    PeerDisconnected,
    WriteCompleted,
)
from conductor.core.machine import Machine
from conductor.core.messages import Message
from conductor.core.values import MemberKey, ServerId
from conductor.errors import ConductorError, InvalidArgument, InvariantViolation, Unauthenticated
from conductor.ports import Bodies, Clock, Signer
from conductor.runtime.admission import Admission
from conductor.runtime.bodies import BodyCache
from conductor.runtime.deadlines import Deadline
from conductor.runtime.outgoing import Outgoing, signed
from conductor.runtime.signatures import RepeatSigner
from conductor.runtime.supervisor import supervised
from conductor.runtime.trail import Trail
from conductor.runtime.writer import Writer

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DriverPorts:
    """What a driver needs of the world."""

    clock: Clock
    signer: Signer
    verify: VerifySignature
    cache: BodyCache
    outgoing: Outgoing
    writer: Writer
    on_notice: Callable[[Notice], None]
    on_fatal: Callable[[ConductorError], None]


class Driver:
    """Runs one machine on the event loop. Everything but nothing else happens on that loop's
    thread.
    """

    def __init__(self, machine: Machine, ports: DriverPorts) -> None:
        self.machine = machine
        self._ports = ports
        self._admission = Admission(machine, ports.verify)
        self._signer = RepeatSigner(ports.signer)
        self._queue: deque[tuple[Event, Bodies]] = deque()
        self._is_stepping = False
        self._is_broken = False
        self._supervised = supervised("core", self._fail)
        self._deadline = Deadline(ports.clock, lambda: self.post(DeadlineReached()))
        self.rejected_messages = 0
        self.trail = Trail(machine)
        """What is said of the entries at debug level."""

    def start(self) -> None:
        """Begin to keep the core's deadlines."""
        self.post(DeadlineReached())

    def stop(self) -> None:
        """Take no more events."""
        self._is_broken = True
        self._deadline.cancel()

    def post(self, event: Event, bodies: Bodies | None = None) -> None:
        """Take an event, now or right after the present one."""
        self._queue.append((event, bodies or {}))
        if not self._is_stepping:
            self._drain()

    def _drain(self) -> None:
        self._is_stepping = True
        with self._supervised:
            while self._queue and not self._is_broken:
                event, bodies = self._queue.popleft()
                self._ports.cache.add(bodies)
                self._perform(self.machine.step(event, self._ports.clock.now_ms()))
                self._ports.cache.shrink()  # Also when the core had no use for the bodies.
            if not self._is_broken:
                self._deadline.set(self.machine.next_deadline_ms())
        self._is_stepping = False

    def _fail(self, error: Exception) -> None:
        """A step broke off, so that nobody knows what the core still meant to do."""
        self.stop()
        if not isinstance(error, InvariantViolation):
            error = InvariantViolation(f"a step of the core failed: {error!r}")
        self._ports.on_fatal(error)

    def _perform(self, effects: Effects) -> None:
        """Queue the writes, send, tell: in this order, none of it waits."""
        for write in effects.writes:
            self._ports.writer.submit(write, self._ports.cache.pin(write))
        for send in effects.sends:
            self._send(send)
        for notice in effects.notices:
            self._ports.on_notice(notice)
        self.trail.note(effects)

    def _send(self, send: Send) -> None:
        node = self.machine.node
        message = signed(send.message, self._signer, node.cluster_id)
        if send.to == node.key.server_id:
            self._queue.append((MessageReceived(node.key, message), {}))
        else:
            self._ports.outgoing.send(Send(send.to, message, send.reply_to))

    # From the disk

    def write_completed(self, sequence: int, bodies: Bodies) -> None:
        """That write and all before it are durable."""
        self._ports.cache.unpin(bodies)
        self.post(WriteCompleted(sequence))

    # From the peers (ports.PeerInbox)

    def receive(self, sender: MemberKey, message: Message, bodies: Bodies, reply_to: int) -> None:
        """A member said something: check it, and let the core hear it."""
        try:
            self._admission.check(sender, message)
        except (InvalidArgument, Unauthenticated) as error:
            self.rejected_messages += 1
            logger.warning(
                "message_rejected",
                sender=sender.server_id,
                kind=type(message).__name__,
                error=str(error),
            )
            return
        self.post(MessageReceived(sender, message, reply_to), bodies)

    def peer_connected(self, server_id: ServerId) -> None:
        """A replication stream to that server is open."""
        self.post(PeerConnected(server_id))

    def peer_disconnected(self, server_id: ServerId) -> None:
        """The replication stream to that server broke."""
        self.post(PeerDisconnected(server_id))

    def peer_died(self, server_id: ServerId) -> None:
        """That server's machine refuses connections."""
        self.post(PeerDied(server_id))


class MonotonicClock:
    """The event loop's own clock."""

    def now_ms(self) -> int:
        """Milliseconds of the loop's monotonic clock."""
        return int(asyncio.get_running_loop().time() * 1000)
