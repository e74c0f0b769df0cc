"""Stories in which replicated logs are known to go wrong, each played by whole machines.

The single rules have their tests elsewhere; here it is shown that together they hold.
"""

from __future__ import annotations

from itertools import combinations, permutations

import pytest

from conductor.core.effects import (
    CommitCertified,
    HandOverDone,
    LeadershipChanged,
    ReadReady,
    RequestFailed,
)
from conductor.core.events import HandOverRequested, PeerDied, ReadRequested
from conductor.core.machine import Role
from conductor.core.node import Settings
from conductor.core.values import EntryKind, ServerId
from conductor.errors import LeadershipLost, NotLeader
from tests.core.builders import NAMES, a_block
from tests.core.ensemble import Ensemble, led_by


def heights(ensemble: Ensemble, name: str) -> list[int]:
    """The heights of a node's payloads, in log order."""
    return [entry.block.height for entry in ensemble.nodes[name].log.entries if entry.block]


def hashes(ensemble: Ensemble, name: str) -> list[bytes]:
    """The hashes of a node's blocks, in log order."""
    return [entry.block.block_hash for entry in ensemble.nodes[name].log.entries if entry.block]


def certified_height(ensemble: Ensemble, name: str) -> int:
    """The height of the newest payload that a node knows to be certified; 0 without one."""
    entry = ensemble.nodes[name].log.certified_payload
    return entry.block.height if entry and entry.block else 0


# Trap T1


def test_figure_eight_of_the_raft_paper() -> None:
    """Trap T1: an old block on a majority is replaced, and so must not have been certified."""
    ensemble = led_by("a", 5, Settings(batch_bytes_max=1))
    a, e = ensemble.nodes["a"], ensemble.nodes["e"]

    ensemble.cuts = {("a", name) for name in "cde"}  # (a) a's block reaches b, and nobody else.
    ensemble.submit("a", 1)
    ensemble.settle()
    ensemble.isolate("a", "b")
    ensemble.run(2000)

    ensemble.designate("e", "e")  # (b) e leads, and writes something that reaches nobody.
    ensemble.settle_until(lambda: e.machine.leadership is not None)
    ensemble.isolate("e")
    ensemble.run(2000)
    assert e.log.last.epoch == 2

    ensemble.designate("a", "a")  # (c) a leads again, and gets its old block onto c, but no more.
    ensemble.settle_until(lambda: heights(ensemble, "c") == [1])
    ensemble.cuts = {("a", name) for name in "bcde"} | {("e", name) for name in "abcd"}
    ensemble.settle()
    assert [name for name in ensemble.nodes if heights(ensemble, name) == [1]] == ["a", "b", "c"]
    assert a.machine.leadership is not None
    assert certified_height(ensemble, "a") == 0

    ensemble.isolate("a", "b")  # (d) e leads with the promises of c and d: the block is gone.
    ensemble.run(2000)
    ensemble.designate("e", "e")
    ensemble.settle()
    assert ensemble.leaders == ["e"]
    assert heights(ensemble, "c") == []

    ensemble.cuts.clear()
    ensemble.run(2500)
    assert {node.log.last for node in ensemble.nodes.values()} == {e.log.last}
    assert heights(ensemble, "a") == []


# Trap T3


@pytest.mark.parametrize("count", [2, 3, 5])
def test_two_candidates_of_one_moment_never_share_an_epoch(count: int) -> None:
    """Trap T3: two managers name two servers in one tick, again and again."""
    ensemble = Ensemble(count)
    leaderships: set[tuple[int, str]] = set()
    for _ in range(30):
        for name in "ab":
            ensemble.designate(name, name)
        ensemble.run(150)
        for name, node in ensemble.nodes.items():
            if node.machine.leadership is not None:
                leaderships.add((node.machine.leadership.epoch, name))

    epochs = [epoch for epoch, _ in leaderships]
    assert len(epochs) == len(set(epochs))
    if count > 2:  # Two that always start together need their managers' ranks to get anywhere.
        assert len(ensemble.leaders) == 1


# Trap T5


def test_a_late_certificate_is_in_the_log_of_every_later_leader() -> None:
    """Trap T5: acknowledgements sent before the promises arrive after the failover."""
    ensemble = led_by("a")
    ensemble.delayed = {("b", "a"), ("c", "a")}
    ensemble.submit("a", 1)
    ensemble.settle()
    assert certified_height(ensemble, "a") == 0

    ensemble.cuts = {("a", "b"), ("a", "c"), ("b", "a"), ("c", "a")}
    for name in "bc":
        ensemble.take(name, PeerDied(ServerId("a")))
    ensemble.designate("c", "c")
    ensemble.settle()
    assert ensemble.leaders == ["a", "c"]
    assert heights(ensemble, "c") == [1]

    ensemble.cuts.clear()
    ensemble.undelay()
    ensemble.settle_until(lambda: certified_height(ensemble, "a") == 1)
    assert [each.request_id for each in ensemble.noticed("a", CommitCertified)] == [1]
    assert certified_height(ensemble, "c") == 1


