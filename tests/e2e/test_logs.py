"""The logs of real nodes: what they name, what they follow, and what they never show."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from conductor.devnet.payloads import Block, Head
from conductor.devnet.processes import plan_nodes
from conductor.payload import decode, encode
from tests.e2e.nodes import (
    FAILOVER_S,
    FORM_S,
    PROGRAM,
    Chain,
    Node,
    Nodes,
    eventually,
    nodes_of,
    running,
)
from tests.test_docs_logs import documented

SEEN_S = 10.0
BLOCKS = 3
MARKER = b"op-conductor must never log this transaction"
COMMON_FIELDS = {"timestamp", "level", "event", "logger"}
LEADER_TRAIL = ["commit_received", "entry_proposed", "entry_acknowledged", "entry_certified"]
FOLLOWER_TRAIL = ["entry_received", "entry_acknowledged", "entry_certified"]


def marked(block: Block) -> Block:
    """The block, with the marker as one of its transactions."""
    envelope = decode(block.ssz)
    envelope = replace(
        envelope,
        block_hash=bytes(32),
        transactions=(*envelope.transactions, b"\x02" + MARKER),
    )
    block_hash = sha256(encode(envelope)).digest()
    ssz = encode(replace(envelope, block_hash=block_hash))
    return Block(Head.of(ssz), block.parent_hash, ssz)


class MarkedChain(Chain):
    """Blocks that no log may show."""

    def block(self) -> Block:
        """A new child of the head, with the marker in it."""
        return marked(super().block())


def disguises(secret: bytes) -> list[str]:
    """The ways in which bytes could get into a log."""
    middle = secret[4:-4]  # Wherever a longer text is cut or encoded in groups.
    encoded = [base64.b64encode(secret[start:])[4:-4].decode() for start in range(3)]
    return [
        middle.hex(),
        middle.hex().upper(),
        repr(middle)[2:-1],
        middle.decode("latin-1"),
        ", ".join(map(str, middle)),
        *encoded,
    ]


def lines_of(node: Node) -> list[dict[str, Any]]:
    """All that it has logged; a line that is just being written is left for later."""
    written, _, _ = node.log.rpartition("\n")
    return [json.loads(line) for line in written.splitlines()]


async def test_commits_leave_a_trail_and_nothing_secret(tmp_path: Path) -> None:
    async with running(3, tmp_path, "--log-level", "debug", "--log-format", "json") as nodes:
        leader = await nodes.leader(within_s=FAILOVER_S)
        chain = MarkedChain()
        heads = []
        for _ in range(BLOCKS):
            await chain.extend(leader)
            heads.append(chain.head)
        await refuses_broken_ones(leader, chain)
        await leaves_a_trail(leader, nodes, heads)
        await leader.gateway.call("conductor_transferLeader")
        await nodes.leader(within_s=FAILOVER_S)

    for node in nodes:
        hides(node, [MARKER])
        says_only_what_is_documented(node)


async def refuses_broken_ones(leader: Node, chain: Chain) -> None:
    """Errors are where bodies slip into logs: cut, wrongly typed, and in the wrong place."""
    body = b'{"payload":%b}' % chain.block().envelope_json
    for broken in (
        body[: len(body) // 2],
        body.replace(b'"gasLimit"', b'"gas"'),
        body.replace(MARKER.hex().encode(), MARKER),
    ):
        assert broken != body
        assert await status_of_commit(leader, broken) == 400
    await spills_over(leader, body)
    stranger = MarkedChain()
    stranger.block()
    answer = await leader.gateway.commit(stranger.block())
    assert answer.body["code"] == "conflict"


async def spills_over(node: Node, body: bytes) -> None:
    """A body that is longer than announced: the rest of it is taken for another request."""
    for rest in (body, MARKER + b"\r\n\r\n", b"GET /" + MARKER.replace(b" ", b"_") + b"\r\n\r\n"):
        address = node.plan.gateway
        reader, writer = await asyncio.open_connection(address.host, address.port)
        head = b"POST /commit HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
        writer.write(head + rest)
        await writer.drain()
        assert b"400" in await reader.readline()
        writer.close()
        async with asyncio.timeout(SEEN_S):
            await reader.read()


async def status_of_commit(node: Node, body: bytes) -> int:
    """What the node answers to a body as it is."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"http://{node.plan.gateway}/commit",
            data=body,
            timeout=aiohttp.ClientTimeout(total=SEEN_S),
        ) as answer,
    ):
        return answer.status


