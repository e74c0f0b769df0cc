"""Passing the leadership on: drain, bring up to date, order, await the outcome (rule 5.5)."""

from __future__ import annotations

import pytest

from conductor.core.effects import (
    CampaignEnded,
    CommitCertified,
    Effects,
    HandOverDone,
    RequestFailed,
)
from conductor.core.events import (
    FitnessChanged,
    HandOverRequested,
    PeerDied,
    PeerFitnessChanged,
    RequestAbandoned,
)
from conductor.core.log import Log
from conductor.core.machine import AUTOMATIC_REQUEST, Role
from conductor.core.messages import (
    AppendRefusal,
    HandOver,
    HandOverAnswer,
    HandOverOrder,
    PrePromiseRequest,
    PromiseGrant,
    PromiseRequest,
)
from conductor.core.node import Settings
from conductor.core.values import Base, Epoch, MemberKey, Membership, ServerId
from conductor.errors import ConductorError, LeadershipLost, NotLeader, Overloaded, TransferRefused
from tests.core.builders import (
    a_block,
    a_certificate,
    a_chain,
    a_genesis,
    a_log,
    a_member,
    an_append,
    an_epoch_start,
    beginning,
    key_of,
)
from tests.core.subject import Subject, a_leader, merged, noticed, sent

ASKED = 7
"""The request id of the transfers below."""

ORDER = HandOverOrder(a_genesis().cluster_id, Epoch(1), key_of("a"), key_of("b"))
"""What the leader "a" of epoch 1 orders."""


def transfer(subject: Subject, target: str | None = "b", timeout_ms: int = 5000) -> Effects:
    """An operator asks for a transfer."""
    name = ServerId(target) if target else None
    return subject.take(HandOverRequested(ASKED, name, "transfer", timeout_ms))


def failure(effects: Effects, request_id: int = ASKED) -> ConductorError:
    """How that request failed."""
    (failed,) = [each for each in noticed(effects, RequestFailed) if each.request_id == request_id]
    return failed.error


def commits_go_on(subject: Subject, height: int = 100) -> bool:
    """Whether a new payload is appended at once."""
    last = subject.log.last.index
    subject.submit(a_block(height), request_id=height)
    return subject.log.last.index == last + 1


# Whom to order


def test_a_target_that_has_everything_is_ordered_at_once() -> None:
    (message,) = sent(transfer(a_leader()), HandOver, "b")

    assert message == HandOver(ORDER, "transfer")


def test_anyone_means_the_one_with_the_longest_log() -> None:
    subject = a_leader(5)
    subject.submit(a_block(1))
    subject.sync()
    for name in "dc":
        subject.acknowledge(name)

    effects = transfer(subject, None)

    assert [send.to for send in effects.sends if isinstance(send.message, HandOver)] == ["c"]


# Drain


def test_the_order_waits_until_everything_is_certified_and_the_target_has_it() -> None:
    """Trap T20."""
    subject = a_leader()
    subject.submit(a_block(1))

    effects = [transfer(subject), subject.acknowledge("b")]
    assert not sent(merged(effects), HandOver)

    assert len(sent(subject.sync(), HandOver, "b")) == 1


def test_the_order_waits_for_the_target_though_others_have_certified() -> None:
    """Trap T20: a target that is behind would need time to catch up, without a leader."""
    subject = a_leader()
    subject.submit(a_block(1))
    subject.sync()
    subject.acknowledge("c")

    assert not sent(transfer(subject), HandOver)
    assert len(sent(subject.acknowledge("b"), HandOver, "b")) == 1


def test_commits_that_arrive_meanwhile_wait() -> None:
    """Trap T20: the target would never have everything."""
    subject = a_leader()
    subject.submit(a_block(1), request_id=1)
    transfer(subject)

    effects = subject.submit(a_block(2), request_id=2)

    assert effects == Effects()
    assert subject.log.last.index == 2


