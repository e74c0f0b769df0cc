"""Directories of Raft states as conductors are given them: found, read, refused, unchanged."""

from __future__ import annotations

import fcntl
from collections.abc import Iterable
from pathlib import Path

import pytest

from conductor.config import Config
from conductor.core.founding import Founding
from conductor.errors import ConductorError, ConfigError, StoreDamaged, StoreError, StoreLocked
from conductor.migration import Beginning, read_beginning
from raft_state.bolt import write_database
from raft_state.node import LOG_FILE, STABLE_FILE
from raft_state.raft import (
    CONF,
    LOGS,
    Configuration,
    EntryType,
    LogEntry,
    Server,
    StableState,
    encode_configuration,
    encode_entry,
    index_key,
    stable_items,
)

SERVERS = Configuration(tuple(Server(f"node-{n}", f"host-{n}:50050") for n in (1, 2, 3)))


def configuration_entry(index: int = 1, term: int = 1) -> LogEntry:
    return LogEntry(index, term, EntryType.CONFIGURATION, encode_configuration(SERVERS))


def noop(index: int, term: int) -> LogEntry:
    return LogEntry(index, term, EntryType.NOOP, None)


def write_node(
    directory: Path,
    entries: Iterable[LogEntry | tuple[int, bytes]] = (configuration_entry(),),
    stable: StableState | None = None,
) -> Path:
    """A node's directory with these entries; a pair is an index with any value."""
    directory.mkdir(parents=True)
    items = [
        (index_key(entry.index), encode_entry(entry))
        if isinstance(entry, LogEntry)
        else (index_key(entry[0]), entry[1])
        for entry in entries
    ]
    stable = stable or StableState(current_term=1)
    write_database(directory / LOG_FILE, {LOGS: items, CONF: []})
    write_database(directory / STABLE_FILE, {LOGS: [], CONF: stable_items(stable)})
    return directory


def begin(directory: Path, server_id: str = "node-1") -> Beginning:
    return read_beginning(Config(server_id=server_id), directory)


def read(directory: Path, server_id: str = "node-1") -> Founding:
    return begin(directory, server_id).founding


@pytest.mark.parametrize("way", ["node", "cluster", "link", "volume", "cluster of volumes"])
def test_directory_is_that_of_the_node_or_holds_it(tmp_path: Path, way: str) -> None:
    write_node(tmp_path / "state" / "node-1")
    (tmp_path / "link").symlink_to(tmp_path / "state" / "node-1")
    write_node(tmp_path / "volumes" / "pvc-7")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "node-1").symlink_to(tmp_path / "volumes" / "pvc-7")
    given = {
        "node": tmp_path / "state" / "node-1",
        "cluster": tmp_path / "state",
        "volume": tmp_path / "links" / "node-1",
        "cluster of volumes": tmp_path / "links",
    }

    founding = read(given.get(way, tmp_path / "link"))

    assert [voter.server_id for voter in founding.voters] == ["node-1", "node-2", "node-3"]
    assert founding.first_promise == 1


@pytest.mark.parametrize(
    ("directory", "server_id", "problem"),
    [
        ("missing", "node-1", "no such directory"),
        (".", "node-1", "holds a raft-log.db"),
        ("state", "node-9", r"no node's folder 'node-9', but \[node-1, node-2\]"),
        ("state/node-2", "node-1", "the folder of 'node-2', but this server is 'node-1'"),
        ("state/node-9", "node-9", "no such directory"),
        ("state", "n" * 256, "File name too long"),
        ("state/node-1/raft-log.db", "node-1", "no such directory"),
    ],
)
def test_directory_that_is_not_this_node_s_is_refused(
    tmp_path: Path, directory: str, server_id: str, problem: str
) -> None:
    for name in ("node-1", "node-2"):
        write_node(tmp_path / "state" / name)

    with pytest.raises(ConfigError, match=problem) as caught:
        read(tmp_path / directory, server_id)

    assert "--raft-state-dir" in str(caught.value)


VOTE = b"host-2:50050"


