"""When a node counts as fit to lead: each input alone makes it unfit, and so does its silence."""

from __future__ import annotations

import dataclasses

import pytest

from conductor.policy.serving import (
    CHECKS,
    SequencerReading,
    ServingInputs,
    ServingLimits,
    judge_fitness,
)

NOW_MS = 100_000
LIMITS = ServingLimits.of_interval(1000)
GOOD = ServingInputs(
    now_ms=NOW_MS,
    formed=True,
    paused=False,
    draining=False,
    store_problem="",
    synced_at_ms=NOW_MS - 3000,
    oldest_write_at_ms=NOW_MS - 2000,
    uncertified_since_ms=NOW_MS - 3000,
    loop_lag_ms=500,
    loop_measured_at_ms=NOW_MS - 3000,
    voters_reached=2,
    voters_counted_at_ms=NOW_MS - 3000,
    quorum=2,
    sequencer=SequencerReading(healthy=True, reason="", at_ms=NOW_MS - 3000),
    has_sequencer=True,
)
SICK = SequencerReading(healthy=False, reason="no progress for 12 s", at_ms=NOW_MS)
STALE = SequencerReading(healthy=True, reason="", at_ms=NOW_MS - 3001)

BAD: list[tuple[str, dict[str, object], str]] = [
    ("_formed", {"formed": False}, "the cluster has not formed yet"),
    ("_paused", {"paused": True}, "an operator has paused this node"),
    ("_draining", {"draining": True}, "this node is stopping"),
    ("_store_takes_writes", {"store_problem": "disk full"}, "takes no writes: disk full"),
    ("_store_synced", {"synced_at_ms": None}, "not made anything durable yet"),
    ("_store_synced", {"synced_at_ms": NOW_MS - 3001}, "anything durable for 3001 ms"),
    ("_writes_finish", {"oldest_write_at_ms": NOW_MS - 2001}, "has been waiting for 2001 ms"),
    ("_commits_complete", {"uncertified_since_ms": NOW_MS - 3001}, "wrote 3001 ms ago"),
    ("_loop_keeps_up", {"loop_lag_ms": 501}, "the event loop is 501 ms late"),
    ("_loop_keeps_up", {"loop_measured_at_ms": NOW_MS - 3001}, "was not measured lately"),
    ("_loop_keeps_up", {"loop_measured_at_ms": None}, "was not measured lately"),
    ("_quorum_in_reach", {"voters_reached": 1}, "1 voters are in reach, a quorum is 2"),
    ("_quorum_in_reach", {"voters_counted_at_ms": NOW_MS - 3001}, "were not counted lately"),
    ("_quorum_in_reach", {"voters_counted_at_ms": None}, "were not counted lately"),
    ("_sequencer", {"sequencer": SICK}, "the sequencer is not healthy: no progress for 12 s"),
    ("_sequencer", {"sequencer": STALE}, "the health of the sequencer is not known"),
    ("_sequencer", {"sequencer": None}, "the health of the sequencer is not known"),
]


def with_inputs(**changes: object) -> ServingInputs:
    """Good inputs but for these."""
    return dataclasses.replace(GOOD, **changes)  # type: ignore[arg-type]


def test_node_serves_while_every_input_is_just_good_enough() -> None:
    fitness = judge_fitness(GOOD, LIMITS)
    assert fitness.serving
    assert fitness.sequencer_ok
    assert fitness.reasons == ()


@pytest.mark.parametrize(("check", "change", "reason"), BAD)
def test_each_bad_or_expired_input_alone_ends_serving(
    check: str, change: dict[str, object], reason: str
) -> None:
    """H5: serving, but useless, is not serving. H7: out of reach of a quorum is not either."""
    fitness = judge_fitness(with_inputs(**change), LIMITS)
    assert not fitness.serving
    (only,) = fitness.reasons
    assert reason in only


def test_every_row_of_the_table_is_tested() -> None:
    assert {check.__name__ for check in CHECKS} == {row[0] for row in BAD}


def test_all_that_is_wrong_is_said_in_the_order_of_the_table() -> None:
    fitness = judge_fitness(with_inputs(paused=True, store_problem="x", sequencer=SICK), LIMITS)
    assert [reason.split()[0] for reason in fitness.reasons] == ["an", "the", "the"]


def test_node_without_a_sequencer_needs_none() -> None:
    fitness = judge_fitness(with_inputs(has_sequencer=False, sequencer=None), LIMITS)
    assert fitness.serving
    assert fitness.sequencer_ok


@pytest.mark.parametrize("reading", [SICK, STALE, None])
def test_sequencer_is_told_apart_from_the_rest(reading: SequencerReading | None) -> None:
    assert not judge_fitness(with_inputs(sequencer=reading), LIMITS).sequencer_ok
    assert judge_fitness(with_inputs(paused=True), LIMITS).sequencer_ok


def test_idle_store_serves() -> None:
    assert judge_fitness(with_inputs(oldest_write_at_ms=None), LIMITS).serving


def test_node_that_has_not_formed_does_not_complain_of_a_quorum() -> None:
    fitness = judge_fitness(with_inputs(formed=False, voters_reached=1), LIMITS)
    assert fitness.reasons == ("the cluster has not formed yet",)


def test_limits_follow_the_health_interval() -> None:
    limits = ServingLimits.of_interval(10)
    assert limits == ServingLimits(
        sync_age_ms_max=30,
        write_age_ms_max=20,
        certify_age_ms_max=30,
        loop_lag_ms_max=5,
        reading_age_ms_max=30,
    )
