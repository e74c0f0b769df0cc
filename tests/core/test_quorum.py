"""Quorum arithmetic, enumerated: one voter too few here and two leaders certify (trap T25)."""

from __future__ import annotations

from itertools import combinations

import pytest

from conductor.core.quorum import MAJORITY, is_split_brain_safe, quorum_size
from conductor.core.values import Member, Membership
from conductor.errors import ConfigError
from tests.core.builders import NAMES, a_member, key_of


def members(count: int) -> tuple[Member, ...]:
    return tuple(a_member(name) for name in NAMES[:count])


@pytest.mark.parametrize(
    ("voters", "quorum"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)]
)
def test_a_majority_is_more_than_half(voters: int, quorum: int) -> None:
    """Trap T25: two of four is no majority."""
    assert quorum_size(MAJORITY, voters) == quorum


@pytest.mark.parametrize("voters", range(1, 8))
def test_a_threshold_is_taken_as_it_is(voters: int) -> None:
    thresholds = range(1, voters + 1)

    assert [quorum_size(rule, voters) for rule in thresholds] == list(thresholds)


@pytest.mark.parametrize("rule", [-1, 4])
def test_a_threshold_that_does_not_fit_is_refused_with_the_way_out(rule: int) -> None:
    with pytest.raises(ConfigError, match=r"quorum threshold of .* choose 1 to 3"):
        quorum_size(rule, 3)


@pytest.mark.parametrize("count", range(1, 8))
def test_two_quorums_share_a_voter_exactly_when_the_rule_is_called_safe(count: int) -> None:
    """Trap T25, exhaustive: every pair of quorums of every size among one to seven voters."""
    voters = range(count)
    for size in range(1, count + 1):
        quorums = [frozenset(quorum) for quorum in combinations(voters, size)]
        always_meet = all(one & other for one in quorums for other in quorums)

        assert is_split_brain_safe(size, count) == always_meet
    assert is_split_brain_safe(quorum_size(MAJORITY, count), count)


@pytest.mark.parametrize("count", range(1, 8))
def test_a_majority_is_the_smallest_safe_quorum(count: int) -> None:
    size = quorum_size(MAJORITY, count)

    assert not is_split_brain_safe(size - 1, count)


def test_only_enough_voters_are_a_quorum() -> None:
    membership = Membership(members(5), MAJORITY)

    for size in range(6):
        for names in combinations("abcde", size):
            assert membership.is_quorum({key_of(name) for name in names}) == (size >= 3)


def test_a_voter_counts_once_however_often_it_is_named() -> None:
    membership = Membership(members(3), MAJORITY)

    assert not membership.is_quorum([key_of("a"), key_of("a")])


def test_a_nonvoter_and_a_stranger_count_for_nothing() -> None:
    membership = Membership((*members(3), a_member("d", voter=False)), MAJORITY)

    assert membership.quorum == 2
    assert not membership.is_quorum([key_of("a"), key_of("d"), key_of("g")])


def test_another_incarnation_of_a_voter_counts_for_nothing() -> None:
    """Trap T22: a wiped disk has forgotten what it acknowledged."""
    membership = Membership(members(3), MAJORITY)

    assert not membership.is_quorum([key_of("a"), key_of("b", "made anew")])
    assert not membership.has_voter(key_of("b", "made anew"))
    assert not membership.has_member(key_of("b", "made anew"))
    assert membership.member(key_of("b").server_id) == a_member("b")


@pytest.mark.parametrize(("rule", "safe"), [(MAJORITY, True), (1, False), (2, True), (3, True)])
def test_a_membership_says_whether_it_can_split(rule: int, safe: bool) -> None:
    assert Membership(members(3), rule).quorum_safe == safe
