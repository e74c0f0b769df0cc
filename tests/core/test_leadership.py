"""A leader appends, counts and certifies (rules 5.4.1, 5.4.3 and 5.4.4)."""

from __future__ import annotations

import pytest

from conductor.core.certificate import Acknowledgement
from conductor.core.effects import (
    AppendEntries,
    CertifiedRaised,
    CommitCertified,
    RaiseCertified,
    RequestFailed,
)
from conductor.core.events import FitnessChanged, RequestAbandoned
from conductor.core.log import Log
from conductor.core.messages import Acknowledged, Append
from conductor.core.node import Settings
from conductor.core.values import Base, Digest, Epoch, Index, MemberKey, Membership
from conductor.errors import Conflict, NotLeader, Overloaded
from tests.core.builders import (
    a_block,
    a_chain,
    a_log,
    a_member,
    an_append,
    beginning,
    elsewhere,
    key_of,
)
from tests.core.subject import Subject, a_leader, merged, noticed, sent, written


def committed(subject: Subject, height: int, acknowledged_by: str = "b") -> None:
    """A block is submitted and certified; its request is named by its height."""
    merged([subject.submit(a_block(height), height), subject.sync()])
    for name in acknowledged_by:
        subject.acknowledge(name)


def word(member: MemberKey | str, subject: Subject, at: int, **changes: object) -> Acknowledgement:
    """A member's acknowledgement of an entry of the subject; a change replaces a field."""
    entry = subject.log.entry(Index(at))
    leadership = subject.machine.leadership
    assert entry is not None
    assert leadership is not None
    key = key_of(member) if isinstance(member, str) else member
    fields = {"epoch": leadership.epoch, "index": entry.index, "digest": entry.digest, **changes}
    return Acknowledgement(member=key, signature=b"signed", **fields)  # type: ignore[arg-type]


# 5.4.1: appending and sending


def test_a_payload_goes_to_every_member_beside_the_own_disk_write() -> None:
    subject = a_leader(5)

    effects = subject.submit(a_block(1))

    (append,) = written(effects, AppendEntries)
    assert [send.to for send in effects.sends] == ["b", "c", "d", "e"]
    assert {message.entries for message in sent(effects, Append)} == {append.entries}
    assert append.entries[0].block == a_block(1)


def test_an_append_says_everything_that_a_member_needs() -> None:
    """Rule 5.4.1: epoch, previous position, entries, certificate, and whether it is fit."""
    subject = a_leader()
    start = subject.log.last

    (append,) = sent(subject.submit(a_block(1)), Append, "b")

    assert (append.epoch, append.previous) == (1, start)
    assert append.certificate is not None
    assert append.certificate.position == start
    assert append.sequencer_ok


@pytest.mark.parametrize(("serving", "sequencer_ok"), [(False, True), (True, False)])
def test_an_unfit_leader_says_so(serving: bool, sequencer_ok: bool) -> None:
    subject = a_leader()
    subject.take(FitnessChanged(serving, sequencer_ok))

    (append,) = sent(subject.submit(a_block(1)), Append, "b")

    assert not append.sequencer_ok


def test_pending_payloads_go_out_one_after_the_other_without_waiting() -> None:
    subject = a_leader()

    for height in (1, 2, 3):
        subject.submit(a_block(height))

    sent_to_b = [append.entries[0].index for append in subject.sent(Append, "b") if append.entries]
    assert sent_to_b == [1, 2, 3, 4]


# 5.4.3: counting


def test_a_quorum_of_acknowledgements_certifies() -> None:
    subject = a_leader()
    subject.submit(a_block(1), request_id=7)
    subject.sync()

    effects = subject.acknowledge("b")

    assert noticed(effects, CommitCertified) == [CommitCertified(7, Index(2), Epoch(1))]
    assert noticed(effects, CertifiedRaised) == [CertifiedRaised(subject.log.last)]
    certificate = subject.log.certificate
    assert certificate is not None
    assert certificate.position == subject.log.last
    assert [ack.member.server_id for ack in certificate.acknowledgements] == ["a", "b"]


def test_the_leader_counts_itself_only_when_its_own_write_is_durable() -> None:
    """Rule 5.4.3, trap T26."""
    subject = a_leader()
    subject.submit(a_block(1))

    subject.acknowledge("b")
    assert subject.log.certified.index == 1

    subject.sync()
    assert subject.log.certified.index == 2


def test_others_are_a_quorum_without_a_leader_whose_disk_is_slow() -> None:
    subject = a_leader()
    subject.submit(a_block(1))

    subject.acknowledge("b")
    subject.acknowledge("c")

    assert subject.log.certified.index == 2


@pytest.mark.parametrize(("count", "needed"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (7, 3)])
def test_so_many_others_are_needed(count: int, needed: int) -> None:
    """Trap T25."""
    subject = a_leader(count)
    subject.submit(a_block(1))
    subject.sync()

    for number, name in enumerate(subject.others[:needed]):
        assert subject.log.certified.index == 1, number
        subject.acknowledge(name)
    assert subject.log.certified.index == 2


