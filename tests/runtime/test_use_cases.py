"""What operators do to a node of a cluster, and how a node that is to stop takes its leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from conductor.core.values import ServerId
from conductor.devnet.payloads import GENESIS, BlockBuilder, Head
from conductor.errors import (
    ConductorError,
    NotFormed,
    NotLeader,
    OutcomeUnknown,
    ShuttingDown,
    TransferRefused,
)
from conductor.runtime.node import DRAIN_MS_MAX
from conductor.service import TransferReceipt
from tests.runtime.kit import DEADLINE_SECONDS
from tests.runtime.test_node import Bench
from tests.runtime.trio import Trio, leading_trio, until

BUILDER = BlockBuilder(seed=1, builder="test", transactions_bytes=1000)
BLOCK = BUILDER.build(GENESIS)


@pytest.fixture
async def trio() -> AsyncIterator[Trio]:
    """Three nodes that `a` leads."""
    async with leading_trio() as trio:
        yield trio


async def transfer(trio: Trio, name: str, target: str | None, *, force: bool = False) -> str:
    """Who leads afterwards."""
    wanted = ServerId(target) if target is not None else None
    receipt = await trio[name].use_cases.transfer(wanted, force=force)
    return receipt.leader_id


# Pause and resume


async def test_paused_leader_gives_the_leadership_away_and_resumes_as_a_follower(
    trio: Trio,
) -> None:
    a = trio["a"].use_cases
    assert await a.pause() is False
    assert await a.pause() is True
    assert (a.is_paused(), a.is_active(), a.status().paused) == (True, False, True)
    await until(lambda: not a.health().serving)
    assert "paused" in " ".join(a.health().reasons)
    successor = await transfer(trio, "a", None)
    await until(lambda: trio.leads(successor))

    assert await a.resume() is True
    assert await a.resume() is False
    assert (a.is_paused(), a.is_active(), a.status().paused) == (False, True, False)
    await until(lambda: a.health().serving)
    assert trio.leads(successor)


async def test_pause_is_told_apart_from_the_faults_of_a_paused_node(trio: Trio) -> None:
    c = trio["c"]
    assert not c.use_cases.health().only_paused
    await c.use_cases.pause()
    await until(lambda: c.use_cases.health().only_paused)
    trio.mute |= {"a", "b"}
    c.node.hurry()
    await until(lambda: not c.use_cases.health().only_paused)
    trio.mute.clear()
    c.node.hurry()
    await until(lambda: c.use_cases.health().only_paused)
    await c.node.drain()
    await until(lambda: not c.use_cases.health().only_paused)


async def test_stopped_node_is_not_only_paused(trio: Trio) -> None:
    c = trio["c"]
    await c.use_cases.pause()
    await until(lambda: c.use_cases.health().only_paused)
    await c.node.stop()
    assert not c.use_cases.health().only_paused


async def test_paused_leader_goes_on_committing(trio: Trio) -> None:
    """Pausing steps aside where that is possible; it never stops the chain."""
    await trio["a"].use_cases.pause()
    receipt = await trio["a"].use_cases.commit(BLOCK.ssz)
    assert receipt.height == 1


# Override


async def test_override_changes_what_is_said_and_nothing_else(trio: Trio) -> None:
    b = trio["b"].use_cases
    truth = b.leader()
    assert (truth.is_leader, truth.is_overridden, truth.leader_id) == (False, False, "a")
    assert await b.override_leader(True) is False
    assert await b.override_leader(True) is True
    said = b.leader()
    assert (said.is_leader, said.is_overridden, said.leader_id) == (False, True, "a")
    assert b.is_leader_overridden()
    assert b.status().leader_overridden
    assert b.status().role == "follower"
    with pytest.raises(NotLeader):
        await b.commit(BLOCK.ssz)
    assert trio.leads("a")
    assert await b.override_leader(False) is True
    assert b.leader() == truth


# Transfer


async def test_transfer_to_the_best_voter_says_who_leads_in_which_epoch(trio: Trio) -> None:
    before = trio["a"].use_cases.leader()
    receipt = await trio["a"].use_cases.transfer(None)
    assert receipt.leader_id in {"b", "c"}
    epoch = trio[receipt.leader_id].use_cases.leader().epoch
    assert receipt == TransferReceipt("a", receipt.leader_id, epoch)
    assert receipt.epoch > before.epoch
    await until(lambda: trio.leads(receipt.leader_id))


async def test_transfer_to_a_named_voter_carries_what_is_certified(trio: Trio) -> None:
    await trio["a"].use_cases.commit(BLOCK.ssz)
    assert await transfer(trio, "a", "c") == "c"
    await until(lambda: trio.leads("c"))
    child = BUILDER.build(Head.of(BLOCK.ssz))
    assert (await trio["c"].use_cases.commit(child.ssz)).height == 2
    assert (await trio["c"].use_cases.latest(consistent=True)).ssz == child.ssz


async def test_every_node_remembers_that_an_operator_asked(trio: Trio) -> None:
    await transfer(trio, "a", "c")
    await until(lambda: trio.leads("c"))
    for side in trio.sides.values():
        newest = side.use_cases.history()[-1]
        assert (newest.leader_id, newest.reason) == ("c", "transfer: an operator asked")


async def test_follower_does_not_transfer_and_names_the_leader(trio: Trio) -> None:
    with pytest.raises(NotLeader) as caught:
        await transfer(trio, "b", "c")
    assert caught.value.leader_id == "a"
    assert trio.leads("a")


@pytest.mark.parametrize("force", [False, True])
async def test_paused_target_is_refused_also_by_force(trio: Trio, force: bool) -> None:
    await trio["b"].use_cases.pause()
    await until(lambda: trio["a"].node.observed[ServerId("b")].paused)
    with pytest.raises(TransferRefused, match="b is paused: resume it first"):
        await transfer(trio, "a", "b", force=force)
    assert await transfer(trio, "a", None) == "c"


@pytest.mark.parametrize("force", [False, True])
async def test_target_that_was_paused_just_now_refuses_by_its_own_word(
    trio: Trio, force: bool
) -> None:
    """The leader's probes have not seen the pause yet."""
    await trio["b"].use_cases.pause()
    assert trio["b"].node.member.machine.node.paused, "before the pause is answered"
    with pytest.raises(TransferRefused, match="b refuses: it is paused: resume it first"):
        await transfer(trio, "a", "b", force=force)
    assert trio.leads("a")
    await trio["b"].use_cases.resume()
    assert await transfer(trio, "a", "b", force=True) == "b"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("a", "cannot transfer leadership to itself"),
        ("x", "cannot find replication state for x"),
    ],
)
async def test_impossible_target_is_refused_and_the_leader_leads_on(
    trio: Trio, target: str, reason: str
) -> None:
    with pytest.raises(TransferRefused, match=reason):
        await transfer(trio, "a", target)
    assert trio.leads("a")
    assert (await trio["a"].use_cases.commit(BLOCK.ssz)).height == 1


