"""Recovered directories: Raft's own recovery leaves the same, and real Raft goes on from them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from conductor.devnet.processes import free_ports
from conductor.payload import encode
from raft_state.backup import back_up
from raft_state.bolt import write_database
from raft_state.generate import generate_cluster
from raft_state.node import LOG_FILE, STABLE_FILE, certain_index, open_node
from raft_state.raft import (
    CONF,
    LOGS,
    Configuration,
    EntryForm,
    EntryType,
    LogEntry,
    Server,
    StableState,
    encode_configuration,
    encode_entry,
    encode_peers,
    index_key,
    stable_items,
)
from raft_state.recover import Outlook, parse_members, plan_recovery, recover
from tests.interop.clusters import request_for
from tests.interop.go import Findings, Raftkit
from tests.interop.views import assert_no_errors, servers_view, store_view
from tests.payload.builders import an_envelope

NOW = datetime(2025, 7, 7, 12, tzinfo=UTC)
TERM = 4

Items = list[tuple[bytes, bytes]]
Maker = Callable[[Raftkit, Path], list[str]]
"""Makes the directories of a cluster's survivors; their ids."""


def committed_log(raftkit: Raftkit, state: Path) -> list[str]:
    """A cluster that has never taken a snapshot."""
    request = request_for(3)
    generate_cluster(request, state)
    raftkit.run("cluster", "--dir", state, "--in-place", "--commits", 25)
    return list(request.server_ids)


def log_behind_a_snapshot(raftkit: Raftkit, state: Path) -> list[str]:
    """A cluster whose members changed, with snapshots, compacted logs, entries behind them."""
    raftkit.run("write", "live", state)
    return [path.name for path in sorted(state.iterdir())]


def snapshot_alone(raftkit: Raftkit, state: Path) -> list[str]:
    """A cluster that took its snapshots last."""
    request = request_for(3)
    generate_cluster(request, state)
    raftkit.run("cluster", "--dir", state, "--in-place", "--commits", 40, "--snapshot")
    return list(request.server_ids)


def legacy_entries(_raftkit: Raftkit, state: Path) -> list[str]:
    """A log of releases before 1.3: no times, peers for members; and what is no payload."""
    peers = ["127.0.0.1:7001", "127.0.0.1:7002"]
    entries = [
        LogEntry(1, 1, EntryType.ADD_PEER, encode_peers(peers)),
        LogEntry(2, 1, EntryType.REMOVE_PEER, encode_peers(peers[:1])),
        *(payload_entry(index, 1) for index in range(3, 9)),
        LogEntry(9, 2, EntryType.COMMAND, b"no payload"),
        LogEntry(10, 2, EntryType.COMMAND, b""),
        LogEntry(11, TERM, EntryType.BARRIER),
    ]
    items = [(index_key(each.index), encode_entry(each, EntryForm.UNTIMED)) for each in entries]
    # Those releases named members by their addresses.
    write_node(state / peers[0], items)
    return [peers[0]]


def uncommitted_tail(_raftkit: Raftkit, state: Path) -> list[str]:
    """A leader that was cut off with entries that nobody else has; another lags behind."""
    ids = ["sequencer-1", "sequencer-2", "sequencer-3"]
    members = Configuration(tuple(Server(name, f"{name}:50050") for name in ids))
    first = LogEntry(1, 1, EntryType.CONFIGURATION, encode_configuration(members))
    shared = [first, *(payload_entry(index, 1) for index in range(2, 30))]
    tail = [payload_entry(index, 3) for index in range(30, 42)]
    for name, entries in zip(ids, ([*shared, *tail], shared[:20], shared), strict=True):
        items = [(index_key(each.index), encode_entry(each)) for each in entries]
        write_node(state / name, items)
    return ids


def payload_entry(index: int, term: int) -> LogEntry:
    return LogEntry(index, term, EntryType.COMMAND, encode(an_envelope(3, height=1000 + index)))


def write_node(directory: Path, items: Items) -> None:
    directory.mkdir(parents=True)
    stable = stable_items(StableState(TERM, TERM, b"127.0.0.1:50050"))
    write_database(directory / LOG_FILE, {LOGS: items, CONF: ()})
    write_database(directory / STABLE_FILE, {LOGS: (), CONF: stable})


MAKERS: tuple[Maker, ...] = (
    committed_log,
    log_behind_a_snapshot,
    snapshot_alone,
    legacy_entries,
    uncommitted_tail,
)


def members_text(ids: list[str]) -> str:
    """The members of before at new addresses."""
    ports = free_ports(len(ids))
    return ",".join(f"{name}=127.0.0.1:{port}" for name, port in zip(ids, ports, strict=True))


def recovered(state: Path, members: str, backups: Path) -> Outlook:
    """Recover a cluster with our own program."""

    def save() -> Path:
        return back_up(state, backups, now=NOW, tool_version="1", allow_damaged=True).backup

    plan = plan_recovery(state, parse_members(members.split(",")))
    return recover(plan, save=save, now=NOW, settled=lambda: None).outlook


