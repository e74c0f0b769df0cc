"""A node's directory as a whole: golden logs entry by entry, odd logs, missing and mixed files."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conductor.errors import NotFound, StoreError, StoreLocked
from raft_state.bolt import DatabaseDamaged, write_database
from raft_state.node import (
    LOG_FILE,
    STABLE_FILE,
    LogStore,
    NodeState,
    StoredEntry,
    is_node_directory,
    newest_payload,
    node_directories,
    open_node,
)
from raft_state.raft import (
    ZERO_TIME,
    Configuration,
    EntryType,
    LogEntry,
    StableState,
    configuration_of,
    encode_entry,
    encode_peers,
    index_key,
    read_stable,
    write_snapshot,
)
from tests.raft_state.node_states import (
    ONE,
    TWO,
    a_configuration_entry,
    a_payload_entry,
    log_items,
    write_log,
    write_stable,
)
from tests.raft_state.raft_samples import GOLDEN, golden_manifest

STATE = StableState(current_term=5, last_vote_term=4, last_vote_candidate=b"10.0.0.1:50050")
STATE_ITEMS = [
    (b"CurrentTerm", (5).to_bytes(8, "big")),
    (b"LastVoteCand", b"10.0.0.1:50050"),
    (b"LastVoteTerm", (4).to_bytes(8, "big")),
]
ENTRIES = log_items(a_configuration_entry(1), *(a_payload_entry(n, 100 + n) for n in (2, 3)))

LOG_NAMES = sorted(name for name in golden_manifest() if name.endswith(LOG_FILE))
STABLE_NAMES = sorted(name for name in golden_manifest() if name.endswith(STABLE_FILE))


@pytest.fixture
def node_dir(tmp_path: Path) -> Path:
    """Where a node has its state."""
    return tmp_path / "seq-1"


def a_snapshot(node_dir: Path, index: int, members: Configuration, state: bytes = b"s") -> Path:
    """A snapshot of the node."""
    directory = node_dir / "snapshots"
    directory.mkdir(parents=True, exist_ok=True)
    return write_snapshot(
        directory,
        index=index,
        term=3,
        configuration=members,
        configuration_index=1,
        state=state,
        unix_ms=1,
    )


def log_of(node: NodeState) -> LogStore:
    """The log, which has to be there."""
    assert node.log is not None
    return node.log


# Golden files


def rows(expected: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The entries of a golden log, also from the short form of long ones."""
    if "logs" in expected:
        yield from expected["logs"]
        return
    for index, term, kind, size, data, extensions, appended_at, raw in expected["logs_compact"]:
        yield {
            "index": index,
            "term": term,
            "type": kind,
            "data_len": size,
            "data_hex_or_sha256": data,
            "extensions_hex": extensions,
            "appended_at": appended_at,
            "raw_sha256": raw,
        }


def check_entry(stored: StoredEntry, row: dict[str, Any]) -> None:
    """Compare one entry with what Go read."""
    assert stored.decoded is not None, stored.damage
    entry, data = stored.decoded.entry, stored.decoded.entry.data
    assert stored.index == entry.index == row["index"]
    assert (entry.term, entry.type) == (row["term"], row["type"])
    assert len(data or b"") == row["data_len"]
    if "data_nil" in row:
        assert (data is None) == row["data_nil"]
    told = {row[name] for name in row if name.startswith(("data_hex", "data_sha256"))} - {None}
    assert told <= {bytes(data or b"").hex(), hashlib.sha256(data or b"").hexdigest()}
    assert bytes(entry.extensions or b"").hex() == (row.get("extensions_hex") or "")
    time = entry.appended_at or ZERO_TIME
    assert (None if time.is_zero else time.isoformat()) == row.get("appended_at")
    raw = {row[name] for name in ("raw_hex", "raw_sha256") if name in row}
    assert raw <= {stored.value.hex(), hashlib.sha256(stored.value).hexdigest()}
    assert raw
    assert stored.decoded.remarks == ()
    assert encode_entry(entry, stored.decoded.form) == stored.value


def as_manifest(configuration: Configuration | None) -> list[dict[str, Any]]:
    """Members as the manifest lists them."""
    assert configuration is not None
    return [
        {
            "address": server.address,
            "id": server.server_id,
            "suffrage": server.suffrage,
            "suffrage_name": server.suffrage_name,
        }
        for server in configuration.servers
    ]


