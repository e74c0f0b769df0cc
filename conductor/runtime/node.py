"""A node from its first breath: forms a cluster or finds itself in one, then is a member of it.

Invariant: before there is a genesis nothing is promised, written or certified, and every call says
why.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from conductor.config import Config
from conductor.core.certificate import Acknowledgement, VerifySignature
from conductor.core.effects import CampaignEnded, LeadershipChanged, Notice, RequestFailed
from conductor.core.events import DeadlineReached, FitnessChanged
from conductor.core.forming import Formed, Forming
from conductor.core.greeting import Greeting
from conductor.core.machine import AUTOMATIC_REQUEST, Machine
from conductor.core.messages import Message
from conductor.core.pinning import check_greeting
from conductor.core.values import Digest, Genesis, Height, Member, MemberKey, ServerId
from conductor.errors import (
    ConductorError,
    NotFormed,
    PeerRejected,
    ShuttingDown,
    StoreMismatch,
)
from conductor.ports import (
    Bodies,
    Clock,
    EpochManager,
    MemberObservation,
    PeerTransport,
    Signer,
    Store,
    StoredState,
)
from conductor.runtime.election import Election
from conductor.runtime.member import MemberPorts, RunningMember
from conductor.runtime.monitor import Condition, Measurements, Monitor
from conductor.runtime.pulse import Pulse
from conductor.runtime.views import health_view, leader_view, status_view
from conductor.service import (
    AcknowledgeReceipt,
    CertificateView,
    CommitReceipt,
    HealthView,
    LeaderView,
    StatusView,
    StoredPayload,
)

logger = structlog.get_logger(__name__)


class Surroundings(Protocol):
    """The peers, the probes and the health service, as a node uses them."""

    @property
    def transport(self) -> PeerTransport:
        """Carries the protocol's messages."""
        ...

    def join(self, members: Sequence[Member], cluster_id: Digest) -> None:
        """These are the members from now on: keep streams to them, and probe them."""
        ...

    def observe(self, now_ms: int) -> tuple[MemberObservation, ...]:
        """What the probes say of the other members."""
        ...

    def show(self, *, serving: bool, paused: bool) -> None:
        """What the health service answers from now on."""
        ...

    def suspend_judgement(self, until_ms: int) -> None:
        """This node itself was stalled: missed probes before then mean nothing."""
        ...


@dataclass(frozen=True, slots=True)
class NodePorts:
    """What a node needs of the world."""

    store: Store
    signer: Signer
    verify: VerifySignature
    clock: Clock
    epoch_manager: EpochManager
    spawn: Callable[[Coroutine[Any, Any, None], str], None]
    after_write: Callable[[], None]
    on_fatal: Callable[[ConductorError], None]


