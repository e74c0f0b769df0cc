"""The command that runs schedules and replays them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from conductor.simulation.cli import simulate
from conductor.simulation.schedule import run_schedule
from tests.simulation import mutants


def test_schedules_that_keep_every_promise_are_summed_up() -> None:
    result = CliRunner().invoke(simulate, ["--seed", "5", "--schedules", "3"])
    assert result.exit_code == 0, result.output
    assert "3 schedules" in result.output
    assert "every promise kept" in result.output


def test_trace_shows_what_happened() -> None:
    result = CliRunner().invoke(simulate, ["--seed", "5", "--trace"])
    assert result.exit_code == 0, result.output
    assert "a starts" in result.output
    assert "LeadershipChanged" in result.output


@pytest.mark.parametrize("schedules", ["1", "50"])
def test_broken_promise_is_named_with_the_one_command_that_replays_it(
    monkeypatch: pytest.MonkeyPatch, schedules: str
) -> None:
    mutants.acknowledges_before_sync(monkeypatch)
    result = CliRunner().invoke(simulate, ["--profile", "churn", "--schedules", schedules])
    assert result.exit_code == 1
    assert "durable before it is said" in result.output
    assert "replay with: ./scripts/simulate --seed 0 --profile churn\n" in result.output


def test_the_command_that_replays_is_there() -> None:
    script = Path(__file__).resolve().parents[2] / "scripts" / "simulate"
    assert os.access(script, os.X_OK)


def test_failure_replays_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    mutants.truncates_on_shorter_message(monkeypatch)
    outcomes = [run_schedule(seed, "churn") for seed in range(30)]
    first = next(outcome for outcome in outcomes if outcome.violation)
    assert run_schedule(first.seed, "churn") == first
