"""A member behind the window gets a base and a window, once, and loses nothing by it (rule 5.7)."""

from __future__ import annotations

import dataclasses

import pytest

from conductor.core.effects import CertifiedRaised, InstallWindow, RaiseCertified, Truncate
from conductor.core.messages import (
    Acknowledged,
    Append,
    AppendRefusal,
    FetchAnswer,
    FetchRequest,
    InstallBase,
    LogReport,
    Mismatch,
)
from conductor.core.node import Settings
from conductor.core.values import Base, Entry, Epoch, Index, Position
from tests.core.builders import (
    a_base,
    a_block,
    a_certificate,
    a_chain,
    a_log,
    an_append,
    elsewhere,
)
from tests.core.subject import Subject, merged, noticed, sent, written

CHAIN = a_chain([1] * 12)


def an_install(
    base: int = 5, certified: int = 8, *, epoch: int = 1, sequence: int = 1
) -> InstallBase:
    """The window of CHAIN between a base and a certified position."""
    return InstallBase(
        Epoch(epoch),
        sequence,
        a_base(CHAIN[base - 1].position),
        CHAIN[base:certified],
        a_certificate(CHAIN[certified - 1]),
        sequencer_ok=True,
    )


# A member takes a window


def test_a_window_is_installed_and_certified_in_one_write() -> None:
    subject = Subject("a", log=a_log(CHAIN[:2]), promise=(1, "b"))

    effects = subject.hear("b", an_install())

    assert [type(operation) for operation in effects.writes[0].operations] == [
        InstallWindow,
        RaiseCertified,
    ]
    assert len(effects.writes) == 1
    assert subject.log.base.position.index == 5
    assert subject.log.last == CHAIN[7].position


def test_a_window_is_acknowledged_when_it_is_durable() -> None:
    """Trap T15. That it is certified is proven by others, and known at once."""
    subject = Subject("a", promise=(1, "b"))

    effects = subject.hear("b", an_install(sequence=3), reply_to=5)
    assert not effects.sends
    assert noticed(effects, CertifiedRaised) == [CertifiedRaised(CHAIN[7].position)]

    (message,) = sent(subject.sync(), Acknowledged, "b")
    assert message.sequence == 3
    assert message.acknowledgement.index == 8


def test_a_window_leaves_the_promise_as_it_was() -> None:
    subject = Subject("a", promise=(1, "b"))
    promise = subject.machine.node.promise

    subject.hear("b", an_install())

    assert subject.machine.node.promise == promise


def test_the_same_window_twice_is_installed_once() -> None:
    """Trap T15: two of them, a moment apart."""
    subject = Subject("a", promise=(1, "b"))
    subject.hear("b", an_install())

    again = subject.hear("b", an_install(sequence=2))

    assert not again.writes
    assert [message.sequence for message in sent(subject.sync(), Acknowledged)] == [1, 2]


def test_a_window_whose_base_the_member_has_drops_nothing_behind_it() -> None:
    """Rule 5.7: matching entries above the base always stay."""
    subject = Subject("a", log=a_log(CHAIN), promise=(1, "b"))

    effects = merged([subject.hear("b", an_install()), subject.sync()])

    assert not written(effects, InstallWindow)
    assert not written(effects, Truncate)
    assert subject.log.last == CHAIN[11].position
    assert subject.log.certified == CHAIN[7].position


def test_a_late_window_from_below_the_own_base_drops_nothing() -> None:
    """Rule 5.7: its chain had that base's digest before it was pruned, and its tail stays.

    The tail may have been acknowledged since the leader sent that window.
    """
    log = a_log(CHAIN[6:], certified=7, base=a_base(CHAIN[5].position))
    subject = Subject("a", log=log, promise=(1, "b"))

    effects = merged([subject.hear("b", an_install(base=5, certified=9)), subject.sync()])

    assert not written(effects, InstallWindow)
    assert subject.log.last == CHAIN[11].position
    (mismatch,) = sent(effects, Mismatch, "b")
    assert mismatch.report.last == CHAIN[11].position


@pytest.mark.parametrize("certified", [8, 9])
def test_a_window_up_to_what_is_certified_already_is_not_installed(certified: int) -> None:
    """Never at or below the certified index; the base is unknown here, so the end must tell."""
    log = a_log(a_chain([1] * 9), certified)
    subject = Subject("a", log=log, promise=(1, "b"))
    unknown = dataclasses.replace(an_install(), base=a_base(elsewhere(5)))
    chained = relinked(unknown.entries, unknown.base.position)
    message = dataclasses.replace(unknown, entries=chained, certificate=a_certificate(chained[-1]))

    effects = merged([subject.hear("b", message), subject.sync()])

    assert not written(effects, InstallWindow)
    assert len(sent(effects, Mismatch, "b")) == 1


