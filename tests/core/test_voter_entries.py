"""What a member takes from a leader, and what it says about it (rules 5.4.2, 5.4.4 and 5.4.6)."""

from __future__ import annotations

import dataclasses

import pytest

from conductor.core.effects import (
    AppendEntries,
    CertifiedRaised,
    RaiseCertified,
    RaisePromise,
    Truncate,
)
from conductor.core.events import PeerDied
from conductor.core.machine import Role
from conductor.core.messages import (
    Acknowledged,
    Append,
    AppendRefusal,
    Heard,
    LogReport,
    Mismatch,
    PromiseRequest,
)
from conductor.core.node import EPOCH_STEP_MAX
from conductor.core.values import Epoch, Index, MemberKey, Position, Promise, ServerId
from conductor.errors import InvariantViolation
from tests.core.builders import (
    a_base,
    a_certificate,
    a_chain,
    a_log,
    an_append,
    beginning,
    elsewhere,
    key_of,
)
from tests.core.subject import Subject, a_leader, merged, noticed, sent, written

ANSWERS = (Acknowledged, Heard, Mismatch, AppendRefusal)


def acknowledged(subject: Subject, append: Append, leader: str = "b") -> list[int]:
    """Take an Append, let the disk finish: the indexes that were acknowledged."""
    effects = merged([subject.hear(leader, append), subject.sync()])
    return [message.acknowledgement.index for message in sent(effects, Acknowledged, leader)]


# "A member refuses an epoch below its promise"


@pytest.mark.parametrize("epoch", [1, 4])
def test_an_epoch_below_the_promise_is_refused(epoch: int) -> None:
    subject = Subject("a", promise=(5, "c"))

    effects = subject.hear("b", an_append(a_chain([1]), epoch=epoch, sequence=7), reply_to=3)

    assert [send.reply_to for send in effects.sends] == [3]
    assert sent(effects, AppendRefusal, "b") == [AppendRefusal(Epoch(epoch), 7, Epoch(5))]
    assert not effects.writes


@pytest.mark.parametrize("asker", [key_of("g"), key_of("b", "made anew")])
def test_a_stranger_and_a_renewed_store_are_not_followed(asker: MemberKey) -> None:
    """A higher epoch is heeded only from a member."""
    subject = Subject("a")

    effects = subject.hear(asker, an_append(epoch=9))

    assert len(sent(effects, AppendRefusal)) == 1
    assert subject.machine.node.promise.epoch == 0


@pytest.mark.parametrize(("above", "taken"), [(0, True), (1, False)])
def test_a_higher_epoch_is_heeded_by_at_most_one_step(above: int, taken: bool) -> None:
    subject = Subject("a", promise=(5, "c"))
    epoch = 5 + EPOCH_STEP_MAX + above

    subject.hear("b", an_append(epoch=epoch))

    assert (subject.machine.node.promise.epoch == epoch) == taken


# "... is stored as its promise before any answer, heartbeats included"

HIGHER = {
    "a heartbeat": an_append(epoch=2),
    "entries": an_append(a_chain([2]), epoch=2),
    "a mismatch": an_append(epoch=2, previous=elsewhere(4)),
    "a heartbeat that brings a certificate": an_append(
        epoch=2,
        previous=a_chain([1])[0].position,
        certificate=a_certificate(a_chain([1])[0]),
    ),
}


@pytest.mark.parametrize("append", HIGHER.values(), ids=list(HIGHER))
@pytest.mark.parametrize("promise", [(1, "c"), (2, "c")], ids=["higher epoch", "a loser's epoch"])
def test_a_new_promise_is_durable_before_any_answer(
    append: Append, promise: tuple[int, str]
) -> None:
    """Trap T2: what a restart would forget must not have been said."""
    subject = Subject("a", log=a_log(a_chain([1])), promise=promise)

    effects = subject.hear("b", append)

    assert written(effects, RaisePromise) == [RaisePromise(Promise(Epoch(2), key_of("b")))]
    assert not effects.sends
    assert len(subject.sync().sends) == 1


def test_a_heartbeat_behind_a_promise_under_way_is_not_answered_either() -> None:
    subject = Subject("a")
    subject.hear("b", an_append(epoch=2))

    assert not subject.hear("b", an_append(epoch=2, sequence=2)).sends

    assert {message.sequence for message in sent(subject.sync(), Acknowledged)} == {1, 2}


# "After one Append in e it takes none in e from another sender"


