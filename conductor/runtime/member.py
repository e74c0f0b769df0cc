"""A member at work: the core with its disk, its peers and its callers, once the cluster has formed.

Invariant: everything that reaches the core comes through the one driver, on the event loop's
thread.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from conductor import payload
from conductor.config import Config
from conductor.core.certificate import Acknowledgement, VerifySignature
from conductor.core.effects import CommitCertified, HandOverDone, Notice, ReadReady
from conductor.core.events import (
    Event,
    HandOverRequested,
    MessageReceived,
    PayloadSubmitted,
    ReadRequested,
    StopRequested,
)
from conductor.core.log import Log
from conductor.core.machine import Machine, Role
from conductor.core.messages import Acknowledged
from conductor.core.node import Settings
from conductor.core.values import BlockReference, Entry, Height, MemberKey, Position, ServerId
from conductor.errors import (
    CommitTimeout,
    ConductorError,
    NotFound,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    Stale,
    StoreError,
)
from conductor.ports import Bodies, Clock, PeerTransport, Signer, Store, StoredState
from conductor.runtime.bodies import BodyCache
from conductor.runtime.driver import Driver, DriverPorts
from conductor.runtime.outgoing import Outgoing
from conductor.runtime.pending import PendingRequests
from conductor.runtime.writer import Writer
from conductor.service import (
    AcknowledgeReceipt,
    CertificateView,
    CommitReceipt,
    StoredPayload,
)

OFF_LOOP_BYTES = 64 * 2**10
"""Larger bodies are checked and hashed in a thread: both let go of the interpreter or take long."""


@dataclass(frozen=True, slots=True)
class MemberPorts:
    """What a member needs of the world."""

    store: Store
    transport: PeerTransport
    signer: Signer
    verify: VerifySignature
    clock: Clock
    spawn: Callable[[Coroutine[Any, Any, None], str], None]
    after_write: Callable[[], None]
    """Called from the writer's thread after each transaction."""
    on_notice: Callable[[Notice], None]
    on_fatal: Callable[[ConductorError], None]


def settings_of(config: Config) -> Settings:
    """The core's numbers, from the configuration."""
    timing, limits = config.timing, config.limits
    return Settings(
        heartbeat_ms=timing.heartbeat_ms,
        lease_ms=timing.lease_ms,
        leader_timeout_ms=timing.leader_timeout_ms,
        campaign_timeout_ms=timing.campaign_timeout_ms,
        touch_interval_ms=timing.health_interval_ms,
        append_timeout_ms=2 * timing.lease_ms,
        commit_rule=config.commit_rule,
        pending_payloads_max=limits.pending_payloads_max,
        batch_bytes_max=limits.batch_bytes_max,
        retain_payloads=limits.retain_payloads,
        retain_bytes=limits.retain_bytes,
    )


def machine_of(state: StoredState, config: Config) -> Machine:
    """The core as its disk left it. The state must have a genesis."""
    assert state.genesis is not None
    assert state.base is not None
    return Machine(
        key=MemberKey(state.server_id, state.incarnation),
        cluster_id=state.genesis.cluster_id,
        settings=settings_of(config),
        log=Log.restored(state.base, state.entries, state.certificate, state.genesis.head),
        promise=state.promise,
    )


