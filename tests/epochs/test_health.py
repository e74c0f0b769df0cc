"""Whom the health manager names, rule by rule."""

from __future__ import annotations

import random

import pytest

from conductor.core.values import ServerId
from conductor.epochs.health import TENURE_MS_MIN, HealthEpochManager
from conductor.ports import EpochManager, MemberObservation, Observation
from tests.conformance.epoch_manager import EpochManagerConformance
from tests.epochs.builders import a_leader, a_voter, observe

HOLD_DOWN_MS = 60_000
STAGGER_MS = 150
INTERVAL_MS = 1000
CAMPAIGN_MS = 100
CAMPAIGN_TIMEOUT_MS = 2000


def a_manager(*, preempts: bool = True, stagger_ms: int = STAGGER_MS) -> HealthEpochManager:
    """A manager with the default times."""
    return HealthEpochManager(
        preempts=preempts,
        preempt_hold_down_ms=HOLD_DOWN_MS,
        campaign_stagger_ms=stagger_ms,
        health_interval_ms=INTERVAL_MS,
    )


def named_by(manager: EpochManager, observation: Observation) -> str | None:
    """Whom the manager names."""
    designation = manager.designate(observation)
    return designation.server_id if designation is not None else None


def that_follows(leader: str, *, preempts: bool = True) -> HealthEpochManager:
    """A manager that has seen that leader, with everyone fit, until just before time 0."""
    manager = a_manager(preempts=preempts)
    assert named_by(manager, observe(-100, "a", "b", "c", leader=leader)) == leader
    return manager


def sick(name: str) -> MemberObservation:
    """Up, but not fit to lead."""
    return a_voter(name, serving=False)


def dead(name: str) -> MemberObservation:
    """Out of reach."""
    return a_voter(name, reachable=False)


class TestConformance(EpochManagerConformance):
    def create(self) -> EpochManager:
        return a_manager()


class TestConformanceWhenSticky(EpochManagerConformance):
    def create(self) -> EpochManager:
        return a_manager(preempts=False)


class TestNobodyLeads:
    def test_first_fit_voter_is_named_at_once_at_the_start(self) -> None:
        assert named_by(a_manager(), observe(0, "a", "b", "c")) == "a"

    @pytest.mark.parametrize("leader", ["a", "b", "c"])
    def test_killed_leader_is_replaced_by_the_next_in_order_at_once(self, leader: str) -> None:
        """No waiting at all: failover takes as long as noticing it and one campaign."""
        names = ["a", "b", "c"]
        manager = that_follows(leader, preempts=False)
        names.remove(leader)
        assert named_by(manager, observe(0, dead(leader), *names)) == names[0]

    def test_killed_leader_is_replaced_while_the_leadership_is_still_remembered(self) -> None:
        manager = that_follows("a")
        assert named_by(manager, observe(0, dead("a"), "b", "c", leader="a")) == "b"

    def test_server_long_dead_costs_no_time(self) -> None:
        """Everyone has agreed for long that `a` is gone: `c` need not wait for it."""
        manager = a_manager()
        for now_ms in (0, 6000):
            manager.designate(observe(now_ms, dead("a"), "b", "c", leader="b"))
        assert named_by(manager, observe(6100, dead("a"), dead("b"), "c", "d", "e")) == "c"

    def test_voter_that_others_may_still_think_fit_is_passed_over_a_stagger_later(self) -> None:
        """T24: `b` may be campaigning right now, seen as fit by itself."""
        manager = that_follows("a")
        seen = (dead("a"), sick("b"), "c")
        assert named_by(manager, observe(0, *seen)) is None
        assert named_by(manager, observe(STAGGER_MS - 1, *seen)) is None
        assert named_by(manager, observe(STAGGER_MS, *seen)) == "c"

    def test_voter_that_failed_a_campaign_ranks_behind_the_others(self) -> None:
        manager = that_follows("a")
        assert named_by(manager, observe(0, dead("a"), "b", "c")) == "b"
        manager.campaign_failed(ServerId("b"), 2000)
        assert named_by(manager, observe(2000, dead("a"), "b", "c")) is None
        assert named_by(manager, observe(2000 + STAGGER_MS, dead("a"), "b", "c")) == "c"
        later_ms = 2000 + HOLD_DOWN_MS
        assert named_by(manager, observe(later_ms, dead("a"), "b", "c")) == "b"

    def test_held_down_voter_is_named_when_it_is_the_last(self) -> None:
        manager = that_follows("a")
        manager.campaign_failed(ServerId("b"), 0)
        assert named_by(manager, observe(1000, dead("a"), "b", sick("c"))) == "b"

    def test_all_held_down_are_tried_in_turn(self) -> None:
        manager = a_manager()
        turns = []
        for now_ms in range(0, 60_000, 10_000):
            name = named_by(manager, observe(now_ms, "a", "b", "c"))
            assert name is not None
            turns.append(name)
            manager.campaign_failed(ServerId(name), now_ms)
        assert turns == ["a", "b", "c", "a", "b", "c"]

    def test_leader_that_lost_its_leadership_while_fit_is_named_again(self) -> None:
        assert named_by(that_follows("b"), observe(0, "a", "b", "c")) == "a"
        assert named_by(that_follows("a"), observe(0, "a", "b", "c")) == "a"

    def test_leader_that_died_ranks_behind_when_it_returns(self) -> None:
        manager = that_follows("a")
        manager.designate(observe(0, dead("a"), "b", "c"))
        assert named_by(manager, observe(1000, "a", dead("b"), "c")) == "c"


