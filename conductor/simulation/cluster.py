"""A cluster of simulated nodes: takes events to the cores, performs the effects they want.

Invariant: effects are performed as the contract of `conductor.core.effects` allows and no better:
sends leave at once, beside the writes of their step; a crash may fall between any two of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from random import Random

from conductor.core.effects import Effects, Notice, Operation, Send, Write
from conductor.core.events import (
    DeadlineReached,
    Event,
    FitnessChanged,
    MessageReceived,
    PeerConnected,
    PeerDisconnected,
    PeerFitnessChanged,
    WriteCompleted,
)
from conductor.core.messages import Acknowledged, Message
from conductor.core.node import Settings
from conductor.core.values import (
    Base,
    Epoch,
    Genesis,
    Incarnation,
    Index,
    Member,
    Position,
    ServerId,
)
from conductor.errors import ensure
from conductor.simulation.chain import HEAD
from conductor.simulation.checkers.checker import Checker, Checkers
from conductor.simulation.disk import Disk, DiskRates
from conductor.simulation.network import Envelope, Link, Network, NetworkRates
from conductor.simulation.node import SimulatedNode
from conductor.simulation.scheduler import LocalClock, Scheduler
from conductor.simulation.trace import Trace

NAMES = "abcdefg"
WAKES_MAX = 5
"""How often a node may want to be woken within one millisecond: more, and it would never sleep."""
STEPS_MAX = 100_000
"""Of one schedule: far more than any that makes progress needs."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a cluster is made of."""

    nodes: int = 3
    quorum_rule: int = 0
    settings: Settings = dataclasses.field(default_factory=Settings)
    network: NetworkRates = dataclasses.field(default_factory=NetworkRates)
    disk: DiskRates = dataclasses.field(default_factory=DiskRates)
    clock_offset_ms_max: int = 0
    clock_drift_permille_max: int = 0
    inherits: bool = False
    """Whether it takes the place of another, and goes on from that one's newest block."""


def genesis_of(shape: Shape) -> Genesis:
    """The genesis of a cluster of that shape."""
    names = NAMES[: shape.nodes]
    members = tuple(
        Member(
            server_id=ServerId(name),
            incarnation=Incarnation(name * 8),
            public_key=name.encode() * 32,
            grpc_address=f"{name}:1",
            gateway_address=f"{name}:2",
        )
        for name in names
    )
    head = HEAD if shape.inherits else None
    return Genesis("simulation", shape.quorum_rule, members, head=head)


def signature_of(message: Acknowledged) -> bytes:
    """What stands for an ed25519 signature: nobody in here forges any."""
    return message.acknowledgement.member.server_id.encode()