class RunningMember:
    """The use cases of a formed node, over its driver."""

    def __init__(self, state: StoredState, config: Config, ports: MemberPorts) -> None:
        self._timing = config.timing
        self._ports = ports
        self.cache = BodyCache()
        """Bodies that are on their way, and some that were lately."""
        self._loop = asyncio.get_running_loop()
        self._writer = Writer(ports.store, self, after_write=ports.after_write)
        self.store_is_full = False
        self.synced_at_ms = ports.clock.now_ms()
        """When a write last became durable; opening the store was the first."""
        self.machine = machine_of(state, config)
        self.driver = Driver(
            self.machine,
            DriverPorts(
                clock=ports.clock,
                signer=ports.signer,
                verify=ports.verify,
                cache=self.cache,
                outgoing=Outgoing(ports.transport, ports.store, self.cache, ports.spawn),
                writer=self._writer,
                on_notice=self._notice,
                on_fatal=ports.on_fatal,
            ),
        )
        self._requests = PendingRequests(self.driver.post)

    def start(self) -> None:
        """Begin to write and to keep deadlines."""
        self._writer.start()
        self.driver.start()

    def stop(self, error: ConductorError) -> None:
        """End every call with `error`, and take no more events."""
        self.driver.post(StopRequested())
        self.driver.stop()
        self._requests.fail_all(error)

    async def finish(self) -> None:
        """After `stop`: wait until the writes are done, however long a stuck disk takes for them.

        Before that nobody may close the store.
        """
        await asyncio.to_thread(self._writer.stop)

    def _notice(self, notice: Notice) -> None:
        self._requests.notify(notice)
        self._ports.on_notice(notice)

    # From the writer's thread (runtime.writer.WriterListener)

    def write_completed(self, sequence: int, bodies: Bodies) -> None:
        """That write and all before it are durable."""
        self._loop.call_soon_threadsafe(self._completed, sequence, bodies)

    def _completed(self, sequence: int, bodies: Bodies) -> None:
        self.synced_at_ms = self._ports.clock.now_ms()
        self.driver.write_completed(sequence, bodies)

    def space_changed(self, is_full: bool) -> None:
        """The store has no space, or has some again."""
        self.store_is_full = is_full

    def write_failed(self, error: Exception) -> None:
        """The store is not to be trusted any more."""
        fatal = error if isinstance(error, ConductorError) else StoreError(str(error))
        self._loop.call_soon_threadsafe(self._ports.on_fatal, fatal)

    # Use cases

    async def commit(self, ssz: bytes) -> CommitReceipt:
        """Certify a payload, within the commit timeout."""
        if self.machine.role is not Role.LEADER:
            known = self.machine.known_leader
            raise NotLeader(leader_id=known.server_id if known else "")
        timeout_ms = self._timing.commit_timeout_ms
        began_ms = self._ports.clock.now_ms()
        header, body_hash = await _examined(ssz, timeout_ms)
        block = BlockReference(Height(header.height), header.block_hash, header.parent_hash)

        def submission(request_id: int) -> Event:
            return PayloadSubmitted(request_id, body_hash, len(ssz), block)

        self.driver.trail.submitted(block, len(ssz))
        bodies = {body_hash: ssz}
        self.cache.add_pinned(bodies)
        try:
            certified = await self._requests.ask(
                submission,
                CommitCertified,
                timeout_ms=timeout_ms - (self._ports.clock.now_ms() - began_ms),
                late=lambda: CommitTimeout(
                    f"no quorum acknowledged within {timeout_ms} ms: "
                    "the payload may still be certified; send it again"
                ),
            )
        finally:
            self.cache.unpin(bodies)
        return CommitReceipt(block.height, certified.epoch, certified.index)

    def acknowledge(self, acknowledgement: Acknowledgement) -> AcknowledgeReceipt:
        """Count a signed acknowledgement that came another way."""
        node, leadership = self.machine.node, self.machine.leadership
        acknowledgement.check(node.cluster_id, node.log.membership, self._ports.verify)
        if leadership is None:
            known = self.machine.known_leader
            raise NotLeader(leader_id=known.server_id if known else "")
        position = Position(acknowledgement.index, acknowledgement.epoch, acknowledgement.digest)
        if acknowledgement.epoch != leadership.epoch or not node.log.matches(position):
            raise Stale(
                f"it acknowledges index {position.index} in epoch {position.epoch}, "
                f"and this leader of epoch {leadership.epoch} has something else there"
            )
        self.driver.post(MessageReceived(acknowledgement.member, Acknowledged(0, acknowledgement)))
        entry = node.log.certified_payload
        return AcknowledgeReceipt(
            certified=node.log.certified.index >= position.index,
            height=entry.block.height if entry and entry.block else 0,
        )

    async def transfer(
        self,
        target: ServerId | None,
        reason: str,
        *,
        timeout_ms: int | None = None,
        force: bool = False,
    ) -> HandOverDone:
        """Pass the leadership on, and wait for the outcome, twice `timeout_ms` at most."""
        limit_ms = timeout_ms or self._timing.hand_over_timeout_ms
        return await self._requests.ask(
            lambda request_id: HandOverRequested(request_id, target, reason, limit_ms, force),
            HandOverDone,
            timeout_ms=2 * limit_ms,
            late=lambda: OutcomeUnknown("leadership transfer timeout"),
        )

    async def latest(self, *, consistent: bool) -> StoredPayload:
        """The newest certified payload."""
        if consistent:
            await self._requests.ask(
                ReadRequested,
                ReadReady,
                timeout_ms=self._timing.commit_timeout_ms,
                late=lambda: CommitTimeout("no quorum confirmed the leadership in time"),
            )
        entry = self.machine.node.log.certified_payload
        if entry is None:
            raise NotFound("no payload is certified yet")
        return await self._stored(entry)

    async def payload_by_height(self, height: Height) -> StoredPayload:
        """From the ancestors of the newest certified payload."""
        log = self.machine.node.log
        newest = log.certified_payload
        for entry in log.ancestry(newest) if newest else ():
            if entry.block is not None and entry.block.height == height:
                return await self._stored(entry)
        raise NotFound(f"no certified payload of height {height} is held")

    async def _stored(self, entry: Entry) -> StoredPayload:
        body = self.cache.get(entry.body_hash)
        if body is None:
            body = await asyncio.to_thread(self._ports.store.read_body, entry.index)
        return StoredPayload(body, entry.index, entry.epoch)

    def certificate(self) -> CertificateView:
        """The newest certificate."""
        log = self.machine.node.log
        if log.certificate is None:
            raise NotFound("nothing is certified yet")
        membership = log.membership_at(log.certificate.index)
        cluster_id = self.machine.node.cluster_id
        return CertificateView(log.certificate, cluster_id, membership, log.head)


async def _examined(ssz: bytes, timeout_ms: int) -> tuple[payload.PayloadHeader, bytes]:
    """As `_examine`, off the loop if that would take long. Overloaded: no thread was free in time.

    Busy disks and large messages take threads, too.
    """
    if len(ssz) <= OFF_LOOP_BYTES:
        return _examine(ssz)
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            return await asyncio.to_thread(_examine, ssz)
    except TimeoutError:
        raise Overloaded(
            f"the payload could not be looked at within {timeout_ms} ms: send it again"
        ) from None


def _examine(ssz: bytes) -> tuple[payload.PayloadHeader, bytes]:
    """The header and the hash of an untrusted payload."""
    return payload.validate_ssz(ssz), hashlib.sha256(ssz).digest()
