"""Everything bad that happens to a cluster, drawn from the schedule's own random source.

Safety must hold through all of it, under an epoch manager that is wrong at its worst.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial

from conductor.core.events import (
    Event,
    FitnessChanged,
    HandOverRequested,
    PeerConnected,
    PeerDied,
    PeerDisconnected,
    PeerFitnessChanged,
    StopRequested,
)
from conductor.core.values import ServerId
from conductor.simulation.cluster import Cluster
from conductor.simulation.disk import DiskRates
from conductor.simulation.managers import AdversarialManager

QUICK_DISK = DiskRates(latency_ms_max=2)
SLOW_DISK = DiskRates(latency_ms_max=60, stall=0.1, stall_ms_max=1500)


class Faults:
    """Does one of its kinds now and then, each as often as its weight says."""

    def __init__(
        self,
        cluster: Cluster,
        weights: Mapping[str, float],
        *,
        every_ms: int,
        burst: Callable[[ServerId], None],
        next_request: Callable[[], int],
    ) -> None:
        self._cluster = cluster
        self._random = cluster.random
        self._manager = AdversarialManager(cluster)
        known = self._kinds()
        self._actions = [known[kind] for kind, weight in weights.items() if weight > 0]
        self._weights = [weight for weight in weights.values() if weight > 0]
        self._every_ms = every_ms
        self._burst = burst
        self._next_request = next_request
        self._ids = list(cluster.nodes)
        self._quick_disk = cluster.shape.disk
        self._stopped = False
        cluster.scheduler.after(0, self._tick)

    def _kinds(self) -> dict[str, Callable[[], None]]:
        return {
            "designate": self._manager.designate,
            "contest": self._manager.contest,
            "hand_over": self._hand_over,
            "fitness": self._fitness,
            "unfit_all": self._unfit_all,
            "probe": self._probe,
            "crash": self._crash,
            "crash_all": self._crash_all,
            "stop": self._stop,
            "start": self._start,
            "stall": self._stall,
            "disk": self._disk,
            "death_rumour": self._death_rumour,
            "cut": self._cut,
            "partition": self._partition,
            "strand": self._strand,
            "heal": self._heal,
            "stream": self._stream,
        }

    def _tick(self) -> None:
        if self._stopped:
            return
        (act,) = self._random.choices(self._actions, self._weights)
        act()
        gap_ms = 1 + int(self._random.random() * 2 * self._every_ms)
        self._cluster.scheduler.after(gap_ms, self._tick)

    def _anyone(self) -> ServerId:
        return self._ids[int(self._random.random() * len(self._ids))]

    def _tell(self, server_id: ServerId, event: Event) -> None:
        self._cluster.deliver_to(server_id, event)

    # Fitness, and what operators do

    def _hand_over(self) -> None:
        target = None if self._random.random() < 0.3 else self._anyone()
        forced = self._random.random() < 0.3
        for node in self._cluster.up:
            if node.leads or self._random.random() < 0.1:
                timeout_ms = int(self._random.random() * 600)
                request_id = self._next_request()
                reason = f"operator {request_id}"
                event = HandOverRequested(request_id, target, reason, timeout_ms, forced)
                self._cluster.deliver(node, event)

    def _fitness(self) -> None:
        serving = self._random.random() < 0.6
        sequencer_ok = self._random.random() < 0.6
        self._tell(self._anyone(), FitnessChanged(serving, sequencer_ok))

    def _probe(self) -> None:
        serving = self._random.random() < 0.6
        self._tell(self._anyone(), PeerFitnessChanged(self._anyone(), serving))

    def _unfit_all(self) -> None:
        """Nobody is fit to lead, in anyone's eyes."""
        for server_id in self._ids:
            self._tell(server_id, FitnessChanged(serving=False, sequencer_ok=False))
            for other in self._ids:
                self._tell(server_id, PeerFitnessChanged(other, serving=False))

    # Machines

    def _crash(self) -> None:
        server_id = self._anyone()
        self._cluster.crash(server_id)
        if self._random.random() < 0.7:
            downtime_ms = int(self._random.random() * 300)
            restart = partial(self._cluster.start, server_id)
            self._cluster.scheduler.after(downtime_ms, restart)
            if self._random.random() < 0.5:
                self._announce_death(server_id)

    def _start(self) -> None:
        self._cluster.start(self._anyone())

    def _stop(self) -> None:
        """Stop a node in good order."""
        server_id = self._anyone()
        self._tell(server_id, StopRequested())
        self._cluster.crash(server_id)

    def _crash_all(self) -> None:
        for server_id in self._ids:
            self._cluster.crash(server_id)
        for server_id in self._ids:
            downtime_ms = int(self._random.random() * 100)
            self._cluster.scheduler.after(downtime_ms, partial(self._cluster.start, server_id))

    def _stall(self) -> None:
        self._cluster.stall(self._anyone(), int(self._random.random() * 1200))

    def _disk(self) -> None:
        is_slow = self._random.random() < 0.5
        node = self._cluster.nodes[self._anyone()]
        node.disk.rates = SLOW_DISK if is_slow else self._quick_disk

    def _announce_death(self, server_id: ServerId) -> None:
        for other in self._ids:
            if other != server_id:
                self._tell(other, PeerDied(server_id))

    def _death_rumour(self) -> None:
        """Someone is told that another's machine is dead, true or not."""
        told, dead = self._anyone(), self._anyone()
        if told != dead:
            self._tell(told, PeerDied(dead))

    # The network

    def _cut(self) -> None:
        self._cluster.network.cut([(self._anyone(), self._anyone())])

    def _partition(self) -> None:
        size = int(self._random.random() * len(self._ids))
        group = self._random.sample(self._ids, size)
        self._cluster.network.isolate(group, self._ids)

    def _heal(self) -> None:
        self._cluster.network.heal()

    def _stream(self) -> None:
        here, there = self._anyone(), self._anyone()
        if self._cluster.shape.network.streams:
            self._cluster.network.break_stream((here, there))
        else:
            self._tell(here, PeerDisconnected(there))
            self._tell(here, PeerConnected(there))

    def _strand(self) -> None:
        """Cut a leader off, alone or with one companion, just before a burst of payloads."""
        leaders = [node.key.server_id for node in self._cluster.up if node.leads]
        if not leaders:
            return
        leader_id = leaders[int(self._random.random() * len(leaders))]
        group = {leader_id}
        if self._random.random() < 0.5:
            group.add(self._anyone())
        self._cluster.network.isolate(group, self._ids)
        self._burst(leader_id)

    # The end of it

    def repair(self, core: list[ServerId]) -> None:
        """Heal the nodes of `core` and the links between them, and cut off all others."""
        self._stopped = True
        cluster, network = self._cluster, self._cluster.network
        network.heal()
        network.isolate(core, self._ids)
        network.rates = dataclasses.replace(network.rates, loss=0, straggle=0, delay_ms_max=3)
        for server_id in core:
            cluster.start(server_id)
            cluster.nodes[server_id].disk.rates = QUICK_DISK
            self._tell(server_id, FitnessChanged(serving=True, sequencer_ok=True))
            for other in self._ids:
                self._tell(server_id, PeerFitnessChanged(other, serving=other in core))