def test_two_senders_do_not_share_an_epoch() -> None:
    subject = Subject("a")
    subject.hear("b", an_append(epoch=2))
    subject.sync()

    effects = subject.hear("c", an_append(a_chain([2]), epoch=2))

    assert sent(effects, AppendRefusal, "c") == [AppendRefusal(Epoch(2), 1, Epoch(2))]
    assert subject.machine.node.promise.promised_to == key_of("b")


def test_a_promise_to_a_loser_gives_way_to_the_one_that_leads() -> None:
    subject = Subject("a", promise=(2, "c"))

    assert acknowledged(subject, an_append(a_chain([2]), epoch=2)) == [1]
    assert subject.machine.node.promise.promised_to == key_of("b")


def test_a_losing_candidate_follows_the_winner_of_its_own_epoch() -> None:
    subject = Subject("a")
    subject.designate()
    subject.be_encouraged()
    subject.sync()

    assert acknowledged(subject, an_append(a_chain([1]), epoch=1)) == [1]
    assert subject.machine.role is Role.FOLLOWER


def test_a_leader_takes_no_append_in_its_own_epoch() -> None:
    subject = a_leader()

    effects = subject.hear("b", an_append(epoch=1))

    assert len(sent(effects, AppendRefusal, "b")) == 1
    assert subject.machine.is_established


def test_a_deposed_leader_takes_no_append_in_its_own_epoch_either() -> None:
    subject = a_leader()
    subject.jump(1000)
    assert subject.machine.role is Role.FOLLOWER

    assert len(sent(subject.hear("b", an_append(epoch=1)), AppendRefusal, "b")) == 1


def test_a_higher_epoch_ends_the_own_leadership() -> None:
    subject = a_leader()
    last = subject.log.last

    subject.hear("b", an_append(epoch=2, previous=last))

    assert subject.machine.role is Role.FOLLOWER


# "On a failed `prev` check it answers last and certified"


def test_a_gap_is_answered_with_what_is_there() -> None:
    entries = a_chain([1, 1, 1])
    subject = Subject("a", log=a_log(entries, certified=2), promise=(1, "b"))

    effects = subject.hear("b", an_append(previous=elsewhere(5), sequence=4), reply_to=8)

    report = LogReport(entries[2].position, entries[1].position, Index(0))
    assert sent(effects, Mismatch, "b") == [Mismatch(Epoch(1), 4, report)]
    assert [send.reply_to for send in effects.sends] == [8]


def test_a_mismatch_waits_until_what_it_reports_is_durable() -> None:
    subject = Subject("a", promise=(1, "b"))
    subject.hear("b", an_append(a_chain([1])))

    assert not sent(subject.hear("b", an_append(previous=elsewhere(5))), Mismatch)
    assert sent(subject.sync(), Mismatch)[0].report.last.index == 1


def renumbered(append: Append) -> Append:
    """The second entry claims to be the third."""
    first, second = append.entries
    return dataclasses.replace(append, entries=(first, dataclasses.replace(second, index=Index(3))))


BROKEN = {
    "a gap": renumbered(an_append(a_chain([1, 1]))),
    "another chain": an_append((a_chain([1])[0], a_chain([1, 1], branch="x")[1])),
    "falling epochs": an_append(a_chain([2])[:1] + a_chain([1], a_chain([2])[0].position), epoch=2),
    "an epoch above the leader's": an_append(a_chain([1, 2])),
}


@pytest.mark.parametrize("append", BROKEN.values(), ids=list(BROKEN))
def test_entries_that_are_no_chain_of_this_leader_are_not_taken(append: Append) -> None:
    subject = Subject("a")

    effects = merged([subject.hear("b", append), subject.sync()])

    assert len(sent(effects, Mismatch, "b")) == 1
    assert subject.log.last == beginning()


def test_a_position_with_an_epoch_that_is_not_its_own_does_not_fit() -> None:
    """Promise 7: what cannot be must not stop the node."""
    entries = a_chain([3])
    subject = Subject("a", log=a_log(entries), promise=(3, "b"))
    lie = Position(Index(1), Epoch(1), entries[0].digest)

    effects = subject.hear("b", an_append(a_chain([1], lie), epoch=3, previous=lie))

    assert len(sent(effects, Mismatch, "b")) == 1
    assert subject.log.last == entries[0].position


# "Only an entry whose digest differs truncates"


