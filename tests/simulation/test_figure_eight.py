"""Trap T1: an entry of an older epoch that reached a quorum is not certified by that."""

from __future__ import annotations

import pytest

from conductor.core.messages import Append
from conductor.core.node import Settings
from conductor.errors import InvariantViolation
from conductor.simulation.network import Envelope
from tests.simulation import mutants
from tests.simulation.scenario import Scenario

ONE_BY_ONE = Settings(batch_entries_aligned_to=1)
"""Entries travel alone, so that an old one is acknowledged without the epoch start above it."""


def keep_back(scenario: Scenario, epoch: int) -> None:
    """What is written in that epoch is appended nowhere; it only shows that logs do not meet."""

    def lets_pass(envelope: Envelope) -> bool:
        message = envelope.message
        is_up = scenario.node(envelope.to).is_up
        if not is_up or not isinstance(message, Append) or message.epoch != epoch:
            return True
        would_fit = scenario.log(envelope.to).matches(message.previous)
        return not (would_fit and any(entry.epoch == epoch for entry in message.entries))

    scenario.cluster.network.lets_pass = lets_pass


def campaign(scenario: Scenario, name: str) -> int:
    """Let a node lead whose epoch start reaches nobody; its epoch."""
    scenario.run(3000)
    epoch = max(node.machine.node.highest_epoch for node in scenario.cluster.up) + 1
    keep_back(scenario, epoch)
    scenario.designate(name)
    scenario.until(lambda: scenario.node(name).machine.leadership is not None, 2000)
    scenario.run(200)
    assert scenario.epoch(name) == epoch
    return epoch


def play(scenario: Scenario) -> None:
    """Figure 8 of the Raft paper, with five servers."""
    scenario.lead("a")
    scenario.commit("a")
    scenario.run(200)

    # The last payload of a reaches nobody.
    scenario.isolate("a")
    old = scenario.build_on_last("a")
    request = scenario.submit("a", old)
    scenario.run(20)
    scenario.crash("a")

    # e is promised the next epoch, writes in it, and dies before anyone hears of that.
    scenario.heal()
    campaign(scenario, "e")
    scenario.crash("e")

    # a comes back, leads a third epoch, and brings the old payload to all but e.
    scenario.start("a")
    campaign(scenario, "a")
    assert all(scenario.holds(name, old) for name in "abcd")
    assert scenario.certified("a") < scenario.log("a").last.index - 1
    scenario.crash("a")

    # e leads once more, with c and d: its log is the better one, and the old payload goes.
    scenario.start("e")
    scenario.isolate("b")
    scenario.lead("e")
    scenario.commit("e")
    assert not scenario.holds("c", old)
    assert not scenario.holds("d", old)
    assert request not in scenario.answers


def test_old_entry_on_a_quorum_may_still_be_overwritten() -> None:
    scenario = Scenario(5, settings=ONE_BY_ONE)
    play(scenario)
    scenario.heal()
    scenario.start("a")
    scenario.finish()


def test_counting_the_old_entry_would_break_a_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    mutants.certifies_old_epochs(monkeypatch)
    with pytest.raises(InvariantViolation):
        play(Scenario(5, settings=ONE_BY_ONE))
