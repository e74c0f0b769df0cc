"""Kills conductors in the middle of commits, and lets the devnet's judge count what was lost.

`scripts/kill_rounds` runs this as often as it is told to, `test_kill_rounds.py` for a short while.
Each batch of rounds is a new cluster, so that the disk holds the payloads of one batch at a time.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from conductor.devnet.payloads import Block, BlockBuilder, Head
from tests.e2e.nodes import FAILOVER_S, FORM_S, Node, Nodes, eventually, running
from tests.e2e.sequencing import Sequencing, sequencing

NODES = 3
PAYLOAD_BYTES_MIN = 10_000
PAYLOAD_BYTES_MAX = 2_000_000
BLOCK_TIME_MS = 200
COMMIT_S = 0.06
"""About what a commit takes: the kill comes at any time within that after a block was built."""
BATCH_ROUNDS = 20
GIVE_UP_S = 60.0


@dataclass(slots=True)
class Figures:
    """What came of it."""

    rounds: int = 0
    certified: int = 0
    lost: int = 0
    forked: int = 0
    problems: int = 0
    leaders_killed: int = 0
    again_ms_max: int = 0
    """The longest time from a kill to the next certified payload."""

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        is_soon = self.again_ms_max <= FAILOVER_S * 1000
        return is_soon and not (self.lost or self.forked or self.problems)

    def __str__(self) -> str:
        return (
            f"{self.rounds} rounds ({self.leaders_killed} of them killed the leader), "
            f"{self.certified} certified, {self.lost} lost, {self.forked} forked, "
            f"{self.problems} other problems, certified again after {self.again_ms_max} ms at most"
        )


class MixedBuilder(BlockBuilder):
    """Builds blocks of every size, as many below 140 KB as above, and counts them."""

    def __init__(self, *, seed: int, builder: str) -> None:
        super().__init__(seed=seed, builder=builder, transactions_bytes=PAYLOAD_BYTES_MIN)
        self._sizes = random.Random(f"{seed}/{builder}/sizes")
        self.built = 0

    def build(self, parent: Head) -> Block:
        """A new child of `parent`."""
        exponent = self._sizes.uniform(math.log(PAYLOAD_BYTES_MIN), math.log(PAYLOAD_BYTES_MAX))
        self._transactions_bytes = int(math.exp(exponent))
        block = super().build(parent)
        self.built += 1
        return block


async def play_batch(
    directory: Path,
    figures: Figures,
    *,
    rounds: int,
    seed: int,
    in_turn: bool = False,
    play_s: float = math.inf,
) -> list[str]:
    """One cluster, so many kills or for so long, and a verdict: what is wrong, line by line."""
    chance = random.Random(seed)
    builders: dict[str, MixedBuilder] = {}
    found: list[str] = []

    def builder_of(node: Node) -> BlockBuilder:
        return builders.setdefault(node.name, MixedBuilder(seed=seed, builder=node.name))

    async with (
        running(NODES, directory) as nodes,
        sequencing(nodes, directory, builder_of, block_time_ms=BLOCK_TIME_MS) as run,
    ):
        victims = itertools.cycle(nodes) if in_turn else _random_victims(chance, nodes)
        await run.next_gossip(within_s=FORM_S)
        until_ms = run.now_ms() + play_s * 1000
        try:
            for victim in itertools.islice(victims, rounds):
                if run.now_ms() > until_ms:
                    break
                await _in_the_middle_of_a_commit(chance, builders)
                await _kill_and_revive(run, victim, figures)
        except AssertionError as error:
            found.append(f"given up: {error}")
        verdict = await run.verdict()
    figures.certified += verdict.gossiped_count
    figures.lost += len(verdict.lost)
    figures.forked += len(verdict.forked)
    figures.problems += len(verdict.problems)
    return [*found, *(() if verdict.passed else verdict.lines())]


def _random_victims(chance: random.Random, nodes: Nodes) -> Iterator[Node]:
    while True:
        yield chance.choice(nodes)


async def _in_the_middle_of_a_commit(
    chance: random.Random, builders: dict[str, MixedBuilder]
) -> None:
    """Wait for the next block, and then for as long as a commit may take."""
    built_before = sum(builder.built for builder in builders.values())

    async def is_built() -> bool:
        return sum(builder.built for builder in builders.values()) > built_before

    await eventually(is_built, "a block is built", within_s=GIVE_UP_S)
    await asyncio.sleep(chance.uniform(0, COMMIT_S))


async def _kill_and_revive(run: Sequencing, victim: Node, figures: Figures) -> None:
    led = run.gossips()[-1].node == victim.name
    killed_at_ms = run.now_ms()
    await victim.process.kill()
    record = await run.next_gossip(within_s=GIVE_UP_S, without=victim)
    figures.rounds += 1
    figures.leaders_killed += led
    figures.again_ms_max = max(figures.again_ms_max, record.at_ms - killed_at_ms)
    height = run.height
    await victim.process.start()
    await victim.answers()
    await run.caught_up(victim, height)


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=200, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--in-turn", is_flag=True, help="Kill one after the other instead of any.")
def main(rounds: int, seed: int, in_turn: bool) -> None:
    """Kill a conductor in the middle of a commit so many times, and count what is lost.

    Exits with 1 when a certified payload was lost, the chain forked, or no payload was certified
    within five seconds after a kill; the directory with logs and stores is kept then.
    """
    figures = Figures()
    for batch, first in enumerate(range(0, rounds, BATCH_ROUNDS)):
        directory = Path(tempfile.mkdtemp(prefix="kill-rounds-"))
        play = play_batch(
            directory,
            figures,
            rounds=min(BATCH_ROUNDS, rounds - first),
            seed=seed + batch,
            in_turn=in_turn,
        )
        try:
            found = asyncio.run(play)
        except AssertionError as error:
            found = [f"given up: {error}"]
        click.echo("\n".join([*found, str(figures)]))
        if found or not figures.good:
            click.echo(f"failed with seed {seed + batch}; everything is kept in {directory}")
            raise SystemExit(1)
        shutil.rmtree(directory)


if __name__ == "__main__":
    main(prog_name="scripts/kill_rounds")
