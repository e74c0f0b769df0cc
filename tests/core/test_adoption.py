"""The best log is taken over, whole and durable, before anything is written (rule 5.3.3)."""

from __future__ import annotations

import pytest

from conductor.core.effects import (
    AppendEntries,
    InstallWindow,
    Truncate,
)
from conductor.core.events import PeerDied
from conductor.core.messages import (
    Append,
    FetchAnswer,
    FetchRequest,
    LogReport,
    PromiseGrant,
    PromiseRequest,
)
from conductor.core.values import (
    Entry,
    Epoch,
    Index,
    Position,
    Promise,
    ServerId,
)
from conductor.errors import InvariantViolation
from tests.core.builders import (
    a_base,
    a_certificate,
    a_chain,
    a_genesis,
    a_log,
    a_report,
    beginning,
    elsewhere,
    key_of,
)
from tests.core.campaigns import (
    answer_fetch,
    campaigning,
    encourage,
    grant,
    reporting,
)
from tests.core.subject import Subject, sent, written

# 5.3.3: the best log


@pytest.mark.parametrize(
    ("b", "c", "best"),
    [([1] * 9, [2], "c"), ([2], [1] * 9, "b"), ([1], [1, 1], "c"), ([1, 3], [2, 2, 2], "b")],
    ids=["newer, not longer", "newer, not longer, first", "longer of one epoch", "last epoch"],
)
def test_the_best_log_is_the_newest_then_the_longest(b: list[int], c: list[int], best: str) -> None:
    """Trap T6: a long log of a past leadership must not win over a short newer one."""
    chains = {"b": a_chain(b, branch="b" if b[0] != c[0] else ""), "c": a_chain(c, branch="")}
    subject = campaigning(5, promise=3)

    for name, chain in chains.items():
        grant(subject, name, reporting(chain[-1].position))

    request = subject.sent(FetchRequest)[-1]
    assert request.target == chains[best][-1].position
    assert len(subject.sent(FetchRequest, best)) == 1


def test_different_logs_of_equal_rank_stop_the_node() -> None:
    """They cannot be unless a promise was broken."""
    subject = campaigning(5, promise=3)
    grant(subject, "b", reporting(elsewhere(2, epoch=3)))

    with pytest.raises(InvariantViolation, match="different logs of equal rank"):
        grant(subject, "c", reporting(Position(Index(2), Epoch(3), elsewhere(9).digest)))


def test_nothing_is_written_in_the_epoch_before_the_best_log_is_durable() -> None:
    """Trap T7: a leader on a tail that a crash takes away."""
    entries = a_chain([1, 1])
    subject = campaigning(promise=1)
    grant(subject, "b", reporting(entries[1].position))

    answer_fetch(subject, "b", entries)

    assert subject.machine.leadership is None
    assert not subject.sent(Append)

    effects = subject.sync_one()
    assert subject.machine.leadership is not None
    (start,) = written(effects, AppendEntries)
    assert start.entries[0].previous_digest == entries[1].digest
    assert (start.entries[0].index, start.entries[0].epoch) == (3, 2)


def test_the_log_is_fetched_from_the_certified_position_in_batches() -> None:
    entries = a_chain([1] * 6)
    subject = campaigning(log=a_log(entries[:3], certified=2), promise=1)
    grant(subject, "b", reporting(entries[5].position))

    assert subject.sent(FetchRequest)[-1].after == 2
    answer_fetch(subject, "b", entries[2:4])
    assert subject.sent(FetchRequest)[-1].after == 4
    answer_fetch(subject, "b", entries[4:])
    subject.sync()

    assert subject.machine.leadership is not None
    assert subject.log.entry(Index(6)) == entries[5]


def test_the_own_log_is_cut_only_at_the_first_entry_that_differs() -> None:
    """Rule 5.3.3: what was acknowledged may be certified, and must not be missing for a moment."""
    common = a_chain([1, 1, 1])
    ours = (*common, *a_chain([1], common[2].position, branch="ours"))
    theirs = (*common, *a_chain([2], common[2].position, branch="theirs"))
    subject = campaigning(log=a_log(ours), promise=2)
    grant(subject, "b", reporting(theirs[3].position))
    asked = subject.sent(FetchRequest, "b")[-1]

    effects = subject.hear("b", FetchAnswer(asked.nonce, theirs))

    assert written(effects, Truncate) == [Truncate(Index(3))]
    assert written(effects, AppendEntries) == [AppendEntries(theirs[3:])]