def test_a_commit_that_waits_can_be_abandoned() -> None:
    subject = a_leader()
    transfer(subject)
    subject.submit(a_block(1), request_id=1)
    subject.take(RequestAbandoned(1))

    subject.hear("b", HandOverAnswer(Epoch(1), accepted=False, reason="no"))

    assert subject.log.last.index == 1


def test_not_too_many_commits_wait() -> None:
    subject = a_leader(settings=Settings(pending_payloads_max=2))
    transfer(subject)
    for height in (1, 2):
        subject.submit(a_block(height), request_id=height)

    assert isinstance(failure(subject.submit(a_block(3), request_id=3), 3), Overloaded)


def test_a_leadership_that_ends_while_draining_says_so() -> None:
    subject = a_leader()
    subject.submit(a_block(1), request_id=1)
    transfer(subject)
    subject.submit(a_block(2), request_id=2)

    effects = subject.hear("c", AppendRefusal(Epoch(1), 1, Epoch(2)))

    assert isinstance(failure(effects), LeadershipLost)
    assert isinstance(failure(effects, 1), LeadershipLost)
    assert isinstance(failure(effects, 2), NotLeader)


# Order


def test_a_lost_order_is_repeated() -> None:
    """Commits wait meanwhile: the deadline alone would make it a long wait."""
    subject = a_leader()
    transfer(subject)

    again = subject.pass_time(200, heard_by="bc")

    assert HandOver(ORDER, "transfer") in sent(again, HandOver, "b")


@pytest.mark.parametrize(
    ("sender", "epoch"), [(key_of("c"), 1), (key_of("b"), 0), (key_of("b", "made anew"), 1)]
)
def test_a_refusal_of_another_or_of_an_earlier_order_ends_nothing(
    sender: MemberKey, epoch: int
) -> None:
    subject = a_leader()
    transfer(subject)

    effects = subject.hear(sender, HandOverAnswer(Epoch(epoch), accepted=False, reason="no"))

    assert not effects.notices


def test_another_members_death_is_no_reason_to_give_up() -> None:
    subject = a_leader()
    transfer(subject)

    assert not subject.take(PeerDied(ServerId("c"))).notices


# Await


def given_away() -> Subject:
    """The former leader "a", which has promised epoch 2 to its target "b"."""
    subject = a_leader()
    transfer(subject, timeout_ms=3000)
    subject.hear("b", PromiseRequest(Epoch(2), 1, ORDER))
    assert len(sent(subject.sync(), PromiseGrant, "b")) == 1
    assert subject.machine.role is Role.FOLLOWER
    return subject


def follow(subject: Subject, leader: str, epoch: int) -> Effects:
    """A new leader's epoch start, and its certificate."""
    start = an_epoch_start(subject.log.last, epoch, leader)
    previous = subject.log.last
    effects = [
        subject.hear(leader, an_append((start,), epoch=epoch, previous=previous)),
        subject.sync(),
    ]
    certified = an_append(
        epoch=epoch, previous=start.position, certificate=a_certificate(start), sequence=2
    )
    effects.append(subject.hear(leader, certified))
    return merged(effects)


def test_the_outcome_is_told_when_the_target_leads() -> None:
    effects = follow(given_away(), "b", 2)

    assert noticed(effects, HandOverDone) == [HandOverDone(ASKED, ServerId("b"), Epoch(2))]


def test_nobody_is_told_before_the_target_is_established() -> None:
    subject = given_away()
    previous = subject.log.last
    start = an_epoch_start(previous, 2, "b")

    effects = merged(
        [subject.hear("b", an_append((start,), epoch=2, previous=previous)), subject.sync()]
    )

    assert not noticed(effects, HandOverDone)


def test_another_leader_than_the_target_is_told_too() -> None:
    effects = follow(given_away(), "c", 3)

    error = failure(effects)
    assert isinstance(error, LeadershipLost)
    assert str(error) == "c took the leadership instead"


