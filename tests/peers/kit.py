"""What the tests of the peer adapter share: values, a recording inbox, and nodes on loopback."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import grpc

from conductor.config import Address, Config, Limits, PeerAddress, Timing
from conductor.core.certificate import Acknowledgement, Certificate
from conductor.core.encoding import sha256
from conductor.core.greeting import Greeting
from conductor.core.messages import Append, Heard, Message
from conductor.core.values import (
    BlockReference,
    Digest,
    Entry,
    EntryKind,
    Epoch,
    EpochStart,
    Genesis,
    Height,
    Incarnation,
    Index,
    Member,
    MemberKey,
    Position,
    ServerId,
)
from conductor.payload import Envelope, encode
from conductor.peers import GrpcPeers, server_options
from conductor.peers.calls import SERVICE
from conductor.ports import Bodies

DEADLINE_S = 10.0
CLUSTER_ID = Digest(sha256(b"cluster"))
QUICK = Timing(health_interval_ms=50, probe_deadline_ms=500)
# With probes this rare, whatever a test sees was told by a stream.
SILENT_PROBES = Timing(health_interval_ms=60_000)


def a_payload(height: int, *, size: int = 0) -> bytes:
    """The SSZ bytes of a block with one transaction of `size` bytes."""
    root = sha256(str(height).encode())
    envelope = Envelope(
        parent_hash=sha256(str(height - 1).encode()),
        fee_recipient=bytes(20),
        state_root=root,
        receipts_root=root,
        logs_bloom=bytes(256),
        prev_randao=root,
        height=height,
        gas_limit=30_000_000,
        gas_used=21_000,
        timestamp=1_700_000_000 + height,
        extra_data=b"",
        base_fee_per_gas=7,
        block_hash=root,
        transactions=(bytes(size),) if size else (),
    )
    return encode(envelope)


def a_payload_entry(previous: Position, body: bytes, *, height: int, epoch: int = 1) -> Entry:
    """The entry after `previous` that holds `body`, a payload of that height."""
    return Entry(
        index=Index(previous.index + 1),
        epoch=Epoch(epoch),
        kind=EntryKind.PAYLOAD,
        previous_digest=previous.digest,
        body_hash=sha256(body),
        body_size=len(body),
        block=BlockReference(
            Height(height), sha256(str(height).encode()), sha256(str(height - 1).encode())
        ),
    )


def an_epoch_start(previous: Position, *, epoch: int = 1) -> Entry:
    """The entry after `previous` that begins a leadership."""
    body = EpochStart(a_key("a"), "first in order").to_bytes()
    return Entry(
        index=Index(previous.index + 1),
        epoch=Epoch(epoch),
        kind=EntryKind.EPOCH_START,
        previous_digest=previous.digest,
        body_hash=sha256(body),
        body_size=len(body),
        block=None,
        control=body,
    )


def a_position(index: int = 0, epoch: int = 0) -> Position:
    """A place in some log; by default the one before its first entry."""
    return Position(Index(index), Epoch(epoch), Digest(sha256(f"{index}/{epoch}".encode())))


def a_key(name: str) -> MemberKey:
    """The server of that name, in its first life."""
    return MemberKey(ServerId(name), Incarnation(uuid.uuid5(uuid.NAMESPACE_DNS, name).hex))


def a_member(name: str, port: int = 7000) -> Member:
    """A voter on loopback."""
    key = a_key(name)
    return Member(
        server_id=key.server_id,
        incarnation=key.incarnation,
        public_key=sha256(name.encode()),
        grpc_address=f"127.0.0.1:{port}",
        gateway_address=f"127.0.0.1:{port}",
    )


def an_acknowledgement(name: str, position: Position) -> Acknowledgement:
    """What that server says of `position`, with bytes for a signature."""
    return Acknowledgement(
        a_key(name), position.epoch, position.index, position.digest, bytes(range(64))
    )


def a_certificate(entry: Entry) -> Certificate:
    """Of `entry`, signed in name only by two servers."""
    words = [an_acknowledgement(name, entry.position) for name in ("a", "b")]
    return Certificate.assemble(entry, words)


def a_heartbeat(sequence: int, *, epoch: int = 1) -> Append:
    """An Append without entries."""
    return Append(Epoch(epoch), sequence, a_position(), (), None, sequencer_ok=True)


def an_append(sequence: int, body: bytes, *, height: int = 1) -> Append:
    """An Append with one payload."""
    previous = a_position()
    entry = a_payload_entry(previous, body, height=height)
    return Append(Epoch(1), sequence, previous, (entry,), None, sequencer_ok=True)


@dataclass(frozen=True, slots=True)
class Received:
    """One delivery to an inbox."""

    sender: MemberKey
    message: Message
    bodies: Bodies
    reply_to: int


class RecordingInbox:
    """Keeps everything that it is told, and lets tests wait for it."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.events: list[tuple[str, str]] = []
        self.greetings: list[tuple[str, Greeting]] = []
        self.problems: list[tuple[str, str]] = []
        self.health_changes = 0
        self.on_receive: Callable[[Received], None] = lambda received: None
        self.on_greeting: Callable[[str, Greeting], None] = lambda address, greeting: None
        self._changed = asyncio.Event()

    @property
    def messages(self) -> list[Message]:
        """What was said, by whomever."""
        return [received.message for received in self.received]

    def receive(self, sender: MemberKey, message: Message, bodies: Bodies, reply_to: int) -> None:
        """A member said something."""
        received = Received(sender, message, bodies, reply_to)
        self.received.append(received)
        self.on_receive(received)
        self._changed.set()

    def peer_connected(self, server_id: ServerId) -> None:
        """A stream opened."""
        self._note("connected", server_id)

    def peer_disconnected(self, server_id: ServerId) -> None:
        """A stream broke."""
        self._note("disconnected", server_id)

    def peer_died(self, server_id: ServerId) -> None:
        """A machine refuses connections."""
        self._note("died", server_id)

    def greeted(self, address: str, greeting: Greeting) -> None:
        """A node introduced itself."""
        self.on_greeting(address, greeting)
        self.greetings.append((address, greeting))
        self._changed.set()

    def greeted_by(self, greeting: Greeting) -> None:
        """A node greeted this one."""
        self.greeted(greeting.member.grpc_address, greeting)

    def unreachable(self, address: str, why: str) -> None:
        """Something could not be said."""
        self.problems.append((address, why))
        self._changed.set()

    def health_changed(self) -> None:
        """The probes have a new answer."""
        self.health_changes += 1
        self._changed.set()

    def _note(self, event: str, server_id: str) -> None:
        self.events.append((event, server_id))
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds; it is looked at whenever something was recorded."""
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class LoopClock:
    """The event loop's own time."""

    def now_ms(self) -> int:
        """Milliseconds since some moment."""
        return int(asyncio.get_running_loop().time() * 1000)