# Trap T6


def test_the_log_that_is_led_on_is_that_of_one_member_and_the_newest() -> None:
    """Trap T6: b has a long tail of a past leadership, c a short one of a later."""
    ensemble = led_by("b", 5)
    ensemble.isolate("b")
    for height in range(1, 6):
        ensemble.submit("b", height)
    ensemble.run(2000)
    ensemble.designate("c", "c")
    ensemble.settle()
    assert ensemble.leaders == ["c"]
    ensemble.isolate("c")
    ensemble.submit("c", 1, "x")
    ensemble.run(2000)

    ensemble.isolate("d", "e")
    ensemble.designate("a", "a")
    ensemble.run(2500)

    assert ensemble.leaders == ["a"]
    for name in "abc":
        assert hashes(ensemble, name) == [a_block(1, "x").block_hash]


# Traps T13, T14, H10


def test_a_paused_leader_neither_answers_nor_certifies_when_it_goes_on() -> None:
    """Traps T13 and H10: the holder of a lock that has expired wakes up and acts."""
    ensemble = led_by("a")
    ensemble.submit("a", 1)
    ensemble.settle()
    ensemble.stopped.add("a")
    ensemble.run(3000)
    ensemble.designate("b", "b")
    ensemble.submit("b", 2)
    ensemble.settle()
    ensemble.submit("b", 2)
    ensemble.settle()
    assert certified_height(ensemble, "b") == 2

    ensemble.stopped.discard("a")
    ensemble.take("a", ReadRequested(50))
    ensemble.submit("a", 2, "x")
    ensemble.resume("a")
    ensemble.run(500)

    assert not ensemble.noticed("a", ReadReady)
    failed = {each.request_id: each.error for each in ensemble.noticed("a", RequestFailed)}
    assert isinstance(failed[50], NotLeader)
    assert isinstance(failed[2], NotLeader)
    assert ensemble.leaders == ["b"]
    assert hashes(ensemble, "a") == hashes(ensemble, "b")


# Trap T16


def test_a_member_whose_disk_stood_still_catches_up() -> None:
    """Trap T16: the stream to it is alive, and must replicate again."""
    ensemble = led_by("a")
    ensemble.stuck_disks.add("c")
    for height in range(1, 101):
        ensemble.submit("a", height)
        ensemble.run(200)
    assert certified_height(ensemble, "a") == 100

    ensemble.stuck_disks.clear()
    ensemble.run(5000)

    assert ensemble.nodes["c"].log.last == ensemble.nodes["a"].log.last
    assert ensemble.nodes["c"].log.certified == ensemble.nodes["a"].log.certified


def test_a_member_that_was_away_for_longer_than_the_window_catches_up() -> None:
    """Traps T15 and T16."""
    ensemble = led_by("a", settings=Settings(retain_payloads=10))
    ensemble.isolate("c")
    for height in range(1, 101):
        ensemble.submit("a", height)
        ensemble.run(200)
    assert ensemble.nodes["a"].log.base.position.index > 80

    ensemble.cuts.clear()
    ensemble.run(3000)

    assert ensemble.nodes["c"].log.certified == ensemble.nodes["a"].log.certified
    assert ensemble.nodes["c"].machine.known_leader == ensemble.nodes["a"].machine.known_leader


# Trap T18

LINKS_OF_THREE = tuple(permutations("abc", 2))
SUBSETS = [
    frozenset(subset)
    for size in range(len(LINKS_OF_THREE) + 1)
    for subset in combinations(LINKS_OF_THREE, size)
]


def test_a_leader_that_a_majority_hears_and_answers_stays_whatever_else_is_cut() -> None:
    """Trap T18, all 64 sets of directed links of three: others are named all the time.

    A leader that nobody hears both ways says no longer than its lease that it leads.
    """
    for cuts in SUBSETS:
        ensemble = led_by("a")
        ensemble.cuts = set(cuts)
        has_majority = any(not {("a", other), (other, "a")} & cuts for other in "bc")
        for _ in range(8):
            for name in "bc":
                ensemble.designate(name, name)
            ensemble.run(250)

        assert (ensemble.nodes["a"].machine.role is Role.LEADER) == has_majority, cuts
        if has_majority:
            assert ensemble.leaders == ["a"], cuts
            assert {node.machine.node.promise.epoch for node in ensemble.nodes.values()} <= {0, 1}


# Trap T20