def relinked(entries: tuple[Entry, ...], after: Position) -> tuple[Entry, ...]:
    """The same entries behind another position."""
    chain: list[Entry] = []
    for entry in entries:
        previous = chain[-1].digest if chain else after.digest
        chain.append(dataclasses.replace(entry, previous_digest=previous))
    return tuple(chain)


def broken_windows() -> dict[str, InstallBase]:
    """Windows that prove nothing."""
    good = an_install()
    return {
        "no entries": dataclasses.replace(good, entries=()),
        "a gap after the base": dataclasses.replace(good, entries=good.entries[1:]),
        "a certificate beyond the window": dataclasses.replace(
            good, certificate=a_certificate(CHAIN[9])
        ),
        "a certificate of another chain": dataclasses.replace(
            good, certificate=a_certificate(a_chain([1] * 8, branch="x")[7])
        ),
    }


@pytest.mark.parametrize("message", broken_windows().values(), ids=list(broken_windows()))
def test_a_window_that_does_not_reach_its_certificate_is_not_installed(
    message: InstallBase,
) -> None:
    subject = Subject("a", promise=(1, "b"))

    effects = merged([subject.hear("b", message), subject.sync()])

    assert not written(effects, InstallWindow)
    assert len(sent(effects, Mismatch, "b")) == 1


def test_a_window_of_a_lower_epoch_is_refused() -> None:
    subject = Subject("a", promise=(2, "c"))

    effects = subject.hear("b", an_install(epoch=1))

    assert sent(effects, AppendRefusal, "b") == [AppendRefusal(Epoch(1), 1, Epoch(2))]


def test_a_divergent_tail_gives_way_to_a_window() -> None:
    tail = a_chain([1] * 8, branch="theirs")
    subject = Subject("a", log=a_log(tail), promise=(1, "c"))

    merged([subject.hear("b", an_install(epoch=2)), subject.sync()])

    assert subject.log.last == CHAIN[7].position


def test_entries_go_on_after_a_window() -> None:
    subject = Subject("a", promise=(1, "b"))
    subject.hear("b", an_install())
    subject.hear("b", an_append(CHAIN[8:], previous=CHAIN[7].position, sequence=2))
    subject.sync()

    assert subject.log.last == CHAIN[11].position


# A leader sends a window


def pruned_leader(settings: Settings | None = None) -> Subject:
    """The leader "a" of epoch 2, with its base at 8 and its epoch start at 13; "c" is silent."""
    log = a_log(CHAIN[8:], certified=12, base=a_base(CHAIN[7].position))
    subject = Subject("a", log=log, promise=(1, ""), settings=settings)
    subject.win()
    subject.acknowledge("b")
    assert subject.machine.is_established
    return subject


def mismatch(subject: Subject, name: str, held: Position, certified: int = 1) -> None:
    """That member answers the newest message with entries to it with what it holds."""
    sequences = [append.sequence for append in subject.sent(Append, name) if append.entries]
    sequences.extend(install.sequence for install in subject.sent(InstallBase, name))
    leadership = subject.machine.leadership
    assert leadership is not None
    report = LogReport(held, CHAIN[certified - 1].position, Index(0))
    subject.hear(name, Mismatch(leadership.epoch, max(sequences), report))


def test_a_member_behind_the_window_is_sent_the_base_and_the_window() -> None:
    subject = pruned_leader()

    mismatch(subject, "c", CHAIN[2].position)

    (install,) = subject.sent(InstallBase, "c")
    assert install.base == Base(CHAIN[7].position, subject.log.membership)
    assert [entry.index for entry in install.entries] == [9, 10, 11, 12, 13]
    assert install.certificate.index == 13


def test_a_member_inside_the_window_is_sent_entries() -> None:
    subject = pruned_leader()

    mismatch(subject, "c", CHAIN[9].position)

    assert not subject.sent(InstallBase, "c")
    assert [entry.index for entry in subject.sent(Append, "c")[-1].entries] == [11, 12, 13]


def test_a_member_whose_tail_differs_is_sent_everything_after_what_is_common() -> None:
    """Rule 5.4.2: the leader goes back to the last position, or else to the certified one."""
    subject = pruned_leader()

    mismatch(subject, "c", elsewhere(11), certified=9)

    assert [entry.index for entry in subject.sent(Append, "c")[-1].entries] == [10, 11, 12, 13]


def test_a_member_that_can_never_fit_is_not_argued_with_at_the_speed_of_the_network() -> None:
    """A disk that went back, or the other side of a cluster that was split by choice."""
    subject = pruned_leader()
    for _ in range(20):
        mismatch(subject, "c", elsewhere(12), certified=12)
    before = len(subject.sent(Append, "c"))

    mismatch(subject, "c", elsewhere(12), certified=12)
    assert len(subject.sent(Append, "c")) == before

    subject.pass_time(200, heard_by="b")
    assert before < len(subject.sent(Append, "c")) <= before + 3


