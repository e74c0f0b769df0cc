"""What an operator types, against real conductors: steer the leadership, and see why it moved."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from conductor.exit_codes import ExitCode
from tests.e2e.nodes import (
    FAILOVER_S,
    PROGRAM,
    Chain,
    Finished,
    Node,
    Nodes,
    eventually,
    finished,
    running,
)

SETTLE_S = 20.0


async def op_conductor(command: str, *nodes: Node) -> Finished:
    """Run a client command against these nodes, with time for a busy machine."""
    servers = ",".join(str(node.plan.grpc) for node in nodes)
    words = command.split()
    if words[0] in {"transfer", "pause", "resume", "override-leader"}:
        words.append("--yes")
    return await finished(*PROGRAM, *words, "--server", servers, "--timeout-ms", "15000")


async def document(command: str, *nodes: Node) -> dict[str, Any]:
    """What it answers as JSON; it must succeed."""
    result = await op_conductor(f"{command} -o json", *nodes)
    assert result.exit_code == ExitCode.OK, result
    shown: dict[str, Any] = json.loads(result.stdout)
    return shown


async def until_ready(nodes: Nodes) -> None:
    """Wait until every voter is fit to lead in the eyes of the leader."""

    async def ready() -> bool:
        return (await op_conductor("status", *nodes)).exit_code == ExitCode.OK

    await eventually(ready, "every voter serves", within_s=SETTLE_S)


async def test_leadership_follows_the_operator_who_sees_why(tmp_path: Path) -> None:
    """Away from a paused leader, to a named server through another, and to the best one."""
    async with running(3, tmp_path, "--leader-order", "sticky") as nodes:
        first = await nodes.leader(within_s=FAILOVER_S)
        await until_ready(nodes)

        paused = (await document("pause", first))["servers"][0]
        assert (paused["before"]["paused"], paused["after"]["paused"]) == (False, True)
        second = await nodes.leader(within_s=SETTLE_S)
        assert second is not first

        status = await op_conductor("status --all", second)
        assert status.exit_code == ExitCode.DEGRADED
        mending = f"{first.name} is paused: op-conductor resume --server {first.plan.grpc}"
        assert mending in status.stdout

        async def knows() -> bool:
            status = await op_conductor("status", second)
            return f"voter {first.name} is not serving" in status.stdout

        await eventually(knows, f"{second.name} knows of the pause", within_s=SETTLE_S)
        refused = await op_conductor(f"transfer {first.name}", second)
        assert refused.exit_code == ExitCode.REFUSED
        assert f"{first.name} is paused: resume it first" in refused.stderr

        resumed = (await document("resume", first))["servers"][0]
        assert resumed["after"]["paused"] is False
        await until_ready(nodes)

        (third,) = nodes.others(first, second)
        back = await op_conductor(f"transfer {first.name} -o json", third)
        assert back.exit_code == ExitCode.OK, back
        assert json.loads(back.stdout)["previous_leader_id"] == second.name
        asked = f"asking the leader, {second.name} at {second.plan.grpc}"
        assert asked in back.stderr
        assert await nodes.leader(within_s=SETTLE_S) is first

        async def reasons() -> list[tuple[str, str]]:
            (server,) = (await document("history", first))["servers"]
            return [(record["leader_id"], record["reason"]) for record in server["records"]]

        seen = await reasons()
        assert seen[0][0] == first.name
        assert seen[-1] == (first.name, "transfer: an operator asked")
        assert any(leader_id == second.name for leader_id, _ in seen)


async def test_payload_is_proven_from_what_any_member_says(tmp_path: Path) -> None:
    async with running(3, tmp_path) as nodes:
        leader = await nodes.leader(within_s=FAILOVER_S)
        follower = nodes.others(leader)[0]
        chain = Chain()
        await chain.extend(leader)
        await chain.extend(leader)
        cluster_id = (await document("members", leader))["cluster_id"]
        proof = f"payload --verify --cluster-id {cluster_id}"

        at_leader = await op_conductor(proof, leader)
        assert at_leader.exit_code == ExitCode.OK, at_leader
        shown = json.loads(at_leader.stdout)
        assert int(shown["executionPayload"]["blockNumber"], 16) == 2

        async def proven_by_follower() -> Finished | None:
            result = await op_conductor(proof, follower)
            newest = '"blockNumber":"0x2"' in result.stdout
            return result if newest and result.exit_code == ExitCode.OK else None

        at_follower = await eventually(
            proven_by_follower, "the follower proves the newest payload", within_s=SETTLE_S
        )
        assert at_follower.stdout == at_leader.stdout

        older = await op_conductor(proof.replace("payload", "payload 1", 1), leader)
        assert older.exit_code == ExitCode.ERROR
        assert "not proven" in older.stderr

        file = tmp_path / "1.ssz"
        written = await op_conductor(f"payload 1 -o ssz --out {file}", leader)
        assert written.exit_code == ExitCode.OK, written
        assert file.stat().st_size > 10_000


async def test_override_changes_answers_and_a_dead_server_changes_only_the_exit_code(
    tmp_path: Path,
) -> None:
    async with running(3, tmp_path) as nodes:
        leader = await nodes.leader(within_s=FAILOVER_S)
        follower, victim = nodes.others(leader)

        overridden = (await document("override-leader on", follower))["servers"][0]
        assert overridden["after"]["leader_overridden"] is True
        assert await follower.gateway.call("conductor_leader") is True
        await document("override-leader off", follower)
        assert await follower.gateway.call("conductor_leader") is False

        await victim.process.kill()
        partial = await op_conductor("pause -o json", follower, victim)
        assert partial.exit_code == ExitCode.DEGRADED
        done, failed = json.loads(partial.stdout)["servers"]
        assert done["changed"] is True
        assert failed["error"]["code"] == "peer_unreachable"
        answers = await asyncio.gather(
            op_conductor("history", victim), op_conductor("transfer", victim)
        )
        assert {answer.exit_code for answer in answers} == {ExitCode.UNREACHABLE}
