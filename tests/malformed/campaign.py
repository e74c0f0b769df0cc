"""Gives decoders and whole nodes malformed inputs, and counts what comes of it.

`scripts/malformed_inputs` runs this in full, the tests in small. What is given follows from the
seed alone; when it arrives does not, as many clients send at a time.
"""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import click

from tests.e2e.nodes import FORM_S, Chain, Node, Nodes, alone, running
from tests.malformed.byte_mutation import chance_of
from tests.malformed.decoders import TARGETS, feed, feed_heavy, shares
from tests.malformed.grpc_client import GrpcClient
from tests.malformed.http_client import HttpClient
from tests.malformed.http_inputs import HEAVY, http_talk
from tests.malformed.lingering import GRPC, HTTP, linger
from tests.malformed.subject import (
    MEMORY_BYTES_MAX,
    MIB,
    Log,
    Memory,
    Stopwatch,
    memory_bytes,
    still_works,
    watched,
)
from tests.malformed.tally import Tally

WARM_UP = 0.1
"""How many inputs come before the memory is measured, as a part of those that come after."""
HEAVY_ROUNDS = 3
"""How often each input of megabytes is among them."""
ALONE_SHARE = 0.4
"""The part of gRPC's inputs that goes to a node of its own; the rest goes to one of three."""

OnInput = Callable[[], None]


@dataclass(slots=True)
class Report:
    """All that came of it, line by line."""

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    inputs: int = 0

    def add(self, tally: Tally) -> None:
        """Take over the figures of a kind of input."""
        self.inputs += tally.count
        self.lines.extend(tally.lines())
        self.problems += [str(finding) for finding in tally.findings]

    def add_log(self, node: Node) -> None:
        """Take over what a node has logged."""
        log = Log.of(node)
        events = ", ".join(f"{event} {count}" for event, count in sorted(log.events.items()))
        self.lines.append(f"log of {node.name}: {events}")
        self.problems += [f"{node.name} logged: {line[:2000]}" for line in log.complaints[:20]]


async def feed_decoders(count: int, report: Report, *, seed: int, on_input: OnInput) -> None:
    """Feed all decoders, in this process."""
    began_bytes = memory_bytes(os.getpid())
    for target, share in shares(count):
        report.add(await feed(target, share, seed=seed, on_input=on_input))
    grown_bytes = memory_bytes(os.getpid()) - began_bytes
    report.lines.append(f"memory of the decoders: {grown_bytes / MIB:+.0f} MiB")
    if grown_bytes > MEMORY_BYTES_MAX:
        report.problems.append(f"the decoders have kept {grown_bytes / MIB:.0f} MiB")
    for target in TARGETS:
        tally = await feed_heavy(target)
        if tally.count:
            report.add(tally)


@dataclass(slots=True)
class Wire:
    """Inputs for the ports of a node."""

    node: Node
    http: int
    grpc: int
    seed: int
    on_input: OnInput = field(default=lambda: None)
    lingers: bool = False
    """Whether slow clients are waited for, which takes two minutes."""
    warm_up: float = WARM_UP

    async def feed(self, report: Report) -> None:
        """Send all of it: first a part that warms up, then the rest with the memory watched."""
        memory = Memory(fresh=memory_bytes(self.node.process.pid))
        warm = Tally("warm-up")
        for talk in HEAVY * HEAVY_ROUNDS * bool(self.http):
            await HttpClient(self.node.plan.gateway, warm, _nothing).feed([talk])
        await self._send(self.warm_up, f"{self.seed}/warm-up", warm, warm, _nothing)
        tallies = [
            Tally(f"{kind} of {self.node.name}") for kind in ("HTTP", "gRPC", "slow clients")
        ]
        async with watched(self.node, memory):
            http, grpc, slow = tallies
            async with asyncio.TaskGroup() as group:
                if self.lingers:
                    group.create_task(linger(self.node.plan.gateway, HTTP, slow))
                    group.create_task(linger(self.node.plan.grpc, GRPC, slow))
                await self._send(1, f"{self.seed}", http, grpc, self.on_input)
        for tally in (*tallies, warm):
            if tally.count:
                report.add(tally)
        report.lines.append(f"memory of {self.node.name}: {memory}")

    async def _send(
        self, part: float, seed: str, http: Tally, grpc: Tally, on_input: OnInput
    ) -> None:
        talks = (
            http_talk(chance_of(seed, "http", number))
            for number in range(math.ceil(self.http * part))
        )
        await HttpClient(self.node.plan.gateway, http, on_input).feed(talks)
        grpc_client = GrpcClient(self.node.plan.grpc, grpc, on_input, seed=seed)
        await grpc_client.feed(math.ceil(self.grpc * part))


