"""What a member promises, to whom, and when the words leave (rules 5.3.0, 5.3.2 and 5.3.5)."""

from __future__ import annotations

import dataclasses

import pytest

from conductor.core.certificate import Acknowledgement
from conductor.core.effects import LeadershipChanged, RaisePromise
from conductor.core.events import FitnessChanged, PeerDied
from conductor.core.log import Log
from conductor.core.machine import Role
from conductor.core.messages import (
    Acknowledged,
    AppendRefusal,
    HandOverOrder,
    LogReport,
    PrePromiseAnswer,
    PrePromiseRequest,
    PromiseGrant,
    PromiseRefusal,
    PromiseRequest,
)
from conductor.core.node import EPOCH_STEP_MAX
from conductor.core.values import (
    Base,
    Epoch,
    Index,
    MemberKey,
    Membership,
    Promise,
    ServerId,
)
from tests.core.builders import (
    a_block,
    a_chain,
    a_genesis,
    a_log,
    a_member,
    an_append,
    beginning,
    elsewhere,
    key_of,
)
from tests.core.subject import Subject, a_leader, noticed, sent, written


def request(epoch: int, nonce: int = 1, order: HandOverOrder | None = None) -> PromiseRequest:
    return PromiseRequest(Epoch(epoch), nonce, order)


def pre_request(epoch: int = 1, nonce: int = 1) -> PrePromiseRequest:
    return PrePromiseRequest(Epoch(epoch), nonce)


def ask(subject: Subject, epoch: int, candidate: str = "b", nonce: int = 1) -> str:
    """Ask for a promise and let the disk finish: why not, or nothing when it was given."""
    effects = subject.hear(candidate, request(epoch, nonce))
    refusals = sent(effects, PromiseRefusal, candidate)
    grants = sent(effects, PromiseGrant, candidate) + sent(subject.sync(), PromiseGrant, candidate)
    assert len(refusals) + len(grants) == 1
    return refusals[0].reason if refusals else ""


def following(leader: str = "b", *, epoch: int = 1, fit: bool = True) -> Subject:
    """The node "a", which has just heard a leader."""
    subject = Subject("a")
    subject.hear(leader, an_append(epoch=epoch, fit=fit))
    subject.sync()
    return subject


# "A member grants iff ..."


@pytest.mark.parametrize(("epoch", "granted"), [(6, True), (9, True), (5, False), (4, False)])
def test_only_an_epoch_above_the_promised_one_is_promised(epoch: int, granted: bool) -> None:
    subject = Subject("a", promise=(5, "c"))

    assert (ask(subject, epoch) == "") == granted


def test_one_epoch_is_not_promised_to_two_candidates() -> None:
    """Trap T3: two managers name two servers, and both pick the same number."""
    subject = Subject("a")

    assert ask(subject, 1, "b") == ""
    assert "promised already" in ask(subject, 1, "c")


def test_a_resend_of_the_same_campaign_is_granted_again_without_a_second_write() -> None:
    subject = Subject("a")
    subject.hear("b", request(1))
    subject.sync()

    again = subject.hear("b", request(1), reply_to=9)

    assert not again.writes
    assert [send.reply_to for send in again.sends] == [9]
    assert len(sent(again, PromiseGrant, "b")) == 1


def test_another_campaign_of_the_same_candidate_is_not_granted_the_same_epoch() -> None:
    """No epoch serves two campaigns."""
    subject = Subject("a")

    assert ask(subject, 1, nonce=1) == ""
    assert "promised already" in ask(subject, 1, nonce=2)


def test_a_voter_that_restarted_grants_a_resend_again() -> None:
    """It knows from its disk to whom it promised; an epoch has one campaign only."""
    assert ask(Subject("a", promise=(1, "b")), 1, "b") == ""
    assert "promised already" in ask(Subject("a", promise=(1, "b")), 1, "c")


def test_an_epoch_in_which_the_leader_has_written_is_not_promised_again() -> None:
    """Its campaign is over: a late resend must not report entries of its own epoch."""
    subject = Subject("a")
    ask(subject, 1, "b")
    subject.hear("b", an_append(a_chain([1])))
    subject.sync()

    assert "promised already" in ask(subject, 1, "b")


def test_a_promise_to_nobody_is_not_given_to_whoever_asks_for_its_epoch() -> None:
    """Raised by a migration or while catching up: that epoch is not for sale."""
    assert "promised already" in ask(Subject("a", promise=(5, "")), 5)
    assert ask(Subject("a", promise=(5, "")), 6) == ""


# "Any member answers": who may ask


