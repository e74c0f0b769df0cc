"""The simulated sequencer keeps op-node's contract with a conductor that errs on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from conductor.devnet.journal import Journal, Record
from conductor.devnet.payloads import GENESIS, BlockBuilder
from conductor.devnet.sequencer import RESEALS_MAX, Activity, Sequencer, SequencerTiming
from conductor.payload import payload_header
from tests.devnet.builders import some_blocks
from tests.devnet.fake_conductor import Answer, FakeConductor, connected

TIMING = SequencerTiming()
COMMIT_RETRY = TIMING.commit_retry_ms / 1000
BACK_OFF = TIMING.back_off_ms / 1000


class Stage:
    """One sequencer at a fake conductor, its journal, and the pauses that it asked for."""

    def __init__(self, conductor: FakeConductor) -> None:
        self.conductor = conductor
        self.records: list[Record] = []
        self.pauses: list[float] = []
        self.sequencer: Sequencer

    @property
    def gossiped(self) -> list[int]:
        """The heights, in order."""
        return [record.height for record in self.records if record.event == "gossip"]

    async def pause(self, seconds: float) -> None:
        """Take note instead of waiting."""
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition that has to come true soon."""
        async with asyncio.timeout(10):
            while True:
                if condition():
                    return
                await asyncio.sleep(0)


@asynccontextmanager
async def running(
    conductor: FakeConductor, directory: Path, timing: SequencerTiming = TIMING
) -> AsyncIterator[Stage]:
    """A sequencer at work until the block ends."""
    stage = Stage(conductor)
    async with connected(conductor) as client:
        stage.sequencer = Sequencer(
            "node-1",
            gateway=client,
            builder=BlockBuilder(seed=1, builder="node-1", transactions_bytes=300),
            journal=Journal(directory / "journal.jsonl", lambda: 0, stage.records.append),
            timing=timing,
            pause=stage.pause,
        )
        task = asyncio.create_task(stage.sequencer.run())
        try:
            yield stage
        finally:
            task.cancel()
            await asyncio.wait([task])
        assert task.cancelled(), task


async def test_chain_begins_at_genesis_when_nothing_is_certified(tmp_path: Path) -> None:
    async with running(FakeConductor(), tmp_path) as stage:
        await stage.until(lambda: len(stage.gossiped) >= 3)

    assert stage.records[0].event == "start"
    assert stage.records[0].block_hash == GENESIS.block_hash.hex()
    assert stage.gossiped[:3] == [1, 2, 3]
    below = [stage.records[0], *stage.records[1:3]]
    assert [record.parent_hash for record in stage.records[1:4]] == [
        record.block_hash for record in below
    ]


async def test_chain_goes_on_at_the_certified_head(tmp_path: Path) -> None:
    conductor = FakeConductor()
    head = some_blocks(5, builder="node-2")[-1]
    conductor.latest = head.ssz

    async with running(conductor, tmp_path) as stage:
        await stage.until(lambda: bool(stage.gossiped))

    assert (stage.records[0].event, stage.records[0].height) == ("start", 5)
    assert stage.records[1].height == 6
    assert stage.records[1].parent_hash == head.head.block_hash.hex()


async def test_nothing_is_built_while_another_leads(tmp_path: Path) -> None:
    conductor = FakeConductor()
    conductor.leads = False

    async with running(conductor, tmp_path) as stage:
        await stage.until(lambda: conductor.leader_calls >= 3)
        assert stage.sequencer.activity is Activity.STOPPED

    assert stage.pauses[0] == TIMING.poll_ms / 1000
    assert not conductor.offered
    assert not stage.records


async def test_nothing_is_built_while_the_conductor_does_not_answer(tmp_path: Path) -> None:
    conductor = FakeConductor()
    conductor.is_dead = True

    async with running(conductor, tmp_path) as stage:
        await stage.until(lambda: len(stage.pauses) >= 3)

    assert not stage.records


async def test_failed_commit_is_tried_again_after_50_ms(tmp_path: Path) -> None:
    conductor = FakeConductor()
    conductor.script.append(Answer.REFUSE)

    async with running(conductor, tmp_path) as stage:
        await stage.until(lambda: bool(stage.gossiped))

    assert stage.pauses[0] == COMMIT_RETRY == 0.05
    assert BACK_OFF not in stage.pauses
    assert conductor.offered[0] == conductor.offered[1]
    assert stage.gossiped[0] == 1


async def test_after_two_tries_it_backs_off_and_seals_the_same_block_again(tmp_path: Path) -> None:
    conductor = FakeConductor()
    conductor.script.extend([Answer.REFUSE] * 4)

    async with running(conductor, tmp_path) as stage:
        await stage.until(lambda: bool(stage.gossiped))

    assert stage.pauses[:4] == [COMMIT_RETRY, BACK_OFF, COMMIT_RETRY, BACK_OFF]
    assert BACK_OFF == 1
    assert len(set(conductor.offered[:5])) == 1