@pytest.mark.parametrize("name", LOG_NAMES)
def test_golden_logs_are_read_as_go_reads_them(name: str) -> None:
    expected = golden_manifest()[name]
    with open_node((GOLDEN / name).parent) as node:
        log = log_of(node)
        assert (log.first_index or 0, log.last_index or 0, log.count) == (
            expected["first_index"],
            expected["last_index"],
            expected["log_count"],
        )
        stored = list(log.entries())
        assert len(stored) == expected["log_count"]
        for found, row in zip(stored, rows(expected), strict=True):
            check_entry(found, row)


@pytest.mark.parametrize("name", LOG_NAMES)
def test_golden_configurations_are_read_as_go_reads_them(name: str) -> None:
    expected = golden_manifest()[name]
    servers = {row["index"]: row["servers"] for row in rows(expected) if "servers" in row}
    servers |= {row["index"]: row["servers"] for row in expected.get("configurations", [])}
    with open_node((GOLDEN / name).parent) as node:
        found = {
            stored.index: as_manifest(configuration_of(stored.decoded.entry))
            for stored in log_of(node).entries()
            if stored.decoded and stored.decoded.entry.type == EntryType.CONFIGURATION
        }
        latest = node.latest_configuration()
        assert found == servers
        assert (latest.index if latest else None) == max(servers, default=None)
        if latest is not None:
            assert as_manifest(latest.configuration) == servers[latest.index]


@pytest.mark.parametrize("name", STABLE_NAMES)
def test_golden_stable_stores_are_read_as_go_reads_them(name: str) -> None:
    expected = golden_manifest()[name]["conf"]
    items = [(item["key"].encode(), bytes.fromhex(item["value_hex"])) for item in expected]
    with open_node((GOLDEN / name).parent) as node:
        assert node.stable == read_stable(items)
        assert node.stable.problems == ()
        assert node.stable.unknown == {}


# The log


def test_log_is_walked_between_two_indices(node_dir: Path) -> None:
    write_log(node_dir, log_items(*(a_payload_entry(n, n) for n in (5, 6, 9, 10))))
    write_stable(node_dir, STATE)
    with open_node(node_dir) as node:
        log = log_of(node)
        assert (log.first_index, log.last_index, log.count) == (5, 10, 4)
        assert [stored.index for stored in log.entries()] == [5, 6, 9, 10]
        assert [stored.index for stored in log.entries(first=6, last=9)] == [6, 9]
        assert [stored.index for stored in log.entries(first=7, last=8)] == []
        assert [stored.index for stored in log.entries(first=11)] == []
        stored = log.entry(9)
        assert stored is not None
        assert (stored.index, stored.key) == (9, index_key(9))
        assert stored.value_bytes == len(stored.value)
        assert log.entry(7) is None
        assert node.problems == ()


def test_keys_that_are_no_indices_are_told_among_the_others(node_dir: Path) -> None:
    value = encode_entry(a_payload_entry(1, 1))
    items = [
        (b"\0\0\0", value),
        (index_key(1), value),
        (index_key(1) + b"x", value),
        (index_key(2), b"\xff"),
        (b"\xff" * 9, value),
    ]
    write_log(node_dir, items)
    with open_node(node_dir) as node:
        log = log_of(node)
        assert (log.first_index, log.last_index, log.count) == (1, 2, 5)
        found = list(log.entries())
        assert [stored.index for stored in found] == [None, 1, None, 2, None]
        assert found[3].decoded is None
        assert found[3].damage == "at byte 0: it is no log entry (it begins with 0xff)"
        assert log.latest_configuration() is None


def test_empty_log_has_no_indices(node_dir: Path) -> None:
    write_log(node_dir, [])
    write_stable(node_dir, StableState())
    with open_node(node_dir) as node:
        log = log_of(node)
        assert (log.first_index, log.last_index, log.count) == (None, None, 0)
        assert list(log.entries()) == []
        assert node.latest_configuration() is None
        assert node.stable == StableState()
        assert newest_payload(node) is None
        assert node.problems == ()


def test_walking_a_log_of_megabytes_takes_little_memory(node_dir: Path) -> None:
    entries = [LogEntry(index=n, term=1, type=0, data=bytes(1 << 20)) for n in range(1, 9)]
    write_log(node_dir, log_items(a_configuration_entry(1), *entries[1:]))
    with open_node(node_dir) as node:
        tracemalloc.start()
        try:
            assert sum(stored.value_bytes for stored in log_of(node).entries()) > 7 << 20
            assert node.latest_configuration() is not None
            assert tracemalloc.get_traced_memory()[1] < 200_000
        finally:
            tracemalloc.stop()


