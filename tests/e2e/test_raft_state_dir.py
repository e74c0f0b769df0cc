"""Clusters that begin with what `op-conductor-init generate` has written, instead of with peers."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from conductor.devnet.payloads import GENESIS, Block, BlockBuilder
from conductor.devnet.processes import NodePlan, plan_nodes
from conductor.exit_codes import ExitCode
from raft_state.bolt import write_database
from raft_state.node import LOG_FILE, STABLE_FILE
from raft_state.raft import (
    CONF,
    LOGS,
    Configuration,
    EntryType,
    LogEntry,
    Server,
    StableState,
    encode_configuration,
    encode_entry,
    index_key,
    stable_items,
)
from tests.e2e.nodes import (
    FORM_S,
    PROGRAM,
    Chain,
    Node,
    Nodes,
    eventually,
    finished,
    nodes_of,
)

GOLDEN_SSZ = Path(__file__).resolve().parent.parent / "raft_state" / "golden" / "ssz"
INIT = [sys.executable, "-c", "from raft_state.cli.main import main; main()"]


async def generate(
    directory: Path, plans: Sequence[NodePlan], *, leader: str, term: int = 1, mode: str = "vote"
) -> None:
    """Make the state of a cluster of these nodes, at their gRPC addresses."""
    made = await finished(
        *(*INIT, "generate"),
        *("--nodes", ",".join(str(plan.grpc) for plan in plans)),
        *("--server-ids", ",".join(plan.server_id for plan in plans)),
        *("--initial-leader", leader),
        *("--initial-term", str(term)),
        *("--leader-mode", mode),
        *("--output-dir", str(directory)),
    )
    assert made.exit_code == 0, made.stderr


def command(plan: NodePlan, state: Path | None, *options: str) -> list[str]:
    """A node that knows nothing of its peers, nor of its own name and gRPC port."""
    return [
        *(*PROGRAM, "run"),
        *("--bind-addr", str(plan.gateway)),
        *("--identity", str(plan.identity)),
        *("--data-dir", str(plan.data_dir)),
        *(("--raft-state-dir", str(state / plan.server_id)) if state is not None else ()),
        *options,
    ]


async def led_at(leader: Node) -> tuple[str, int]:
    """Who leads, and in which epoch."""
    answer = await leader.gateway.leader()
    return leader.name, answer.body["epoch"]


@pytest.mark.parametrize("mode", ["vote", "enforced"])
@pytest.mark.parametrize("term", [1, 5])
async def test_initial_leader_leads_first_in_the_epoch_after_the_term(
    tmp_path: Path, mode: str, term: int
) -> None:
    """The last one in order is to lead: nothing else would make it the first."""
    plans, state = plan_nodes(3, tmp_path), tmp_path / "state"
    await generate(state, plans, leader="node-3", term=term, mode=mode)
    async with nodes_of([(plan, command(plan, state)) for plan in plans]) as nodes:
        await nodes.start()
        leader = await nodes.leader(within_s=FORM_S)

        # There is one leader in an epoch, and no promise of an epoch before this one.
        assert await led_at(leader) == ("node-3", term + 1)
        await Chain().extend(leader)


async def test_restarted_nodes_ignore_the_state_and_need_it_no_more(tmp_path: Path) -> None:
    plans, state = plan_nodes(3, tmp_path), tmp_path / "state"
    await generate(state, plans, leader="node-2")
    chain = Chain()
    async with nodes_of([(plan, command(plan, state)) for plan in plans]) as nodes:
        await nodes.start()
        leader = await nodes.leader(within_s=FORM_S)
        _, first_epoch = await led_at(leader)
        await chain.extend(leader)
        await asyncio.gather(*(node.process.stop() for node in nodes))

        await generate(tmp_path / "other", plans, leader="node-1", term=9000)
        shutil.rmtree(state)
        (tmp_path / "other").rename(state)
        await nodes.start()
        leader = await nodes.leader(within_s=FORM_S)
        _, epoch = await led_at(leader)
        assert first_epoch < epoch < 9000
        await chain.extend(leader)
        for node in nodes:
            assert node.log.count("raft_state_read") == node.log.count("raft_state_ignored") == 1

    shutil.rmtree(state)
    commands = [
        (plan, command(plan, None, "--server-id", plan.server_id, "--quorum-threshold", "1"))
        for plan in plans
    ]
    async with nodes_of(commands[:1]) as nodes:
        await nodes.start()
        assert await nodes[0].ended(within_s=FORM_S) == ExitCode.STORE_REFUSED
        assert "--quorum-threshold is majority, here it is 1" in nodes[0].log
    commands = [(plan, command(plan, None, "--server-id", plan.server_id)) for plan in plans]
    async with nodes_of(commands) as nodes:
        await nodes.start()
        await chain.extend(await nodes.leader(within_s=FORM_S))


async def test_node_that_restarts_before_the_cluster_has_formed_waits_for_the_same(
    tmp_path: Path,
) -> None:
    """Its store is there, so the state is not read again: with nobody else it must not form."""
    plans, state = plan_nodes(3, tmp_path), tmp_path / "state"
    await generate(state, plans, leader="node-3", term=5)
    async with nodes_of([(plan, command(plan, state)) for plan in plans]) as nodes:
        early = nodes[2]
        for _ in range(2):
            await early.process.start()
            await waits_for(early, nodes.others(early))
            await early.process.kill()
        await nodes.start()
        leader = await nodes.leader(within_s=FORM_S)
        assert await led_at(leader) == ("node-3", 6)


async def waits_for(node: Node, others: Nodes) -> None:
    async def does() -> bool:
        reasons = (await node.gateway.health()).reasons
        return all(f"{other.plan.grpc} cannot be reached" in reasons for other in others)

    await eventually(does, f"{node.name} waits for the others", within_s=FORM_S)


async def test_nodes_whose_terms_differ_come_to_one_leader(tmp_path: Path) -> None:
    plans = plan_nodes(3, tmp_path)
    terms = (1, 5, 9)
    for term in terms:
        await generate(tmp_path / f"state-{term}", plans, leader="node-1", term=term)
    commands = [
        (plan, command(plan, tmp_path / f"state-{term}"))
        for plan, term in zip(plans, terms, strict=True)
    ]
    async with nodes_of(commands) as nodes:
        await nodes.start()

        async def leads_all() -> Node | None:
            leader = await nodes.leader(within_s=FORM_S)
            return leader if (await led_at(leader))[1] > max(terms) else None

        await Chain().extend(await eventually(leads_all, "all follow", within_s=FORM_S))


async def test_state_that_cannot_be_begun_with_is_refused_and_nothing_is_made(
    tmp_path: Path,
) -> None:
    plans, state = plan_nodes(1, tmp_path), tmp_path / "state"
    (plan,) = plans
    await generate(state, plans, leader="node-1", term=2**40)

    refused = await finished(*command(plan, state))
    assert refused.exit_code == ExitCode.STORE_REFUSED
    assert f"term {2**40} is too high" in refused.stderr.splitlines()[-1]

    misnamed = await finished(*command(plan, state, "--server-id", "node-2"))
    assert misnamed.exit_code == ExitCode.USAGE
    assert "rename it, or leave --server-id out" in misnamed.stderr.splitlines()[-1]
    assert not plan.data_dir.exists()


# Raft states with payloads


def write_raft_node(
    state: Path, plans: Sequence[NodePlan], server_id: str, *payloads: bytes, term: int = 3
) -> None:
    """A node's directory whose log holds the members and then payloads, the last of that term."""
    servers = tuple(Server(plan.server_id, str(plan.grpc)) for plan in plans)
    members = encode_configuration(Configuration(servers))
    entries = [LogEntry(1, 1, EntryType.CONFIGURATION, members)]
    for index, ssz in enumerate(payloads, start=2):
        entries.append(LogEntry(index, term, EntryType.COMMAND, ssz))
    directory = state / server_id
    directory.mkdir(parents=True)
    items = [(index_key(entry.index), encode_entry(entry)) for entry in entries]
    write_database(directory / LOG_FILE, {LOGS: items, CONF: []})
    stable = stable_items(StableState(current_term=term))
    write_database(directory / STABLE_FILE, {LOGS: [], CONF: stable})


