"""From a cluster of real Raft nodes to conductors and back, with every block on the way.

Raft commits a hundred payloads; our conductors go on from the last one and certify fifty more; real
Raft goes on from ours. Nothing is lost, nothing forks, and no term or epoch ever falls.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from conductor.config import Config, parse_address
from conductor.devnet.processes import NodePlan, plan_nodes
from conductor.exit_codes import ExitCode
from conductor.migration import read_beginning
from conductor.payload import ssz_from_json
from raft_state.generate import ClusterRequest, generate_cluster
from raft_state.node import LOG_FILE
from tests.e2e.nodes import FORM_S, PROGRAM, Chain, Nodes, eventually, finished, nodes_of
from tests.interop.clusters import asked_for, database_files, request_for
from tests.interop.go import PAYLOADS, Raftkit
from tests.interop.views import assert_no_errors, store_view

RAFT_PAYLOADS = 100
OUR_PAYLOADS = 50


async def migrated(direction: str, *options: str | Path) -> Any:
    """The report of `op-conductor migrate`."""
    done = await finished(*PROGRAM, "migrate", direction, "-o", "json", *map(str, options))
    assert done.exit_code == ExitCode.OK, done.stderr
    return json.loads(done.stdout)


@asynccontextmanager
async def conductors(plans: Sequence[NodePlan]) -> AsyncIterator[Nodes]:
    """The conductors of these stores, which know from them who they are and where."""
    commands = [
        (
            plan,
            [
                *(*PROGRAM, "run"),
                *("--server-id", plan.server_id),
                *("--bind-addr", str(plan.gateway)),
                *("--identity", str(plan.identity)),
                *("--data-dir", str(plan.data_dir)),
            ],
        )
        for plan in plans
    ]
    async with nodes_of(commands) as nodes:
        await nodes.start()
        yield nodes


def plans_of(request: ClusterRequest, directory: Path) -> list[NodePlan]:
    """Conductors with the names of the Raft nodes; their gRPC listens where Raft did."""
    return [
        NodePlan(
            server_id=server_id,
            identity=plan.identity,
            gateway=plan.gateway,
            grpc=parse_address(address),
            data_dir=directory / server_id,
            log=directory / f"{server_id}.log",
        )
        for plan, server_id, address in zip(
            plan_nodes(len(request.server_ids), directory),
            request.server_ids,
            request.addresses,
            strict=True,
        )
    ]


def raft_ran(raftkit: Raftkit, state: Path, commits: int) -> Any:
    """Have Raft run on the directories, and commit; what it says of its one life."""
    (report,) = raftkit.run(
        *("cluster", "--dir", state, "--in-place", "--commits", commits), *PAYLOADS
    )
    assert report["check_errors"] == []
    (phase,) = report["phases"]
    return phase


async def test_payloads_survive_the_way_to_conductors_and_back(
    raftkit: Raftkit, tmp_path: Path
) -> None:
    request = request_for(3)
    state, back = tmp_path / "raft", tmp_path / "back"
    generate_cluster(request, state)
    first = await asyncio.to_thread(raft_ran, raftkit, state, RAFT_PAYLOADS)
    plans = plans_of(request, tmp_path / "stores")
    for plan in plans:
        report = await migrated(
            "from-raft", "--state-dir", state / plan.server_id, "--data-dir", plan.data_dir
        )
        assert report["head"]["height"] == RAFT_PAYLOADS
        assert report["first_epoch"] > first["term"]

    async with conductors(plans) as nodes:
        chain = Chain()
        leader = await nodes.leader(within_s=FORM_S)

        async def has_the_last_block() -> bool:
            return (await leader.gateway.latest()).status == 200

        await eventually(has_the_last_block, "the leader certifies it", within_s=FORM_S)
        await chain.resume(leader)
        assert chain.head.height == RAFT_PAYLOADS
        for _ in range(OUR_PAYLOADS):
            await chain.extend(leader)
        newest = await leader.gateway.get("/latest")
        epoch = (await leader.gateway.leader()).body["epoch"]
        await asyncio.gather(*(node.process.stop() for node in nodes))

    stores = [part for plan in plans for part in ("--data-dir", plan.data_dir)]
    report = await migrated("to-raft", *stores, "--output-dir", back)
    assert (report["head"]["height"], report["certified"]) == (150, True)
    assert report["head"]["block_hash"] == newest.body["executionPayload"]["blockHash"]
    assert report["term"] >= epoch

    raftkit.check(*database_files(request, back))
    assert_no_errors(back)
    logs = [store_view(back / name / LOG_FILE)["entries"] for name in request.server_ids]
    assert logs[0] == logs[1] == logs[2]
    # What Raft itself reads as its newest command is, byte for byte, what we held.
    command = raftkit.dump(back / request.server_ids[0] / LOG_FILE)["entries"][-1]
    newest_ssz = ssz_from_json(newest.text)
    assert command["data_sha256"] == hashlib.sha256(newest_ssz).hexdigest()
    last = await asyncio.to_thread(raft_ran, raftkit, back, 3)
    assert last["term"] > report["term"]
    for node in last["nodes"]:
        assert node["configuration"] == asked_for(request)
        assert node["height"] == RAFT_PAYLOADS + OUR_PAYLOADS + 3
    assert_no_errors(back)


def test_state_that_raft_has_compacted_is_begun_with(raftkit: Raftkit, tmp_path: Path) -> None:
    """Most of its payloads are in the snapshot alone, which is the newest block of its time."""
    request = request_for(3)
    generate_cluster(request, tmp_path)
    raftkit.run(
        *("cluster", "--dir", tmp_path, "--in-place", "--commits", 30, "--snapshot"),
        *("--restarts", 1),
        *PAYLOADS,
    )

    ends = set()
    for server_id in request.server_ids:
        beginning = read_beginning(Config(server_id=server_id), tmp_path)
        assert beginning.head is not None
        assert beginning.head.block.height == 60
        assert beginning.remarks == ()
        ends.add(beginning.founding.raft_end)
    assert len(ends) == 1
