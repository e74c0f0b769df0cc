"""Copies and backups of databases that real Raft nodes are writing to meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from conductor.errors import StoreLocked
from raft_state.backup import back_up, open_backup, plan_restore, restore
from raft_state.bolt import copy_database, open_database
from raft_state.generate import generate_cluster
from raft_state.node import LOG_FILE
from tests.interop.clusters import asked_for, database_files, request_for
from tests.interop.go import Raftkit
from tests.interop.views import assert_no_errors, database_view, store_view

COPIES = 25
NOW = datetime(2025, 7, 7, 12, tzinfo=UTC)


def test_database_of_a_running_node_is_locked(raftkit: Raftkit, tmp_path: Path) -> None:
    request = request_for(1)
    generate_cluster(request, tmp_path)
    log = tmp_path / request.initial_leader / LOG_FILE

    with raftkit.running_cluster(tmp_path), pytest.raises(StoreLocked):
        open_database(log)
    open_database(log).close()


def test_copies_of_a_log_that_go_appends_to_are_sound(raftkit: Raftkit, tmp_path: Path) -> None:
    request = request_for(1)
    generate_cluster(request, tmp_path / "state")
    log = tmp_path / "state" / request.initial_leader / LOG_FILE
    copies = [tmp_path / f"{number}.db" for number in range(COPIES)]

    with raftkit.running_cluster(tmp_path / "state"):
        for copy in copies:
            copy_database(log, copy)

    raftkit.check(*copies)
    lengths = []
    for copy in copies:
        assert database_view(copy)["check_errors"] == []
        entries = store_view(copy)["entries"]
        assert [entry["index"] for entry in entries] == list(range(1, len(entries) + 1))
        lengths.append(len(entries))
    # The log did grow in between: the copies are of different moments.
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1] < len(store_view(log)["entries"])


def test_backup_of_a_running_cluster_is_one_that_raft_starts_from(
    raftkit: Raftkit, tmp_path: Path
) -> None:
    state, restored = tmp_path / "state", tmp_path / "restored"
    request = request_for(3)
    generate_cluster(request, state)

    with raftkit.running_cluster(state):
        backup = back_up(state, tmp_path / "backups", now=NOW, tool_version="1").backup
    assert open_backup(backup).remarks == ()
    restore(plan_restore(backup, restored), now=NOW, settled=lambda: None)

    files = database_files(request, restored)
    raftkit.check(*files)
    (report,) = raftkit.run("cluster", "--dir", restored, "--in-place", "--commits", 3)
    (phase,) = report["phases"]
    for node in phase["nodes"]:
        assert node["configuration"] == asked_for(request)
        assert node["height"] > 3
    raftkit.check(*files)
    assert_no_errors(restored)
