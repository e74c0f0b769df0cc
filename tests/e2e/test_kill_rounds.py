"""What was certified survives kill -9 of any node, at any moment of a commit."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.kill_rounds import Figures, play_batch

ROUNDS = 20
ROUNDS_MIN = 5
"""On a machine that is busy with other things."""
PLAY_S = 75.0


@pytest.mark.timeout(240)
async def test_no_certified_payload_is_lost_when_nodes_are_killed(tmp_path: Path) -> None:
    """Twenty kills, each in the middle of a commit; `scripts/kill_rounds` does two hundred."""
    figures = Figures()

    found = await play_batch(tmp_path, figures, rounds=ROUNDS, seed=1, play_s=PLAY_S)

    assert not found, "\n".join(found)
    assert figures.good, str(figures)
    assert figures.rounds >= ROUNDS_MIN
    assert figures.certified >= figures.rounds
    shutil.rmtree(tmp_path)  # half a gigabyte