class TestInitialLeader:
    def test_initial_leader_is_named_before_all_others(self) -> None:
        assert named_by(a_manager(), observe(0, "a", "b", "c", initial_leader="c")) == "c"

    @pytest.mark.parametrize("unknown", [sick("c"), dead("c")])
    @pytest.mark.parametrize("self_id", ["a", "b"])
    def test_initial_leader_is_named_before_the_probes_know_it(
        self, unknown: MemberObservation, self_id: str
    ) -> None:
        """Just after the start the first look at a voter may come later than one's own."""
        seen = observe(0, "a", "b", unknown, initial_leader="c", self_id=self_id)
        assert named_by(a_manager(), seen) == "c"

    def test_initial_leader_that_does_not_come_to_lead_has_had_its_chance(self) -> None:
        manager = a_manager()
        assert named_by(manager, observe(0, "a", "b", dead("c"), initial_leader="c")) == "c"
        manager.campaign_failed(ServerId("c"), 2000)
        assert named_by(manager, observe(2000, "a", "b", dead("c"), initial_leader="c")) == "a"

    def test_others_lead_while_the_initial_leader_is_paused(self) -> None:
        seen = observe(0, "a", "b", a_voter("c", paused=True), initial_leader="c")
        assert named_by(a_manager(), seen) == "a"

    def test_initial_leader_is_not_named_without_a_quorum_in_reach(self) -> None:
        seen = observe(0, dead("a"), dead("b"), "c", initial_leader="c")
        assert named_by(a_manager(), seen) is None

    def test_initial_leader_that_is_no_voter_is_not_named(self) -> None:
        assert named_by(a_manager(), observe(0, "a", "b", initial_leader="c")) == "a"

    def test_leader_is_left_alone_although_another_was_to_lead_first(self) -> None:
        manager = a_manager()
        seen = observe(0, "a", "b", "c", leader="b", initial_leader="c")
        assert named_by(manager, seen) == "b"