def _nothing() -> None:
    pass


async def feed_lone_node(directory: Path, report: Report, wire: Callable[[Node], Wire]) -> None:
    """Feed a node that is a cluster of its own."""
    await asyncio.to_thread(directory.mkdir)
    async with alone(directory) as node:
        await _feed(Nodes([node]), wire(node), report)


async def feed_member(directory: Path, report: Report, wire: Callable[[Node], Wire]) -> None:
    """Feed the leader of three."""
    await asyncio.to_thread(directory.mkdir)
    async with running(3, directory) as nodes:
        leader = await nodes.leader(within_s=FORM_S)
        await _feed(nodes, wire(leader), report)


async def _feed(nodes: Nodes, wire: Wire, report: Report) -> None:
    stopwatch, chain = Stopwatch(), Chain()
    await chain.extend(wire.node)
    try:
        await wire.feed(report)
        await still_works(nodes, chain)
    finally:
        for node in nodes:
            report.add_log(node)
    report.lines.append(f"{wire.node.name}: took {stopwatch}; all nodes answer and certify")


async def play(
    directory: Path,
    report: Report,
    *,
    decoders: int,
    http: int,
    grpc: int,
    seed: int,
    lingers: bool,
    on_input: OnInput,
) -> None:
    """All of it."""
    await feed_decoders(decoders, report, seed=seed, on_input=on_input)
    if not http + grpc:
        return
    lone_grpc = int(grpc * ALONE_SHARE)

    def lone(node: Node) -> Wire:
        return Wire(node, http, lone_grpc, seed, on_input, lingers)

    def member(node: Node) -> Wire:
        return Wire(node, 0, grpc - lone_grpc, seed, on_input)

    await feed_lone_node(directory / "alone", report, lone)
    await feed_member(directory / "three", report, member)


@click.command()
@click.option("--decoders", type=click.IntRange(0), default=60_000, show_default=True)
@click.option("--http", type=click.IntRange(0), default=30_000, show_default=True)
@click.option("--grpc", type=click.IntRange(0), default=10_000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--quick", is_flag=True, help="Do not wait until slow clients are cut off.")
def main(decoders: int, http: int, grpc: int, seed: int, quick: bool) -> None:
    """Give decoders and running nodes so many malformed inputs, and count what comes of them.

    Exits with 1 when an error was not a clear one, a node died, stopped working, logged an error or
    kept more than 64 MiB; the directory with the logs is kept then.
    """
    report = Report()
    stopwatch = Stopwatch()
    directory = Path(tempfile.mkdtemp(prefix="malformed-inputs-"))
    with click.progressbar(
        length=decoders + http + grpc, label="inputs", update_min_steps=100
    ) as bar:
        played = play(
            directory,
            report,
            decoders=decoders,
            http=http,
            grpc=grpc,
            seed=seed,
            lingers=not quick,
            on_input=lambda: bar.update(1),
        )
        try:
            asyncio.run(played)
        except AssertionError as error:
            report.problems.append(str(error))
    click.echo("\n".join(_told(report, stopwatch)))
    if report.problems:
        click.echo(f"failed with seed {seed}; everything is kept in {directory}")
        raise SystemExit(1)
    shutil.rmtree(directory)


def _told(report: Report, stopwatch: Stopwatch) -> Iterable[str]:
    yield from report.lines
    yield from (f"PROBLEM: {problem}" for problem in report.problems)
    yield f"{report.inputs} inputs in {stopwatch}, {len(report.problems)} problems"


if __name__ == "__main__":
    main(prog_name="scripts/malformed_inputs")