def test_an_entry_that_differs_is_replaced_together_with_what_followed_it() -> None:
    ours = a_chain([1, 1, 1])
    theirs = (ours[0], *a_chain([2], ours[0].position, branch="theirs"))
    subject = Subject("a", log=a_log(ours), promise=(1, "c"))

    effects = subject.hear("b", an_append(theirs, epoch=2))

    assert written(effects, Truncate) == [Truncate(Index(1))]
    assert written(effects, AppendEntries) == [AppendEntries(theirs[1:])]
    assert len(effects.writes) == 1
    assert subject.log.last == theirs[1].position


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_shorter_or_repeated_message_truncates_nothing(count: int) -> None:
    """Trap T10: duplicates and stragglers must not cut what was acknowledged meanwhile."""
    entries = a_chain([1, 1])
    subject = Subject("a")
    acknowledged(subject, an_append(entries))

    effects = subject.hear("b", an_append(entries[:count], sequence=2))

    assert not effects.writes
    assert subject.log.last == entries[1].position


def test_what_is_certified_is_never_truncated() -> None:
    """Rule 5.4.5: the node stops loudly, and nothing of this step reaches the disk."""
    ours = a_chain([1, 1])
    subject = Subject("a", log=a_log(ours, certified=2), promise=(1, "c"))

    with pytest.raises(InvariantViolation, match="certified entry 2"):
        subject.hear("b", an_append(a_chain([2], branch="theirs"), epoch=2))
    assert subject.log.last == ours[1].position


# "It makes the entries durable, re-checks its promise, and acknowledges ..."


def test_entries_are_acknowledged_when_they_are_durable() -> None:
    """Trap T26."""
    entries = a_chain([1, 1])
    subject = Subject("a")

    effects = subject.hear("b", an_append(entries, sequence=6), reply_to=2)
    assert not effects.sends

    (reply,) = subject.sync().sends
    assert (reply.to, reply.reply_to) == ("b", 2)
    assert isinstance(reply.message, Acknowledged)
    word = reply.message.acknowledgement
    assert reply.message.sequence == 6
    assert (word.member, word.epoch, word.index) == (key_of("a"), 1, 2)
    assert word.digest == entries[1].digest


def test_a_repeated_append_is_not_acknowledged_before_the_first_is_durable() -> None:
    """Trap T26: there is nothing to write for it, and yet it has to wait."""
    subject = Subject("a")
    entries = a_chain([1])
    subject.hear("b", an_append(entries))

    assert not subject.hear("b", an_append(entries, sequence=2)).sends

    assert len(sent(subject.sync(), Acknowledged, "b")) == 2


@pytest.mark.parametrize("count", [1, 2])
def test_only_what_the_append_covers_is_acknowledged(count: int) -> None:
    """The entries behind it may be of a past leadership, and not in this leader's log."""
    entries = a_chain([1, 1, 1])
    subject = Subject("a", log=a_log(entries), promise=(1, "c"))

    assert acknowledged(subject, an_append(entries[:count], epoch=2)) == [count]
    assert acknowledged(subject, an_append(epoch=2, previous=entries[count - 1].position)) == [
        count
    ]


def test_nothing_is_acknowledged_after_a_newer_promise() -> None:
    """Trap T4: the new leader has not seen that entry, and the old one would certify it."""
    subject = Subject("a", promise=(1, "b"))
    subject.hear("b", an_append(a_chain([1])))
    subject.take(PeerDied(ServerId("b")))
    subject.hear("c", PromiseRequest(Epoch(2), 1))

    assert not sent(subject.sync(), Acknowledged)


def test_a_completion_is_not_credited_to_an_entry_that_took_the_place() -> None:
    """Trap T11: rule 5.4.6, the first write's completion says nothing of the second's entry."""
    subject = Subject("a", promise=(1, "b"))
    subject.hear("b", an_append(a_chain([1], branch="old"), epoch=1))
    subject.hear("c", an_append(a_chain([2], branch="new"), epoch=2))

    assert not sent(subject.sync_one(), Acknowledged)

    (message,) = sent(subject.sync_one(), Acknowledged)
    assert message.acknowledgement.epoch == 2
    assert message.acknowledgement.digest == a_chain([2], branch="new")[0].digest


def test_entries_of_older_epochs_are_acknowledged_in_the_leaders_epoch() -> None:
    subject = Subject("a")
    subject.hear("b", an_append(a_chain([1, 2]), epoch=5))

    (message,) = sent(subject.sync(), Acknowledged)
    assert message.acknowledgement.epoch == 5


# Heartbeats


