"""Every JSON-RPC method of real nodes, called by a client that is not ours: Foundry's `cast rpc`.

What is called is checked against the table of methods at the end: a new one has to be tried here.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from conductor.api.jsonrpc_methods import METHODS
from conductor.devnet.payloads import Block
from tests.conformance.npm import INSTALL_TIMEOUT_S, cast
from tests.e2e.nodes import FAILOVER_S, FORM_S, Chain, Node, Nodes, eventually, finished, running

ROOT = Path(__file__).resolve().parents[2]
SETTLE_S = 20.0
"""Enough for anything that takes a beat or two, on a machine that has other work."""

pytestmark = pytest.mark.timeout(INSTALL_TIMEOUT_S + 120)


class CastError(Exception):
    """`cast` was answered with an error, or not at all: what it has printed."""


class Cast:
    """Calls methods with `cast rpc`, and remembers which."""

    def __init__(self, program: Path) -> None:
        self._program = program
        self.called: set[str] = set()

    async def rpc(self, node: Node, method: str, *params: object) -> Any:
        """The result of a method. CastError."""
        self.called.add(method)
        url = f"http://{node.plan.gateway}"
        raw = json.dumps(params)
        done = await finished(
            *(str(self._program), "rpc", "--no-proxy", "--rpc-url", url, "--raw", method, raw)
        )
        if done.exit_code != 0:
            raise CastError(done.stderr.strip())
        return json.loads(done.stdout)

    async def error(self, node: Node, method: str, *params: object) -> str:
        """The error of a method: its code and its text, as cast prints them."""
        try:
            result = await self.rpc(node, method, *params)
        except CastError as error:
            return str(error).partition("error code ")[2]
        raise AssertionError(f"{method}{params} was answered with {result}")


@pytest.fixture(scope="module")
def program() -> Path:
    """Foundry's `cast`."""
    return cast()


@pytest.fixture
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nodes and `cast` run where no configuration of anybody lies about."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


async def test_cast_calls_every_method(program: Path, own_directory: Path) -> None:
    client = Cast(program)
    async with running(3, own_directory) as nodes:
        leader = await nodes.leader(within_s=FAILOVER_S)
        await ask_how_things_are(client, nodes, leader)
        await commit_and_read(client, leader)
        await ask_for_what_is_wrong(client, leader)
        await override(client, leader, nodes.others(leader)[0])
        await pause_and_resume(client, nodes.others(leader)[0])
        await transfer(client, nodes, leader)
        await stop(client, nodes)
    assert client.called >= set(METHODS)


async def ask_how_things_are(client: Cast, nodes: Nodes, leader: Node) -> None:
    modules = await client.rpc(leader, "rpc_modules")
    assert modules == {"conductor": "1.0", "health": "1.0", "rpc": "1.0"}
    document = await client.rpc(leader, "rpc.discover")
    assert [method["name"] for method in document["methods"]] == list(METHODS)
    assert await client.rpc(leader, "health_status") == document["info"]["version"]

    membership = await client.rpc(leader, "conductor_clusterMembership")
    addresses = {server["id"]: server["addr"] for server in membership["servers"]}
    assert addresses == {node.name: str(node.plan.grpc) for node in nodes}
    assert {server["suffrage"] for server in membership["servers"]} == {0}
    for node in nodes:
        assert await client.rpc(node, "conductor_leader") is (node is leader)
        assert await client.rpc(node, "conductor_leaderWithID") == {
            "id": leader.name,
            "addr": addresses[leader.name],
            "suffrage": 0,
        }
    for method, value in (
        ("conductor_active", True),
        ("conductor_sequencerHealthy", True),
        ("conductor_paused", False),
        ("conductor_stopped", False),
        ("conductor_leaderOverridden", False),
    ):
        assert await client.rpc(leader, method) is value
    status = await client.rpc(leader, "conductor_status")
    assert (status["server_id"], status["is_leader"], status["role"]) == (
        leader.name,
        True,
        "leader",
    )
    assert status["epoch"] == await client.rpc(leader, "conductor_epoch") > 0


async def commit_and_read(client: Cast, leader: Node) -> None:
    assert "no payload is certified yet" in await client.error(
        leader, "conductor_latestUnsafePayload"
    )
    block: Block = Chain(transactions_bytes=500).block()
    envelope = json.loads(block.envelope_json)
    for _ in range(2):  # Sent again it counts once.
        assert await client.rpc(leader, "conductor_commitUnsafePayload", envelope) is None
    for params in ((), (None,), (True,)):
        assert await client.rpc(leader, "conductor_latestUnsafePayload", *params) == envelope
    height = int(envelope["executionPayload"]["blockNumber"], 16)
    assert await client.rpc(leader, "conductor_payloadByHeight", height) == envelope
    certificate = (await client.rpc(leader, "conductor_certificate"))["certificate"]
    assert len(certificate["acknowledgements"]) >= 2
    for word in certificate["acknowledgements"]:
        receipt = await client.rpc(leader, "conductor_acknowledge", word)
        assert receipt == {"certified": True, "height": height}