# The members


def test_newest_configuration_counts(node_dir: Path) -> None:
    entries = [
        a_configuration_entry(1),
        a_configuration_entry(2, TWO),
        a_payload_entry(3, 3),
    ]
    write_log(node_dir, log_items(*entries))
    with open_node(node_dir) as node:
        assert log_of(node).latest_configuration() == (2, 1, TWO)
        latest = node.latest_configuration()
        assert latest is not None
        assert (latest.index, latest.term, latest.configuration) == (2, 1, TWO)
        assert not latest.is_from_snapshot


def test_undecodable_configuration_is_passed_over(node_dir: Path) -> None:
    broken = LogEntry(index=2, term=1, type=EntryType.CONFIGURATION, data=b"garbage")
    write_log(node_dir, log_items(a_configuration_entry(1), broken))
    with open_node(node_dir) as node:
        assert log_of(node).latest_configuration() == (1, 1, ONE)


def test_peers_of_old_protocols_are_members(node_dir: Path) -> None:
    peers = LogEntry(index=2, term=1, type=EntryType.ADD_PEER, data=encode_peers(["h:1"]))
    write_log(node_dir, log_items(a_configuration_entry(1), peers))
    with open_node(node_dir) as node:
        latest = node.latest_configuration()
        assert latest is not None
        assert [server.server_id for server in latest.configuration.servers] == ["h:1"]


@pytest.mark.parametrize(
    ("snapshot_index", "expected", "is_from_snapshot"),
    [(1, TWO, False), (2, ONE, True), (9, ONE, True)],
)
def test_configuration_of_a_snapshot_replaces_what_it_covers(
    node_dir: Path, snapshot_index: int, expected: Configuration, is_from_snapshot: bool
) -> None:
    write_log(node_dir, log_items(a_configuration_entry(2, TWO), a_payload_entry(3, 3)))
    a_snapshot(node_dir, snapshot_index, ONE)
    with open_node(node_dir) as node:
        latest = node.latest_configuration()
        assert latest is not None
        assert (latest.configuration, latest.is_from_snapshot) == (expected, is_from_snapshot)


def test_configuration_of_an_unusable_snapshot_does_not_count(node_dir: Path) -> None:
    write_log(node_dir, [])
    a_snapshot(node_dir, 5, ONE)
    (a_snapshot(node_dir, 7, TWO) / "state.bin").write_bytes(b"changed")
    with open_node(node_dir) as node:
        latest = node.latest_configuration()
        assert latest is not None
        assert (latest.configuration, latest.is_from_snapshot) == (ONE, True)
        assert (latest.index, latest.term) == (1, 3)


# The newest payload


def test_payload_of_lower_height_does_not_replace_a_higher_one(node_dir: Path) -> None:
    entries = [
        a_configuration_entry(1),
        a_payload_entry(2, 100),
        a_payload_entry(3, 102),
        a_payload_entry(4, 101),
        a_payload_entry(5, 102),
        a_payload_entry(6, 900, version=2),
        LogEntry(index=7, term=1, type=EntryType.COMMAND, data=b"x" * 700),
        LogEntry(index=8, term=1, type=EntryType.COMMAND, data=b""),
        LogEntry(index=9, term=1, type=EntryType.BARRIER),
    ]
    write_log(node_dir, log_items(*entries))
    with open_node(node_dir) as node:
        newest = newest_payload(node)
        assert newest is not None
        assert (newest.index, newest.header.height) == (3, 102)
        assert newest.data == entries[2].data
        assert not newest.is_from_snapshot


@pytest.mark.parametrize(
    ("height", "expected"), [(50, (4, 103)), (102, (4, 103)), (103, (3, 103)), (500, (3, 500))]
)
def test_log_is_replayed_on_top_of_the_snapshot(
    node_dir: Path, height: int, expected: tuple[int, int]
) -> None:
    write_log(node_dir, log_items(*(a_payload_entry(n, 99 + n) for n in (2, 3, 4))))
    state = a_payload_entry(3, height).data
    assert isinstance(state, bytes)
    a_snapshot(node_dir, 3, ONE, state)
    with open_node(node_dir) as node:
        newest = newest_payload(node)
        assert newest is not None
        assert (newest.index, newest.header.height) == expected
        assert newest.is_from_snapshot == (expected[0] == 3)


