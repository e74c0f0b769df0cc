"""Whom a leader hands over to."""

from __future__ import annotations

import random

from conductor.policy.successor import Candidate, choose_successor

NOW_MS = 1000


def a_candidate(
    name: str, *, serving: bool = True, caught_up: bool = True, held_until_ms: int = 0
) -> Candidate:
    """A voter that is ready to lead, but for what is said otherwise."""
    return Candidate(name, serving, caught_up, held_until_ms)


def chosen(*candidates: Candidate) -> str | None:
    """The choice, which does not depend on the order of the candidates."""
    choices = {
        choose_successor(random.Random(seed).sample(candidates, len(candidates)), NOW_MS)
        for seed in range(8)
    }
    (choice,) = choices
    return choice


def test_first_by_id_is_chosen_like_an_epoch_manager_would() -> None:
    assert chosen(a_candidate("c"), a_candidate("b"), a_candidate("d")) == "b"


def test_nobody_is_chosen_where_nobody_is_fit() -> None:
    """H9: the leader stays."""
    assert chosen() is None
    assert chosen(a_candidate("b", serving=False), a_candidate("c", caught_up=False)) is None


def test_only_serving_and_caught_up_servers_are_chosen() -> None:
    lagging, sick = a_candidate("b", caught_up=False), a_candidate("c", serving=False)
    assert chosen(lagging, sick, a_candidate("d")) == "d"


def test_server_that_failed_lately_comes_last() -> None:
    """H8: it does not get the hot potato back while there is anyone else."""
    failed = a_candidate("b", held_until_ms=NOW_MS + 1)
    assert chosen(failed, a_candidate("c")) == "c"


def test_hold_down_that_is_over_does_not_count() -> None:
    assert chosen(a_candidate("b", held_until_ms=NOW_MS), a_candidate("c")) == "b"


def test_last_one_is_chosen_even_in_its_hold_down() -> None:
    """H8, H9: nobody is ever excluded for good."""
    failed = a_candidate("b", held_until_ms=NOW_MS + 60_000)
    assert chosen(failed, a_candidate("c", serving=False)) == "b"


def test_of_all_held_down_the_soonest_over_is_chosen() -> None:
    early = a_candidate("c", held_until_ms=NOW_MS + 1)
    assert chosen(a_candidate("b", held_until_ms=NOW_MS + 2), early) == "c"