class TestNobodyIsFit:
    def test_first_in_reach_is_named_when_nobody_leads(self) -> None:
        """H9: a chain that stood still must be able to start again."""
        seen = (dead("a"), sick("b"), sick("c"))
        manager = a_manager()
        manager.designate(observe(0, *seen))
        assert named_by(manager, observe(STAGGER_MS, *seen)) == "b"

    def test_unpaused_comes_before_paused(self) -> None:
        seen = (a_voter("a", paused=True), sick("b"), a_voter("c", paused=True))
        manager = a_manager()
        manager.designate(observe(0, *seen))
        assert named_by(manager, observe(STAGGER_MS, *seen)) == "b"

    def test_paused_is_named_when_nobody_else_can(self) -> None:
        assert named_by(a_manager(), observe(0, a_voter("a", paused=True))) == "a"

    def test_server_whose_campaign_fails_gives_the_others_a_turn(self) -> None:
        manager = a_manager()
        seen = (sick("a"), sick("b"), sick("c"))
        assert named_by(manager, observe(0, *seen)) == "a"
        manager.campaign_failed(ServerId("a"), 2000)
        manager.designate(observe(2000, *seen))
        assert named_by(manager, observe(2000 + STAGGER_MS, *seen)) == "b"

    def test_nobody_is_named_while_no_quorum_is_in_reach(self) -> None:
        """H7: an isolated server does not count on itself, nor count its failures."""
        alone = (a_voter("a"), dead("b"), dead("c"))
        manager = a_manager()
        assert named_by(manager, observe(0, *alone)) is None
        assert named_by(manager, observe(90_000, *alone)) is None
        assert named_by(manager, observe(90_000, "a", "b", dead("c"))) == "a"


class TestLeaderIsFit:
    def test_earlier_voter_gets_the_leadership_back_after_a_whole_hold_down(self) -> None:
        manager = that_follows("b")
        returned = a_voter("a", since_ms=5000)
        before = observe(5000 + HOLD_DOWN_MS - 1, returned, "b", "c", leader="b")
        assert named_by(manager, before) == "b"
        after = observe(5000 + HOLD_DOWN_MS, returned, "b", "c", leader="b")
        assert named_by(manager, after) == "a"

    def test_new_leader_stays_for_a_whole_hold_down(self) -> None:
        """Else an earlier voter that loses its leadership again and again always takes it back."""
        leader = a_leader("b", since_ms=10_000)
        manager = a_manager()
        assert named_by(manager, observe(69_999, "a", "b", "c", leader=leader)) == "b"
        assert named_by(manager, observe(70_000, "a", "b", "c", leader=leader)) == "a"

    def test_sticky_order_leaves_the_leader_alone(self) -> None:
        manager = that_follows("b", preempts=False)
        assert named_by(manager, observe(10 * HOLD_DOWN_MS, "a", "b", "c", leader="b")) == "b"

    def test_leader_that_an_operator_chose_is_left_alone(self) -> None:
        leader = a_leader("c", by_transfer=True)
        manager = a_manager()
        assert named_by(manager, observe(10 * HOLD_DOWN_MS, "a", "b", "c", leader=leader)) == "c"

    def test_later_voters_never_preempt(self) -> None:
        manager = that_follows("a")
        assert named_by(manager, observe(10 * HOLD_DOWN_MS, "a", "b", "c", leader="a")) == "a"

    @pytest.mark.parametrize("unfit", [sick("a"), dead("a"), a_voter("a", paused=True)])
    def test_unfit_voters_never_preempt(self, unfit: MemberObservation) -> None:
        manager = that_follows("b")
        assert named_by(manager, observe(10 * HOLD_DOWN_MS, unfit, "b", "c", leader="b")) == "b"

    def test_failed_voter_does_not_preempt_during_its_hold_down(self) -> None:
        manager = that_follows("b")
        manager.campaign_failed(ServerId("a"), HOLD_DOWN_MS)
        now_ms = 2 * HOLD_DOWN_MS
        assert named_by(manager, observe(now_ms - 1, "a", "b", "c", leader="b")) == "b"
        assert named_by(manager, observe(now_ms, "a", "b", "c", leader="b")) == "a"


