"""Real conductors under test: processes that are started, killed and stopped, asked over HTTP.

Invariant: when a `running` block is left, for whatever reason, none of its processes is left. All
waiting is for a condition, with a deadline; nothing here sleeps and hopes.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from conductor.config import Address
from conductor.devnet.payloads import GENESIS, Block, BlockBuilder, Head
from conductor.devnet.processes import (
    NodePlan,
    NodeProcess,
    node_command,
    node_environment,
    plan_nodes,
)
from conductor.payload import ssz_from_json

POLL_S = 0.02
ASK_S = 2.0
FORM_S = 30.0
"""Enough for three interpreters to start on a busy machine; no promise of the product."""
FAILOVER_S = 5.0
"""The promise: how soon a majority that can talk has a leader, and certifies."""

PROGRAM = [sys.executable, "-m", "conductor"]

_T = TypeVar("_T")


async def eventually(
    condition: Callable[[], Awaitable[_T | None]], what: str, *, within_s: float
) -> _T:
    """The first value that is true; AssertionError when there is none in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while not (value := await condition()):
        assert loop.time() < deadline, f"not within {within_s:g} s: {what}"
        await asyncio.sleep(POLL_S)
    return value


@dataclass(frozen=True, slots=True)
class Answer:
    """What came over HTTP. Status 0: nothing, within the time that was given."""

    status: int = 0
    body: Mapping[str, Any] = field(default_factory=dict)
    took_s: float = 0.0
    text: bytes = b""

    @property
    def reasons(self) -> str:
        """Why a node is not healthy, in one text."""
        return "; ".join(self.body.get("reasons", ()))


class Gateway:
    """The HTTP side of one conductor."""

    def __init__(self, session: aiohttp.ClientSession, address: Address) -> None:
        self._session = session
        self._url = f"http://{address}"

    async def get(self, path: str) -> Answer:
        """What the path answers with."""
        return await self._ask("GET", path, None, ASK_S)

    async def latest(self) -> Answer:
        """The newest certified payload, by a linearizable read."""
        return await self.get("/latest?consistent=true")

    async def health(self) -> Answer:
        """`GET /health`."""
        return await self.get("/health")

    async def leader(self) -> Answer:
        """`GET /leader`."""
        return await self.get("/leader")

    async def commit(self, block: Block, *, timeout_s: float = ASK_S) -> Answer:
        """`POST /commit`, once."""
        body = b'{"payload":%b}' % block.envelope_json
        return await self._ask("POST", "/commit", body, timeout_s)

    async def call(self, method: str) -> Any:
        """The result of a JSON-RPC method without parameters; None when there is no answer."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": []}
        answer = await self._ask("POST", "/", json.dumps(request).encode(), ASK_S)
        return answer.body.get("result")

    async def _ask(self, verb: str, path: str, body: bytes | None, timeout_s: float) -> Answer:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with self._session.request(
                verb,
                self._url + path,
                data=body,
                headers={"Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as response:
                text = await response.read()
                return Answer(response.status, json.loads(text), loop.time() - began, text)
        except (aiohttp.ClientError, TimeoutError):
            return Answer()


class Node:
    """One conductor of a test: its process and its gateway."""

    def __init__(
        self, plan: NodePlan, command: Sequence[str], session: aiohttp.ClientSession
    ) -> None:
        self.plan = plan
        self.command = command
        self.process = NodeProcess(command, plan.log)
        self.gateway = Gateway(session, plan.gateway)

    @property
    def name(self) -> str:
        """Its server id."""
        return self.plan.server_id

    @property
    def log(self) -> str:
        """All that it has printed."""
        return self.plan.log.read_text("utf-8", errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send its process a signal; it must run."""
        assert self.process.pid is not None, f"{self.name} does not run"
        os.kill(self.process.pid, number)

    async def ended(self, *, within_s: float) -> int:
        """Its exit code, once it has ended."""

        async def has_ended() -> bool:
            return self.process.pid is None

        await eventually(has_ended, f"{self.name} ends", within_s=within_s)
        assert self.process.exit_code is not None
        return self.process.exit_code

    async def start_with(self, *options: str) -> None:
        """Start it with further options, this once; it must not run."""
        self.process = NodeProcess([*self.command, *options], self.plan.log)
        await self.process.start()

    async def answers(self) -> None:
        """Wait until its gateway is there."""

        async def answered() -> bool:
            assert not self.process.has_died, f"{self.name} has died: {self.process.exit_code}"
            return (await self.gateway.health()).status != 0

        await eventually(answered, f"{self.name} answers", within_s=FORM_S)


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program that was run to its end has ended."""

    exit_code: int | None
    stdout: str
    stderr: str


async def finished(*command: str) -> Finished:
    """Run a program to its end; AssertionError when that does not come."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=node_environment(os.environ),
    )
    try:
        async with asyncio.timeout(FORM_S):
            stdout, stderr = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise AssertionError(f"{' '.join(command)} does not end") from None
    return Finished(process.returncode, stdout.decode(), stderr.decode())