async def test_leader_leads_on_when_its_target_falls_silent(trio: Trio) -> None:
    """The order is under way, and cannot be called back: nobody is told that it came to nothing."""
    trio.mute.add("b")
    with pytest.raises(OutcomeUnknown, match="b does not answer"):
        await transfer(trio, "a", "b")
    assert trio["a"].use_cases.leader().is_leader
    assert (await trio["a"].use_cases.commit(BLOCK.ssz)).height == 1


async def test_unformed_cluster_has_nothing_to_transfer() -> None:
    bench = Bench()
    with pytest.raises(NotFormed):
        await bench.use_cases.transfer(None)
    assert bench.use_cases.history() == ()
    assert bench.use_cases.leader().epoch == 0


# Stop


async def test_stop_is_answered_before_the_end_begins(trio: Trio) -> None:
    await trio["a"].use_cases.stop()
    for _ in range(10):
        await asyncio.sleep(0)
        assert trio["a"].ends == 0
    await until(lambda: trio["a"].ends == 1)


async def test_stopped_node_says_so_to_every_caller(trio: Trio) -> None:
    side = trio["c"]
    await side.node.stop()
    assert (side.use_cases.is_stopped(), side.use_cases.is_active()) == (True, False)
    with pytest.raises(ShuttingDown):
        await side.use_cases.transfer(None)
    assert [record.leader_id async for record in side.use_cases.watch_epochs()][-1:] == [
        side.use_cases.history()[-1].leader_id
    ]


async def test_leader_that_is_to_stop_hands_over_first(trio: Trio) -> None:
    await trio["a"].use_cases.commit(BLOCK.ssz)
    with capture_logs() as logs:
        await trio["a"].node.drain()
    done = [line for line in logs if line["event"] == "hand_over_done"]
    (successor,) = (line["leader_id"] for line in done)
    await until(lambda: trio.leads(successor))
    assert trio[successor].use_cases.history()[-1].reason == "a stops"
    assert not trio["a"].use_cases.health().serving
    child = BUILDER.build(Head.of(BLOCK.ssz))
    assert (await trio[successor].use_cases.commit(child.ssz)).height == 2


async def test_watcher_of_a_leader_that_stops_learns_who_leads_next(trio: Trio) -> None:
    watcher = trio["a"].use_cases.watch_epochs()
    assert (await anext(watcher)).leader_id == "a"
    await trio["a"].node.drain()
    await trio["a"].node.stop()
    assert (await anext(watcher)).leader_id in {"b", "c", ""}
    with pytest.raises(StopAsyncIteration):
        await anext(watcher)


async def test_follower_that_is_to_stop_calls_itself_unfit_at_once(trio: Trio) -> None:
    await trio["c"].node.drain()
    await until(lambda: not trio["c"].use_cases.health().serving)
    assert trio.leads("a")


async def test_leader_that_can_hand_over_to_nobody_does_not_wait_long(trio: Trio) -> None:
    for name in ("b", "c"):
        await trio[name].use_cases.pause()
    await until(lambda: all(trio["a"].node.observed[ServerId(n)].paused for n in ("b", "c")))
    await until(lambda: not (trio["b"].node.condition.serving or trio["c"].node.condition.serving))
    with capture_logs() as logs:
        await trio["a"].node.drain()
    (failed,) = [line for line in logs if line["event"] == "hand_over_failed"]
    assert "no other voter is fit to lead" in failed["reason"]


async def test_drain_is_bounded_when_nobody_answers(trio: Trio) -> None:
    """The process is awaited, and may be killed."""
    trio.mute |= {"b", "c"}
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await trio["a"].node.drain()
    assert loop.time() - began_s < 2 * DRAIN_MS_MAX / 1000 + 1
    with pytest.raises(ConductorError):
        await trio["a"].use_cases.commit(BLOCK.ssz)
