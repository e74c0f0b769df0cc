"""Trap T18: nodes that hear or reach only some of the others.

Of three nodes there are six directed links, 64 ways to have some of them; of five nodes some ways
are drawn. Whenever a node reaches a majority both ways, one such node leads and goes on certifying,
whatever the others hear or say; and while nobody does, nobody leads.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations
from random import Random

import pytest

from conductor.core.node import Settings
from conductor.core.voter import Voter
from conductor.simulation.network import NetworkRates
from tests.simulation.scenario import Scenario

Links = frozenset[str]
"""The links that work, each named like `ab`: from a to b."""

SETTINGS = Settings()
GRACE_MS = 2 * (SETTINGS.leader_timeout_ms + SETTINGS.campaign_timeout_ms)
"""Within this a leader is elected where there can be one."""
RUN_MS = 3000
TICK_MS = 200


def links_between(names: str) -> list[str]:
    """All directed links."""
    return ["".join(link) for link in permutations(names, 2)]


def has_majority(name: str, names: str, up: Links) -> bool:
    """Whether this node, with those that it reaches and hears, is more than half."""
    partners = [other for other in names if {name + other, other + name} <= up]
    return 2 * (len(partners) + 1) > len(names)


def ticks(scenario: Scenario, for_ms: int) -> Iterator[None]:
    """Every now and then for so long."""
    until_ms = scenario.cluster.now_ms + for_ms
    while scenario.cluster.now_ms < until_ms:
        scenario.run(TICK_MS)
        yield


def lose_links(names: str, up: Links, leader: str) -> Scenario:
    """A leader of a whole cluster, which then has all links cut but these."""
    network = NetworkRates(delay_ms_max=1)  # A stream would die with either of its directions.
    scenario = Scenario(len(names), settings=SETTINGS, network=network, keeps_text=False)
    scenario.lead(leader)
    scenario.commit(leader)
    scenario.run(300)
    scenario.cut(*(link for link in links_between(names) if link not in up))
    return scenario


def check(names: str, up: Links, leader: str) -> None:
    """Cut the links; a sane manager names one that can lead, and all the others want to."""
    scenario = lose_links(names, up, leader)
    epoch = scenario.epoch(leader)
    able = [name for name in (leader, *names) if has_majority(name, names, up)]
    stays = leader in able
    for _ in ticks(scenario, 0 if stays else GRACE_MS):
        for name in names:
            if name in able[:1] or name not in able:
                scenario.designate(name)
    if not able:
        assert scenario.leader() is None
        return
    for _ in ticks(scenario, RUN_MS):
        leading = scenario.leader()
        assert leading is not None
        for name in names:
            if name != leading:
                scenario.designate(name)
        scenario.commit(leading, within_ms=SETTINGS.lease_ms)
    if stays:
        assert (scenario.leader(), scenario.epoch(leader)) == (leader, epoch)


def all_ways(names: str) -> list[Links]:
    """Every subset of the links."""
    links = links_between(names)
    return [frozenset(up) for size in range(len(links) + 1) for up in combinations(links, size)]


@pytest.mark.parametrize("leader", ["a", "b", "c"])
@pytest.mark.parametrize("size", range(7))
def test_leader_with_a_majority_both_ways_stays_or_is_elected(size: int, leader: str) -> None:
    for up in all_ways("abc"):
        if len(up) == size:
            check("abc", up, leader)


@pytest.mark.parametrize("seed", range(30))
def test_leader_of_five_with_a_majority_both_ways_stays_or_is_elected(seed: int) -> None:
    random = Random(seed)
    links = links_between("abcde")
    up = frozenset(random.sample(links, random.randint(8, len(links) - 1)))
    check("abcde", up, "a")


def test_without_loyalty_to_a_live_leader_the_links_test_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Voter, "_loyalty", lambda self, candidate: "")

    def check_all() -> None:
        for up in all_ways("abc"):
            check("abc", up, "a")

    with pytest.raises(AssertionError):
        check_all()