def test_one_member_counts_once() -> None:
    subject = a_leader(5)
    subject.submit(a_block(1))
    subject.sync()

    subject.acknowledge("b")
    subject.acknowledge("b")

    assert subject.log.certified.index == 1


def test_entries_of_older_epochs_are_never_certified_by_counting() -> None:
    """Trap T1: everyone holds the old tail, and yet a better log may replace it."""
    subject = Subject("a", log=a_log(a_chain([1, 1])), promise=(1, ""))
    subject.win()

    for name in ("b", "c"):
        subject.acknowledge(name, index=2)
    assert subject.log.certified == beginning()
    assert not subject.machine.is_established

    subject.acknowledge("b", index=3)
    assert subject.log.certified.index == 3
    assert subject.machine.is_established


def test_acknowledgements_of_different_positions_do_not_add_up() -> None:
    """Rule 5.4.3: a certificate names one epoch, index and digest."""
    subject = a_leader(5)
    for height in (1, 2):
        subject.submit(a_block(height))
    subject.sync()

    subject.acknowledge("b", index=2)
    subject.acknowledge("c", index=3)
    assert subject.log.certified.index == 1

    subject.acknowledge("d", index=2)
    assert subject.log.certified.index == 2


def test_a_later_position_certifies_everything_before_it() -> None:
    subject = a_leader()
    for height in (1, 2, 3):
        subject.submit(a_block(height), request_id=height)
    subject.sync()

    effects = subject.acknowledge("b", index=4)

    assert [notice.request_id for notice in noticed(effects, CommitCertified)] == [1, 2, 3]


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": Epoch(0)},
        {"epoch": Epoch(2)},
        {"digest": Digest(elsewhere(2).digest)},
        {"index": Index(3)},
        {"index": Index(2**64 - 1)},
        {"member": key_of("c")},
        {"member": key_of("b", "made anew")},
    ],
    ids=lambda changes: f"{changes}"[1:20],
)
def test_an_acknowledgement_of_anything_else_does_not_count(changes: dict[str, object]) -> None:
    subject = a_leader()
    subject.submit(a_block(1))
    subject.sync()
    member = changes.pop("member", key_of("b"))
    assert isinstance(member, MemberKey)

    subject.hear("b", Acknowledged(9, word(member, subject, 2, **changes)))

    assert subject.log.certified.index == 1


def test_another_incarnation_and_a_nonvoter_count_for_nothing() -> None:
    """Rule 5.8: a wiped disk receives the log and counts for nothing."""
    members = (*(a_member(name) for name in "abc"), a_member("d", voter=False))
    subject = Subject("a", log=Log(Base(beginning(), Membership(members, 0))))
    subject.lead()
    subject.submit(a_block(1))
    subject.sync()

    for key in (key_of("b", "made anew"), key_of("d"), key_of("g")):
        subject.hear(key, Acknowledged(9, word(key, subject, 2)))
    assert subject.log.certified.index == 1

    subject.acknowledge("b")
    certificate = subject.log.certificate
    assert certificate is not None
    assert [ack.member.server_id for ack in certificate.acknowledgements] == ["a", "b"]


def test_acknowledgements_are_forgotten_once_they_are_certified() -> None:
    subject = a_leader()
    for height in range(1, 20):
        committed(subject, height, acknowledged_by="bc")

    leadership = subject.machine.leadership
    assert leadership is not None
    assert not leadership._acknowledgements


# 5.4.4: commits and certificates


def test_a_commit_is_answered_only_under_a_certificate() -> None:
    subject = a_leader()

    effects = merged([subject.submit(a_block(1)), subject.sync()])

    assert not noticed(effects, CommitCertified)
    assert not noticed(effects, RequestFailed)


def test_followers_learn_soon_what_is_certified() -> None:
    subject = a_leader()
    subject.submit(a_block(1))
    subject.sync()

    effects = subject.acknowledge("b")
    assert sent(effects, Append, "b") == []

    effects = subject.pass_time(5)
    for name in "bc":
        (append,) = sent(effects, Append, name)
        assert append.certificate is not None
        assert append.certificate.index == 2


def test_a_certificate_travels_with_the_next_entries_if_those_come_first() -> None:
    subject = a_leader()
    subject.pass_time(5)
    committed(subject, 1)

    effects = subject.submit(a_block(2))

    (append,) = sent(effects, Append, "b")
    assert append.certificate is not None
    assert append.certificate.index == 2
    assert sent(subject.pass_time(50), Append, "b") == []


def test_the_certificate_is_written_with_the_next_entry() -> None:
    """No sync of its own for the certified index."""
    subject = a_leader()
    committed(subject, 1)

    effects = subject.submit(a_block(2))

    (write,) = effects.writes
    assert [type(operation) for operation in write.operations] == [AppendEntries, RaiseCertified]


def test_a_commit_before_the_leadership_is_established_is_refused() -> None:
    subject = Subject("a")
    subject.win()

    (failed,) = noticed(subject.submit(a_block(1)), RequestFailed)

    assert isinstance(failed.error, NotLeader)
    assert len(subject.log.entries) == 1


