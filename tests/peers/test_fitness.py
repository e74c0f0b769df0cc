"""What the probes of one member add up to: fast down, slow up, nothing believed for too long."""

from __future__ import annotations

import pytest

from conductor.core.values import ServerId
from conductor.peers.fitness import Fitness
from conductor.ports import MemberObservation

AGE_MAX_MS = 3_500


def a_fitness() -> Fitness:
    """Of a member that was never probed."""
    return Fitness(ServerId("b"), AGE_MAX_MS)


def serving_since(time_ms: int) -> Fitness:
    """Of a member that answered first at `time_ms`, and serves."""
    fitness = a_fitness()
    fitness.answered(time_ms, serving=True, paused=False)
    return fitness


def test_who_was_never_heard_is_nothing() -> None:
    assert a_fitness().observe(0) == MemberObservation(
        ServerId("b"), reachable=False, serving=False, paused=False, serving_since_ms=None
    )


def test_first_contact_counts_at_once() -> None:
    assert serving_since(1_000).observe(1_001) == MemberObservation(
        ServerId("b"), reachable=True, serving=True, paused=False, serving_since_ms=1_000
    )


def test_first_contact_counts_at_once_however_long_it_was_awaited() -> None:
    fitness = a_fitness()
    for time_ms in range(0, 10_000, 1_000):
        fitness.missed(time_ms)
    fitness.answered(10_000, serving=True, paused=False)

    assert fitness.observe(10_000).serving


def test_three_misses_in_a_row_count_it_as_down() -> None:
    fitness = serving_since(0)
    for time_ms in (1_000, 2_000):
        fitness.missed(time_ms)
        assert fitness.observe(time_ms).serving
    fitness.missed(3_000)

    assert not fitness.observe(3_000).serving
    assert not fitness.observe(3_000).reachable


def test_misses_with_answers_between_them_do_not_add_up() -> None:
    fitness = serving_since(0)
    for time_ms in range(1_000, 20_000, 1_000):
        if time_ms % 3_000:
            fitness.missed(time_ms)
        else:
            fitness.answered(time_ms, serving=True, paused=False)
        assert fitness.observe(time_ms).serving

    assert fitness.observe(20_000).serving_since_ms == 0


def test_after_it_was_down_five_answers_in_a_row_are_needed() -> None:
    fitness = serving_since(0)
    fitness.refused()
    for time_ms in (1_000, 2_000, 3_000, 4_000):
        fitness.answered(time_ms, serving=True, paused=False)
        assert not fitness.observe(time_ms).serving
        assert fitness.observe(time_ms).reachable
    fitness.answered(5_000, serving=True, paused=False)

    assert fitness.observe(5_000).serving_since_ms == 5_000


def test_a_miss_on_the_way_up_begins_the_count_anew() -> None:
    fitness = serving_since(0)
    fitness.refused()
    for time_ms in (1_000, 2_000, 3_000, 4_000):
        fitness.answered(time_ms, serving=True, paused=False)
    fitness.missed(5_000)
    fitness.answered(6_000, serving=True, paused=False)

    assert not fitness.observe(6_000).serving


def test_a_refused_connection_counts_it_as_down_at_once() -> None:
    fitness = serving_since(0)
    fitness.refused()

    assert not fitness.observe(1).serving
    assert not fitness.observe(1).reachable


def test_its_own_word_counts_at_once_both_ways() -> None:
    fitness = serving_since(0)
    fitness.answered(1_000, serving=False, paused=False)
    assert not fitness.observe(1_000).serving
    assert fitness.observe(1_000).reachable

    fitness.answered(2_000, serving=True, paused=False)
    assert fitness.observe(2_000).serving_since_ms == 2_000


@pytest.mark.parametrize("paused", [True, False])
def test_pause_is_told_apart_from_serving(paused: bool) -> None:
    fitness = a_fitness()
    fitness.answered(0, serving=False, paused=paused)

    assert fitness.observe(0).paused is paused


def test_an_old_word_counts_for_nothing() -> None:
    fitness = serving_since(1_000)

    assert fitness.observe(1_000 + AGE_MAX_MS - 1).serving
    assert not fitness.observe(1_000 + AGE_MAX_MS).serving
    assert not fitness.observe(1_000 + AGE_MAX_MS).reachable


def test_after_its_word_grew_old_it_begins_to_serve_anew() -> None:
    fitness = serving_since(1_000)
    fitness.answered(10_000, serving=True, paused=False)

    assert fitness.observe(10_000).serving_since_ms == 10_000


def test_while_this_node_was_held_up_silence_proves_nothing() -> None:
    fitness = serving_since(0)
    fitness.suspend(until_ms=9_000)
    for time_ms in (6_000, 7_000, 8_000):
        fitness.missed(time_ms)

    assert fitness.observe(8_999).serving
    assert not fitness.observe(9_000).serving
    fitness.answered(9_000, serving=True, paused=False)
    assert fitness.observe(9_000).serving


def test_a_refused_connection_counts_even_then() -> None:
    fitness = serving_since(0)
    fitness.suspend(until_ms=9_000)
    fitness.refused()

    assert not fitness.observe(1).serving
