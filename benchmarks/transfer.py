"""How long the chain stands still when the leadership is handed over, under load.

Three conductors with default settings. A client commits a payload every so often to whoever leads,
as a sequencer would: when the leader says that it leads no more, the client asks all of them every
two milliseconds until one leads, and offers the same payload there. Meanwhile the leader is asked
again and again, at random moments between two payloads, to pass the leadership to another voter.

Measured is the longest time between two successive certified payloads around each transfer;
without any transfer it is the interval of the payloads. In the end the disks are held against what
the client was told: no certified payload is lost; none that a leader refused is in that one's
epoch; a transfer that succeeded made that server lead in that epoch, and a refused one nobody.
Ends with 1 when any of this is not so.

    python -m benchmarks.transfer [--transfers N] [--size BYTES] [--interval-ms MS] [-o json]
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.cluster import Cluster
from benchmarks.figures import Summary, table
from benchmarks.setting import Machine, option_parser, print_json, progress, setting, size_name
from benchmarks.transfer_load import REFUSED, SUCCESS, UNKNOWN, Load, Sent
from benchmarks.transfer_truth import Disks, Transfer, read_disks, untruths
from conductor.cli.client import Conductors, transfer_leader
from conductor.devnet.processes import NodePlan, node_command, node_environment
from conductor.errors import ConductorError, Refused

GOAL_MS = 300.0
"""For the gap around 99 of 100 transfers."""

TRANSFER_TIMEOUT_MS = 15_000
"""More than a conductor takes to answer in any way."""

PAYLOADS_BETWEEN = 2
"""So many are certified between two transfers."""


class KeepingCluster(Cluster):
    """Conductors that prune nothing, so that in the end every payload can be judged."""

    def start(self, plan: NodePlan) -> None:
        """Begin a life of that node, on the disk of the one before."""
        with plan.log.open("ab") as log:
            self._processes[plan.server_id] = subprocess.Popen(
                node_command(plan, self.plans, keep_all=True),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=node_environment(os.environ),
                start_new_session=True,
            )


@dataclass(frozen=True, slots=True)
class Measured:
    """All that happened, and what the disks say of it."""

    transfers: Sequence[Transfer]
    certified: Sequence[Sent]
    disks: Disks

    def gaps_ms(self) -> tuple[list[float], list[float]]:
        """The longest gap around each transfer, and every gap that touches none."""
        times_s = [sent.certified_s for sent in self.certified]
        around_ms: dict[Transfer, float] = {}
        elsewhere_ms = []
        for earlier_s, later_s in itertools.pairwise(times_s):
            gap_ms = (later_s - earlier_s) * 1000
            touched = [
                transfer
                for transfer in self.transfers
                if earlier_s <= transfer.ended_s and transfer.began_s <= later_s
            ]
            for transfer in touched:
                around_ms[transfer] = max(gap_ms, around_ms.get(transfer, 0))
            if not touched:
                elsewhere_ms.append(gap_ms)
        return list(around_ms.values()), elsewhere_ms

    def untrue(self) -> tuple[str, ...]:
        """Everything that should not be, as sentences."""
        verdict = self.disks.verdict
        found = (*verdict.lost, *verdict.forked, *verdict.problems)
        return (*found, *untruths(self.transfers, self.certified, self.disks))


def ask(conductors: Conductors, source: NodePlan, target: NodePlan) -> Transfer:
    """Ask the leader to pass the leadership on, and wait for what it says."""
    answered = partial(Transfer, source.server_id, target.server_id, time.perf_counter())
    try:
        answer = conductors.ask(transfer_leader(target.server_id, force=False), source.grpc)
    except ConductorError as error:
        outcome = REFUSED if isinstance(error, Refused) else UNKNOWN
        return answered(time.perf_counter(), outcome, error=f"{error.code}: {error}")
    return answered(time.perf_counter(), SUCCESS, answer.leader_id, answer.epoch)


def run(directory: Path, count: int, payload_bytes: int, interval_s: float) -> Measured:
    """All transfers, one after the other, under load."""
    chance = random.Random(1)
    transfers: list[Transfer] = []
    with KeepingCluster(directory) as cluster:
        load = Load(
            cluster.plans, cluster.settle(), payload_bytes=payload_bytes, interval_s=interval_s
        )
        with load, Conductors(TRANSFER_TIMEOUT_MS) as conductors:
            for number in range(count):
                load.wait_for(len(load.certified) + PAYLOADS_BETWEEN)
                # At any moment between two payloads.
                time.sleep(chance.uniform(0, interval_s))
                source = load.leader
                target = chance.choice([plan for plan in cluster.plans if plan is not source])
                transfers.append(ask(conductors, source, target))
                progress(f"{number + 1} of {count}: {_described(transfers[-1])}")
            load.wait_for(len(load.certified) + PAYLOADS_BETWEEN)
        cluster.settle()
    return Measured(transfers, load.certified, read_disks(cluster.plans, load.certified))


def _described(transfer: Transfer) -> str:
    what = transfer.error or f"{transfer.leader_id} leads in epoch {transfer.epoch}"
    return f"{transfer.source} to {transfer.target}: {what}, {transfer.took_ms:.0f} ms"


def main() -> None:
    """Measure, and print the report."""
    parser = option_parser(__doc__)
    parser.add_argument("--transfers", type=int, default=200, help="[default: %(default)s]")
    parser.add_argument(
        "--size", type=int, default=200_000, help="bytes of a payload [default: %(default)s]"
    )
    parser.add_argument(
        "--interval-ms", type=int, default=100, help="between payloads [default: %(default)s]"
    )
    arguments = parser.parse_args()
    machine = Machine(arguments.dir)
    with setting(arguments.dir) as directory:
        measured = run(directory, arguments.transfers, arguments.size, arguments.interval_ms / 1000)
    untrue = measured.untrue()
    if arguments.output == "json":
        print_json(_document(machine, arguments, measured, untrue))
    else:
        print(_report(machine, arguments, measured, untrue))
    sys.exit(1 if untrue else 0)


def _summaries(measured: Measured) -> dict[str, Summary]:
    around_ms, elsewhere_ms = measured.gaps_ms()
    samples_ms = {
        "gap around a transfer": around_ms,
        "gap elsewhere": elsewhere_ms,
        "transfer, call to answer": [transfer.took_ms for transfer in measured.transfers],
    }
    return {name: Summary.of(samples) for name, samples in samples_ms.items() if samples}


def _answers(measured: Measured) -> Mapping[str, Counter[str]]:
    """How often each outcome was answered, with the code of the error."""
    given = [given for sent in measured.certified for given in sent.answers]
    return {
        "commits": Counter(f"{each.outcome} {each.code}".strip() for each in given),
        "transfers": Counter(
            f"{each.outcome} {each.error.partition(':')[0]}".strip() for each in measured.transfers
        ),
    }


def _document(
    machine: Machine, arguments: argparse.Namespace, measured: Measured, untrue: Sequence[str]
) -> dict[str, object]:
    summaries = _summaries(measured)
    return {
        "machine": machine.facts(),
        "payload_bytes": arguments.size,
        "interval_ms": arguments.interval_ms,
        "times": {name: dataclasses.asdict(summary) for name, summary in summaries.items()},
        "goal": f"p99 of the gap around a transfer <= {GOAL_MS:g} ms",
        "goal_is_met": summaries["gap around a transfer"].p99_ms <= GOAL_MS,
        "certified_count": len(measured.certified),
        "answers": _answers(measured),
        "untrue": untrue,
    }


def _report(
    machine: Machine, arguments: argparse.Namespace, measured: Measured, untrue: Sequence[str]
) -> str:
    summaries = _summaries(measured)
    head = ("time", "count", "p50 ms", "p90 ms", "p99 ms", "max ms")
    rows = [
        (name, str(each.count), *(f"{time_ms:.0f}" for time_ms in _times_ms(each)))
        for name, each in summaries.items()
    ]
    met = "met" if summaries["gap around a transfer"].p99_ms <= GOAL_MS else "missed"
    lines = [
        machine.sentence(),
        f"Payloads of {size_name(arguments.size)}, one every {arguments.interval_ms} ms.",
        "",
        table(head, rows),
        "",
        f"Goal: p99 of the gap around a transfer at most {GOAL_MS:g} ms: {met}.",
        f"{measured.disks.verdict.summary}.",
        *(f"Answers to {what}: {_counted(counts)}." for what, counts in _answers(measured).items()),
        *(untrue or ("Every answer was true.",)),
    ]
    return "\n".join(lines)


def _times_ms(summary: Summary) -> Iterable[float]:
    return (summary.p50_ms, summary.p90_ms, summary.p99_ms, summary.max_ms)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.most_common())


if __name__ == "__main__":
    main()
