"""A conductor as a process: how it stops, what it will not start with, and what cannot stall it."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from pathlib import Path

import aiohttp
import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest

from conductor.devnet.processes import free_ports, plan_nodes
from conductor.exit_codes import ExitCode
from conductor.peers.probes import WATCH_PATH
from tests.e2e.nodes import (
    FAILOVER_S,
    FORM_S,
    PROGRAM,
    Chain,
    Node,
    Nodes,
    alone,
    finished,
    nodes_of,
    plan_command,
    running,
)

STOP_S = 3.0


async def test_node_that_is_told_to_stop_ends_cleanly_and_another_leads(tmp_path: Path) -> None:
    """Also with clients that hold their watch and their connection for ever."""
    async with running(3, tmp_path) as nodes, AsyncExitStack() as clients:
        leader = await nodes.leader(within_s=FAILOVER_S)
        chain = Chain()
        await chain.extend(leader)
        await keep_connected(leader, clients)

        leader.signal(signal.SIGTERM)
        assert await leader.ended(within_s=STOP_S) == ExitCode.OK
        assert_ended_calmly(leader)

        successor = await nodes.others(leader).leader(within_s=FAILOVER_S)
        await chain.extend(successor)
        successor.signal(signal.SIGINT)
        assert await successor.ended(within_s=STOP_S) == ExitCode.OK
        assert_ended_calmly(successor)


async def keep_connected(node: Node, clients: AsyncExitStack) -> None:
    session = await clients.enter_async_context(aiohttp.ClientSession())
    async with session.get(f"http://{node.plan.gateway}/health") as response:
        await response.read()
    channel = await clients.enter_async_context(grpc.aio.insecure_channel(str(node.plan.grpc)))
    watch: grpc.aio.UnaryStreamMultiCallable[HealthCheckRequest, bytes]
    watch = channel.unary_stream(WATCH_PATH, HealthCheckRequest.SerializeToString)
    await watch(HealthCheckRequest()).read()


def assert_ended_calmly(node: Node) -> None:
    assert "event=node_stopping" in node.log
    for trouble in ("Traceback", "level=error", "never retrieved"):
        assert trouble not in node.log


async def test_second_process_on_a_data_directory_is_refused(tmp_path: Path) -> None:
    async with alone(tmp_path) as node:
        other_port = ("--bind-addr", f"127.0.0.1:{free_ports(1)[0]}", "--grpc-addr", "127.0.0.1:0")
        second = await finished(*node.command, *other_port)

        assert second.exit_code == ExitCode.STORE_REFUSED
        assert f"with process id {node.process.pid}" in second.stderr
        assert "--data-dir" in second.stderr
        await Chain().extend(node)


async def test_second_process_on_a_port_is_refused(tmp_path: Path) -> None:
    async with alone(tmp_path) as node:
        second = await finished(*node.command, "--data-dir", str(tmp_path / "elsewhere"))

        assert second.exit_code == ExitCode.USAGE
        assert f"cannot listen on --grpc-addr {node.plan.grpc}" in second.stderr
        await Chain().extend(node)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--health-interval-ms", "5"], "--health-interval-ms"),
        (["--identity", "1", "--identity-key", "key.pem"], "--identity-key"),
        (["--config", "missing.toml"], "missing.toml"),
        (["--quorum-threshold", "2"], "--quorum-threshold"),
        (["--unheard-of"], "--unheard-of"),
    ],
)
async def test_options_that_cannot_work_are_refused(options: list[str], named: str) -> None:
    refused = await finished(*PROGRAM, *options)

    assert refused.exit_code == ExitCode.USAGE
    assert named in refused.stderr
    assert "Traceback" not in refused.stderr


async def test_formed_node_restarts_only_as_what_it_was(tmp_path: Path) -> None:
    """Each refusal says what differs and which option to mend; then it starts as before."""
    async with alone(tmp_path) as node:
        chain = Chain()
        await chain.extend(node)
        await node.process.stop()

        for options, says in (
            (["--peers", "http://127.0.0.1:19"], "but --peers names [127.0.0.1:10019"),
            (["--server-id", "node-2"], f"start with --server-id {node.name}"),
            (["--identity", "2"], "by another key (see --identity"),
            (["--quorum-threshold", "1"], "its --quorum-threshold is majority"),
            (["--cluster-name", "other"], "its --cluster-name is 'op-conductor'"),
        ):
            refused = await finished(*node.command, *options)
            assert refused.exit_code == ExitCode.STORE_REFUSED, refused
            assert says in refused.stderr
            assert "Traceback" not in refused.stderr

        await node.process.start()
        await Nodes([node]).leader(within_s=FORM_S)
        await chain.extend(node)


async def test_reader_that_stalls_does_not_stall_the_nodes(tmp_path: Path) -> None:
    """Their logs go into pipes that are full from the start and that nobody reads."""
    plans = [
        replace(plan, log=tmp_path / f"{plan.server_id}-pipe") for plan in plan_nodes(3, tmp_path)
    ]
    with ExitStack() as pipes:
        for plan in plans:
            pipes.callback(os.close, full_pipe(plan.log))
        async with nodes_of([(plan, plan_command(plan, plans)) for plan in plans]) as nodes:
            await nodes.start()
            leader = await nodes.leader(within_s=FORM_S)
            chain = Chain()
            await chain.extend(leader)

            await leader.process.kill()
            rest = nodes.others(leader)
            await chain.extend(await rest.leader(within_s=FAILOVER_S))
            for node in rest:
                node.signal(signal.SIGTERM)
            codes = await asyncio.gather(*(node.ended(within_s=STOP_S) for node in rest))
            assert codes == [ExitCode.OK, ExitCode.OK]


def full_pipe(path: Path) -> int:
    """A named pipe that takes nothing more; its reading end, which keeps it open."""
    os.mkfifo(path)
    reader = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        while True:
            os.write(reader, bytes(1024))
    except BlockingIOError:
        return reader
