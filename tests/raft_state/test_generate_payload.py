"""States of new clusters that go on from a block: every log ends with its payload."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from conductor.errors import ConfigError
from raft_state.generate import ClusterRequest, LeaderMode, generate_cluster
from raft_state.node import node_directories, open_node
from raft_state.raft import EntryType
from raft_state.verify import verify_state
from tests.raft_state.flawed_states import IDS, SSZ, payload

REQUEST = ClusterRequest(
    addresses=[f"{server_id}:50050" for server_id in IDS],
    server_ids=IDS,
    initial_leader=IDS[1],
    initial_term=9,
    payload=payload(70),
)


def test_every_log_ends_with_the_payload(tmp_path: Path) -> None:
    generate_cluster(REQUEST, tmp_path, settled=lambda: None)

    for directory in node_directories(tmp_path):
        with open_node(directory) as node:
            assert node.log is not None
            entries = [stored.decoded.entry for stored in node.log.entries() if stored.decoded]
            assert [(entry.index, entry.term, entry.type) for entry in entries] == [
                (1, 9, EntryType.CONFIGURATION),
                (2, 9, EntryType.COMMAND),
            ]
            assert entries[1].data == payload(70)
    assert {finding.severity.value for finding in verify_state(tmp_path).findings} <= {"info"}


def test_what_op_conductor_could_not_read_is_refused(tmp_path: Path) -> None:
    for ssz in (b"rubbish", (SSZ / "legacy_v3_1.bin").read_bytes()):
        with pytest.raises(ConfigError, match="the payload is none that op-conductor can read"):
            generate_cluster(replace(REQUEST, payload=ssz), tmp_path, settled=lambda: None)


def test_leader_mode_enforced_takes_no_payload(tmp_path: Path) -> None:
    """Only the leader's log would hold it: one disk, until the others have caught up."""
    request = replace(REQUEST, leader_mode=LeaderMode.ENFORCED)

    with pytest.raises(ConfigError, match="all logs have to be alike"):
        generate_cluster(request, tmp_path, settled=lambda: None)
    assert list(tmp_path.iterdir()) == []
