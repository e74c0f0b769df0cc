"""A devnet that goes wrong says so, and leaves nothing behind."""

from __future__ import annotations

import sys
from pathlib import Path

import aiohttp
import pytest

from conductor.devnet.cluster import Cluster
from conductor.devnet.processes import NodeProcess
from conductor.devnet.views import Happening, Settings, Snapshot
from conductor.errors import Unavailable


class SilentScreen:
    """Shows nothing."""

    def happened(self, happening: Happening) -> None:
        """Nothing."""

    def show(self, snapshot: Snapshot) -> None:
        """Nothing."""


async def started(cluster: Cluster, code: str) -> None:
    """Start the cluster with processes that run `code` in the place of conductors."""
    for host in cluster.hosts:
        host.process = NodeProcess([sys.executable, "-c", code], host.plan.log)
    await cluster.start()


async def test_waiting_ends_when_a_conductor_ends_by_itself(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as session:
        cluster = Cluster(Settings(directory=tmp_path), SilentScreen(), session)
        try:
            await started(cluster, "print('no such option'); raise SystemExit(2)")
            with pytest.raises(Unavailable, match=r"exit code 2; (?s:.*)no such option"):
                await cluster.until(lambda: False, "the first payload", 30_000)
        finally:
            await cluster.close()


async def test_waiting_ends_when_the_time_is_up(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as session:
        cluster = Cluster(Settings(directory=tmp_path), SilentScreen(), session)
        try:
            await started(cluster, "import signal; signal.pause()")
            with pytest.raises(Unavailable, match="in vain: the first payload"):
                await cluster.until(lambda: False, "the first payload", 1)
        finally:
            await cluster.close()

    assert [host.process.pid for host in cluster.hosts] == [None] * 3
