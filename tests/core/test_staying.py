"""What keeps a leader in its place, and what ends it (rules 5.4.6 and 5.5)."""

from __future__ import annotations

import pytest

from conductor.core.certificate import Acknowledgement
from conductor.core.effects import (
    AppendEntries,
    LeadershipChanged,
    RaiseCertified,
    RequestFailed,
    Touch,
)
from conductor.core.events import PeerConnected
from conductor.core.log import Log
from conductor.core.machine import Role
from conductor.core.messages import Acknowledged, Append, AppendRefusal, Heard
from conductor.core.node import Settings
from conductor.core.values import Base, Epoch, Index, MemberKey, Membership, ServerId
from conductor.errors import LeadershipLost, NotLeader
from tests.core.builders import (
    a_block,
    a_genesis,
    a_member,
    beginning,
    key_of,
)
from tests.core.subject import Subject, a_leader, noticed, sent, written

# 5.5: staying


def test_a_leader_with_nothing_to_say_still_speaks() -> None:
    subject = a_leader()
    subject.pass_time(50)

    effects = subject.pass_time(100)

    assert [(send.to, type(send.message)) for send in effects.sends] == [
        ("b", Append),
        ("c", Append),
    ]


def test_a_leader_that_hears_no_quorum_steps_down_at_the_end_of_its_lease() -> None:
    """Trap T18: who cannot reach a quorum must not go on saying that it leads."""
    subject = a_leader()

    subject.pass_time(999)
    assert subject.machine.is_established

    effects = subject.pass_time(1)
    assert subject.machine.role is Role.FOLLOWER
    assert noticed(effects, LeadershipChanged)[0].leader_id is None


def test_a_leader_that_a_quorum_hears_stays() -> None:
    subject = a_leader(5)

    subject.pass_time(10_000, heard_by="bc")

    assert subject.machine.is_established


@pytest.mark.parametrize("heard_by", ["", "b"])
def test_less_than_a_quorum_is_not_enough_to_stay(heard_by: str) -> None:
    subject = a_leader(5)

    subject.pass_time(2000, heard_by=heard_by)

    assert subject.machine.role is Role.FOLLOWER


def test_nonvoters_and_other_incarnations_do_not_prolong_the_lease() -> None:
    members = (*(a_member(name) for name in "abc"), a_member("d", voter=False))
    subject = Subject("a", log=Log(Base(beginning(), Membership(members, 0))))
    subject.lead()

    for _ in range(15):
        subject.pass_time(100, heard_by="d")
        for append in subject.sent(Append, "b"):
            subject.hear(key_of("b", "made anew"), Heard(append.epoch, append.sequence))

    assert subject.machine.role is Role.FOLLOWER


def test_the_lease_is_measured_from_sending() -> None:
    """Trap T14: an answer that was long under way says nothing of now."""
    subject = a_leader()
    subject.pass_time(100)
    early = subject.sent(Append, "b")[-1]
    sent_ms = subject.machine.node.now_ms
    subject.pass_time(850)

    subject.hear("b", Heard(Epoch(1), early.sequence))
    subject.pass_time(sent_ms + 999 - subject.now_ms)
    assert subject.machine.is_established

    subject.pass_time(1)
    assert subject.machine.role is Role.FOLLOWER


def test_an_answer_of_an_earlier_leadership_is_no_contact() -> None:
    """Trap T13: sequence numbers begin again in each epoch."""
    subject = a_leader()
    entry = subject.log.entry(Index(1))
    assert entry is not None
    subject.jump(1000)
    assert subject.machine.role is Role.FOLLOWER
    subject.lead()
    subject.pass_time(900)
    late = Acknowledgement(key_of("b"), Epoch(1), Index(1), entry.digest, b"signed")

    subject.hear("b", Acknowledged(subject.sent(Append, "b")[-1].sequence, late))
    subject.pass_time(100)

    assert subject.machine.role is Role.FOLLOWER


def test_a_stopped_process_looks_at_the_clock_before_it_looks_at_anything_else() -> None:
    """Traps T13, T14, H10: a paused leader must not take a commit on a lease that has run out."""
    subject = a_leader()
    subject.now_ms += 3000

    effects = subject.submit(a_block(1))

    assert isinstance(noticed(effects, RequestFailed)[0].error, NotLeader)
    assert not written(effects, AppendEntries)


@pytest.mark.parametrize("promised", [2, 9])
def test_a_leader_that_learns_of_a_higher_promise_steps_down(promised: int) -> None:
    subject = a_leader()

    subject.hear("b", AppendRefusal(Epoch(1), 1, Epoch(promised)))

    assert subject.machine.role is Role.FOLLOWER
    assert subject.machine.node.highest_epoch == promised


@pytest.mark.parametrize("key", [key_of("g"), key_of("b", "made anew")])
def test_a_stranger_deposes_nobody(key: MemberKey) -> None:
    subject = a_leader()

    subject.hear(key, AppendRefusal(Epoch(1), 1, Epoch(2)))

    assert subject.machine.is_established


def test_a_refusal_without_a_higher_promise_deposes_nobody() -> None:
    """Of an earlier epoch, or because the member does not heed this one."""
    subject = a_leader()

    subject.hear("b", AppendRefusal(Epoch(1), 1, Epoch(1)))

    assert subject.machine.is_established


