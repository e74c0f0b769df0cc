"""The static manager: one name, no failover, and no fights."""

from __future__ import annotations

from conductor.core.values import ServerId
from conductor.epochs.static import StaticEpochManager
from conductor.ports import EpochManager, Observation
from tests.conformance.epoch_manager import EpochManagerConformance
from tests.epochs.builders import a_leader, a_voter, observe

STAGGER_MS = 150


def manager_of(leader: str) -> StaticEpochManager:
    """A manager with that server as its leader."""
    return StaticEpochManager(ServerId(leader), campaign_stagger_ms=STAGGER_MS)


def named_by(manager: EpochManager, observation: Observation) -> str | None:
    """Whom the manager names."""
    designation = manager.designate(observation)
    return designation.server_id if designation is not None else None


class TestConformance(EpochManagerConformance):
    def create(self) -> EpochManager:
        return manager_of("a")


def test_configured_leader_is_named_when_nobody_leads() -> None:
    assert named_by(manager_of("b"), observe(0, "a", "b", "c")) == "b"


def test_there_is_no_failover() -> None:
    dead = a_voter("b", reachable=False)
    assert named_by(manager_of("b"), observe(0, "a", dead, "c")) == "b"


def test_transfer_lasts_while_the_new_leader_lives() -> None:
    manager = manager_of("b")
    transferred = a_leader("a", by_transfer=True)
    assert named_by(manager, observe(0, "a", "b", "c", leader=transferred)) == "a"
    sick = a_voter("a", serving=False)
    assert named_by(manager, observe(0, sick, "b", "c", leader=transferred)) == "a"
    assert named_by(manager, observe(0, "a", "b", "c")) == "b"


def test_configured_leader_that_is_no_voter_is_not_named() -> None:
    assert named_by(manager_of("z"), observe(0, "a", "b", "c")) is None


def test_node_with_another_configured_leader_says_so_and_does_not_fight() -> None:
    """H13: two configuration files name two leaders; whoever leads first stays."""
    designation = manager_of("c").designate(observe(0, "a", "b", "c", leader="b"))
    assert designation is not None
    assert designation.server_id == "b"
    assert designation.reason == "leads, although c is the configured leader here"


def test_two_configured_leaders_that_blocked_each_other_try_again_apart() -> None:
    """H13: the first in order at once, the other a stagger later, and more each time."""
    first, second = manager_of("a"), manager_of("c")
    for failures, gap_ms in enumerate((2 * STAGGER_MS, 4 * STAGGER_MS), start=1):
        now_ms = failures * 10_000
        first.campaign_failed(ServerId("a"), now_ms)
        second.campaign_failed(ServerId("c"), now_ms)
        second.campaign_failed(ServerId("a"), now_ms)
        assert named_by(first, observe(now_ms, "a", "b", "c")) == "a"
        assert named_by(second, observe(now_ms + gap_ms - 1, "a", "b", "c")) is None
        assert named_by(second, observe(now_ms + gap_ms, "a", "b", "c")) == "c"


def test_backing_off_ends_when_somebody_leads_and_never_grows_without_end() -> None:
    manager = manager_of("b")
    for _ in range(100):
        manager.campaign_failed(ServerId("b"), 0)
    assert named_by(manager, observe(16 * STAGGER_MS, "a", "b", "c")) == "b"
    manager.campaign_failed(ServerId("b"), 50_000)
    assert named_by(manager, observe(50_000, "a", "b", "c")) is None
    named_by(manager, observe(50_000, "a", "b", "c", leader="b"))
    assert named_by(manager, observe(50_000, "a", "b", "c")) == "b"