class TestLeaderIsUnfit:
    def test_sick_leader_gets_an_interval_to_recover(self) -> None:
        manager = that_follows("a")
        for now_ms in (0, INTERVAL_MS - 1):
            assert named_by(manager, observe(now_ms, sick("a"), "b", "c", leader="a")) == "a"
        assert named_by(manager, observe(INTERVAL_MS, sick("a"), "b", "c", leader="a")) == "b"

    def test_recovered_leader_starts_with_a_new_interval(self) -> None:
        manager = that_follows("a")
        manager.designate(observe(0, sick("a"), "b", "c", leader="a"))
        manager.designate(observe(500, "a", "b", "c", leader="a"))
        assert named_by(manager, observe(INTERVAL_MS, sick("a"), "b", "c", leader="a")) == "a"

    def test_new_leader_gets_an_interval_of_its_own(self) -> None:
        manager = that_follows("a")
        manager.designate(observe(0, sick("a"), "b", "c", leader="a"))
        leader = a_leader("b", epoch=2, since_ms=INTERVAL_MS)
        seen = ("a", sick("b"), "c")
        assert named_by(manager, observe(INTERVAL_MS, *seen, leader=leader)) == "b"
        assert named_by(manager, observe(2 * INTERVAL_MS, *seen, leader=leader)) == "a"

    def test_one_failure_is_counted_once_however_often_it_is_seen(self) -> None:
        manager = that_follows("b")
        for now_ms in range(0, 5000, 100):
            manager.designate(observe(now_ms, dead("a"), sick("b"), sick("c"), leader="b"))
        over_ms = INTERVAL_MS + HOLD_DOWN_MS
        assert named_by(manager, observe(over_ms - 1, dead("a"), "b", "c")) == "c"
        assert named_by(manager, observe(over_ms, dead("a"), "b", "c")) == "b"

    def test_leader_stays_when_nobody_is_fitter(self) -> None:
        """H9."""
        manager = that_follows("a")
        for now_ms in (0, INTERVAL_MS, HOLD_DOWN_MS):
            seen = observe(now_ms, sick("a"), sick("b"), dead("c"), leader="a")
            assert named_by(manager, seen) == "a"

    def test_transfer_does_not_protect_a_leader_that_falls_sick(self) -> None:
        manager = a_manager()
        leader = a_leader("c", by_transfer=True)
        manager.designate(observe(0, "a", "b", "c", leader=leader))
        manager.designate(observe(1, "a", "b", sick("c"), leader=leader))
        now_ms = 1 + INTERVAL_MS
        assert named_by(manager, observe(now_ms, "a", "b", sick("c"), leader=leader)) == "a"

    def test_transfer_does_not_protect_a_leader_that_dies(self) -> None:
        manager = a_manager()
        leader = a_leader("c", by_transfer=True)
        manager.designate(observe(0, "a", "b", sick("c"), leader=leader))
        assert named_by(manager, observe(1, "a", "b", dead("c"), leader=leader)) == "a"

    def test_leader_that_was_forced_although_unfit_gets_a_hold_down(self) -> None:
        """Else the leadership would come back at once, and force would be of no use."""
        manager = a_manager()
        leader = a_leader("c", epoch=2, since_ms=1000, by_transfer=True)
        for now_ms in range(1000, 1000 + HOLD_DOWN_MS, 100):
            seen = observe(now_ms, "a", "b", sick("c"), leader=leader)
            assert named_by(manager, seen) == "c"
        over_ms = 1000 + HOLD_DOWN_MS
        assert named_by(manager, observe(over_ms, "a", "b", sick("c"), leader=leader)) == "a"

    def test_pause_overrides_the_force_of_an_operator(self) -> None:
        manager = a_manager()
        leader = a_leader("c", epoch=2, since_ms=1000, by_transfer=True)
        manager.designate(observe(1000, "a", "b", sick("c"), leader=leader))
        paused = a_voter("c", serving=False, paused=True)
        now_ms = 1000 + INTERVAL_MS
        assert named_by(manager, observe(now_ms, "a", "b", paused, leader=leader)) == "a"

    def test_leader_that_was_forced_and_recovered_is_like_any_other(self) -> None:
        manager = a_manager()
        leader = a_leader("c", by_transfer=True)
        manager.designate(observe(0, "a", "b", sick("c"), leader=leader))
        manager.designate(observe(5000, "a", "b", "c", leader=leader))
        manager.designate(observe(6000, "a", "b", sick("c"), leader=leader))
        now_ms = 6000 + INTERVAL_MS
        assert named_by(manager, observe(now_ms, "a", "b", sick("c"), leader=leader)) == "a"

    def test_server_that_failed_lately_takes_over_only_after_a_tenure(self) -> None:
        """H8: the leadership does not return at once to where it came from."""
        manager = that_follows("a")
        manager.designate(observe(0, sick("a"), "b", leader="a"))
        assert named_by(manager, observe(INTERVAL_MS, sick("a"), "b", leader="a")) == "b"
        leader = a_leader("b", epoch=2, since_ms=2000)
        manager.designate(observe(2000, "a", sick("b"), leader=leader))
        end_ms = 2000 + TENURE_MS_MIN
        assert named_by(manager, observe(end_ms - 1, "a", sick("b"), leader=leader)) == "b"
        assert named_by(manager, observe(end_ms, "a", sick("b"), leader=leader)) == "a"


