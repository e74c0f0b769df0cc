"""How much time and memory `op-conductor-init` takes, beside the same work by the Go libraries.

Every way is a process of its own, timed from its start to its end, and its anonymous memory is
looked at every two milliseconds: what it shares with the file in the page cache is not its own.

- start             `--version`: how much of the others is the start of the interpreter
- generate          `op-conductor-init generate` for seven nodes; Go: `raft.BootstrapCluster` on
                    stores of raft-boltdb, for seven nodes
- info              what it shows of one node unless asked for more: all but the entries in between
- info, all entries every entry decoded and written as JSON, payloads included; Go: every entry read
                    through raft-boltdb, members and heights decoded
- verify            structure and meaning of both databases; Go: as before, and `bbolt check`

The log of the last three is made by raft-boltdb: 10,000 entries of 500 KB, which is 5 GB of bytes
that are really there. It is read once before anything is timed, so it should fit into memory; where
it does not, shrink it with --entries or --value-bytes, or measure the disk and say so. All ways
take turns in every round; told are the medians over the rounds, with the lowest and the highest.

Needs Go on the PATH: the first run builds `tests/interop/raftkit`, which takes a minute.

    python -m benchmarks.raft_state [--rounds N] [--entries N] [--value-bytes N] [--dir DIR]
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.figures import quantile, table
from benchmarks.setting import Machine, option_parser, print_json, progress, setting
from tests.interop.go import build

NODES = 7
"""Of the cluster that is generated."""

OURS, GO = "op-conductor-init", "Go libraries"
START, GENERATE, INFO, ALL_ENTRIES, VERIFY = WORKS = (
    "start",
    "generate",
    "info",
    "info, all entries",
    "verify",
)

GOAL_S = 2.0
GOAL_MIB = 200.0
"""Of `info` on the log of 5 GB that is in the page cache: seconds, and anonymous memory."""

SAMPLING_S = 0.002
MIB = 2**20

PROGRAM = (sys.executable, "-c", "from raft_state.cli.main import main; main()")
Command = Sequence[str | Path]


@dataclass(frozen=True, slots=True)
class Run:
    """One process from its start to its end."""

    seconds: float
    anonymous_bytes: int
    """At its highest moment that was seen; 0 where the system does not tell."""


Runs = dict[tuple[str, str], list[Run]]
"""By work and by who did it, in the order of the rounds."""


class Ways:
    """The commands, for a log and a place where clusters are made."""

    def __init__(self, raftkit: Path, node: Path, clusters: Path) -> None:
        self._raftkit = raftkit
        self._node = node
        self._clusters = clusters

    def command(self, work: str, who: str) -> Command:
        """What to start; it leaves nothing that would be in the way of the next time."""
        if work == START:
            return (self._raftkit, "scenarios") if who == GO else (*PROGRAM, "--version")
        if work == GENERATE:
            shutil.rmtree(self._clusters, ignore_errors=True)
            if who == GO:
                return (self._raftkit, "bootstrap", "--nodes", str(NODES), self._clusters)
            return (*PROGRAM, *self._generate())
        if who == GO:
            return (self._raftkit, "verify" if work == VERIFY else "info", self._node)
        if work == VERIFY:
            return (*PROGRAM, "verify", "--state-dir", self._node)
        more = ("--limit", "0", "-o", "json") if work == ALL_ENTRIES else ()
        return (*PROGRAM, "info", "--state-dir", self._node, *more)

    def _generate(self) -> Command:
        ids = [f"sequencer-{number}" for number in range(1, NODES + 1)]
        return (
            "generate",
            *("--nodes", ",".join(f"{server_id}:50050" for server_id in ids)),
            *("--server-ids", ",".join(ids)),
            *("--initial-leader", ids[0]),
            *("--output-dir", self._clusters),
        )


def find_raftkit() -> Path:
    """The program around the Go libraries, built if needed; ends this one where it cannot be."""
    try:
        return build("newest").program
    except (pytest.skip.Exception, pytest.fail.Exception) as error:
        sys.exit(f"error: {error}")


def measure(command: Command) -> Run:
    """Run a command to its end."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    with process:
        highest = [0]
        ended = threading.Event()
        watch = threading.Thread(target=_watch, args=(process.pid, ended, highest))
        watch.start()
        code = process.wait()
        seconds = time.perf_counter() - started
        ended.set()
        watch.join()
    _require_success(command, code)
    return Run(seconds, highest[0])


def _watch(process_id: int, ended: threading.Event, highest: list[int]) -> None:
    status = Path(f"/proc/{process_id}/status")
    while not ended.wait(SAMPLING_S):
        try:
            text = status.read_text("ascii", "replace")
        except OSError:
            return
        for line in text.splitlines():
            if line.startswith("RssAnon:"):
                highest[0] = max(highest[0], int(line.split()[1]) * 1024)


