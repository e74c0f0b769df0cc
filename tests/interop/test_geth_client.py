"""The JSON-RPC methods of real nodes as op-node calls them: by go-ethereum's `rpc` client.

`gethclient` decodes results into the Go types that the callers of the Go op-conductor have, and
tells errors by their Go interfaces: what it reports is what such a caller gets to see.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conductor.devnet.payloads import GENESIS
from tests.e2e.nodes import FAILOVER_S, FORM_S, Chain, Node, Nodes, alone, eventually, running
from tests.interop.go import BUILD_TIMEOUT_S
from tests.interop.go_tools import gethclient

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "payload" / "fixtures"
SETTLE_S = 20.0
"""Enough for anything that takes a beat or two, on a machine that has other work."""

ANSWER_BYTES_MAX = 64 * 2**20
COMMIT_FAILED = "failed to apply payload envelope: "

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT_S + 120)


@pytest.fixture(scope="module")
def program() -> Path:
    """Our program with go-ethereum's client."""
    return gethclient()


@pytest.fixture
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nodes run where no configuration of anybody lies about."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


class GoError(Exception):
    """A call that ended in an error: what its Go interfaces tell of it."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["text"])
        self.text: str = error["text"]
        self.code: int | None = error.get("code")
        self.http_status: int | None = error.get("http_status")
        self.has_data = "data" in error


@dataclass(frozen=True, slots=True)
class GoClient:
    """One client, connected to one node for as long as it lives."""

    process: asyncio.subprocess.Process

    async def call(self, method: str, *params: object) -> Any:
        """The result of a method. GoError."""
        return await self._ask({"call": {"method": method, "params": params}})

    async def commit(self, envelope: object) -> None:
        """Commit a payload: at most twice, within a second, like op-node. GoError."""
        assert await self._ask({"commit": envelope}) is None

    async def batch(self, *calls: tuple[str, list[object]]) -> list[Any]:
        """The results of all, and the errors of some, in order."""
        asked = [{"method": method, "params": params} for method, params in calls]
        answers = await self._ask({"batch": asked})
        return [
            GoError(answer["error"]) if "error" in answer else answer["result"]
            for answer in answers
        ]

    async def error(self, method: str, *params: object) -> GoError:
        """The error that a call must end with."""
        with pytest.raises(GoError) as caught:
            await self.call(method, *params)
        return caught.value

    async def _ask(self, order: object) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        await self.process.stdin.drain()
        line = await self.process.stdout.readline()
        assert line, "gethclient has ended"
        answer = json.loads(line)
        if "error" in answer:
            raise GoError(answer["error"])
        return answer["result"]


@asynccontextmanager
async def connected(program: Path, url: str) -> AsyncIterator[GoClient]:
    """A client of that URL."""
    process = await asyncio.create_subprocess_exec(
        *(str(program), url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=ANSWER_BYTES_MAX,
    )
    try:
        yield GoClient(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


Connect = Callable[[Node], Awaitable[GoClient]]


@pytest.fixture
async def connect(program: Path) -> AsyncIterator[Connect]:
    """Clients of nodes, gone when the test is over."""
    async with AsyncExitStack() as stack:

        async def connect(node: Node) -> GoClient:
            url = f"http://{node.plan.gateway}"
            return await stack.enter_async_context(connected(program, url))

        yield connect


async def committed(client: GoClient, envelope: object) -> None:
    """Commit a payload, and again for as long as that takes more than op-node's second."""

    async def is_committed() -> bool:
        try:
            await client.commit(envelope)
        except GoError as error:
            # The lease may have been lost for a while, too, on a machine that has other work.
            if error.code not in (None, -32000):
                raise
            return False
        return True

    await eventually(is_committed, "the payload is certified", within_s=SETTLE_S)


async def settled(nodes: Nodes) -> Node:
    """The leader, once it knows all voters to be fit."""
    leader = await nodes.leader(within_s=SETTLE_S)

    async def knows() -> bool:
        status = await leader.gateway.call("conductor_status")
        return status is not None and all(member["serving"] for member in status["members"])

    await eventually(knows, "all are fit to lead", within_s=FORM_S)
    return leader


async def test_op_node_asks_and_commits(own_directory: Path, connect: Connect) -> None:
    async with running(3, own_directory) as nodes:
        leader = await nodes.leader(within_s=FAILOVER_S)
        clients = {node.name: await connect(node) for node in nodes}
        addresses = {node.name: str(node.plan.grpc) for node in nodes}
        for name, client in clients.items():
            assert await client.call("conductor_leader") is (name == leader.name)
            assert await client.call("conductor_active") is True
            assert await client.call("conductor_paused") is False
            assert await client.call("conductor_stopped") is False
            assert await client.call("conductor_sequencerHealthy") is True
            assert await client.call("conductor_leaderOverridden") is False
            assert await client.call("conductor_leaderWithID") == {
                "id": leader.name,
                "addr": addresses[leader.name],
                "suffrage": 0,
            }
            assert await client.call("conductor_clusterMembership") == {
                "servers": [
                    {"id": node.name, "addr": addresses[node.name], "suffrage": 0}
                    for node in sorted(nodes, key=lambda node: node.name)
                ],
                "version": 0,
            }
        await commit_a_chain(clients[leader.name])
        await be_refused(clients[leader.name], clients[nodes.others(leader)[0].name], leader)


