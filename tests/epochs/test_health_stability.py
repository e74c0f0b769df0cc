"""How often the health manager moves the leadership when servers come and go."""

from __future__ import annotations

from itertools import pairwise

import pytest

from conductor.core.values import ServerId
from conductor.epochs.health import HealthEpochManager
from tests.epochs.builders import a_leader
from tests.epochs.stage import Condition, Stage

MINUTE_MS = 60_000
TENURE_MS = 10_000


def a_manager(*, preempts: bool = True) -> HealthEpochManager:
    """A manager with the default times."""
    return HealthEpochManager(
        preempts=preempts,
        preempt_hold_down_ms=60_000,
        campaign_stagger_ms=150,
        health_interval_ms=1000,
    )


def square_wave(now_ms: int, period_ms: int, phase_ms: int = 0) -> Condition:
    """Fit for half of the period, then sick."""
    is_fit = (now_ms + phase_ms) % period_ms < period_ms / 2
    return Condition.FIT if is_fit else Condition.SICK


@pytest.mark.parametrize("preempts", [True, False])
@pytest.mark.parametrize("period_ms", [300, 1000, 2000, 3000, 5000, 10_000])
def test_flapping_leader_is_left_once_and_for_all(period_ms: int, preempts: bool) -> None:
    """H1: it never stays fit for a whole hold-down, so it never gets the leadership back."""

    def condition_of(name: str, now_ms: int, _: bool) -> Condition:
        return square_wave(now_ms, period_ms) if name == "a" else Condition.FIT

    stage = Stage(a_manager(preempts=preempts), condition_of)
    stage.play(10 * MINUTE_MS)
    assert len(stage.moves) == (period_ms // 2 > 1000), "a hiccup below an interval is forgiven"


@pytest.mark.parametrize("period_ms", [300, 1000, 2000, 3000, 5000, 7000, 10_000])
@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "c"), ("a", "b", "c", "d", "e")])
def test_leadership_moves_rarely_even_while_everyone_flaps(
    period_ms: int, names: tuple[str, ...]
) -> None:
    """H1: once everyone has been tried, at most one change in ten seconds."""

    def condition_of(name: str, now_ms: int, _: bool) -> Condition:
        phase_ms = names.index(name) * period_ms // len(names)
        return square_wave(now_ms, period_ms, phase_ms)

    stage = Stage(a_manager(), condition_of, names)
    stage.play(10 * MINUTE_MS)
    assert len(stage.moves) <= 10 * MINUTE_MS // TENURE_MS + len(names)
    late = [at_ms for at_ms, _ in stage.moves if at_ms > MINUTE_MS]
    gaps_ms = [after - before for before, after in pairwise(late)]
    assert all(gap_ms >= TENURE_MS for gap_ms in gaps_ms)


def test_first_server_that_crashes_again_and_again_never_preempts() -> None:
    """H3: up for ten seconds, down for five, for half an hour."""

    def condition_of(name: str, now_ms: int, _: bool) -> Condition:
        is_down = name == "a" and now_ms % 15_000 < 5000
        return Condition.DEAD if is_down else Condition.FIT

    stage = Stage(a_manager(), condition_of, leader=a_leader("b"))
    stage.play(30 * MINUTE_MS)
    assert stage.moves == []


def test_returning_server_takes_over_once_after_its_hold_down() -> None:
    def condition_of(name: str, now_ms: int, _: bool) -> Condition:
        is_down = name == "a" and 1000 <= now_ms < 20_000
        return Condition.DEAD if is_down else Condition.FIT

    stage = Stage(a_manager(), condition_of)
    stage.play(10 * MINUTE_MS)
    assert stage.moves == [(1000, "b"), (20_000 + 60_000, "a")]


def test_two_servers_that_fail_as_leaders_do_not_pass_it_back_and_forth() -> None:
    """H8: as followers they look fit; the leadership lands on the healthy one in two moves."""

    def condition_of(name: str, now_ms: int, leads: bool) -> Condition:
        return Condition.SICK if leads and name in ("a", "b") else Condition.FIT

    stage = Stage(a_manager(preempts=False), condition_of)
    stage.play(10 * MINUTE_MS)
    assert [name for _, name in stage.moves] == ["b", "c"]


def test_preempting_server_that_fails_again_is_tried_less_and_less_often() -> None:
    """H3, H8: each failure doubles its hold-down."""

    def condition_of(name: str, now_ms: int, leads: bool) -> Condition:
        return Condition.SICK if leads and name == "a" else Condition.FIT

    stage = Stage(a_manager(), condition_of)
    stage.play(30 * MINUTE_MS)
    tries_ms = [at_ms for at_ms, name in stage.moves if name == "a"]
    gaps_ms = [after - before for before, after in pairwise(tries_ms)]
    assert len(gaps_ms) >= 2
    assert all(after > 1.9 * before for before, after in pairwise(gaps_ms))


def test_fault_that_all_share_moves_nothing() -> None:
    """H9: if nobody is better the leader stays, and it stays when all have recovered."""

    def condition_of(_: str, now_ms: int, __: bool) -> Condition:
        return Condition.SICK if 5000 <= now_ms < 5 * MINUTE_MS else Condition.FIT

    stage = Stage(a_manager(), condition_of)
    stage.play(10 * MINUTE_MS)
    assert stage.moves == []


def test_chain_starts_again_when_everyone_looks_sick_and_nobody_leads() -> None:
    """H9: a chain that stood still for long makes every sequencer look stale."""
    stage = Stage(a_manager(), lambda *_: Condition.SICK, leader=None)
    stage.play(MINUTE_MS)
    assert stage.moves == [(0, "a")]


def test_dead_server_in_front_costs_one_campaign_timeout_at_most_once() -> None:
    """A probe that still calls it fit is a hint; whoever does not come to lead is passed over."""
    manager = a_manager()

    def condition_of(name: str, now_ms: int, _: bool) -> Condition:
        return Condition.DEAD if name == "a" else Condition.FIT

    stage = Stage(manager, condition_of)
    manager.campaign_failed(ServerId("b"), 0)
    stage.play(MINUTE_MS)
    assert [name for _, name in stage.moves] == ["c"]
