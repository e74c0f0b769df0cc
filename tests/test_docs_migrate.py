"""Holds the runbook of migrations to the program: its examples run, its refusals are said."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from raft_state.raft import StableState
from tests.raft_state.console_blocks import examples_of, is_as_expected, run
from tests.raft_state.flawed_states import IDS, command, make_node, noop, payload, sets
from tests.stopped_clusters import StoppedStores, ssz_of

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "runbooks" / "migrate.md").read_text("utf-8")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """What the page takes for granted: `raft` of a Go cluster, `stores` of one of ours."""
    log = (sets(1), noop(2, 2), *(command(i, payload(97 + i), term=2) for i in range(3, 33)))
    for number, server_id in enumerate(IDS):
        entries = log if number < 2 else log[:30]
        stable = StableState(2, 2, b"sequencer-2:50050")
        make_node(tmp_path / "raft", entries, server_id=server_id, stable=stable)
    stores = StoppedStores(tmp_path / "stores", IDS)
    blocks = (ssz_of(height) for height in range(150, 156))
    log_of_ours = stores.log().begin(7, stores.voter(IDS[0])).extend(*blocks)
    stores.write(IDS, log_of_ours, certified=7)
    return tmp_path


def test_every_example_does_what_the_page_says(place: Path) -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("OP_CONDUCTOR_")
    }
    examples = list(examples_of(PAGE))
    for example in examples:
        lines = run(example.command, place, environment).lines
        assert is_as_expected(lines, example.expected, place), f"{example.command}\n" + "\n".join(
            lines
        )
    assert len(examples) == 5


def test_refusals_on_the_page_are_those_of_the_program() -> None:
    """Each is said somewhere in the code that a migration goes through."""
    folders = (
        "conductor/migration",
        "conductor/store",
        "conductor/core",
        "raft_state/bolt",
        "raft_state/generate",
    )
    source = "\n".join(
        path.read_text("utf-8") for folder in folders for path in (ROOT / folder).glob("*.py")
    )
    said = re.sub(r'"\s*f?"', "", source)
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \|$", PAGE, re.MULTILINE)[2:]

    assert len(rows) == 12
    for row in rows:
        for part in filter(None, map(str.strip, row.split("..."))):
            assert part in said, part
