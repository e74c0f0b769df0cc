"""The hosts of a devnet: each a conductor process, its client and the sequencer beside it.

Invariant: when a `running_cluster` block is left, for whatever reason, no process and no task of
it is left. What the conductors say is for the table and for waiting; the verdict never sees it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiohttp

from conductor.core.quorum import MAJORITY, quorum_size
from conductor.core.values import ServerId
from conductor.devnet.client import ConductorClient, Health
from conductor.devnet.evidence import Evidence, read_evidence
from conductor.devnet.journal import JOURNAL_FILE, Journal, Record, read_journal
from conductor.devnet.payloads import BlockBuilder
from conductor.devnet.processes import NodePlan, NodeProcess, node_command, plan_nodes
from conductor.devnet.sequencer import Sequencer, SequencerTiming
from conductor.devnet.verdict import Verdict, judge
from conductor.devnet.views import Happening, NodeRow, Screen, Settings, Snapshot
from conductor.errors import PeerUnreachable, Unavailable
from conductor.identity import development_signer
from conductor.store import open_store

WATCH_INTERVAL_MS = 100
WAIT_POLL_MS = 20


class Host:
    """One machine of the chain."""

    def __init__(
        self, plan: NodePlan, process: NodeProcess, client: ConductorClient, sequencer: Sequencer
    ) -> None:
        self.plan = plan
        self.process = process
        self.sequencer = sequencer
        self.health: Health | None = None
        """The last answer; None without one."""
        self._client = client

    @property
    def server_id(self) -> str:
        """The name of its conductor."""
        return self.plan.server_id

    @property
    def certified_height(self) -> int:
        """As its conductor last said; 0 without an answer."""
        return self.health.certified_height if self.health is not None else 0

    async def look(self) -> None:
        """Ask the conductor how it is."""
        try:
            self.health = await self._client.health() if self.process.pid else None
        except PeerUnreachable:
            self.health = None

    async def kill(self) -> None:
        """End the conductor with SIGKILL; the sequencer lives on."""
        await self.process.kill()
        self.health = None

    def row(self, gossiped_height: int) -> NodeRow:
        """How it looks now."""
        health, pid = self.health, self.process.pid
        certified_height = health.certified_height if health is not None else None
        return NodeRow(
            server_id=self.server_id,
            role=self._role(),
            epoch=health.epoch if health is not None else None,
            serving=health.healthy if health is not None else None,
            certified_height=certified_height,
            lag=None if certified_height is None else max(0, gossiped_height - certified_height),
            sequencer=self.sequencer.activity.value,
            process=f"pid {pid}" if pid is not None else self._end(),
            gateway=str(self.plan.gateway),
        )

    def _role(self) -> str:
        if self.process.pid is None:
            return "stopped" if self.process.exit_code == 0 else "killed"
        if self.health is None:
            return "no answer"
        return "leader" if self.health.is_leader else "follower"

    def _end(self) -> str:
        return f"exit {self.process.exit_code}"


class Cluster:
    """All hosts, their journal, and what has happened to them."""

    def __init__(self, settings: Settings, screen: Screen, session: aiohttp.ClientSession) -> None:
        began = time.monotonic()
        self.now_ms: Callable[[], int] = lambda: int((time.monotonic() - began) * 1000)
        """Milliseconds since the devnet began."""
        self.settings = settings
        self.journal = Journal(settings.directory / JOURNAL_FILE, self.now_ms, self._recorded)
        plans = plan_nodes(settings.nodes, settings.directory)
        self.hosts = tuple(self._host(plan, plans, session) for plan in plans)
        self._screen = screen
        self._happenings: list[Happening] = []
        self._sequencers: list[asyncio.Task[None]] = []
        self._watcher: asyncio.Task[None] | None = None

    def _host(
        self, plan: NodePlan, plans: tuple[NodePlan, ...], session: aiohttp.ClientSession
    ) -> Host:
        settings = self.settings
        client = ConductorClient(session, plan.gateway)
        sequencer = Sequencer(
            plan.server_id,
            gateway=client,
            builder=BlockBuilder(
                seed=settings.seed,
                builder=plan.server_id,
                transactions_bytes=settings.payload_bytes,
            ),
            journal=self.journal,
            timing=SequencerTiming(block_time_ms=settings.block_time_ms),
        )
        command = node_command(plan, plans, keep_all=not settings.forever)
        return Host(plan, NodeProcess(command, plan.log), client, sequencer)

    @property
    def quorum_is_up(self) -> bool:
        """Whether enough conductors run to certify a payload."""
        running = sum(1 for host in self.hosts if host.process.pid is not None)
        return running >= quorum_size(MAJORITY, len(self.hosts))

    @property
    def gossiped_height(self) -> int:
        """Of the newest gossiped payload; 0 before the first."""
        last = self.journal.last_gossip
        return last.height if last is not None else 0

    def host(self, server_id: str) -> Host:
        """The host of that name, which must exist."""
        return next(host for host in self.hosts if host.server_id == server_id)

    def happened(self, text: str) -> None:
        """Add a line to the story."""
        happening = Happening(self.now_ms(), text)
        self._happenings.append(happening)
        self._screen.happened(happening)

    async def start(self) -> None:
        """Start all conductors and sequencers."""
        for host in self.hosts:
            await host.process.start()
        self._sequencers = [asyncio.create_task(host.sequencer.run()) for host in self.hosts]
        self._watcher = asyncio.create_task(self._watch())

    async def until(self, condition: Callable[[], bool], what: str, timeout_ms: int) -> None:
        """Wait for a condition.

        Unavailable when it does not come true in time, or a conductor ends that nobody ended.
        """
        deadline_ms = self.now_ms() + timeout_ms
        while not condition():
            for host in self.hosts:
                if host.process.has_died:
                    raise Unavailable(await asyncio.to_thread(_obituary, host))
            self.raise_task_errors()
            if self.now_ms() > deadline_ms:
                raise Unavailable(f"waited {timeout_ms / 1000:g} s in vain: {what}")
            await asyncio.sleep(WAIT_POLL_MS / 1000)

    def raise_task_errors(self) -> None:
        """Raise what ended a sequencer or the watcher: they never end by themselves."""
        for task in (*self._sequencers, self._watcher):
            if task is not None and task.done():
                task.result()

    async def stop_sequencers(self) -> None:
        """No block is built or gossiped after this."""
        await cancel(self._sequencers)
        self._sequencers = []

    async def _stop_watching(self) -> None:
        if self._watcher is not None:
            await cancel([self._watcher])
            self._watcher = None

    async def stop(self) -> None:
        """Stop all conductors in good order, so that their stores can be opened."""
        await self._stop_watching()  # what was seen last stays on the screen
        await asyncio.gather(*(host.process.stop() for host in self.hosts))

    async def close(self) -> None:
        """End whatever still goes on."""
        for host in self.hosts:
            host.process.close()
        await self.stop_sequencers()
        await self._stop_watching()
        await asyncio.gather(*(host.process.stop() for host in self.hosts))

    def judge(self) -> Verdict:
        """The verdict on a cluster that was stopped. Reads disks: not for the event loop."""
        return judge(read_journal(self.settings.directory / JOURNAL_FILE), self._evidence())

    def _evidence(self) -> list[Evidence]:
        public_keys = {
            host.server_id: development_signer(host.plan.identity).public_key for host in self.hosts
        }
        return [
            read_evidence(
                host.server_id,
                partial(open_store, host.plan.data_dir, ServerId(host.server_id)),
                public_keys,
            )
            for host in self.hosts
        ]

    def _recorded(self, record: Record) -> None:
        if record.event == "start":
            self.happened(f"{record.node} leads; its sequencer starts at height {record.height}")

    async def _watch(self) -> None:
        """Look at every conductor again and again."""
        while True:
            await asyncio.gather(*(host.look() for host in self.hosts))
            self._screen.show(self._snapshot())
            await asyncio.sleep(WATCH_INTERVAL_MS / 1000)

    def _snapshot(self) -> Snapshot:
        height = self.gossiped_height
        return Snapshot(
            at_ms=self.now_ms(),
            gossiped_count=self.journal.gossiped_count,
            payloads=None if self.settings.forever else self.settings.payloads,
            rows=tuple(host.row(height) for host in self.hosts),
            happenings=tuple(self._happenings),
        )


@asynccontextmanager
async def running_cluster(settings: Settings, screen: Screen) -> AsyncIterator[Cluster]:
    """A cluster that is started on entry and gone on exit."""
    async with aiohttp.ClientSession() as session:
        cluster = Cluster(settings, screen, session)
        try:
            await cluster.start()
            yield cluster
        finally:
            await cluster.close()


async def cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended, however they do."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _obituary(host: Host) -> str:
    return (
        f"{host.server_id} ended by itself with exit code {host.process.exit_code}; "
        f"the end of {host.plan.log}:\n{host.process.log_tail()}"
    )
