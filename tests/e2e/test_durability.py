"""A commit waits for the disks of a quorum, and nobody leads with a disk that is stuck.

Killing a process cannot show the first: what it wrote is still in the page cache. Delaying its
syncs can: `strace` holds every one of them for a while before it begins.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.nodes import FAILOVER_S, Chain, Node, eventually, running

SLOW_S = 2.0
STUCK_S = 60.0
COMMIT_TIMEOUT_MS = 8000
ATTACH_S = 10.0

STRACE = shutil.which("strace")
needs_strace = pytest.mark.skipif(STRACE is None, reason="there is no strace to delay syncs with")


@asynccontextmanager
async def slow_syncs(node: Node, delay_s: float) -> AsyncIterator[None]:
    """While the block lasts each sync of the node begins so much later."""
    assert STRACE is not None
    said = node.plan.log.with_suffix(".strace")
    with said.open("wb") as output:
        strace = await asyncio.create_subprocess_exec(
            *(STRACE, "-f", "-p", str(node.process.pid), "-e", "trace=fdatasync,fsync"),
            *("-e", f"inject=fdatasync,fsync:delay_enter={delay_s:g}s"),
            stderr=output,
        )
    try:

        async def is_attached() -> bool:
            if strace.returncode is not None:
                pytest.skip(f"strace may not attach to a process here: {said.read_text()}")
            return "attached" in said.read_text()

        await eventually(is_attached, f"strace attaches to {node.name}", within_s=ATTACH_S)
        yield
    finally:
        if strace.returncode is None:
            strace.kill()
        await strace.wait()


@needs_strace
async def test_commit_waits_for_the_disks_of_a_quorum(tmp_path: Path) -> None:
    """Both followers sync slowly: success comes, and comes no sooner than one of their syncs."""
    options = ("--commit-timeout-ms", str(COMMIT_TIMEOUT_MS))
    async with running(3, tmp_path, *options) as nodes, AsyncExitStack() as delays:
        leader = await nodes.leader(within_s=FAILOVER_S)
        chain = Chain()
        assert (await chain.extend(leader)).took_s < SLOW_S

        for follower in nodes.others(leader):
            await delays.enter_async_context(slow_syncs(follower, SLOW_S))
        answer = await chain.extend(leader, timeout_s=2 * COMMIT_TIMEOUT_MS / 1000)

        assert answer.took_s >= SLOW_S


@needs_strace
async def test_leader_with_a_stuck_disk_is_replaced(tmp_path: Path) -> None:
    """It answers every probe and every heartbeat, and leads no more."""
    async with running(3, tmp_path) as nodes:
        leader = await nodes.leader(within_s=FAILOVER_S)
        chain = Chain()
        await chain.extend(leader)

        async with slow_syncs(leader, STUCK_S):
            successor = await nodes.others(leader).leader(within_s=FAILOVER_S)
            await chain.resume(successor)
            await chain.extend(successor)

            async def is_unfit() -> bool:
                return (await leader.gateway.health()).status == 503

            # It abdicates after one interval with an unfinished write and is unfit after two.
            await eventually(is_unfit, f"{leader.name} is unfit", within_s=FAILOVER_S)
            assert (await leader.gateway.leader()).body["is_leader"] is False
