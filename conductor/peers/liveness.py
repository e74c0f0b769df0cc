"""Tells a process that is gone from a link that is slow.

A stream that breaks may mean anything. If the peer's machine then refuses a new connection at once,
the process that listened there is gone: that is known within milliseconds of a kill, and ends every
loyalty to a dead leader. Silence proves nothing here; the probes judge that.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from conductor.core.values import Member, ServerId
from conductor.peers.tasks import OwnedTasks

CONNECT_DEADLINE_S = 0.2
# A dying process may take connections for a moment after its streams broke.
CONNECT_ATTEMPTS = 3
CONNECT_SPACING_S = 0.02


class Liveness:
    """Confirms deaths. `on_died` hears of each death once, until the peer is heard again."""

    def __init__(self, tasks: OwnedTasks, on_died: Callable[[ServerId], None]) -> None:
        self._tasks = tasks
        self._on_died = on_died
        self._dead: set[ServerId] = set()
        self._suspected: set[ServerId] = set()

    def suspect(self, member: Member) -> None:
        """A connection to or from that member broke or failed: look at once whether it is dead."""
        if member.server_id not in self._suspected:
            self._suspected.add(member.server_id)
            self._tasks.start(self._look(member), f"is {member.server_id} dead")

    def heard(self, server_id: ServerId) -> None:
        """That member has just spoken."""
        self._dead.discard(server_id)

    async def _look(self, member: Member) -> None:
        try:
            is_dead = await refuses_connections(member.grpc_address)
        finally:
            self._suspected.discard(member.server_id)
        if is_dead and member.server_id not in self._dead:
            self._dead.add(member.server_id)
            self._on_died(member.server_id)


async def refuses_connections(address: str) -> bool:
    """Whether `host:port` refuses a TCP connection, on every address of the host, in 200 ms."""
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_DEADLINE_S):
            found = await loop.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
            for attempt in range(CONNECT_ATTEMPTS):
                if attempt:
                    await asyncio.sleep(CONNECT_SPACING_S)
                refusals = [await _is_refused(family, target) for family, *_, target in found]
                if all(refusals):
                    return True
    except (TimeoutError, OSError, UnicodeError):  # the last for names that no resolver can take
        return False
    return False


async def _is_refused(family: int, target: tuple[object, ...]) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connection, target)
        except ConnectionRefusedError:
            return True
    return False
