"""Every RPC of real nodes, called by clients that are not ours: `buf curl` and `grpcurl`.

What is called is checked against the services at the end: a new RPC has to be tried here.
"""

from __future__ import annotations

import base64
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from conductor.v1 import admin_pb2, conductor_pb2
from tests.conformance.grpc_clients import BUF, Buf, Caller, Grpcurl, Program
from tests.e2e.nodes import FAILOVER_S, FORM_S, Chain, Node, Nodes, eventually, finished, running
from tests.interop.go import BUILD_TIMEOUT_S
from tests.interop.go_tools import grpcurl

ROOT = Path(__file__).resolve().parents[2]
SETTLE_S = 20.0
"""Enough for anything that takes a beat or two, on a machine that has other work."""

NOT_FOUND, FAILED_PRECONDITION, INVALID_ARGUMENT = 5, 9, 3
CONDUCTOR = "ConductorService"
ADMIN = "AdminService"

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT_S + 120)


@pytest.fixture(params=["buf", "grpcurl"])
def program(request: pytest.FixtureRequest) -> Program:
    """Each client in turn."""
    return Buf() if request.param == "buf" else Grpcurl(grpcurl())


@pytest.fixture
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nodes and clients run where no configuration of anybody lies about."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


async def test_every_rpc_of_a_cluster(program: Program, own_directory: Path) -> None:
    caller = Caller(program)
    async with running(3, own_directory) as nodes:
        leader = await nodes.leader(within_s=FAILOVER_S)
        await all_serve(nodes)
        await commit_and_read(caller, leader)
        await ask_for_what_is_wrong(caller, nodes, leader)
        await override(caller, nodes.others(leader)[0])
        await pause(caller, nodes, nodes.others(leader)[0])
        await transfer(caller, nodes, own_directory)
        await stop(caller, nodes, own_directory)
    services = (
        conductor_pb2.DESCRIPTOR.services_by_name[CONDUCTOR],
        admin_pb2.DESCRIPTOR.services_by_name[ADMIN],
    )
    assert caller.called == {f"{one.name}/{rpc.name}" for one in services for rpc in one.methods}


async def all_serve(nodes: Nodes) -> None:
    """Wait until every node calls every other one fit, so that anyone may take the leadership."""

    async def serve() -> bool:
        statuses = [await node.gateway.call("conductor_status") for node in nodes]
        return all(
            status is not None and all(member["serving"] for member in status["members"])
            for status in statuses
        )

    await eventually(serve, "all are fit to lead", within_s=FORM_S)


async def commit_and_read(caller: Caller, leader: Node) -> None:
    at, ssz = leader.plan.grpc, Chain().block().ssz
    nothing = await caller.failure(at, f"{CONDUCTOR}/GetLatestPayload")
    assert (nothing.code, nothing.reason) == (NOT_FOUND, "not_found")

    payload = base64.b64encode(ssz).decode()
    committed = await caller.call(at, f"{CONDUCTOR}/Commit", payload=payload)
    assert committed["height"] == "1"
    stored = {"payload": payload, "index": committed["index"], "epoch": committed["epoch"]}
    assert await caller.call(at, f"{CONDUCTOR}/GetPayload", height=1) == stored
    assert await caller.call(at, f"{CONDUCTOR}/GetLatestPayload", consistent=True) == stored

    told = await caller.call(at, f"{CONDUCTOR}/GetLeader")
    assert told == {
        "is_leader": True,
        "epoch": committed["epoch"],
        "next_height": "2",
        "leader_id": leader.name,
    }
    proof = await caller.call(at, f"{CONDUCTOR}/GetCertificate")
    assert int(proof["certificate"]["index"]) >= int(committed["index"])
    words = proof["certificate"]["acknowledgements"]
    assert len(words) >= 2
    again = await caller.call(at, f"{CONDUCTOR}/Acknowledge", acknowledgement=words[0])
    assert again == {"certified": True, "height": "1"}


async def ask_for_what_is_wrong(caller: Caller, nodes: Nodes, leader: Node) -> None:
    at, follower = leader.plan.grpc, nodes.others(leader)[0].plan.grpc
    payload = base64.b64encode(b"nonsense").decode()
    wrong = await caller.failure(at, f"{CONDUCTOR}/Commit", payload=payload)
    assert (wrong.code, wrong.reason) == (INVALID_ARGUMENT, "invalid_payload")
    assert wrong.metadata == {"outcome": "refused"}

    unsigned = await caller.failure(at, f"{CONDUCTOR}/Acknowledge")
    assert (unsigned.code, unsigned.text[:10]) == (INVALID_ARGUMENT, "server_id:")
    missing = await caller.failure(at, f"{CONDUCTOR}/GetPayload", height=99)
    assert (missing.code, missing.reason) == (NOT_FOUND, "not_found")

    elsewhere = await caller.failure(follower, f"{ADMIN}/TransferLeader")
    assert (elsewhere.code, elsewhere.reason) == (FAILED_PRECONDITION, "not_leader")
    assert elsewhere.metadata == {"outcome": "refused", "leader_id": leader.name}
    stranger = await caller.failure(at, f"{ADMIN}/TransferLeader", server_id="stranger")
    assert (stranger.code, stranger.reason) == (FAILED_PRECONDITION, "transfer_refused")


