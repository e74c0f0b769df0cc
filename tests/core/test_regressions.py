"""What the simulator found in the core, told again in the smallest way."""

from __future__ import annotations

from conductor.core.effects import RaisePromise, RequestFailed, Truncate
from conductor.core.events import DeadlineReached, SequencerStarted
from conductor.core.messages import FetchAnswer, FetchRequest
from conductor.core.node import EPOCH_STEP_MAX
from conductor.core.values import Epoch, Promise
from conductor.errors import Conflict
from tests.core.builders import a_block, a_chain, a_genesis, a_log, beginning
from tests.core.campaigns import encourage, reporting
from tests.core.subject import Subject, a_leader, noticed, written


def test_late_disk_of_a_leader_is_no_reason_to_be_woken_without_end() -> None:
    """Heartbeats that are withheld stay due, and the leader would be looked at for ever."""
    subject = a_leader()
    subject.submit(a_block(1))
    subject.now_ms += subject.machine.node.settings.lease_ms // 2 + 1
    for _ in range(3):
        subject.take(DeadlineReached())
    assert subject.machine.leadership is not None
    assert subject.machine.next_deadline_ms() > subject.now_ms


def test_acknowledged_entry_is_cut_only_under_a_promise_of_the_log_that_replaces_it() -> None:
    """The first batch of a newer log may end in an entry older than those that it cuts."""
    common = a_chain([1])
    ours = (*common, *a_chain([3, 3], common[0].position, branch="ours"))
    theirs = (*common, *a_chain([2, 5], common[0].position, branch="theirs"))
    subject = Subject("a", genesis=a_genesis(), log=a_log(ours), promise=(3, "b"))
    subject.designate()
    encourage(subject, "c", reporting(theirs[2].position), promised=5)
    asked = subject.sent(FetchRequest, "c")[-1]

    effects = subject.hear("c", FetchAnswer(asked.nonce, theirs[:2]))

    (write,) = effects.writes
    assert Truncate(common[0].index) in write.operations
    assert RaisePromise(Promise(Epoch(5), None)) in write.operations


def test_log_of_an_epoch_that_nobody_can_have_come_to_is_not_adopted() -> None:
    """Else its number would be promised, and none were left."""
    entries = a_chain([EPOCH_STEP_MAX + 100])
    subject = Subject("a", genesis=a_genesis(), promise=(3, "b"))
    subject.designate()
    encourage(subject, "c", reporting(entries[0].position), promised=5)
    asked = subject.sent(FetchRequest, "c")[-1]

    effects = subject.hear("c", FetchAnswer(asked.nonce, entries))

    assert not written(effects, RaisePromise)
    assert subject.log.last == beginning()


def fenced_leader() -> Subject:
    """A new leader of a log with two certified payloads."""
    subject = a_leader(log=a_log(a_chain([1, 1]), certified=2), promise=(1, "b"))
    assert subject.log.last_payload is not None
    return subject


def is_refused(subject: Subject) -> bool:
    """Whether a sibling of the second payload is turned down."""
    effects = subject.submit(a_block(2, "sibling", parent_branch=""))
    return any(isinstance(failed.error, Conflict) for failed in noticed(effects, RequestFailed))


def test_sequencer_that_was_started_at_the_last_payload_may_reorganise() -> None:
    """Rule 5.6: without this a reorganisation of L1 right after a failover stops the chain."""
    subject = fenced_leader()
    assert is_refused(subject)
    subject.take(SequencerStarted(a_block(2).block_hash))
    assert not is_refused(subject)


def test_sequencer_that_was_started_on_an_older_payload_may_not() -> None:
    subject = fenced_leader()
    subject.take(SequencerStarted(a_block(1).block_hash))
    assert is_refused(subject)


def test_sequencer_that_was_started_before_the_leadership_began_may_not() -> None:
    subject = Subject("a", log=a_log(a_chain([1, 1]), certified=2), promise=(1, "b"))
    subject.take(SequencerStarted(a_block(2).block_hash))
    subject.lead()
    assert is_refused(subject)
