"""The machine as a whole: time, housekeeping, the known leader, and input that makes no sense."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor.core.certificate import Acknowledgement, Certificate
from conductor.core.effects import (
    AppendEntries,
    Effects,
    LeadershipChanged,
    Prune,
    RaiseCertified,
    Touch,
)
from conductor.core.events import (
    DeadlineReached,
    Event,
    FitnessChanged,
    HandOverRequested,
    PeerConnected,
    PeerDied,
    PeerDisconnected,
    PeerFitnessChanged,
    ReadRequested,
    RequestAbandoned,
)
from conductor.core.machine import KnownLeader, Role
from conductor.core.messages import (
    Acknowledged,
    Append,
    AppendRefusal,
    FetchAnswer,
    FetchRequest,
    HandOver,
    HandOverAnswer,
    HandOverOrder,
    Heard,
    InstallBase,
    LogReport,
    Message,
    Mismatch,
    PrePromiseAnswer,
    PrePromiseRequest,
    PromiseGrant,
    PromiseRefusal,
    PromiseRequest,
)
from conductor.core.node import Settings
from conductor.core.values import Entry, Epoch, Index, MemberKey, Position, ServerId
from conductor.errors import InvariantViolation
from tests.core.builders import (
    a_base,
    a_block,
    a_certificate,
    a_chain,
    a_genesis,
    a_log,
    an_append,
    beginning,
    elsewhere,
    key_of,
)
from tests.core.subject import Subject, a_leader, merged, noticed, written

# Time


def test_time_never_goes_back_inside() -> None:
    subject = a_leader()
    subject.pass_time(500, heard_by="bc")
    subject.take(DeadlineReached())

    subject.machine.step(DeadlineReached(), subject.now_ms - 400)

    assert subject.machine.node.now_ms == subject.now_ms


def candidate() -> Subject:
    subject = Subject("a")
    subject.designate()
    return subject


def promising() -> Subject:
    subject = candidate()
    subject.be_encouraged()
    return subject


def fetching() -> Subject:
    subject = candidate()
    report = LogReport(elsewhere(5), beginning(), Index(0))
    subject.hear("b", PrePromiseAnswer(subject.nonce, True, Epoch(1), "", report))
    return subject


def unestablished() -> Subject:
    subject = Subject("a")
    subject.win()
    return subject


def busy_leader() -> Subject:
    subject = a_leader()
    subject.submit(a_block(1))
    return subject


def handing_over(*, drained: bool) -> Subject:
    subject = a_leader() if drained else busy_leader()
    subject.take(HandOverRequested(1, ServerId("b"), "transfer", 5000))
    return subject


def given_away() -> Subject:
    subject = handing_over(drained=True)
    order = HandOverOrder(a_genesis().cluster_id, Epoch(1), key_of("a"), key_of("b"))
    subject.hear("b", PromiseRequest(Epoch(2), 1, order))
    return subject


def follower() -> Subject:
    subject = Subject("a")
    subject.hear("b", an_append(a_chain([1])))
    return subject


STATES = {
    "follower": lambda: Subject("a"),
    "follower of a leader": follower,
    "candidate": candidate,
    "candidate with its own promise": promising,
    "candidate that fetches": fetching,
    "leader not yet established": unestablished,
    "leader": a_leader,
    "leader with something to write": busy_leader,
    "lone leader": lambda: a_leader(1),
    "leader that drains": lambda: handing_over(drained=False),
    "leader that has ordered": lambda: handing_over(drained=True),
    "leader that has given away": given_away,
}


@pytest.mark.parametrize("sync", [True, False], ids=["disk works", "disk is stuck"])
@pytest.mark.parametrize("heard_by", ["", "bc"], ids=["silence", "heartbeats are heard"])
@pytest.mark.parametrize("state", STATES)
def test_a_deadline_that_was_kept_is_followed_by_a_later_one(
    state: str, heard_by: str, sync: bool
) -> None:
    """A deadline in the past would be a busy loop."""
    subject = STATES[state]()
    if sync:
        subject.sync()
    for _ in range(60):
        deadline_ms = subject.machine.next_deadline_ms()
        subject.now_ms = max(subject.now_ms, deadline_ms)
        subject.take(DeadlineReached())

        assert subject.machine.next_deadline_ms() > subject.now_ms
        subject.pass_time(0, sync=sync, heard_by=heard_by)
        if sync:
            subject.sync()


@pytest.mark.parametrize("late_ms", [0, 1, 99, 5000])
@pytest.mark.parametrize("state", STATES)
def test_a_deadline_that_is_kept_late_is_followed_by_a_later_one(state: str, late_ms: int) -> None:
    subject = STATES[state]()
    for _ in range(20):
        subject.now_ms = max(subject.now_ms, subject.machine.next_deadline_ms()) + late_ms
        subject.take(DeadlineReached())

        assert subject.machine.next_deadline_ms() > subject.now_ms


@pytest.mark.parametrize("state", STATES)
def test_nothing_waits_for_ever(state: str) -> None:
    """Whatever was going on: with a working disk and silence a node is a follower in the end."""
    subject = STATES[state]()
    subject.sync()

    subject.pass_time(20_000)

    expected = Role.LEADER if state == "lone leader" else Role.FOLLOWER
    assert subject.machine.role is expected
    assert subject.machine.hand_over is None
    assert subject.machine.campaign is None


# Housekeeping


def test_an_idle_member_touches_its_disk_once_an_interval() -> None:
    """Rule 5.5: also a follower, whose disk may have to carry the next leadership."""
    effects = Subject("a").pass_time(3000)

    assert [write.operations for write in effects.writes] == [(Touch(),)] * 3


def test_a_stuck_disk_is_not_touched_again_and_again() -> None:
    effects = Subject("a").pass_time(10_000, sync=False)

    assert [write.operations for write in effects.writes] == [(Touch(),)]


def test_the_certified_index_is_written_before_what_it_allows_to_prune() -> None:
    """Trap T15: one transaction, so that no disk holds a base above its certified index."""
    entries = a_chain([1] * 4)
    subject = Subject(
        "a", log=a_log(entries[:2]), promise=(1, "b"), settings=Settings(retain_payloads=1)
    )
    subject.hear(
        "b",
        an_append(entries[2:], previous=entries[1].position, certificate=a_certificate(entries[3])),
    )
    subject.sync()

    (write,) = subject.pass_time(1000).writes

    assert [type(operation) for operation in write.operations] == [RaiseCertified, Prune]
    assert written(Effects(writes=(write,)), Prune)[0].base == a_base(entries[2].position)
    assert [entry.index for entry in subject.log.entries] == [4]


def test_a_log_is_pruned_under_steady_load_too() -> None:
    """A chain that never pauses must not fill the disk."""
    subject = a_leader(settings=Settings(retain_payloads=5))
    for height in range(1, 40):
        subject.submit(a_block(height))
        subject.sync()
        subject.acknowledge("b")
        subject.pass_time(200)

    assert len(subject.log.entries) < 20


# Who leads


def certified_follower() -> tuple[Subject, Effects]:
    """The node "a", which has just learned that "b" is established in epoch 1."""
    subject = Subject("a")
    entries = a_chain([1])
    subject.hear("b", an_append(entries))
    subject.sync()
    certificate = a_certificate(entries[0])
    heartbeat = an_append(previous=entries[0].position, certificate=certificate, sequence=2)
    return subject, subject.hear("b", heartbeat)


def test_a_follower_knows_a_leader_once_it_is_established() -> None:
    subject = Subject("a")
    entries = a_chain([1])
    assert not merged([subject.hear("b", an_append(entries)), subject.sync()]).notices
    assert subject.machine.known_leader is None

    subject, effects = certified_follower()
    assert subject.machine.known_leader == KnownLeader(ServerId("b"), Epoch(1))
    (notice,) = noticed(effects, LeadershipChanged)
    assert (notice.epoch, notice.leader_id) == (1, "b")


def test_a_member_that_is_far_behind_knows_the_leader_all_the_same() -> None:
    """The certificate proves it, whether or not the entry is here."""
    entries = a_chain([1, 1])
    subject = Subject("a")

    effects = subject.hear(
        "b", an_append(previous=entries[1].position, certificate=a_certificate(entries[1]))
    )

    assert [notice.leader_id for notice in noticed(effects, LeadershipChanged)] == ["b"]
    assert subject.log.certified == beginning()


def test_a_straggler_from_before_the_certificate_does_not_make_the_leader_forgotten() -> None:
    """Trap T10."""
    subject, _ = certified_follower()

    assert not subject.hear("b", an_append(a_chain([1]))).notices
    assert subject.machine.known_leader == KnownLeader(ServerId("b"), Epoch(1))


def test_a_leader_is_made_known_once() -> None:
    subject, _ = certified_follower()

    again = subject.hear("b", an_append(previous=subject.log.last, sequence=3))

    assert not again.notices


def test_a_leader_that_is_not_heard_any_more_is_forgotten() -> None:
    """Within the leader timeout, and without any message that would tell."""
    subject, _ = certified_follower()

    (notice,) = noticed(subject.pass_time(1500), LeadershipChanged)

    assert notice == LeadershipChanged(Epoch(1), None, "b is not heard any more")
    assert subject.machine.known_leader is None


def test_a_leader_that_died_is_forgotten_at_once() -> None:
    subject, _ = certified_follower()

    (notice,) = noticed(subject.take(PeerDied(ServerId("b"))), LeadershipChanged)

    assert notice == LeadershipChanged(Epoch(1), None, "b is not heard any more")


def test_a_leader_is_forgotten_when_a_rival_is_promised() -> None:
    subject, _ = certified_follower()
    subject.hear("b", an_append(previous=subject.log.last, sequence=3, fit=False))

    (notice,) = noticed(subject.hear("c", PromiseRequest(Epoch(2), 1)), LeadershipChanged)

    assert notice == LeadershipChanged(Epoch(1), None, "promised epoch 2 to c")


def test_a_leader_that_was_silent_when_a_rival_is_promised_was_not_heard() -> None:
    """Also when this node was stopped meanwhile, and notices both at once."""
    subject, _ = certified_follower()
    subject.now_ms += 1500

    (notice,) = noticed(subject.hear("c", PromiseRequest(Epoch(2), 1)), LeadershipChanged)

    assert notice.reason == "b is not heard any more"


def test_a_new_leader_replaces_the_old_one() -> None:
    subject, _ = certified_follower()
    last = subject.log.last
    entries = a_chain([2], last)

    begun = subject.hear("c", an_append(entries, epoch=2, previous=last))
    assert noticed(begun, LeadershipChanged) == [
        LeadershipChanged(Epoch(1), None, "promised epoch 2 to c")
    ]

    subject.sync()
    certified = an_append(
        epoch=2, previous=entries[0].position, certificate=a_certificate(entries[0]), sequence=2
    )
    (notice,) = noticed(subject.hear("c", certified), LeadershipChanged)
    assert (notice.epoch, notice.leader_id) == (2, "c")


def test_a_restarted_follower_knows_the_leader_again_at_its_first_word() -> None:
    entries = a_chain([1])
    subject = Subject("a", log=a_log(entries, certified=1), promise=(1, "b"))

    heartbeat = an_append(previous=entries[0].position, certificate=a_certificate(entries[0]))
    (notice,) = noticed(subject.hear("b", heartbeat), LeadershipChanged)

    assert notice.leader_id == "b"


# Determinism


def test_the_same_events_at_the_same_times_have_the_same_effects() -> None:
    def story() -> list[Effects]:
        subject = busy_leader()
        subject.acknowledge("c")
        subject.pass_time(700, heard_by="c")
        subject.sync()
        subject.pass_time(3000)
        return subject.history

    assert story() == story()


# What makes no sense

CHAIN = a_chain([1, 1, 2, 2, 4])
OTHER = a_chain([1, 3, 3], branch="x")
EVERY_ENTRY = (*CHAIN, *OTHER)
EVERY_POSITION = (beginning(), *(entry.position for entry in EVERY_ENTRY), elsewhere(3, 2))

numbers = st.sampled_from([0, 1, 2, 3, 4, 5, 2**32, 2**64 - 1])
epochs = numbers.map(Epoch)
positions = st.sampled_from(EVERY_POSITION)
senders = st.sampled_from([*(key_of(name) for name in "abcg"), key_of("b", "made anew")])
certificates = st.builds(
    a_certificate,
    st.sampled_from(EVERY_ENTRY),
    st.sampled_from(["ab", "bc"]),
)
reports = st.builds(LogReport, positions, positions, numbers.map(Index))
orders = st.builds(
    HandOverOrder, st.just(a_genesis().cluster_id), epochs, senders, senders, st.just(b"signed")
)


def run_of(chain: tuple[Entry, ...], start: int, length: int) -> tuple[Entry, ...]:
    return chain[start : start + length]


runs = st.builds(run_of, st.sampled_from([CHAIN, OTHER]), st.integers(0, 4), st.integers(0, 4))


def append_of(
    epoch: Epoch,
    run: tuple[Entry, ...],
    previous: Position,
    certificate: Certificate | None,
    fit: bool,
) -> Append:
    return Append(epoch, 1, previous, run, certificate, fit)


def acknowledged(member: MemberKey, epoch: Epoch, at: Position, sequence: int) -> Acknowledged:
    return Acknowledged(sequence, Acknowledgement(member, epoch, at.index, at.digest, b"signed"))


messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(PrePromiseRequest, epochs, numbers),
    st.builds(PrePromiseAnswer, numbers, st.booleans(), epochs, st.just("no"), reports),
    st.builds(PromiseRequest, epochs, numbers, st.none() | orders),
    st.builds(PromiseGrant, epochs, numbers, reports),
    st.builds(PromiseRefusal, epochs, numbers, epochs, st.just("no")),
    st.builds(append_of, epochs, runs, positions, st.none() | certificates, st.booleans()),
    st.builds(Heard, epochs, numbers),
    st.builds(acknowledged, senders, epochs, positions, numbers),
    st.builds(Mismatch, epochs, numbers, reports),
    st.builds(AppendRefusal, epochs, numbers, epochs),
    st.builds(FetchRequest, numbers, numbers.map(Index), positions),
    st.builds(
        FetchAnswer,
        numbers,
        runs,
        st.none() | positions.map(a_base),
        st.none() | certificates,
    ),
    st.builds(
        InstallBase, epochs, numbers, positions.map(a_base), runs, certificates, st.booleans()
    ),
    st.builds(HandOver, orders, st.just("transfer")),
    st.builds(HandOverAnswer, epochs, st.booleans(), st.just("no")),
)

names = st.sampled_from("abcg").map(ServerId)
events: st.SearchStrategy[Event | int | str] = st.one_of(
    st.builds(PeerConnected, names),
    st.builds(PeerDisconnected, names),
    st.builds(PeerDied, names),
    st.builds(PeerFitnessChanged, names, st.booleans()),
    st.builds(FitnessChanged, st.booleans(), st.booleans()),
    st.builds(ReadRequested, numbers),
    st.builds(RequestAbandoned, numbers),
    st.builds(HandOverRequested, numbers, st.none() | names, st.just("x"), st.just(300)),
    st.sampled_from(["sync", "designate", "submit"]),
    st.sampled_from([1, 150, 1700]),
)


def say(subject: Subject, sender: MemberKey, message: Message) -> None:
    """Deliver a message; half of the answers fit the campaign that runs."""
    if isinstance(message, PrePromiseAnswer | PromiseGrant | PromiseRefusal | FetchAnswer):
        fits = message.nonce % 2 == 1 and subject.sent(PrePromiseRequest)
        nonce = subject.nonce if fits else message.nonce
        subject.hear(sender, dataclasses.replace(message, nonce=nonce))
    else:
        subject.hear(sender, message)


@settings(max_examples=120, deadline=None)
@given(
    start=st.sampled_from(sorted(STATES)),
    script=st.lists(st.one_of(st.tuples(senders, messages), events), max_size=25),
)
def test_no_message_and_no_event_breaks_a_node(
    start: str, script: list[tuple[MemberKey, Message] | Event | int | str]
) -> None:
    """Promise 7: input that cannot be stops it at worst, loudly and with its disk as it is."""
    subject = STATES[start]()
    try:
        for item in script:
            if isinstance(item, tuple):
                say(subject, *item)
            elif item == "sync":
                subject.sync()
            elif item == "designate":
                subject.designate()
            elif item == "submit":
                subject.submit(a_block(len(subject.history)))
            elif isinstance(item, int):
                subject.pass_time(item)
            elif not isinstance(item, str):
                subject.take(item)
    except InvariantViolation:
        return
    certified = subject.log.certified.index
    assert certified <= subject.log.last.index
    assert subject.machine.node.promise.epoch >= subject.log.last.epoch
    assert subject.machine.node.highest_epoch >= subject.machine.node.promise.epoch


@settings(max_examples=60, deadline=None)
@given(script=st.lists(st.tuples(st.sampled_from([key_of("g")]), messages), max_size=15))
@pytest.mark.parametrize("state", ["follower of a leader", "leader", "candidate"])
def test_a_stranger_changes_nothing(state: str, script: list[tuple[MemberKey, Message]]) -> None:
    """Nor does it stop the node."""
    subject = STATES[state]()
    subject.sync()
    role, promise, last = subject.machine.role, subject.machine.node.promise, subject.log.last

    for sender, message in script:
        effects = subject.hear(sender, message)
        assert not written(effects, AppendEntries)

    assert (subject.machine.role, subject.machine.node.promise) == (role, promise)
    assert subject.log.last == last