@pytest.mark.parametrize("asker", [key_of("g"), key_of("b", "made anew")])
def test_a_stranger_and_a_renewed_store_are_promised_nothing(asker: MemberKey) -> None:
    subject = Subject("a")

    effects = subject.hear(asker, request(1))

    assert "no member in this incarnation" in sent(effects, PromiseRefusal)[0].reason
    assert not effects.writes


def nonvoter() -> Subject:
    """The node "a" in a cluster that lists it as a nonvoter."""
    members = (a_member("a", voter=False), *(a_member(name) for name in "bcd"))
    return Subject("a", log=Log(Base(beginning(), Membership(members, 0))))


def test_a_member_answers_whatever_it_believes_its_role_to_be() -> None:
    """Trap T21: who does not know yet that it has become a voter must not refuse to promise."""
    assert ask(nonvoter(), 1) == ""


# "Granting ends its own leadership or campaign in the same step"


def test_granting_ends_the_own_campaign() -> None:
    subject = Subject("a")
    subject.designate()
    assert subject.machine.campaign is not None

    subject.hear("b", request(1))

    assert subject.machine.campaign is None


def test_granting_ends_the_own_leadership_in_the_same_step() -> None:
    subject = a_leader()
    subject.take(FitnessChanged(serving=False, sequencer_ok=True))

    effects = subject.hear("b", request(2))

    assert subject.machine.role is Role.FOLLOWER
    assert noticed(effects, LeadershipChanged)[0].leader_id is None


def test_a_deposed_leader_counts_nothing_any_more() -> None:
    """Rule 5.3.2: nothing of a lower epoch is appended, acknowledged or counted."""
    subject = a_leader()
    subject.submit(a_block(1))
    subject.take(FitnessChanged(serving=False, sequencer_ok=True))
    subject.hear("b", request(2))

    effects = subject.sync()  # Its own entry is durable now, but the epoch is over.
    late = Acknowledgement(key_of("c"), Epoch(1), Index(2), subject.log.last.digest, b"signed")
    subject.hear("c", Acknowledged(3, late))

    assert not sent(effects, Acknowledged)
    assert subject.log.certified.index == 1


def test_nothing_of_a_lower_epoch_is_taken_after_a_grant() -> None:
    subject = following("b", epoch=1)
    subject.take(PeerDied(ServerId("b")))
    assert ask(subject, 2, "c") == ""

    effects = subject.hear("b", an_append(a_chain([1]), epoch=1))

    assert sent(effects, AppendRefusal, "b") == [AppendRefusal(Epoch(1), 1, Epoch(2))]
    assert subject.log.last == beginning()


# "The reply leaves when the promise and every write queued before it are durable"


def test_a_grant_waits_until_the_promise_is_durable() -> None:
    """Trap T2: a restart would forget what was said."""
    subject = Subject("a")

    effects = subject.hear("b", request(3), reply_to=4)

    assert written(effects, RaisePromise) == [RaisePromise(Promise(Epoch(3), key_of("b")))]
    assert not effects.sends

    (reply,) = subject.sync().sends
    assert (reply.to, reply.reply_to) == ("b", 4)
    assert isinstance(reply.message, PromiseGrant)


def test_a_grant_waits_for_everything_that_was_queued_before_it() -> None:
    """Trap T5: a late certificate may rest on an entry whose acknowledgement is under way."""
    subject = following("b", epoch=1)
    entries = a_chain([1])
    subject.hear("b", an_append(entries))
    subject.take(PeerDied(ServerId("b")))

    early = subject.hear("c", request(2))
    first = subject.sync_one()

    assert not sent(early, PromiseGrant)
    assert not sent(first, PromiseGrant)
    (grant,) = sent(subject.sync_one(), PromiseGrant, "c")
    assert grant.report.last == entries[0].position


def test_a_resent_grant_waits_for_the_first_ones_write() -> None:
    subject = Subject("a")
    subject.hear("b", request(1))

    assert not sent(subject.hear("b", request(1)), PromiseGrant)
    assert len(sent(subject.sync(), PromiseGrant)) == 2


def test_a_grant_reports_the_log_that_was_there_when_it_was_given() -> None:
    entries = a_chain([1, 1, 2])
    subject = Subject("a", log=a_log(entries, certified=2), promise=(2, "c"))

    subject.hear("b", request(3, nonce=8))

    (grant,) = sent(subject.sync(), PromiseGrant, "b")
    assert grant == PromiseGrant(
        Epoch(3), 8, LogReport(entries[2].position, entries[1].position, Index(0))
    )


