"""Crash a node before each single effect of a run, and start it again: no promise may break.

The run is ten payloads with a failover in the middle and a node that has to catch up. Between two
effects of a batch there is one point; what the disk had not finished is lost, or part of it is.
"""

from __future__ import annotations

import pytest

from conductor.core.node import Settings
from conductor.simulation.node import SimulatedNode
from tests.simulation.scenario import Scenario

PAYLOADS = 10
SETTINGS = Settings(
    heartbeat_ms=200,
    lease_ms=600,
    leader_timeout_ms=900,
    campaign_timeout_ms=600,
    touch_interval_ms=600,
    retain_payloads=3,
)
PARTS = 6
"""The points are dealt out to so many tests."""


class Interruption:
    """Crashes whichever node is about to perform the effect of that number."""

    def __init__(self, scenario: Scenario, point: int) -> None:
        self._scenario = scenario
        self._point = point
        self.effects = 0
        scenario.cluster.before_effect = self._is_due

    def _is_due(self, node: SimulatedNode) -> bool:
        self.effects += 1
        if self.effects != self._point:
            return False
        name = node.key.server_id
        self._scenario.cluster.scheduler.after(300, lambda: self._scenario.start(name))
        return True


def commit_somewhere(scenario: Scenario) -> None:
    """Certify one more payload with whoever leads, after whatever failover it takes."""
    last = scenario.judges.certificates.newest.index

    def is_certified() -> bool:
        if scenario.judges.certificates.newest.index > last:
            return True
        leader = scenario.leader()
        if leader is None:
            for node in scenario.cluster.up:
                if node.machine.campaign is None:
                    scenario.designate(node.key.server_id)
        elif scenario.log(leader).certified == scenario.log(leader).last:
            scenario.submit(leader, scenario.build_on_last(leader))
        return False

    scenario.until(is_certified, 20_000)


def play(point: int, seed: int) -> int:
    """The whole run with a crash at that point; how many effects it had."""
    scenario = Scenario(seed=seed, settings=SETTINGS, keeps_text=False)
    interruption = Interruption(scenario, point)
    for _ in range(PAYLOADS // 2):
        commit_somewhere(scenario)
    scenario.isolate("c")
    commit_somewhere(scenario)
    scenario.heal()
    scenario.run(400)
    if scenario.leader() is not None:
        scenario.crash(scenario.leader() or "")
    for _ in range(PAYLOADS // 2):
        commit_somewhere(scenario)
    scenario.cluster.before_effect = None
    scenario.start("a", "b", "c")
    scenario.run(1500)
    commit_somewhere(scenario)
    scenario.run(500)
    assert len({scenario.certified(name) for name in "abc"}) == 1
    scenario.finish()
    return interruption.effects


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("part", range(PARTS))
def test_crash_before_any_effect_breaks_no_promise(part: int, seed: int) -> None:
    effects = play(0, seed)
    assert effects > 150
    for point in range(1 + part, effects + 1, PARTS):
        play(point, seed)
