"""A live cluster as operators and their tools see it: health checks, reflection, `status`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from conductor.exit_codes import ExitCode
from tests.e2e.nodes import (
    FAILOVER_S,
    PROGRAM,
    Finished,
    Nodes,
    alone,
    eventually,
    finished,
    running,
)

BUF = Path(sys.executable).parent / "buf"
SETTLE_S = 10.0


async def test_standard_health_check_and_reflection(tmp_path: Path) -> None:
    async with alone(tmp_path) as node:
        address = f"http://{node.plan.grpc}"
        services = await buf_curl("--list-services", address)
        assert services.stdout.split() == [
            "conductor.v1.AdminService",
            "conductor.v1.ConductorService",
            "conductor.v1.ReplicationService",
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
        ]

        async def serves() -> bool:
            health = await buf_curl("--data", "{}", f"{address}/grpc.health.v1.Health/Check")
            return bool(json.loads(health.stdout) == {"status": "SERVING"})

        await eventually(serves, "it serves", within_s=FAILOVER_S)
        leader = await buf_curl(
            "--data", "{}", f"{address}/conductor.v1.ConductorService/GetLeader"
        )
        assert json.loads(leader.stdout)["leaderId"] == node.name


async def buf_curl(*arguments: str) -> Finished:
    """Ask as a user does who has nothing but the address: buf learns the rest by reflection."""
    protocol = ("--protocol", "grpc", "--http2-prior-knowledge")
    answer = await finished(str(BUF), "curl", *protocol, *arguments)
    assert answer.exit_code == 0, answer
    return answer


async def status_of(nodes: Nodes, *options: str) -> Finished:
    servers = ",".join(str(node.plan.grpc) for node in nodes)
    return await finished(*PROGRAM, "status", "--server", servers, *options)


async def test_status_tells_the_state_of_the_cluster_by_its_exit_code(tmp_path: Path) -> None:
    """0 all well, 3 a voter is gone, 4 the quorum is gone, 6 all are gone."""
    async with running(3, tmp_path) as nodes:
        leader = await nodes.leader(within_s=FAILOVER_S)
        followers = nodes.others(leader)

        async def exits_with(code: ExitCode) -> Finished | None:
            result = await status_of(Nodes([leader]), "-o", "json")
            assert json.loads(result.stdout)["exit_code"] == result.exit_code
            return result if result.exit_code == code else None

        async def say(code: ExitCode) -> dict[str, Any]:
            what = f"status exits with {code}"
            result = await eventually(lambda: exits_with(code), what, within_s=SETTLE_S)
            document: dict[str, Any] = json.loads(result.stdout)
            return document

        healthy = await say(ExitCode.OK)
        assert healthy["state"] == "healthy"
        table = await status_of(nodes)
        assert table.exit_code == ExitCode.OK
        for node in nodes:
            assert node.name in table.stdout

        await followers[0].process.kill()
        degraded = await say(ExitCode.DEGRADED)
        missing = f"voter {followers[0].name} is unreachable from {leader.name}"
        assert missing in degraded["problems"]
        assert (await status_of(nodes)).exit_code == ExitCode.DEGRADED

        await followers[1].process.kill()
        await say(ExitCode.NO_LEADER)

        await leader.process.kill()
        gone = await status_of(nodes)
        assert gone.exit_code == ExitCode.UNREACHABLE