# Files that are missing, mixed or damaged


@pytest.mark.parametrize("missing", [LOG_FILE, STABLE_FILE])
def test_missing_file_is_a_problem_and_stays_missing(node_dir: Path, missing: str) -> None:
    write_log(node_dir, ENTRIES)
    write_stable(node_dir, STATE)
    (node_dir / missing).unlink()
    before = sorted(node_dir.iterdir())
    with open_node(node_dir) as node:
        assert (node.log is None) == (missing == LOG_FILE)
        assert (node.stable is None) == (missing == STABLE_FILE)
        assert missing in node.problems[0]
        assert list(node.failures) == [missing]
        assert isinstance(node.failures[missing], NotFound)
        assert missing not in node.databases
    assert sorted(node_dir.iterdir()) == before


@pytest.mark.parametrize("merged", [LOG_FILE, STABLE_FILE])
@pytest.mark.parametrize("other_is_there", [True, False])
def test_stores_merged_into_one_file_are_read(
    node_dir: Path, merged: str, other_is_there: bool
) -> None:
    if merged == LOG_FILE:
        write_log(node_dir, ENTRIES, conf=STATE_ITEMS)
        if other_is_there:
            write_stable(node_dir, StableState())
    else:
        write_stable(node_dir, STATE, logs=ENTRIES)
        if other_is_there:
            write_log(node_dir, [])
    with open_node(node_dir) as node:
        assert log_of(node).last_index == 3
        assert node.stable == STATE
        (moved,) = [problem for problem in node.problems if "where Raft reads" in problem]
        assert f"are in {merged} and not in" in moved
        assert len(node.problems) == (1 if other_is_there else 2)


def test_what_raft_reads_counts_when_both_files_hold_something(node_dir: Path) -> None:
    write_log(node_dir, ENTRIES, conf=[(b"CurrentTerm", bytes(8))])
    write_stable(node_dir, STATE, logs=log_items(a_payload_entry(77, 1)))
    with open_node(node_dir) as node:
        assert log_of(node).last_index == 3
        assert node.stable == STATE
        assert node.problems == (
            "raft-stable.db holds log entries too; Raft reads those in raft-log.db",
            "raft-log.db holds term and vote too; Raft reads those in raft-stable.db",
        )


def test_database_without_buckets_is_as_new(node_dir: Path) -> None:
    node_dir.mkdir()
    write_database(node_dir / LOG_FILE, {})
    write_database(node_dir / STABLE_FILE, {})
    with open_node(node_dir) as node:
        assert (log_of(node).count, log_of(node).first_index) == (0, None)
        assert log_of(node).entry(1) is None
        assert list(log_of(node).entries()) == []
        assert log_of(node).latest_configuration() is None
        assert node.stable == StableState()
        assert node.problems == (
            "raft-log.db has no bucket logs, as if it were new",
            "raft-stable.db has no bucket conf, as if it were new",
        )


@pytest.mark.parametrize("damaged", [LOG_FILE, STABLE_FILE])
@pytest.mark.parametrize("data", [b"", b"no database" * 1000])
def test_damaged_file_leaves_the_other_readable(node_dir: Path, damaged: str, data: bytes) -> None:
    write_log(node_dir, ENTRIES)
    write_stable(node_dir, STATE)
    (node_dir / damaged).write_bytes(data)
    with open_node(node_dir) as node:
        assert (node.log is None) == (damaged == LOG_FILE)
        assert (node.stable is None) == (damaged == STABLE_FILE)
        assert len(node.problems) == 1
        assert damaged in node.problems[0]


def test_damaged_page_of_the_log_is_named_when_it_is_reached(node_dir: Path) -> None:
    write_log(node_dir, log_items(*(a_payload_entry(n, n) for n in range(1, 40))))
    write_stable(node_dir, STATE)
    path = node_dir / LOG_FILE
    with open_node(node_dir) as node:
        page_bytes = node.databases[LOG_FILE].page_bytes
    data = bytearray(path.read_bytes())
    pages = len(data) // page_bytes
    leaves = [n for n in range(2, pages) if data[n * page_bytes + 8] == 0x02]
    data[leaves[-2] * page_bytes + 8] = 0x03
    path.write_bytes(data)
    with open_node(node_dir) as node:
        assert node.stable == STATE
        with pytest.raises(DatabaseDamaged):
            list(log_of(node).entries())


