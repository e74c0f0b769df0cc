"""Conductors that answer over real gRPC, and stand in for a cluster that obeys its operators."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import grpc

from conductor.api.grpc_service import register
from conductor.core.values import Epoch, ServerId
from conductor.errors import NotLeader, TransferRefused
from conductor.service import Conductor, StatusView, TransferReceipt
from tests.api.fakes import FakeConductor


class Servers:
    """gRPC servers on ports of their own, on an event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._servers: list[grpc.aio.Server] = []
        self._thread.start()

    def start(self, conductor: Conductor) -> str:
        """Serve it; the address."""
        return asyncio.run_coroutine_threadsafe(self._start(conductor), self._loop).result()

    async def _start(self, conductor: Conductor) -> str:
        server = grpc.aio.server()
        register(server, conductor)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        self._servers.append(server)
        return f"127.0.0.1:{port}"

    def stop(self) -> None:
        """End all of them."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        for server in self._servers:
            await server.stop(grace=None)


@contextmanager
def servers_in_a_thread() -> Iterator[Servers]:
    """Servers that are gone when the block is left."""
    servers = Servers()
    try:
        yield servers
    finally:
        servers.stop()


class FakeCluster:
    """Servers node-1 to node-3, whose leader moves when an operator says so."""

    def __init__(self, servers: Servers) -> None:
        self.leader_id = "node-1"
        self.epoch = 7
        self.hands_over = True
        """Whether a paused leader gives the leadership away."""
        self.members = {
            name: FakeMember(self, name) for name in (f"node-{number}" for number in (1, 2, 3))
        }
        self.addresses = {name: servers.start(member) for name, member in self.members.items()}

    def lead(self, name: str) -> None:
        """A new epoch begins."""
        self.leader_id = name
        self.epoch += 1

    def successor(self, of: str) -> str | None:
        """The first other that is not paused."""
        names = (name for name in self.members if name != of and not self.members[name].paused)
        return next(names, None)


class FakeMember(FakeConductor):
    """One of them: pausing and transferring move the leadership at once."""

    def __init__(self, cluster: FakeCluster, name: str) -> None:
        super().__init__()
        self.cluster = cluster
        self.name = name
        self.pauses = 0
        self.looks = 0
        """How often it was asked for its status."""

    def status(self) -> StatusView:
        self.looks += 1
        cluster, view = self.cluster, super().status()
        is_leader = cluster.leader_id == self.name
        health = replace(
            view.health,
            serving=not self.paused,
            epoch=Epoch(cluster.epoch),
            is_leader=is_leader,
            server_id=self.name,
            leader_id=cluster.leader_id,
            reasons=("an operator has paused this node",) if self.paused else (),
        )
        members = tuple(
            replace(
                member,
                grpc_address=cluster.addresses[member.server_id],
                role="leader" if member.server_id == cluster.leader_id else "follower",
                serving=not cluster.members[member.server_id].paused,
            )
            for member in view.members
        )
        role = "leader" if is_leader else "follower"
        return replace(view, health=health, role=role, members=members)

    async def pause(self) -> bool:
        was_paused = await super().pause()
        self.pauses += 1
        successor = self.cluster.successor(self.name)
        wants = self.cluster.hands_over and self.cluster.leader_id == self.name
        if wants and successor is not None:
            self.cluster.lead(successor)
        return was_paused

    async def transfer(self, target: ServerId | None, *, force: bool = False) -> TransferReceipt:
        await super().transfer(target, force=force)
        cluster = self.cluster
        if cluster.leader_id != self.name:
            raise NotLeader(leader_id=cluster.leader_id)
        chosen = target or cluster.successor(self.name)
        if chosen is None or (cluster.members[chosen].paused and not force):
            raise TransferRefused(f"{chosen} is paused: resume it first")
        cluster.lead(chosen)
        return TransferReceipt(self.name, chosen, Epoch(cluster.epoch))