async def ask_for_what_is_wrong(client: Cast, leader: Node) -> None:
    for method, params, error in (
        (
            "conductor_nothing",
            (),
            "-32601: the method conductor_nothing does not exist/is not available",
        ),
        ("conductor_leader", (1,), "-32602: too many arguments, want at most 0"),
        ("conductor_payloadByHeight", (), "-32602: missing value for required argument 0"),
        (
            "conductor_overrideLeader",
            ("yes",),
            "-32602: invalid argument 0: Expected `bool`, got `str`",
        ),
        (
            "conductor_commitUnsafePayload",
            ({},),
            "-32602: invalid argument 0: parentHash: is missing",
        ),
    ):
        assert (await client.error(leader, method, *params)).startswith(error)


async def override(client: Cast, leader: Node, follower: Node) -> None:
    assert await client.rpc(follower, "conductor_overrideLeader") is None
    assert await client.rpc(follower, "conductor_leaderOverridden") is True
    assert await client.rpc(follower, "conductor_leader") is True
    named = await client.rpc(follower, "conductor_leaderWithID")
    assert named == {"id": "N/A (Leader overridden)", "addr": "N/A", "suffrage": 0}
    envelope = json.loads(Chain().block().envelope_json)
    assert await client.error(follower, "conductor_commitUnsafePayload", envelope) == (
        f"-32000: failed to apply payload envelope: node is not the leader: {leader.name} leads"
    )
    assert await client.rpc(follower, "conductor_overrideLeader", False) is None
    assert await client.rpc(follower, "conductor_leader") is False


async def pause_and_resume(client: Cast, follower: Node) -> None:
    async def has_statuses(health: int, ready: int) -> bool:
        found = await follower.gateway.health(), await follower.gateway.get("/readyz")
        return [answer.status for answer in found] == [health, ready]

    for method, paused in (("conductor_pause", True), ("conductor_resume", False)):
        assert await client.rpc(follower, method) is None
        assert await client.rpc(follower, "conductor_paused") is paused
        assert await client.rpc(follower, "conductor_active") is not paused
        statuses = (503 if paused else 200, 200)
        what = f"/health and /readyz of {follower.name} are {statuses}"
        await eventually(partial(has_statuses, *statuses), what, within_s=SETTLE_S)


async def transfer(client: Cast, nodes: Nodes, leader: Node) -> None:
    method = "conductor_transferLeaderToServer"
    target, other = nodes.others(leader)
    address, wrong = str(target.plan.grpc), str(other.plan.grpc)
    elsewhere = f"{target.name} is at {address}, not at {wrong}: see conductor_clusterMembership"
    for node, params, error in (
        (target, (other.name, ""), f"node is not the leader: {leader.name} leads"),
        (leader, (leader.name, ""), "cannot transfer leadership to itself"),
        (leader, ("node-9", ""), "cannot find replication state for node-9"),
        (leader, (target.name, wrong), elsewhere),
    ):
        assert await client.error(node, method, *params) == f"-32000: {error}"

    async def leader_after(asked: Node, *call: str) -> Node:
        """Who leads once the call was answered with null."""
        what = f"{call} is answered by {asked.name}"
        await eventually(partial(was_done, client, asked, *call), what, within_s=SETTLE_S)
        return await nodes.leader(within_s=FAILOVER_S)

    assert await leader_after(leader, method, target.name, address) is target
    assert await leader_after(leader, "conductor_transferLeader") is target
    assert await leader_after(target, "conductor_transferLeader") is not target


async def was_done(client: Cast, node: Node, *call: str) -> bool:
    """Whether a transfer was made; not while no other voter is known to be fit yet."""
    try:
        return await client.rpc(node, *call) is None
    except CastError as error:
        if "fit to lead" in str(error):
            return False
        raise


async def stop(client: Cast, nodes: Nodes) -> None:
    leader = await nodes.leader(within_s=FAILOVER_S)
    assert await client.rpc(leader, "conductor_stop") is None
    assert await leader.ended(within_s=FORM_S) == 0
    with pytest.raises(CastError, match="error sending request"):
        await client.rpc(leader, "conductor_stopped")
    await nodes.others(leader).leader(within_s=FAILOVER_S)