def test_a_refusal_says_what_is_promised_and_why_not() -> None:
    subject = Subject("a", promise=(5, "c"))

    effects = subject.hear("b", request(4, nonce=7), reply_to=3)

    assert [send.reply_to for send in effects.sends] == [3]
    assert sent(effects, PromiseRefusal, "b") == [
        PromiseRefusal(Epoch(4), 7, Epoch(5), "epoch 5 is promised already")
    ]


# "A member refuses while it hears a live, healthy leader"


def test_a_voter_that_hears_a_healthy_leader_refuses_its_rivals() -> None:
    """Trap T18: a partially connected server must not depose a leader that others hear."""
    subject = following("b")

    assert "hears the leader b of epoch 1" in ask(subject, 2, "c")
    assert subject.machine.node.promise.epoch == 1


def test_a_heard_leader_itself_is_promised_a_higher_epoch() -> None:
    assert ask(following("b"), 2, "b") == ""


def test_an_unhealthy_leader_is_not_stood_by() -> None:
    assert ask(following("b", fit=False), 2, "c") == ""


def test_a_leader_that_turns_unhealthy_is_not_stood_by() -> None:
    subject = following("b")
    subject.hear("b", an_append(fit=False, sequence=2))

    assert ask(subject, 2, "c") == ""


@pytest.mark.parametrize(("silence_ms", "granted"), [(1499, False), (1500, True)])
def test_a_leader_is_stood_by_until_the_leader_timeout(silence_ms: int, granted: bool) -> None:
    subject = following("b")
    subject.now_ms += silence_ms

    assert (ask(subject, 2, "c") == "") == granted


def test_a_refused_reconnect_ends_the_loyalty_at_once() -> None:
    subject = following("b")
    subject.take(PeerDied(ServerId("b")))

    assert ask(subject, 2, "c") == ""


def test_a_leader_in_contact_with_a_quorum_refuses_likewise() -> None:
    assert "leads in contact with a quorum" in ask(a_leader(), 2, "b")


def test_a_leader_that_lost_its_quorum_does_not_refuse() -> None:
    subject = a_leader()
    subject.now_ms += 1000

    assert ask(subject, 2, "b") == ""
    assert subject.machine.role is Role.FOLLOWER


# "A hand-over order lifts this"

ORDER = HandOverOrder(a_genesis().cluster_id, Epoch(1), key_of("b"), key_of("c"), b"signed")


def test_an_order_of_the_heard_leader_lifts_the_refusal() -> None:
    """Trap T19: a planned transfer must not wait out the loyalty of the others."""
    subject = following("b")

    subject.hear("c", request(2, order=ORDER))

    assert len(sent(subject.sync(), PromiseGrant, "c")) == 1


def test_the_ordering_leader_itself_grants_and_steps_down() -> None:
    subject = a_leader()
    order = dataclasses.replace(ORDER, leader=key_of("a"))

    subject.hear("c", request(2, order=order))

    assert subject.machine.role is Role.FOLLOWER
    assert len(sent(subject.sync(), PromiseGrant, "c")) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"cluster_id": elsewhere(1).digest},
        {"epoch": Epoch(0)},
        {"epoch": Epoch(2)},
        {"leader": key_of("c")},
        {"leader": key_of("b", "made anew")},
        {"target": key_of("a")},
        {"target": key_of("c", "made anew")},
    ],
)
def test_any_other_order_lifts_nothing(changes: dict[str, object]) -> None:
    """Trap T12: it names genesis, the leader's epoch, target and incarnation."""
    order = dataclasses.replace(ORDER, **changes)  # type: ignore[arg-type]
    subject = following("b")

    effects = subject.hear("c", request(2, order=order))

    assert len(sent(effects, PromiseRefusal, "c")) == 1


def test_an_order_is_honoured_only_while_its_epoch_is_the_promised_one() -> None:
    subject = following("b")
    subject.take(PeerDied(ServerId("b")))
    ask(subject, 2, "b")
    subject.hear("b", an_append(epoch=2))
    subject.sync()

    effects = subject.hear("c", request(3, order=ORDER))

    assert "hears the leader b of epoch 2" in sent(effects, PromiseRefusal)[0].reason


def test_an_order_does_not_make_an_old_epoch_new() -> None:
    subject = following("b")

    effects = subject.hear("c", request(1, order=ORDER))

    assert "promised already" in sent(effects, PromiseRefusal)[0].reason


# "By at most 2^32 a step"


@pytest.mark.parametrize(("above", "granted"), [(0, True), (1, False)])
def test_nobody_can_use_up_the_epochs(above: int, granted: bool) -> None:
    subject = Subject("a", promise=(5, "c"))

    assert (ask(subject, 5 + EPOCH_STEP_MAX + above) == "") == granted


# Rule 5.3.5: "a voter that granted waits one campaign timeout before it grants a rival"


