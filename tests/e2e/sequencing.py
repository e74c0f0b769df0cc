"""Simulated sequencers beside the nodes of a test, and the devnet's judge of what they gossiped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import aiohttp

from conductor.devnet.client import ConductorClient
from conductor.devnet.evidence import read_evidence
from conductor.devnet.journal import JOURNAL_FILE, Journal, Record, read_journal
from conductor.devnet.payloads import BlockBuilder
from conductor.devnet.sequencer import Sequencer, SequencerTiming
from conductor.devnet.verdict import Verdict, judge
from conductor.identity import development_signer
from conductor.store import open_store
from tests.e2e.nodes import Node, Nodes, eventually

AGREE_S = 20.0
BACK_OFF_MS = 200
"""A fifth of op-node's: a sequencer that holds on to a stale block offers it three times more, and
what is measured here is how soon the conductors are ready, not how long that takes."""


class Sequencing:
    """What the sequencers of a test have done so far."""

    def __init__(self, nodes: Nodes, directory: Path) -> None:
        self._nodes = nodes
        self._directory = directory
        loop = asyncio.get_running_loop()
        self.now_ms: Callable[[], int] = lambda: int(loop.time() * 1000)
        self.journal = Journal(directory / JOURNAL_FILE, self.now_ms, lambda _: None)
        self.tasks: list[asyncio.Task[None]] = []

    def gossips(self, *, since_ms: int = 0, without: Node | None = None) -> list[Record]:
        """The payloads that were gossiped since then, but for those of one node."""
        for task in self.tasks:
            if task.done():
                task.result()
        return [
            record
            for record in self.journal.records
            if record.event == "gossip" and record.at_ms >= since_ms
            if without is None or record.node != without.name
        ]

    @property
    def height(self) -> int:
        """Of the newest gossiped payload; 0 before the first."""
        last = self.journal.last_gossip
        return last.height if last is not None else 0

    async def next_gossip(self, *, within_s: float, without: Node | None = None) -> Record:
        """The first payload that is gossiped from now on, by another node than that one."""
        since_ms = self.now_ms()

        async def first() -> Record | None:
            return next(iter(self.gossips(since_ms=since_ms, without=without)), None)

        return await eventually(first, "a payload is gossiped", within_s=within_s)

    async def stop(self) -> None:
        """End the sequencers: nothing is gossiped after this."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks = []

    async def caught_up(self, node: Node, height: int) -> None:
        """Wait until a node knows that this height is certified."""

        async def knows() -> bool:
            certified_height = (await node.gateway.health()).body.get("certified_height", -1)
            return int(certified_height) >= height

        await eventually(knows, f"{node.name} knows height {height}", within_s=AGREE_S)

    async def verdict(self) -> Verdict:
        """End everything in good order, and hold the journal against the disks.

        A verdict that found something comes whatever else is wrong. AssertionError when it found
        nothing, and yet some running node never knew all that was gossiped.
        """
        await self.stop()
        running = [node for node in self._nodes if node.process.pid is not None]
        known = await asyncio.gather(
            *(self.caught_up(node, self.height) for node in running), return_exceptions=True
        )
        await asyncio.gather(*(node.process.stop() for node in running))
        verdict = await asyncio.to_thread(self._judge)
        if verdict.passed:
            for error in filter(None, known):
                raise error
        return verdict

    def _judge(self) -> Verdict:
        plans = [node.plan for node in self._nodes]
        keys = {plan.server_id: development_signer(plan.identity).public_key for plan in plans}
        evidence = [
            read_evidence(plan.server_id, partial(open_store, plan.data_dir, plan.server_id), keys)
            for plan in plans
        ]
        return judge(read_journal(self._directory / JOURNAL_FILE), evidence)


@asynccontextmanager
async def sequencing(
    nodes: Nodes,
    directory: Path,
    builder_of: Callable[[Node], BlockBuilder],
    *,
    block_time_ms: int,
) -> AsyncIterator[Sequencing]:
    """A sequencer beside each node, until the block is left."""
    async with aiohttp.ClientSession() as session:
        run = Sequencing(nodes, directory)
        run.tasks = [
            asyncio.create_task(
                Sequencer(
                    node.name,
                    gateway=ConductorClient(session, node.plan.gateway),
                    builder=builder_of(node),
                    journal=run.journal,
                    timing=SequencerTiming(block_time_ms=block_time_ms, back_off_ms=BACK_OFF_MS),
                ).run()
            )
            for node in nodes
        ]
        try:
            yield run
        finally:
            await run.stop()