def test_an_own_log_that_is_the_best_is_kept_whole() -> None:
    entries = a_chain([1, 1])
    subject = campaigning(log=a_log(entries), promise=1)

    grant(subject, "b", reporting(entries[0].position))

    assert subject.machine.leadership is not None
    assert subject.log.entry(Index(2)) == entries[1]


def test_a_better_answer_that_comes_late_is_heeded_until_the_leadership_begins() -> None:
    entries = a_chain([1, 1])
    subject = campaigning(5, promise=1)
    grant(subject, "b", reporting(entries[0].position))
    grant(subject, "c")
    grant(subject, "d", reporting(entries[1].position))
    answer_fetch(subject, "b", entries[:1])

    assert subject.machine.leadership is None
    assert subject.sent(FetchRequest, "d")[-1].target == entries[1].position


def test_a_better_answer_is_heeded_also_while_the_disk_is_busy_with_the_one_before() -> None:
    entries = a_chain([1, 1])
    subject = campaigning(5, promise=1)
    grant(subject, "b", reporting(entries[0].position))
    grant(subject, "c")
    answer_fetch(subject, "b", entries[:1])
    grant(subject, "d", reporting(entries[1].position))

    subject.sync()

    assert subject.machine.leadership is None
    assert subject.sent(FetchRequest, "d")[-1].target == entries[1].position


def test_the_better_log_of_a_stranger_or_of_a_renewed_store_is_none() -> None:
    """Answers are taken from members, in the incarnation that the membership names."""
    entries = a_chain([1, 1])
    subject = campaigning(5, promise=1)
    asked = subject.sent(PromiseRequest)[-1]
    better = PromiseGrant(asked.epoch, asked.nonce, reporting(entries[1].position))
    for key in (key_of("g"), key_of("e", "made anew")):
        subject.hear(key, better)

    for name in "bc":
        grant(subject, name)

    assert subject.machine.leadership is not None
    assert not subject.sent(FetchRequest)


def test_nobody_leads_on_a_log_of_a_later_epoch_than_its_own() -> None:
    """Whoever granted that broke its promise; what it sent is kept, and the campaign fails."""
    entries = a_chain([7])
    subject = campaigning(promise=1)
    grant(subject, "b", reporting(entries[0].position))
    answer_fetch(subject, "b", entries)
    subject.sync()

    assert subject.machine.leadership is None
    assert subject.machine.node.promise == Promise(Epoch(7), None)


def test_a_fetch_is_repeated_until_it_is_answered() -> None:
    entries = a_chain([1])
    subject = campaigning(promise=1)
    grant(subject, "b", reporting(entries[0].position))

    again = subject.pass_time(500)

    assert sent(again, FetchRequest, "b") == subject.sent(FetchRequest, "b")[:1]


def test_an_answer_that_comes_twice_is_taken_once() -> None:
    entries = a_chain([1] * 4)
    subject = campaigning(promise=1)
    grant(subject, "b", reporting(entries[3].position))
    answer_fetch(subject, "b", entries[:2])
    before = len(subject.sent(FetchRequest))

    answer_fetch(subject, "b", entries[:2])

    assert len(subject.sent(FetchRequest)) == before


def test_an_answer_of_somebody_else_or_to_another_question_is_not_taken() -> None:
    entries = a_chain([1])
    subject = campaigning(promise=1)
    grant(subject, "b", reporting(entries[0].position))
    nonce = subject.sent(FetchRequest, "b")[-1].nonce

    subject.hear("c", FetchAnswer(nonce, entries))
    subject.hear("b", FetchAnswer(nonce + 1, entries))

    assert subject.log.last == beginning()


BAD_ANSWERS = {
    "the target is gone": (),
    "beyond the target": a_chain([1, 1, 1]),
    "another log": a_chain([1, 1], branch="x"),
    "a gap": a_chain([1, 1])[1:],
    "an epoch above the target's": a_chain([1, 2]),
}


@pytest.mark.parametrize("entries", BAD_ANSWERS.values(), ids=list(BAD_ANSWERS))
def test_a_source_that_does_not_lead_to_the_target_is_given_up(entries: tuple[Entry, ...]) -> None:
    """Rule 5.3.3: the remaining answers are judged afresh if they are still a quorum."""
    target = a_chain([1, 1])[1].position
    subject = campaigning(promise=1)
    grant(subject, "b", reporting(target))
    answer_fetch(subject, "b", entries)
    subject.sync()
    assert subject.machine.leadership is None

    if subject.machine.campaign is not None:
        grant(subject, "c", a_report(subject.log))
        subject.sync()
    assert subject.machine.leadership is not None


