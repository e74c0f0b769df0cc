"""A simulated op-node: builds blocks while its conductor leads, and gossips what was committed.

It keeps op-node's contract with a conductor (`op-node/rollup/conductor` and `sequencing` of
ethereum-optimism/optimism): it starts only at a conductor that says it leads; each block is
committed before it is gossiped, in two tries 50 ms apart within one second; after an error it
backs off and seals the same block again. Starting it at the certified head and stopping it are
the work of a conductor's reconcile loop in production; here it watches `conductor_leader` itself.

Invariant: it builds on nothing but the certified head that it started from and blocks whose
commit was answered with success. It is not to be trusted further than op-node is: when its
conductor dies it goes on with its old block, and offers that to whatever comes back.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from conductor.devnet.journal import Journal
from conductor.devnet.payloads import GENESIS, Block, BlockBuilder, Head
from conductor.errors import OutcomeUnknown, PeerUnreachable

RESEALS_MAX = 3
"""How often a leading conductor may fail one block before the sequencer starts anew at its head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequencerTiming:
    """Every duration of a sequencer, in milliseconds; op-node's own where it has one."""

    block_time_ms: int = 200
    poll_ms: int = 50
    commit_retry_ms: int = 50
    commit_timeout_ms: int = 1000
    """For both tries together."""
    back_off_ms: int = 1000


class Activity(enum.Enum):
    """What a sequencer is doing."""

    STOPPED = "stopped"
    SEQUENCING = "sequencing"
    BACKING_OFF = "backing off"


class Gateway(Protocol):
    """What a sequencer asks of its conductor; errors as of `ConductorClient`."""

    async def is_leader(self) -> bool:
        """Whether the conductor leads."""
        ...

    async def latest(self) -> bytes | None:
        """The newest certified payload as SSZ."""
        ...

    async def commit(self, envelope_json: bytes) -> None:
        """Have a payload certified."""
        ...


Pause = Callable[[float], Awaitable[None]]
"""Waits for so many seconds."""


class Sequencer:
    """The op-node beside one conductor."""

    def __init__(
        self,
        node: str,
        *,
        gateway: Gateway,
        builder: BlockBuilder,
        journal: Journal,
        timing: SequencerTiming,
        pause: Pause = asyncio.sleep,
    ) -> None:
        """`node`: the server id of its conductor."""
        self._node = node
        self._gateway = gateway
        self._builder = builder
        self._journal = journal
        self._timing = timing
        self._pause = pause
        self._activity = Activity.STOPPED

    @property
    def activity(self) -> Activity:
        """What it is doing now."""
        return self._activity

    async def run(self) -> None:
        """Sequence whenever the conductor leads, until cancelled."""
        while True:
            try:
                if await self._gateway.is_leader():
                    await self._sequence(await self._start())
            except PeerUnreachable:
                pass  # whoever does not answer does not lead
            finally:
                self._activity = Activity.STOPPED
            await self._wait_ms(self._timing.poll_ms)

    async def _start(self) -> Head:
        """The block to begin on: the certified head, or genesis when nothing was ever certified."""
        ssz = await self._gateway.latest()
        head = GENESIS if ssz is None else Head.of(ssz)
        await self._journal.start(self._node, head)
        return head

    async def _sequence(self, head: Head) -> None:
        """Extend the chain until the leadership is gone or a block is refused for good."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while await self._conductor_leads() is not False:
            self._activity = Activity.SEQUENCING
            block = await asyncio.to_thread(self._builder.build, head)
            if not await self._commit_or_give_up(block):
                return
            await self._journal.gossip(self._node, block)
            head = block.head
            # What comes late does not make the blocks after it come faster.
            due = max(due + self._timing.block_time_ms / 1000, loop.time())
            await self._pause(due - loop.time())

    async def _commit_or_give_up(self, block: Block) -> bool:
        """Whether the block was committed; False when its conductor leads no more or refuses it."""
        envelope_json = await asyncio.to_thread(lambda: block.envelope_json)
        reseals = 0
        while True:
            try:
                await self._commit(envelope_json)
                return True
            except OutcomeUnknown:
                self._activity = Activity.BACKING_OFF
            await self._wait_ms(self._timing.back_off_ms)
            leads = await self._conductor_leads()
            if leads is False or reseals == RESEALS_MAX:
                return False
            reseals += leads is True

    async def _conductor_leads(self) -> bool | None:
        """Its answer. None without one: nobody then tells op-node to stop, so it goes on."""
        try:
            return await self._gateway.is_leader()
        except PeerUnreachable:
            return None

    async def _commit(self, envelope_json: bytes) -> None:
        """Two tries within one deadline; OutcomeUnknown when neither was answered with success."""
        try:
            async with asyncio.timeout(self._timing.commit_timeout_ms / 1000):
                try:
                    await self._gateway.commit(envelope_json)
                except OutcomeUnknown:
                    await self._wait_ms(self._timing.commit_retry_ms)
                    await self._gateway.commit(envelope_json)
        except TimeoutError as error:
            raise OutcomeUnknown(
                f"no success within {self._timing.commit_timeout_ms} ms"
            ) from error

    async def _wait_ms(self, duration_ms: int) -> None:
        await self._pause(duration_ms / 1000)
