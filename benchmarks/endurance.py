"""What three conductors cost: the processor while nothing happens, and memory and disk under load.

First, with nobody asking for anything, the processor time of each process over a minute, as a share
of one core: heartbeats, probes and the touch of the disk are all that there is to do. Then a client
commits payloads of 2 MB for ten minutes to whoever leads, as JSON, a sequencer's way and the one
that takes most memory; one is under way at a time. `--interval-ms 1000` is what the shortest block
time of a chain asks for; the default is five times that, so that the log is pruned many times over,
and 0 commits back to back. Retention is the default: 1024 payloads or 512 MiB of them.

Each second the memory of each process is looked at, and the disk under its data directory. Told are
the highest RSS (VmHWM, so also between two looks), the highest RssAnon and PSS, and how RSS and
RssAnon grew over the second half, as the slope of the line that fits best.

Ends with 1 when a goal is missed or a payload was not taken at once.

    python -m benchmarks.endurance [--minutes N] [--interval-ms MS] [--idle-s S] [-o json]
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from benchmarks.cluster import Cluster
from benchmarks.figures import table
from benchmarks.processes import (
    Memory,
    ProcessorTime,
    disk_mib,
    memory_of,
    processor_time_of,
    slope_per_minute,
)
from benchmarks.setting import Machine, option_parser, print_json, progress, setting
from benchmarks.transfer_load import Load, Sent
from conductor.devnet.processes import NodePlan

GOAL_IDLE_PERCENT = 2.0
GOAL_MEMORY_MIB = 250.0
GOAL_SLOPE_MIB_PER_MINUTE = 2.0
"""What counts as flat: over five minutes, less than what the allocator may keep of one commit."""

TRANSACTIONS_BYTES = 2_000_000
REST_S = 5.0
"""After the cluster has settled, and again after the idle minute: what the start left behind."""
LOOK_S = 1.0
PROGRESS_S = 30.0

Kind = Callable[[Memory], float]
"""One of the four figures of a process's memory."""

RESIDENT: Kind = attrgetter("resident")
ANONYMOUS: Kind = attrgetter("anonymous")
PROPORTIONAL: Kind = attrgetter("proportional")
PEAK: Kind = attrgetter("peak")

IDLE_HEAD = ("node", "role", "% of a core", "user", "system", "RSS MiB", "RssAnon MiB")
LOADED_HEAD = (
    *("node", "role", "RSS max MiB", "RssAnon max", "PSS max"),
    *("RSS slope MiB/min", "RssAnon slope", "disk max MiB", "% of a core"),
)


@dataclass(frozen=True, slots=True)
class Idle:
    """A node with nothing to do."""

    role: str
    spent: ProcessorTime
    period_s: float
    memory: Memory

    def percent(self, seconds: float) -> float:
        """Of one core."""
        return 100 * seconds / self.period_s