def blocks(count: int, branch: str = "raft") -> list[Block]:
    """A chain as a Go cluster left it."""
    builder, parent = BlockBuilder(seed=2, builder=branch, transactions_bytes=2000), GENESIS
    built = []
    for _ in range(count):
        built.append(builder.build(parent))
        parent = built[-1].head
    return built


async def certified_height(node: Node) -> int:
    """Of the newest payload that the node gives out; 0 without one."""
    answer = await node.gateway.latest()
    return int(answer.body["executionPayload"]["blockNumber"], 16) if answer.status == 200 else 0


async def test_cluster_goes_on_from_the_newest_block_of_the_raft_cluster(tmp_path: Path) -> None:
    """One node alone holds it, and leads first for that; nobody gets anything older past it."""
    plans, state = plan_nodes(3, tmp_path), tmp_path / "state"
    chain = blocks(5)
    for plan, count in zip(plans, (4, 3, 5), strict=True):
        write_raft_node(state, plans, plan.server_id, *(block.ssz for block in chain[:count]))
    async with nodes_of([(plan, command(plan, state)) for plan in plans]) as nodes:
        await nodes.start()
        leader = await nodes.leader(within_s=FORM_S)
        assert leader.name == "node-3"

        async def goes_on() -> bool:
            return await certified_height(leader) == 5

        await eventually(goes_on, "the newest block is certified", within_s=FORM_S)
        sibling = blocks(5, "another")[4]
        refused = await leader.gateway.commit(sibling)
        assert (refused.status, refused.body["outcome"]) == (409, "refused")
        repeated = await leader.gateway.commit(chain[4])
        assert repeated.body["success"] is True
        following = Chain()
        await following.resume(leader)
        await following.extend(leader)
        for node in nodes:
            assert node.log.count("event=head_certified") == (node is leader)

        # It is in the log now: whoever leads next has it, and needs its own store for nothing.
        await leader.process.kill()
        second = await nodes.others(leader).leader(within_s=FORM_S)
        await following.extend(second)
        assert await certified_height(second) == 7


