"""A node from its first breath: forms a cluster or finds itself in one, then is a member of it.

Invariant: before there is a genesis nothing is promised, written or certified, and every call says
why.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from conductor.config import Config
from conductor.core.certificate import VerifySignature
from conductor.core.effects import (
    CampaignEnded,
    HandOverDone,
    LeadershipChanged,
    Notice,
    RequestFailed,
)
from conductor.core.events import DeadlineReached, FitnessChanged
from conductor.core.forming import Forming
from conductor.core.greeting import Greeting
from conductor.core.machine import AUTOMATIC_REQUEST, Machine
from conductor.core.messages import Message
from conductor.core.values import Digest, Genesis, Member, MemberKey, ServerId
from conductor.errors import (
    ConductorError,
    NotFormed,
    ShuttingDown,
)
from conductor.ports import (
    UNMETERED,
    Bodies,
    Clock,
    EpochManager,
    MemberObservation,
    Meters,
    PeerTransport,
    Signer,
    Store,
    StoredState,
)
from conductor.runtime.changes import Changes
from conductor.runtime.election import Election
from conductor.runtime.formation import Formation
from conductor.runtime.heir import Heir
from conductor.runtime.history import History
from conductor.runtime.member import MemberPorts, RunningMember
from conductor.runtime.monitor import Condition, Measurements, Monitor
from conductor.runtime.outcomes import outcome_of
from conductor.runtime.pulse import Pulse

logger = structlog.get_logger(__name__)

DRAIN_MS_MAX = 1000
"""How long a node that was asked to stop tries to hand over: it is awaited, and may be killed."""


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
    wall_ms: Callable[[], int]
    """Milliseconds since the Unix epoch, for people to read and for nothing else."""
    epoch_manager: EpochManager
    spawn: Callable[[Coroutine[Any, Any, None], str], None]
    after_write: Callable[[], None]
    on_fatal: Callable[[ConductorError], None]
    meters: Meters = UNMETERED


class Node:
    """One process as a node; implements `ports.PeerInbox`. The use cases are in `use_cases`."""

    def __init__(
        self, config: Config, own: Member, state: StoredState, forming: Forming, ports: NodePorts
    ) -> None:
        self._config = config
        self._own = own
        self._state = state
        self.formation = Formation(
            config,
            forming,
            state,
            ports.store,
            spawn=ports.spawn,
            on_formed=self._on_formed,
            on_fatal=ports.on_fatal,
        )
        """What the peers' greetings go to."""
        self._ports = ports
        self._surroundings: Surroundings | None = None
        self._paused = config.paused
        self._member: RunningMember | None = None
        self._election: Election | None = None
        self._heir: Heir | None = None
        self._is_stopping = False
        self._monitor = Monitor(config)
        self._condition = Condition(False, True, ("the node is starting",))
        self.is_only_paused = False
        """Whether the pause alone keeps the node from serving."""
        self._changes = Changes()
        self._pulse = Pulse(ports.clock, config.timing.heartbeat_ms, self._beat)
        self._is_draining = False
        self._answered = asyncio.Event()
        """Set whenever a hand-over has ended, or some other request has."""
        self.history = History(ports.wall_ms)
        """The leaderships that this node has seen."""

    # Life

    async def start(self, surroundings: Surroundings) -> None:
        """Take up the membership that the store holds, or begin to form one."""
        self._surroundings = surroundings
        await self._ports.epoch_manager.start()
        if self._state.genesis is not None:
            self._become_member(self._state)
        self.formation.begin()
        self._ports.spawn(self._pulse.run(), "pulse")

    async def drain(self) -> None:
        """Before `stop`: call itself unfit, and hand the leadership over if another can take it."""
        self._is_draining = True
        self._pulse.hurry()
        machine, member = self.machine, self._member
        if machine is None or member is None:
            return
        clock = self._ports.clock
        began_ms = clock.now_ms()
        limit_ms = min(DRAIN_MS_MAX, self._config.timing.hand_over_timeout_ms)
        await self._hand_over_ended(machine, limit_ms)
        left_ms = limit_ms - (clock.now_ms() - began_ms)
        if machine.leadership is None or left_ms <= 0:
            return
        try:
            reason = f"{self._own.server_id} stops"
            done = await member.transfer(None, reason, timeout_ms=left_ms)
        except ConductorError as error:
            logger.info("hand_over_failed", reason=str(error))
        else:
            logger.info("hand_over_done", leader_id=done.leader_id, epoch=done.epoch)

    async def _hand_over_ended(self, machine: Machine, timeout_ms: int) -> None:
        """Wait until a hand-over that somebody else began is over: there is one at a time."""
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                while machine.hand_over is not None:
                    self._answered.clear()
                    await self._answered.wait()
        except TimeoutError:
            logger.info("hand_over_failed", reason="another has not ended in time")

    async def stop(self) -> None:
        """Answer everyone who waits, and fall silent."""
        self._is_stopping = True
        self.is_only_paused = False
        self.formation.stop()
        self.history.end()
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
        await self.formation.finish()
        if self._member is not None:
            await self._member.finish()

    # Callbacks of the peers

    def greeting(self) -> Greeting:
        """What to say of this node to whoever greets it."""
        return self.formation.forming.greeting(paused=self._paused)

    def _on_formed(self, state: StoredState) -> None:
        if not self._is_stopping:
            self._become_member(state)

    def _become_member(self, state: StoredState) -> None:
        ports, genesis, surroundings = self._ports, state.genesis, self._surroundings
        assert genesis is not None
        assert surroundings is not None
        member = RunningMember(
            state,
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
            initial_leader=genesis.initial_leader,
            campaign_timeout_ms=self._config.timing.campaign_timeout_ms,
        )
        self._heir = Heir(member, state, ports.store, ports.spawn)
        member.start()
        self._tell_fitness()
        surroundings.join(genesis.voters, genesis.cluster_id)
        self._pulse.hurry()

    # The pulse

    def hurry(self) -> None:
        """Something has changed that should not wait for the next beat."""
        self._pulse.hurry()

    def _beat(self, now_ms: int) -> None:
        """Look at everything that may have changed, and act on it."""
        self._ports.meters.beat(self._pulse.lag_ms / 1000)
        surroundings, machine = self._surroundings, self.machine
        if self._is_stopping or surroundings is None:
            return
        if self._pulse.lag_ms > self._config.timing.lease_ms // 2:
            surroundings.suspend_judgement(now_ms + self._config.timing.health_interval_ms)
        self._condition = self._assess(now_ms)
        self._changes.condition(self._condition)
        serving = self._condition.serving
        surroundings.show(serving=serving, paused=self._paused)
        if self._member is None or self._election is None or machine is None:
            return
        self._tell_fitness()
        own = MemberObservation(
            server_id=self._own.server_id,
            reachable=True,
            serving=serving,
            paused=self._paused,
            serving_since_ms=self._monitor.serving_since_ms,
        )
        self._election.consider(own, now_ms)
        if self._heir is not None:
            self._heir.consider()
        self._changes.peers(
            seen
            for seen in self._election.observed.values()
            if seen.server_id != self._own.server_id
        )

    def _tell_fitness(self) -> None:
        """Tell the core what has changed, a pause before it is answered: orders come any time."""
        member, condition = self._member, self._condition
        if member is None or self._is_stopping:
            return
        fitness = FitnessChanged(condition.serving, condition.sequencer_ok, self._paused)
        core = member.machine.node
        if fitness != FitnessChanged(core.serving, core.sequencer_ok, core.paused):
            member.driver.post(fitness)

    def _assess(self, now_ms: int) -> Condition:
        member = self._member
        observed = self._election.observed.values() if self._election else ()
        others = [seen for seen in observed if seen.server_id != self._own.server_id]
        measured = Measurements(
            now_ms=now_ms,
            loop_lag_ms=self._pulse.lag_ms,
            paused=self._paused,
            draining=self._is_draining,
            store_is_full=member is not None and member.store_is_full,
            synced_at_ms=member.synced_at_ms if member is not None else None,
            voters_reached=1 + sum(seen.reachable for seen in others),
        )
        condition = self._monitor.assess(self.machine, self.formation.forming, measured)
        self.is_only_paused = self._paused and len(condition.reasons) == 1  # One for each fault.
        remarks = (*condition.remarks, *self.formation.strangers)
        return dataclasses.replace(condition, remarks=remarks)

    def _notice(self, notice: Notice) -> None:
        if isinstance(notice, HandOverDone | RequestFailed):
            self._answered.set()
        if isinstance(notice, LeadershipChanged):
            logger.info(
                "leadership_changed",
                epoch=notice.epoch,
                leader_id=notice.leader_id or "",
                reason=notice.reason,
            )
            self.history.note(notice.leader_id or "", notice.epoch, self._why(notice))
            if notice.leader_id is not None:
                is_own = notice.leader_id == self._own.server_id
                self._ports.meters.leader_changed(is_own=is_own)
            self._pulse.hurry()
        elif isinstance(notice, RequestFailed) and notice.request_id == AUTOMATIC_REQUEST:
            logger.info("hand_over_failed", reason=str(notice.error))
            self._ports.meters.transfer_ended("health", outcome_of(notice.error))
            if self._election is not None:
                self._election.hand_over_failed(self._ports.clock.now_ms())
        elif isinstance(notice, HandOverDone) and notice.request_id == AUTOMATIC_REQUEST:
            self._ports.meters.transfer_ended("health", "success")
        elif isinstance(notice, CampaignEnded):
            logger.info("campaign_ended", epoch=notice.epoch, reason=notice.reason)
            self._ports.meters.campaign_failed()
            self._pulse.hurry()

    def _why(self, notice: LeadershipChanged) -> str:
        """The reason that the leader gave when it campaigned, where that has come here."""
        given = self._election.reason_of(notice.epoch) if self._election else ""
        return given if given and notice.leader_id else notice.reason

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

    # What the use cases look at (runtime.use_cases)

    @property
    def machine(self) -> Machine | None:
        """The core, once the cluster has formed."""
        return self._member.machine if self._member is not None else None

    @property
    def rejected_messages(self) -> int:
        """How many messages of peers were dropped because something in them was not true."""
        return self._member.driver.rejected_messages if self._member is not None else 0

    @property
    def member(self) -> RunningMember:
        """The node as a member. ShuttingDown, NotFormed."""
        if self._is_stopping or self._member is None:
            raise self._not_a_member()
        return self._member

    def _not_a_member(self) -> ConductorError:
        if self._is_stopping:
            return ShuttingDown("the node stops")
        return NotFormed("the cluster has not formed: " + "; ".join(self._condition.reasons))

    @property
    def genesis(self) -> Genesis:
        """What the cluster was formed with. ShuttingDown, NotFormed."""
        if self.formation.genesis is None:
            raise self._not_a_member()
        return self.formation.genesis

    @property
    def own(self) -> Member:
        """This node, as the cluster knows it."""
        return self._own

    @property
    def condition(self) -> Condition:
        """What the monitors said at the last beat."""
        return self._condition

    @property
    def quorum_safe(self) -> bool:
        """Whether two sides of a partition can never both have a quorum."""
        return self._monitor.quorum_safe(self.machine)

    @property
    def observed(self) -> Mapping[ServerId, MemberObservation]:
        """What is known of every voter, this node included."""
        return self._election.observed if self._election else {}

    @property
    def paused(self) -> bool:
        """An operator has paused the node."""
        return self._paused

    def set_paused(self, paused: bool) -> None:
        """Step aside, or take part again: seen at the next beat, which comes at once."""
        if paused != self._paused:
            self._paused = paused
            logger.info("node_paused" if paused else "node_resumed")
            self._tell_fitness()
            self._pulse.hurry()

    @property
    def is_stopping(self) -> bool:
        """The end has begun."""
        return self._is_stopping

    def look_at_the_clock(self) -> None:
        """After a stall this may be the first that runs: the lease may be over (trap T13)."""
        if self._member is not None:
            self._member.driver.post(DeadlineReached())
