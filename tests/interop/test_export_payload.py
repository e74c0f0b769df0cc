"""Payloads that real nodes were handed come out of their directories as they went in."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from raft_state.export import Choice, PayloadFormat, find_payload
from raft_state.generate import generate_cluster
from raft_state.node import LOG_FILE
from raft_state.raft import EntryType
from tests.interop.clusters import request_for
from tests.interop.go import Raftkit

COMMITS = 30


def test_every_command_in_a_log_of_go_is_exported_as_it_is(
    raftkit: Raftkit, tmp_path: Path
) -> None:
    request = request_for(3)
    generate_cluster(request, tmp_path)
    raftkit.run("cluster", "--dir", tmp_path, "--in-place", "--commits", COMMITS)
    node = tmp_path / request.server_ids[0]

    entries = raftkit.dump(node / LOG_FILE)["entries"]

    commands = [entry for entry in entries if entry["type"] == EntryType.COMMAND]
    assert len(commands) == COMMITS
    for height, entry in enumerate(commands, 1):
        found = find_payload(node, Choice(index=entry["index"]))
        exported = found.encoded(PayloadFormat.SSZ)
        assert hashlib.sha256(exported).hexdigest() == entry["data_sha256"]
        assert (found.height, found.term) == (height, entry["term"])
        assert find_payload(tmp_path, Choice(height=height)).ssz == exported


def test_newest_of_a_compacted_log_is_that_of_the_snapshot(
    raftkit: Raftkit, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    request = request_for(3)
    generate_cluster(request, tmp_path)
    raftkit.run("cluster", "--dir", tmp_path, "--in-place", "--commits", COMMITS, "--snapshot")
    node = tmp_path / request.server_ids[0]
    (snapshot,) = raftkit.run("snapshots", node)
    # What trails behind a snapshot in the log is not needed.
    shutil.copyfile(_empty_log(raftkit, tmp_path_factory.mktemp("empty")), node / LOG_FILE)

    found = find_payload(node, Choice())

    assert found.is_from_snapshot
    assert found.is_certain
    assert found.height == COMMITS
    assert hashlib.sha256(found.ssz).hexdigest() == snapshot["state_sha256"]


def _empty_log(raftkit: Raftkit, directory: Path) -> Path:
    (log,) = raftkit.run("write", "all-deleted", directory)
    return Path(log)
