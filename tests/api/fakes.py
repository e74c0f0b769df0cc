"""A conductor that says what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from conductor.core.certificate import Acknowledgement, Certificate
from conductor.core.values import (
    BlockReference,
    Digest,
    EntryKind,
    Epoch,
    Genesis,
    Head,
    Height,
    Incarnation,
    Index,
    Member,
    MemberKey,
    Position,
    ServerId,
)
from conductor.errors import NotFormed, NotFound
from conductor.payload import payload_header
from conductor.service import (
    AcknowledgeReceipt,
    CertificateView,
    CommitReceipt,
    HealthView,
    LeadershipRecord,
    LeaderView,
    MemberView,
    StatusView,
    StoredPayload,
    TransferReceipt,
)

EPOCH = Epoch(7)
INDEX = Index(41)
VERSION = "1.2.3"


def a_member(number: int, *, voter: bool = True) -> Member:
    """Member `number`, whose ports are 8080 and 18080 plus that."""
    return Member(
        server_id=ServerId(f"node-{number}"),
        incarnation=Incarnation(f"{number:032x}"),
        public_key=bytes([number]) * 32,
        grpc_address=f"10.0.0.{number}:18080",
        gateway_address=f"10.0.0.{number}:8080",
        voter=voter,
    )


HEAD = Head(BlockReference(Height(99), b"\x04" * 32, b"\x05" * 32), b"\x06" * 32)
GENESIS = Genesis("test", 0, tuple(a_member(number) for number in (1, 2, 3)), head=HEAD)


def an_acknowledgement(number: int = 2) -> Acknowledgement:
    """An acknowledgement of member `number`, well formed."""
    member = a_member(number)
    return Acknowledgement(
        member=MemberKey(member.server_id, member.incarnation),
        epoch=EPOCH,
        index=INDEX,
        digest=Digest(bytes([0xAB]) * 32),
        signature=bytes([0xCD]) * 64,
    )


def a_certificate() -> Certificate:
    """A certificate that names two signers; nothing here checks signatures."""
    return Certificate(
        epoch=EPOCH,
        index=INDEX,
        previous_digest=Digest(bytes([1]) * 32),
        kind=EntryKind.PAYLOAD,
        body_hash=bytes([2]) * 32,
        acknowledgements=(an_acknowledgement(1), an_acknowledgement(2)),
    )


class FakeConductor:
    """Leads a formed cluster of three, with `node-1` as itself, until a test changes a field.

    An error in `error` is what every call that can fail ends with.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.formed = True
        self.leader_view = LeaderView(
            is_leader=True,
            is_overridden=False,
            epoch=EPOCH,
            leader_id="node-1",
            leader_address="10.0.0.1:8080",
            next_height=1001,
        )
        self.health_view = HealthView(
            serving=True,
            identity="01" * 32,
            epoch=EPOCH,
            is_leader=True,
            server_id="node-1",
            leader_id="node-1",
            certified_height=1000,
            quorum_safe=True,
            reasons=(),
            version=VERSION,
        )
        self.sequencer_healthy = True
        self.active = True
        self.paused = False
        self.stops = 0
        self.transfers: list[tuple[ServerId | None, bool]] = []
        self.records: tuple[LeadershipRecord, ...] = (
            LeadershipRecord("node-2", Epoch(6), "is the first fit voter, and nobody leads", 1_000),
            LeadershipRecord("node-1", EPOCH, "transfer: an operator asked", 2_000),
        )
        self.payloads: dict[int, bytes] = {}
        self.committed: list[bytes] = []
        self.acknowledged: list[Acknowledgement] = []
        self.consistent_reads: list[bool] = []
        self.reads_at_once = 0
        self.reads_at_once_max = 0
        self.read_started = asyncio.Event()
        self.read_may_end: asyncio.Event | None = None
        """When set to an event, reads of payloads wait for it."""
        self.commit_started = asyncio.Event()
        self.commit_ended = asyncio.Event()
        self.commit_may_end: asyncio.Event | None = None
        """When set to an event, commits wait for it."""

    async def commit(self, ssz: bytes) -> CommitReceipt:
        self.commit_started.set()
        if self.commit_may_end is not None:
            await self.commit_may_end.wait()
        self.commit_ended.set()
        self._fail()
        height = Height(payload_header(ssz).height)
        self.committed.append(ssz)
        return CommitReceipt(height, EPOCH, INDEX)

    async def acknowledge(self, acknowledgement: Acknowledgement) -> AcknowledgeReceipt:
        self._fail()
        self.acknowledged.append(acknowledgement)
        return AcknowledgeReceipt(certified=True, height=1000)

    def leader(self) -> LeaderView:
        return self.leader_view

    def health(self) -> HealthView:
        return self.health_view

    def status(self) -> StatusView:
        position = Position(INDEX, EPOCH, Digest(bytes([3]) * 32))
        return StatusView(
            cluster_name=GENESIS.cluster_name,
            cluster_id=GENESIS.cluster_id,
            incarnation=a_member(1).incarnation,
            role="leader",
            health=self.health_view,
            last=replace(position, index=Index(INDEX + 1)),
            certified=position,
            base_index=Index(11),
            quorum=2,
            members=tuple(_member_view(number) for number in (1, 2, 3)),
            paused=self.paused,
            leader_overridden=self.leader_view.is_overridden,
        )

    def genesis(self) -> Genesis:
        if not self.formed:
            raise NotFormed("node-3 is missing")
        return GENESIS

    async def latest(self, *, consistent: bool) -> StoredPayload:
        self.consistent_reads.append(consistent)
        return await self._read(max(self.payloads, default=0))

    async def payload_by_height(self, height: Height) -> StoredPayload:
        return await self._read(height)

    async def _read(self, height: int) -> StoredPayload:
        self.read_started.set()
        self.reads_at_once += 1
        self.reads_at_once_max = max(self.reads_at_once_max, self.reads_at_once)
        if self.read_may_end is not None:
            await self.read_may_end.wait()
        self.reads_at_once -= 1
        self._fail()
        if height not in self.payloads:
            raise NotFound(f"no certified payload of height {height} is held")
        return StoredPayload(self.payloads[height], INDEX, EPOCH)

    def certificate(self) -> CertificateView:
        self._fail()
        return CertificateView(a_certificate(), GENESIS.cluster_id, GENESIS.membership, HEAD)

    def is_sequencer_healthy(self) -> bool:
        return self.sequencer_healthy

    def is_active(self) -> bool:
        return self.active

    def is_paused(self) -> bool:
        return self.paused

    def is_stopped(self) -> bool:
        return self.stops > 0

    def is_leader_overridden(self) -> bool:
        return self.leader_view.is_overridden

    async def pause(self) -> bool:
        self._fail()
        was_paused, self.paused = self.paused, True
        return was_paused

    async def resume(self) -> bool:
        self._fail()
        was_paused, self.paused = self.paused, False
        return was_paused

    async def stop(self) -> None:
        self._fail()
        self.stops += 1

    async def override_leader(self, overridden: bool) -> bool:
        self._fail()
        was_overridden = self.leader_view.is_overridden
        self.leader_view = replace(self.leader_view, is_overridden=overridden)
        return was_overridden

    async def transfer(self, target: ServerId | None, *, force: bool = False) -> TransferReceipt:
        self._fail()
        self.transfers.append((target, force))
        return TransferReceipt("node-1", target or "node-2", Epoch(EPOCH + 1))

    def history(self) -> tuple[LeadershipRecord, ...]:
        return self.records

    async def watch_epochs(self) -> AsyncIterator[LeadershipRecord]:
        self._fail()
        for record in self.records:
            yield record

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


def _member_view(number: int) -> MemberView:
    member = a_member(number)
    return MemberView(
        server_id=member.server_id,
        incarnation=member.incarnation,
        public_key=member.public_key,
        grpc_address=member.grpc_address,
        gateway_address=member.gateway_address,
        voter=member.voter,
        role="leader" if number == 1 else "follower",
        reachable=True,
        serving=number != 3,
        match_index=40 + number,
    )
