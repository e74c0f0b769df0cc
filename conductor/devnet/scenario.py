"""The story that a devnet plays: form, sequence, kill, fail over, revive, catch up, judge.

Invariant: however the conductors behave, it ends with a verdict on what was gossiped. It passes
only if the story was played to its end *and* the verdict found nothing.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from conductor.devnet.cluster import WAIT_POLL_MS, Cluster, Host, cancel, running_cluster
from conductor.devnet.journal import Record
from conductor.devnet.verdict import Verdict
from conductor.devnet.views import Screen, Settings
from conductor.errors import Unavailable, ensure

FORM_TIMEOUT_MS = 60_000
PROGRESS_TIMEOUT_MS = 30_000
AGREE_TIMEOUT_MS = 10_000
REVIVE_AFTER_MS = 5_000
SETTLE_MS = 1_500
"""A conductor writes its newest certificate with its next write, or else within a second."""

EXIT_PASSED = 0
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a devnet ended."""

    verdict: Verdict
    failure: str | None
    """Why the story was not played to its end; None when it was, or was interrupted."""
    interrupted: bool
    """Whether somebody ended it before its end; a devnet without end has none before that."""

    @property
    def passed(self) -> bool:
        """Whether there is nothing to complain of."""
        return self.verdict.passed and self.failure is None

    @property
    def exit_code(self) -> int:
        """What the program exits with."""
        if not self.passed:
            return EXIT_FAILED
        return EXIT_INTERRUPTED if self.interrupted else EXIT_PASSED


async def run_devnet(settings: Settings, screen: Screen) -> Outcome:
    """Play the story in a cluster of its own, until its end or an interrupt."""
    interrupt = asyncio.Event()
    with _interrupts(interrupt):
        async with running_cluster(settings, screen) as cluster:
            failure = await _play_until(interrupt, cluster)
            await _end(cluster)
        verdict = await asyncio.to_thread(cluster.judge)
    interrupted = interrupt.is_set() and not settings.forever
    return Outcome(verdict=verdict, failure=failure, interrupted=interrupted)


@contextmanager
def _interrupts(event: asyncio.Event) -> Iterator[None]:
    """Let Ctrl-C and its like set the event, from before the first process is started."""
    loop = asyncio.get_running_loop()
    for number in _INTERRUPTS:
        loop.add_signal_handler(number, event.set)
    try:
        yield
    finally:
        for number in _INTERRUPTS:
            loop.remove_signal_handler(number)


async def _play_until(interrupt: asyncio.Event, cluster: Cluster) -> str | None:
    """Play the story; why it could not be played to its end, None when that is not the reason."""
    story = _live_on(cluster) if cluster.settings.forever else _play(cluster)
    play = asyncio.create_task(story)
    waiting = asyncio.create_task(interrupt.wait())
    try:
        await asyncio.wait([play, waiting], return_when=asyncio.FIRST_COMPLETED)
        if play.done():
            play.result()
    except Unavailable as error:
        return str(error)
    finally:
        await cancel([play, waiting])
    return None


