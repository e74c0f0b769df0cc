"""The block that a cluster goes on from: its leader brings it into the log, if it has it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from conductor.config import Config, Timing
from conductor.core.events import Designated, FitnessChanged
from conductor.core.founding import Founding, FoundingVoter, RaftEnd
from conductor.core.values import BlockReference, Epoch, Head, Height, ServerId
from conductor.devnet.payloads import GENESIS, Block, BlockBuilder
from conductor.devnet.payloads import Head as Parent
from conductor.errors import ConductorError, Conflict, ShuttingDown
from conductor.identity import verify_signature
from conductor.runtime.driver import MonotonicClock
from conductor.runtime.heir import Heir
from conductor.runtime.member import MemberPorts, RunningMember
from tests.runtime.kit import (
    DEADLINE_SECONDS,
    RecordingTransport,
    SlowStore,
    genesis_of,
    member_of,
    signer_of,
)

BUILDER = BlockBuilder(seed=1, builder="test", transactions_bytes=1000)
BLOCK = BUILDER.build(GENESIS)
OTHER = BUILDER.build(GENESIS)


def head_of(block: Block) -> Head:
    reference = BlockReference(Height(block.head.height), block.head.block_hash, block.parent_hash)
    return Head(reference, block.payload_hash)


class InheritedStore(SlowStore):
    """The store of a cluster of one that goes on from BLOCK. It may hold a block, or none."""

    def __init__(self, held: Block | None) -> None:
        super().__init__(member_of("a").key)
        end = RaftEnd(3, 7, head_of(held) if held is not None else None)
        founding = Founding((FoundingVoter(ServerId("a"), "a:18080"),), Epoch(3), None, end)
        self._state = dataclasses.replace(self._state, founding=founding)
        self._head = held.ssz if held is not None else b""
        self.heads_read = 0
        self.set_genesis(dataclasses.replace(genesis_of(1), head=head_of(BLOCK)))

    def read_head(self) -> bytes:
        """As the real one; counted."""
        self.heads_read += 1
        return super().read_head()


class Bench:
    """A running member, and its heir."""

    def __init__(self, held: Block | None, *, commit_timeout_ms: int) -> None:
        self.store = InheritedStore(held)
        self.fatal: list[ConductorError] = []
        self.tasks: list[asyncio.Task[None]] = []
        timing = dataclasses.replace(Timing(), commit_timeout_ms=commit_timeout_ms)
        ports = MemberPorts(
            store=self.store,
            transport=RecordingTransport(),
            signer=signer_of("a"),
            verify=verify_signature,
            clock=MonotonicClock(),
            spawn=self.spawn,
            after_write=lambda: None,
            on_notice=lambda notice: None,
            on_fatal=self.fatal.append,
        )
        state = self.store.load()
        self.member = RunningMember(state, Config(timing=timing), ports)
        self.heir = Heir(self.member, state, self.store, self.spawn)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work, name=name))

    async def lead(self) -> None:
        self.member.driver.post(FitnessChanged(serving=True, sequencer_ok=True))
        self.member.driver.post(Designated(ServerId("a"), "test"))
        await until(lambda: self.member.machine.is_established)

    async def beat(self) -> None:
        """Let the heir look, and do what it then does."""
        self.heir.consider()
        await asyncio.gather(*self.tasks)
        self.tasks.clear()

    @property
    def certified(self) -> int | None:
        """The height of the newest certified payload."""
        entry = self.member.machine.node.log.certified_payload
        return entry.block.height if entry is not None and entry.block is not None else None


async def until(condition: Callable[[], bool]) -> None:
    """Wait for plain state, with a deadline."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0)


@asynccontextmanager
async def running(held: Block | None, *, commit_timeout_ms: int = 5000) -> AsyncIterator[Bench]:
    bench = Bench(held, commit_timeout_ms=commit_timeout_ms)
    bench.member.start()
    try:
        yield bench
    finally:
        bench.store.open.set()
        bench.member.stop(ShuttingDown("the test is over"))
        await bench.member.finish()
    assert bench.fatal == []


async def test_leader_that_holds_the_block_certifies_it_first() -> None:
    async with running(BLOCK) as bench:
        await bench.beat()
        assert bench.store.heads_read == 0, "nobody leads yet"
        await bench.lead()

        with capture_logs() as logs:
            await bench.beat()

        assert bench.certified == BLOCK.head.height
        (line,) = [line for line in logs if line["event"] == "head_certified"]
        assert (line["height"], line["index"]) == (BLOCK.head.height, 2)
        assert (await bench.member.latest(consistent=False)).ssz == BLOCK.ssz


async def test_block_is_brought_once() -> None:
    async with running(BLOCK) as bench:
        await bench.lead()
        await bench.beat()
        await bench.member.commit(BUILDER.build(Parent.of(BLOCK.ssz)).ssz)
        await bench.beat()
        await bench.beat()

        assert bench.store.heads_read == 1
        assert bench.member.machine.node.log.last.index == 3


@pytest.mark.parametrize("held", [None, OTHER], ids=["none", "another"])
async def test_leader_without_the_block_waits_for_op_node_and_says_so_once(
    held: Block | None,
) -> None:
    async with running(held) as bench:
        await bench.lead()

        with capture_logs() as logs:
            await bench.beat()
            await bench.beat()

        (line,) = [line for line in logs if line["event"] == "head_awaited"]
        assert line["height"] == BLOCK.head.height
        assert bench.certified is None
        with pytest.raises(Conflict, match="the cluster goes on from"):
            await bench.member.commit(OTHER.ssz)
        await bench.member.commit(BUILDER.build(Parent.of(BLOCK.ssz)).ssz)
        await bench.beat()
        assert bench.certified == BLOCK.head.height + 1
        assert bench.store.heads_read == 0


async def test_block_that_op_node_brings_itself_is_taken() -> None:
    async with running(None) as bench:
        await bench.lead()
        await bench.member.commit(BLOCK.ssz)

        assert bench.certified == BLOCK.head.height


async def test_block_that_is_not_certified_in_time_is_in_the_log_all_the_same() -> None:
    async with running(BLOCK, commit_timeout_ms=20) as bench:
        await bench.lead()
        bench.store.open.clear()

        with capture_logs() as logs:
            await bench.beat()

        assert [line["event"] for line in logs if "head" in line["event"]] == ["head_not_certified"]
        bench.store.open.set()
        await until(lambda: bench.certified == BLOCK.head.height)
        await bench.beat()
        assert bench.store.heads_read == 1