async def override(caller: Caller, follower: Node) -> None:
    at = follower.plan.grpc
    was = []
    for overridden in (True, False):
        answer = await caller.call(at, f"{ADMIN}/OverrideLeader", overridden=overridden)
        was.append(answer["was_overridden"])
        told = await caller.call(at, f"{CONDUCTOR}/GetLeader")
        status = await caller.call(at, f"{CONDUCTOR}/GetStatus")
        assert told["is_leader"] is status["is_leader"] is overridden
        assert status["leader_overridden"] is overridden
        assert status["role"] == "follower"
    assert was == [False, True]


async def pause(caller: Caller, nodes: Nodes, follower: Node) -> None:
    """A paused voter is no target, by nobody's word."""
    leader = (await nodes.leader(within_s=SETTLE_S)).plan.grpc
    assert await caller.call(follower.plan.grpc, f"{ADMIN}/Pause") == {"was_paused": False}
    assert (await caller.call(follower.plan.grpc, f"{CONDUCTOR}/GetStatus"))["paused"] is True

    async def refused() -> bool:
        """Until the leader has heard of it, the target itself refuses."""
        failed = await caller.failure(leader, f"{ADMIN}/TransferLeader", server_id=follower.name)
        assert failed.reason == "transfer_refused"
        return "is paused: resume it first" in failed.text

    await eventually(refused, "a paused target is refused", within_s=SETTLE_S)
    forced = {"server_id": follower.name, "force": True}
    failed = await caller.failure(leader, f"{ADMIN}/TransferLeader", **forced)
    assert "is paused: resume it first" in failed.text
    assert await caller.call(follower.plan.grpc, f"{ADMIN}/Resume") == {"was_paused": True}
    await all_serve(nodes)


async def transfer(caller: Caller, nodes: Nodes, directory: Path) -> None:
    leader = await nodes.leader(within_s=SETTLE_S)
    target, witness = nodes.others(leader)
    async with caller.watching(witness.plan.grpc, directory) as watch:
        first = await watch.until_told(leader.name, within_s=SETTLE_S)
        assert first["reason"] == ""
        done = await caller.call(leader.plan.grpc, f"{ADMIN}/TransferLeader", server_id=target.name)
        assert (done["previous_leader_id"], done["leader_id"]) == (leader.name, target.name)
        assert int(done["epoch"]) > int(first["epoch"])
        told = await watch.until_told(target.name, within_s=SETTLE_S)
        assert (told["epoch"], told["is_leader"]) == (done["epoch"], False)
        assert told["reason"] == "transfer: an operator asked"
    history = await caller.call(witness.plan.grpc, f"{CONDUCTOR}/GetHistory")
    newest: dict[str, Any] = history["records"][-1]
    assert (newest["leader_id"], newest["epoch"]) == (target.name, done["epoch"])
    assert newest["reason"] == "transfer: an operator asked"
    assert int(newest["began_at_ms"]) > 0


async def stop(caller: Caller, nodes: Nodes, directory: Path) -> None:
    """The leader hands over first; who watched it learns that, and is let go without an error."""
    leader = await nodes.leader(within_s=SETTLE_S)
    async with caller.watching(leader.plan.grpc, directory) as watch:
        await watch.until_told(leader.name, within_s=SETTLE_S)
        assert await caller.call(leader.plan.grpc, f"{ADMIN}/Stop") == {}
        assert await leader.ended(within_s=SETTLE_S) == 0
        assert await watch.ended(within_s=SETTLE_S) == 0
    assert len(watch.told) > 1
    assert watch.told[-1]["leader_id"] != leader.name
    assert "hand_over_done" in leader.log
    await nodes.others(leader).leader(within_s=SETTLE_S)


def examples() -> list[list[str]]:
    """The commands of the reference that no output follows, of both programs."""
    text = (ROOT / "docs" / "api.md").read_text("utf-8")
    (text,) = re.findall(r"^## gRPC\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    (block,) = (one for one in re.findall(r"```console\n(.*?)```", text, re.DOTALL) if "buf" in one)
    return [
        shlex.split(line) for line in block.replace("\\\n", " ").removeprefix("$ ").split("\n$ ")
    ]


async def test_examples_of_the_reference_work_as_they_are_written(own_directory: Path) -> None:
    programs = {"buf": BUF, "grpcurl": str(grpcurl())}
    async with running(3, own_directory) as nodes:
        leader = await nodes.leader(within_s=FAILOVER_S)
        await all_serve(nodes)
        await Chain().extend(leader)
        target = nodes.others(leader)[0]
        asked = examples()
        assert len(asked) > 5
        for program, *arguments in asked:
            words = [
                word.replace("localhost:18080", str(leader.plan.grpc))
                .replace('"height": 99', '"height": 1')
                .replace("node-2", target.name)
                for word in arguments
            ]
            done = await finished(programs[program], *words)
            assert done.exit_code == 0, (program, arguments, done)
            assert done.stdout.strip(), (program, arguments)


async def test_error_of_the_reference_is_what_grpcurl_prints(own_directory: Path) -> None:
    text = (ROOT / "docs" / "api.md").read_text("utf-8")
    (shown,) = re.findall(r"```console\n\$ grpcurl .*18081 (\S+)\n(ERROR:.*?)```", text, re.DOTALL)
    async with running(3, own_directory) as nodes:
        leader = await nodes.leader(within_s=FAILOVER_S)
        follower = nodes.others(leader)[0]
        done = await finished(str(grpcurl()), "-plaintext", str(follower.plan.grpc), shown[0])
    assert done.stderr.strip() == shown[1].strip().replace("node-1", leader.name)
