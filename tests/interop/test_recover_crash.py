"""What a recovery leaves that was killed in the middle: Raft can start from all of it.

Raft's own recovery of a copy reads what its start reads: the newest snapshot, and every entry
behind it.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from raft_state.recover import RECOVERING, parse_members, plan_recovery, recover
from tests.interop.go import Raftkit
from tests.raft_state.backup_states import KILLED, in_child, killed_at, tree

NOW = datetime(2025, 7, 7, 12, tzinfo=UTC)
IDS = ("node-1", "node-2")
MEMBERS = "node-1=10.0.0.1:50050,node-2=10.0.0.2:50050"
STATES_MIN = 2 * 4
"""Of each node: as before; with the new snapshot; with the new log; without the old snapshot."""


def recovering(root: Path) -> None:
    plan = plan_recovery(root, parse_members(MEMBERS.split(",")))
    recover(plan, save=lambda: root, now=NOW, settled=lambda: None)


def killed_states(state: Path, work: Path) -> Iterator[Path]:
    """The node directories after a kill before each change to the file system, each kind once."""
    seen: set[object] = set()
    for number in itertools.count():
        root = work / str(number)
        shutil.copytree(state, root)
        code = in_child(partial(recovering, root), killed_at(number))
        for directory in (root / name for name in IDS):
            for left in directory.glob(f"{RECOVERING}*"):
                shutil.rmtree(left)
            found = (directory.name, *tree(directory).items())
            if found not in seen:
                seen.add(found)
                yield directory
        if code != KILLED:
            assert code == 0
            return


def test_raft_reads_whatever_a_kill_leaves(
    raftkit: Raftkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    raftkit.run("write", "live", tmp_path / "live")
    state = tmp_path / "state"
    for name in IDS:
        shutil.copytree(tmp_path / "live" / name, state / name)
    (expected,) = raftkit.run("recover", "--members", MEMBERS, tmp_path / "live" / IDS[0])

    states = list(killed_states(state, tmp_path / "killed"))

    assert len(states) >= STATES_MIN
    for directory in states:
        (snapshot,) = raftkit.run("recover", "--members", MEMBERS, directory)
        assert {**snapshot, "id": ""} == {**expected, "id": ""}