async def commit_a_chain(client: GoClient) -> None:
    """Large blocks and small ones; each as Go has read and written it."""
    head = GENESIS
    for transactions_bytes in (500, 200_000, 2_000_000):
        chain = Chain(transactions_bytes)
        chain.head = head
        block = chain.block()
        head = block.head
        envelope = json.loads(block.envelope_json)
        await committed(client, envelope)
        await committed(client, envelope)  # Sent again it counts once.
        assert await client.call("conductor_latestUnsafePayload") == envelope
        assert await client.call("conductor_payloadByHeight", head.height) == envelope


async def be_refused(leader: GoClient, follower: GoClient, leading: Node) -> None:
    """Codes and texts that the callers of the Go op-conductor look at."""
    envelope = json.loads(Chain().block().envelope_json)
    with pytest.raises(GoError) as caught:
        await follower.commit(envelope)
    assert caught.value.code == -32000
    assert caught.value.text.startswith(f"{COMMIT_FAILED}node is not the leader")
    assert leading.name in caught.value.text
    assert not caught.value.has_data

    with pytest.raises(GoError) as caught:
        await leader.commit(envelope)
    assert (caught.value.code, caught.value.text[: len(COMMIT_FAILED)]) == (-32000, COMMIT_FAILED)

    for method, params, code, text in (
        ("conductor_nothing", [], -32601, "the method conductor_nothing does not exist"),
        ("conductor_leader", [1], -32602, "too many arguments, want at most 0"),
        ("conductor_commitUnsafePayload", [], -32602, "missing value for required argument 0"),
        ("conductor_transferLeaderToServer", ["x"], -32602, "missing value for required argument"),
        ("conductor_overrideLeader", ["yes"], -32602, "invalid argument 0: "),
    ):
        error = await leader.error(method, *params)
        assert (error.code, error.text[: len(text)]) == (code, text)

    answers = await leader.batch(
        ("conductor_leader", []),
        ("conductor_nothing", []),
        ("conductor_commitUnsafePayload", [envelope]),
        ("conductor_paused", [1, 2]),
        ("health_status", []),
        ("conductor_leaderWithID", []),
    )
    codes = [answer.code if isinstance(answer, GoError) else 0 for answer in answers]
    assert codes == [0, -32601, -32000, -32602, 0, 0]
    assert answers[0] is True
    assert answers[5]["id"] == leading.name


@pytest.mark.parametrize("fork", ["bedrock", "canyon", "ecotone", "isthmus"])
async def test_blocks_of_a_real_execution_client_are_committed_unchanged(
    own_directory: Path, connect: Connect, fork: str
) -> None:
    fixture = json.loads((FIXTURES / f"{fork}.json").read_text("utf-8"))
    async with alone(own_directory) as node:
        client = await connect(node)
        for entry in fixture["blocks"]:
            await committed(client, entry["envelope"])
            assert await client.call("conductor_latestUnsafePayload") == entry["envelope"]


async def test_operators_steer_the_cluster(own_directory: Path, connect: Connect) -> None:
    async with running(3, own_directory) as nodes:
        leader = await settled(nodes)
        clients = {node.name: await connect(node) for node in nodes}
        await pause_and_override(clients[nodes.others(leader)[0].name])

        target, other = nodes.others(leader)
        to_server = "conductor_transferLeaderToServer"
        address = str(target.plan.grpc)
        error = await clients[other.name].error(to_server, target.name, address)
        assert (error.code, error.text[:22]) == (-32000, "node is not the leader")
        error = await clients[leader.name].error(to_server, "node-9", "")
        assert error.text == "cannot find replication state for node-9"
        error = await clients[leader.name].error(to_server, leader.name, str(leader.plan.grpc))
        assert error.text == "cannot transfer leadership to itself"

        leader = await settled(nodes)
        assert await clients[leader.name].call(to_server, target.name, address) is None
        assert await nodes.leader(within_s=SETTLE_S) is target

        assert await clients[other.name].call("conductor_transferLeader") is None
        assert await settled(nodes) is target
        assert await clients[target.name].call("conductor_transferLeader") is None
        assert await nodes.leader(within_s=SETTLE_S) is not target

        await stop(clients, nodes)


async def pause_and_override(client: GoClient) -> None:
    """Of a follower, with all flags as they were in the end."""
    for method, flag, params in (
        ("conductor_pause", "conductor_paused", []),
        ("conductor_overrideLeader", "conductor_leaderOverridden", [True]),
    ):
        assert await client.call(method, *params) is None
        assert await client.call(flag) is True
    assert await client.call("conductor_active") is False
    assert await client.call("conductor_leader") is True
    assert await client.call("conductor_leaderWithID") == {
        "id": "N/A (Leader overridden)",
        "addr": "N/A",
        "suffrage": 0,
    }
    assert await client.call("conductor_resume") is None
    assert await client.call("conductor_overrideLeader", False) is None
    assert await client.call("conductor_active") is True
    assert await client.call("conductor_leader") is False


async def stop(clients: dict[str, GoClient], nodes: Nodes) -> None:
    """Afterwards there is nothing to connect to: an error without a code, as op-node expects."""
    leader = await settled(nodes)
    assert await clients[leader.name].call("conductor_stop") is None
    assert await leader.ended(within_s=SETTLE_S) == 0
    error = await clients[leader.name].error("conductor_stopped")
    assert (error.code, error.http_status) == (None, None)
    assert "connection refused" in error.text
    await nodes.others(leader).leader(within_s=SETTLE_S)


async def test_wrong_path_is_an_http_error(own_directory: Path, program: Path) -> None:
    async with (
        alone(own_directory) as node,
        connected(program, f"http://{node.plan.gateway}/nowhere") as client,
    ):
        error = await client.error("conductor_leader")
    assert (error.code, error.http_status) == (None, 404)
