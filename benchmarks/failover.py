"""How long the chain stands still when its leader fails: from then to the next certified payload.

Three conductors with default settings. The client keeps committing as a sequencer would, then the
leader's process gets SIGKILL, or SIGSTOP: dead, or alive without a word. From that moment on the
client offers the next payload to each of the other two, every few milliseconds, until one of them
has it certified. Before the next round the victim is back and caught up, and all nodes are serving
and see each other serving.

    python -m benchmarks.failover [--kills N] [--stops N] [--dir DIR] [-o json]
"""

from __future__ import annotations

import dataclasses
import http.client
import random
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cluster import Chain, Client, Cluster
from benchmarks.figures import Summary, table
from benchmarks.setting import Machine, option_parser, print_json, progress, setting
from conductor.devnet.processes import NodePlan
from conductor.errors import RequestError, Unavailable

TRANSACTIONS_BYTES = 10_000
BLOCK_TIME_S = 0.2
BLOCKS_BEFORE = 3
RETRY_S = 0.005
"""The error of a sample is at most this and one request."""

FAILOVER_TIMEOUT_S = 30.0
REQUEST_TIMEOUT_S = 2.0
"""More than a conductor takes to answer a commit in any way."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to the leader, and what is asked of the others."""

    name: str
    signal: signal.Signals
    goal_ms: float
    goal_is_for_median: bool
    """Else it is for every round."""

    def attained_ms(self, summary: Summary) -> float:
        """The figure that the goal is for."""
        return summary.p50_ms if self.goal_is_for_median else summary.max_ms

    def goal(self) -> str:
        """The goal in words."""
        return f"{'p50' if self.goal_is_for_median else 'each'} <= {self.goal_ms:g} ms"


KILL = Fault("kill -9", signal.SIGKILL, 500, goal_is_for_median=True)
STOP = Fault("SIGSTOP", signal.SIGSTOP, 5000, goal_is_for_median=False)


class Race:
    """Offers one payload to several conductors at once, until one of them has it certified."""

    def __init__(self, plans: Sequence[NodePlan], ssz: bytes) -> None:
        self._ssz = ssz
        self._plans = plans
        self._is_over = threading.Event()
        self._certified_s: list[float] = []

    def run(self, started_s: float) -> float:
        """Milliseconds from `started_s`, of `time.perf_counter`; Unavailable when nobody wins."""
        deadline_s = started_s + FAILOVER_TIMEOUT_S
        threads = [
            threading.Thread(target=self._offer, args=(plan, deadline_s)) for plan in self._plans
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if not self._certified_s:
            raise Unavailable(f"nothing was certified within {FAILOVER_TIMEOUT_S:g} s of the fault")
        return (min(self._certified_s) - started_s) * 1000

    def _offer(self, plan: NodePlan, deadline_s: float) -> None:
        client = Client(plan, REQUEST_TIMEOUT_S)
        while not self._is_over.is_set() and time.perf_counter() < deadline_s:
            try:
                client.commit_ssz(self._ssz)
            except (RequestError, OSError, http.client.HTTPException):
                self._is_over.wait(RETRY_S)
            else:
                self._certified_s.append(time.perf_counter())
                self._is_over.set()
        client.close()


def fail_over(cluster: Cluster, chain: Chain, fault: Fault, chance: random.Random) -> float:
    """One round; milliseconds without a certified payload."""
    leader = cluster.settle()
    client = Client(leader)
    for _ in range(BLOCKS_BEFORE):
        client.commit_ssz(chain.build(TRANSACTIONS_BYTES).ssz)
        time.sleep(BLOCK_TIME_S)
    client.close()
    survivors = [plan for plan in cluster.plans if plan is not leader]
    race = Race(survivors, chain.build(TRANSACTIONS_BYTES).ssz)
    # At any moment between two heartbeats or two blocks.
    time.sleep(chance.uniform(0, BLOCK_TIME_S))
    started_s = time.perf_counter()
    cluster.signal(leader, fault.signal)
    taken_ms = race.run(started_s)
    if fault.signal is signal.SIGKILL:
        cluster.start(leader)
    else:
        cluster.signal(leader, signal.SIGCONT)
    return taken_ms


def run(directory: Path, counts: dict[Fault, int]) -> dict[Fault, list[float]]:
    """All rounds of all faults, in milliseconds."""
    chance = random.Random(1)
    chain = Chain()
    samples_ms: dict[Fault, list[float]] = {}
    with Cluster(directory) as cluster:
        for fault, count in counts.items():
            samples_ms[fault] = []
            for number in range(count):
                samples_ms[fault].append(fail_over(cluster, chain, fault, chance))
                progress(f"{fault.name} {number + 1} of {count}: {samples_ms[fault][-1]:.0f} ms")
    return samples_ms


def main() -> None:
    """Measure, and print the report."""
    parser = option_parser(__doc__)
    parser.add_argument("--kills", type=int, default=30, help="rounds [default: %(default)s]")
    parser.add_argument("--stops", type=int, default=10, help="rounds [default: %(default)s]")
    arguments = parser.parse_args()
    machine = Machine(arguments.dir)
    counts = {KILL: arguments.kills, STOP: arguments.stops}
    with setting(arguments.dir) as directory:
        measured = run(directory, {fault: count for fault, count in counts.items() if count})
    summaries = {fault: Summary.of(samples_ms) for fault, samples_ms in measured.items()}
    if arguments.output == "json":
        faults = [
            {
                "fault": fault.name,
                **dataclasses.asdict(summary),
                "goal": fault.goal(),
                "goal_is_met": fault.attained_ms(summary) <= fault.goal_ms,
                "samples_ms": measured[fault],
            }
            for fault, summary in summaries.items()
        ]
        print_json({"machine": machine.facts(), "faults": faults})
        return
    print(machine.sentence() + "\n")
    head = ("fault of the leader", "rounds", "p50 ms", "p90 ms", "max ms", "goal", "met")
    print(table(head, [_row(fault, summary) for fault, summary in summaries.items()]))


def _row(fault: Fault, summary: Summary) -> tuple[str, ...]:
    times_ms = (summary.p50_ms, summary.p90_ms, summary.max_ms)
    is_met = fault.attained_ms(summary) <= fault.goal_ms
    return (
        fault.name,
        str(summary.count),
        *(f"{time_ms:.0f}" for time_ms in times_ms),
        fault.goal(),
        "yes" if is_met else "no",
    )


if __name__ == "__main__":
    main()
