"""A node around its beginning and its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import Any

from conductor.config import Address, Config
from conductor.core.forming import Forming
from conductor.core.pinning import OwnFacts
from conductor.core.quorum import MAJORITY
from conductor.core.values import Digest, Genesis, Member
from conductor.epochs import create_epoch_manager
from conductor.errors import ConductorError
from conductor.identity import verify_signature
from conductor.ports import MemberObservation, PeerTransport
from conductor.runtime.driver import MonotonicClock
from conductor.runtime.node import Node, NodePorts
from conductor.runtime.use_cases import UseCases
from conductor.store import MemoryStore
from tests.runtime.kit import DEADLINE_SECONDS, RecordingTransport, member_of, signer_of


class FormingStore(MemoryStore):
    """A store whose genesis is stored only when it is let through."""

    def __init__(self) -> None:
        super().__init__(member_of("a").key)
        self.open = threading.Event()
        self.entered = threading.Event()

    def set_genesis(self, genesis: Genesis) -> None:
        """As the real one, once the gate is open."""
        self.entered.set()
        assert self.open.wait(DEADLINE_SECONDS)
        super().set_genesis(genesis)


class Alone:
    """Surroundings in which there is nobody else."""

    def __init__(self) -> None:
        self.shown: list[bool] = []
        self.joined = 0

    @property
    def transport(self) -> PeerTransport:
        return RecordingTransport()

    def join(self, members: Sequence[Member], cluster_id: Digest) -> None:
        self.joined += 1

    def observe(self, now_ms: int) -> tuple[MemberObservation, ...]:
        return ()

    def show(self, *, serving: bool, paused: bool) -> None:
        self.shown.append(serving)

    def suspend_judgement(self, until_ms: int) -> None:
        pass


class Bench:
    """A node that is a cluster of its own, with everything that surrounds it."""

    def __init__(self) -> None:
        self.store = FormingStore()
        self.surroundings = Alone()
        self.fatal: list[ConductorError] = []
        self.tasks: list[asyncio.Task[None]] = []
        own = member_of("a")
        config = Config(server_id="a", grpc_advertise=Address("a", 18080))
        forming = Forming(OwnFacts("test", own, config.voter_addresses, MAJORITY, "1.0"))
        ports = NodePorts(
            store=self.store,
            signer=signer_of("a"),
            verify=verify_signature,
            clock=MonotonicClock(),
            wall_ms=lambda: 0,
            epoch_manager=create_epoch_manager(config),
            spawn=self.spawn,
            after_write=lambda: None,
            on_fatal=self.fatal.append,
        )
        self.node = Node(config, own, self.store.load(), forming, ports)
        self.stops = 0
        self.use_cases = UseCases(self.node, "test", self._stop)

    def _stop(self) -> None:
        self.stops += 1

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work, name=name))

    async def until_leading(self) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not self.use_cases.leader().is_leader:  # noqa: ASYNC110 - plain state, no event
                await asyncio.sleep(0)

    async def end(self) -> None:
        """What the composition root does after `stop`, before it closes the store."""
        await self.node.finish()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_stopping_node_says_at_once_that_it_does_not_serve() -> None:
    bench = Bench()
    bench.store.open.set()
    await bench.node.start(bench.surroundings)
    await bench.until_leading()
    assert bench.surroundings.shown[-1] is True
    await bench.node.stop()
    assert bench.surroundings.shown[-1] is False
    assert bench.use_cases.health().serving is False
    assert bench.use_cases.health().reasons[0] == "the node is stopping"
    assert bench.fatal == []
    await bench.end()


async def test_node_that_stops_while_it_forms_leaves_the_store_to_nobody() -> None:
    """The store is closed next: neither the genesis nor a member may still be at it then."""
    bench = Bench()
    await bench.node.start(bench.surroundings)
    assert await asyncio.to_thread(bench.store.entered.wait, DEADLINE_SECONDS)
    await bench.node.stop()
    ending = asyncio.get_running_loop().create_task(bench.end())
    await asyncio.sleep(0)
    assert not ending.done()
    bench.store.open.set()
    await ending
    assert bench.store.load().genesis is not None
    assert bench.node.machine is None
    assert bench.surroundings.joined == 0


async def test_node_that_stops_before_it_forms_stores_nothing() -> None:
    bench = Bench()
    await bench.node.start(bench.surroundings)
    await bench.node.stop()
    bench.store.open.set()
    await asyncio.gather(*bench.tasks[:1])
    assert bench.store.load().genesis is None
    await bench.end()