@pytest.mark.parametrize("name", [LOG_FILE, STABLE_FILE])
def test_locked_database_is_refused_and_nothing_stays_locked(node_dir: Path, name: str) -> None:
    write_log(node_dir, ENTRIES)
    write_stable(node_dir, STATE)
    with (node_dir / name).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StoreLocked):
            open_node(node_dir)
        with open_node(node_dir, lock=False) as node:
            assert node.stable == STATE
        fcntl.flock(file, fcntl.LOCK_UN)
    for each in (LOG_FILE, STABLE_FILE):
        with (node_dir / each).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_closing_gives_the_files_back_while_views_are_held(node_dir: Path) -> None:
    write_log(node_dir, ENTRIES)
    with open_node(node_dir) as node:
        held = log_of(node).entry(2)
    assert held is not None
    with (node_dir / LOG_FILE).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_unreadable_snapshots_are_a_problem(
    node_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_log(node_dir, ENTRIES)
    write_stable(node_dir, STATE)

    def refuse(path: Path) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with open_node(node_dir) as node:
        assert node.snapshots.listed == ()
        assert node.problems == (f"{node_dir / 'snapshots'}: Permission denied",)


# Finding nodes


def test_server_is_named_by_its_folder(node_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_log(node_dir, ENTRIES)
    link = node_dir.parent / "current"
    link.symlink_to(node_dir)
    with open_node(link) as node:
        assert node.server_id == "current"
    monkeypatch.chdir(node_dir)
    (node_dir / "snapshots").mkdir()
    for path in (Path(), Path("snapshots", ".."), node_dir):
        with open_node(path) as node:
            assert node.server_id == "seq-1"


def test_nodes_are_found_at_and_below_a_directory(tmp_path: Path) -> None:
    write_log(tmp_path / "state" / "seq-2", ENTRIES)
    write_stable(tmp_path / "state" / "seq-1", STATE)
    (tmp_path / "state" / "seq-3" / "snapshots").mkdir(parents=True)
    (tmp_path / "state" / "empty").mkdir()
    (tmp_path / "state" / "file").touch()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "state")

    names = ["seq-1", "seq-2", "seq-3"]
    assert [path.name for path in node_directories(tmp_path / "state")] == names
    assert node_directories(link) == [link / name for name in names]
    assert node_directories(link / "seq-1") == [link / "seq-1"]
    assert not is_node_directory(tmp_path / "state")
    assert not is_node_directory(tmp_path / "missing")


@pytest.mark.parametrize(
    "name",
    [
        ".generating-0a1b2c3d",
        "seq-1.restoring-20250707-120000",
        "seq-1.replaced-20250707-120000-2",
        "seq-1.discarded-20250707-120000",
        "raft-backup-20250707-120000",
        ".raft-backup-20250707-120000.x1y2.unfinished",
    ],
)
def test_what_this_tool_leaves_or_saves_is_no_node_unless_it_is_named(
    tmp_path: Path, name: str
) -> None:
    for each in (name, "seq-2"):
        (tmp_path / each).mkdir()
        (tmp_path / each / STABLE_FILE).touch()

    assert node_directories(tmp_path) == [tmp_path / "seq-2"]
    assert node_directories(tmp_path / name) == [tmp_path / name]

    (tmp_path / "seq-2" / STABLE_FILE).unlink()
    with pytest.raises(NotFound, match=f"interrupted, such as {re.escape(str(tmp_path / name))}"):
        node_directories(tmp_path)


def test_directory_without_nodes_is_refused_with_a_hint(tmp_path: Path) -> None:
    write_log(tmp_path / "raft" / "seq-1", ENTRIES)
    with pytest.raises(NotFound, match=r"raft-log.db or raft-stable.db; .*/raft does, try"):
        node_directories(tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(NotFound, match="neither it nor a folder in it"):
        node_directories(empty)
    with pytest.raises(NotFound, match="no such directory"):
        node_directories(tmp_path / "missing")
    with pytest.raises(NotFound, match="no node's directory"):
        open_node(empty)
    assert list(empty.iterdir()) == []
    assert not (tmp_path / "missing").exists()


def test_directory_that_cannot_be_listed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **_options: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(StoreError, match="Permission denied"):
        node_directories(tmp_path)
