"""A process that is gone is told from a link that is slow."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from conductor.config import Timing
from conductor.core.values import ServerId
from conductor.peers.liveness import Liveness, refuses_connections
from conductor.peers.tasks import OwnedTasks
from tests.peers.kit import (
    CLUSTER_ID,
    SILENT_PROBES,
    LoopClock,
    PeerNode,
    a_heartbeat,
    a_member,
    running,
)

ROOT = Path(__file__).resolve().parents[2]
B = ServerId("b")


@pytest.fixture
def listening() -> Iterator[int]:
    """A port on which somebody listens who never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        yield port


@pytest.fixture
def closed() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_a_closed_port_refuses(closed: int) -> None:
    assert await refuses_connections(f"127.0.0.1:{closed}")


async def test_an_open_port_does_not(listening: int) -> None:
    assert not await refuses_connections(f"127.0.0.1:{listening}")


@pytest.mark.parametrize("address", ["x" * 64 + ":80", "[::zz]:80"])
async def test_an_address_that_leads_nowhere_proves_nothing(address: str) -> None:
    assert not await refuses_connections(address)


async def test_a_death_is_told_once_until_the_member_is_heard_again(closed: int) -> None:
    deaths: list[str] = []
    tasks = OwnedTasks()
    liveness = Liveness(tasks, deaths.append)
    member = a_member("b", closed)

    for _ in range(3):
        liveness.suspect(member)
        liveness.suspect(member)
        await tasks.join()
    assert deaths == ["b"]

    liveness.heard(member.server_id)
    liveness.suspect(member)
    await tasks.join()
    assert deaths == ["b", "b"]


async def test_a_listening_member_is_never_called_dead(listening: int) -> None:
    deaths: list[str] = []
    tasks = OwnedTasks()
    Liveness(tasks, deaths.append).suspect(a_member("b", listening))
    await tasks.join()

    assert deaths == []


@asynccontextmanager
async def lone_peer(a: PeerNode) -> AsyncIterator[asyncio.subprocess.Process]:
    """Server "b" in a process of its own, connected both ways with `a`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.peers.lone_peer",
        str(a.port),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        a.peers.set_members([a.member, a_member("b", port)], CLUSTER_ID)
        await a.inbox.until(lambda: ("connected", "b") in a.inbox.events)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_killed_peer_is_known_to_be_dead_although_no_probe_was_due() -> None:
    a = PeerNode("a", SILENT_PROBES)
    async with running(a), lone_peer(a) as process:
        process.kill()
        await a.inbox.until(lambda: ("died", "b") in a.inbox.events)

        assert a.inbox.events.count(("died", "b")) == 1
        (observed,) = a.peers.prober.observe(a.clock.now_ms())
        assert not observed.reachable


class StoppedClock(LoopClock):
    """Shows the same time for ever, so that no word grows old."""

    def now_ms(self) -> int:
        """Some moment."""
        return 1_000


async def test_a_frozen_peer_is_found_by_missed_probes_and_never_called_dead() -> None:
    timing = Timing(health_interval_ms=30, probe_deadline_ms=60)
    a = PeerNode("a", timing, clock=StoppedClock())
    async with running(a), lone_peer(a) as process:
        await a.inbox.until(lambda: a.peers.prober.observe(a.clock.now_ms())[0].serving)
        process.send_signal(signal.SIGSTOP)
        await a.inbox.until(lambda: not a.peers.prober.observe(a.clock.now_ms())[0].serving)

        assert ("died", "b") not in a.inbox.events
        process.send_signal(signal.SIGCONT)
        await a.inbox.until(lambda: a.peers.prober.observe(a.clock.now_ms())[0].serving)


async def test_a_peer_that_returns_after_its_death_is_connected_and_heard() -> None:
    a = PeerNode("a", SILENT_PROBES)
    async with running(a):
        async with lone_peer(a) as process:
            process.kill()
            await a.inbox.until(lambda: ("died", "b") in a.inbox.events)
        a.inbox.events.clear()
        async with lone_peer(a):
            a.peers.send(B, a_heartbeat(1), {}, 0)
            await a.inbox.until(lambda: bool(a.inbox.received))
