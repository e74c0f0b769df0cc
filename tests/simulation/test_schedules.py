"""The swarm: two thousand schedules, and proof that rare things happened in them."""

from __future__ import annotations

from collections import Counter

import pytest

from conductor.simulation.schedule import run_schedule

CHUNKS = {
    "swarm": (3, 260),
    "churn": (2, 250),
    "streams": (1, 180),
    "lag": (1, 200),
    "quorums": (1, 140),
    "sequencers": (2, 100),
    "heirs": (1, 150),
}
"""Into how many tests each profile is dealt, and how many schedules each of them runs."""

COMMON = {"commit": 95, "established": 95, "campaign_failed": 35, "restart": 25, "adoption": 10}
RARE = {
    "swarm": {
        "contested_epoch": 10,
        "hand_over": 5,
        "forced_hand_over": 3,
        "base_install": 3,
        "truncation": 1,
        "late_certificate": 1,
        "superseded": 1,
    },
    "churn": {"adoption": 70, "truncation": 20, "contested_epoch": 20, "superseded": 5},
    "streams": {"contested_epoch": 10, "hand_over": 5, "base_install": 3, "truncation": 1},
    "lag": {"base_install": 20, "prune": 60, "contested_epoch": 5, "hand_over": 3},
    "quorums": {"contested_epoch": 5, "hand_over": 5, "base_install": 1},
    "sequencers": {"truncation": 10, "adoption": 40, "base_install": 3},
    "heirs": {"contested_epoch": 10, "hand_over": 5, "base_install": 1, "truncation": 1},
}
"""In how many percent of its schedules each of these must have happened at the least."""


def seeds_of(profile: str) -> range:
    """All seeds of a profile that are run here."""
    chunks, size = CHUNKS[profile]
    return range(chunks * size)


@pytest.mark.parametrize(
    ("profile", "chunk"),
    [(profile, chunk) for profile, (chunks, _) in CHUNKS.items() for chunk in range(chunks)],
)
def test_no_schedule_breaks_a_promise(profile: str, chunk: int) -> None:
    _, size = CHUNKS[profile]
    hit: Counter[str] = Counter()
    for seed in seeds_of(profile)[chunk * size : (chunk + 1) * size]:
        outcome = run_schedule(seed, profile)
        assert outcome.violation is None, outcome.failure
        hit.update(name for name, count in outcome.counts.items() if count)
    for name, percent in (COMMON | RARE[profile]).items():
        share = 100 * hit[name] / size
        assert share >= percent, f"only {share:.1f} % of the schedules had a {name}"


def test_two_thousand_schedules_are_run() -> None:
    assert sum(len(seeds_of(profile)) for profile in CHUNKS) >= 2000