class TestManyNodes:
    """What seven nodes name, each by its own view."""

    NAMES = "abcdefg"

    def test_all_nodes_that_see_the_same_name_the_same(self) -> None:
        """H14: everyone notices in the same tick."""
        names = set()
        for self_id in "bcdefg":
            manager = a_manager()
            manager.designate(observe(-100, *self.NAMES, leader="a", self_id=self_id))
            others = self.NAMES[1:]
            names.add(named_by(manager, observe(0, dead("a"), *others, self_id=self_id)))
        assert names == {"b"}

    def test_two_rounds_elect_a_leader_however_differently_they_see(self) -> None:
        """T24, H14: sick servers, and wrong views of each other, in 99 of 100 cases."""
        rounds = [rounds_to_elect(seed, self.NAMES, STAGGER_MS) for seed in range(100)]
        assert sum(count <= 2 for count in rounds) >= 99

    def test_without_staggers_they_would_often_campaign_against_each_other(self) -> None:
        rounds = [rounds_to_elect(seed, self.NAMES, stagger_ms=0) for seed in range(100)]
        assert sum(count > 1 for count in rounds) > 10


def rounds_to_elect(seed: int, names: str, stagger_ms: int) -> int:
    """Campaigns until one had no rival, when the leader dies and every node sees its own thing."""
    source = random.Random(seed)
    unfit = {name for name in names[1:] if source.random() < 0.3}
    managers = {name: a_manager(stagger_ms=stagger_ms) for name in names[1:]}
    views = {}
    for self_id, manager in managers.items():
        manager.designate(observe(-100, *names, leader="a", self_id=self_id))
        views[self_id] = [
            seen_wrongly(source, name, is_fit=name not in unfit, is_self=name == self_id)
            for name in names
        ]
    rounds, now_ms = 0, 0
    waiting_for: dict[str, tuple[str, int]] = {}
    while rounds < 10:
        candidates = []
        for self_id, manager in managers.items():
            named = named_by(manager, observe(now_ms, *views[self_id], self_id=self_id))
            if named == self_id:
                candidates.append(named)
            elif named is not None:
                give_up_in_time(manager, named, waiting_for, self_id, now_ms)
        rounds += bool(candidates)
        if len(candidates) == 1 and candidates[0] not in unfit:
            return rounds
        for name in candidates:
            managers[name].campaign_failed(ServerId(name), now_ms + CAMPAIGN_MS)
        now_ms += CAMPAIGN_MS
    return rounds


def seen_wrongly(
    source: random.Random, name: str, *, is_fit: bool, is_self: bool
) -> MemberObservation:
    """How one node sees another: usually right, and itself always."""
    if name == "a":
        return dead(name)
    if not is_self and source.random() < 0.2:
        is_fit = not is_fit
    return a_voter(name) if is_fit else sick(name)


def give_up_in_time(
    manager: EpochManager,
    named: str,
    waiting_for: dict[str, tuple[str, int]],
    self_id: str,
    now_ms: int,
) -> None:
    """Tell a manager when whom it named has not come to lead."""
    name, since_ms = waiting_for.get(self_id, ("", 0))
    if name != named:
        waiting_for[self_id] = (named, now_ms)
    elif now_ms >= since_ms + CAMPAIGN_TIMEOUT_MS:
        del waiting_for[self_id]
        manager.campaign_failed(ServerId(named), now_ms)