@pytest.mark.parametrize(("later_ms", "granted"), [(0, False), (1999, False), (2000, True)])
def test_a_voter_gives_a_candidate_the_time_to_win(later_ms: int, granted: bool) -> None:
    """Trap T24: rivals that start a little later must not undo each other's campaigns."""
    subject = Subject("a")
    ask(subject, 1, "b")
    subject.now_ms += later_ms

    assert (ask(subject, 2, "c") == "") == granted


def test_a_candidate_that_is_known_dead_is_not_waited_for() -> None:
    subject = Subject("a")
    ask(subject, 1, "b")
    subject.take(PeerDied(ServerId("b")))

    assert ask(subject, 2, "c") == ""


def test_a_dead_candidate_that_is_heard_again_is_waited_for() -> None:
    subject = Subject("a")
    ask(subject, 1, "b")
    subject.take(PeerDied(ServerId("b")))
    subject.hear("b", pre_request())

    assert "waits for b" in ask(subject, 2, "c")


def test_the_candidate_itself_may_try_again_at_once() -> None:
    subject = Subject("a")
    ask(subject, 1, "b")

    assert ask(subject, 2, "b", nonce=2) == ""


def test_a_candidate_refuses_its_rivals_while_its_own_campaign_runs() -> None:
    subject = Subject("a")
    subject.designate()
    subject.be_encouraged()
    subject.sync()

    assert "waits for a" in ask(subject, 2, "c")


def test_a_candidate_that_has_failed_does_not_hold_up_its_rivals() -> None:
    subject = Subject("a")
    subject.designate()
    subject.be_encouraged()
    subject.sync()
    for name in "bc":
        subject.hear(name, PromiseRefusal(Epoch(1), subject.nonce, Epoch(1), "no"))

    assert subject.machine.role is Role.FOLLOWER
    assert ask(subject, 2, "c") == ""


def test_a_leader_that_stepped_down_does_not_hold_up_its_successor() -> None:
    subject = a_leader()
    subject.hear("b", AppendRefusal(Epoch(1), 1, Epoch(2)))
    assert subject.machine.role is Role.FOLLOWER

    assert ask(subject, 3, "c") == ""


# Rule 5.3.0: the pre-promise round


def pre_ask(subject: Subject, candidate: str = "b", epoch: int = 1) -> PrePromiseAnswer:
    """Ask whether a promise would be given."""
    effects = subject.hear(candidate, pre_request(epoch, nonce=5), reply_to=6)
    assert not effects.writes
    assert [send.reply_to for send in effects.sends if send.reply_to] == [6]
    (answer,) = sent(effects, PrePromiseAnswer, candidate)
    return answer


def test_a_pre_promise_changes_nothing_and_reports_the_log() -> None:
    """Trap T18: asking must not use up epochs."""
    entries = a_chain([1, 1])
    subject = Subject("a", log=a_log(entries, certified=1), promise=(1, "c"))

    answer = pre_ask(subject, epoch=9)

    report = LogReport(entries[1].position, entries[0].position, Index(0))
    assert answer == PrePromiseAnswer(5, True, Epoch(1), "", report)
    assert subject.machine.node.promise == Promise(Epoch(1), key_of("c"))
    assert subject.machine.node.highest_epoch == 1


def test_a_pre_promise_does_not_end_a_leadership() -> None:
    subject = a_leader()
    subject.take(FitnessChanged(serving=False, sequencer_ok=True))

    assert pre_ask(subject).would_grant
    assert subject.machine.is_established


def test_a_candidate_that_knows_too_low_an_epoch_learns_the_promised_one() -> None:
    answer = pre_ask(Subject("a", promise=(7, "c")), epoch=1)

    assert answer.would_grant
    assert answer.promised_epoch == 7


def test_a_pre_promise_is_refused_for_the_reasons_for_which_a_promise_would_be() -> None:
    assert "hears the leader" in pre_ask(following("b"), "c").reason
    assert "leads in contact" in pre_ask(a_leader()).reason
    assert "too far above" in pre_ask(Subject("a"), epoch=EPOCH_STEP_MAX + 1).reason

    granted = Subject("a")
    ask(granted, 1, "b")
    assert "waits for b" in pre_ask(granted, "c").reason
    assert not pre_ask(granted, "c").would_grant


def test_a_pre_promise_waits_for_what_it_reports() -> None:
    subject = Subject("a")
    entries = a_chain([1])
    subject.hear("b", an_append(entries))

    assert not sent(subject.hear("c", pre_request()), PrePromiseAnswer)

    (answer,) = sent(subject.sync(), PrePromiseAnswer)
    assert answer.report.last == entries[0].position
