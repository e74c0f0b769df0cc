"""Asks every other member, again and again, whether it is fit to lead (`grpc.health.v1`).

A `Check` each interval, with its own deadline, is what counts. `Watch` is a hint: a change that it
tells only makes the next check come at once, and a `Watch` that breaks is a reason to look whether
the member is dead. So a half-open connection on which nothing comes any more misleads nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from conductor.config import Timing
from conductor.core.values import Member, ServerId
from conductor.errors import PeerError, PeerRejected
from conductor.peers.channels import Channels
from conductor.peers.error_map import peer_errors
from conductor.peers.fitness import MISSES_TO_DOWN, Fitness
from conductor.peers.health import OVERALL, UNPAUSED
from conductor.peers.liveness import Liveness
from conductor.peers.tasks import OwnedTasks, until_one_ends
from conductor.ports import UNMETERED, Clock, MemberObservation, Meters

CHECK_PATH = "/grpc.health.v1.Health/Check"
WATCH_PATH = "/grpc.health.v1.Health/Watch"


class Probe:
    """The probing of one member."""

    def __init__(
        self,
        member: Member,
        channel: grpc.aio.Channel,
        liveness: Liveness,
        clock: Clock,
        timing: Timing,
        on_result: Callable[[], None],
        meters: Meters,
    ) -> None:
        self.member = member
        age_max_ms = MISSES_TO_DOWN * timing.health_interval_ms + timing.probe_deadline_ms
        self.fitness = Fitness(member.server_id, age_max_ms)
        self._liveness = liveness
        self._clock = clock
        self._on_result = on_result
        self._meters = meters
        self._interval_s = timing.health_interval_ms / 1000
        self._deadline_s = timing.probe_deadline_ms / 1000
        self._wake = asyncio.Event()
        self._check: grpc.aio.UnaryUnaryMultiCallable[HealthCheckRequest, HealthCheckResponse]
        self._check = channel.unary_unary(
            CHECK_PATH, HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
        )
        self._watch: grpc.aio.UnaryStreamMultiCallable[HealthCheckRequest, HealthCheckResponse]
        self._watch = channel.unary_stream(
            WATCH_PATH, HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
        )

    async def run(self) -> None:
        """Probe until cancelled."""
        await until_one_ends(self._keep_checking(), self._keep_watching())

    async def _keep_checking(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            next_s = began_s + self._interval_s
            self._wake.clear()
            try:
                serving = await self._ask(OVERALL)
                # Who serves is not paused: only who does not is asked for the reason.
                paused = not serving and not await self._ask(UNPAUSED)
            except PeerError:
                self.fitness.missed(self._clock.now_ms())
                self._meters.probe_ended(self.member.server_id, None)
                self._liveness.suspect(self.member)
            else:
                self._liveness.heard(self.member.server_id)
                self._meters.probe_ended(self.member.server_id, loop.time() - began_s)
                self.fitness.answered(self._clock.now_ms(), serving=serving, paused=paused)
            self._on_result()
            await self._pause_until(next_s)

    async def _pause_until(self, time_s: float) -> None:
        try:
            async with asyncio.timeout_at(time_s):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _ask(self, service: str) -> bool:
        """Whether a name is SERVING. Raises PeerError when there is no answer."""
        try:
            with peer_errors():
                request = HealthCheckRequest(service=service)
                response = await self._check(request, timeout=self._deadline_s)
        except PeerRejected:
            return False
        return response.status == HealthCheckResponse.SERVING

    async def _keep_watching(self) -> None:
        while True:
            watch = self._watch(HealthCheckRequest(service=OVERALL))
            was_open = False
            try:
                with peer_errors():
                    while isinstance(await watch.read(), HealthCheckResponse):
                        was_open = True
                        self._wake.set()
            except PeerError:
                pass
            finally:
                watch.cancel()
            if was_open:
                self._wake.set()
                self._liveness.suspect(self.member)
            await asyncio.sleep(self._interval_s)


class Prober:
    """What the probes say of all other members. `on_change` hears when any of it changes."""

    def __init__(
        self,
        channels: Channels,
        liveness: Liveness,
        clock: Clock,
        timing: Timing,
        on_change: Callable[[], None],
        meters: Meters = UNMETERED,
    ) -> None:
        self._channels = channels
        self._liveness = liveness
        self._clock = clock
        self._timing = timing
        self._on_change = on_change
        self._meters = meters
        self._tasks = OwnedTasks()
        self._probes: dict[ServerId, tuple[Probe, asyncio.Task[None]]] = {}
        self._told: tuple[MemberObservation, ...] = ()

    def probe(self, members: Mapping[ServerId, Member]) -> None:
        """From now on probe exactly these."""
        for server_id, (probe, task) in list(self._probes.items()):
            member = members.get(server_id)
            if member is None or member.grpc_address != probe.member.grpc_address:
                task.cancel()
                del self._probes[server_id]
        for server_id, member in members.items():
            if server_id not in self._probes:
                self._start(member)

    def _start(self, member: Member) -> None:
        channel = self._channels.health(member.grpc_address)
        probe = Probe(
            member,
            channel,
            self._liveness,
            self._clock,
            self._timing,
            self._tell_changes,
            self._meters,
        )
        task = self._tasks.start(probe.run(), f"probe {member.server_id}")
        self._probes[member.server_id] = (probe, task)

    def observe(self, now_ms: int) -> tuple[MemberObservation, ...]:
        """The judgement of every other member, sorted by server id."""
        return tuple(
            probe.fitness.observe(now_ms) for _, (probe, _) in sorted(self._probes.items())
        )

    def suspend(self, until_ms: int) -> None:
        """This node itself was held up: until then, silence is held against nobody."""
        for probe, _ in self._probes.values():
            probe.fitness.suspend(until_ms)

    def refused(self, server_id: ServerId) -> None:
        """That member's machine refuses connections."""
        found = self._probes.get(server_id)
        if found is not None:
            found[0].fitness.refused()
            self._tell_changes()

    async def stop(self) -> None:
        """Probe no more."""
        await self._tasks.stop()

    def _tell_changes(self) -> None:
        observed = self.observe(self._clock.now_ms())
        if observed != self._told:
            self._told = observed
            self._on_change()