class Node:
    """Implements `service.Conductor` and `ports.PeerInbox` for one process."""

    def __init__(
        self, config: Config, own: Member, state: StoredState, forming: Forming, ports: NodePorts
    ) -> None:
        self._config = config
        self._own = own
        self._state = state
        self._forming = forming
        self._ports = ports
        self._surroundings: Surroundings | None = None
        self._paused = config.paused
        self._member: RunningMember | None = None
        self._election: Election | None = None
        self._strangers: dict[str, str] = {}
        """What speaks against whoever answers at a member's address."""
        self._is_storing_genesis = False
        self._store_in_use = asyncio.Lock()
        """Held while the genesis is being stored: nothing may close the store under that."""
        self._is_stopping = False
        self._monitor = Monitor(config)
        self._condition = Condition(False, True, ("the node is starting",))
        self._pulse = Pulse(ports.clock, config.timing.heartbeat_ms, self._beat)

    # Life

    async def start(self, surroundings: Surroundings) -> None:
        """Take up the membership that the store holds, or begin to form one."""
        self._surroundings = surroundings
        await self._ports.epoch_manager.start()
        if self._state.genesis is not None:
            self._become_member(self._state.genesis, surroundings)
        self._consider_forming()
        self._ports.spawn(self._pulse.run(), "pulse")

    async def stop(self) -> None:
        """Answer everyone who waits, and fall silent."""
        self._is_stopping = True
        self._condition = dataclasses.replace(
            self._condition, serving=False, reasons=("the node is stopping",)
        )
        if self._surroundings is not None:
            self._surroundings.show(serving=False, paused=self._paused)
        if self._member is not None:
            self._member.stop(ShuttingDown("the node stops: send the payload again"))
        await self._ports.epoch_manager.stop()

    async def finish(self) -> None:
        """After `stop`: wait until nothing uses the store any more, which a stuck disk prevents."""
        async with self._store_in_use:
            if self._member is not None:
                await self._member.finish()

    # Forming (callbacks of the peers)

    def greeting(self) -> Greeting:
        """What to say of this node to whoever greets it."""
        return self._forming.greeting(paused=self._paused)

    def heard_greeting(self, address: str, greeting: Greeting) -> None:
        """The node at that address answered our greeting."""
        if self._member is None:
            self._forming.heard(address, greeting)
            self._consider_forming()
            return
        try:
            self._check_fits(greeting)
        except PeerRejected as rejection:
            self._strangers[address] = f"{address} does not fit this cluster: {rejection}"
        else:
            self._strangers.pop(address, None)

    def greeted_by(self, greeting: Greeting) -> None:
        """Another node greets us. PeerRejected: it does not fit the cluster that has formed.

        A voter in another incarnation is answered: from the genesis it learns that its store is
        new where an old one should be (rule 5.8).
        """
        genesis, member = self._state.genesis, greeting.member
        pinned = genesis.membership.member(member.server_id) if genesis is not None else None
        if pinned is None or pinned.incarnation == member.incarnation:
            self._check_fits(greeting)

    def _check_fits(self, greeting: Greeting) -> None:
        if self._state.genesis is not None:
            check_greeting(self._state.genesis, greeting)

    def unreachable(self, address: str, why: str) -> None:
        """The node at that address did not answer."""
        if self._member is None:
            self._forming.unreachable(address, why)
            self._consider_forming()

    def _consider_forming(self) -> None:
        surroundings = self._surroundings
        if self._member is not None or self._is_storing_genesis or surroundings is None:
            return
        verdict = self._forming.verdict()
        if not isinstance(verdict, Formed):
            self._refuse_a_new_store()
        else:
            self._is_storing_genesis = True
            work = self._store_genesis(verdict.genesis, surroundings)
            self._ports.spawn(work, "store genesis")

    def _refuse_a_new_store(self) -> None:
        """Stop rather than run on an empty disk where the cluster knows another (rule 5.8)."""
        witness = self._forming.remembered_in_another_life()
        if witness and not self._config.new_incarnation:
            self._ports.on_fatal(
                StoreMismatch(
                    f"the store in {self._config.data_dir} is new, but {witness} knows "
                    f"'{self._own.server_id}' with another one: name the --data-dir of the old "
                    "store, or say with --new-incarnation that it is gone; the server then counts "
                    "for nothing until an operator restores it"
                )
            )

    async def _store_genesis(self, genesis: Genesis, surroundings: Surroundings) -> None:
        """Make the genesis durable, and only then live by it."""
        async with self._store_in_use:
            if self._is_stopping:
                return
            await asyncio.to_thread(self._ports.store.set_genesis, genesis)
            self._state = await asyncio.to_thread(self._ports.store.load)
        if self._is_stopping:
            return
        self._forming.stored()
        logger.info(
            "cluster_formed",
            cluster_id=genesis.cluster_id.hex(),
            voters=[voter.server_id for voter in genesis.voters],
        )
        self._become_member(genesis, surroundings)

    def _become_member(self, genesis: Genesis, surroundings: Surroundings) -> None:
        ports = self._ports
        member = RunningMember(
            self._state,
            self._config,
            MemberPorts(
                store=ports.store,
                transport=surroundings.transport,
                signer=ports.signer,
                verify=ports.verify,
                clock=ports.clock,
                spawn=ports.spawn,
                after_write=ports.after_write,
                on_notice=self._notice,
                on_fatal=ports.on_fatal,
            ),
        )
        self._member = member
        self._election = Election(
            member.driver,
            ports.epoch_manager,
            surroundings.observe,
            campaign_timeout_ms=self._config.timing.campaign_timeout_ms,
        )
        member.start()
        surroundings.join(genesis.voters, genesis.cluster_id)
        self._pulse.hurry()

    # The pulse

    def hurry(self) -> None:
        """Something has changed that should not wait for the next beat."""
        self._pulse.hurry()

    def _beat(self, now_ms: int) -> None:
        """Look at everything that may have changed, and act on it."""
        surroundings, machine = self._surroundings, self.machine
        if self._is_stopping or surroundings is None:
            return
        if self._pulse.lag_ms > self._config.timing.lease_ms // 2:
            surroundings.suspend_judgement(now_ms + self._config.timing.health_interval_ms)
        self._condition = self._assess(now_ms)
        serving = self._condition.serving
        surroundings.show(serving=serving, paused=self._paused)
        if self._member is None or self._election is None or machine is None:
            return
        sequencer_ok = self._condition.sequencer_ok
        if (machine.node.serving, machine.node.sequencer_ok) != (serving, sequencer_ok):
            self._member.driver.post(FitnessChanged(serving, sequencer_ok))
        own = MemberObservation(
            server_id=self._own.server_id,
            reachable=True,
            serving=serving,
            paused=self._paused,
            serving_since_ms=self._monitor.serving_since_ms,
        )
        self._election.consider(own, now_ms)

    def _assess(self, now_ms: int) -> Condition:
        member = self._member
        observed = self._election.observed.values() if self._election else ()
        others = [seen for seen in observed if seen.server_id != self._own.server_id]
        measured = Measurements(
            now_ms=now_ms,
            loop_lag_ms=self._pulse.lag_ms,
            paused=self._paused,
            draining=False,
            store_is_full=member is not None and member.store_is_full,
            synced_at_ms=member.synced_at_ms if member is not None else None,
            voters_reached=1 + sum(seen.reachable for seen in others),
        )
        condition = self._monitor.assess(self.machine, self._forming, measured)
        remarks = (*condition.remarks, *self._strangers.values())
        return dataclasses.replace(condition, remarks=remarks)

    def _notice(self, notice: Notice) -> None:
        if isinstance(notice, LeadershipChanged):
            logger.info(
                "leadership_changed",
                epoch=notice.epoch,
                leader_id=notice.leader_id,
                reason=notice.reason,
            )
            self._pulse.hurry()
        elif isinstance(notice, RequestFailed) and notice.request_id == AUTOMATIC_REQUEST:
            logger.info("hand_over_failed", reason=str(notice.error))
            if self._election is not None:
                self._election.hand_over_failed(self._ports.clock.now_ms())
        elif isinstance(notice, CampaignEnded):
            logger.info("campaign_ended", epoch=notice.epoch, reason=notice.reason)
            self._pulse.hurry()

    # ports.PeerInbox

    def receive(self, sender: MemberKey, message: Message, bodies: Bodies, reply_to: int) -> None:
        """A member said something."""
        if self._member is not None:
            self._member.driver.receive(sender, message, bodies, reply_to)

    def peer_connected(self, server_id: ServerId) -> None:
        """A replication stream to that server is open."""
        if self._member is not None:
            self._member.driver.peer_connected(server_id)

    def peer_disconnected(self, server_id: ServerId) -> None:
        """The replication stream to that server broke."""
        if self._member is not None:
            self._member.driver.peer_disconnected(server_id)

    def peer_died(self, server_id: ServerId) -> None:
        """That server's machine refuses connections."""
        if self._member is not None:
            self._member.driver.peer_died(server_id)
            self._pulse.hurry()

    # service.Conductor

    @property
    def machine(self) -> Machine | None:
        """The core, once the cluster has formed."""
        return self._member.machine if self._member is not None else None

    def _formed(self) -> RunningMember:
        if self._is_stopping:
            raise ShuttingDown("the node stops")
        if self._member is None:
            raise NotFormed("the cluster has not formed: " + "; ".join(self._condition.reasons))
        return self._member

    async def commit(self, ssz: bytes) -> CommitReceipt:
        """Certify a payload."""
        return await self._formed().commit(ssz)

    async def acknowledge(self, acknowledgement: Acknowledgement) -> AcknowledgeReceipt:
        """Count a signed acknowledgement that came another way."""
        return self._formed().acknowledge(acknowledgement)

    def leader(self) -> LeaderView:
        """Who leads."""
        self._look_at_the_clock()
        return leader_view(self.machine)

    def _look_at_the_clock(self) -> None:
        """After a stall this may be the first that runs: the lease may be over (trap T13)."""
        if self._member is not None:
            self._member.driver.post(DeadlineReached())

    def health(self) -> HealthView:
        """Whether this node is fit to lead."""
        self._look_at_the_clock()
        quorum_safe = self._monitor.quorum_safe(self.machine)
        return health_view(self.machine, self._own, self._condition, quorum_safe=quorum_safe)

    def status(self) -> StatusView:
        """All of it."""
        observed = self._election.observed if self._election else {}
        return status_view(
            self.machine, self._own, self._config.cluster_name, self.health(), observed
        )

    def genesis(self) -> Genesis:
        """What the cluster was formed with."""
        self._formed()
        assert self._state.genesis is not None
        return self._state.genesis

    async def latest(self, *, consistent: bool) -> StoredPayload:
        """The newest certified payload."""
        return await self._formed().latest(consistent=consistent)

    async def payload_by_height(self, height: Height) -> StoredPayload:
        """A certified payload of the present chain."""
        return await self._formed().payload_by_height(height)

    def certificate(self) -> CertificateView:
        """The newest certificate."""
        return self._formed().certificate()

    def is_sequencer_healthy(self) -> bool:
        """True: this node drives no sequencer that could be ill."""
        return True

    def is_active(self) -> bool:
        """Whether the node runs and is not paused."""
        return not self._paused and not self._is_stopping
