"""Stores of every released schema open, newer ones are refused, a step is taken whole or not."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor.core.effects import Touch
from conductor.errors import StoreDamaged, StoreMismatch
from conductor.store import open_store
from conductor.store.codec import encode_number
from conductor.store.schema import STEPS, migrate, put_record, read_version
from tests.store.builders import apply, bodies_of
from tests.store.history import replay, steps_done

GOLDEN = Path(__file__).with_name("golden")
GOLDEN_STEPS = 13


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """A database of the newest schema, in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, 0)
    yield connection
    connection.close()


@pytest.mark.parametrize("version", range(1, len(STEPS) + 1))
def test_store_of_every_schema_opens(quick_path: Path, version: int) -> None:
    """`golden` has a file of each: `store.db` of `history DIRECTORY 13`, zipped."""
    data = gzip.decompress((GOLDEN / f"schema_{version}.db.gz").read_bytes())
    (quick_path / "store.db").write_bytes(data)

    store = open_store(quick_path, "a")
    state = store.load()

    expected = replay(GOLDEN_STEPS)
    assert steps_done(state) == GOLDEN_STEPS
    assert len(state.incarnation) == 32
    assert (state.genesis, state.base) == (expected.load().genesis, expected.load().base)
    assert state.entries == expected.load().entries
    assert state.certificate == expected.load().certificate
    assert bodies_of(store, state) == bodies_of(expected, state)
    apply(store, Touch())
    store.close()


def test_store_of_a_newer_schema_is_refused(quick_path: Path) -> None:
    open_store(quick_path, "a").close()
    connection = sqlite3.connect(quick_path / "store.db")
    connection.execute("PRAGMA user_version = 99")
    put_record(connection, "schema", encode_number(99))
    connection.commit()
    connection.close()

    with pytest.raises(StoreMismatch, match="schema version 99, this program knows"):
        open_store(quick_path, "a")


def test_later_steps_are_taken_in_order(connection: sqlite3.Connection) -> None:
    steps = (
        *STEPS,
        ("CREATE TABLE extra (number INTEGER)",),
        ("INSERT INTO extra VALUES (1)", "INSERT INTO extra VALUES (2)"),
    )

    migrate(connection, read_version(connection), steps)

    assert read_version(connection) == len(STEPS) + 2
    assert connection.execute("SELECT sum(number) FROM extra").fetchone() == (3,)
    migrate(connection, read_version(connection), steps)
    assert connection.execute("SELECT sum(number) FROM extra").fetchone() == (3,)


def test_step_that_fails_leaves_the_version_before_it(quick_path: Path) -> None:
    path = quick_path / "database"
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, 0)
    steps = (*STEPS, ("CREATE TABLE extra (number INTEGER)", "INSERT INTO missing VALUES (1)"))

    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, read_version(connection), steps)
    connection.close()

    connection = sqlite3.connect(path, isolation_level=None)
    assert read_version(connection) == len(STEPS)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        connection.execute("SELECT * FROM extra")
    connection.close()


def test_version_stands_in_two_places(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA user_version = 3")

    with pytest.raises(StoreDamaged, match="schema version 3, its records say another"):
        read_version(connection)
