"""A seed is a whole schedule: it gives the same one again, in every process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from conductor.simulation.plan import PROFILES
from conductor.simulation.schedule import run_schedule
from conductor.simulation.trace import Trace

SEEDS = range(2)


def digests() -> list[str]:
    """The traces of a few schedules of every profile."""
    return [run_schedule(seed, profile).digest for profile in PROFILES for seed in SEEDS]


def test_same_seed_gives_the_same_trace() -> None:
    assert digests() == digests()


def test_seeds_and_profiles_give_different_traces() -> None:
    assert len(set(digests())) == len(PROFILES) * len(SEEDS)


def test_keeping_the_text_changes_nothing() -> None:
    trace = Trace(keeps_text=True)
    assert run_schedule(1, "swarm", trace=trace).digest == run_schedule(1, "swarm").digest
    assert trace.lines


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_trace_does_not_depend_on_the_hash_seed_of_the_process(hash_seed: str) -> None:
    program = "from tests.simulation.test_determinism import digests; print(*digests())"
    printed = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed.split() == digests()
