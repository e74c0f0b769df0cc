"""When a hand-over comes to nothing: what is said, whether that is true, and who leads on.

*Refused* is said only where the target will never lead by this order; *unknown* where it may.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conductor.core.effects import Effects, HandOverDone, RequestFailed
from conductor.core.events import (
    DeadlineReached,
    FitnessChanged,
    HandOverRequested,
    PeerConnected,
    PeerDied,
    PeerFitnessChanged,
    StopRequested,
)
from conductor.core.log import Log
from conductor.core.machine import Role
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
from conductor.core.values import Base, Epoch, Membership, ServerId
from conductor.errors import (
    ConductorError,
    LeadershipLost,
    NotLeader,
    OutcomeUnknown,
    TransferRefused,
)
from tests.core.builders import (
    a_block,
    a_chain,
    a_genesis,
    a_log,
    a_member,
    beginning,
    key_of,
)
from tests.core.ensemble import Ensemble, led_by
from tests.core.subject import Subject, a_leader, noticed, sent

ASKED = 7
TIMEOUT_MS = 3000
ORDER = HandOverOrder(a_genesis().cluster_id, Epoch(1), key_of("a"), key_of("b"))
REFUSES = HandOverAnswer(Epoch(1), accepted=False, reason="it is not fit to lead")
ACCEPTS = HandOverAnswer(Epoch(1), accepted=True, reason="")


def ask(subject: Subject, target: str | None = "b", *, force: bool = False) -> Effects:
    """An operator asks for a transfer."""
    name = ServerId(target) if target else None
    return subject.take(HandOverRequested(ASKED, name, "transfer", TIMEOUT_MS, force))


def failure(effects: Effects) -> ConductorError:
    """How the transfer failed."""
    (failed,) = [each for each in noticed(effects, RequestFailed) if each.request_id == ASKED]
    return failed.error


def goes_on(subject: Subject) -> bool:
    """Whether it leads in the epoch that it had, and a new payload is appended at once."""
    assert subject.machine.is_established
    assert subject.machine.hand_over is None
    last = subject.log.last
    block = subject.log.last_payload
    height = block.block.height + 1 if block is not None and block.block is not None else 100
    subject.submit(a_block(height), request_id=height)
    return subject.log.last.index == last.index + 1 and subject.log.last.epoch == last.epoch


def certify(subject: Subject) -> None:
    """Everything is durable everywhere."""
    subject.sync()
    for name in "bc":
        subject.acknowledge(name)


# Refused at once


def nobody_special(subject: Subject) -> None:
    """Everyone is fit, near and heard."""


def b_is_unfit(subject: Subject) -> None:
    """Paused, draining, or with a sick sequencer: it says so itself, by its health service."""
    subject.take(PeerFitnessChanged(ServerId("b"), serving=False))


def all_are_unfit(subject: Subject) -> None:
    for name in "bc":
        subject.take(PeerFitnessChanged(ServerId(name), serving=False))


def b_is_silent(subject: Subject) -> None:
    subject.pass_time(1000, heard_by="c")


def b_is_dead(subject: Subject) -> None:
    subject.take(PeerDied(ServerId("b")))


def b_is_unfit_and_silent(subject: Subject) -> None:
    b_is_unfit(subject)
    b_is_silent(subject)


def b_is_unfit_and_dead(subject: Subject) -> None:
    b_is_unfit(subject)
    b_is_dead(subject)


Situation = Callable[[Subject], None]

ALWAYS_REFUSED: list[tuple[Situation, str | None, str]] = [
    (nobody_special, "a", "cannot transfer leadership to itself"),
    (nobody_special, "g", "cannot find replication state for g"),
    (b_is_silent, "b", "b does not answer"),
    (b_is_dead, "b", "b does not answer"),
    (b_is_unfit_and_silent, "b", ""),
    (b_is_unfit_and_dead, "b", ""),
    (all_are_unfit, None, "cannot find peer: no other voter is fit to lead"),
]


@pytest.mark.parametrize("force", [False, True], ids=["asked", "forced"])
@pytest.mark.parametrize(("situation", "target", "says"), ALWAYS_REFUSED)
def test_what_force_does_not_help_against_is_refused_at_once(
    situation: Situation, target: str | None, says: str, force: bool
) -> None:
    subject = a_leader()
    situation(subject)

    effects = ask(subject, target, force=force)

    error = failure(effects)
    assert isinstance(error, TransferRefused)
    assert str(error) == (says or ("b does not answer" if force else "b is not fit to lead"))
    assert not sent(effects, HandOver)
    assert goes_on(subject)


@pytest.mark.parametrize("force", [False, True], ids=["asked", "forced"])
def test_nonvoter_is_refused(force: bool) -> None:
    members = (*(a_member(name) for name in "abc"), a_member("d", voter=False))
    subject = Subject("a", log=Log(Base(beginning(), Membership(members, 0))))
    subject.lead()
    subject.take(PeerFitnessChanged(ServerId("d"), serving=True))

    assert str(failure(ask(subject, "d", force=force))) == "d is not a voter"
    assert goes_on(subject)


@pytest.mark.parametrize("force", [False, True], ids=["asked", "forced"])
def test_who_does_not_lead_hands_nothing_over(force: bool) -> None:
    unestablished = Subject("a")
    unestablished.win()

    for subject in (Subject("a"), unestablished):
        assert isinstance(failure(ask(subject, force=force)), NotLeader)


@pytest.mark.parametrize("force", [False, True], ids=["asked", "forced"])
def test_one_transfer_at_a_time(force: bool) -> None:
    """Not even another that is forced: the first may have given everything away already."""
    subject = a_leader()
    subject.submit(a_block(1))
    subject.take(HandOverRequested(8, ServerId("c"), "another", TIMEOUT_MS))

    error = failure(ask(subject, "b", force=force))

    assert isinstance(error, TransferRefused)
    assert str(error) == "leadership transfer in progress"
    assert subject.machine.hand_over is not None
    assert subject.machine.hand_over.target == key_of("c")


def test_unfit_target_is_refused_unless_forced() -> None:
    subject = a_leader()
    b_is_unfit(subject)
    assert str(failure(ask(subject))) == "b is not fit to lead"

    (message,) = sent(ask(subject, force=True), HandOver, "b")

    assert message == HandOver(ORDER, "transfer", forced=True)


def test_force_lets_nobody_choose_an_unfit_target_unseen() -> None:
    """Without a name it goes to the best of those that are fit, as ever."""
    subject = a_leader()
    b_is_unfit(subject)

    effects = ask(subject, None, force=True)

    assert [send.to for send in effects.sends if isinstance(send.message, HandOver)] == ["c"]


# Failed on the way: each stage ends in each way


def catching_up() -> Subject:
    """The leader "a": its target "b" is far behind, and commits go on."""
    log = a_log(a_chain([1] * 100), certified=100)
    subject = Subject("a", log=log, promise=(1, ""))
    subject.win()
    subject.acknowledge("c")
    subject.acknowledge("b", index=20, sequence=0)
    ask(subject)
    assert subject.machine.leadership is not None
    assert not subject.machine.leadership.draining
    return subject


def draining() -> Subject:
    """The leader "a": its target "b" lacks the last payload, and one commit waits."""
    subject = a_leader()
    subject.submit(a_block(1), request_id=1)
    subject.sync()
    subject.acknowledge("c")
    ask(subject)
    subject.submit(a_block(2), request_id=2)
    assert not subject.sent(HandOver)
    return subject


def ordered() -> Subject:
    """The leader "a": its target "b" has the order, and one commit waits."""
    subject = a_leader()
    ask(subject)
    subject.submit(a_block(1), request_id=1)
    assert len(subject.sent(HandOver)) == 1
    return subject


def given_away() -> Subject:
    """The former leader "a", which has promised epoch 2 to its target "b"."""
    subject = ordered()
    subject.hear("b", PromiseRequest(Epoch(2), 1, ORDER))
    assert len(sent(subject.sync(), PromiseGrant, "b")) == 1
    assert subject.machine.role is Role.FOLLOWER
    return subject


def time_is_up(subject: Subject) -> Effects:
    return subject.pass_time(TIMEOUT_MS, heard_by="bc")


def target_falls_silent(subject: Subject) -> Effects:
    return subject.pass_time(1000, heard_by="c")


def target_dies(subject: Subject) -> Effects:
    return subject.take(PeerDied(ServerId("b")))


def target_refuses(subject: Subject) -> Effects:
    return subject.hear("b", REFUSES)


Stage = Callable[[], Subject]
Event = Callable[[Subject], Effects]

LEADS_ON: list[tuple[Stage, Event, type[ConductorError], str]] = [
    (catching_up, time_is_up, TransferRefused, "b was not caught up in time"),
    (catching_up, target_falls_silent, TransferRefused, "b does not answer"),
    (catching_up, target_dies, TransferRefused, "b has died"),
    (draining, time_is_up, TransferRefused, "b was not caught up in time"),
    (draining, target_falls_silent, TransferRefused, "b does not answer"),
    (draining, target_dies, TransferRefused, "b has died"),
    (ordered, target_refuses, TransferRefused, "b refuses: it is not fit to lead"),
    (ordered, time_is_up, OutcomeUnknown, "b did not campaign in time; it was ordered"),
    (ordered, target_falls_silent, OutcomeUnknown, "b does not answer; it was ordered"),
    (ordered, target_dies, OutcomeUnknown, "b has died; it was ordered"),
]


@pytest.mark.parametrize(
    ("stage", "event", "kind", "says"),
    LEADS_ON,
    ids=[f"{stage.__name__}-{event.__name__}" for stage, event, _, _ in LEADS_ON],
)
def test_leader_goes_on_and_takes_what_waited(
    stage: Stage, event: Event, kind: type[ConductorError], says: str
) -> None:
    """Trap T20: until somebody has promised a higher epoch nothing is given up."""
    subject = stage()
    epoch = subject.log.last.epoch
    before = subject.log.last.index

    error = failure(event(subject))

    assert type(error) is kind
    assert str(error).startswith(says)
    waited = stage is not catching_up
    assert subject.log.last.index == before + waited
    assert subject.log.last.epoch == epoch
    assert goes_on(subject)


TAKES_BACK: list[tuple[Event, str]] = [
    (lambda subject: subject.pass_time(TIMEOUT_MS), "b did not take the leadership in time"),
    (target_dies, "b has died"),
]


@pytest.mark.parametrize(("event", "says"), TAKES_BACK, ids=["late", "dead"])
def test_what_nobody_took_is_taken_back(event: Event, says: str) -> None:
    """Rule 5.5: if somebody promised above its epoch, the old leader campaigns at once."""
    subject = given_away()

    effects = event(subject)

    error = failure(effects)
    assert type(error) is LeadershipLost
    assert str(error) == says
    assert {send.to for send in effects.sends} >= {"b", "c"}
    assert sent(effects, PrePromiseRequest)
    assert subject.machine.role is Role.CANDIDATE


def overtaken() -> Subject:
    """The former leader "a", which knows from a refused heartbeat alone that "b" campaigns."""
    subject = ordered()
    subject.hear("b", AppendRefusal(Epoch(1), 1, Epoch(2)))
    assert subject.machine.role is Role.FOLLOWER
    return subject


def test_old_leader_does_not_compete_with_its_target() -> None:
    """A refused heartbeat can come before the request for a promise: nothing is promised yet."""
    subject = overtaken()

    assert not subject.designate("a").sends
    subject.hear("b", PromiseRequest(Epoch(2), 1, ORDER))

    assert len(sent(subject.sync(), PromiseGrant, "b")) == 1


def test_target_has_the_time_of_one_campaign() -> None:
    subject = overtaken()
    subject.pass_time(1999)
    assert subject.machine.campaign is None

    error = failure(subject.pass_time(1))

    assert str(error) == "b did not take the leadership in time"
    assert subject.machine.role is Role.CANDIDATE


@pytest.mark.parametrize("stage", [catching_up, draining])
def test_leadership_that_ends_before_the_order_says_so(stage: Stage) -> None:
    subject = stage()
    epoch = subject.log.last.epoch

    effects = subject.hear("c", AppendRefusal(epoch, 1, Epoch(epoch + 1)))

    assert type(failure(effects)) is LeadershipLost
    assert subject.machine.role is Role.FOLLOWER
    assert subject.machine.hand_over is None


@pytest.mark.parametrize("stage", [catching_up, draining, ordered, given_away, overtaken])
def test_leader_that_stops_meanwhile_leads_no_more(stage: Stage) -> None:
    subject = stage()

    subject.take(StopRequested())

    assert subject.machine.role is Role.FOLLOWER
    assert not [each for each in subject.history[-1].sends if isinstance(each.message, HandOver)]


# What is said must stay true


def test_refusal_of_one_of_several_orders_settles_nothing() -> None:
    """The first may be refused and the second obeyed: answers do not say which they are for."""
    subject = ordered()
    subject.pass_time(200, heard_by="bc")
    assert len(subject.sent(HandOver)) == 2

    error = failure(target_refuses(subject))

    assert type(error) is OutcomeUnknown
    assert str(error).startswith("b refuses: it is not fit to lead; it was ordered before")
    assert goes_on(subject)


def test_refusal_of_every_order_settles_it() -> None:
    subject = ordered()
    target_refuses(subject)
    certify(subject)
    ask(subject)

    assert type(failure(target_refuses(subject))) is TransferRefused


def test_late_refusal_of_an_attempt_before_counts_for_that() -> None:
    subject = ordered()
    time_is_up(subject)
    orders = len(subject.sent(HandOver))
    for _ in range(orders):
        target_refuses(subject)

    certify(subject)
    ask(subject)

    assert type(failure(target_refuses(subject))) is TransferRefused


def test_target_that_dies_after_it_obeyed_may_still_have_led() -> None:
    """Its campaign can have gone past the old leader, with the promises of others alone."""
    ensemble = Ensemble(3)
    ensemble.designate("a")
    ensemble.settle()
    ensemble.cuts = {("b", "a")}
    ensemble.take("a", HandOverRequested(ASKED, ServerId("b"), "transfer", TIMEOUT_MS))
    ensemble.settle()
    assert ensemble.leaders == ["a", "b"]

    ensemble.take("a", PeerDied(ServerId("b")))

    (failed,) = ensemble.noticed("a", RequestFailed)
    assert type(failed.error) is OutcomeUnknown


# The target's side


TO_A = HandOverOrder(a_genesis().cluster_id, Epoch(1), key_of("b"), key_of("a"))


def answer(subject: Subject, *, forced: bool = False) -> HandOverAnswer:
    """What the node "a" answers to the order of "b"."""
    effects = subject.hear("b", HandOver(TO_A, "transfer", forced), reply_to=3)
    (reply,) = sent(effects, HandOverAnswer)
    return reply


def test_unfit_target_obeys_only_when_it_is_forced() -> None:
    subject = Subject("a", promise=(1, "b"))
    subject.take(FitnessChanged(serving=False, sequencer_ok=True))

    assert answer(subject) == HandOverAnswer(Epoch(1), False, "it is not fit to lead")
    assert answer(subject, forced=True) == ACCEPTS
    assert subject.machine.role is Role.CANDIDATE


def test_force_breaks_no_promise() -> None:
    subject = Subject("a", promise=(2, "c"))

    assert answer(subject, forced=True).reason == "epoch 2 is promised already"


def test_target_that_leads_by_the_order_does_not_refuse_it_when_it_comes_again() -> None:
    """Trap T10: the old leader would say that the transfer was refused."""
    subject = Subject("a", promise=(1, "b"))
    answer(subject)
    subject.sync()
    subject.be_promised("c")
    assert subject.machine.role is Role.LEADER

    assert answer(subject) == ACCEPTS
    assert subject.machine.leadership is not None

    subject.take(StopRequested())
    assert answer(subject) == ACCEPTS
    assert subject.machine.leadership is None


def test_target_whose_campaign_came_to_nothing_refuses_the_order_when_it_comes_again() -> None:
    subject = Subject("a", promise=(1, "b"))
    answer(subject)
    subject.pass_time(2000)
    assert subject.machine.role is Role.FOLLOWER

    assert answer(subject).reason == "epoch 2 is promised already"


# A whole cluster


@pytest.mark.parametrize("force", [False, True], ids=["asked", "forced"])
def test_unfit_target_leads_only_when_it_is_forced(force: bool) -> None:
    ensemble = led_by("a")
    for name in "ac":
        ensemble.take(name, PeerFitnessChanged(ServerId("b"), serving=False))
    ensemble.take("b", FitnessChanged(serving=False, sequencer_ok=False))

    ensemble.take("a", HandOverRequested(ASKED, ServerId("b"), "transfer", TIMEOUT_MS, force))
    ensemble.run(100)

    assert ensemble.leaders == (["b"] if force else ["a"])
    assert bool(ensemble.noticed("a", HandOverDone)) is force


def test_commits_go_on_while_a_target_that_was_away_catches_up() -> None:
    """They would all fail meanwhile: catching up can take as long as the whole hand-over may."""
    ensemble = led_by("a", settings=Settings(pending_payloads_max=4))
    ensemble.cuts = {("a", "b")}
    for height in range(1, 11):
        ensemble.submit("a", height)
        ensemble.run(10)
    ensemble.take("a", HandOverRequested(ASKED, ServerId("b"), "transfer", 5000))
    ensemble.submit("a", 11)
    ensemble.settle()
    assert ensemble.nodes["a"].log.certified.index == 12

    ensemble.cuts = set()
    ensemble.take("a", PeerConnected(ServerId("b")))
    ensemble.settle()

    assert ensemble.leaders == ["b"]
    assert ensemble.nodes["b"].log.certified_payload is not None
    assert not ensemble.noticed("a", RequestFailed)


def test_target_that_stops_without_a_word_holds_commits_up_for_a_lease_at_most() -> None:
    ensemble = led_by("a")
    ensemble.run(300)
    ensemble.stopped = {"b"}
    began_ms = ensemble.now_ms
    ensemble.take("a", HandOverRequested(ASKED, ServerId("b"), "transfer", 5000))
    ensemble.submit("a", 1)

    ensemble.run(Settings().lease_ms)

    (failed,) = ensemble.noticed("a", RequestFailed)
    assert type(failed.error) is OutcomeUnknown
    assert ensemble.nodes["a"].log.certified.index == 2
    assert ensemble.now_ms - began_ms <= Settings().lease_ms

    ensemble.take("a", DeadlineReached())
    ensemble.resume("b")
    ensemble.run(500)
    assert ensemble.leaders in (["a"], ["b"])
    assert all(node.log.certified.index >= 2 for node in ensemble.nodes.values())
