"""Journals, logs and certificates of a small cluster, made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from conductor.core.certificate import Acknowledgement, Certificate
from conductor.core.encoding import sha256
from conductor.core.quorum import MAJORITY
from conductor.core.values import (
    Base,
    BlockReference,
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
    Promise,
    ServerId,
)
from conductor.devnet.evidence import Evidence, read_evidence
from conductor.devnet.journal import Record
from conductor.devnet.payloads import GENESIS, Block, BlockBuilder, Head
from conductor.errors import NotFound
from conductor.identity import development_signer
from conductor.ports import Bodies, StoredState

NODES = ("node-1", "node-2", "node-3")
SIGNERS = {name: development_signer(number) for number, name in enumerate(NODES, start=1)}
PUBLIC_KEYS = {name: signer.public_key for name, signer in SIGNERS.items()}


def a_member(name: str) -> Member:
    """A voter of the cluster."""
    return Member(
        server_id=ServerId(name),
        incarnation=Incarnation(f"life-of-{name}"),
        public_key=PUBLIC_KEYS[name],
        grpc_address=f"{name}:18080",
        gateway_address=f"{name}:8080",
    )


CLUSTER = Genesis("devnet", MAJORITY, tuple(a_member(name) for name in NODES))


def some_blocks(count: int, *, builder: str = "node-1", on: Head = GENESIS) -> list[Block]:
    """A chain of blocks by one builder."""
    building = BlockBuilder(seed=1, builder=builder, transactions_bytes=300)
    blocks: list[Block] = []
    for _ in range(count):
        blocks.append(building.build(blocks[-1].head if blocks else on))
    return blocks


def gossip(block: Block, node: str = "node-1") -> Record:
    """The record of a block that `node` gossiped."""
    return Record(
        event="gossip",
        node=node,
        height=block.head.height,
        block_hash=block.head.block_hash.hex(),
        parent_hash=block.parent_hash.hex(),
        payload_hash=block.payload_hash.hex(),
        at_ms=block.head.height * 200,
    )


def start(head: Head, node: str = "node-1") -> Record:
    """The record of a sequencer that starts to build on `head`."""
    return Record(
        event="start",
        node=node,
        height=head.height,
        block_hash=head.block_hash.hex(),
        at_ms=head.height * 200,
    )


def a_log(blocks: Sequence[Block], *, leader: str = "node-1") -> tuple[Entry, ...]:
    """An epoch start of epoch 1, then the blocks."""
    begin = EpochStart(a_member(leader).key, "test").to_bytes()
    first = Entry(
        index=Index(1),
        epoch=Epoch(1),
        kind=EntryKind.EPOCH_START,
        previous_digest=CLUSTER.cluster_id,
        body_hash=sha256(begin),
        body_size=len(begin),
        block=None,
        control=begin,
    )
    entries = [first]
    for block in blocks:
        entries.append(an_entry(block, after=entries[-1]))
    return tuple(entries)


def an_entry(block: Block, *, after: Entry) -> Entry:
    """The entry of a block."""
    head = block.head
    return Entry(
        index=Index(after.index + 1),
        epoch=after.epoch,
        kind=EntryKind.PAYLOAD,
        previous_digest=after.digest,
        body_hash=block.payload_hash,
        body_size=len(block.ssz),
        block=BlockReference(Height(head.height), head.block_hash, block.parent_hash),
    )


def a_certificate(entry: Entry, signers: Sequence[str] = NODES[:2]) -> Certificate:
    """The certificate of an entry, signed by those nodes."""
    acknowledgements = []
    for name in signers:
        said = Acknowledgement(a_member(name).key, entry.epoch, entry.index, entry.digest)
        signature = SIGNERS[name].sign(said.message(CLUSTER.cluster_id))
        acknowledgements.append(replace(said, signature=signature))
    return Certificate.assemble(entry, acknowledgements)


def a_state(
    name: str,
    entries: tuple[Entry, ...],
    certificate: Certificate | None,
    *,
    base: Base | None = None,
) -> StoredState:
    """What the node of that name has stored."""
    return StoredState(
        server_id=ServerId(name),
        incarnation=Incarnation(f"life-of-{name}"),
        genesis=CLUSTER,
        promise=Promise(Epoch(1), MemberKey(ServerId(name), Incarnation(f"life-of-{name}"))),
        base=base or Base(Position(Index(0), Epoch(0), CLUSTER.cluster_id), CLUSTER.membership),
        entries=entries,
        certified=certificate.position if certificate is not None else None,
        certificate=certificate,
    )


@dataclass
class HandMadeStore:
    """A store that holds whatever it is given, true or not."""

    state: StoredState
    bodies: Mapping[bytes, bytes] = field(default_factory=dict)
    """By body hash, as the state's entries name it."""
    is_closed: bool = False

    def load(self) -> StoredState:
        return self.state

    def set_genesis(self, genesis: Genesis) -> None:
        raise AssertionError("evidence writes nothing")

    def apply(self, writes: Sequence[object], bodies: Bodies) -> None:
        raise AssertionError("evidence writes nothing")

    def read_body(self, index: Index) -> bytes:
        for entry in self.state.entries:
            if entry.index == index and entry.body_hash in self.bodies:
                return self.bodies[entry.body_hash]
        raise NotFound(f"no entry {index}")

    def read_head(self) -> bytes:
        raise NotFound("it did not begin with a payload")

    def close(self) -> None:
        self.is_closed = True


def a_store(
    name: str,
    blocks: Sequence[Block],
    *,
    certified_count: int | None = None,
    leader: str = "node-1",
) -> HandMadeStore:
    """A store with these blocks, the first `certified_count` of them certified (default: all)."""
    entries = a_log(blocks, leader=leader)
    certified_entry = entries[len(blocks) if certified_count is None else certified_count]
    state = a_state(name, entries, a_certificate(certified_entry))
    return HandMadeStore(state, {block.payload_hash: block.ssz for block in blocks})


def evidence_of(store: HandMadeStore) -> Evidence:
    """What the store proves."""
    return read_evidence(store.state.server_id, lambda: store, PUBLIC_KEYS)
