"""A member at work: commits, reads, acknowledgements, over a real core, loop and writer."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from structlog.testing import capture_logs

from conductor.config import Config, Timing
from conductor.core.certificate import Acknowledgement
from conductor.core.effects import LeadershipChanged, Notice
from conductor.core.events import Designated, FitnessChanged, PeerDied, PeerFitnessChanged
from conductor.core.messages import (
    Acknowledged,
    Append,
    FetchAnswer,
    Heard,
    PrePromiseAnswer,
    PrePromiseRequest,
    PromiseGrant,
    PromiseRequest,
)
from conductor.core.values import Digest, Epoch, Height, Index, MemberKey, ServerId
from conductor.devnet.payloads import GENESIS, Block, BlockBuilder, Head
from conductor.errors import (
    CommitTimeout,
    ConductorError,
    Conflict,
    InvalidPayload,
    InvariantViolation,
    LeadershipLost,
    NotFound,
    NotLeader,
    Overloaded,
    ShuttingDown,
    Stale,
    TransferRefused,
    Unauthenticated,
)
from conductor.identity import verify_signature
from conductor.runtime import member as member_module
from conductor.runtime.bodies import BodyCache
from conductor.runtime.driver import MonotonicClock
from conductor.runtime.member import MemberPorts, RunningMember
from tests.runtime.kit import (
    DEADLINE_SECONDS,
    RecordingTransport,
    SlowStore,
    formed_store,
    genesis_of,
    member_of,
    signer_of,
)

BUILDER = BlockBuilder(seed=1, builder="test", transactions_bytes=1000)
BLOCK = BUILDER.build(GENESIS)


def child_of(block: Block) -> Block:
    return BUILDER.build(Head.of(block.ssz))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 - the condition is plain state, nobody sets an event
            await asyncio.sleep(0)


class Bench:
    """One running member and what surrounds it."""

    def __init__(self, count: int, *, commit_timeout_ms: int = 5000) -> None:
        self.store: SlowStore = formed_store(count)
        self.transport = RecordingTransport()
        self.notices: list[Notice] = []
        self.fatal: list[ConductorError] = []
        self.tasks: list[asyncio.Task[None]] = []
        timing = dataclasses.replace(Timing(), commit_timeout_ms=commit_timeout_ms)
        ports = MemberPorts(
            store=self.store,
            transport=self.transport,
            signer=signer_of("a"),
            verify=verify_signature,
            clock=MonotonicClock(),
            spawn=self.spawn,
            after_write=lambda: None,
            on_notice=self.notices.append,
            on_fatal=self.fatal.append,
        )
        self.member = RunningMember(self.store.load(), Config(timing=timing), ports)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work, name=name))

    async def lead(self) -> None:
        """Start, and lead: alone, or with the promise of b."""
        self.member.start()
        driver = self.member.driver
        driver.post(FitnessChanged(serving=True, sequencer_ok=True))
        driver.post(Designated(ServerId("a"), "test"))
        await until(lambda: self.member.machine.is_established)

    async def stop(self) -> None:
        self.store.open.set()
        self.member.stop(ShuttingDown("test"))
        await self.member.finish()


@pytest.fixture
async def lone() -> AsyncIterator[Bench]:
    """An established leader that is a cluster of its own."""
    bench = Bench(1)
    await bench.lead()
    yield bench
    await bench.stop()


async def test_a_commit_returns_where_its_payload_is_certified(lone: Bench) -> None:
    receipt = await lone.member.commit(BLOCK.ssz)
    assert (receipt.height, receipt.epoch, receipt.index) == (1, 1, 2)
    assert lone.store.read_body(Index(2)) == BLOCK.ssz


async def test_the_same_payload_again_counts_once(lone: Bench) -> None:
    """T8: op-node asks twice; the second answer is the first one's."""
    first = await lone.member.commit(BLOCK.ssz)
    assert await lone.member.commit(BLOCK.ssz) == first
    assert lone.member.machine.node.log.last.index == 2


async def test_a_payload_that_does_not_follow_is_refused(lone: Bench) -> None:
    await lone.member.commit(BLOCK.ssz)
    with pytest.raises(Conflict, match="expected height 2"):
        await lone.member.commit(child_of(child_of(BLOCK)).ssz)


async def test_bytes_that_are_no_payload_are_refused(lone: Bench) -> None:
    with pytest.raises(InvalidPayload):
        await lone.member.commit(BLOCK.ssz[:-1] + b"\xff" * 700)


