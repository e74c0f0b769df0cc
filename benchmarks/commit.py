"""How long a commit takes on three conductors, as a ratio to the floor of the same run.

Four ways for the same bytes become durable on two of three, one after the other within a second, in
every round:

- floor         `benchmarks.floor`: plain TCP and fdatasync, nothing else
- service port  `service.Conductor.commit` in the leader's process: what replication costs
- raw SSZ       `POST /commit-unsafe-payload` by a client in a process of its own
- JSON-RPC      `conductor_commitUnsafePayload` by the same client: what op-node does

All processes share one machine and one disk. Only the ratio within a round says something about the
code; it is told as the median over the rounds, with the lowest and the highest.

    python -m benchmarks.commit [--rounds N] [--samples N] [--pause-ms N] [--dir DIR] [-o json]
"""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.cluster import Chain, Client, Cluster, commit_request
from benchmarks.figures import Summary, quantile, table
from benchmarks.floor import Floor
from benchmarks.measured_node import COMMITS_PATH, framed
from benchmarks.setting import (
    SIZES_BYTES,
    Machine,
    add_pause_option,
    option_parser,
    print_json,
    progress,
    setting,
    size_name,
)
from conductor.devnet.payloads import Block

FLOOR, SERVICE, SSZ, JSON = WAYS = ("floor", "service port", "raw SSZ", "JSON-RPC")

GOAL_RATIO = 4.2
"""At the service port, at every size."""

WARM_UP_SAMPLES = 10
REST_S = 0.3


@dataclass(slots=True)
class Cell:
    """One way and one size, over all rounds."""

    rounds_ms: list[list[float]] = field(default_factory=list)

    def summary(self) -> Summary:
        """Of all rounds together."""
        return Summary.of([sample for samples_ms in self.rounds_ms for sample in samples_ms])

    def ratios(self, floor: Cell) -> list[float]:
        """The ratio of the medians, in each round."""
        pairs = zip(self.rounds_ms, floor.rounds_ms, strict=True)
        return [quantile(own, 0.5) / quantile(base, 0.5) for own, base in pairs]


Cells = dict[tuple[str, int], Cell]
Job = Callable[[], list[float]]


def timed(
    commit: Callable[[bytes], None], requests: Sequence[bytes], pause_s: float
) -> list[float]:
    """Commit one after the other, each after a pause; the milliseconds of each."""
    samples_ms = []
    for request in requests:
        time.sleep(pause_s)
        started = time.perf_counter()
        commit(request)
        samples_ms.append((time.perf_counter() - started) * 1000)
    return samples_ms


class Rounds:
    """Measures, with the floor and the cluster up at the same time."""

    def __init__(self, floor: Floor, client: Client, samples: int, pause_s: float) -> None:
        self._floor = floor
        self._client = client
        self._samples = samples
        self._pause_s = pause_s
        self._chain = Chain()

    def warm_up(self, size_bytes: int) -> None:
        """Let buffers, windows and files grow to what that size needs."""
        self._floor.measure(size_bytes, WARM_UP_SAMPLES, 0)
        for block in self._blocks(size_bytes, WARM_UP_SAMPLES):
            self._client.commit_ssz(block.ssz)
        for block in self._blocks(size_bytes, WARM_UP_SAMPLES):
            self._client.commit_json(commit_request(block.envelope_json))

    def measure(self, size_bytes: int, first: int) -> dict[str, list[float]]:
        """All ways in turn, beginning with that of number `first`; the samples of each."""
        # Everything is built before anything is timed, so that the ways follow each other at once.
        # The blocks are a chain: they have to be built in the order in which they are committed.
        order = [*WAYS[first:], *WAYS[:first]]
        jobs = {way: self._job(way, size_bytes) for way in order}
        gc.collect()
        samples_ms = {}
        for way, job in jobs.items():
            # What the way before has left to be written is not to be written by this one's syncs.
            os.sync()
            time.sleep(REST_S)
            samples_ms[way] = job()
        return samples_ms

    def _job(self, way: str, size_bytes: int) -> Job:
        if way == FLOOR:
            ssz_bytes = len(Chain().build(size_bytes).ssz)
            return partial(self._floor.measure, ssz_bytes, self._samples, self._pause_s)
        blocks = self._blocks(size_bytes, self._samples)
        if way == SERVICE:
            body = framed([block.ssz for block in blocks])
            return partial(self._measured_inside, body)
        if way == SSZ:
            payloads = [block.ssz for block in blocks]
            return partial(timed, self._client.commit_ssz, payloads, self._pause_s)
        requests = [commit_request(block.envelope_json) for block in blocks]
        return partial(timed, self._client.commit_json, requests, self._pause_s)

    def _measured_inside(self, body: bytes) -> list[float]:
        path = f"{COMMITS_PATH}?pause_s={self._pause_s}"
        answer = self._client.post(path, body, "application/octet-stream")
        samples_ms: list[float] = json.loads(answer)
        return samples_ms

    def _blocks(self, size_bytes: int, count: int) -> list[Block]:
        return [self._chain.build(size_bytes) for _ in range(count)]