class Chain:
    """The blocks that a test commits: one chain, each block a child of the last certified one."""

    def __init__(self, transactions_bytes: int = 10_000) -> None:
        self._builder = BlockBuilder(seed=1, builder="test", transactions_bytes=transactions_bytes)
        self.head: Head = GENESIS

    def block(self) -> Block:
        """A new child of the head."""
        return self._builder.build(self.head)

    async def resume(self, leader: Node) -> None:
        """Go on from what is certified, as a sequencer does that was just started."""
        answer = await leader.gateway.latest()
        assert answer.status in {200, 404}, answer
        self.head = Head.of(ssz_from_json(answer.text)) if answer.status == 200 else GENESIS

    async def extend(self, node: Node, *, timeout_s: float = ASK_S) -> Answer:
        """Have a new block certified by a leader; AssertionError when it is not."""
        block = self.block()
        answer = await node.gateway.commit(block, timeout_s=timeout_s)
        assert answer.body.get("success") is True, f"{node.name}: {answer}"
        self.head = block.head
        return answer


class Nodes(tuple[Node, ...]):
    """The conductors of a test, in the order of their server ids."""

    async def start(self) -> None:
        """Start all that do not run."""
        for node in self:
            if node.process.pid is None:
                await node.process.start()

    async def leader(self, *, within_s: float) -> Node:
        """The leader, once exactly one says it leads and all that run name it and its epoch."""
        names = ", ".join(node.name for node in self)
        return await eventually(self._agreed_leader, f"{names} have a leader", within_s=within_s)

    async def _agreed_leader(self) -> Node | None:
        for node in self:
            assert not node.process.has_died, f"{node.name} has died: {node.process.exit_code}"
        running = [node for node in self if node.process.pid is not None]
        answers = await asyncio.gather(*(node.gateway.leader() for node in running))
        leading = [
            node
            for node, answer in zip(running, answers, strict=True)
            if answer.body.get("is_leader")
        ]
        views = {(answer.body.get("leader_id"), answer.body.get("epoch")) for answer in answers}
        if len(leading) != 1 or len(views) != 1:
            return None
        assert views.pop()[0] == leading[0].name, answers
        return leading[0]

    def others(self, *excluded: Node) -> Nodes:
        """All but these."""
        return Nodes(node for node in self if node not in excluded)


def plan_command(
    plan: NodePlan, plans: Sequence[NodePlan], options: Sequence[str] = ()
) -> list[str]:
    """The command line of a node of a cluster of `plans`, with further options."""
    return [*node_command(plan, plans, keep_all=True), *options]


@asynccontextmanager
async def nodes_of(
    commands: Sequence[tuple[NodePlan, Sequence[str]]],
) -> AsyncIterator[Nodes]:
    """Nodes with these command lines: not started yet, and gone when the block is left."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        nodes = Nodes(Node(plan, command, session) for plan, command in commands)
        try:
            yield nodes
        finally:
            for node in nodes:
                node.process.close()
            await asyncio.gather(*(node.process.stop() for node in nodes))


@asynccontextmanager
async def running(count: int, directory: Path, *options: str) -> AsyncIterator[Nodes]:
    """A cluster that has formed and has a leader."""
    plans = plan_nodes(count, directory)
    commands = [(plan, plan_command(plan, plans, options)) for plan in plans]
    async with nodes_of(commands) as nodes:
        await nodes.start()
        await nodes.leader(within_s=FORM_S)
        yield nodes


@asynccontextmanager
async def alone(directory: Path) -> AsyncIterator[Node]:
    """A node without peers, which leads."""
    (plan,) = plan_nodes(1, directory)
    plan = replace(plan, server_id=str(plan.gateway))
    command = [
        *(*PROGRAM, "run"),
        *("--bind-addr", str(plan.gateway)),
        *("--grpc-addr", str(plan.grpc)),
        *("--identity", str(plan.identity)),
        *("--data-dir", str(plan.data_dir)),
    ]
    async with nodes_of([(plan, command)]) as nodes:
        await nodes.start()
        await nodes.leader(within_s=FORM_S)
        (node,) = nodes
        yield node
