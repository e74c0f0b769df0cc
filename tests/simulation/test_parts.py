"""The simulated clock, network and disk do what the schedules rely on."""

from __future__ import annotations

from random import Random

import pytest

from conductor.core.effects import (
    AppendEntries,
    InstallWindow,
    Operation,
    Prune,
    RaiseCertified,
    RaisePromise,
    Touch,
    Truncate,
    Write,
)
from conductor.core.messages import Heard
from conductor.core.values import (
    Base,
    Entry,
    EntryKind,
    Epoch,
    Index,
    Position,
    Promise,
    ServerId,
)
from conductor.errors import InvariantViolation, StoreDamaged
from conductor.simulation.cluster import Shape, genesis_of
from conductor.simulation.disk import Disk, DiskRates
from conductor.simulation.network import Envelope, Network, NetworkRates
from conductor.simulation.scheduler import LocalClock, Scheduler
from tests.simulation.scenario import Scenario

GENESIS = genesis_of(Shape())
START = Base(Position(Index(0), Epoch(0), GENESIS.cluster_id), GENESIS.membership)
A, B = ServerId("a"), ServerId("b")


# Time


def test_actions_of_one_moment_happen_in_the_order_in_which_they_were_planned() -> None:
    scheduler, seen = Scheduler(), []
    scheduler.at(5, lambda: seen.append("b"))
    scheduler.at(3, lambda: seen.append("a"))
    scheduler.at(5, lambda: seen.append("c"))
    scheduler.run_until(10)
    assert seen == ["a", "b", "c"]
    assert scheduler.now_ms == 10


def test_waiting_for_a_condition_ends_at_its_deadline() -> None:
    scheduler = Scheduler()
    scheduler.at(50, lambda: None)
    assert not scheduler.run_until_true(lambda: False, 20)
    assert scheduler.now_ms == 20
    assert scheduler.run_until_true(lambda: scheduler.now_ms == 50, 100)


@pytest.mark.parametrize("rate_permille", [700, 1000, 1300])
def test_local_clock_knows_when_it_will_show_a_time(rate_permille: int) -> None:
    clock = LocalClock(12_345, rate_permille)
    for local_ms in range(13_000, 13_050):
        when_ms = clock.when(local_ms)
        assert clock.read(when_ms - 1) < local_ms <= clock.read(when_ms)


# Network


class Wire:
    """A network between two servers, and what came out of it."""

    def __init__(self, rates: NetworkRates) -> None:
        self.scheduler = Scheduler()
        self.arrived: list[int] = []
        self.streams: list[bool] = []
        self.network = Network(
            self.scheduler,
            Random(1),
            rates,
            deliver=self._arrive,
            stream_changed=lambda link, is_open: self.streams.append(is_open),
            is_up=lambda server_id: True,
        )

    def _arrive(self, envelope: Envelope) -> None:
        assert isinstance(envelope.message, Heard)
        self.arrived.append(envelope.message.sequence)

    def send(self, *numbers: int, reply_to: int = 0) -> None:
        """Send numbered messages from a to b."""
        for number in numbers:
            self.network.send(Envelope(A, B, Heard(Epoch(1), number), reply_to))

    def run(self, for_ms: int) -> list[int]:
        """Let time pass; what has arrived by then."""
        self.scheduler.run_until(self.scheduler.now_ms + for_ms)
        return self.arrived


def test_datagrams_get_lost_come_twice_and_overtake_each_other() -> None:
    wire = Wire(NetworkRates(loss=0.3, duplicate=0.3, delay_ms_max=50))
    wire.send(*range(100))
    arrived = wire.run(100)
    assert 50 < len(set(arrived)) < 100
    assert len(arrived) > len(set(arrived))
    assert arrived != sorted(arrived)


def test_stream_keeps_the_order() -> None:
    wire = Wire(NetworkRates(streams=True, delay_ms_max=50))
    wire.send(*range(100))
    assert wire.run(100) == list(range(100))


def test_broken_stream_loses_what_was_on_its_way_and_opens_again() -> None:
    wire = Wire(NetworkRates(streams=True, delay_ms_max=50))
    wire.send(*range(10))
    wire.network.break_stream((A, B))
    wire.send(10)
    assert wire.run(100) == []
    wire.send(11)
    assert wire.run(100) == [11]
    assert wire.streams == [False, True]


def test_answer_to_a_call_of_a_broken_stream_is_lost() -> None:
    wire = Wire(NetworkRates(streams=True))
    wire.network.called(7, B, A)
    wire.network.called(8, B, A)
    wire.send(1, reply_to=7)
    assert wire.run(10) == [1]
    wire.network.break_stream((B, A))
    wire.run(100)
    wire.send(2, reply_to=8)
    assert wire.run(10) == [1]


@pytest.mark.parametrize("streams", [True, False])
def test_cut_is_for_one_direction_until_it_is_healed(streams: bool) -> None:
    wire = Wire(NetworkRates(streams=streams))
    wire.network.cut([(B, A)])
    wire.send(1)
    assert wire.run(10) == [1]
    wire.network.cut([(A, B)])
    wire.send(2)
    assert wire.run(100) == [1]
    wire.network.heal()
    wire.run(100)
    wire.send(3)
    assert wire.run(100) == [1, 3]