@pytest.mark.parametrize(
    ("last_term", "stable", "first_promise", "initial_leader"),
    [
        (1, StableState(1), 1, None),
        (1, StableState(4), 4, None),
        (4, StableState(1), 4, None),
        (1, StableState(1, 4, VOTE), 4, "node-2"),
        (1, StableState(4, 4, VOTE), 4, "node-2"),
        (1, StableState(5, 4, VOTE), 5, None),
        (5, StableState(4, 4, VOTE), 5, None),
        (1, StableState(4, 4, b"node-3"), 4, "node-3"),
        (1, StableState(4, 4, b"\xff"), 4, None),
        (1, StableState(4, 4, b""), 4, None),
        (1, StableState(4, 4), 4, None),
        (2, StableState(), 2, None),
    ],
)
def test_first_epoch_follows_the_highest_term(
    tmp_path: Path,
    last_term: int,
    stable: StableState,
    first_promise: int,
    initial_leader: str | None,
) -> None:
    entries = (configuration_entry(), noop(2, last_term))

    founding = read(write_node(tmp_path / "node-1", entries, stable))

    assert founding.first_promise == first_promise
    assert founding.initial_leader == initial_leader


@pytest.mark.parametrize(
    ("entries", "error", "problem"),
    [
        ((), StoreError, "who the members are"),
        ((configuration_entry(2),), StoreDamaged, "where entry 1 should be"),
        ((configuration_entry(), noop(3, 1)), StoreDamaged, "where entry 2 should be"),
        ((configuration_entry(), (2, b"\x86")), StoreDamaged, "the log cannot be read: "),
        ((configuration_entry(), (2, encode_entry(noop(7, 1)))), StoreDamaged, "where entry 2"),
        ((LogEntry(1, 1, EntryType.CONFIGURATION, b"\xff"),), StoreDamaged, "entry 1: "),
    ],
)
def test_log_that_no_cluster_can_begin_with_is_refused(
    tmp_path: Path,
    entries: tuple[LogEntry | tuple[int, bytes], ...],
    error: type[ConductorError],
    problem: str,
) -> None:
    directory = write_node(tmp_path / "node-1", entries)

    with pytest.raises(error, match=problem) as caught:
        read(directory)

    assert str(directory) in str(caught.value)


def test_snapshot_that_was_never_finished_is_none(tmp_path: Path) -> None:
    directory = write_node(tmp_path / "node-1")
    (directory / "snapshots" / "1-1-1700000000000.tmp").mkdir(parents=True)

    assert read(directory).first_promise == 1


@pytest.mark.parametrize("name", [LOG_FILE, STABLE_FILE])
@pytest.mark.parametrize("content", [None, b"", bytes(16384)])
def test_state_that_is_not_whole_is_refused(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    directory = write_node(tmp_path / "node-1")
    (directory / name).unlink()
    if content is not None:
        (directory / name).write_bytes(content)

    with pytest.raises(StoreDamaged, match=name):
        read(directory)


def test_term_that_raft_could_not_read_is_refused(tmp_path: Path) -> None:
    directory = write_node(tmp_path / "node-1")
    (directory / STABLE_FILE).unlink()
    items = [(b"CurrentTerm", b"\x01")]
    write_database(directory / STABLE_FILE, {LOGS: [], CONF: items})

    with pytest.raises(StoreDamaged, match="CurrentTerm"):
        read(directory)


def test_state_that_a_conductor_uses_is_refused(tmp_path: Path) -> None:
    directory = write_node(tmp_path / "node-1")
    with (directory / LOG_FILE).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        with pytest.raises(StoreLocked):
            read(directory)


def test_reading_changes_nothing(tmp_path: Path) -> None:
    directory = write_node(tmp_path / "node-1")
    before = {path.name: path.stat().st_mtime_ns for path in directory.iterdir()}

    read(directory)

    assert {path.name: path.stat().st_mtime_ns for path in directory.iterdir()} == before


def test_options_that_do_not_fit_are_refused_before_there_is_a_store(tmp_path: Path) -> None:
    directory = write_node(tmp_path / "node-1")
    config = Config(server_id="node-1", quorum_rule=4)

    with pytest.raises(ConfigError, match="--quorum-threshold"):
        read_beginning(config, directory)