def test_a_heartbeat_to_an_idle_member_confirms_its_position() -> None:
    entries = a_chain([1])
    subject = Subject("a", log=a_log(entries), promise=(1, "b"))

    (message,) = sent(subject.hear("b", an_append(previous=entries[0].position)), Acknowledged)

    assert message.acknowledgement.index == 1


def test_a_member_with_a_busy_disk_says_that_it_has_heard() -> None:
    """A slow disk must not look like a lost connection."""
    subject = Subject("a", promise=(1, "b"))
    entries = a_chain([1])
    subject.hear("b", an_append(entries))

    effects = subject.hear("b", an_append(previous=entries[0].position, sequence=2))

    assert sent(effects, Heard, "b") == [Heard(Epoch(1), 2)]
    assert not sent(effects, Acknowledged)


# Certificates: rule 5.4.4


def test_a_certificate_is_noted_and_written_with_the_next_entries() -> None:
    entries = a_chain([1, 1])
    certificate = a_certificate(entries[0])
    subject = Subject("a", promise=(1, "b"))
    acknowledged(subject, an_append(entries[:1]))

    effects = subject.hear(
        "b", an_append(entries[1:], previous=entries[0].position, certificate=certificate)
    )

    assert noticed(effects, CertifiedRaised) == []  # Its writes are not all durable.
    assert noticed(subject.sync(), CertifiedRaised) == [CertifiedRaised(entries[0].position)]
    assert subject.log.certified == entries[0].position


def test_a_certificate_alone_costs_no_write_at_once() -> None:
    entries = a_chain([1])
    subject = Subject("a", promise=(1, "b"))
    acknowledged(subject, an_append(entries))

    effects = subject.hear(
        "b", an_append(previous=entries[0].position, certificate=a_certificate(entries[0]))
    )

    assert noticed(effects, CertifiedRaised) == [CertifiedRaised(entries[0].position)]
    assert not effects.writes
    later = subject.pass_time(1000)
    assert written(later, RaiseCertified) == [
        RaiseCertified(entries[0].position, a_certificate(entries[0]))
    ]


def test_the_certified_index_rises_only_with_a_durable_log() -> None:
    entries = a_chain([1])
    subject = Subject("a", promise=(1, "b"))

    subject.hear("b", an_append(entries, certificate=a_certificate(entries[0])))
    assert subject.log.certified == beginning()

    subject.sync()
    assert subject.log.certified == entries[0].position


def test_a_certificate_of_an_entry_that_is_not_held_is_not_noted() -> None:
    """Rule 5.4.4: only when the log has the certificate's digest there."""
    ours = a_chain([1, 1])
    subject = Subject("a", log=a_log(ours), promise=(1, "b"))

    for other in (a_chain([1, 1], branch="theirs")[1], a_chain([1, 1, 1])[2]):
        certificate = a_certificate(other)
        subject.hear("b", an_append(previous=ours[1].position, certificate=certificate))
        subject.sync()

    assert subject.log.certified == beginning()


def test_an_older_certificate_changes_nothing() -> None:
    entries = a_chain([1, 1])
    subject = Subject("a", log=a_log(entries, certified=2), promise=(1, "b"))

    effects = subject.hear(
        "b", an_append(previous=entries[1].position, certificate=a_certificate(entries[0]))
    )

    assert not noticed(effects, CertifiedRaised)
    assert subject.log.certified.index == 2


# A member that has pruned what the leader still sends


def pruned(base_index: int, certified: int, last: int) -> Subject:
    """The node "a", which follows "b" in epoch 1 and holds only the entries above a base."""
    entries = a_chain([1] * last)
    log = a_log(entries[base_index:], certified, base=a_base(entries[base_index - 1].position))
    return Subject("a", log=log, promise=(1, "b"))


def test_entries_below_the_own_base_are_skipped() -> None:
    entries = a_chain([1] * 6)
    subject = pruned(3, certified=4, last=5)

    assert acknowledged(subject, an_append(entries)) == [6]
    assert subject.log.last == entries[5].position


def test_entries_that_end_at_the_own_base_are_acknowledged() -> None:
    subject = pruned(3, certified=4, last=5)

    assert acknowledged(subject, an_append(a_chain([1] * 3))) == [3]


def test_entries_that_end_below_the_own_base_do_not_fit() -> None:
    subject = pruned(3, certified=4, last=5)

    effects = subject.hear("b", an_append(a_chain([1] * 2)))

    (mismatch,) = sent(effects, Mismatch)
    assert mismatch.report.base_index == 3