def check_agreement(ways: Ways, entries: int) -> None:
    """Both read the same in the log; what differs would not be the same work. Warms it up, too."""
    go = _answer(ways.command(ALL_ENTRIES, GO))
    (node,) = _answer(ways.command(ALL_ENTRIES, OURS))["nodes"]
    rows = node["log"]["entries"]["rows"]
    heights = [row["payload"]["height"] for row in rows if row["payload"] is not None]
    ours = (node["log"]["count"], node["log"]["last_index"], len(rows), max(heights))
    theirs = (go["entries"], go["last_index"], entries, go["highest_block"])
    if ours != theirs:
        sys.exit(f"error: {OURS} reads {ours}, the {GO} read {theirs}")


def _answer(command: Command) -> Any:
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    _require_success(command, done.returncode)
    return json.loads(done.stdout)


def _require_success(command: Command, exit_code: int) -> None:
    if exit_code != 0:
        sys.exit(f"error: {' '.join(map(str, command))} ended with {exit_code}")


def run(directory: Path, rounds: int, entries: int, value_bytes: int) -> Runs:
    """Measure everything."""
    raftkit = find_raftkit()
    node = directory / "sequencer-1"
    progress(f"making a log of {entries:,} entries of {value_bytes:,} bytes")
    sizes = ("--entries", str(entries), "--value-bytes", str(value_bytes))
    _answer((raftkit, "make-log", *sizes, node))
    ways = Ways(raftkit, node, directory / "clusters")
    check_agreement(ways, entries)
    runs: Runs = {(work, who): [] for work in WORKS for who in (OURS, GO)}
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds}")
        for work in WORKS:
            for who in (OURS, GO) if number % 2 == 0 else (GO, OURS):
                runs[work, who].append(measure(ways.command(work, who)))
    return runs


def print_tables(runs: Runs, machine: Machine, entries: int, value_bytes: int) -> None:
    """The report for people, in Markdown."""
    print(machine.sentence())
    print(
        f"A log of {entries:,} entries of {value_bytes:,} bytes, read before; "
        f"{len(runs[INFO, OURS])} rounds.\n"
    )
    print(
        table(("seconds", OURS, GO, "ratio"), ((work, *_seconds(runs, work)) for work in WORKS))
        + "\n"
    )
    print(
        table(("anonymous memory, MiB", OURS, GO), ((work, *_memory(runs, work)) for work in WORKS))
        + "\n"
    )
    print(
        f"Goal of info: at most {GOAL_S:g} s and {GOAL_MIB:g} MiB of anonymous memory: "
        f"{'met' if is_goal_met(runs) else 'missed'}."
    )


def is_goal_met(runs: Runs) -> bool:
    """In every round."""
    return all(
        each.seconds <= GOAL_S and each.anonymous_bytes <= GOAL_MIB * MIB
        for each in runs[INFO, OURS]
    )


def _seconds(runs: Runs, work: str) -> tuple[str, str, str]:
    ours, go = ([each.seconds for each in runs[work, who]] for who in (OURS, GO))
    ratios = [own / other for own, other in zip(ours, go, strict=True)]
    return _spread(ours, 3), _spread(go, 3), _spread(ratios, 2)


def _memory(runs: Runs, work: str) -> tuple[str, ...]:
    return tuple(
        _spread([each.anonymous_bytes / MIB for each in runs[work, who]], 0) for who in (OURS, GO)
    )


def _spread(values: Sequence[float], digits: int) -> str:
    low, middle, high = min(values), quantile(values, 0.5), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def report(runs: Runs, machine: Machine, entries: int, value_bytes: int) -> dict[str, Any]:
    """The report for programs."""
    return {
        "machine": machine.facts(),
        "entries": entries,
        "value_bytes": value_bytes,
        "goal": {"seconds": GOAL_S, "anonymous_bytes": int(GOAL_MIB * MIB)},
        "is_goal_met": is_goal_met(runs),
        "works": [
            {
                "work": work,
                "by": who,
                "seconds": [round(each.seconds, 4) for each in of_work],
                "anonymous_bytes": [each.anonymous_bytes for each in of_work],
            }
            for (work, who), of_work in runs.items()
        ],
    }


def main() -> None:
    """Measure, and print the report."""
    parser = option_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="[default: %(default)s]")
    parser.add_argument(
        "--entries", type=int, default=10_000, help="of the log [default: %(default)s]"
    )
    parser.add_argument(
        "--value-bytes", type=int, default=500_000, help="of each payload [default: %(default)s]"
    )
    arguments = parser.parse_args()
    sizes = (arguments.entries, arguments.value_bytes)
    machine = Machine(arguments.dir)
    with setting(arguments.dir) as directory:
        runs = run(directory, arguments.rounds, *sizes)
    if arguments.output == "json":
        print_json(report(runs, machine, *sizes))
    else:
        print_tables(runs, machine, *sizes)


if __name__ == "__main__":
    main()