async def _play(cluster: Cluster) -> None:
    """Kill and revive as often as was asked for, with payloads before, meanwhile and after."""
    settings = cluster.settings
    chance = random.Random(settings.seed)
    cluster.happened(f"{settings.nodes} conductors start")
    await _wait_for_payloads(cluster, 1, FORM_TIMEOUT_MS)
    rounds = max(1, settings.rounds)
    payloads_before = max(1, settings.payloads * 2 // 5 // rounds)
    payloads_meanwhile = max(1, settings.payloads // 5 // rounds)
    for number in range(settings.rounds):
        await _wait_for_payloads(cluster, cluster.journal.gossiped_count + payloads_before)
        victim = chance.choice(cluster.hosts) if number else _leader(cluster)
        await _kill(cluster, victim)
        if cluster.quorum_is_up:
            await _wait_for_payloads(cluster, cluster.journal.gossiped_count + payloads_meanwhile)
        await _revive(cluster, victim)
    await _wait_for_payloads(cluster, settings.payloads)


async def _live_on(cluster: Cluster) -> None:
    """Watch over the nodes, and start again those that users kill."""
    cluster.happened("Ctrl-C ends it with a verdict; kill a node by hand to see what happens:")
    for host in cluster.hosts:
        cluster.happened(f"  kill -9 {host.process.pid}  # {host.server_id}")
    while True:
        cluster.raise_task_errors()
        for host in cluster.hosts:
            if host.process.has_died:
                seconds = f"{REVIVE_AFTER_MS / 1000:g} s"
                cluster.happened(f"{host.server_id} died; it is started again in {seconds}")
                await asyncio.sleep(REVIVE_AFTER_MS / 1000)
                await _revive(cluster, host)
        await asyncio.sleep(WAIT_POLL_MS / 1000)


async def _kill(cluster: Cluster, victim: Host) -> None:
    """Kill a node. If it led and a quorum is left, see another take over, and say how soon."""
    led = victim is _leader(cluster)
    killed_at_ms = cluster.now_ms()
    await victim.kill()
    cluster.happened(f"{victim.server_id} killed with SIGKILL{', it led' if led else ''}")
    if not (led and cluster.quorum_is_up):
        return

    def first(event: str) -> Record | None:
        """The first such record of another node since then."""
        return next(
            (
                record
                for record in cluster.journal.records
                if record.event == event
                and record.at_ms >= killed_at_ms
                and record.node != victim.server_id
            ),
            None,
        )

    what = "a payload of another leader"
    await cluster.until(lambda: first("gossip") is not None, what, PROGRESS_TIMEOUT_MS)
    start, gossip = first("start"), first("gossip")
    if start is not None and gossip is not None:
        cluster.happened(
            f"failover to {start.node}: leader after {start.at_ms - killed_at_ms} ms, "
            f"first payload after {gossip.at_ms - killed_at_ms} ms"
        )


async def _revive(cluster: Cluster, host: Host) -> None:
    """Start a node again on the disk that it had, and see it catch up with what was gossiped."""
    started_at_ms = cluster.now_ms()
    height = cluster.gossiped_height
    await host.process.start()
    cluster.happened(f"{host.server_id} started again")
    await cluster.until(
        lambda: host.certified_height >= height,
        f"{host.server_id} to catch up to height {height}",
        PROGRESS_TIMEOUT_MS,
    )
    cluster.happened(
        f"{host.server_id} is back and caught up to height {host.certified_height} "
        f"after {cluster.now_ms() - started_at_ms} ms"
    )


async def _end(cluster: Cluster) -> None:
    """Stop in good order: first the blocks, then, once all nodes know them all, the nodes."""
    await cluster.stop_sequencers()
    height = cluster.gossiped_height
    running = [host for host in cluster.hosts if host.process.pid is not None]
    try:
        await cluster.until(
            lambda: all(host.certified_height >= height for host in running),
            f"every node to know that height {height} is certified",
            AGREE_TIMEOUT_MS,
        )
    except Unavailable as error:
        cluster.happened(str(error))
    await asyncio.sleep(SETTLE_MS / 1000)
    await cluster.stop()
    for host in running:
        if host.process.exit_code != 0:
            cluster.happened(f"{host.server_id} stopped with exit code {host.process.exit_code}")


async def _wait_for_payloads(
    cluster: Cluster, count: int, progress_timeout_ms: int = PROGRESS_TIMEOUT_MS
) -> None:
    """Until so many payloads were gossiped since the devnet began; each has to come in time."""
    journal = cluster.journal
    while journal.gossiped_count < count:
        height = cluster.gossiped_height
        what = f"a payload above height {height}"
        await cluster.until(partial(_has_passed, cluster, height), what, progress_timeout_ms)


def _has_passed(cluster: Cluster, height: int) -> bool:
    return cluster.gossiped_height > height


def _leader(cluster: Cluster) -> Host:
    """The host whose sequencer gossiped last; there must have been one."""
    last = cluster.journal.last_gossip
    ensure(last is not None, "nothing was gossiped yet")
    assert last is not None
    return cluster.host(last.node)
