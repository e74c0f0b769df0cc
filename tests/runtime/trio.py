"""Three nodes in one event loop, on a network of function calls that tests can cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from conductor.config import Address, Config, PeerAddress
from conductor.core.forming import Forming
from conductor.core.messages import Message
from conductor.core.pinning import OwnFacts
from conductor.core.quorum import MAJORITY
from conductor.core.values import Digest, Member, ServerId
from conductor.errors import ConductorError
from conductor.identity import verify_signature
from conductor.ports import (
    Bodies,
    Designation,
    MemberObservation,
    Observation,
    PeerTransport,
)
from conductor.runtime.driver import MonotonicClock
from conductor.runtime.node import Node, NodePorts
from conductor.runtime.use_cases import UseCases
from tests.runtime.kit import DEADLINE_SECONDS, NAMES, formed_store, member_of, signer_of

ADDRESSES = tuple(PeerAddress(Address(name, 18080), name) for name in NAMES)
A_CALL = 1
"""What an answer names, since nobody here has two calls open."""


async def until(condition: Callable[[], bool]) -> None:
    """Wait for plain state, with a deadline."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0)


class NamesTheFirst:
    """Names `a` until somebody has led, and then whoever does: who leads next is up to the test."""

    def __init__(self) -> None:
        self._has_been_led = False

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    def campaign_failed(self, server_id: ServerId, now_ms: int) -> None:
        pass

    def designate(self, observation: Observation) -> Designation | None:
        if observation.leader is not None:
            self._has_been_led = True
            return Designation(observation.leader.server_id, "leads")
        if self._has_been_led:
            return None
        return Designation(ServerId("a"), "is the first")


class Trio:
    """The nodes `a`, `b` and `c`, by their names. `a` leads once it can."""

    def __init__(self) -> None:
        self.mute: set[str] = set()
        """Whose words reach nobody any more."""
        self.fatal: list[ConductorError] = []
        self.sides = {name: Side(name, self) for name in NAMES}

    def __getitem__(self, name: str) -> Side:
        return self.sides[name]

    def leads(self, name: str) -> bool:
        """Whether all say that this one leads."""
        views = [side.use_cases.leader() for side in self.sides.values()]
        agree = len({view.epoch for view in views}) == 1
        return agree and all(view.leader_id == name for view in views)

    def deliver(self, sender: str, to: str, message: Message, bodies: Bodies, reply: int) -> None:
        """Carry a message, unless that is cut, once the sender has done what it is at."""
        if sender not in self.mute:
            key, inbox = member_of(sender).key, self.sides[to].node
            reply_to = 0 if reply else A_CALL
            asyncio.get_running_loop().call_soon(inbox.receive, key, message, bodies, reply_to)


class Side:
    """One node, and its surroundings (`runtime.node.Surroundings`)."""

    def __init__(self, name: str, trio: Trio) -> None:
        self._name = name
        self._trio = trio
        self._tasks: list[asyncio.Task[None]] = []
        self.ends = 0
        self.wall_ms = 0
        self.store = formed_store(3, name)
        self.node = self._node()
        self.use_cases = UseCases(self.node, "test", self._end)

    def _node(self) -> Node:
        own, state = member_of(self._name), self.store.load()
        config = Config(
            server_id=self._name,
            grpc_advertise=Address(self._name, 18080),
            peers=tuple(peer for peer in ADDRESSES if peer.server_id != self._name),
        )
        facts = OwnFacts("test", own, config.voter_addresses, MAJORITY, "1.0")
        ports = NodePorts(
            store=self.store,
            signer=signer_of(self._name),
            verify=verify_signature,
            clock=MonotonicClock(),
            wall_ms=lambda: self.wall_ms,
            epoch_manager=NamesTheFirst(),
            spawn=self._spawn,
            after_write=lambda: None,
            on_fatal=self._trio.fatal.append,
        )
        return Node(config, own, state, Forming(facts, genesis=state.genesis), ports)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work, name=name))

    def _end(self) -> None:
        self.ends += 1

    async def start(self) -> None:
        """Begin, connected to all."""
        await self.node.start(self)
        for name in NAMES:
            if name != self._name:
                self.node.peer_connected(ServerId(name))

    async def stop(self) -> None:
        """End it, and everything that it has begun."""
        await self.node.stop()
        await self.node.finish()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def transport(self) -> PeerTransport:
        return _Transport(self._name, self._trio)

    def join(self, members: Sequence[Member], cluster_id: Digest) -> None:
        pass

    def observe(self, now_ms: int) -> tuple[MemberObservation, ...]:
        return tuple(
            MemberObservation(
                server_id=ServerId(name),
                reachable=name not in self._trio.mute,
                serving=side.node.condition.serving,
                paused=side.node.paused,
                serving_since_ms=0,
            )
            for name, side in self._trio.sides.items()
            if name != self._name
        )

    def show(self, *, serving: bool, paused: bool) -> None:
        """The others are told, and look at their clocks."""
        for name, side in self._trio.sides.items():
            if name != self._name and serving != self.node.condition.serving:
                side.node.hurry()

    def suspend_judgement(self, until_ms: int) -> None:
        pass


@dataclass(frozen=True, slots=True)
class _Transport:
    name: str
    trio: Trio

    def send(self, to: ServerId, message: Message, bodies: Bodies, reply_to: int) -> None:
        """To that node, in this very loop."""
        self.trio.deliver(self.name, to, message, bodies, reply_to)


@asynccontextmanager
async def leading_trio() -> AsyncIterator[Trio]:
    """Three nodes that have formed, and that `a` leads; all fit to lead."""
    trio = Trio()
    try:
        for side in trio.sides.values():
            await side.start()
        await until(lambda: trio.leads("a"))
        await until(lambda: set(trio["a"].node.observed) == set(NAMES))
        await until(lambda: all(seen.serving for seen in trio["a"].node.observed.values()))
        yield trio
    finally:
        for side in trio.sides.values():
            side.store.open.set()
            await side.stop()
    assert trio.fatal == []