async def test_certified_payloads_are_read_back(lone: Bench) -> None:
    with pytest.raises(NotFound):
        await lone.member.latest(consistent=False)
    second = child_of(BLOCK)
    await lone.member.commit(BLOCK.ssz)
    await lone.member.commit(second.ssz)
    assert (await lone.member.latest(consistent=True)).ssz == second.ssz
    assert (await lone.member.payload_by_height(Height(1))).ssz == BLOCK.ssz
    with pytest.raises(NotFound):
        await lone.member.payload_by_height(Height(3))


async def test_the_newest_certificate_proves_itself_to_a_stranger(lone: Bench) -> None:
    await lone.member.commit(BLOCK.ssz)
    view = lone.member.certificate()
    view.certificate.check(view.cluster_id, view.membership, verify_signature)
    assert view.certificate.index == 2


async def test_a_commit_that_times_out_is_unknown_and_may_be_sent_again() -> None:
    """T8: the effects of a call that nobody waits for any more go on."""
    bench = Bench(1, commit_timeout_ms=50)
    await bench.lead()
    await until(bench.member.machine.node.outbox.is_idle)
    bench.store.open.clear()
    with pytest.raises(CommitTimeout, match="may still be certified"):
        await bench.member.commit(BLOCK.ssz)
    bench.store.open.set()
    await until(lambda: bench.member.machine.node.log.certified.index == 2)
    assert (await bench.member.commit(BLOCK.ssz)).index == 2
    await bench.stop()


async def test_a_client_that_goes_away_cancels_nothing(lone: Bench) -> None:
    """T35: cancelled at any await, the payload is certified all the same."""
    lone.store.open.clear()
    call = asyncio.get_running_loop().create_task(lone.member.commit(BLOCK.ssz))
    await until(lambda: lone.member.machine.node.log.last.index == 2)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    lone.store.open.set()
    await until(lambda: lone.member.machine.node.log.certified.index == 2)


async def test_a_stuck_disk_ends_the_leadership(lone: Bench) -> None:
    """T31: who cannot write does not lead, and says that the outcome is unknown."""
    lone.store.open.clear()
    with pytest.raises(LeadershipLost, match="disk"):
        await lone.member.commit(BLOCK.ssz)
    assert not lone.member.machine.is_established


async def test_stopping_answers_everyone_who_waits(lone: Bench) -> None:
    lone.store.open.clear()
    call = asyncio.get_running_loop().create_task(lone.member.commit(BLOCK.ssz))
    await until(lambda: lone.member.machine.node.log.last.index == 2)
    lone.member.stop(ShuttingDown("the node stops"))
    with contextlib.suppress(ShuttingDown, LeadershipLost):
        await call
    assert call.done()


async def test_stopping_writes_down_how_far_the_log_is_certified(lone: Bench) -> None:
    await lone.member.commit(BLOCK.ssz)
    lone.member.stop(ShuttingDown("the node stops"))
    await lone.member.finish()
    certified = lone.store.load().certified
    assert certified is not None
    assert certified.index == 2


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """The lines of the log, as they are before they are rendered."""
    with capture_logs() as lines:
        yield lines


@pytest.mark.usefixtures("logged")
async def test_a_broken_invariant_is_fatal_and_leaves_the_disk_as_it_is(lone: Bench) -> None:
    groups_before = list(lone.store.groups)
    machine = lone.member.machine
    machine.node.log.certified = dataclasses.replace(machine.node.log.certified, index=Index(99))
    with pytest.raises(InvariantViolation):
        machine.node.log.truncate(Index(1))
    machine.step = _broken  # type: ignore[method-assign, assignment]
    lone.member.driver.post(Designated(ServerId("a"), "test"))
    assert [type(error) for error in lone.fatal] == [InvariantViolation]
    lone.member.driver.post(Designated(ServerId("a"), "test"))
    assert len(lone.fatal) == 1
    assert lone.store.groups == groups_before