class Cluster:
    """Nodes, their disks, and the network between them. All are down until they are started."""

    def __init__(
        self,
        shape: Shape,
        random: Random,
        *,
        checkers: Iterable[Checker] = (),
        trace: Trace | None = None,
    ) -> None:
        self.shape = shape
        self.random = random
        self.scheduler = Scheduler()
        self.genesis = genesis_of(shape)
        self.checkers = Checkers(checkers)
        self.trace = trace or Trace()
        self.network = Network(
            self.scheduler,
            random,
            shape.network,
            deliver=self.arrive,
            stream_changed=self._stream_changed,
            is_up=lambda server_id: self.nodes[server_id].is_up,
        )
        self.nodes = {member.server_id: self._make_node(member) for member in self.genesis.voters}
        self.on_notice: Callable[[SimulatedNode, Notice], None] = lambda node, notice: None
        self.before_effect: Callable[[SimulatedNode], bool] | None = None
        """Asked before each effect; True crashes the node instead of performing it."""
        self._calls = 0

    def _make_node(self, member: Member) -> SimulatedNode:
        shape, random = self.shape, self.random
        cluster_id = self.genesis.cluster_id
        genesis = Base(Position(Index(0), Epoch(0), cluster_id), self.genesis.membership)
        drift = shape.clock_drift_permille_max
        node = SimulatedNode(
            member,
            cluster_id=cluster_id,
            settings=shape.settings,
            disk=Disk(self.scheduler, random, shape.disk, genesis, self.genesis.head),
            clock=LocalClock(
                int(random.random() * (shape.clock_offset_ms_max + 1)),
                1000 + int((2 * random.random() - 1) * drift),
            ),
        )
        node.disk.on_completed = partial(self._disk_completed, node)
        node.disk.on_applied = partial(self._disk_applied, node)
        return node

    @property
    def now_ms(self) -> int:
        """The virtual time."""
        return self.scheduler.now_ms

    @property
    def up(self) -> list[SimulatedNode]:
        """The nodes whose process runs."""
        return [node for node in self.nodes.values() if node.is_up]

    # Life and death

    def start(self, server_id: ServerId) -> None:
        """Start a node that is down; at first everyone is fit in its eyes."""
        node = self.nodes[server_id]
        if node.is_up:
            return
        node.boot()
        self.trace.note(self.now_ms, server_id, "starts")
        self.checkers.booted(node)
        self.deliver(node, FitnessChanged(serving=True, sequencer_ok=True))
        for other in self.nodes:
            self.deliver(node, PeerFitnessChanged(other, serving=True))

    def start_all(self) -> None:
        """Start every node that is down."""
        for server_id in self.nodes:
            self.start(server_id)

    def crash(self, server_id: ServerId) -> None:
        """Kill a node: what it has not synced may be lost, and its streams break."""
        node = self.nodes[server_id]
        if not node.is_up:
            return
        self.trace.note(self.now_ms, server_id, "crashes")
        node.crash()
        if self.shape.network.streams:
            for other in self.nodes:
                if other != server_id:
                    self.network.break_stream((server_id, other))
                    self.network.break_stream((other, server_id))

    def stall(self, server_id: ServerId, for_ms: int) -> None:
        """Stop a node's process for a while; everything for it waits."""
        node = self.nodes[server_id]
        if not node.is_up or node.stalled:
            return
        self.trace.note(self.now_ms, server_id, f"stalls for {for_ms} ms")
        node.stalled = True
        self.scheduler.after(for_ms, partial(self._resume, node, node.life))

    def _resume(self, node: SimulatedNode, life: int) -> None:
        if node.life != life or not node.stalled:
            return
        node.stalled = False
        backlog = list(node.backlog)
        node.backlog.clear()
        for event in backlog:
            self.deliver(node, event)
        if node.is_up:
            self._plan_wake(node)

    # Events in

    def deliver(self, node: SimulatedNode, event: Event) -> None:
        """Let a node take an event: now, or when its process goes on; never when it is down."""
        if not node.is_up:
            return
        if node.stalled:
            node.backlog.append(event)
            return
        ensure(self.trace.steps < STEPS_MAX, "the cluster never comes to rest")
        self.checkers.takes(node, event)
        effects = node.machine.step(event, node.clock.read(self.now_ms))
        self.trace.step(self.now_ms, node, event, effects)
        self.checkers.stepped(node, effects)
        self._perform(node, effects)
        if node.is_up:
            self._plan_wake(node)

    def deliver_to(self, server_id: ServerId, event: Event) -> None:
        """Let the node of that name take an event."""
        self.deliver(self.nodes[server_id], event)

    def arrive(self, envelope: Envelope) -> None:
        """A message has come to the end of its way."""
        node = self.nodes[envelope.to]
        if node.is_up:
            self._calls += 1
            self.network.called(self._calls, envelope.sender, envelope.to)
            sender = self.nodes[envelope.sender].key
            self.deliver(node, MessageReceived(sender, envelope.message, self._calls))

    def _stream_changed(self, link: Link, is_open: bool) -> None:
        sender, to = link
        event = PeerConnected(to) if is_open else PeerDisconnected(to)
        node = self.nodes[sender]
        self.scheduler.after(0, partial(self._if_same_life, node, node.life, event))

    def _if_same_life(self, node: SimulatedNode, life: int, event: Event) -> None:
        if node.life == life:
            self.deliver(node, event)

    def _disk_completed(self, node: SimulatedNode, sequence: int) -> None:
        self.deliver(node, WriteCompleted(sequence))

    def _disk_applied(self, node: SimulatedNode, operation: Operation) -> None:
        self.checkers.applied(node, operation)

    # Effects out

    def _perform(self, node: SimulatedNode, effects: Effects) -> None:
        for effect in (*effects.writes, *effects.sends, *effects.notices):
            if self.before_effect is not None and self.before_effect(node):
                self.crash(node.key.server_id)
                return
            if isinstance(effect, Write):
                node.disk.write(effect)
            elif isinstance(effect, Send):
                self._send(node, effect)
            else:
                self.on_notice(node, effect)

    def _send(self, node: SimulatedNode, send: Send) -> None:
        server_id = node.key.server_id
        message: Message = send.message
        if isinstance(message, Acknowledged):
            signed = dataclasses.replace(message.acknowledgement, signature=signature_of(message))
            message = Acknowledged(message.sequence, signed)
        if send.to == server_id:
            event = MessageReceived(node.key, message, 0)
            self.scheduler.after(0, partial(self._if_same_life, node, node.life, event))
        else:
            self.network.send(Envelope(server_id, send.to, message, send.reply_to))

    # Time

    def _plan_wake(self, node: SimulatedNode) -> None:
        due_ms = node.clock.when(node.machine.next_deadline_ms())
        if node.wake_ms is None or due_ms < node.wake_ms:
            node.wake_ms = max(due_ms, self.now_ms)
            self.scheduler.at(due_ms, partial(self._wake, node, node.life, node.wake_ms))

    def _wake(self, node: SimulatedNode, life: int, wake_ms: int) -> None:
        if node.life != life or node.wake_ms != wake_ms or not node.is_up:
            return
        node.wake_ms = None
        if node.stalled:
            return  # Resuming plans the next one.
        local_ms = node.clock.read(self.now_ms)
        if node.machine.next_deadline_ms() > local_ms:
            self._plan_wake(node)
            return
        if local_ms > node.woken_ms:
            node.woken_ms, node.wakes = local_ms, 0
        node.wakes += 1
        ensure(node.wakes <= WAKES_MAX, f"{node.key.server_id} would wake without end")
        self.deliver(node, DeadlineReached())