async def test_leader_without_the_newest_block_takes_its_child_from_op_node(
    tmp_path: Path,
) -> None:
    """The node that holds it is paused, so another one leads first, and waits for op-node."""
    plans, state = plan_nodes(3, tmp_path), tmp_path / "state"
    chain = blocks(6)
    for plan, count in zip(plans, (3, 3, 5), strict=True):
        write_raft_node(state, plans, plan.server_id, *(block.ssz for block in chain[:count]))
    commands = [
        (plan, command(plan, state, *(("--paused",) if plan.server_id == "node-3" else ())))
        for plan in plans
    ]
    async with nodes_of(commands) as nodes:
        await nodes.start()
        leader = await nodes.leader(within_s=FORM_S)
        assert leader.name != "node-3"

        async def waits() -> bool:
            return "event=head_awaited" in leader.log

        await eventually(waits, "the leader says what it waits for", within_s=FORM_S)
        for stale in (chain[2], chain[3], blocks(4, "another")[3]):
            assert (await leader.gateway.commit(stale)).status == 409
        taken = await leader.gateway.commit(chain[5])
        assert taken.body["success"] is True
        assert await certified_height(leader) == 6


async def test_nodes_of_two_raft_clusters_do_not_form_and_each_says_why(tmp_path: Path) -> None:
    plans, state = plan_nodes(3, tmp_path), tmp_path / "state"
    for plan, branch in zip(plans, ("one", "one", "another"), strict=True):
        ours = [block.ssz for block in blocks(3, branch)]
        write_raft_node(state, plans, plan.server_id, *ours)
    async with nodes_of([(plan, command(plan, state)) for plan in plans]) as nodes:
        await nodes.start()
        for node in nodes:

            async def says_why(node: Node = node) -> bool:
                return "they are not of one cluster" in (await node.gateway.health()).reasons

            await eventually(says_why, f"{node.name} says why", within_s=FORM_S)


async def test_migrated_store_is_all_that_a_server_needs(tmp_path: Path) -> None:
    plans, state = plan_nodes(1, tmp_path), tmp_path / "state"
    (plan,) = plans
    chain = blocks(3)
    write_raft_node(state, plans, plan.server_id, *(block.ssz for block in chain))
    migrate = ("migrate", "from-raft", "--state-dir", str(state / plan.server_id))
    made = await finished(*PROGRAM, *migrate, "--data-dir", str(plan.data_dir))
    assert made.exit_code == 0, made.stderr
    again = await finished(*PROGRAM, *migrate, "--data-dir", str(plan.data_dir))
    assert again.exit_code == ExitCode.REFUSED
    shutil.rmtree(state)

    commands = [(plan, command(plan, None, "--server-id", plan.server_id))]
    async with nodes_of(commands) as (node,):
        await node.process.start()

        async def goes_on() -> bool:
            return await certified_height(node) == 3

        await eventually(goes_on, "the newest block is certified", within_s=FORM_S)
        busy = await finished(
            *(*PROGRAM, "migrate", "to-raft"),
            *("--data-dir", str(plan.data_dir), "--output-dir", str(tmp_path / "back")),
        )
        assert busy.exit_code == ExitCode.STORE_REFUSED
        assert "used by another process" in busy.stderr
        assert not (tmp_path / "back").exists()


async def test_payload_that_nobody_reads_any_more_is_refused(tmp_path: Path) -> None:
    plans, state = plan_nodes(1, tmp_path), tmp_path / "state"
    (plan,) = plans
    legacy = (GOLDEN_SSZ / "legacy_v3_1.bin").read_bytes()
    write_raft_node(state, plans, plan.server_id, legacy)

    refused = await finished(*command(plan, state))

    assert refused.exit_code == ExitCode.STORE_REFUSED
    assert "entry 2 holds the newest payload" in refused.stderr.splitlines()[-1]
    assert not plan.data_dir.exists()