def test_whoever_waits_is_answered_at_once_when_the_leadership_is_lost() -> None:
    """Promise 8: the outcome is unknown, the next leader may certify it."""
    subject = a_leader()
    subject.submit(a_block(1), request_id=1)
    subject.submit(a_block(2), request_id=2)

    effects = subject.hear("b", AppendRefusal(Epoch(1), 1, Epoch(2)))

    failed = noticed(effects, RequestFailed)
    assert [notice.request_id for notice in failed] == [1, 2]
    assert all(isinstance(notice.error, LeadershipLost) for notice in failed)


# 5.5: the disk


def test_heartbeats_stop_when_the_disk_is_late() -> None:
    """Trap T31: they come from the path that syncs."""
    subject = a_leader()
    subject.submit(a_block(1))
    subject.pass_time(499, sync=False, heard_by="bc")

    silent = subject.pass_time(400, sync=False, heard_by="bc")

    assert not silent.sends


def test_heartbeats_go_on_when_the_disk_has_caught_up() -> None:
    subject = a_leader()
    subject.submit(a_block(1))
    subject.pass_time(700, sync=False, heard_by="bc")

    subject.sync()

    assert subject.pass_time(110, heard_by="bc").sends


def test_a_leader_whose_disk_is_stuck_steps_down() -> None:
    """Trap T31: it can speak and cannot commit."""
    subject = a_leader()
    subject.submit(a_block(1), request_id=1)
    subject.pass_time(400, sync=False, heard_by="bc")

    effects = subject.pass_time(700, sync=False, heard_by="bc")

    assert subject.machine.role is Role.FOLLOWER
    assert isinstance(noticed(effects, RequestFailed)[0].error, LeadershipLost)


def test_a_lone_leader_whose_disk_is_stuck_steps_down_too() -> None:
    subject = a_leader(1)
    subject.submit(a_block(1))

    subject.pass_time(2000, sync=False)

    assert subject.machine.role is Role.FOLLOWER


def test_an_idle_leader_writes_now_and_then() -> None:
    """Rule 5.5: a disk that takes no writes is to be noticed before a commit is due."""
    subject = a_leader()

    first = subject.pass_time(1000, heard_by="bc")
    second = subject.pass_time(1000, heard_by="bc")

    assert len(written(first, RaiseCertified)) == 1  # It had that to write.
    assert len(written(second, Touch)) == 1


# 5.4.6: pipelines


def test_bytes_in_flight_are_bounded() -> None:
    """Trap T16: a member that does not answer must not be sent everything."""
    subject = a_leader(settings=Settings(batch_bytes_max=1000))
    for height in range(1, 10):
        subject.submit(a_block(height), size=600)
        subject.acknowledge("b")
        subject.sync()

    entries = [entry for append in subject.sent(Append, "c") for entry in append.entries]
    in_flight = sum(entry.body_size for entry in entries if entry.index > 1)
    assert 2000 <= in_flight <= 2000 + 600


def test_an_answer_makes_room_for_more() -> None:
    subject = a_leader(settings=Settings(batch_bytes_max=1000))
    for height in range(1, 10):
        subject.submit(a_block(height), size=600)

    effects = subject.acknowledge("c")

    assert sent(effects, Append, "c")[0].entries


def test_unanswered_entries_are_taken_for_lost_and_sent_again() -> None:
    """Trap T16."""
    subject = a_leader()
    subject.submit(a_block(1))

    effects = subject.pass_time(2000, heard_by="b")

    again = [append for append in sent(effects, Append, "c") if append.entries]
    assert [append.entries[0].index for append in again] == [2]


def test_unanswered_entries_are_sent_again_also_when_there_is_always_more_to_do() -> None:
    """Trap T16: a leader that is never idle sends no heartbeats, and must look all the same."""
    subject = a_leader(settings=Settings(batch_bytes_max=100))
    for height in range(1, 60):
        subject.submit(a_block(height))
        subject.sync()
        subject.acknowledge("b")
        subject.pass_time(50)

    firsts = [append.entries[0].index for append in subject.sent(Append, "c") if append.entries]
    assert firsts.count(Index(2)) >= 2


def test_a_new_stream_starts_again_from_the_last_match() -> None:
    subject = a_leader()
    for height in (1, 2, 3):
        subject.submit(a_block(height))
    subject.acknowledge("c", index=3, sequence=0)

    effects = subject.take(PeerConnected(ServerId("c")))

    (append,) = sent(effects, Append, "c")
    assert [entry.index for entry in append.entries] == [4]


def test_a_new_stream_to_a_member_that_has_everything_is_greeted_with_a_heartbeat() -> None:
    subject = a_leader()

    effects = subject.take(PeerConnected(ServerId("c")))

    (append,) = sent(effects, Append, "c")
    assert append.previous == subject.log.last


def test_degraded_by_choice_one_voter_certifies_alone() -> None:
    """Section 3: a threshold of one of three puts availability first."""
    subject = Subject("a", genesis=a_genesis(3, quorum_rule=1))
    subject.designate()
    subject.sync()
    subject.submit(a_block(1))
    subject.sync()

    assert subject.log.certified.index == 2
    subject.pass_time(5000)
    assert subject.machine.is_established