def run(directory: Path, rounds: int, samples: int, pause_s: float) -> Cells:
    """Measure everything."""
    cells: Cells = {(way, size): Cell() for way in WAYS for size in SIZES_BYTES}
    with Floor(directory) as floor, Cluster(directory, measured=True) as cluster:
        leader = cluster.settle()
        client = Client(leader)
        measuring = Rounds(floor, client, samples, pause_s)
        for size_bytes in SIZES_BYTES:
            measuring.warm_up(size_bytes)
        for number in range(rounds):
            progress(f"round {number + 1} of {rounds}")
            for size_bytes in SIZES_BYTES:
                measured = measuring.measure(size_bytes, number % len(WAYS))
                for way, samples_ms in measured.items():
                    cells[way, size_bytes].rounds_ms.append(samples_ms)
        client.close()
    return cells


def print_tables(cells: Cells, machine: Machine) -> None:
    """The report for people, in Markdown."""
    rounds_ms = cells[FLOOR, SIZES_BYTES[0]].rounds_ms
    sizes = [size_name(size_bytes) for size_bytes in SIZES_BYTES]
    print(machine.sentence())
    print(f"{len(rounds_ms)} rounds of {len(rounds_ms[0])} commits in each cell.\n")
    times = [(way, *(_times(cells[way, size]) for size in SIZES_BYTES)) for way in WAYS]
    spread = ("floor, p50 of the rounds", *(_spread(cells[FLOOR, size]) for size in SIZES_BYTES))
    print(table(("p50 / p99 in ms", *sizes), [*times, spread]) + "\n")
    ratios = (
        (way, *(_ratios(cells[way, size], cells[FLOOR, size]) for size in SIZES_BYTES))
        for way in WAYS[1:]
    )
    print(table(("p50 / p50 of the floor", *sizes), ratios) + "\n")
    missed = [
        size_name(size)
        for size in SIZES_BYTES
        if quantile(cells[SERVICE, size].ratios(cells[FLOOR, size]), 0.5) > GOAL_RATIO
    ]
    verdict = f"missed at {', '.join(missed)}" if missed else "met at every size"
    print(f"Goal at the service port: at most {GOAL_RATIO} times the floor: {verdict}.")


def _times(cell: Cell) -> str:
    summary = cell.summary()
    return f"{summary.p50_ms:.2f} / {summary.p99_ms:.2f}"


def _spread(cell: Cell) -> str:
    """Wide where the machine was not quiet, or its disk was throttled."""
    medians_ms = [quantile(samples_ms, 0.5) for samples_ms in cell.rounds_ms]
    return f"{min(medians_ms):.2f}-{max(medians_ms):.2f}"


def _ratios(cell: Cell, floor: Cell) -> str:
    ratios = cell.ratios(floor)
    return f"{quantile(ratios, 0.5):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def report(cells: Cells, machine: Machine) -> dict[str, Any]:
    """The report for programs."""
    return {
        "machine": machine.facts(),
        "goal_ratio_at_service_port": GOAL_RATIO,
        "cells": [
            {
                "way": way,
                "size_bytes": size_bytes,
                **dataclasses.asdict(cell.summary()),
                "ratios_to_floor": cell.ratios(cells[FLOOR, size_bytes]),
                "rounds_p50_ms": [quantile(samples_ms, 0.5) for samples_ms in cell.rounds_ms],
            }
            for (way, size_bytes), cell in cells.items()
        ],
    }


def main() -> None:
    """Measure, and print the report."""
    parser = option_parser(__doc__)
    add_pause_option(parser)
    parser.add_argument("--rounds", type=int, default=10, help="[default: %(default)s]")
    parser.add_argument(
        "--samples", type=int, default=20, help="of a cell in a round [default: %(default)s]"
    )
    arguments = parser.parse_args()
    machine = Machine(arguments.dir)
    with setting(arguments.dir) as directory:
        cells = run(directory, arguments.rounds, arguments.samples, arguments.pause_ms / 1000)
    if arguments.output == "json":
        print_json(report(cells, machine))
    else:
        print_tables(cells, machine)


if __name__ == "__main__":
    main()
