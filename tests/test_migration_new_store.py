"""Stores that are made from Raft states while nothing runs."""

from __future__ import annotations

import dataclasses
import fcntl
from contextlib import closing
from pathlib import Path

import pytest

from conductor.config import Config
from conductor.core.values import Promise
from conductor.errors import (
    ConductorError,
    ConfigError,
    Refused,
    StoreDamaged,
    StoreError,
    StoreLocked,
)
from conductor.migration import FromRaftReport, make_store, read_beginning
from conductor.store import has_store, open_existing_store, open_store
from raft_state.node import LOG_FILE
from raft_state.raft import StableState
from tests.raft_state.flawed_states import ID, IDS, command, make_node, noop, payload, sets

LOG = (sets(1), command(2), command(3, payload(70)), noop(4, term=5))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return make_node(tmp_path / "raft", LOG, stable=StableState(6, 6, b"sequencer-2"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def made(state: Path, data: Path, *, dry_run: bool = False) -> FromRaftReport:
    return make_store(Config(server_id=ID), state, data, dry_run=dry_run)


def test_store_begins_with_all_that_the_raft_state_says(state: Path, data: Path) -> None:
    report = made(state, data)

    with closing(open_store(data, ID)) as store:
        stored = store.load()
        assert stored.founding == read_beginning(Config(server_id=ID), state).founding
        assert stored.promise == Promise(stored.founding.first_promise, None)
        assert stored.genesis is None
        assert store.read_head() == payload(70)
    assert stored.founding is not None
    assert (report.first_epoch, report.initial_leader) == (7, "sequencer-2")
    assert [voter.server_id for voter in report.voters] == sorted(IDS)
    assert report.head is not None
    assert (report.head.block.height, report.payload_bytes) == (70, len(payload(70)))


def test_server_that_starts_from_the_state_has_the_same_store(
    state: Path, data: Path, tmp_path: Path
) -> None:
    """`run --raft-state-dir` and `migrate from-raft` are one."""
    made(state, data)
    beginning = read_beginning(Config(server_id=ID), state)
    store = open_store(tmp_path / "other", ID, beginning.founding, beginning.payload)

    with closing(store), closing(open_existing_store(data)) as offline:
        mine = offline.load()
        assert dataclasses.replace(store.load(), incarnation=mine.incarnation) == mine
        assert store.read_head() == offline.read_head()


def test_dry_run_says_the_same_and_makes_nothing(state: Path, data: Path) -> None:
    dry = made(state, data, dry_run=True)

    assert not data.exists()
    assert made(state, data) == dataclasses.replace(dry, is_made=True)


def test_raft_state_is_left_as_it_was(state: Path, data: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in state.parent.rglob("*")}

    made(state, data)

    assert {path: path.stat().st_mtime_ns for path in state.parent.rglob("*")} == before


def test_store_that_is_there_is_refused_and_left_as_it_was(state: Path, data: Path) -> None:
    with closing(open_store(data, ID)) as store:
        before = store.load()

    for dry_run in (True, False):
        with pytest.raises(Refused, match="holds a store already"):
            made(state, data, dry_run=dry_run)

    with closing(open_store(data, ID)) as store:
        assert store.load() == before


def test_directory_with_a_key_alone_is_no_store(state: Path, data: Path) -> None:
    """`op-conductor keygen` may have been there before."""
    data.mkdir()
    (data / "identity.pem").write_text("a key")

    made(state, data)

    assert has_store(data)
    assert (data / "identity.pem").read_text() == "a key"


@pytest.mark.parametrize(
    ("case", "error", "problem"),
    [
        ("in use", StoreLocked, "raft-log.db"),
        ("another", ConfigError, "--state-dir .* is the folder of 'sequencer-1', but this server"),
        ("missing", ConfigError, "--state-dir .*no such directory"),
        ("damaged", StoreDamaged, "the log cannot be read"),
        ("term", StoreError, "too high to begin after"),
        ("inside", ConfigError, "--data-dir .* is in .*/sequencer-1, the Raft state of a node"),
        ("the same", ConfigError, "--data-dir .* is in .*/sequencer-1, the Raft state of a node"),
        ("remains", StoreDamaged, "is gone, but mark of it is there"),
    ],
)
def test_what_cannot_be_begun_with_is_refused_and_nothing_is_made(
    tmp_path: Path, state: Path, data: Path, case: str, error: type[ConductorError], problem: str
) -> None:
    config = Config(server_id=ID)
    with (state / LOG_FILE).open("rb") as held:
        if case == "in use":
            fcntl.flock(held, fcntl.LOCK_EX)
        elif case == "another":
            config = Config(server_id="sequencer-2")
        elif case == "missing":
            state = tmp_path / "nowhere"
        elif case == "damaged":
            state = make_node(tmp_path / "damaged", (sets(1), noop(3)))
        elif case == "term":
            state = make_node(tmp_path / "late", stable=StableState(2**40))
        elif case == "inside":
            data = state / "store"
        elif case == "the same":
            data = state
        elif case == "remains":
            data.mkdir()
            (data / "mark").write_bytes(b"")

        with pytest.raises(error, match=problem):
            make_store(config, state, data)

    assert not (data / "store.db").exists()
    assert case == "remains" or case == "the same" or not data.exists()
