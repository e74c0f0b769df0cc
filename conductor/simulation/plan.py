"""What a schedule is made of, drawn from its seed.

A *swarm*: every schedule draws its own rates, and leaves many kinds of faults out altogether, so
that unlike schedules look into unlike corners. A profile narrows what is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from conductor.core.node import Settings
from conductor.core.quorum import MAJORITY
from conductor.simulation.cluster import Shape
from conductor.simulation.disk import DiskRates
from conductor.simulation.network import NetworkRates
from conductor.simulation.workload import BODY_BYTES, WorkloadRates

PROFILES = {
    "swarm": "everything",
    "churn": "many short leaderships",
    "streams": "links that keep their order",
    "lag": "little is retained",
    "quorums": "more than a majority is needed",
    "sequencers": "stale sequencers, many reads",
    "heirs": "the chain is that of a cluster before, and op-nodes lag behind it",
}
"""What can be drawn, and what is special about it."""
STORMY = ("churn", "lag")
"""The profiles that want a network much worse than usual."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One schedule before it runs."""

    shape: Shape
    workload: WorkloadRates
    faults: Mapping[str, float]
    """Weights by kind."""
    fault_every_ms: int
    fault_phase_ms: int


def draw_plan(profile: str, random: Random) -> Plan:
    """The plan of one schedule; `profile` is one of PROFILES."""
    nodes = random.choice((1, 2, 3, 3, 3, 3, 3, 4, 5, 5, 7))
    if profile == "churn":
        nodes = random.choice((3, 3, 5))
    rule = MAJORITY
    if profile == "quorums" or random.random() < 0.1:
        rule = random.randint(nodes // 2 + 1, nodes)
    churns = profile == "churn"
    stale = profile == "sequencers"
    shape = Shape(
        nodes=nodes,
        quorum_rule=rule,
        settings=_draw_settings(profile, random),
        network=_draw_storm(random) if profile in STORMY else _draw_network(profile, random),
        disk=_draw_disk(profile, random),
        clock_offset_ms_max=3_600_000,
        clock_drift_permille_max=random.choice((0, 50, 300)),
        inherits=profile == "heirs",
    )
    workload = WorkloadRates(
        block_ms=random.choice((25, 100) if churns else (30, 60)),
        stop_lag_ms_max=random.choice((0, 200, 1000)),
        reorg=random.choice((0.0, 0.05)),
        skip_stop=0.7 if stale else random.choice((0.0, 0.3)),
        read=0.5 if stale else random.choice((0.0, 0.1)),
    )
    return Plan(
        shape=shape,
        workload=workload,
        faults=_draw_churn(random) if churns or stale else _draw_faults(random),
        fault_every_ms=random.choice((10, 20) if churns else (30, 60, 120)),
        fault_phase_ms=2000,
    )


def _draw_settings(profile: str, random: Random) -> Settings:
    lags = profile == "lag" or random.random() < 0.3
    lease_ms = random.choice((150, 300))
    return Settings(
        heartbeat_ms=50,
        lease_ms=lease_ms,
        leader_timeout_ms=lease_ms * 3 // 2,
        campaign_timeout_ms=random.choice((20, 60) if profile == "churn" else (100, 300)),
        touch_interval_ms=random.choice((50, 200)),
        append_timeout_ms=random.choice((100, 300)),
        commit_rule=random.choice(("reorg", "reorg", "strict", "any")),
        pending_payloads_max=random.choice((4, 64)),
        batch_bytes_max=BODY_BYTES * random.choice((1, 3, 50)),
        batch_entries_aligned_to=random.choice((1, 4, 64)),
        retain_payloads=random.choice((1, 3)) if lags else 1024,
    )


def _draw_network(profile: str, random: Random) -> NetworkRates:
    streams = profile == "streams" or random.random() < 0.25
    return NetworkRates(
        loss=random.choice((0.0, 0.0, 0.002)) if streams else random.choice((0.0, 0.05, 0.2)),
        duplicate=random.choice((0.0, 0.1, 0.3)),
        delay_ms_max=random.choice((1, 5, 15)),
        straggle=random.choice((0.0, 0.02, 0.1)),
        straggle_ms_max=random.choice((100, 800)),
        streams=streams,
    )


def _draw_storm(random: Random) -> NetworkRates:
    """What many short leaderships need to leave unlike logs behind."""
    return NetworkRates(
        loss=random.choice((0.05, 0.2, 0.35)),
        duplicate=random.choice((0.0, 0.3)),
        delay_ms_max=random.choice((1, 5, 15)),
        straggle=random.choice((0.0, 0.1, 0.3)),
        straggle_ms_max=random.choice((60, 300)),
    )


def _draw_disk(profile: str, random: Random) -> DiskRates:
    return DiskRates(
        latency_ms_max=random.choice((1, 8, 20) if profile == "churn" else (0, 2, 10)),
        stall=random.choice((0.0, 0.05)),
        stall_ms_max=300,
    )


def _draw_faults(random: Random) -> dict[str, float]:
    def some(*weights: float) -> float:
        return random.choice(weights)

    return {
        "designate": some(1, 3, 6),
        "contest": some(0, 1, 3),
        "hand_over": some(0, 1, 3),
        "fitness": some(0, 1, 4),
        "probe": some(0, 1),
        "crash": some(0, 1, 3),
        "start": 1,
        "stop": some(0, 0.5),
        "crash_all": some(0, 0, 0.3),
        "stall": some(0, 0.5),
        "disk": some(0, 0.5),
        "death_rumour": some(0, 1),
        "cut": some(0, 1, 3),
        "partition": some(0, 1, 2),
        "heal": some(1, 2, 4),
        "stream": some(0, 1),
        "strand": some(0, 1),
    }


def _draw_churn(random: Random) -> dict[str, float]:
    """Many short leaderships: nobody is fit, so nobody is loyal, and anyone may campaign."""
    return {
        "unfit_all": 2,
        "designate": random.choice((8, 16)),
        "contest": random.choice((0, 1, 4)),
        "death_rumour": random.choice((0, 3)),
        "crash": random.choice((0, 0.5, 2)),
        "start": 1,
        "cut": random.choice((1, 2, 4)),
        "partition": random.choice((0, 1)),
        "strand": random.choice((1, 3)),
        "heal": random.choice((1, 2)),
    }