async def test_block_is_gossiped_once_when_an_error_hid_its_success(tmp_path: Path) -> None:
    """The conductor certified it and answered with an error: the same bytes count once."""
    conductor = FakeConductor()
    conductor.script.extend([Answer.KEEP_AND_FAIL] * 2)

    async with running(conductor, tmp_path) as stage:
        await stage.until(lambda: len(stage.gossiped) >= 2)

    assert len(set(conductor.offered[:3])) == 1
    assert stage.gossiped[:2] == [1, 2]
    assert stage.records[1].payload_hash != stage.records[2].payload_hash


async def test_nothing_is_gossiped_before_its_commit_succeeds(tmp_path: Path) -> None:
    conductor = FakeConductor()
    conductor.script.extend([Answer.REFUSE] * 2)

    async with running(conductor, tmp_path) as stage:
        await stage.until(lambda: BACK_OFF in stage.pauses)
        assert stage.gossiped == []


async def test_both_tries_together_have_one_deadline(tmp_path: Path) -> None:
    conductor = FakeConductor()
    conductor.script.append(Answer.HANG)

    async with running(conductor, tmp_path, SequencerTiming(commit_timeout_ms=20)) as stage:
        await stage.until(lambda: bool(stage.gossiped))

    assert TIMING.commit_timeout_ms == 1000
    assert stage.pauses[0] == BACK_OFF, "no second try after the deadline"
    assert conductor.offered[0] == conductor.offered[1]


async def test_it_stops_when_the_leadership_is_lost(tmp_path: Path) -> None:
    conductor = FakeConductor()

    async with running(conductor, tmp_path) as stage:
        await stage.until(lambda: len(stage.gossiped) >= 2)
        assert stage.sequencer.activity is Activity.SEQUENCING
        conductor.leads = False
        await stage.until(lambda: stage.sequencer.activity is Activity.STOPPED)
        offered_count = len(conductor.offered)
        calls = conductor.leader_calls
        await stage.until(lambda: conductor.leader_calls >= calls + 3)

    assert len(conductor.offered) == offered_count


async def test_block_is_given_up_when_another_leads_after_the_back_off(tmp_path: Path) -> None:
    conductor = FakeConductor()
    conductor.script.extend([Answer.REFUSE] * 2)

    async with running(conductor, tmp_path) as stage:
        await stage.until(lambda: BACK_OFF in stage.pauses)
        conductor.leads = False
        await stage.until(lambda: stage.sequencer.activity is Activity.STOPPED)

    assert stage.gossiped == []
    assert len(set(conductor.offered)) == 1


async def test_new_leadership_starts_from_the_head_that_others_made(tmp_path: Path) -> None:
    conductor = FakeConductor()
    other = some_blocks(9, builder="node-2")[-1]

    async with running(conductor, tmp_path) as stage:
        await stage.until(lambda: bool(stage.gossiped))
        conductor.leads = False
        await stage.until(lambda: stage.sequencer.activity is Activity.STOPPED)
        seen = len(stage.records)
        conductor.latest = other.ssz
        conductor.leads = True
        await stage.until(lambda: len(stage.records) >= seen + 2)

    start, gossip = stage.records[seen : seen + 2]
    assert (start.event, start.height) == ("start", 9)
    assert gossip.parent_hash == other.head.block_hash.hex()


async def test_dead_conductor_gets_the_same_old_block_until_it_is_back(tmp_path: Path) -> None:
    conductor = FakeConductor()

    async with running(conductor, tmp_path) as stage:
        await stage.until(lambda: bool(stage.gossiped))
        conductor.is_dead = True
        await stage.until(lambda: stage.pauses.count(BACK_OFF) > 2 * RESEALS_MAX)
        assert stage.sequencer.activity is Activity.BACKING_OFF
        offered_count, gossiped = len(conductor.offered), stage.gossiped
        conductor.is_dead = False
        await stage.until(lambda: len(stage.gossiped) > len(gossiped))

    assert stage.gossiped[: len(gossiped) + 1] == [*gossiped, gossiped[-1] + 1]
    assert payload_header(conductor.offered[offered_count]).height == gossiped[-1] + 1
    assert [record.event for record in stage.records].count("start") == 1


async def test_block_refused_for_good_makes_it_start_again_at_the_head(tmp_path: Path) -> None:
    """A stale block must not keep a leader from sequencing for ever."""
    conductor = FakeConductor()
    other = some_blocks(1, builder="node-2")[0]

    async with running(conductor, tmp_path) as stage:
        conductor.script.extend([Answer.REFUSE] * 2)
        await stage.until(lambda: BACK_OFF in stage.pauses)
        conductor.latest = other.ssz  # certified under another leader while this one was away
        await stage.until(lambda: bool(stage.gossiped))

    stale = conductor.offered[: 2 * (1 + RESEALS_MAX)]
    assert len(set(stale)) == 1
    assert stage.gossiped[0] == 2
    assert [record.height for record in stage.records if record.event == "start"] == [0, 1]


async def test_blocks_come_in_the_block_time(tmp_path: Path) -> None:
    async with running(FakeConductor(), tmp_path, SequencerTiming(block_time_ms=60_000)) as stage:
        await stage.until(lambda: len(stage.pauses) >= 3)

    # The pauses are not waited for, so that each block is due a block time after the one before.
    assert [round(seconds / 60) for seconds in stage.pauses[:3]] == [1, 2, 3]
