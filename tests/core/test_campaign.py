"""From a designation to an established leadership (rules 5.3.0 to 5.3.5)."""

from __future__ import annotations

import pytest

from conductor.core.effects import (
    CampaignEnded,
    LeadershipChanged,
    RaisePromise,
)
from conductor.core.events import PeerConnected, PeerDied
from conductor.core.log import Log
from conductor.core.machine import Role
from conductor.core.messages import (
    AppendRefusal,
    FetchAnswer,
    FetchRequest,
    PrePromiseRequest,
    PromiseGrant,
    PromiseRefusal,
    PromiseRequest,
)
from conductor.core.node import EPOCH_STEP_MAX
from conductor.core.values import (
    Base,
    EntryKind,
    Epoch,
    EpochStart,
    Membership,
    Promise,
    ServerId,
)
from tests.core.builders import (
    a_chain,
    a_genesis,
    a_member,
    a_report,
    an_append,
    beginning,
    key_of,
)
from tests.core.campaigns import (
    answer_fetch,
    campaigning,
    discourage,
    encourage,
    grant,
    refuse,
    reporting,
)
from tests.core.subject import Subject, a_leader, merged, noticed, sent

# 5.3.0: the pre-promise round


def test_a_designated_node_asks_first_and_changes_nothing() -> None:
    """Trap T18: whoever cannot get a quorum must not use up epochs."""
    subject = Subject("a", promise=(4, "c"))

    effects = subject.designate()

    assert [send.to for send in effects.sends] == ["b", "c"]
    assert {request.epoch for request in sent(effects, PrePromiseRequest)} == {5}
    assert not effects.writes
    assert subject.machine.role is Role.CANDIDATE
    assert subject.machine.node.promise == Promise(Epoch(4), key_of("c"))


def test_the_word_that_another_should_lead_starts_nothing() -> None:
    assert not Subject("a").designate("b").sends


def test_a_repeated_designation_starts_no_second_campaign() -> None:
    """It is repeated while it holds."""
    subject = Subject("a")
    subject.designate()

    assert not subject.designate().sends


def test_those_who_have_not_answered_are_asked_again() -> None:
    subject = Subject("a")
    subject.designate()

    again = subject.pass_time(100)

    assert [send.to for send in again.sends] == ["b", "c"]
    assert len({request.nonce for request in subject.sent(PrePromiseRequest)}) == 1


def test_those_who_are_not_willing_yet_are_asked_again() -> None:
    subject = Subject("a")
    subject.designate()
    discourage(subject, "b")

    subject.pass_time(100)
    encourage(subject, "b")

    assert subject.machine.node.promise.epoch == 1


def test_a_node_that_no_quorum_would_promise_gives_up_and_says_why() -> None:
    subject = Subject("a")
    subject.designate()
    discourage(subject, "b")
    discourage(subject, "c")

    (ended,) = noticed(subject.pass_time(2000), CampaignEnded)

    assert ended.reason == "not enough answers in time (b: not now; c: not now)"
    assert subject.machine.role is Role.FOLLOWER
    assert subject.machine.node.promise.epoch == 0


def test_the_candidate_catches_up_before_it_campaigns() -> None:
    """Rule 5.3.0: the promise ends a leadership; the time without one must be short."""
    entries = a_chain([1, 1])
    subject = Subject("a", promise=(1, "c"))
    subject.designate()
    encourage(subject, "b", reporting(entries[1].position))

    assert not subject.sent(PromiseRequest)
    assert subject.sent(FetchRequest, "b")[-1].target == entries[1].position

    answer_fetch(subject, "b", entries)
    subject.sync()

    assert subject.log.last == entries[1].position
    assert {request.epoch for request in subject.sent(PromiseRequest)} == {2}