@pytest.mark.parametrize("make", MAKERS)
def test_recovery_leaves_what_raft_leaves_and_real_raft_goes_on_from_it(
    raftkit: Raftkit, make: Maker, tmp_path: Path
) -> None:
    state, of_go = tmp_path / "state", tmp_path / "go"
    members = members_text(make(raftkit, state))
    shutil.copytree(state, of_go)

    outlook = recovered(state, members, tmp_path / "backups")

    source = outlook.source.server_id
    before = store_view(of_go / source / STABLE_FILE)
    (expected,) = raftkit.run("recover", "--members", members, of_go / source)
    for target in outlook.targets:
        (snapshot,) = raftkit.run("snapshots", target.directory)
        assert {**snapshot, "id": ""} == {**expected, "id": ""}
        for name in (LOG_FILE, STABLE_FILE):
            raftkit.check(target.directory / name)
            assert store_view(target.directory / name)["entries"] == []
    assert store_view(state / source / STABLE_FILE) == before
    assert store_view(of_go / source / LOG_FILE) == store_view(state / source / LOG_FILE)
    assert_no_errors(state)
    assert_raft_goes_on(raftkit, state, outlook)


def assert_raft_goes_on(raftkit: Raftkit, state: Path, outlook: Outlook) -> None:
    """Real nodes elect a leader, know the new members, and build on the newest payload."""
    (report,) = raftkit.run(
        *("cluster", "--dir", state, "--in-place", "--commits", 3, "--restarts", 1)
    )
    payload = outlook.source.payload
    assert payload is not None
    for phase, commits in zip(report["phases"], (3, 6), strict=True):
        assert phase["term"] > outlook.current_term
        for node in phase["nodes"]:
            assert node["configuration"] == servers_view(outlook.configuration)
            assert node["height"] == payload.height + commits
            assert node["applied_index"] > outlook.last_index
    assert report["check_errors"] == []


def test_what_is_said_to_be_uncommitted_is_what_no_majority_had(
    raftkit: Raftkit, tmp_path: Path
) -> None:
    members = members_text(uncommitted_tail(raftkit, tmp_path / "state"))

    outlook = recovered(tmp_path / "state", members, tmp_path / "backups")

    assert outlook.source.server_id == "sequencer-1"
    assert outlook.commits is not None
    assert (outlook.commits.first, outlook.commits.last) == (2, 41)


def test_certain_entries_of_a_live_cluster_are_committed_on_all(
    raftkit: Raftkit, tmp_path: Path
) -> None:
    """The nodes stopped in agreement, so what is certain is in all of their logs or snapshots."""
    log_behind_a_snapshot(raftkit, tmp_path)

    for directory in sorted(tmp_path.iterdir()):
        with open_node(directory) as node:
            assert node.log is not None
            assert 0 < certain_index(node) <= (node.log.last_index or 0)


def test_members_without_a_state_get_it_from_the_recovered_one(
    raftkit: Raftkit, tmp_path: Path
) -> None:
    """One survivor of three, two machines that are new."""
    state = tmp_path / "state"
    ids = log_behind_a_snapshot(raftkit, state)
    for name in ids[1:]:
        shutil.rmtree(state / name)
    members = members_text([ids[0], "new-1", "new-2"])

    outlook = recovered(state, members, tmp_path / "backups")

    assert outlook.absent == ("new-1", "new-2")
    nodes: list[dict[str, Any]] = raftkit.run("rejoin", "--commits", 3, state)
    payload = outlook.source.payload
    assert payload is not None
    assert len(nodes) == 3
    for node in nodes:
        assert node["configuration"] == servers_view(outlook.configuration)
        assert node["height"] == payload.height + 3


def test_cluster_without_a_payload_begins_anew_where_raft_itself_gives_up(
    raftkit: Raftkit, tmp_path: Path
) -> None:
    state, of_go = tmp_path / "state", tmp_path / "go"
    request = request_for(3, term=3)
    generate_cluster(request, state)
    raftkit.run("cluster", "--dir", state, "--in-place", "--commits", 0)
    members = members_text([*request.server_ids])
    shutil.copytree(state, of_go)
    with pytest.raises(Findings, match="no payload yet"):
        raftkit.run("recover", "--members", members, of_go / request.server_ids[0])

    outlook = recovered(state, members, tmp_path / "backups")

    assert not outlook.is_snapshot
    assert_no_errors(state)
    (report,) = raftkit.run("cluster", "--dir", state, "--in-place", "--commits", 3)
    (phase,) = report["phases"]
    assert phase["term"] > outlook.current_term
    for node in phase["nodes"]:
        assert node["configuration"] == servers_view(outlook.configuration)
        assert node["height"] == 3


def test_recovering_twice_is_recovering_once(raftkit: Raftkit, tmp_path: Path) -> None:
    state = tmp_path / "state"
    members = members_text(log_behind_a_snapshot(raftkit, state))
    first = recovered(state, members, tmp_path / "backups")
    (once,) = raftkit.run("snapshots", first.targets[0].directory)

    second = recovered(state, members, tmp_path / "backups")

    (twice,) = raftkit.run("snapshots", second.targets[0].directory)
    assert {**twice, "id": ""} == {**once, "id": ""}
    assert second.commits is None
    assert_raft_goes_on(raftkit, state, second)
