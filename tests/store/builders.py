"""Makes logs, certificates and writes for tests of stores. Deterministic: what differs is named."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from conductor.core.certificate import Acknowledgement, Certificate
from conductor.core.effects import Operation, RaiseCertified, RaisePromise, Write
from conductor.core.encoding import sha256
from conductor.core.founding import Founding, FoundingVoter, RaftEnd
from conductor.core.values import (
    Base,
    BlockReference,
    Entry,
    EntryKind,
    Epoch,
    EpochStart,
    Genesis,
    Head,
    Height,
    Incarnation,
    Index,
    Member,
    MemberKey,
    Position,
    Promise,
    ServerId,
)
from conductor.ports import Store, StoredState


def a_key(name: str) -> MemberKey:
    """The server of that name in its only incarnation."""
    return MemberKey(ServerId(name), Incarnation(name * 32))


def a_member(name: str) -> Member:
    """A voter of that name."""
    key = a_key(name)
    return Member(
        server_id=key.server_id,
        incarnation=key.incarnation,
        public_key=sha256(name.encode()),
        grpc_address=f"{name}:18080",
        gateway_address=f"{name}:8080",
    )


def a_genesis(names: str = "abc", cluster_name: str = "test") -> Genesis:
    """A cluster of voters with one-letter names."""
    return Genesis(cluster_name, 0, tuple(a_member(name) for name in names))


GENESIS = a_genesis()
START = Position(Index(0), Epoch(0), GENESIS.cluster_id)
FOUNDING = Founding(
    tuple(FoundingVoter(ServerId(name), f"{name}:18080") for name in "abc"), Epoch(5), ServerId("b")
)

HEAD_BODY = b"the payload of block 100"
HEAD = Head(
    BlockReference(Height(100), sha256(b"block 100"), sha256(b"block 99")), sha256(HEAD_BODY)
)
END = RaftEnd(5, 42, None)
"""Of a Raft log without payloads."""
INHERITED = replace(FOUNDING, raft_end=replace(END, head=HEAD))


@dataclass
class Chain:
    """Builds entries one after the other, and keeps their bodies."""

    last: Position = START
    bodies: dict[bytes, bytes] = field(default_factory=dict)

    def payload(self, body: bytes = b"", *, epoch: int = 1, height: int | None = None) -> Entry:
        """The next entry, a payload; without a body it gets one of its own."""
        index = self.last.index + 1
        body = body or b"payload %d of epoch %d" % (index, epoch)
        body_hash = sha256(body)
        self.bodies[body_hash] = body
        block = BlockReference(
            height=Height(index if height is None else height),
            block_hash=sha256(b"block" + body),
            parent_hash=sha256(b"parent" + body),
        )
        return self._add(Epoch(epoch), EntryKind.PAYLOAD, body, block, b"")

    def epoch_start(self, *, epoch: int, leader: str = "a") -> Entry:
        """The next entry, the beginning of a leadership."""
        body = EpochStart(a_key(leader), "for a test").to_bytes()
        return self._add(Epoch(epoch), EntryKind.EPOCH_START, body, None, body)

    def payloads(self, count: int, *, epoch: int = 1) -> tuple[Entry, ...]:
        """The next entries, all payloads."""
        return tuple(self.payload(epoch=epoch) for _ in range(count))

    def fork(self, position: Position) -> Chain:
        """Another chain that goes on from that position."""
        return Chain(position, self.bodies)

    def _add(
        self,
        epoch: Epoch,
        kind: EntryKind,
        body: bytes,
        block: BlockReference | None,
        control: bytes,
    ) -> Entry:
        entry = Entry(
            index=Index(self.last.index + 1),
            epoch=epoch,
            kind=kind,
            previous_digest=self.last.digest,
            body_hash=sha256(body),
            body_size=len(body),
            block=block,
            control=control,
        )
        self.last = entry.position
        return entry


def a_certificate(entry: Entry, names: str = "ab") -> Certificate:
    """A certificate by the servers of these names; its signatures fit nothing."""
    acknowledgements = (
        Acknowledgement(a_key(name), entry.epoch, entry.index, entry.digest, name.encode() * 64)
        for name in names
    )
    return Certificate.assemble(entry, acknowledgements)


def certify(entry: Entry) -> RaiseCertified:
    """The operation that notes that the log is certified up to `entry`."""
    return RaiseCertified(entry.position, a_certificate(entry))


def promise(epoch: int, to: str | None = "a") -> RaisePromise:
    """The operation that promises an epoch."""
    return RaisePromise(Promise(Epoch(epoch), None if to is None else a_key(to)))


def base_at(position: Position) -> Base:
    """A base with the membership of the genesis."""
    return Base(position, GENESIS.membership)


def apply(store: Store, *operations: Operation, bodies: dict[bytes, bytes] | None = None) -> None:
    """Perform the operations as one write."""
    store.apply([Write(1, operations)], bodies or {})


def form(store: Store, *, epoch: int = 1) -> None:
    """Load the store, give it its genesis, and promise an epoch."""
    store.load()
    store.set_genesis(GENESIS)
    apply(store, promise(epoch))


def bodies_of(store: Store, state: StoredState) -> list[bytes]:
    """The bodies of all entries, as the store gives them."""
    return [store.read_body(entry.index) for entry in state.entries]


def expected_bodies(entries: Iterable[Entry], chain: Chain) -> list[bytes]:
    """The bodies that a store has to give."""
    return [entry.control or chain.bodies[entry.body_hash] for entry in entries]
