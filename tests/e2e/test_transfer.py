"""Passing the leadership on with real processes: by an operator's word, and before the end."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from conductor.devnet.payloads import BlockBuilder
from conductor.exit_codes import ExitCode
from tests.e2e.nodes import (
    FAILOVER_S,
    FORM_S,
    Answer,
    Chain,
    Node,
    Nodes,
    eventually,
    running,
)
from tests.e2e.sequencing import Sequencing, sequencing
from tests.e2e.steering import operator_of

LEASE_S = 1.0
"""How long a target that has gone silent holds commits up at most."""
LASTING_S = 4.0
"""Several health intervals: a leadership that comes back at once does so within one or two."""
STOP_S = 3.0
"""An orderly end, the hand-over counted."""
SILENT_STOP_S = 5.0
"""The same when nobody answers any more: the node waits for a while, and gives up."""
BUSY_S = 1.0
"""What a machine that is busy with other things may add to any of these."""


def builder_of(node: Node) -> BlockBuilder:
    return BlockBuilder(seed=1, builder=node.name, transactions_bytes=200_000)


async def settled_leader(nodes: Nodes) -> Node:
    """The leader, once it knows that all are fit to lead."""
    leader = await nodes.leader(within_s=FORM_S)
    async with operator_of(leader) as operator:

        async def knows_all() -> bool:
            return await operator.serving() == {node.name for node in nodes}

        await eventually(knows_all, f"{leader.name} sees all serve", within_s=FORM_S)
    return leader


# By an operator's word


async def test_leadership_goes_where_an_operator_sends_it_and_back_under_load(
    tmp_path: Path,
) -> None:
    async with (
        running(3, tmp_path) as nodes,
        sequencing(nodes, tmp_path, builder_of, block_time_ms=50) as run,
    ):
        first = await settled_leader(nodes)
        await run.next_gossip(within_s=FORM_S)
        second = nodes.others(first)[-1]
        epoch = 0
        for source, target in ((first, second), (second, first), (first, second)):
            async with operator_of(source) as operator:
                answer = await operator.transfer(target.name)
            assert answer.leader_id == target.name, answer
            assert answer.epoch > epoch
            epoch = answer.epoch
            assert await nodes.leader(within_s=FAILOVER_S) is target
            record = await run.next_gossip(within_s=FAILOVER_S)
            assert record.node == target.name

        verdict = await run.verdict()
        assert verdict.passed, "\n".join(verdict.lines())


async def test_what_cannot_be_is_refused_and_the_leader_goes_on(tmp_path: Path) -> None:
    async with running(3, tmp_path) as nodes:
        leader = await settled_leader(nodes)
        paused, other = nodes.others(leader)
        chain = Chain()
        async with operator_of(leader) as operator, operator_of(paused) as bystander:
            for target, says in (
                ("node-9", "cannot find replication state for node-9"),
                (leader.name, "cannot transfer leadership to itself"),
            ):
                for force in (False, True):
                    answer = await operator.transfer(target, force=force)
                    assert (answer.code, answer.message) == ("transfer_refused", says)
            assert (await bystander.transfer(other.name)).code == "not_leader"

            await bystander.pause()

            async def pause_is_known() -> bool:
                return paused.name not in await operator.serving()

            await eventually(pause_is_known, "the leader sees the pause", within_s=FAILOVER_S)
            answer = await operator.transfer(paused.name)
            assert answer.code == "transfer_refused"
            assert f"{paused.name} is paused" in answer.message
            await chain.extend(leader)

            answer = await operator.transfer()
            assert answer.leader_id == other.name
            await chain.extend(other)


async def test_target_that_stands_still_holds_the_chain_up_for_a_lease_at_most(
    tmp_path: Path,
) -> None:
    """At first nobody can know. The leader goes on in its epoch; the target comes back for good."""
    async with running(3, tmp_path) as nodes:
        leader = await settled_leader(nodes)
        target = nodes.others(leader)[0]
        chain = Chain()
        await chain.extend(leader)
        epoch = (await leader.gateway.leader()).body["epoch"]
        loop = asyncio.get_running_loop()

        target.signal(signal.SIGSTOP)
        began = loop.time()
        async with operator_of(leader) as operator:
            first = await operator.transfer(target.name)
            assert loop.time() - began < LEASE_S + BUSY_S
            assert first.code == "outcome_unknown", first
            assert f"{target.name} does not answer" in first.message
            await chain.extend(leader)

            again = await operator.transfer(target.name, force=True)
            assert again.code == "transfer_refused", again
            assert again.message == f"{target.name} does not answer"
        await chain.extend(leader)
        assert (await leader.gateway.leader()).body["epoch"] == epoch

        target.signal(signal.SIGCONT)
        await eventually(
            lambda: certifies(nodes), "all go on, whoever leads them", within_s=FAILOVER_S + BUSY_S
        )


async def certifies(nodes: Nodes) -> bool:
    """Whether the leader takes a payload. A late order may have moved the leadership."""
    leader = await nodes.leader(within_s=FAILOVER_S)
    chain = Chain()
    await chain.resume(leader)
    return (await leader.gateway.commit(chain.block())).status == 200


async def test_transfer_lasts_and_its_leader_is_replaced_when_it_dies(tmp_path: Path) -> None:
    """An earlier node that is fit does not take it back, though nodes are in order (default)."""
    async with running(3, tmp_path) as nodes:
        first = await settled_leader(nodes)
        chosen = nodes.others(first)[-1]
        assert chosen is not nodes[0]
        chain = Chain()
        async with operator_of(first) as operator:
            epoch = (await operator.transfer(chosen.name)).epoch
        loop = asyncio.get_running_loop()
        until = loop.time() + LASTING_S
        while loop.time() < until:
            await chain.extend(chosen)
        for node in nodes:
            answer = await node.gateway.leader()
            assert (answer.body["leader_id"], answer.body["epoch"]) == (chosen.name, epoch)

        await chosen.process.kill()
        await eventually(
            lambda: certifies(nodes.others(chosen)), "the chain goes on", within_s=FAILOVER_S
        )


# Before the end


async def test_leader_that_is_told_to_stop_hands_over_first(tmp_path: Path) -> None:
    """The successor knows who gave it the leadership: it did not have to find out by itself."""
    async with (
        running(3, tmp_path) as nodes,
        sequencing(nodes, tmp_path, builder_of, block_time_ms=50) as run,
    ):
        leader = await settled_leader(nodes)
        await run.next_gossip(within_s=FORM_S)

        leader.signal(signal.SIGTERM)
        await assert_handed_over(nodes, leader, run)

        verdict = await run.verdict()
        assert verdict.passed, "\n".join(verdict.lines())


async def assert_handed_over(nodes: Nodes, leader: Node, run: Sequencing) -> None:
    asked_ms = run.now_ms()
    record = await run.next_gossip(within_s=FAILOVER_S, without=leader)
    assert record.at_ms - asked_ms < (LEASE_S + BUSY_S) * 1000
    assert await leader.ended(within_s=STOP_S + BUSY_S) == ExitCode.OK
    assert "event=hand_over_done" in leader.log
    successor = await nodes.others(leader).leader(within_s=FAILOVER_S)
    async with operator_of(successor) as operator:
        assert await operator.last_leadership() == (successor.name, f"{leader.name} stops")


async def test_stop_over_the_api_hands_over_first(tmp_path: Path) -> None:
    async with (
        running(3, tmp_path) as nodes,
        sequencing(nodes, tmp_path, builder_of, block_time_ms=50) as run,
    ):
        leader = await settled_leader(nodes)
        await run.next_gossip(within_s=FORM_S)
        async with operator_of(leader) as operator:
            await operator.stop()
        await assert_handed_over(nodes, leader, run)

        verdict = await run.verdict()
        assert verdict.passed, "\n".join(verdict.lines())


async def test_leader_that_stops_while_it_hands_over_ends_that_first(tmp_path: Path) -> None:
    async with running(3, tmp_path) as nodes:
        leader = await settled_leader(nodes)
        target = nodes.others(leader)[-1]
        async with operator_of(leader) as operator:
            asked = asyncio.create_task(operator.transfer(target.name))
            await asyncio.sleep(0)
            leader.signal(signal.SIGTERM)
            answer = await asked
        assert await leader.ended(within_s=STOP_S + BUSY_S) == ExitCode.OK
        successor = await nodes.others(leader).leader(within_s=FAILOVER_S)
        # Whichever came first: the node may have been about to stop when it was asked.
        if answer.leader_id:
            assert (answer.leader_id, successor.name) == (target.name, target.name)
        else:
            assert answer.code in {"transfer_refused", "not_leader", "shutting_down", "no_answer"}


async def test_leader_whose_followers_are_dead_stops_at_once(tmp_path: Path) -> None:
    async with running(3, tmp_path) as nodes:
        leader = await settled_leader(nodes)
        for follower in nodes.others(leader):
            await follower.process.kill()

        leader.signal(signal.SIGTERM)

        assert await leader.ended(within_s=STOP_S + BUSY_S) == ExitCode.OK


async def test_commits_that_wait_are_answered_before_the_end(tmp_path: Path) -> None:
    """Both followers stand still: nothing can be certified or handed over, and all is said."""
    async with running(3, tmp_path) as nodes:
        leader = await settled_leader(nodes)
        chain = Chain()
        await chain.extend(leader)
        for follower in nodes.others(leader):
            follower.signal(signal.SIGSTOP)
        waiting = [asyncio.create_task(leader.gateway.commit(chain.block())) for _ in range(2)]
        async with operator_of(leader) as operator:

            async def waits() -> bool:
                status = await operator.status()
                return status.last.index > status.certified.index

            await eventually(waits, "a commit waits for its quorum", within_s=FAILOVER_S)

        leader.signal(signal.SIGTERM)

        answers: list[Answer] = await asyncio.gather(*waiting)
        for answer in answers:
            assert answer.body["success"] is False, answer
            assert answer.body["outcome"] in {"refused", "unknown"}
            assert answer.body["error"]
        assert await leader.ended(within_s=SILENT_STOP_S + BUSY_S) == ExitCode.OK


async def test_all_nodes_that_stop_at_once_end_in_time(tmp_path: Path) -> None:
    """Each may be handed the leadership by another that stops as well, and refuses."""
    async with running(3, tmp_path) as nodes:
        await settled_leader(nodes)
        for node in nodes:
            node.signal(signal.SIGTERM)
        codes = await asyncio.gather(*(node.ended(within_s=SILENT_STOP_S) for node in nodes))
        assert codes == [ExitCode.OK] * 3