@dataclass(frozen=True, slots=True)
class Look:
    """A node under load, at one moment."""

    time_s: float
    memory: Memory
    disk_mib: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """A node under load, all the time."""

    role: str
    looks: Sequence[Look]
    spent: ProcessorTime

    @property
    def period_s(self) -> float:
        """From the first look to the last."""
        return self.looks[-1].time_s - self.looks[0].time_s

    def slope(self, kind: Kind) -> float:
        """Of one kind of memory, in MiB per minute, over the second half."""
        half = self.looks[len(self.looks) // 2 :]
        return slope_per_minute(
            [look.time_s for look in half], [kind(look.memory) for look in half]
        )

    def highest(self, kind: Kind) -> float:
        """Of one kind of memory, in MiB."""
        return max(kind(look.memory) for look in self.looks)

    @property
    def is_flat(self) -> bool:
        """Whether neither RSS nor RssAnon grew."""
        return max(self.slope(RESIDENT), self.slope(ANONYMOUS)) <= GOAL_SLOPE_MIB_PER_MINUTE

    @property
    def disk_highest_mib(self) -> float:
        """The most that its data directory took."""
        return max(look.disk_mib for look in self.looks)


@dataclass(frozen=True, slots=True)
class Measured:
    """All that there is to tell."""

    idle: Mapping[str, Idle]
    loaded: Mapping[str, Loaded]
    certified: Sequence[Sent]

    @property
    def longest_gap_ms(self) -> float:
        """Between two successive certificates."""
        pairs = itertools.pairwise(sent.certified_s for sent in self.certified)
        return max((later_s - earlier_s) * 1000 for earlier_s, later_s in pairs)

    @property
    def offered_again(self) -> int:
        """Payloads that were not certified by the first conductor that was asked."""
        return sum(len(sent.answers) > 1 for sent in self.certified)

    @property
    def missed(self) -> tuple[str, ...]:
        """The goals that are missed, in words."""
        idle = max(node.percent(node.spent.total_s) for node in self.idle.values())
        peak = max(node.highest(PEAK) for node in self.loaded.values())
        problems = {
            f"idle at {idle:.2f} % of a core": idle >= GOAL_IDLE_PERCENT,
            f"{peak:.0f} MiB of memory": peak >= GOAL_MEMORY_MIB,
            "memory is not flat": not all(node.is_flat for node in self.loaded.values()),
            f"{self.offered_again} payloads had to be offered again": self.offered_again > 0,
        }
        return tuple(text for text, is_missed in problems.items() if is_missed)


def measure_idle(cluster: Cluster, period_s: float) -> dict[str, Idle]:
    """Leave them alone, and look what they did."""
    leader = cluster.settle()
    time.sleep(REST_S)
    before = {plan: processor_time_of(cluster.process_id(plan)) for plan in cluster.plans}
    began_s = time.perf_counter()
    time.sleep(period_s)
    idle = {}
    for plan in cluster.plans:
        process_id = cluster.process_id(plan)
        spent = processor_time_of(process_id) - before[plan]
        idle[plan.server_id] = Idle(
            role=_role(plan, leader),
            spent=spent,
            period_s=time.perf_counter() - began_s,
            memory=memory_of(process_id),
        )
    return idle


def measure_loaded(
    cluster: Cluster, period_s: float, interval_s: float
) -> tuple[dict[str, Loaded], list[Sent]]:
    """Commit payloads all the time, and look each second what that takes."""
    leader = cluster.settle()
    time.sleep(REST_S)
    looks: dict[NodePlan, list[Look]] = {plan: [] for plan in cluster.plans}
    before = {plan: processor_time_of(cluster.process_id(plan)) for plan in cluster.plans}
    load = Load(cluster.plans, leader, payload_bytes=TRANSACTIONS_BYTES, interval_s=interval_s)
    began_s = time.perf_counter()
    told_s = 0.0
    with load:
        for number in itertools.count():
            now_s = time.perf_counter() - began_s
            for plan, seen in looks.items():
                memory = memory_of(cluster.process_id(plan))
                seen.append(Look(now_s, memory, disk_mib(plan.data_dir)))
            load.wait_for(0)  # Raises what the load has failed with.
            if now_s >= period_s:
                break
            if now_s >= told_s + PROGRESS_S:
                told_s = now_s
                progress(_state(now_s, len(load.certified), looks))
            time.sleep(max(0.0, began_s + (number + 1) * LOOK_S - time.perf_counter()))
    loaded = {
        plan.server_id: Loaded(
            role=_role(plan, leader),
            looks=seen,
            spent=processor_time_of(cluster.process_id(plan)) - before[plan],
        )
        for plan, seen in looks.items()
    }
    return loaded, load.certified


def _role(plan: NodePlan, leader: NodePlan) -> str:
    return "leader" if plan is leader else "follower"


def _state(now_s: float, count: int, looks: Mapping[NodePlan, Sequence[Look]]) -> str:
    newest = [seen[-1] for seen in looks.values()]
    resident = ", ".join(f"{look.memory.resident:.0f}" for look in newest)
    disks = ", ".join(f"{look.disk_mib:.0f}" for look in newest)
    return f"{now_s:.0f} s: {count} payloads; MiB of memory: {resident}; of disk: {disks}"


def print_tables(measured: Measured, interval_ms: float, machine: Machine) -> None:
    """The report for people, in Markdown."""
    idle_s = next(iter(measured.idle.values())).period_s
    print(machine.sentence())
    print(f"Idle for {idle_s:.0f} s:\n")
    print(table(IDLE_HEAD, [_idle_row(name, node) for name, node in measured.idle.items()]) + "\n")
    nodes = measured.loaded
    period_s = next(iter(nodes.values())).period_s
    print(
        f"{len(measured.certified)} payloads of 2 MB in {period_s:.0f} s, one every "
        f"{interval_ms:g} ms if the cluster keeps up; longest time between two certificates "
        f"{measured.longest_gap_ms:.0f} ms; {measured.offered_again} offered again:\n"
    )
    print(table(LOADED_HEAD, [_loaded_row(name, node) for name, node in nodes.items()]) + "\n")
    print(
        f"Goals: idle below {GOAL_IDLE_PERCENT:g} % of a core, RSS below {GOAL_MEMORY_MIB:g} MiB, "
        f"growing by at most {GOAL_SLOPE_MIB_PER_MINUTE:g} MiB a minute: {_verdict(measured)}."
    )


def _verdict(measured: Measured) -> str:
    return f"missed: {', '.join(measured.missed)}" if measured.missed else "met"


def _idle_row(name: str, node: Idle) -> tuple[str, ...]:
    shares = (node.spent.total_s, node.spent.user_s, node.spent.system_s)
    return (
        name,
        node.role,
        *(f"{node.percent(seconds):.2f}" for seconds in shares),
        f"{node.memory.resident:.0f}",
        f"{node.memory.anonymous:.0f}",
    )


def _loaded_row(name: str, node: Loaded) -> tuple[str, ...]:
    return (
        name,
        node.role,
        *(f"{node.highest(kind):.0f}" for kind in (PEAK, ANONYMOUS, PROPORTIONAL)),
        *(f"{node.slope(kind):+.2f}" for kind in (RESIDENT, ANONYMOUS)),
        f"{node.disk_highest_mib:.0f}",
        f"{100 * node.spent.total_s / node.period_s:.0f}",
    )


def document(measured: Measured, interval_ms: float, machine: Machine) -> dict[str, Any]:
    """The report for programs, every look included."""
    return {
        "machine": machine.facts(),
        "interval_ms": interval_ms,
        "idle": {name: dataclasses.asdict(node) for name, node in measured.idle.items()},
        "loaded": {
            name: {
                **dataclasses.asdict(node),
                "resident_slope_mib_per_minute": node.slope(RESIDENT),
                "anonymous_slope_mib_per_minute": node.slope(ANONYMOUS),
            }
            for name, node in measured.loaded.items()
        },
        "payloads": len(measured.certified),
        "offered_again": measured.offered_again,
        "longest_gap_ms": measured.longest_gap_ms,
        "goals_missed": measured.missed,
    }


def _arguments() -> argparse.Namespace:
    parser = option_parser(__doc__)
    parser.add_argument(
        "--minutes", type=float, default=10, help="under load [default: %(default)s]"
    )
    parser.add_argument(
        "--interval-ms",
        type=float,
        default=200,
        help="between two payloads; 0: back to back [default: %(default)s]",
    )
    parser.add_argument(
        "--idle-s", type=float, default=60, help="without any [default: %(default)s]"
    )
    return parser.parse_args()


def main() -> None:
    """Measure, and print the report."""
    arguments = _arguments()
    machine = Machine(arguments.dir)
    with setting(arguments.dir) as directory, Cluster(directory) as cluster:
        idle = measure_idle(cluster, arguments.idle_s)
        progress(f"idle for {arguments.idle_s:g} s")
        period_s = 60 * arguments.minutes
        loaded, certified = measure_loaded(cluster, period_s, arguments.interval_ms / 1000)
    measured = Measured(idle, loaded, certified)
    if arguments.output == "json":
        print_json(document(measured, arguments.interval_ms, machine))
    else:
        print_tables(measured, arguments.interval_ms, machine)
    sys.exit(1 if measured.missed else 0)


if __name__ == "__main__":
    main()