def test_a_commit_elsewhere_is_refused_with_the_leaders_name() -> None:
    subject = Subject("a")
    assert isinstance(noticed(subject.submit(a_block(1)), RequestFailed)[0].error, NotLeader)

    follower = Subject("a", promise=(1, "b"))
    entries = a_chain([1])
    follower.hear("b", an_append(entries))
    follower.sync()
    leader = a_leader().log.certificate
    assert leader is not None
    (failed,) = noticed(follower.submit(a_block(2)), RequestFailed)
    assert isinstance(failed.error, NotLeader)


def test_the_commit_rule_is_asked_and_its_refusal_passed_on() -> None:
    subject = a_leader()
    committed(subject, 1)

    (failed,) = noticed(subject.submit(a_block(9)), RequestFailed)

    assert isinstance(failed.error, Conflict)
    assert len(subject.log.entries) == 2


def test_a_reorg_is_taken_only_after_a_child_of_the_last_payload() -> None:
    """Rule 5.6: a stale sequencer of a past leadership must not fork the chain."""
    subject = a_leader(log=a_log(a_chain([1, 1]), certified=2), promise=(1, ""))
    sibling = a_block(2, "x", "")

    (failed,) = noticed(subject.submit(sibling), RequestFailed)
    assert isinstance(failed.error, Conflict)

    committed(subject, 3)
    assert not noticed(subject.submit(sibling, request_id=8), RequestFailed)
    assert subject.log.last_payload is not None
    assert subject.log.last_payload.block == sibling


def test_the_same_payload_again_waits_with_the_first_and_is_logged_once() -> None:
    """Trap T8."""
    subject = a_leader()
    subject.submit(a_block(1), request_id=1)
    again = subject.submit(a_block(1), request_id=2)
    assert not again.writes
    subject.sync()

    effects = subject.acknowledge("b")

    assert [notice.request_id for notice in noticed(effects, CommitCertified)] == [1, 2]
    assert len(subject.log.entries) == 2


def test_a_certified_payload_again_succeeds_at_once() -> None:
    subject = a_leader()
    committed(subject, 1)

    effects = subject.submit(a_block(1), request_id=9)

    assert noticed(effects, CommitCertified) == [CommitCertified(9, Index(2), Epoch(1))]


def test_the_next_leader_counts_the_same_payload_once() -> None:
    """Promise 8: the payload may be sent again, to this leader or the next."""
    old = a_chain([1, 1])
    subject = a_leader(log=a_log(old), promise=(1, ""))

    effects = subject.submit(a_block(2), request_id=5)

    assert noticed(effects, CommitCertified) == [CommitCertified(5, Index(2), Epoch(1))]
    assert len(subject.log.entries) == 3


def test_an_abandoned_commit_is_not_answered_and_goes_on() -> None:
    subject = a_leader()
    subject.submit(a_block(1), request_id=1)
    subject.submit(a_block(1), request_id=2)
    subject.take(RequestAbandoned(1))
    subject.sync()

    effects = subject.acknowledge("b")

    assert [notice.request_id for notice in noticed(effects, CommitCertified)] == [2]
    assert subject.log.certified.index == 2


def test_too_many_pending_payloads_are_refused() -> None:
    subject = a_leader(settings=Settings(pending_payloads_max=3))
    for height in (1, 2, 3):
        subject.submit(a_block(height))

    (failed,) = noticed(subject.submit(a_block(4)), RequestFailed)

    assert isinstance(failed.error, Overloaded)
    assert len(subject.log.entries) == 4


def test_abandoned_payloads_are_pending_all_the_same() -> None:
    """Else clients that give up early could fill the log without an end."""
    subject = a_leader(settings=Settings(pending_payloads_max=3))
    for height in (1, 2, 3):
        subject.submit(a_block(height), request_id=height)
        subject.take(RequestAbandoned(height))

    (failed,) = noticed(subject.submit(a_block(4)), RequestFailed)

    assert isinstance(failed.error, Overloaded)


def test_a_pending_payload_that_comes_again_is_not_refused_for_load() -> None:
    """Promise 8: refused means that it is not in the log, and it is."""
    subject = a_leader(settings=Settings(pending_payloads_max=2))
    for height in (1, 2):
        subject.submit(a_block(height))

    assert not subject.submit(a_block(1), request_id=9).notices


def test_a_leader_knows_since_when_its_oldest_entry_waits_for_a_quorum() -> None:
    subject = a_leader()
    leadership = subject.machine.leadership
    assert leadership is not None
    assert leadership.uncertified_since_ms is None

    subject.pass_time(100, heard_by="bc")
    subject.submit(a_block(1))
    submitted_ms = subject.machine.node.now_ms
    subject.pass_time(100, heard_by="bc")
    subject.submit(a_block(2))
    assert leadership.uncertified_since_ms == submitted_ms

    subject.sync()
    subject.acknowledge("b")
    assert leadership.uncertified_since_ms is None
