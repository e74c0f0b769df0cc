"""Real Raft nodes start from directories that we generate: no bootstrap, no member added by hand.

They run in one process of `raftkit`, talk over TCP on loopback at the addresses in their
configuration, and keep their state where we wrote it.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from conductor.payload import encode
from raft_state.bolt import write_database
from raft_state.generate import ClusterRequest, LeaderMode, generate_cluster
from raft_state.node import LOG_FILE, SNAPSHOTS
from raft_state.raft import (
    CONF,
    LOGS,
    Configuration,
    Server,
    Suffrage,
    decode_command,
    list_snapshots,
    write_snapshot,
)
from tests.interop.clusters import asked_for, database_files, request_for
from tests.interop.go import Raftkit
from tests.interop.views import assert_no_errors, database_view, store_view
from tests.payload.builders import an_envelope

COMMITS = 5
ROUNDS = 30
HEARTBEAT = "30ms"
"""Of many rounds: who wins must not depend on it."""

CLUSTERS = tuple(
    (members, nonvoters, term, mode)
    for (members, nonvoters), (term, mode) in itertools.product(
        [(1, 0), (3, 0), (5, 0), (7, 0), (4, 1), (7, 2)],
        [
            (1, LeaderMode.VOTE),
            (5, LeaderMode.VOTE),
            (1, LeaderMode.ENFORCED),
            (5, LeaderMode.ENFORCED),
        ],
    )
)


@pytest.mark.parametrize(("members", "nonvoters", "term", "mode"), CLUSTERS)
def test_generated_cluster_elects_commits_and_survives_a_restart(
    raftkit: Raftkit, members: int, nonvoters: int, term: int, mode: LeaderMode, tmp_path: Path
) -> None:
    request = request_for(members, nonvoters=nonvoters, term=term, mode=mode)
    generate_cluster(request, tmp_path)
    files = database_files(request, tmp_path)
    raftkit.check(*files)
    assert_no_errors(tmp_path)

    (report,) = raftkit.run(
        *("cluster", "--dir", tmp_path, "--in-place", "--commits", COMMITS, "--restarts", 1)
    )

    expected = asked_for(request)
    alone = asked_for(request, request.initial_leader)
    for server_id, persisted in report["persisted"].items():
        knows_all = mode is LeaderMode.VOTE or server_id == request.initial_leader
        assert persisted == (expected if knows_all else alone)
    first, second = report["phases"]
    if mode is LeaderMode.ENFORCED:
        assert first["elections"][0]["leader"] == request.initial_leader
    assert_cluster_worked(first, expected, COMMITS)
    assert_cluster_worked(second, expected, 2 * COMMITS)
    assert term < first["term"] < second["term"]
    assert {node["id"] for node in first["nodes"]} == set(request.server_ids)
    # Nothing of the first life is lost: with no snapshot, the second applies it again.
    assert all(node["applied"] >= COMMITS for node in first["nodes"])
    assert all(node["applied"] >= 2 * COMMITS for node in second["nodes"])

    assert report["check_errors"] == []
    raftkit.check(*files)
    assert_files_agree(request, tmp_path)
    assert_no_errors(tmp_path)


def assert_cluster_worked(phase: Any, configuration: list[dict[str, Any]], height: int) -> None:
    """Every node follows one leader, a voter, and has its configuration and its newest payload."""
    states = [node["state"] for node in phase["nodes"]]
    assert sorted(set(states)) in (["Follower", "Leader"], ["Leader"])
    assert states.count("Leader") == 1
    (leader,) = (server for server in configuration if server["id"] == phase["leader"])
    assert leader["suffrage"] == Suffrage.VOTER
    for node in phase["nodes"]:
        assert node["configuration"] == configuration
        assert node["height"] == height
        assert node["term"] == phase["term"]


def assert_files_agree(request: ClusterRequest, directory: Path) -> None:
    """We read what Raft left behind: sound databases, and on all nodes the same log."""
    for file in database_files(request, directory):
        assert database_view(file)["check_errors"] == []
    logs = [store_view(directory / name / LOG_FILE) for name in request.server_ids]
    assert all(log["entries"] == logs[0]["entries"] for log in logs)
    assert len(logs[0]["entries"]) >= 2 * COMMITS + 3


@pytest.mark.parametrize(("members", "nonvoters"), [(3, 0), (5, 1)])
@pytest.mark.parametrize("late", [False, True], ids=["with the others", "after the others"])
def test_enforced_leader_wins_the_first_election_every_time(
    raftkit: Raftkit, members: int, nonvoters: int, late: bool, tmp_path: Path
) -> None:
    """`late`: the others have waited for several election timeouts when it starts."""
    request = request_for(members, nonvoters=nonvoters, mode=LeaderMode.ENFORCED)
    generate_cluster(request, tmp_path)

    rounds = raftkit.run(
        *("cluster", "--dir", tmp_path, "--rounds", ROUNDS, "--heartbeat", HEARTBEAT),
        *("--late", request.initial_leader if late else "", "--commits", 1),
    )

    winners = [one["phases"][0]["elections"][0]["leader"] for one in rounds]
    assert winners == [request.initial_leader] * ROUNDS
    assert all(one["check_errors"] == [] for one in rounds)


def test_recorded_vote_alone_lets_the_others_lead_when_the_leader_is_late(
    raftkit: Raftkit, tmp_path: Path
) -> None:
    """What `enforced` is for; and the proof that the test above could fail."""
    request = request_for(3, mode=LeaderMode.VOTE)
    generate_cluster(request, tmp_path)

    rounds = raftkit.run(
        *("cluster", "--dir", tmp_path, "--rounds", 3, "--heartbeat", HEARTBEAT),
        *("--late", request.initial_leader),
    )

    winners = {one["phases"][0]["elections"][0]["leader"] for one in rounds}
    assert request.initial_leader not in winners


def test_raft_starts_from_snapshots_that_we_wrote(raftkit: Raftkit, tmp_path: Path) -> None:
    """As after a recovery: the log is empty, the snapshot has the state and the members."""
    request = request_for(3)
    generate_cluster(request, tmp_path)
    configuration = Configuration(
        tuple(map(Server, request.server_ids, request.addresses)),
    )
    for server_id in request.server_ids:
        write_database(tmp_path / server_id / LOG_FILE, {LOGS: [], CONF: []}, replace=True)
        directory = tmp_path / server_id / SNAPSHOTS
        directory.mkdir()
        write_snapshot(
            directory,
            index=40,
            term=1,
            configuration=configuration,
            configuration_index=7,
            state=encode(an_envelope(height=1000)),
            unix_ms=1_752_244_856_123,
        )

    assert_no_errors(tmp_path)
    (snapshot,) = raftkit.run("snapshots", tmp_path / request.server_ids[0])
    assert snapshot["id"] == "1-40-1752244856123"
    assert snapshot["servers"] == asked_for(request)
    (report,) = raftkit.run(
        *("cluster", "--dir", tmp_path, "--in-place", "--commits", 0, "--restarts", 1)
    )
    first, _second = report["phases"]
    assert_cluster_worked(first, asked_for(request), 1000)
    assert all(node["applied_index"] > 40 for node in first["nodes"])
    assert_no_errors(tmp_path)


def test_snapshots_of_raft_beside_our_databases_are_read(raftkit: Raftkit, tmp_path: Path) -> None:
    request = request_for(3)
    generate_cluster(request, tmp_path)

    (report,) = raftkit.run(
        *("cluster", "--dir", tmp_path, "--in-place", "--commits", 30, "--snapshot"),
        *("--restarts", 1),
    )

    for phase, height in zip(report["phases"], (30, 60), strict=True):
        assert_cluster_worked(phase, asked_for(request), height)
    for server_id in request.server_ids:
        (snapshot,) = list_snapshots(tmp_path / server_id / SNAPSHOTS).listed
        assert snapshot.problems == ()
        payload = decode_command((snapshot.directory / "state.bin").read_bytes())
        assert payload.header is not None
        assert payload.header.height == 60
        assert store_view(tmp_path / server_id / LOG_FILE)["first_index"] > 1
    assert_no_errors(tmp_path)