def test_a_log_of_a_later_epoch_is_caught_up_under_a_promise_to_nobody() -> None:
    """Rule 5.1: the promised epoch is at least that of the last entry."""
    entries = a_chain([7])
    subject = Subject("a")
    subject.designate()
    encourage(subject, "b", reporting(entries[0].position), promised=7)
    asked = subject.sent(FetchRequest, "b")[-1]

    effects = subject.hear("b", FetchAnswer(asked.nonce, entries))

    (write,) = effects.writes
    promises = [each for each in write.operations if isinstance(each, RaisePromise)]
    assert promises == [
        RaisePromise(Promise(Epoch(7), None)),
        RaisePromise(Promise(Epoch(8), key_of("a"))),
    ]


def test_the_better_log_of_one_who_would_not_promise_counts_as_well() -> None:
    """Rule 5.3.3: among all answers in hand."""
    entries = a_chain([1, 1])
    subject = Subject("a", promise=(1, "c"))
    subject.designate()
    discourage(subject, "c", reporting(entries[1].position))
    encourage(subject, "b")

    assert [request.target for request in subject.sent(FetchRequest, "c")] == [entries[1].position]


def test_a_node_that_hears_a_healthy_leader_does_not_campaign() -> None:
    """Rule 5.3.2 and section 6: a designation alone never breaks the loyalty to a leader."""
    subject = Subject("a")
    subject.hear("b", an_append())
    subject.sync()

    assert not subject.designate().sends

    subject.hear("b", an_append(sequence=2, fit=False))
    assert subject.designate().sends


def test_a_nonvoter_does_not_campaign() -> None:
    members = (a_member("a", voter=False), *(a_member(name) for name in "bcd"))
    subject = Subject("a", log=Log(Base(beginning(), Membership(members, 0))))

    assert not subject.designate().sends


# 5.3.1: the epoch, and the own promise


def test_the_epoch_is_above_every_epoch_that_was_ever_seen() -> None:
    subject = Subject("a", promise=(3, "c"))
    subject.designate()
    encourage(subject, "b", promised=8)

    assert subject.machine.node.promise == Promise(Epoch(9), key_of("a"))


@pytest.mark.parametrize(("above", "epoch"), [(0, 4 + EPOCH_STEP_MAX), (1, 4)])
def test_an_epoch_beyond_one_step_is_not_heeded(above: int, epoch: int) -> None:
    subject = Subject("a", promise=(3, "c"))
    subject.designate()
    encourage(subject, "b", promised=3 + EPOCH_STEP_MAX + above)

    assert subject.machine.node.promise.epoch == epoch


def test_nobody_is_asked_before_the_own_promise_is_durable() -> None:
    """Trap T2: after a crash it would campaign in that epoch a second time."""
    subject = Subject("a")
    subject.designate()
    encourage(subject, "b")

    assert subject.machine.node.promise.epoch == 1
    assert not subject.sent(PromiseRequest)
    subject.pass_time(900, sync=False)
    assert not subject.sent(PromiseRequest)

    subject.sync()
    assert [request.epoch for request in subject.sent(PromiseRequest)] == [1, 1]


def test_a_restarted_node_never_leads_in_an_epoch_that_it_promised_itself() -> None:
    """Rule 5.3.1: it does not know what it has sent in it."""
    subject = Subject("a", promise=(4, "a"))

    assert subject.machine.role is Role.FOLLOWER
    subject.designate()
    encourage(subject, "b")

    assert subject.machine.node.promise.epoch == 5


def test_each_campaign_has_an_epoch_and_a_nonce_of_its_own() -> None:
    subject = campaigning()
    refuse(subject, "b")
    refuse(subject, "c")
    first = subject.sent(PromiseRequest)[-1]
    subject.designate()
    encourage(subject, "b")
    subject.sync()
    second = subject.sent(PromiseRequest)[-1]

    assert second.epoch > first.epoch
    assert second.nonce != first.nonce


