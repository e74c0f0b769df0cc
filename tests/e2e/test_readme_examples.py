"""What the original README tells its readers to type, typed: its ports, and no other options."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conductor.config import Address
from conductor.devnet.processes import NodePlan
from tests.e2e.nodes import FAILOVER_S, FORM_S, Chain, Node, Nodes, eventually, nodes_of

TERMINAL_1 = """\
op-conductor \\
  --identity 1 \\
  --bind-addr 127.0.0.1:8081 \\
  --peers http://127.0.0.1:8082
"""
TERMINAL_2 = """\
op-conductor \\
  --identity 2 \\
  --bind-addr 127.0.0.1:8082 \\
  --peers http://127.0.0.1:8081
"""
DEFAULT_SETTINGS = "op-conductor --identity 1"
CONFIG_FILE = "op-conductor --config config.toml"
CONFIG_TOML = """\
bind_addr = "0.0.0.0:8080"
identity = 1
peers = ["http://peer1:8080", "http://peer2:8080"]
health_interval_ms = 1000
quorum_threshold = 2
"""

REASON_S = 2.0


@pytest.fixture
def need_ports() -> Iterator[Callable[..., None]]:
    """Skips the test when a port is taken. One test at a time, of all on this machine, has them."""
    with (Path(tempfile.gettempdir()) / "op-conductor-e2e-ports.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield skip_if_taken


def skip_if_taken(*ports: int) -> None:
    for port in ports:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError as error:
                pytest.skip(f"port {port}, which the README names, is taken: {error}")


def typed(name: str, text: str, directory: Path, port: int) -> tuple[NodePlan, list[str]]:
    """A node that is started by what a user types."""
    program, *options = text.replace("\\\n", " ").split()
    assert program == "op-conductor"
    plan = NodePlan(
        server_id=name,
        identity=0,
        gateway=Address("127.0.0.1", port),
        grpc=Address("127.0.0.1", port + 10_000),
        data_dir=directory / "op-conductor-data",
        log=directory / f"{name.replace(':', '_')}.log",
    )
    return plan, [sys.executable, "-m", "conductor", *options]


async def assert_one_leader(nodes: Nodes, *, height: int) -> Node:
    """Every node answers /leader alike, and one says that it leads."""

    async def agree() -> bool:
        answers = await asyncio.gather(*(node.gateway.leader() for node in nodes))
        said = {(answer.body["epoch"], answer.body["next_height"]) for answer in answers}
        return len(said) == 1 and said.pop()[1] == (height + 1 if height else 0)

    leader = await nodes.leader(within_s=FORM_S)
    await eventually(agree, f"all know height {height}", within_s=FAILOVER_S)
    return leader


async def test_two_terminals(tmp_path: Path, need_ports: Callable[..., None]) -> None:
    need_ports(8081, 8082, 18081, 18082)
    commands = [
        typed("127.0.0.1:8081", TERMINAL_1, tmp_path, 8081),
        typed("127.0.0.1:8082", TERMINAL_2, tmp_path, 8082),
    ]
    async with nodes_of(commands) as nodes:
        await nodes.start()

        leader = await assert_one_leader(nodes, height=0)
        await Chain().extend(leader)
        await assert_one_leader(nodes, height=1)
    assert sorted(path.name for path in (tmp_path / "op-conductor-data").iterdir()) == [
        "127.0.0.1_8081",
        "127.0.0.1_8082",
    ]


async def test_default_settings(tmp_path: Path, need_ports: Callable[..., None]) -> None:
    need_ports(8080, 18080)
    async with nodes_of([typed("127.0.0.1:8080", DEFAULT_SETTINGS, tmp_path, 8080)]) as nodes:
        await nodes.start()

        (node,) = nodes
        await assert_one_leader(nodes, height=0)
        health = await node.gateway.health()
        assert (health.status, health.body["healthy"]) == (200, True)
        assert health.body["is_leader"] is True
        await Chain().extend(node)
        await assert_one_leader(nodes, height=1)


async def test_config_file_with_peers_that_do_not_resolve(
    tmp_path: Path, need_ports: Callable[..., None]
) -> None:
    """It starts, says within two seconds why it is not healthy, and goes on trying."""
    need_ports(8080, 18080)
    (tmp_path / "config.toml").write_text(CONFIG_TOML)
    async with nodes_of([typed("node", CONFIG_FILE, tmp_path, 8080)]) as nodes:
        await nodes.start()
        (node,) = nodes
        await node.answers()

        async def says_why() -> bool:
            health = await node.gateway.health()
            assert health.status == 503
            return all(
                f"{peer}:18080 cannot be reached" in health.reasons for peer in ("peer1", "peer2")
            )

        await eventually(says_why, "it says who is missing", within_s=REASON_S)
        leader = await node.gateway.leader()
        assert leader.body["is_leader"] is False
        assert not node.process.has_died