def test_a_source_that_died_is_given_up_at_once() -> None:
    subject = campaigning(5, promise=1)
    grant(subject, "b", reporting(a_chain([1])[0].position))
    grant(subject, "c")
    grant(subject, "d")

    subject.take(PeerDied(ServerId("b")))

    assert subject.machine.leadership is not None
    assert subject.log.entry(Index(1)) is not None
    assert subject.log.entry(Index(1)) == subject.log.entries[0]


def test_without_its_source_the_grants_must_still_be_a_quorum() -> None:
    """The best log is gone, and with it the promise that came with it."""
    subject = campaigning(5, promise=1)
    grant(subject, "b", reporting(a_chain([1])[0].position))
    grant(subject, "c")

    subject.take(PeerDied(ServerId("b")))
    assert subject.machine.leadership is None

    grant(subject, "d")
    assert subject.machine.leadership is not None


def test_a_silent_source_is_given_up_in_time() -> None:
    subject = campaigning(5, promise=1)
    grant(subject, "b", reporting(a_chain([1])[0].position))
    grant(subject, "c")
    grant(subject, "d")

    subject.pass_time(2000)

    assert subject.machine.leadership is not None


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [([1, 1, 1], [1, 2, 2, 3]), ([1, 3, 3], [1, 2, 2, 4])],
    ids=["it rose above the own report", "it fell below the own report"],
)
def test_a_source_lost_half_way_leaves_a_campaign_that_goes_on(
    ours: list[int], theirs: list[int]
) -> None:
    """What was fetched so far is the candidate's own log now, and is judged as such."""
    own = a_chain(ours, branch="ours")
    best = (own[0], *a_chain(theirs[1:], own[0].position, branch="theirs"))
    base = a_base(genesis=a_genesis(5))
    subject = campaigning(5, log=a_log(own, base=base), promise=4)
    grant(subject, "b", reporting(best[3].position))
    for name in "cd":
        grant(subject, name, reporting(own[0].position))
    answer_fetch(subject, "b", best[:3])
    assert subject.log.last == best[2].position

    subject.take(PeerDied(ServerId("b")))
    subject.sync()

    assert subject.machine.leadership is not None
    assert not subject.sent(FetchRequest, "a")
    start = subject.log.entry(Index(4))
    assert start is not None
    assert start.previous_digest == best[2].digest


def test_a_candidate_behind_the_sources_window_takes_its_base() -> None:
    entries = a_chain([1] * 8)
    subject = campaigning(promise=1)
    grant(subject, "b", LogReport(entries[7].position, entries[5].position, Index(3)))
    asked = subject.sent(FetchRequest, "b")[-1]

    effects = subject.hear(
        "b",
        FetchAnswer(
            asked.nonce, entries[3:6], a_base(entries[2].position), a_certificate(entries[5])
        ),
    )
    assert len(written(effects, InstallWindow)) == 1
    assert subject.sent(FetchRequest, "b")[-1].after == 6
    answer_fetch(subject, "b", entries[6:])
    subject.sync()

    assert subject.machine.leadership is not None
    assert subject.log.base.position == entries[2].position
    assert subject.log.certified == entries[5].position


def test_a_base_that_comes_twice_does_not_set_the_fetching_back() -> None:
    entries = a_chain([1] * 8)
    subject = campaigning(promise=1)
    grant(subject, "b", LogReport(entries[7].position, entries[5].position, Index(3)))
    asked = subject.sent(FetchRequest, "b")[-1]
    answer = FetchAnswer(
        asked.nonce, entries[3:6], a_base(entries[2].position), a_certificate(entries[5])
    )
    subject.hear("b", answer)
    answer_fetch(subject, "b", entries[6:7])

    again = subject.hear("b", answer)

    assert not sent(again, FetchRequest)


def test_an_answer_from_before_a_restart_is_not_taken() -> None:
    """It was asked for a log that the node did not have then, and may have acknowledged since."""
    stale = a_chain([1, 1], branch="x")
    before = campaigning(promise=1)
    grant(before, "b", reporting(stale[1].position))
    asked_before = before.sent(FetchRequest, "b")[-1]

    ours = a_chain([2, 2])
    after = Subject("a", log=a_log(ours), promise=(2, "c"))
    after.now_ms = before.now_ms + 1
    after.designate()
    encourage(after, "b", reporting(a_chain([2, 2, 2])[2].position))
    after.hear("b", FetchAnswer(asked_before.nonce, stale))

    assert after.log.last == ours[1].position