def test_a_leader_that_was_not_asked_to_promise_learns_the_outcome_all_the_same() -> None:
    """The target may win with the promises of others."""
    subject = a_leader()
    transfer(subject)

    effects = follow(subject, "b", 2)

    assert noticed(effects, HandOverDone) == [HandOverDone(ASKED, ServerId("b"), Epoch(2))]


def test_when_nobody_takes_the_leadership_it_is_taken_back() -> None:
    """Rule 5.5: if somebody promised above its epoch, the old leader campaigns at once."""
    subject = given_away()

    effects = subject.pass_time(3000)

    assert str(failure(effects)) == "b did not take the leadership in time"
    assert {send.to for send in effects.sends} == {"b", "c"}
    assert sent(effects, PrePromiseRequest)
    assert subject.machine.role is Role.CANDIDATE


def test_a_target_that_dies_with_the_leadership_in_its_hands_is_not_waited_for() -> None:
    subject = given_away()

    effects = subject.take(PeerDied(ServerId("b")))

    assert isinstance(failure(effects), LeadershipLost)
    assert subject.machine.role is Role.CANDIDATE


# The target


def ordered_target(*, promise: tuple[int, str] = (1, "b"), fit: bool = True) -> Subject:
    """The node "a", which follows "b" in epoch 1."""
    subject = Subject("a", promise=promise)
    subject.take(FitnessChanged(serving=fit, sequencer_ok=True))
    subject.hear("b", an_append())
    subject.sync()
    return subject


TO_A = HandOverOrder(a_genesis().cluster_id, Epoch(1), key_of("b"), key_of("a"))


def obey(subject: Subject, order: HandOverOrder = TO_A, sender: str = "b") -> HandOverAnswer:
    """What the target answers to an order."""
    effects = subject.hear(sender, HandOver(order, "transfer"), reply_to=3)
    (reply,) = [send for send in effects.sends if isinstance(send.message, HandOverAnswer)]
    assert (reply.to, reply.reply_to) == (sender, 3)
    assert isinstance(reply.message, HandOverAnswer)
    return reply.message


def test_an_ordered_target_asks_for_promises_at_once() -> None:
    """Trap T19: no pre-promise, and the order goes along."""
    subject = ordered_target()

    assert obey(subject) == HandOverAnswer(Epoch(1), accepted=True, reason="")
    requests = sent(subject.sync(), PromiseRequest)

    assert not subject.sent(PrePromiseRequest)
    assert [(request.epoch, request.order) for request in requests] == [(2, TO_A)] * 2


def test_an_ordered_target_leads_when_a_quorum_has_promised() -> None:
    subject = ordered_target()
    obey(subject)
    subject.sync()
    subject.be_promised("b")

    assert subject.machine.leadership is not None
    assert subject.machine.leadership.epoch == 2


@pytest.mark.parametrize("forced", [False, True])
def test_a_paused_target_refuses_also_by_force(forced: bool) -> None:
    """The leader may not have noticed the pause yet."""
    subject = ordered_target()
    subject.take(FitnessChanged(serving=True, sequencer_ok=True, paused=True))

    effects = subject.hear("b", HandOver(TO_A, "transfer", forced))

    assert sent(effects, HandOverAnswer, "b") == [
        HandOverAnswer(Epoch(1), accepted=False, reason="it is paused: resume it first")
    ]
    assert subject.machine.role is Role.FOLLOWER


def test_an_order_that_comes_twice_is_accepted_twice_and_obeyed_once() -> None:
    """Trap T10: else the old leader would take the second answer for a refusal."""
    subject = ordered_target()
    obey(subject)

    assert obey(subject).accepted
    assert subject.machine.node.promise.epoch == 2

    subject.sync()
    assert obey(subject).accepted
    assert {request.epoch for request in subject.sent(PromiseRequest)} == {2}


def test_a_running_campaign_gives_way_to_one_under_the_order() -> None:
    """It would be refused by everyone who hears the leader."""
    subject = Subject("a", promise=(1, "b"))
    subject.designate()

    effects = subject.hear("b", HandOver(TO_A, "transfer"))

    assert len(noticed(effects, CampaignEnded)) == 1
    assert [each.order for each in sent(subject.sync(), PromiseRequest)] == [TO_A, TO_A]


