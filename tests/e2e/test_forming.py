"""A cluster forms when all voters agree, and says why not until then; a wiped voter stays out."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from conductor.devnet.processes import NodePlan, plan_nodes
from conductor.exit_codes import ExitCode
from tests.e2e.nodes import (
    FAILOVER_S,
    FORM_S,
    Chain,
    Node,
    Nodes,
    eventually,
    nodes_of,
    plan_command,
    running,
)


async def says(node: Node, *texts: str) -> None:
    """Wait until a node is not healthy for a reason with these texts in it."""

    async def does() -> bool:
        answer = await node.gateway.health()
        return answer.status == 503 and all(text in answer.reasons for text in texts)

    try:
        await eventually(does, f"{node.name} says {texts}", within_s=FORM_S)
    except AssertionError as error:
        raise AssertionError(f"{error}; it says {(await node.gateway.health()).reasons}") from None


async def assert_nothing_formed(nodes: Nodes) -> None:
    for node in nodes:
        if node.process.pid is not None:
            assert "the cluster has not formed yet" in (await node.gateway.health()).reasons
            assert (await node.gateway.leader()).body["epoch"] == 0
            commit = await node.gateway.commit(Chain().block())
            assert (commit.status, commit.body["code"]) == (503, "not_formed")


async def test_voters_with_different_lists_do_not_form(tmp_path: Path) -> None:
    plans = plan_nodes(3, tmp_path)
    commands = [(plan, plan_command(plan, plans)) for plan in plans[:2]]
    odd = plans[2]
    commands.append((odd, plan_command(odd, [plans[0], odd])))
    async with nodes_of(commands) as nodes:
        await nodes.start()

        all_three = listed(plans)
        only_two = listed([plans[0], odd])
        await says(nodes[0], "node-3", f"names the voters {only_two}, this server {all_three}")
        await says(nodes[1], "node-3", f"names the voters {only_two}, this server {all_three}")
        await says(nodes[2], "node-1", f"names the voters {all_three}, this server {only_two}")
        await assert_nothing_formed(nodes)


def listed(plans: Sequence[NodePlan]) -> str:
    return "[" + ", ".join(sorted(str(plan.grpc) for plan in plans)) + "]"


async def test_cluster_forms_when_the_missing_voter_comes(tmp_path: Path) -> None:
    plans = plan_nodes(3, tmp_path)
    async with nodes_of([(plan, plan_command(plan, plans)) for plan in plans]) as nodes:
        missing = nodes[2]
        await asyncio.gather(*(node.process.start() for node in nodes.others(missing)))

        for node in nodes.others(missing):
            await says(node, f"{missing.plan.grpc} cannot be reached")
        await assert_nothing_formed(nodes)

        await missing.process.start()
        leader = await nodes.leader(within_s=FORM_S)
        await Chain().extend(leader)


async def test_voters_with_one_key_do_not_form(tmp_path: Path) -> None:
    plans = plan_nodes(3, tmp_path)
    twin = replace(plans[2], identity=plans[1].identity)
    commands = [(plan, plan_command(plan, plans)) for plan in (plans[0], plans[1], twin)]
    async with nodes_of(commands) as nodes:
        await nodes.start()

        twins = " and ".join(sorted(str(plan.grpc) for plan in plans[1:]))
        for node in nodes:
            await says(node, f"{twins} have the same key: give each server its own --identity")
        await assert_nothing_formed(nodes)


async def test_wiped_voter_counts_for_nothing(tmp_path: Path) -> None:
    """It says so, the two others go on, and without one of these nothing is certified.

    It runs at all only when an operator says that the old store is gone.
    """
    async with running(3, tmp_path) as nodes:
        chain = Chain()
        leader = await nodes.leader(within_s=FAILOVER_S)
        await chain.extend(leader)
        wiped, follower = nodes.others(leader)

        await wiped.process.kill()
        shutil.rmtree(wiped.plan.data_dir)
        await wiped.process.start()
        assert await wiped.ended(within_s=FORM_S) == ExitCode.STORE_REFUSED
        assert "--new-incarnation" in wiped.log.splitlines()[-1]
        await wiped.start_with("--new-incarnation")
        await says(wiped, "this store was made anew, and counts for nothing")
        await chain.extend(leader)

        await follower.process.kill()
        answer = await leader.gateway.commit(chain.block())
        assert (answer.status, answer.body["success"]) == (503, False)

        async def nobody_leads() -> bool:
            answers = [await node.gateway.leader() for node in (leader, wiped)]
            return [answer.body.get("is_leader") for answer in answers] == [False, False]

        await eventually(nobody_leads, "nobody leads", within_s=FAILOVER_S)
        assert (await leader.gateway.leader()).body["next_height"] == 3
