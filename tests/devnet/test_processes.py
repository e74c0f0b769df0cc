"""Conductor processes begin and end when they are told to, and never outlive the devnet."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import click
import pytest

from conductor.cli.run import run
from conductor.devnet.processes import (
    HOST,
    NodeProcess,
    free_ports,
    node_command,
    node_environment,
    plan_nodes,
)

READY = "print('ready', flush=True)"
SLEEPER = f"import signal; {READY}; signal.pause()"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {READY}; signal.pause()"
POLITE = (
    f"import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); {READY}; "
    "signal.pause()"
)


@asynccontextmanager
async def a_process(directory: Path, code: str) -> AsyncIterator[NodeProcess]:
    """A Python process that runs `code`; gone when the block ends."""
    process = NodeProcess([sys.executable, "-c", code], directory / "node.log")
    try:
        await process.start()
        yield process
    finally:
        process.close()
        await process.stop()


async def log_of(process: NodeProcess, wanted: str) -> str:
    """What it printed, once the wanted text is there."""
    async with asyncio.timeout(20):
        while True:
            log = await asyncio.to_thread(process.log_tail)
            if wanted in log:
                return log


async def ended(process: NodeProcess) -> None:
    """Wait until it does not run any more."""
    async with asyncio.timeout(20):
        while True:
            if process.pid is None:
                return
            await asyncio.sleep(0)


async def test_killed_process_had_no_say_and_did_not_die_by_itself(tmp_path: Path) -> None:
    async with a_process(tmp_path, DEAF) as process:
        await log_of(process, "ready")
        await process.kill()

        assert process.pid is None
        assert process.exit_code == -signal.SIGKILL
        assert not process.has_died


async def test_stopped_process_ends_in_its_own_way(tmp_path: Path) -> None:
    async with a_process(tmp_path, POLITE) as process:
        await log_of(process, "ready")
        await process.stop()

        assert process.exit_code == 0
        assert not process.has_died


async def test_process_that_ends_by_itself_has_died(tmp_path: Path) -> None:
    async with a_process(tmp_path, "print('no store'); raise SystemExit(7)") as process:
        await ended(process)

        assert process.has_died
        assert process.exit_code == 7
        assert "no store" in await log_of(process, "no store")


async def test_process_that_somebody_else_kills_has_died(tmp_path: Path) -> None:
    async with a_process(tmp_path, SLEEPER) as process:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        await ended(process)

        assert process.has_died


async def test_revived_process_is_another_and_adds_to_the_log(tmp_path: Path) -> None:
    async with a_process(tmp_path, SLEEPER) as process:
        await log_of(process, "ready")
        first = process.pid
        await process.kill()
        await process.start()

        assert process.pid not in (None, first)
        assert not process.has_died
        await log_of(process, "ready\nready")


async def test_closed_process_is_gone_whatever_it_wants(tmp_path: Path) -> None:
    async with a_process(tmp_path, DEAF) as process:
        await log_of(process, "ready")
        process.close()
        await ended(process)

        assert process.exit_code == -signal.SIGKILL


async def test_ending_what_does_not_run_does_nothing(tmp_path: Path) -> None:
    process = NodeProcess(["unused"], tmp_path / "node.log")

    process.close()
    await process.stop()
    await process.kill()

    assert process.pid is None
    assert not process.has_died


def test_free_ports_are_different_and_free() -> None:
    ports = free_ports(20)

    assert len(set(ports)) == 20
    for port in ports:
        with socket.socket() as listener:
            listener.bind((HOST, port))


def test_plans_share_nothing(tmp_path: Path) -> None:
    plans = plan_nodes(3, tmp_path)

    assert [plan.server_id for plan in plans] == ["node-1", "node-2", "node-3"]
    assert [plan.identity for plan in plans] == [1, 2, 3]
    addresses = {plan.gateway for plan in plans} | {plan.grpc for plan in plans}
    assert len(addresses) == 6
    assert len({plan.data_dir for plan in plans} | {plan.log for plan in plans}) == 6


@pytest.mark.parametrize("keep_all", [True, False])
def test_command_line_is_one_that_the_program_takes(tmp_path: Path, keep_all: bool) -> None:
    plans = plan_nodes(3, tmp_path)

    command = node_command(plans[1], plans, keep_all=keep_all)

    assert command[:4] == [sys.executable, "-m", "conductor", "run"]
    with click.Context(run, info_name="run") as context:
        run.parse_args(context, command[4:])
    assert context.params["bind_addr"] == plans[1].gateway
    assert context.params["grpc_addr"] == plans[1].grpc
    assert context.params["identity"] == 2
    assert len(context.params["peers"][0]) == 3
    assert (context.params["retain_payloads"] > 1_000_000) is keep_all


def test_options_in_the_environment_do_not_reach_the_nodes() -> None:
    environment = {"OP_CONDUCTOR_QUORUM_THRESHOLD": "1", "PATH": "/bin", "HOME": "/root"}

    assert node_environment(environment) == {"PATH": "/bin", "HOME": "/root"}