def test_a_late_mismatch_of_what_was_sent_again_since_changes_nothing() -> None:
    """Trap T10: three Appends did not fit, and each says so."""
    subject = pruned_leader()
    for height in (13, 14):
        subject.submit(a_block(height))
    report = LogReport(CHAIN[9].position, CHAIN[8].position, Index(0))
    sequences = [append.sequence for append in subject.sent(Append, "c")]
    first, *late = [Mismatch(Epoch(2), sequence, report) for sequence in sequences]
    subject.hear("c", first)
    subject.acknowledge("c")

    for message in late:
        assert not sent(subject.hear("c", message), Append)


def test_one_window_is_under_way_at_a_time() -> None:
    """Trap T15: heartbeats, and mismatches that answer them, send no second one meanwhile."""
    subject = pruned_leader()
    mismatch(subject, "c", CHAIN[2].position)

    subject.pass_time(500)
    heartbeat = subject.sent(Append, "c")[-1]
    report = LogReport(CHAIN[2].position, CHAIN[0].position, Index(0))
    subject.hear("c", Mismatch(Epoch(2), heartbeat.sequence, report))

    assert not heartbeat.entries
    assert len(subject.sent(InstallBase, "c")) == 1


def test_a_lost_window_is_sent_again() -> None:
    """Trap T16: an answer that never comes must not end the replication to a member."""
    subject = pruned_leader()
    mismatch(subject, "c", CHAIN[2].position)

    subject.pass_time(2200, heard_by="b")
    mismatch(subject, "c", CHAIN[2].position)

    assert len(subject.sent(InstallBase, "c")) == 2


def test_entries_follow_when_the_window_has_landed() -> None:
    subject = pruned_leader(Settings(batch_bytes_max=450))
    mismatch(subject, "c", CHAIN[2].position)
    (install,) = subject.sent(InstallBase, "c")
    subject.submit(a_block(13))

    subject.acknowledge("c", install.entries[-1].index, install.sequence)

    assert [entry.index for entry in install.entries][-1] == 13
    assert [entry.index for entry in subject.sent(Append, "c")[-1].entries] == [14]


# Entries for a candidate: rule 5.3.3


def fetched(subject: Subject, after: int, target: Position) -> FetchAnswer:
    """What the subject answers to a fetch."""
    effects = subject.hear("c", FetchRequest(4, Index(after), target), reply_to=6)
    (reply,) = effects.sends
    assert (reply.to, reply.reply_to) == ("c", 6)
    assert isinstance(reply.message, FetchAnswer)
    assert reply.message.nonce == 4
    return reply.message


def test_a_fetch_is_answered_with_entries_towards_exactly_the_target() -> None:
    subject = Subject("a", log=a_log(CHAIN))

    answer = fetched(subject, 3, CHAIN[8].position)

    assert answer == FetchAnswer(4, CHAIN[3:9])


def test_a_fetch_is_answered_in_bounded_batches() -> None:
    subject = Subject("a", log=a_log(CHAIN), settings=Settings(batch_bytes_max=250))

    assert [entry.index for entry in fetched(subject, 3, CHAIN[8].position).entries] == [4, 5]


@pytest.mark.parametrize(
    ("after", "target"),
    [(3, elsewhere(9)), (3, elsewhere(20)), (9, CHAIN[8].position), (2**64 - 1, CHAIN[8].position)],
    ids=["another log", "beyond the log", "nothing is missing", "beyond everything"],
)
def test_a_target_that_is_not_there_is_answered_with_nothing(after: int, target: Position) -> None:
    assert fetched(Subject("a", log=a_log(CHAIN)), after, target) == FetchAnswer(4, ())


def test_a_fetch_from_below_the_base_is_answered_with_the_base_and_a_window() -> None:
    log = a_log(CHAIN[6:], certified=9, base=a_base(CHAIN[5].position))

    answer = fetched(Subject("a", log=log), 2, CHAIN[11].position)

    assert answer == FetchAnswer(4, CHAIN[6:9], a_base(CHAIN[5].position), a_certificate(CHAIN[8]))


def test_a_target_below_what_a_window_would_bring_is_answered_with_nothing() -> None:
    log = a_log(CHAIN[6:], certified=9, base=a_base(CHAIN[5].position))

    assert fetched(Subject("a", log=log), 2, CHAIN[7].position) == FetchAnswer(4, ())


def test_a_fetch_is_answered_when_what_it_asks_for_is_durable() -> None:
    subject = Subject("a", promise=(1, "b"))
    subject.hear("b", an_append(CHAIN[:3]))

    assert not subject.hear("c", FetchRequest(4, Index(0), CHAIN[2].position)).sends

    (answer,) = sent(subject.sync(), FetchAnswer, "c")
    assert answer.entries == CHAIN[:3]
