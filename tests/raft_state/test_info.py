"""`info`: what is read of a node, and how little is read of what is not shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conductor.errors import NotFound, StoreLocked
from raft_state.info import EntryQuery, EntryTable, LogView, NodeView, describe
from raft_state.info.entries import entry_type
from raft_state.raft import (
    AppendedAt,
    Configuration,
    EntryForm,
    EntryType,
    LogEntry,
    Server,
    StableState,
    encode_entry,
    encode_peers,
    index_key,
)
from tests.raft_state.backup_states import running, tree
from tests.raft_state.flawed_states import (
    GOLDEN,
    IDS,
    SOUND,
    SSZ,
    add_snapshot,
    command,
    make_cluster,
    make_node,
    members,
    noop,
    payload,
    sets,
)

ALL = EntryQuery(limit=0)
MANIFEST: dict[str, dict[str, Any]] = json.loads((GOLDEN / "manifest.json").read_text())["files"]
SSZ_MANIFEST: list[dict[str, Any]] = json.loads((SSZ / "ssz-manifest.json").read_text())
LONG = [sets(1), *(noop(index) for index in range(2, 101))]


def node_of(directory: Path, query: EntryQuery | None = ALL) -> NodeView:
    """The only node there."""
    (node,) = describe(directory, query).nodes
    return node


def log_of(directory: Path, query: EntryQuery | None = ALL) -> LogView:
    """Its log."""
    log = node_of(directory, query).log
    assert log is not None
    return log


def table_of(directory: Path, query: EntryQuery = ALL) -> EntryTable:
    """Its entries."""
    table = log_of(directory, query).entries
    assert table is not None
    return table


def indexes(table: EntryTable) -> list[int | None]:
    """The indexes of the rows."""
    return [row.index for row in table.rows]


def names(view: Any) -> list[str]:
    """The ids of some members."""
    return [member.server_id for member in view.servers]


@pytest.mark.parametrize("path", sorted(path for path in MANIFEST if path.endswith("raft-log.db")))
def test_golden_logs_are_described_as_go_reads_them(path: str) -> None:
    expected = MANIFEST[path]
    log = log_of(GOLDEN / Path(path).parent)

    assert (log.first_index or 0, log.last_index or 0) == (
        expected["first_index"],
        expected["last_index"],
    )
    assert (log.count, log.page_bytes, log.file_bytes) == (
        expected["log_count"],
        expected["page_size"],
        expected["size"],
    )
    assert log.entries is not None
    rows = {row.index: row for row in log.entries.rows}
    assert len(rows) == log.count
    for entry in expected.get("logs") or []:
        row = rows[entry["index"]]
        assert (row.term, row.value_bytes) == (entry["term"], entry["raw_len"])
        assert (row.data_bytes or 0) == entry["data_len"]
        assert (row.data_bytes is None) == entry["data_nil"]
        if entry.get("servers"):
            assert row.members is not None
            assert len(row.members) == len(entry["servers"])


def test_generated_node_is_described() -> None:
    node = node_of(GOLDEN / "r173-bb139" / "gen3" / "sequencer-1")

    assert (node.server_id, node.current_term) == ("sequencer-1", 1)
    assert node.vote is not None
    assert (node.vote.term, node.vote.candidate) == (1, "sequencer-1")
    assert node.latest is not None
    assert names(node.latest) == list(IDS)
    assert node.committed == node.latest
    assert node.problems == ()
    assert not node.is_incomplete


@pytest.mark.parametrize("sample", SSZ_MANIFEST, ids=lambda sample: sample["file"])
def test_payloads_are_decoded_as_go_wrote_them(sample: dict[str, Any], tmp_path: Path) -> None:
    data = (SSZ / sample["file"]).read_bytes()
    directory = make_node(tmp_path, [sets(1), command(2, data)])

    row = table_of(directory).rows[1]

    assert row.payload is not None
    assert row.payload.height == sample["block_number"]
    assert row.payload.block_hash == f"0x{sample['block_hash']}"
    assert row.payload.parent_hash == f"0x{sample['parent_hash']}"
    assert row.payload.transactions_count == len(sample["transactions"])
    assert row.payload.timestamp == sample["timestamp"]
    assert ("2024" in row.note) == sample["file"].startswith("legacy")


@pytest.mark.parametrize(
    ("query", "expected", "matching"),
    [
        (EntryQuery(limit=0), list(range(1, 101)), 100),
        (EntryQuery(limit=100), list(range(1, 101)), 100),
        (EntryQuery(limit=4), [1, 2, 99, 100], 100),
        (EntryQuery(limit=5), [1, 2, 3, 99, 100], 100),
        (EntryQuery(limit=1), [1], 100),
        (EntryQuery(first=50, limit=2), [50, 100], 51),
        (EntryQuery(first=50, last=52), [50, 51, 52], 3),
        (EntryQuery(first=7, last=7), [7], 1),
        (EntryQuery(last=3, limit=1), [1], 3),
        (EntryQuery(first=101), [], 0),
        (EntryQuery(first=5, last=4), [], 0),
        (EntryQuery(types=frozenset({EntryType.CONFIGURATION})), [1], 1),
        (EntryQuery(types=frozenset({EntryType.NOOP}), limit=3), [2, 3, 100], 99),
        (EntryQuery(types=frozenset({EntryType.NOOP}), last=3), [2, 3], 2),
        (EntryQuery(types=frozenset({EntryType.BARRIER})), [], 0),
    ],
)
def test_entries_are_chosen(
    query: EntryQuery, expected: list[int], matching: int, tmp_path: Path
) -> None:
    table = table_of(make_node(tmp_path, LONG), query)

    assert indexes(table) == expected
    assert table.matching == matching
    assert table.left_out == matching - len(expected)


def test_gap_in_the_rows_is_after_the_first_half(tmp_path: Path) -> None:
    table = table_of(make_node(tmp_path, LONG), EntryQuery(limit=5))

    assert table.rows_before_gap == 3
    assert table.left_out == 95


def test_no_entries_unless_asked_for(tmp_path: Path) -> None:
    assert log_of(make_node(tmp_path), None).entries is None


def test_members_that_are_certain_are_told_apart(tmp_path: Path) -> None:
    two = members("a", "b")
    directory = make_node(tmp_path, [sets(1, members("a")), noop(2), sets(3, two), noop(4)])

    node = node_of(directory)

    assert node.latest is not None
    assert node.committed is not None
    assert (node.latest.index, names(node.latest)) == (3, ["a", "b"])
    assert (node.committed.index, names(node.committed)) == (1, ["a"])


def test_single_later_configuration_is_certain_nowhere(tmp_path: Path) -> None:
    node = node_of(make_node(tmp_path, [noop(1), sets(2)]))

    assert node.latest is not None
    assert node.latest.index == 2
    assert node.committed is None


def test_members_of_the_snapshot_count_for_what_it_covers(tmp_path: Path) -> None:
    directory = make_node(tmp_path, [sets(2, members("gone")), noop(3), noop(4)])
    add_snapshot(directory, 3, configuration_index=1)

    node = node_of(directory)

    assert node.latest is not None
    assert (node.latest.source, node.latest.index) == ("snapshot", 1)
    assert node.committed == node.latest


def test_members_behind_the_snapshot_come_after_its_own(tmp_path: Path) -> None:
    directory = make_node(tmp_path, [noop(4), sets(5, members("a"))])
    add_snapshot(directory, 3)

    node = node_of(directory)

    assert node.latest is not None
    assert node.committed is not None
    assert (node.latest.source, node.latest.index) == ("log", 5)
    assert node.committed.source == "snapshot"


def test_members_of_old_protocols_are_found(tmp_path: Path) -> None:
    peers = LogEntry(1, 1, EntryType.REMOVE_PEER, encode_peers(["127.0.0.1:7001"]))

    node = node_of(make_node(tmp_path, [peers, noop(2)]))

    assert node.latest is not None
    assert names(node.latest) == ["127.0.0.1:7001"]


def test_damaged_members_are_a_problem_and_older_ones_are_shown(tmp_path: Path) -> None:
    broken = LogEntry(2, 1, EntryType.CONFIGURATION, b"\xff")

    node = node_of(make_node(tmp_path, [sets(1), broken]))

    assert node.latest is not None
    assert node.latest.index == 1
    assert any("index 2" in problem for problem in node.problems)


def test_snapshots_are_described(tmp_path: Path) -> None:
    directory = make_node(tmp_path)
    add_snapshot(directory, 3)
    add_snapshot(directory, 4)
    (directory / "snapshots" / "1-5-1.tmp").mkdir()

    node = node_of(directory)

    assert [snapshot.snapshot_id for snapshot in node.snapshots] == ["1-4-1", "1-3-1"]
    newest = node.snapshots[0]
    assert (newest.index, newest.term, newest.state_bytes) == (4, 1, len(payload(4)))
    assert newest.payload is not None
    assert newest.payload.height == 4
    assert newest.note == ""
    assert any("1-5-1.tmp" in problem for problem in node.problems)


def test_damaged_and_odd_entries_are_shown_as_far_as_they_go(tmp_path: Path) -> None:
    items = {index_key(3): b"?", index_key(4): encode_entry(noop(7)), b"\1": encode_entry(noop(5))}

    rows = table_of(make_node(tmp_path, [*SOUND, LogEntry(5, 1, 9)], items=items.items())).rows

    notes = {row.index: row.note for row in rows}
    assert [row.index for row in rows] == [1, 2, 3, 4, 5, None]
    assert "cannot be decoded" in notes[3]
    assert "entry 7" in notes[4]
    assert "no index" in notes[None]
    assert rows[4].type == "type 9"


def test_times_are_told_and_unknown_ones_are_not(tmp_path: Path) -> None:
    at = AppendedAt(1_750_000_000, 5, zone_offset_s=7200)

    rows = table_of(make_node(tmp_path, [sets(1), LogEntry(2, 1, 1, appended_at=at)])).rows

    assert [row.appended_at for row in rows] == [None, "2025-06-15T17:06:40.000000005+02:00"]


def test_missing_file_is_a_problem_beside_the_rest(tmp_path: Path) -> None:
    directory = make_node(tmp_path)
    (directory / "raft-stable.db").unlink()

    node = node_of(directory)

    assert node.is_incomplete
    assert node.current_term is None
    assert node.log is not None
    assert any("raft-stable.db" in problem for problem in node.problems)


def test_damaged_log_is_a_problem_beside_the_rest(tmp_path: Path) -> None:
    directory = make_node(tmp_path, LONG)
    path = directory / "raft-log.db"
    data = bytearray(path.read_bytes())
    data[2 * 4096 : 3 * 4096] = bytes(4096)
    path.write_bytes(data)

    node = node_of(directory)

    assert node.is_incomplete
    assert node.current_term == 1
    assert any("page" in problem for problem in node.problems)


def test_locked_node_is_refused(tmp_path: Path) -> None:
    directory = make_node(tmp_path)
    with running(directory), pytest.raises(StoreLocked):
        describe(directory)


def test_locked_node_of_a_cluster_is_named_and_the_others_described(tmp_path: Path) -> None:
    make_cluster(tmp_path, SOUND, SOUND, SOUND)
    with running(tmp_path / IDS[1]):
        view = describe(tmp_path)

    assert view.is_cluster
    assert [node.is_incomplete for node in view.nodes] == [False, True, False]
    assert [node.server_id for node in view.nodes] == list(IDS)


def test_vote_without_a_term_is_told(tmp_path: Path) -> None:
    stable = StableState(current_term=1, last_vote_candidate=b"\xff")

    vote = node_of(make_node(tmp_path, stable=stable)).vote

    assert vote is not None
    assert (vote.term, vote.candidate) == (None, "0xff")


def test_names_can_be_printed_whatever_they_are(tmp_path: Path) -> None:
    odd = Configuration((Server("\udcff\x1b[2J", "a\n:1"),))

    node = node_of(make_node(tmp_path, [sets(1, odd)]))

    assert node.latest is not None
    (member,) = node.latest.servers
    assert member.server_id.isprintable()
    assert member.address.isprintable()


def test_nothing_is_changed_and_nothing_created(tmp_path: Path) -> None:
    directory = make_node(tmp_path)
    before = tree(tmp_path)

    describe(directory, ALL)
    with pytest.raises(NotFound):
        describe(tmp_path / "elsewhere", ALL)

    assert tree(tmp_path) == before


@pytest.mark.parametrize("form", EntryForm)
@pytest.mark.parametrize("kind", [*EntryType, 9])
def test_type_is_told_by_the_end_of_a_value(kind: int, form: EntryForm) -> None:
    value = memoryview(encode_entry(LogEntry(300, 2, kind, b"data"), form))

    assert entry_type(value) == kind


def test_type_is_told_when_it_is_not_at_the_end() -> None:
    first = b"\x81\xa4Type\x05"

    assert entry_type(memoryview(first)) == 5
    assert entry_type(memoryview(first + b"\0")) == 5
    assert entry_type(memoryview(b"?")) is None
    assert entry_type(memoryview(b"")) is None
