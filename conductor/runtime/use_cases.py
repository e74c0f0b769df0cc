"""The use cases over one node: what `service.Conductor` promises, whatever state the node is in.

Invariant: nothing here keeps state of the protocol. An overridden leadership changes what is said
of it here, and reaches neither the core nor a commit.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Callable

import structlog

from conductor.core.certificate import Acknowledgement
from conductor.core.values import Genesis, Height, ServerId
from conductor.errors import NotLeader, TransferRefused
from conductor.ports import UNMETERED, Meters, Outcome
from conductor.runtime.election import TRANSFER_REASON
from conductor.runtime.node import Node
from conductor.runtime.outcomes import outcome_told
from conductor.runtime.views import health_view, leader_view, status_view
from conductor.service import (
    AcknowledgeReceipt,
    CertificateView,
    CommitReceipt,
    HealthView,
    LeadershipRecord,
    LeaderView,
    StatusView,
    StoredPayload,
    TransferReceipt,
)

logger = structlog.get_logger(__name__)

ANSWER_FIRST_SECONDS = 0.1
"""How long the end waits that someone asked for over the API: for the answer to get out."""


class UseCases:
    """Implements `service.Conductor`."""

    def __init__(
        self,
        node: Node,
        cluster_name: str,
        on_stop: Callable[[], None],
        meters: Meters = UNMETERED,
    ) -> None:
        """`on_stop` begins the orderly end of the process."""
        self._node = node
        self._cluster_name = cluster_name
        self._on_stop = on_stop
        self._meters = meters
        self._is_overridden = False

    # Payloads

    async def commit(self, ssz: bytes) -> CommitReceipt:
        """Certify a payload."""
        began_s = time.perf_counter()

        def tell(outcome: Outcome) -> None:
            self._meters.commit_ended(outcome, len(ssz), time.perf_counter() - began_s)

        with outcome_told(tell):
            return await self._node.member.commit(ssz)

    async def acknowledge(self, acknowledgement: Acknowledgement) -> AcknowledgeReceipt:
        """Count a signed acknowledgement that came another way."""
        return self._node.member.acknowledge(acknowledgement)

    async def latest(self, *, consistent: bool) -> StoredPayload:
        """The newest certified payload."""
        return await self._node.member.latest(consistent=consistent)

    async def payload_by_height(self, height: Height) -> StoredPayload:
        """A certified payload of the present chain."""
        return await self._node.member.payload_by_height(height)

    def certificate(self) -> CertificateView:
        """The newest certificate."""
        return self._node.member.certificate()

    # The state of things

    def leader(self) -> LeaderView:
        """Who leads."""
        self._node.look_at_the_clock()
        view = leader_view(self._node.machine)
        return dataclasses.replace(view, is_overridden=self._is_overridden)

    def health(self) -> HealthView:
        """Whether this node is fit to lead."""
        node = self._node
        node.look_at_the_clock()
        view = health_view(node.machine, node.own, node.condition, quorum_safe=node.quorum_safe)
        return dataclasses.replace(view, only_paused=node.is_only_paused)

    def status(self) -> StatusView:
        """All of it."""
        node = self._node
        view = status_view(node.machine, node.own, self._cluster_name, self.health(), node.observed)
        return dataclasses.replace(view, paused=node.paused, leader_overridden=self._is_overridden)

    def genesis(self) -> Genesis:
        """What the cluster was formed with."""
        return self._node.genesis

    def history(self) -> tuple[LeadershipRecord, ...]:
        """The last leaderships that this node has seen."""
        return self._node.history.records

    def watch_epochs(self) -> AsyncIterator[LeadershipRecord]:
        """The leadership now, and whenever it changes."""
        return self._node.history.watch()

    def is_sequencer_healthy(self) -> bool:
        """True: this node drives no sequencer that could be ill."""
        return True

    def is_active(self) -> bool:
        """Whether the node runs and is not paused."""
        return not self._node.paused and not self._node.is_stopping

    def is_paused(self) -> bool:
        """Whether an operator has paused the node."""
        return self._node.paused

    def is_stopped(self) -> bool:
        """Whether the end has begun."""
        return self._node.is_stopping

    def is_leader_overridden(self) -> bool:
        """Whether an operator makes the node say that it leads."""
        return self._is_overridden

    # Administration

    async def pause(self) -> bool:
        """Step aside; whether the node was paused already."""
        was_paused = self._node.paused
        self._node.set_paused(True)
        return was_paused

    async def resume(self) -> bool:
        """Take part again; whether the node was paused."""
        was_paused = self._node.paused
        self._node.set_paused(False)
        return was_paused

    async def stop(self) -> None:
        """Begin the end of the process, once the answer has had its time to get out."""
        logger.info("stop_requested")
        asyncio.get_running_loop().call_later(ANSWER_FIRST_SECONDS, self._on_stop)

    async def override_leader(self, overridden: bool) -> bool:
        """Say that this node leads, or the truth again; what was in force before."""
        was_overridden, self._is_overridden = self._is_overridden, overridden
        if overridden != was_overridden:
            logger.warning("leader_overridden" if overridden else "leader_override_ended")
        return was_overridden

    async def transfer(self, target: ServerId | None, *, force: bool = False) -> TransferReceipt:
        """Pass the leadership to a voter, and wait for the outcome."""
        with outcome_told(lambda outcome: self._meters.transfer_ended("operator", outcome)):
            return await self._transfer(target, force=force)

    async def _transfer(self, target: ServerId | None, *, force: bool) -> TransferReceipt:
        member = self._node.member
        previous = self._node.own.server_id
        if member.machine.leadership is None:
            known = member.machine.known_leader
            raise NotLeader(leader_id=known.server_id if known else "")
        seen = self._node.observed.get(target) if target is not None else None
        if seen is not None and seen.paused:
            raise TransferRefused(f"{target} is paused: resume it first")
        done = await member.transfer(target, f"{TRANSFER_REASON}: an operator asked", force=force)
        return TransferReceipt(previous, done.leader_id, done.epoch)