async def test_a_step_that_fails_in_any_way_is_fatal(
    lone: Bench, logged: list[MutableMapping[str, Any]]
) -> None:
    """Half a step is worse than none: a message's handler would swallow it and the node go on."""
    lone.member.machine.step = _buggy  # type: ignore[method-assign, assignment]
    lone.member.driver.receive(member_of("b").key, Heard(Epoch(1), 1), {}, 0)
    lone.member.driver.post(Designated(ServerId("a"), "test"))
    assert [str(error) for error in lone.fatal] == ["a step of the core failed: KeyError('index')"]
    assert isinstance(lone.fatal[0], InvariantViolation)
    assert [line["event"] for line in logged if line.get("exc_info")] == ["task_failed"]


def _buggy(*_: object) -> Any:
    raise KeyError("index")


def _broken(*_: object) -> Any:
    raise InvariantViolation("two leaders in one epoch")


async def test_a_follower_refuses_commits_and_acknowledgements() -> None:
    bench = Bench(3)
    bench.member.start()
    with pytest.raises(NotLeader):
        await bench.member.commit(BLOCK.ssz)
    with pytest.raises(NotLeader):
        bench.member.acknowledge(acknowledgement_of("b", Epoch(1), Index(1), bytes(32)))
    await bench.stop()


# A leader of three, whose followers are the test


def acknowledgement_of(name: str, epoch: Epoch, index: Index, digest: bytes) -> Acknowledgement:
    """Signed by the named node."""
    plain = Acknowledgement(member_of(name).key, epoch, index, Digest(digest))
    message = plain.message(genesis_of(3).cluster_id)
    return dataclasses.replace(plain, signature=signer_of(name).sign(message))


async def leader_of_three() -> Bench:
    """Established by the promise and the acknowledgement of b."""
    bench = Bench(3)
    driver, node = bench.member.driver, bench.member.machine.node
    b = member_of("b").key
    bench.member.start()
    driver.post(FitnessChanged(serving=True, sequencer_ok=True))
    driver.post(Designated(ServerId("a"), "test"))
    await until(lambda: bench.transport.to("b") != [])
    answer_pre_promise(bench, b)
    await until(lambda: any(isinstance(m, PromiseRequest) for m in bench.transport.to("b")))
    request = next(m for m in bench.transport.to("b") if isinstance(m, PromiseRequest))
    driver.receive(b, PromiseGrant(request.epoch, request.nonce, node.report()), {}, 0)
    await until(lambda: any(isinstance(m, Append) for m in bench.transport.to("b")))
    await acknowledge_last(bench, b)
    await until(lambda: bench.member.machine.is_established)
    return bench


def answer_pre_promise(bench: Bench, key: MemberKey) -> None:
    request = next(m for m in bench.transport.to(key.server_id) if isinstance(m, PrePromiseRequest))
    report = bench.member.machine.node.report()
    answer = PrePromiseAnswer(request.nonce, True, Epoch(0), "", report)
    bench.member.driver.receive(key, answer, {}, 0)


async def acknowledge_last(bench: Bench, key: MemberKey) -> None:
    """Answer the newest Append with entries, as that member would."""
    append = [m for m in bench.transport.to(key.server_id) if isinstance(m, Append) and m.entries][
        -1
    ]
    last = append.entries[-1]
    acknowledgement = acknowledgement_of(key.server_id, append.epoch, last.index, last.digest)
    bench.member.driver.receive(key, Acknowledged(append.sequence, acknowledgement), {}, 0)


