"""The simulator bites: a core with any one rule broken does not get through its schedules.

The unbroken core passes all of these seeds in `test_schedules`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from conductor.simulation.schedule import run_schedule
from tests.simulation import mutants
from tests.simulation.test_schedules import seeds_of

Mutant = Callable[[pytest.MonkeyPatch], None]

CAUGHT_WITHIN: dict[Mutant, tuple[str, int]] = {
    mutants.acknowledges_before_sync: ("swarm", 20),
    mutants.acknowledges_more_than_was_checked: ("swarm", 40),
    mutants.adopts_the_longest: ("churn", 150),
    mutants.answers_commits_twice: ("swarm", 40),
    mutants.answers_duplicates_at_once: ("swarm", 80),
    mutants.asks_before_own_promise: ("swarm", 20),
    mutants.believes_certified_indexes: ("churn", 60),
    mutants.calls_lost_commits_refused: ("sequencers", 40),
    mutants.calls_ordered_transfers_refused: ("lag", 60),
    mutants.certifies_old_epochs: ("sequencers", 200),
    mutants.counts_own_unsynced_write: ("swarm", 20),
    mutants.drops_own_tail_before_adopting: ("churn", 60),
    mutants.follows_without_writing_promise: ("churn", 40),
    mutants.forgets_where_the_chain_was: ("heirs", 20),
    mutants.gives_up_on_silent_members: ("swarm", 150),
    mutants.grants_before_sync: ("swarm", 20),
    mutants.grants_equal_epochs: ("churn", 300),
    mutants.half_is_a_quorum: ("sequencers", 150),
    mutants.ignores_grants: ("swarm", 20),
    mutants.keeps_leading_after_promise: ("churn", 100),
    mutants.leads_before_adoption_is_durable: ("churn", 60),
    mutants.lets_stale_sequencers_fork: ("sequencers", 200),
    mutants.mixes_epochs: ("sequencers", 200),
    mutants.never_answers_lost_commits: ("swarm", 60),
    mutants.never_sleeps: ("swarm", 60),
    mutants.reads_without_quorum: ("sequencers", 200),
    mutants.reorganises_below_the_head: ("heirs", 20),
    mutants.reports_ahead_of_queued_writes: ("churn", 300),
    mutants.reuses_epoch_after_restart: ("churn", 200),
    mutants.settles_for_second_best: ("churn", 500),
    mutants.truncates_on_shorter_message: ("churn", 80),
}
"""In which profile, and among how many schedules, each of them is noticed at the latest."""


@pytest.mark.parametrize("mutant", CAUGHT_WITHIN, ids=lambda mutant: mutant.__name__)
def test_broken_rule_is_noticed(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    profile, schedules = CAUGHT_WITHIN[mutant]
    assert schedules <= len(seeds_of(profile))
    mutant(monkeypatch)
    assert any(run_schedule(seed, profile).violation for seed in range(schedules))


def test_every_mutant_is_tried() -> None:
    written = {
        mutant
        for name, mutant in inspect.getmembers(mutants, inspect.isfunction)
        if mutant.__module__ == mutants.__name__ and not name.startswith("_")
    }
    assert written == set(CAUGHT_WITHIN)
