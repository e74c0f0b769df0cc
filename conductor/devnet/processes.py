"""Conductors as processes: started, killed, stopped and started again.

Invariant: no process outlives its `NodeProcess.close`. They run in sessions of their own, so that a
Ctrl-C meant for the devnet does not stop them all at once behind its back.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from conductor.config import Address
from conductor.errors import Unavailable

HOST = "127.0.0.1"
STOP_TIMEOUT_MS = 10_000

# Below the ports that outgoing connections get: while a node is dead, nobody takes its own.
_PORTS = range(20_000, 32_000)
_ENVIRONMENT_PREFIX = "OP_CONDUCTOR_"
_LOG_TAIL_LINES = 12
_KEEP_ALL = ("--retain-payloads", str(2**31 - 1), "--retain-bytes", str(2**62))


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """How one conductor is run."""

    server_id: str
    identity: int
    """The number of its development key."""
    gateway: Address
    grpc: Address
    data_dir: Path
    log: Path


def plan_nodes(count: int, directory: Path) -> tuple[NodePlan, ...]:
    """Plans for `count` conductors on free ports of this machine, their files under `directory`."""
    ports = free_ports(2 * count)
    return tuple(
        NodePlan(
            server_id=f"node-{number}",
            identity=number,
            gateway=Address(HOST, ports[2 * number - 2]),
            grpc=Address(HOST, ports[2 * number - 1]),
            data_dir=directory / f"node-{number}",
            log=directory / f"node-{number}.log",
        )
        for number in range(1, count + 1)
    )


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, all different."""
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
            listener = held.enter_context(socket.socket())
            try:
                listener.bind((HOST, port))
            except OSError:
                continue
            ports.append(port)
            if len(ports) == count:
                return ports
    raise Unavailable(f"fewer than {count} free ports from {_PORTS[0]} to {_PORTS[-1]} on {HOST}")


def node_command(plan: NodePlan, plans: Sequence[NodePlan], *, keep_all: bool) -> list[str]:
    """The command line of a conductor in a cluster of `plans`.

    `keep_all`: prune nothing, so that in the end every payload can be judged.
    """
    peers = ",".join(f"{peer.server_id}={peer.grpc}" for peer in plans)
    return [
        *(sys.executable, "-m", "conductor", "run"),
        *("--server-id", plan.server_id),
        *("--bind-addr", str(plan.gateway)),
        *("--grpc-addr", str(plan.grpc)),
        *("--peers", peers),
        *("--cluster-name", "devnet"),
        *("--identity", str(plan.identity)),
        *("--data-dir", str(plan.data_dir)),
        *(_KEEP_ALL if keep_all else ()),
    ]


def node_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without options: one meant for a real node must not change these."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(_ENVIRONMENT_PREFIX)
    }


class NodeProcess:
    """One conductor, which may be running or not."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        """`log`: takes all that it prints, over all its lives."""
        self._command = command
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._is_wanted = False

    @property
    def pid(self) -> int | None:
        """Its process id; None while it does not run."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    @property
    def has_died(self) -> bool:
        """Whether it ended although nobody here ended it."""
        return self._is_wanted and self.pid is None

    @property
    def exit_code(self) -> int | None:
        """Of its last life; minus the signal that ended it."""
        return self._process.returncode if self._process is not None else None

    def log_tail(self) -> str:
        """The last lines that it printed."""
        lines = self._log.read_text("utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LOG_TAIL_LINES:])

    async def start(self) -> None:
        """Begin a life, on the disk of the one before."""
        log = await asyncio.to_thread(self._log.open, "ab")
        with log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=node_environment(os.environ),
                start_new_session=True,
            )
        self._is_wanted = True

    async def kill(self) -> None:
        """SIGKILL: it gets no chance to say or write anything."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL when that takes too long."""
        try:
            async with asyncio.timeout(STOP_TIMEOUT_MS / 1000):
                await self._end(signal.SIGTERM)
        except TimeoutError:
            await self.kill()

    def close(self) -> None:
        """Make sure at once, and without waiting, that it does not go on."""
        self._signal(signal.SIGKILL)

    async def _end(self, how: signal.Signals) -> None:
        self._signal(how)
        if self._process is not None:
            await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        self._is_wanted = False
        if self.pid is not None:
            # asyncio's own way looks first whether the process has ended, behind the back of the
            # watcher that waits for it: the exit code of one that was just killed would be lost.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