async def test_a_quorum_certifies_and_a_lone_leader_does_not() -> None:
    bench = await leader_of_three()
    call = asyncio.get_running_loop().create_task(bench.member.commit(BLOCK.ssz))
    await until(lambda: bench.member.machine.node.outbox.is_idle() and len(bench.store.groups) > 2)
    assert not call.done()
    await acknowledge_last(bench, member_of("b").key)
    assert (await call).index == 2
    await bench.stop()


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies are dropped as soon as nothing needs them."""
    monkeypatch.setattr(member_module, "BodyCache", functools.partial(BodyCache, bytes_max=0))


@pytest.mark.usefixtures("no_room")
async def test_a_commit_held_back_by_a_hand_over_keeps_its_body() -> None:
    """It is written in a later step than it came in, however full the cache is by then."""
    bench = await leader_of_three()
    driver, machine = bench.member.driver, bench.member.machine
    driver.post(PeerFitnessChanged(ServerId("b"), serving=True))
    tasks = asyncio.get_running_loop().create_task
    calls = [tasks(bench.member.commit(BLOCK.ssz))]
    await until(lambda: machine.node.log.last.index == 2)
    transfer = tasks(bench.member.transfer(ServerId("b"), "test"))
    await until(lambda: machine.hand_over is not None)
    calls.append(tasks(bench.member.commit(child_of(BLOCK).ssz)))
    await until(machine.node.outbox.is_idle)
    driver.post(PeerDied(ServerId("b")))  # It comes to nothing, and what was held back goes on.
    with pytest.raises(TransferRefused):
        await transfer
    await until(lambda: machine.node.log.last.index == 3 and machine.node.outbox.is_idle())
    assert bench.fatal == []
    await acknowledge_last(bench, member_of("b").key)
    assert [(await call).index for call in calls] == [2, 3]
    await bench.stop()


@pytest.mark.usefixtures("no_room")
async def test_bodies_that_nobody_needs_are_not_kept() -> None:
    """Nothing is written for them, so no write that ends would make room again."""
    bench = await leader_of_three()
    fetched = FetchAnswer(1, ())  # Nobody asked for it.
    bench.member.driver.receive(
        member_of("b").key, fetched, {BLOCK.payload_hash: BLOCK.ssz}, reply_to=0
    )
    assert bench.member.cache.get(BLOCK.payload_hash) is None
    await bench.stop()


async def test_a_commit_that_no_thread_has_time_for_is_refused_in_time() -> None:
    """Body reads on a slow disk and large messages of others take the threads, too."""
    bench = Bench(1, commit_timeout_ms=50)
    await bench.lead()
    large = BlockBuilder(seed=1, builder="test", transactions_bytes=100_000).build(GENESIS)
    gate = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        asyncio.get_running_loop().set_default_executor(pool)
        pool.submit(gate.wait, DEADLINE_SECONDS)
        with pytest.raises(Overloaded, match="50 ms"):
            await bench.member.commit(large.ssz)
        gate.set()
        await bench.stop()
    assert bench.member.machine.node.log.last.index == 1


@pytest.mark.parametrize(
    "forge",
    [
        lambda ack: dataclasses.replace(ack, signature=bytes(64)),
        lambda ack: dataclasses.replace(ack, epoch=Epoch(ack.epoch + 1)),
        lambda ack: dataclasses.replace(ack, index=Index(ack.index + 1)),
        lambda ack: dataclasses.replace(ack, digest=Digest(bytes(32))),
        lambda ack: dataclasses.replace(ack, member=member_of("c").key),
        lambda ack: dataclasses.replace(
            ack, member=dataclasses.replace(ack.member, incarnation="reborn")
        ),
    ],
    ids=["signature", "epoch", "index", "digest", "signer", "incarnation"],
)
async def test_a_forged_acknowledgement_never_reaches_the_core(
    forge: Callable[[Acknowledgement], Acknowledgement],
) -> None:
    """T12: every field is signed, and the signature is checked before anything is counted."""
    bench = await leader_of_three()
    call = asyncio.get_running_loop().create_task(bench.member.commit(BLOCK.ssz))
    await until(lambda: bench.member.machine.node.log.last.index == 2)
    last = bench.member.machine.node.log.last
    forged = forge(acknowledgement_of("b", Epoch(1), last.index, last.digest))
    bench.member.driver.receive(forged.member, Acknowledged(99, forged), {}, 0)
    assert bench.member.driver.rejected_messages == 1
    with pytest.raises(Unauthenticated):
        bench.member.acknowledge(forged)
    assert not call.done()
    call.cancel()
    await bench.stop()


async def test_an_acknowledgement_that_came_another_way_certifies() -> None:
    bench = await leader_of_three()
    call = asyncio.get_running_loop().create_task(bench.member.commit(BLOCK.ssz))
    await until(lambda: bench.member.machine.node.outbox.is_idle() and len(bench.store.groups) > 2)
    last = bench.member.machine.node.log.last
    good = acknowledgement_of("b", Epoch(1), last.index, last.digest)
    receipt = bench.member.acknowledge(good)
    assert (receipt.certified, receipt.height) == (True, 1)
    assert (await call).index == 2
    with pytest.raises(Stale):
        bench.member.acknowledge(acknowledgement_of("b", Epoch(1), Index(7), bytes(32)))
    await bench.stop()


async def test_a_leadership_is_told_when_it_is_established(lone: Bench) -> None:
    changes = [notice for notice in lone.notices if isinstance(notice, LeadershipChanged)]
    assert [(change.epoch, change.leader_id) for change in changes] == [(1, "a")]