def test_when_the_epochs_are_used_up_a_campaign_ends_in_words() -> None:
    """Promise 7: a migrated term may be the highest number there is."""
    subject = Subject("a", promise=(2**64 - 1, ""))

    effects = subject.designate()

    assert not effects.sends
    (ended,) = noticed(effects, CampaignEnded)
    assert "no epoch is left" in ended.reason
    assert subject.machine.role is Role.FOLLOWER


# 5.3.3: a quorum of promises


def test_promises_of_a_quorum_make_a_leader() -> None:
    subject = campaigning(5)
    grant(subject, "b")
    assert subject.machine.role is Role.CANDIDATE

    grant(subject, "e")

    assert subject.machine.leadership is not None


def test_one_voter_counts_once() -> None:
    subject = campaigning(5)
    grant(subject, "b")
    grant(subject, "b")

    assert subject.machine.role is Role.CANDIDATE


def test_promises_of_nonvoters_and_strangers_do_not_count() -> None:
    members = (*(a_member(name) for name in "abc"), a_member("d", voter=False))
    subject = campaigning(log=Log(Base(beginning(), Membership(members, 0))))
    asked = subject.sent(PromiseRequest)[-1]

    for key in (key_of("d"), key_of("g"), key_of("b", "made anew")):
        subject.hear(key, PromiseGrant(asked.epoch, asked.nonce, a_report(subject.log)))
    assert subject.machine.role is Role.CANDIDATE

    grant(subject, "b")
    assert subject.machine.leadership is not None


def test_nonvoters_are_asked_for_what_they_know() -> None:
    """Rule 5.3.3: the best log among all answers, voter or not."""
    entries = a_chain([1])
    members = (*(a_member(name) for name in "abc"), a_member("d", voter=False))
    subject = campaigning(log=Log(Base(beginning(), Membership(members, 0))), promise=1)

    grant(subject, "d", reporting(entries[0].position))
    grant(subject, "b")

    assert subject.sent(FetchRequest, "d")[-1].target == entries[0].position
    assert subject.machine.leadership is None


@pytest.mark.parametrize(("epoch", "nonce"), [(0, 0), (1, 0), (0, 1)])
def test_a_promise_for_another_campaign_does_not_count(epoch: int, nonce: int) -> None:
    subject = campaigning()
    asked = subject.sent(PromiseRequest)[-1]

    subject.hear(
        "b",
        PromiseGrant(
            Epoch(asked.epoch - 1 + epoch), asked.nonce - 1 + nonce, a_report(subject.log)
        ),
    )

    assert subject.machine.role is Role.CANDIDATE


def test_a_lost_request_or_answer_is_asked_for_again() -> None:
    subject = campaigning()

    again = subject.pass_time(500)

    requests = sent(again, PromiseRequest)
    assert len(requests) == 2
    assert requests[0] == subject.sent(PromiseRequest)[0]


def test_those_who_refused_are_not_asked_again() -> None:
    subject = campaigning(5)
    refuse(subject, "b")

    again = subject.pass_time(500)

    assert [send.to for send in again.sends] == ["c", "d", "e"]


def test_a_campaign_without_a_possible_quorum_ends_at_once() -> None:
    subject = campaigning()
    refuse(subject, "b", reason="busy")
    assert subject.machine.campaign is not None

    refuse(subject, "c", reason="away")

    assert noticed(subject.history[-1], CampaignEnded) == [
        CampaignEnded(Epoch(1), "no quorum would promise (b: busy; c: away)")
    ]
    assert subject.machine.role is Role.FOLLOWER


def test_a_refusal_of_an_earlier_campaign_ends_nothing() -> None:
    """It may come from before a restart, with the same nonce."""
    subject = campaigning(promise=5)
    nonce = subject.nonce

    for name in "bc":
        subject.hear(name, PromiseRefusal(Epoch(3), nonce, Epoch(3), "late"))

    assert subject.machine.role is Role.CANDIDATE


def test_a_dead_voter_is_not_waited_for() -> None:
    subject = campaigning()
    subject.take(PeerDied(ServerId("c")))
    refuse(subject, "b")

    assert subject.machine.role is Role.FOLLOWER