def test_isolation_cuts_a_group_off_but_not_apart() -> None:
    wire = Wire(NetworkRates())
    wire.network.isolate([A, B], [ServerId(name) for name in "abcd"])
    cuts = {"".join(link) for link in wire.network.cuts}
    assert cuts == {"ac", "ad", "bc", "bd", "ca", "cb", "da", "db"}


# Disk


def entries_after(position: Position, count: int, epoch: int = 1) -> tuple[Entry, ...]:
    """So many entries that chain from a position."""
    made: list[Entry] = []
    for _ in range(count):
        entry = Entry(
            index=Index(position.index + 1),
            epoch=Epoch(epoch),
            kind=EntryKind.PAYLOAD,
            previous_digest=position.digest,
            body_hash=bytes(32),
            body_size=1,
            block=None,
        )
        made.append(entry)
        position = entry.position
    return tuple(made)


class Drive:
    """A disk and the writes that it has finished."""

    def __init__(self, seed: int = 0, latency_ms_max: int = 10) -> None:
        self.scheduler = Scheduler()
        rates = DiskRates(latency_ms_max=latency_ms_max)
        self.disk = Disk(self.scheduler, Random(seed), rates, START)
        self.finished: list[int] = []
        self.disk.on_completed = self.finished.append
        self._writes = 0

    def write(self, *operations: Operation) -> None:
        """Queue one write."""
        self._writes += 1
        self.disk.write(Write(self._writes, operations))

    def settle(self) -> None:
        """Let it finish everything."""
        self.scheduler.run_until(self.scheduler.now_ms + 1000)


ENTRIES = entries_after(START.position, 4)
PROMISE = RaisePromise(Promise(Epoch(1), None))


def test_disk_finishes_writes_in_order_and_says_so_once_they_are_durable() -> None:
    drive = Drive()
    drive.write(PROMISE)
    for entry in ENTRIES:
        drive.write(AppendEntries((entry,)))
    assert drive.disk.last == START.position
    assert not drive.disk.is_idle
    drive.settle()
    assert drive.finished == sorted(drive.finished)
    assert drive.finished[-1] == 5
    assert drive.disk.last == ENTRIES[-1].position
    assert drive.disk.is_idle


def test_crash_leaves_some_first_part_of_what_was_queued() -> None:
    lengths = set()
    for seed in range(40):
        drive = Drive(seed)
        drive.write(PROMISE)
        for entry in ENTRIES:
            drive.write(AppendEntries((entry,)))
        drive.disk.crash()
        drive.settle()
        assert drive.finished == []
        assert drive.disk.entries == list(ENTRIES[: len(drive.disk.entries)])
        lengths.add(len(drive.disk.entries))
    assert lengths == {0, 1, 2, 3, 4}


def test_write_is_never_torn() -> None:
    for seed in range(20):
        drive = Drive(seed)
        drive.write(PROMISE, AppendEntries(ENTRIES), Touch())
        drive.disk.crash()
        assert len(drive.disk.entries) in {0, len(ENTRIES)}
        assert drive.disk.promise.epoch == (1 if drive.disk.entries else 0)


def test_loaded_log_is_what_was_written() -> None:
    drive = Drive()
    drive.write(PROMISE, AppendEntries(ENTRIES))
    other = entries_after(ENTRIES[1].position, 3, epoch=2)
    drive.write(RaisePromise(Promise(Epoch(2), None)), Truncate(Index(2)), AppendEntries(other))
    drive.settle()
    assert tuple(drive.disk.load().entries) == (*ENTRIES[:2], *other)


def test_entry_above_the_promise_is_damage() -> None:
    drive = Drive()
    drive.write(AppendEntries(ENTRIES))
    drive.settle()
    with pytest.raises(StoreDamaged, match="promise"):
        drive.disk.load()


@pytest.mark.parametrize(
    "operation",
    [
        AppendEntries(ENTRIES[1:]),
        AppendEntries(entries_after(ENTRIES[0].position, 1)),
        Truncate(Index(-1)),
        InstallWindow(START, ()),
        Prune(Base(ENTRIES[3].position, START.membership)),
        RaisePromise(Promise(Epoch(0), None)),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_disk_refuses_what_the_real_store_would_refuse(operation: Operation) -> None:
    drive = Drive(latency_ms_max=0)
    drive.write(PROMISE, AppendEntries(ENTRIES))
    drive.settle()
    drive.write(operation)
    with pytest.raises(InvariantViolation):
        drive.settle()


def test_certified_position_has_to_be_durable() -> None:
    scenario = Scenario()
    scenario.lead("a")
    scenario.commit("a")
    certificate = scenario.log("a").certificate
    assert certificate is not None
    drive = Drive(latency_ms_max=0)
    drive.write(RaiseCertified(certificate.position, certificate))
    with pytest.raises(InvariantViolation, match="not in the durable log"):
        drive.settle()