async def leaves_a_trail(leader: Node, nodes: Nodes, heads: Sequence[Head]) -> None:
    """Each payload's lines on each node, in order, under one key."""

    async def complete() -> bool:
        certified = [
            line for node in nodes for line in lines_of(node) if line["event"] == "entry_certified"
        ]
        payloads = [line for line in certified if line["kind"] == "payload"]
        return len(payloads) >= BLOCKS * len(nodes)

    await eventually(complete, "all nodes know of all certificates", within_s=SEEN_S)
    for head in heads:
        block = "0x" + head.block_hash[:4].hex()
        keys = set()
        for node in nodes:
            trail = [line for line in lines_of(node) if line.get("block") == block]
            wanted = LEADER_TRAIL if node is leader else FOLLOWER_TRAIL
            assert sorted(line["event"] for line in trail) == sorted(wanted), node.name
            assert {line["height"] for line in trail} == {head.height}
            assert {line["level"] for line in trail} == {"debug"}
            keys |= {(line["index"], line["epoch"]) for line in trail if "index" in line}
        assert len(keys) == 1


def hides(node: Node, secrets: Sequence[bytes]) -> None:
    """None of the secrets is in the log, however it may be written."""
    text = node.log
    assert "entry_certified" in text
    for secret in secrets:
        shown = [each for each in disguises(secret) if each in text]
        assert not shown, node.name


def says_only_what_is_documented(node: Node) -> None:
    page = documented()
    for line in lines_of(node):
        if line["logger"].startswith("conductor."):
            level, fields = page[line["event"]]
            assert line["level"] == level
            assert set(line) <= fields | COMMON_FIELDS, line


async def test_key_that_a_node_makes_for_itself_is_in_its_file_alone(tmp_path: Path) -> None:
    (plan,) = plan_nodes(1, tmp_path)
    command = [
        *(*PROGRAM, "run", "--log-level", "debug", "--log-format", "json"),
        *("--bind-addr", str(plan.gateway)),
        *("--grpc-addr", str(plan.grpc)),
        *("--data-dir", str(plan.data_dir)),
    ]
    plan = replace(plan, server_id=str(plan.gateway))
    async with nodes_of([(plan, command)]) as nodes:
        await nodes.start()
        await MarkedChain().extend(await nodes.leader(within_s=FORM_S))

    pem = (plan.data_dir / "identity.pem").read_bytes()
    key = load_pem_private_key(pem, password=None)
    assert isinstance(key, Ed25519PrivateKey)
    hides(nodes[0], [MARKER, key.private_bytes_raw(), pem.splitlines()[1]])
    assert key.public_key().public_bytes_raw().hex() in nodes[0].log


def test_marker_would_be_found() -> None:
    """The search itself: every disguise is recognised in what would hold it."""
    block = marked(Chain().block())
    text = block.ssz.hex() + repr(block.ssz) + base64.b64encode(block.ssz).decode()

    found = [each for each in disguises(MARKER) if each in text]

    assert MARKER[4:-4].hex() in found
    assert len(found) >= 4


def test_log_at_info_level_is_quiet_while_payloads_flow() -> None:
    """Held by the levels in the table: nothing that a commit does is above debug."""
    assert all(documented()[event][0] == "debug" for event in LEADER_TRAIL + FOLLOWER_TRAIL)
