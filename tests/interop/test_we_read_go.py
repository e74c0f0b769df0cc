"""Databases and snapshots that the Go libraries write are read to what Go itself reads in them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from raft_state.bolt import open_database
from raft_state.node import open_node
from raft_state.raft import (
    LOGS,
    EntryType,
    configuration_of,
    decode_command,
    decode_entry,
    encode_configuration,
    encode_entry,
    encode_peers,
    list_snapshots,
)
from tests.interop.go import Raftkit
from tests.interop.views import assert_no_errors, database_view, servers_view, store_view

SCENARIOS = (
    "all-deleted",
    "big-values",
    "churned",
    "empty",
    "fifty-thousand",
    "first-version",
    "front-deleted",
    "gaps",
    "huge-freelist",
    "legacy-peers",
    "live",
    "merged",
    "nested-buckets",
    "new-time-format",
    "odd-entries",
    "one",
    "page-1024",
    "page-16384",
    "page-512",
    "page-65536",
    "recovered",
    "stable",
    "thousand",
    "unsynced-freelist",
)

ENTRIES = {
    "big-values": 20,
    "empty": 0,
    "fifty-thousand": 50_000,
    "front-deleted": 1000,
    "merged": 1000,
    "thousand": 1000,
}
"""Of scenarios that stand for a number of entries."""

COUNTED_IN_ONE_PAGE_MAX = 0xFFFE
"""More free pages than a page header can count are written in another way."""


def test_every_scenario_is_tested(raftkit: Raftkit) -> None:
    assert tuple(raftkit.run("scenarios")) == SCENARIOS


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_database_of_go_has_for_us_the_content_that_it_has_for_go(
    raftkit: Raftkit, scenario: str, tmp_path: Path
) -> None:
    files = [Path(file) for file in raftkit.run("write", scenario, tmp_path)]
    assert files
    for file in files:
        before = file.read_bytes()
        expected = raftkit.dump(file)
        check_scenario(scenario, expected)
        database = expected.pop("database")
        pages = database.pop("pages")
        depths = [bucket.pop("depth") for bucket in database["buckets"]]
        assert sum(pages.values()) == database["page_count"]
        assert all(depths)

        assert database_view(file) == database
        assert store_view(file) == expected
        assert file.read_bytes() == before


def check_scenario(scenario: str, report: Any) -> None:
    """That the scenario is what its name says, or reading it would prove nothing."""
    if scenario in ENTRIES:
        assert len(report["entries"]) == ENTRIES[scenario]
    if scenario.startswith("page-"):
        assert report["database"]["page_bytes"] == int(scenario.removeprefix("page-"))
    if scenario == "huge-freelist":
        assert report["database"]["pages"]["free"] > COUNTED_IN_ONE_PAGE_MAX
    if scenario == "unsynced-freelist":
        assert "freelist" not in report["database"]["pages"]


@pytest.mark.parametrize(
    "scenario", ["first-version", "legacy-peers", "live", "new-time-format", "odd-entries"]
)
def test_entries_of_go_encode_to_the_bytes_that_go_wrote(
    raftkit: Raftkit, scenario: str, tmp_path: Path
) -> None:
    for file in map(Path, raftkit.run("write", scenario, tmp_path)):
        with open_database(file) as database:
            logs = database.bucket(LOGS)
            assert logs is not None
            for _key, value in logs.items():
                decoded = decode_entry(value)
                assert encode_entry(decoded.entry, decoded.form) == value
                configuration = configuration_of(decoded.entry)
                if decoded.entry.type == EntryType.CONFIGURATION and configuration is not None:
                    is_nil = not configuration.servers
                    data = encode_configuration(configuration, empty_as_nil=is_nil)
                    assert data == decoded.entry.data


@pytest.mark.parametrize("scenario", ["live", "recovered"])
def test_snapshots_of_a_live_node_are_read_as_raft_reads_them(
    raftkit: Raftkit, scenario: str, tmp_path: Path
) -> None:
    raftkit.run("write", scenario, tmp_path)

    (snapshot,) = raftkit.run("snapshots", tmp_path / "node-1")
    listing = list_snapshots(tmp_path / "node-1" / "snapshots")
    (ours,) = listing.usable
    assert listing.ignored == ()
    assert ours.problems == ()
    meta = ours.meta
    assert meta.configuration is not None
    state = ours.state_path.read_bytes()
    assert {
        "id": meta.snapshot_id,
        "version": meta.version,
        "index": meta.index,
        "term": meta.term,
        "peers": meta.peers.hex(),
        "servers": servers_view(meta.configuration),
        "configuration_index": meta.configuration_index,
        "state_bytes": meta.size,
        "state_sha256": hashlib.sha256(state).hexdigest(),
    } == snapshot
    assert_no_errors(tmp_path / "node-1")
    voters = [server.address for server in meta.configuration.voters]
    assert encode_peers(voters) == meta.peers


def test_node_directory_of_a_live_node_is_read_as_a_whole(raftkit: Raftkit, tmp_path: Path) -> None:
    raftkit.run("write", "live", tmp_path)

    (report,) = raftkit.run("cluster", "--dir", tmp_path, "--commits", 1)
    for name in ("node-1", "node-2", "node-3"):
        with open_node(tmp_path / name) as node:
            assert node.problems == ()
            assert node.server_id == name
            assert node.log is not None
            assert node.stable is not None
            log = raftkit.dump(tmp_path / name / "raft-log.db")
            assert node.log.first_index == log["first_index"] > 1
            assert node.log.last_index == log["last_index"]
            assert node.log.count == len(log["entries"])
            # All changes of the membership are compacted away: the snapshot has what they led to.
            assert node.log.latest_configuration() is None
            (snapshot,) = node.snapshots.usable
            assert snapshot.meta.configuration is not None
            assert servers_view(snapshot.meta.configuration) == report["persisted"][name]
    assert_no_errors(tmp_path)


def test_log_that_go_makes_for_measurements_holds_payloads_that_we_read(
    raftkit: Raftkit, tmp_path: Path
) -> None:
    """The benchmarks compare our work with Go's on such a log: both have to find the same in it."""
    raftkit.run("make-log", "--entries", 40, "--value-bytes", 700, tmp_path / "sequencer-1")

    with open_node(tmp_path / "sequencer-1") as node:
        assert node.problems == ()
        assert node.log is not None
        stored = list(node.log.entries())
    entries = [item.decoded.entry for item in stored if item.decoded is not None]
    headers = [decode_command(entry.data).header for entry in entries[1:]]
    hashes = [header.block_hash for header in headers if header]
    assert [header.height for header in headers if header] == list(range(2, 41))
    assert [header.parent_hash for header in headers[1:] if header] == hashes[:-1]
    for command in ("info", "verify"):
        report = raftkit.run(command, tmp_path / "sequencer-1")
        assert report["entries"] == len(entries) == 40
        assert report["data_bytes"] == sum(len(entry.data or b"") for entry in entries)
        assert report["highest_block"] == 40
        assert report["problems"] == []