@dataclass(slots=True)
class PeerNode:
    """A node of which only the peer adapter is real."""

    name: str
    timing: Timing = QUICK
    configured: tuple[str, ...] = ()
    cluster_name: str = "test"
    port: int = 0
    limits: Limits = field(default_factory=Limits)
    inbox: RecordingInbox = field(default_factory=RecordingInbox)
    clock: LoopClock = field(default_factory=LoopClock)
    server: grpc.aio.Server = field(init=False)
    peers: GrpcPeers = field(init=False)

    @property
    def member(self) -> Member:
        """This node as the others know it."""
        return a_member(self.name, self.port)

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.member.grpc_address

    def greeting(self) -> Greeting:
        """What it says of itself."""
        return Greeting(
            cluster_name=self.cluster_name,
            member=self.member,
            configured_voters=tuple(sorted({self.address, *self.configured})),
            quorum_rule=0,
            genesis=Genesis(self.cluster_name, 0, (self.member,)),
            proposed_cluster_id=None,
            paused=False,
            version="0.0.0",
        )

    async def start(self) -> None:
        """Listen and reach out."""
        self.server = grpc.aio.server(options=server_options(self.limits))
        self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        own = Address("127.0.0.1", self.port)
        config = Config(
            grpc_bind=own,
            grpc_advertise=own,
            server_id=self.name,
            peers=tuple(PeerAddress(address_of(text)) for text in self.configured),
            timing=self.timing,
            limits=self.limits,
        )
        self.peers = GrpcPeers(
            config,
            self.greeting,
            self.inbox,
            self.clock,
            on_greeting=self.inbox.greeted,
            on_greeted=self.inbox.greeted_by,
            on_unreachable=self.inbox.unreachable,
            on_health_change=self.inbox.health_changed,
        )
        self.peers.register(self.server)
        await self.server.start()
        await self.peers.start()

    async def stop(self) -> None:
        """Let go of everything, in the order that the adapter asks for."""
        await self.peers.stop()
        await self.server.stop(0)


def address_of(text: str) -> Address:
    """The address in `host:port`."""
    host, _, port = text.rpartition(":")
    return Address(host, int(port))


@asynccontextmanager
async def running(*nodes: PeerNode) -> AsyncIterator[None]:
    """Nodes that run, each for itself."""
    started: list[PeerNode] = []
    try:
        for node in nodes:
            await node.start()
            started.append(node)
        yield
    finally:
        for node in started:
            await node.stop()


def join(nodes: Sequence[PeerNode]) -> None:
    """Make running nodes members of one cluster."""
    members = [node.member for node in nodes]
    for node in nodes:
        node.peers.set_members(members, CLUSTER_ID)


@asynccontextmanager
async def cluster(*names: str, timing: Timing = QUICK) -> AsyncIterator[list[PeerNode]]:
    """Running members of one cluster, all streams open."""
    nodes = [PeerNode(name, timing) for name in names]
    async with running(*nodes):
        join(nodes)
        for node in nodes:
            others = {("connected", other) for other in names if other != node.name}
            await node.inbox.until(partial(others.issubset, node.inbox.events))
        yield nodes


def answer_with_heard(node: PeerNode) -> None:
    """Make a node answer every Append at once."""

    def answer(received: Received) -> None:
        if isinstance(received.message, Append):
            heard = Heard(received.message.epoch, received.message.sequence)
            node.peers.send(received.sender.server_id, heard, {}, received.reply_to)

    node.inbox.on_receive = answer


async def raw_call(
    address: str, method: str, request: bytes, timeout_s: float = DEADLINE_S
) -> bytes:
    """Call a method with whatever bytes."""
    async with grpc.aio.insecure_channel(address) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
        call = channel.unary_unary(f"/{SERVICE}/{method}")
        return await call(request, timeout=timeout_s)


@asynccontextmanager
async def scripted_peer(
    behave: Callable[[grpc.aio.ServicerContext[bytes, bytes]], Awaitable[None]],
) -> AsyncIterator[str]:
    """The address of a server whose Append streams do just what they are told."""

    async def append(_requests: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        await behave(context)

    server = grpc.aio.server()
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]]
    handlers = {"Append": grpc.stream_stream_rpc_method_handler(append)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)
