"""Rule 5.6: an op-node that was never stopped forks nothing when its conductor leads again."""

from __future__ import annotations

import dataclasses

import pytest

from conductor.core.effects import CommitCertified, RequestFailed
from conductor.core.node import Settings
from conductor.errors import Conflict
from conductor.simulation.chain import Block
from tests.simulation.scenario import Answer, Scenario


def deposed_and_back(rule: str) -> tuple[Scenario, Block, Block]:
    """a leads, is deposed while b commits two payloads, and leads again.

    Returns the story, the last payload that a's op-node knows, and the newest one of all.
    """
    scenario = Scenario(settings=dataclasses.replace(Settings(), commit_rule=rule))
    scenario.lead("a")
    for _ in range(2):
        known = scenario.commit("a")
    scenario.isolate("a")
    scenario.run(3000)
    scenario.lead("b")
    for _ in range(2):
        newest = scenario.commit("b")
    scenario.heal()
    scenario.run(500)
    scenario.hand_over("b", "a")
    scenario.until(lambda: scenario.leader() == "a", 2000)
    return scenario, known, newest


def submit(scenario: Scenario, parent: Block) -> Answer:
    """What a says to a new block on that parent."""
    return scenario.answer(scenario.submit("a", scenario.build(parent)))


def is_refused(answer: Answer) -> bool:
    """Whether the commit rule did not take it."""
    return isinstance(answer, RequestFailed) and isinstance(answer.error, Conflict)


@pytest.mark.parametrize("rule", ["strict", "reorg"])
def test_stale_sequencer_of_a_past_leadership_forks_nothing(rule: str) -> None:
    scenario, known, newest = deposed_and_back(rule)
    assert is_refused(submit(scenario, known))
    assert is_refused(submit(scenario, known))
    assert isinstance(submit(scenario, newest), CommitCertified)
    scenario.finish()


def test_reorganisation_is_taken_once_a_payload_extended_the_last_one() -> None:
    scenario, known, newest = deposed_and_back("reorg")
    assert isinstance(submit(scenario, newest), CommitCertified)
    assert isinstance(submit(scenario, known), CommitCertified)
    scenario.finish()


def test_reorganisation_is_taken_once_the_sequencer_was_started_at_the_last_payload() -> None:
    """Without this an L1 reorganisation right after a failover would stop the chain for good."""
    scenario, known, newest = deposed_and_back("reorg")
    scenario.start_sequencer("a", newest)
    assert isinstance(submit(scenario, known), CommitCertified)
    scenario.finish()


def test_sequencer_started_elsewhere_proves_nothing() -> None:
    scenario, known, _ = deposed_and_back("reorg")
    scenario.start_sequencer("a", known)
    assert is_refused(submit(scenario, known))
    scenario.finish()


def test_continuity_is_proven_anew_in_every_leadership() -> None:
    scenario, known, newest = deposed_and_back("reorg")
    scenario.start_sequencer("a", newest)
    scenario.hand_over("a", "b")
    scenario.until(lambda: scenario.leader() == "b", 2000)
    scenario.hand_over("b", "a")
    scenario.until(lambda: scenario.leader() == "a", 2000)
    assert is_refused(submit(scenario, known))
    scenario.finish()


def test_strict_rule_takes_no_reorganisation() -> None:
    scenario, known, newest = deposed_and_back("strict")
    assert isinstance(submit(scenario, newest), CommitCertified)
    assert is_refused(submit(scenario, known))
    scenario.finish()


def test_any_rule_takes_whatever_comes() -> None:
    scenario, known, _ = deposed_and_back("any")
    assert isinstance(submit(scenario, known), CommitCertified)
    scenario.finish()
