"""Linearizable reads: only what a quorum confirms after the question is an answer (rule 5.5)."""

from __future__ import annotations

from conductor.core.certificate import Acknowledgement
from conductor.core.effects import ReadReady, RequestFailed
from conductor.core.events import ReadRequested, RequestAbandoned
from conductor.core.log import Log
from conductor.core.messages import (
    Acknowledged,
    Append,
    AppendRefusal,
    Heard,
    LogReport,
    Mismatch,
)
from conductor.core.values import Base, Epoch, Index, Membership
from conductor.errors import NotLeader
from tests.core.builders import a_block, a_member, beginning, key_of
from tests.core.subject import Subject, a_leader, noticed, sent


def hear_newest(subject: Subject, name: str) -> list[ReadReady]:
    """A member says that it has heard the newest message to it; the reads that are ready then."""
    append = subject.sent(Append, name)[-1]
    return noticed(subject.hear(name, Heard(append.epoch, append.sequence)), ReadReady)


def test_a_read_asks_everyone_and_waits_for_a_quorum() -> None:
    subject = a_leader(5)

    effects = subject.take(ReadRequested(1))
    assert [send.to for send in effects.sends] == ["b", "c", "d", "e"]
    assert not effects.notices

    assert hear_newest(subject, "b") == []
    assert hear_newest(subject, "e") == [ReadReady(1, subject.log.certified)]


def test_a_lone_leader_reads_at_once() -> None:
    subject = a_leader(1)

    assert noticed(subject.take(ReadRequested(1)), ReadReady) == [
        ReadReady(1, subject.log.certified)
    ]


def test_an_answer_to_a_message_from_before_the_read_does_not_count() -> None:
    """Trap T13: it was given when another leader may not have been there yet."""
    subject = a_leader()
    subject.pass_time(100)
    before = [append for append in subject.sent(Append) if not append.entries][-2:]
    subject.take(ReadRequested(1))

    for name, append in zip("bc", before, strict=True):
        assert not subject.hear(name, Heard(append.epoch, append.sequence)).notices
    assert hear_newest(subject, "b") == [ReadReady(1, subject.log.certified)]


def test_every_answer_but_a_refusal_confirms() -> None:
    subject = a_leader()
    entry = subject.log.entries[0]
    report = LogReport(entry.position, beginning(), Index(0))
    acknowledgement = Acknowledgement(key_of("b"), Epoch(1), Index(1), entry.digest, b"signed")

    subject.take(ReadRequested(1))
    sequence = subject.sent(Append, "b")[-1].sequence
    effects = subject.hear("b", Acknowledged(sequence, acknowledgement))
    assert len(noticed(effects, ReadReady)) == 1

    subject.take(ReadRequested(2))
    sequence = subject.sent(Append, "b")[-1].sequence
    effects = subject.hear("b", Mismatch(Epoch(1), sequence, report))
    assert len(noticed(effects, ReadReady)) == 1

    subject.take(ReadRequested(3))
    sequence = subject.sent(Append, "b")[-1].sequence
    effects = subject.hear("b", AppendRefusal(Epoch(1), sequence, Epoch(1)))
    assert not noticed(effects, ReadReady)


def test_an_answer_of_an_earlier_leadership_confirms_nothing() -> None:
    """Trap T13: sequence numbers begin again in each epoch."""
    subject = a_leader()
    entry = subject.log.entries[0]
    subject.jump(1000)
    subject.lead()
    subject.take(ReadRequested(1))
    sequence = subject.sent(Append, "b")[-1].sequence
    late = Acknowledgement(key_of("b"), Epoch(1), Index(1), entry.digest, b"signed")

    assert not noticed(subject.hear("b", Acknowledged(sequence, late)), ReadReady)
    assert not noticed(subject.hear("b", Heard(Epoch(1), sequence)), ReadReady)


def test_a_nonvoter_and_another_incarnation_confirm_nothing() -> None:
    members = (*(a_member(name) for name in "abc"), a_member("d", voter=False))
    subject = Subject("a", log=Log(Base(beginning(), Membership(members, 0))))
    subject.lead()
    subject.take(ReadRequested(1))
    sequence = subject.sent(Append)[-1].sequence

    for key in (key_of("d"), key_of("b", "made anew")):
        assert not noticed(subject.hear(key, Heard(Epoch(1), sequence)), ReadReady)


def test_a_read_tells_what_was_certified_when_it_was_asked() -> None:
    subject = a_leader()
    asked_at = subject.log.certified
    subject.take(ReadRequested(1))
    subject.submit(a_block(1))
    subject.sync()

    effects = subject.acknowledge("b")

    assert subject.log.certified.index == 2
    assert noticed(effects, ReadReady) == [ReadReady(1, asked_at)]


def test_what_is_pending_is_not_told() -> None:
    subject = a_leader()
    certified = subject.log.certified
    subject.submit(a_block(1))
    subject.take(ReadRequested(1))

    assert hear_newest(subject, "b") == [ReadReady(1, certified)]


def test_every_read_needs_an_answer_of_its_own() -> None:
    """Trap T13: a confirmation is never used again."""
    subject = a_leader()
    subject.take(ReadRequested(1))
    first = subject.sent(Append, "b")[-1]
    subject.take(ReadRequested(2))

    ready = noticed(subject.hear("b", Heard(first.epoch, first.sequence)), ReadReady)
    assert [notice.request_id for notice in ready] == [1]
    assert [notice.request_id for notice in hear_newest(subject, "b")] == [2]


def test_lost_messages_only_delay_a_read() -> None:
    subject = a_leader()
    subject.take(ReadRequested(1))
    subject.pass_time(300)

    assert len(hear_newest(subject, "c")) == 1


def test_a_read_is_refused_by_who_is_not_established() -> None:
    subject = Subject("a")
    subject.win()

    for asked in (subject, Subject("a")):
        (failed,) = noticed(asked.take(ReadRequested(1)), RequestFailed)
        assert isinstance(failed.error, NotLeader)


def test_a_read_fails_when_the_leadership_is_lost() -> None:
    subject = a_leader()
    subject.take(ReadRequested(4))

    (failed,) = noticed(subject.pass_time(1000), RequestFailed)

    assert failed.request_id == 4
    assert isinstance(failed.error, NotLeader)


def test_an_abandoned_read_is_not_answered() -> None:
    subject = a_leader()
    subject.take(ReadRequested(1))
    subject.take(RequestAbandoned(1))

    assert hear_newest(subject, "b") == []


def test_reads_go_on_while_a_commit_waits() -> None:
    subject = a_leader()
    subject.submit(a_block(1))
    effects = subject.take(ReadRequested(1))

    assert {send.to for send in effects.sends} == {"b", "c"}
    assert len(sent(effects, Append)) == 2
    assert len(hear_newest(subject, "b")) == 1
