"""A conductor with a log that is really signed: payloads, a genesis, and the newest certificate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from conductor.core.certificate import Acknowledgement, Certificate
from conductor.core.encoding import sha256
from conductor.core.values import (
    BlockReference,
    Entry,
    EntryKind,
    Epoch,
    EpochStart,
    Genesis,
    Head,
    Height,
    Index,
    ServerId,
)
from conductor.devnet.payloads import GENESIS as FIRST_HEAD
from conductor.devnet.payloads import Block, BlockBuilder
from conductor.errors import NotFound
from conductor.identity import development_signer
from conductor.service import CertificateView, StatusView, StoredPayload
from tests.api.fakes import FakeConductor, a_member

SIGNERS = {number: development_signer(number) for number in (1, 2, 3)}

VOTERS = tuple(
    replace(a_member(number), public_key=signer.public_key) for number, signer in SIGNERS.items()
)


@dataclass
class SignedLog:
    """Entries that chain from the genesis; members 1 and 2 sign what is certified."""

    genesis: Genesis = field(default_factory=lambda: Genesis("test", 0, VOTERS))
    entries: list[Entry] = field(default_factory=list)
    blocks: dict[int, tuple[Entry, Block]] = field(default_factory=dict)
    builder: BlockBuilder = field(
        default_factory=lambda: BlockBuilder(seed=1, builder="test", transactions_bytes=1000)
    )

    def begin_epoch(self) -> Entry:
        """A new leadership."""
        epoch = Epoch(self.entries[-1].epoch + 1 if self.entries else 1)
        body = EpochStart(VOTERS[0].key, "test").to_bytes()
        return self.append(epoch, EntryKind.EPOCH_START, body, None)

    def extend(self) -> Block:
        """A payload, a child of the one before."""
        parent = self.blocks[max(self.blocks)][1].head if self.blocks else FIRST_HEAD
        block = self.builder.build(parent)
        reference = BlockReference(
            Height(block.head.height), block.head.block_hash, block.parent_hash
        )
        entry = self.append(self.entries[-1].epoch, EntryKind.PAYLOAD, block.ssz, reference)
        self.blocks[block.head.height] = (entry, block)
        return block

    def certificate(
        self, signers: Sequence[int] = (1, 2), entry: Entry | None = None
    ) -> Certificate:
        """Of the newest entry, or of this one."""
        certified = entry or self.entries[-1]
        return Certificate.assemble(
            certified, [self.acknowledgement(certified, number) for number in signers]
        )

    def acknowledgement(self, entry: Entry, number: int) -> Acknowledgement:
        """Member `number` has made that entry durable."""
        unsigned = Acknowledgement(VOTERS[number - 1].key, entry.epoch, entry.index, entry.digest)
        signature = SIGNERS[number].sign(unsigned.message(self.genesis.cluster_id))
        return replace(unsigned, signature=signature)

    def append(
        self, epoch: Epoch, kind: EntryKind, body: bytes, block: BlockReference | None
    ) -> Entry:
        """Any entry at all."""
        last = self.entries[-1] if self.entries else None
        entry = Entry(
            index=Index(len(self.entries) + 1),
            epoch=epoch,
            kind=kind,
            previous_digest=last.digest if last is not None else self.genesis.cluster_id,
            body_hash=sha256(body),
            body_size=len(body),
            block=block,
            control=body if block is None else b"",
        )
        self.entries.append(entry)
        return entry


def a_log(
    payloads: int = 3, *, initial_leader: str | None = None, head: Head | None = None
) -> SignedLog:
    """A log of one epoch and some payloads."""
    leader = ServerId(initial_leader) if initial_leader is not None else None
    log = SignedLog(Genesis("test", 0, VOTERS, leader, head))
    log.begin_epoch()
    for _ in range(payloads):
        log.extend()
    return log


class CertifiedConductor(FakeConductor):
    """Answers from a signed log, honestly until a test changes a field."""

    def __init__(self, log: SignedLog) -> None:
        super().__init__()
        self.log = log
        self.signers: Sequence[int] = (1, 2)
        self.certificate_lags = 0
        """How many certificates to come are of the entry before the newest."""

    def status(self) -> StatusView:
        return replace(super().status(), cluster_name=self.log.genesis.cluster_name)

    def certificate(self) -> CertificateView:
        self._fail()
        entry = self.log.entries[-1]
        if self.certificate_lags:
            self.certificate_lags -= 1
            entry = self.log.entries[-2]
        certificate = self.log.certificate(self.signers, entry)
        genesis = self.log.genesis
        return CertificateView(certificate, genesis.cluster_id, genesis.membership, genesis.head)

    async def latest(self, *, consistent: bool) -> StoredPayload:
        self.consistent_reads.append(consistent)
        return self._stored(max(self.log.blocks, default=0))

    async def payload_by_height(self, height: Height) -> StoredPayload:
        return self._stored(height)

    def _stored(self, height: int) -> StoredPayload:
        self._fail()
        if height not in self.log.blocks:
            raise NotFound(f"no certified payload of height {height} is held")
        entry, block = self.log.blocks[height]
        return StoredPayload(block.ssz, entry.index, entry.epoch)
