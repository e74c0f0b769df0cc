"""One schedule from beginning to end: faults, then quiet, then judgement.

In the fault phase only safety is asked for. Then a majority is healed and gets a sane epoch
manager, while the others may stay cut off: now the cluster must elect a leader, certify a new
payload and bring everyone in the core up to date, within a bounded virtual time (promise 4).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from conductor.core.values import Epoch, Index, Position, ServerId
from conductor.errors import InvariantViolation, StoreDamaged, ensure
from conductor.simulation.checkers.acknowledged import AcknowledgedStays
from conductor.simulation.checkers.answers import Answers
from conductor.simulation.checkers.certificates import Certificates
from conductor.simulation.checkers.certified import CertifiedStays
from conductor.simulation.checkers.checker import Checker
from conductor.simulation.checkers.durability import Durability
from conductor.simulation.checkers.hand_overs import HandOvers
from conductor.simulation.checkers.history import History
from conductor.simulation.checkers.leaders import OneLeader
from conductor.simulation.cluster import Cluster, Shape, genesis_of
from conductor.simulation.coverage import Coverage
from conductor.simulation.faults import Faults
from conductor.simulation.managers import SaneManager
from conductor.simulation.plan import Plan, draw_plan
from conductor.simulation.trace import Trace, shorten
from conductor.simulation.workload import Workload

SETTLE_MS = 600


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a schedule came to."""

    seed: int
    profile: str
    violation: str | None
    """Which promise was broken and how; None when all held."""
    digest: str
    """Of its trace: equal seeds have equal ones."""
    steps: int
    counts: Counter[str]
    """How often the rare events happened."""

    @property
    def replay(self) -> str:
        """The command that runs it again."""
        return f"./scripts/simulate --seed {self.seed} --profile {self.profile}"

    @property
    def failure(self) -> str:
        """What went wrong, and how to see it again."""
        return f"{self.violation}\nreplay with: {self.replay}"


class Judges:
    """All checkers of one cluster, and what they have counted."""

    def __init__(self, shape: Shape) -> None:
        genesis = genesis_of(shape)
        start = Position(Index(0), Epoch(0), genesis.cluster_id)
        self.history = History()
        self.certificates = Certificates(self.history, start, genesis.membership)
        self.leaders = OneLeader()
        self.answers = Answers(self.history, self.certificates)
        self.hand_overs = HandOvers()
        self.coverage = Coverage()
        self.all: tuple[Checker, ...] = (
            self.history,
            self.certificates,
            self.leaders,
            Durability(),
            CertifiedStays(),
            AcknowledgedStays(),
            self.answers,
            self.hand_overs,
            self.coverage,
        )

    def counts(self) -> Counter[str]:
        """Everything counted."""
        counts = Counter(self.coverage.counts)
        counts["contested_epoch"] = len(self.leaders.contested)
        counts["late_certificate"] = self.certificates.late
        counts["hand_over"] = self.answers.hand_overs_done
        counts["forced_hand_over"] = self.hand_overs.forced
        counts["superseded"] = self.answers.superseded_acknowledgements
        counts["commit"] = self.answers.certified_commits
        return counts


class Schedule:
    """A cluster with its workload, its faults and its judges."""

    def __init__(self, seed: int, profile: str, trace: Trace) -> None:
        self._random = Random(f"{profile}/{seed}")
        self._plan: Plan = draw_plan(profile, self._random)
        shape = self._plan.shape
        self.judges = Judges(shape)
        self.cluster = Cluster(shape, self._random, checkers=self.judges.all, trace=trace)
        self._workload = Workload(self.cluster, self._plan.workload)

    def run(self) -> None:
        """Run it all. InvariantViolation or StoreDamaged when a promise is broken."""
        cluster, plan = self.cluster, self._plan
        cluster.start_all()
        faults = Faults(
            cluster,
            plan.faults,
            every_ms=plan.fault_every_ms,
            burst=self._workload.burst,
            next_request=self._workload.next_request,
        )
        cluster.scheduler.run_until(plan.fault_phase_ms)
        core = self._choose_core()
        faults.repair(core)
        self._require_progress(core)
        self._workload.stop()
        cluster.scheduler.run_until(cluster.now_ms + SETTLE_MS)
        for server_id, node in cluster.nodes.items():
            cluster.trace.note(cluster.now_ms, server_id, f"ends at {shorten(node.disk.last)}")
        cluster.checkers.finished(list(cluster.nodes.values()))

    def _choose_core(self) -> list[ServerId]:
        """Who is healed: at least a quorum."""
        ids = list(self.cluster.nodes)
        quorum = self.cluster.genesis.membership.quorum
        return self._random.sample(ids, self._random.randint(quorum, len(ids)))

    def _require_progress(self, core: Sequence[ServerId]) -> None:
        cluster, settings = self.cluster, self._plan.shape.settings
        cluster.trace.note(cluster.now_ms, ServerId("-"), f"healed: {' '.join(core)}")
        SaneManager(cluster, core, every_ms=settings.heartbeat_ms)
        nodes = [cluster.nodes[server_id] for server_id in core]
        gossiped = self._workload.continuity.gossiped
        patience_ms = 3000 + 10 * (settings.leader_timeout_ms + settings.campaign_timeout_ms)

        def certifies() -> bool:
            return self._workload.continuity.gossiped > gossiped and any(
                node.leads for node in nodes
            )

        is_alive = cluster.scheduler.run_until_true(certifies, cluster.now_ms + patience_ms)
        ensure(is_alive, f"liveness: a healed majority certifies nothing in {patience_ms} ms")
        goal = max(node.machine.node.log.certified.index for node in nodes)

        def caught_up() -> bool:
            return all(node.machine.node.log.certified.index >= goal for node in nodes)

        is_level = cluster.scheduler.run_until_true(caught_up, cluster.now_ms + patience_ms)
        ensure(is_level, f"liveness: a connected member is behind {goal} for {patience_ms} ms")


def run_schedule(seed: int, profile: str = "swarm", *, trace: Trace | None = None) -> Outcome:
    """Run the schedule of that seed. Whatever it comes to, this returns."""
    trace = trace or Trace()
    schedule = Schedule(seed, profile, trace)
    violation = None
    try:
        schedule.run()
    except (InvariantViolation, StoreDamaged) as broken:
        violation = str(broken)
    return Outcome(seed, profile, violation, trace.digest, trace.steps, schedule.judges.counts())