@pytest.mark.parametrize(
    "order",
    [
        HandOverOrder(a_genesis().cluster_id, Epoch(1), key_of("b"), key_of("c")),
        HandOverOrder(a_genesis().cluster_id, Epoch(1), key_of("b"), key_of("a", "before")),
        HandOverOrder(a_genesis().cluster_id, Epoch(1), key_of("c"), key_of("a")),
    ],
    ids=["another target", "an earlier incarnation", "another leader"],
)
def test_an_order_for_or_of_somebody_else_is_refused(order: HandOverOrder) -> None:
    answer = obey(ordered_target(), order)

    assert answer == HandOverAnswer(Epoch(1), False, "the order is not for this server")


@pytest.mark.parametrize("epoch", [0, 2])
def test_an_order_of_another_epoch_than_the_promised_is_refused(epoch: int) -> None:
    order = HandOverOrder(a_genesis().cluster_id, Epoch(epoch), key_of("b"), key_of("a"))

    assert obey(ordered_target(), order).reason == "epoch 1 is promised already"


def test_an_unfit_target_refuses() -> None:
    subject = ordered_target(fit=False)

    assert obey(subject).reason == "it is not fit to lead"
    assert subject.machine.campaign is None


def test_a_target_that_is_no_voter_refuses() -> None:
    members = (a_member("a", voter=False), *(a_member(name) for name in "bcd"))
    subject = Subject("a", log=Log(Base(beginning(), Membership(members, 0))), promise=(1, "b"))

    assert obey(subject).reason == "it is not a voter"


# By itself: section 6


def test_a_leader_passes_the_leadership_to_whom_the_manager_names() -> None:
    """A designation alone breaks no loyalty: the leader hands over, drained."""
    subject = a_leader()
    subject.submit(a_block(1))

    effects = subject.designate("b")
    assert not sent(effects, HandOver)

    subject.sync()
    (message,) = sent(subject.acknowledge("b"), HandOver, "b")
    assert message.reason == "a test"


def test_nobody_is_named_twice_in_a_row() -> None:
    """Designations are repeated: a target that refuses must not hold up commits again at once."""
    subject = a_leader()
    subject.designate("b")
    effects = subject.hear("b", HandOverAnswer(Epoch(1), accepted=False, reason="no"))
    assert isinstance(failure(effects, AUTOMATIC_REQUEST), TransferRefused)

    assert not subject.designate("b").sends
    subject.pass_time(4000, heard_by="bc")
    assert sent(subject.designate("b"), HandOver, "b")


def test_who_is_not_fit_is_not_handed_the_leadership() -> None:
    subject = a_leader()
    subject.take(PeerFitnessChanged(ServerId("b"), serving=False))

    assert subject.designate("b") == Effects()
    assert commits_go_on(subject)


def test_who_is_far_behind_is_not_handed_the_leadership_yet() -> None:
    """Section 6: to a caught-up voter. Commits would wait for as long as it takes."""
    log = a_log(a_chain([1] * 100), certified=100)
    subject = Subject("a", log=log, promise=(1, ""))
    subject.win()
    subject.acknowledge("c")
    subject.acknowledge("b", index=20, sequence=0)

    assert not sent(subject.designate("b"), HandOver)
    assert commits_go_on(subject, 101)

    subject.sync()
    subject.acknowledge("c")
    subject.acknowledge("b")
    assert sent(subject.designate("b"), HandOver, "b")


def test_a_transfer_that_is_done_lets_commits_fail_over() -> None:
    """What waited is refused: it is in no log, and the next leader takes it."""
    subject = a_leader()
    transfer(subject)
    subject.submit(a_block(1), request_id=1)

    effects = subject.hear("b", PromiseRequest(Epoch(2), 1, ORDER))

    assert isinstance(failure(effects, 1), NotLeader)
    assert not noticed(effects, CommitCertified)