def test_a_transfer_under_load_answers_every_commit_and_loses_none() -> None:
    """Trap T20."""
    ensemble = led_by("a")
    for height in range(1, 6):
        ensemble.submit("a", height)
    ensemble.take("a", HandOverRequested(99, ServerId("c"), "transfer", 5000))
    for height in range(6, 9):
        ensemble.submit("a", height)
    ensemble.run(300)

    assert ensemble.leaders == ["c"]
    assert [each.leader_id for each in ensemble.noticed("a", HandOverDone)] == ["c"]
    certified = [each.request_id for each in ensemble.noticed("a", CommitCertified)]
    refused = [each.request_id for each in ensemble.noticed("a", RequestFailed)]
    assert certified == [1, 2, 3, 4, 5]
    assert refused == [6, 7, 8]
    assert heights(ensemble, "c") == [1, 2, 3, 4, 5]


def test_a_transfer_back_and_forth_does_not_wait() -> None:
    """Trap T19: nobody waits out the loyalty to the leader before, nor to the candidate before."""
    ensemble = led_by("a")
    for number, (name, target) in enumerate([("a", "b"), ("b", "c"), ("c", "a"), ("a", "c")]):
        ensemble.take(name, HandOverRequested(number + 1, ServerId(target), "transfer", 5000))
        ensemble.run(50)

        assert ensemble.leaders == [target]


@pytest.mark.parametrize("dies_after", range(1, 12))
def test_a_target_that_dies_at_any_moment_leaves_a_leader(dies_after: int) -> None:
    """Trap T20: both would refuse, or nobody would try."""
    ensemble = led_by("a")
    ensemble.take("a", HandOverRequested(9, ServerId("b"), "transfer", 5000))
    for _ in range(dies_after):
        ensemble.do_one_thing()
    ensemble.isolate("b")
    ensemble.stopped.add("b")
    for name in "ac":
        ensemble.take(name, PeerDied(ServerId("b")))
    ensemble.run(1000)
    for name in "ac":
        ensemble.designate(name, name)
    ensemble.run(1500)

    (leader,) = [name for name in ensemble.leaders if name != "b"]
    ensemble.submit(leader, 1)
    ensemble.settle()
    assert certified_height(ensemble, leader) == 1


# Traps T24, H13, H14


@pytest.mark.parametrize("count", [3, 5, 7])
def test_candidates_that_start_by_rank_need_one_epoch(count: int) -> None:
    """Traps T24 and H14: everybody sees the leader die in one moment, and is named by rank."""
    ensemble = led_by("a", count)
    ensemble.run(3000)
    ensemble.isolate("a")
    ensemble.stopped.add("a")
    others = NAMES[1:count]
    for name in others:
        ensemble.take(name, PeerDied(ServerId("a")))
    for name in others:
        ensemble.designate(name, name)
        ensemble.run(150)

    assert [name for name in ensemble.leaders if name != "a"] == ["b"]
    assert {ensemble.nodes[name].machine.node.promise.epoch for name in others} == {2}


def test_two_static_managers_that_disagree_do_not_take_the_leadership_from_each_other() -> None:
    """Trap H13: each names its own server for ever; the promise decides."""
    ensemble = Ensemble(3)
    for _ in range(200):
        for name in "ab":
            ensemble.designate(name, name)
        ensemble.run(50)

    ensemble.designate("c", "c")
    changes = [
        each
        for name in ensemble.nodes
        for each in ensemble.noticed(name, LeadershipChanged)
        if each.leader_id == name
    ]
    assert len(changes) == 1
    assert ensemble.leaders == [changes[0].leader_id]


# Trap T8


def test_a_payload_of_unknown_outcome_counts_once_with_the_next_leader() -> None:
    """Trap T8: op-node was not answered in time, and sends it again to whoever leads."""
    ensemble = led_by("a")
    ensemble.delayed = {("b", "a"), ("c", "a")}
    ensemble.submit("a", 1)
    ensemble.settle()
    ensemble.isolate("a")
    ensemble.run(3000)
    assert isinstance(ensemble.noticed("a", RequestFailed)[0].error, LeadershipLost)

    ensemble.designate("b", "b")
    ensemble.settle()
    ensemble.submit("b", 1)
    ensemble.settle()

    assert [each.request_id for each in ensemble.noticed("b", CommitCertified)] == [1]
    assert heights(ensemble, "b") == [1]


# Trap T7


@pytest.mark.parametrize("steps", range(0, 24, 2))
def test_a_leadership_cut_short_at_any_moment_loses_nothing_certified(steps: int) -> None:
    """Traps T5 and T7: the leader vanishes at some step of a commit, and another takes over."""
    ensemble = led_by("a")
    ensemble.submit("a", 1)
    for _ in range(steps):
        ensemble.do_one_thing()
    told = bool(ensemble.noticed("a", CommitCertified))
    ensemble.isolate("a")
    ensemble.stopped.add("a")
    ensemble.run(3000)
    ensemble.designate("c", "c")
    ensemble.run(100)

    assert "c" in ensemble.leaders
    if told:
        assert certified_height(ensemble, "c") == 1
    starts = [
        entry for entry in ensemble.nodes["c"].log.entries if entry.kind is EntryKind.EPOCH_START
    ]
    assert [entry.epoch for entry in starts] == [1, 2]
