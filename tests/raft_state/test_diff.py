"""`diff`: what two directories differ in, and what is no difference."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest

from conductor.errors import NotFound, StoreDamaged, StoreLocked, StoreMismatch
from raft_state.backup import back_up
from raft_state.bolt import write_database
from raft_state.diff import EntryRange, NodeDifference, ValueDifference, compare_states
from raft_state.diff.entries import RANGES_MAX
from raft_state.node import LOG_FILE, STABLE_FILE
from raft_state.raft import (
    CONF,
    LOGS,
    AppendedAt,
    EntryForm,
    EntryType,
    LogEntry,
    StableState,
    encode_entry,
    index_key,
)
from tests.raft_state.backup_states import running, set_byte
from tests.raft_state.flawed_states import (
    IDS,
    SOUND,
    add_snapshot,
    command,
    log_items,
    make_cluster,
    make_node,
    members,
    noop,
    payload,
    sets,
)

ONE, TWO, THREE = IDS
NOW = datetime(2025, 7, 7, 12, tzinfo=UTC)

Log = list[LogEntry] | tuple[LogEntry, ...]


def node_difference(a: Path, b: Path) -> NodeDifference:
    (node,) = compare_states(a, b).nodes
    return node


def of_logs(root: Path, a: Log, b: Log) -> tuple[EntryRange, ...]:
    one = make_node(root / "a", a)
    other = make_node(root / "b", b)
    found = node_difference(one, other)
    assert found.stable == found.snapshots == ()
    assert found.is_equal == (found.entries == ())
    return found.entries


def test_state_is_equal_to_itself(tmp_path: Path) -> None:
    node = make_node(tmp_path)
    add_snapshot(node, 3)

    found = compare_states(node, node)

    assert found.is_equal
    assert found.nodes[0].equal_entries == len(SOUND)


def test_how_a_value_is_encoded_is_no_difference(tmp_path: Path) -> None:
    entry = LogEntry(1, 1, EntryType.COMMAND, b"x" * 20, None, AppendedAt(7))
    forms = (EntryForm.CURRENT, EntryForm.TIMESTAMP)
    for name, form in zip("ab", forms, strict=True):
        items = [(index_key(1), encode_entry(entry, form))]
        make_node(tmp_path / name, log_buckets={LOGS: items, CONF: ()})

    found = node_difference(tmp_path / "a" / ONE, tmp_path / "b" / ONE)

    assert found.is_equal
    assert found.equal_entries == 1


def test_page_size_and_history_of_the_files_are_no_difference(tmp_path: Path) -> None:
    one, other = make_node(tmp_path / "a"), make_node(tmp_path / "b")
    buckets = {LOGS: log_items(SOUND), CONF: ()}
    write_database(other / LOG_FILE, buckets, page_bytes=16384, transaction_id=99, replace=True)

    assert compare_states(one, other).is_equal


def test_longer_log_has_a_range_of_its_own(tmp_path: Path) -> None:
    longer = [*SOUND, *(command(index) for index in range(5, 9))]

    assert of_logs(tmp_path, longer, SOUND) == (EntryRange(5, 8, "only in A", "Command, term 1"),)


def test_compacted_log_has_a_range_of_its_own(tmp_path: Path) -> None:
    assert of_logs(tmp_path, SOUND[2:], SOUND) == (
        EntryRange(1, 2, "only in B", "Configuration, term 1"),
    )


@pytest.mark.parametrize(
    ("other", "kind", "detail"),
    [
        (command(4, term=2), "term", "1 and 2"),
        (noop(4), "type", "0 and 1"),
        (command(4, payload(5)), "data", "626 and 626 bytes"),
        (LogEntry(4, 1, EntryType.COMMAND, payload(4), b"e"), "extensions", ""),
        (
            LogEntry(4, 1, EntryType.COMMAND, payload(4), None, AppendedAt(0)),
            "time",
            "0001-01-01T00:00:00Z and 1970-01-01T00:00:00Z",
        ),
        (command(5, payload(4)), "index", "4 and 5"),
    ],
)
def test_entries_that_differ_say_in_what(
    tmp_path: Path, other: LogEntry, kind: str, detail: str
) -> None:
    one = make_node(tmp_path / "a", SOUND)
    items = [(index_key(4), encode_entry(other))]
    another = make_node(tmp_path / "b", SOUND[:3], items=items)

    assert node_difference(one, another).entries == (EntryRange(4, 4, kind, detail),)


def test_entries_that_differ_alike_are_one_range(tmp_path: Path) -> None:
    a = [*SOUND, *(command(index) for index in range(5, 9))]
    b = [*SOUND, *(command(index, term=2) for index in range(5, 8))]

    found = of_logs(tmp_path, a, b)

    assert found == (
        EntryRange(5, 7, "term", "1 and 2"),
        EntryRange(8, 8, "only in A", "Command, term 1"),
    )


def test_undecodable_entry_is_a_difference(tmp_path: Path) -> None:
    one = make_node(tmp_path / "a")
    other = make_node(tmp_path / "b", items=[(index_key(4), b"\xc1"), (index_key(5), b"\xc1")])

    changed, added = node_difference(one, other).entries

    assert (changed.kind, added.kind) == ("bytes", "only in B")
    assert "cannot be decoded" in changed.detail
    assert "cannot be decoded" in added.detail


def test_number_of_ranges_is_bounded(tmp_path: Path) -> None:
    a = [noop(index) for index in range(1, 2 * RANGES_MAX + 21)]
    b = [noop(each.index, 1 + each.index % 2) for each in a]
    make_node(tmp_path / "a", a)
    make_node(tmp_path / "b", b)

    found = node_difference(tmp_path / "a" / ONE, tmp_path / "b" / ONE)

    assert len(found.entries) == RANGES_MAX
    assert found.more_entries == 10


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    size, count = 1 << 20, 12
    big = [
        LogEntry(index, 1, EntryType.COMMAND, bytes([index]) * size) for index in range(1, count)
    ]
    one, other = make_node(tmp_path / "a", big), make_node(tmp_path / "b", big)
    compare_states(one, other)  # what is loaded once is loaded
    tracemalloc.start()
    try:
        assert compare_states(one, other).is_equal
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 4 * size


def test_terms_and_votes_differ(tmp_path: Path) -> None:
    one = make_node(tmp_path / "a", stable=StableState(3, 2, b"h:1"))
    other = make_node(tmp_path / "b", stable=StableState(4, None, b"h:\xff", (), {b"Other": b"1"}))

    assert node_difference(one, other).stable == (
        ValueDifference("CurrentTerm", "3", "4"),
        ValueDifference("LastVoteCand", "h:1", "0x683aff"),
        ValueDifference("LastVoteTerm", "2", "none"),
        ValueDifference("Other", "none", "1"),
    )


def test_missing_stable_store_differs(tmp_path: Path) -> None:
    one, other = make_node(tmp_path / "a"), make_node(tmp_path / "b")
    (other / STABLE_FILE).unlink()

    found = node_difference(one, other)

    assert found.stable == (ValueDifference("CurrentTerm", "1", "none"),)
    assert any(remark.startswith("B: ") for remark in found.remarks)


def test_members_differ(tmp_path: Path) -> None:
    one = make_node(tmp_path / "a", [sets(1, members(ONE))])
    other = make_node(tmp_path / "b", [sets(1, members(ONE, nonvoters=[TWO]))])

    (found,) = node_difference(one, other).configuration

    assert found == ValueDifference(
        "members",
        "sequencer-1 at sequencer-1:50050 (Voter)",
        "sequencer-1 at sequencer-1:50050 (Voter), sequencer-2 at sequencer-2:50050 (Nonvoter)",
    )


def test_place_of_the_configuration_differs(tmp_path: Path) -> None:
    one = make_node(tmp_path / "a", [sets(1)])
    other = make_node(tmp_path / "b", [sets(1), sets(2)])

    (found,) = node_difference(one, other).configuration

    assert found == ValueDifference("configuration index", "1", "2")


def test_name_of_a_snapshot_is_no_difference(tmp_path: Path) -> None:
    one, other = make_node(tmp_path / "a"), make_node(tmp_path / "b")
    add_snapshot(one, 3, unix_ms=1)
    add_snapshot(other, 3, unix_ms=2)

    assert compare_states(one, other).is_equal


def test_snapshots_differ_in_what_they_hold(tmp_path: Path) -> None:
    one, other = make_node(tmp_path / "a"), make_node(tmp_path / "b")
    add_snapshot(one, 3)
    add_snapshot(other, 3, state=payload(9))
    add_snapshot(other, 2)

    found = node_difference(one, other).snapshots

    assert [(each.a == "none", each.b == "none") for each in found] == [
        (False, True),
        (True, False),
        (True, False),
    ]
    assert found[0].a.startswith("index 3, term 1, 626 bytes with CRC ")
    assert f"members at index 1: {ONE} at {ONE}:50050 (Voter)" in found[0].a


def test_nodes_of_clusters_are_paired_by_their_ids(tmp_path: Path) -> None:
    make_cluster(tmp_path / "a", SOUND, SOUND, SOUND)
    make_cluster(tmp_path / "b", SOUND, [*SOUND, noop(5)])
    (tmp_path / "b" / ONE).rename(tmp_path / "b" / "other")

    found = compare_states(tmp_path / "a", tmp_path / "b")

    assert [node.a.name for node in found.nodes] == [TWO]
    assert (found.only_a, found.only_b) == ((ONE, THREE), ("other",))
    assert not found.is_equal


def test_node_in_one_cluster_alone_is_a_difference(tmp_path: Path) -> None:
    make_cluster(tmp_path / "a", SOUND, SOUND)
    make_cluster(tmp_path / "b", SOUND)

    found = compare_states(tmp_path / "a", tmp_path / "b")

    assert all(node.is_equal for node in found.nodes)
    assert not found.is_equal


def test_two_nodes_are_compared_whatever_they_are_called(tmp_path: Path) -> None:
    make_cluster(tmp_path, SOUND, SOUND)

    assert compare_states(tmp_path / ONE, tmp_path / TWO).is_equal


def test_backup_is_compared_with_what_was_saved(tmp_path: Path) -> None:
    state = make_cluster(tmp_path / "state", SOUND, SOUND)
    backup = back_up(state, tmp_path / "backups", now=NOW, tool_version="1").backup

    assert compare_states(backup, state).is_equal
    assert compare_states(state / TWO, backup).is_equal
    assert compare_states(backup, state / TWO).is_equal


def test_node_is_not_compared_with_another_of_a_cluster(tmp_path: Path) -> None:
    make_cluster(tmp_path / "a", SOUND, SOUND)
    other = make_node(tmp_path, server_id=THREE)

    for pair in ((tmp_path / "a", other), (other, tmp_path / "a")):
        with pytest.raises(StoreMismatch, match=r"no node is in both.*own directories"):
            compare_states(*pair)


def test_damage_is_no_answer(tmp_path: Path) -> None:
    one, other = make_node(tmp_path / "a"), make_node(tmp_path / "b")
    for page in (0, 1):
        set_byte(other / LOG_FILE, page * 4096 + 20)

    for pair in ((one, other), (other, one), (other, other)):
        with pytest.raises(StoreDamaged):
            compare_states(*pair)


def test_locked_node_is_told(tmp_path: Path) -> None:
    one, other = make_node(tmp_path / "a"), make_node(tmp_path / "b")

    with running(other), pytest.raises(StoreLocked, match="in use"):
        compare_states(one, other)


def test_missing_state_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such directory"):
        compare_states(make_node(tmp_path), tmp_path / "nothing")


def test_key_that_is_no_index_is_remarked(tmp_path: Path) -> None:
    one = make_node(tmp_path / "a")
    other = make_node(tmp_path / "b", items=[(b"odd", b"")])

    found = node_difference(one, other)

    assert found.remarks == ("B: the key odd of the log is no index",)
