"""A leader without its followers certifies nothing and steps down; a majority has a leader."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from tests.e2e.nodes import FAILOVER_S, Chain, Node, eventually, running

ROUNDS = 2
"""How often each of the three is killed; `scripts/kill_rounds --in-turn` goes on for longer."""


async def test_leader_without_its_followers_certifies_nothing(tmp_path: Path) -> None:
    """Both followers stand still: every commit is answered within a second, none with success."""
    async with running(3, tmp_path) as nodes:
        leader = await nodes.leader(within_s=FAILOVER_S)
        followers = nodes.others(leader)
        chain = Chain()
        await chain.extend(leader)

        for follower in followers:
            follower.signal(signal.SIGSTOP)
        await assert_commit_fails_clearly(leader, chain)
        await eventually(
            lambda: says_it_does_not_lead(leader), "the leader steps down", within_s=FAILOVER_S
        )
        await assert_commit_fails_clearly(leader, chain)
        assert (await leader.gateway.leader()).body["next_height"] == 2

        for follower in followers:
            follower.signal(signal.SIGCONT)
        leader = await nodes.leader(within_s=FAILOVER_S)
        await chain.resume(leader)
        await chain.extend(leader)


async def assert_commit_fails_clearly(node: Node, chain: Chain) -> None:
    answer = await node.gateway.commit(chain.block())

    assert answer.status in {409, 503}, answer
    assert answer.body["success"] is False
    assert answer.body["error"]
    assert answer.body["outcome"] in {"refused", "unknown"}
    assert answer.took_s < 1.0


async def says_it_does_not_lead(node: Node) -> bool:
    answer, by_rpc = await asyncio.gather(
        node.gateway.leader(), node.gateway.call("conductor_leader")
    )
    return answer.body.get("is_leader") is False and by_rpc is False


async def test_majority_soon_has_a_leader_whoever_is_killed(tmp_path: Path) -> None:
    """Each of the three is killed in turn, the next one as soon as the last one answers again."""
    async with running(3, tmp_path) as nodes:
        chain = Chain()
        for victim in list(nodes) * ROUNDS:
            await victim.process.kill()
            leader = await nodes.others(victim).leader(within_s=FAILOVER_S)
            await chain.resume(leader)
            await chain.extend(leader)
            await victim.process.start()
            await victim.answers()