def test_a_voter_that_has_come_back_is_waited_for() -> None:
    subject = campaigning()
    subject.take(PeerDied(ServerId("c")))
    subject.take(PeerConnected(ServerId("c")))
    refuse(subject, "b")

    assert subject.machine.role is Role.CANDIDATE


def test_a_refusal_teaches_the_next_campaign_a_higher_epoch() -> None:
    """Trap T24: who was too low must not stay too low."""
    subject = campaigning()
    refuse(subject, "b", promised=6)
    refuse(subject, "c", promised=4)
    subject.designate()
    encourage(subject, "b")

    assert subject.machine.node.promise.epoch == 7


def test_a_campaign_gives_up_in_time() -> None:
    subject = campaigning()

    (ended,) = noticed(subject.pass_time(2000), CampaignEnded)

    assert ended == CampaignEnded(Epoch(1), "not enough answers in time")


def test_an_append_of_another_leader_ends_the_campaign() -> None:
    subject = campaigning()

    subject.hear("b", an_append(epoch=1))

    assert subject.machine.role is Role.FOLLOWER


def test_late_promises_after_the_campaign_are_harmless() -> None:
    subject = campaigning()
    subject.hear("b", an_append(epoch=1))

    grant(subject, "c")

    assert subject.machine.role is Role.FOLLOWER


# 5.3.4: the epoch start


def test_a_leader_is_not_established_before_its_epoch_start_is_certified() -> None:
    """Rule 5.3.4: then, and only then, does it answer that it leads."""
    subject = Subject("a")
    subject.win()
    (entry,) = subject.log.entries
    assert entry.kind is EntryKind.EPOCH_START
    assert EpochStart.from_bytes(entry.control) == EpochStart(key_of("a"), "a test")
    assert not subject.machine.is_established
    assert subject.machine.known_leader is None

    effects = subject.acknowledge("b")

    assert subject.machine.is_established
    assert noticed(effects, LeadershipChanged) == [
        LeadershipChanged(Epoch(1), ServerId("a"), "a test")
    ]


def test_a_leader_that_is_not_established_in_time_steps_down() -> None:
    """Rule 5.3.5: heard by all, certified by none."""
    subject = Subject("a")
    subject.win()

    subject.pass_time(2000, heard_by="bc")

    assert subject.machine.role is Role.FOLLOWER


def test_a_lone_voter_leads_alone_once_its_disk_is_done() -> None:
    subject = Subject("a", genesis=a_genesis(1))

    subject.designate()
    assert not subject.machine.is_established
    subject.sync()

    assert subject.machine.is_established
    assert subject.log.certified.index == 1


def test_two_voters_need_each_other() -> None:
    subject = Subject("a", genesis=a_genesis(2))
    subject.designate()
    subject.sync()
    assert subject.machine.leadership is None

    merged([subject.be_encouraged(), subject.sync(), subject.be_promised(), subject.sync()])
    assert not subject.machine.is_established

    subject.acknowledge("b")
    assert subject.machine.is_established


def test_a_candidate_that_loses_its_epoch_while_it_waits_for_the_disk_does_not_lead() -> None:
    entries = a_chain([1])
    subject = campaigning(promise=1)
    grant(subject, "b", reporting(entries[0].position))
    answer_fetch(subject, "b", entries)
    subject.hear("c", an_append(epoch=3))

    subject.sync()

    assert subject.machine.leadership is None


def test_a_leader_ignores_designations() -> None:
    subject = a_leader()

    assert not subject.designate().sends
    assert subject.machine.is_established


def test_an_unheeded_refusal_deposes_nobody() -> None:
    """One member with an absurd promise must not depose leader after leader."""
    subject = a_leader()

    subject.hear("b", AppendRefusal(Epoch(1), 1, Epoch(5 + EPOCH_STEP_MAX)))

    assert subject.machine.is_established
