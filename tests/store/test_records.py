"""What checksums alone cannot tell: records and rows that are whole, and contradict each other."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from conductor.core.effects import AppendEntries
from conductor.core.values import Digest, Epoch, Index, Position, Promise
from conductor.errors import StoreDamaged
from conductor.store.codec import (
    Tail,
    encode_base,
    encode_certificate,
    encode_founding,
    encode_promise,
    encode_tail,
    record_checksum,
)
from conductor.store.rows import encode_entry
from conductor.store.schema import put_record
from tests.store.builders import (
    FOUNDING,
    GENESIS,
    INHERITED,
    Chain,
    a_certificate,
    a_genesis,
    apply,
    base_at,
    certify,
    form,
)
from tests.store.disk import DirectoryDisk

Forge = Callable[[sqlite3.Connection], None]

CHAIN = Chain()
ENTRIES = CHAIN.payloads(4)
FOREIGN = Position(Index(9), Epoch(1), Digest(bytes(32)))


@pytest.fixture
def disk(quick_path: Path) -> Iterator[DirectoryDisk]:
    """Four payloads, the second one certified, after a clean stop."""
    disk = DirectoryDisk(quick_path / "data")
    store = disk.boot()
    form(store)
    apply(store, AppendEntries(ENTRIES), certify(ENTRIES[1]), bodies=CHAIN.bodies)
    disk.stop()
    yield disk
    disk.stop()


def record(name: str, value: bytes) -> Forge:
    """Replace a record, with a good checksum."""

    def forge(connection: sqlite3.Connection) -> None:
        connection.execute(
            "UPDATE records SET value = ?, checksum = ? WHERE name = ?",
            (value, record_checksum(name, value), name),
        )

    return forge


def record_of(name: str, value: bytes) -> Forge:
    """Add a record that the store does not have, with a good checksum."""

    def forge(connection: sqlite3.Connection) -> None:
        put_record(connection, name, value)

    return forge


def statement(text: str) -> Forge:
    """Run a statement."""

    def forge(connection: sqlite3.Connection) -> None:
        connection.execute(text)

    return forge


def row_of_another_chain(connection: sqlite3.Connection) -> None:
    """Replace the third entry by one that hangs on nothing."""
    chain = Chain(replace(ENTRIES[1].position, digest=Digest(bytes(32))))
    entry = chain.payload(b"from nowhere")
    connection.execute("DELETE FROM entries WHERE log_index = 3")
    marks = ", ".join("?" * 12)
    row = encode_entry(entry, b"from nowhere")
    connection.execute(f"INSERT INTO entries VALUES ({marks})", row)


def pruned_without_certificate(connection: sqlite3.Connection) -> None:
    """Drop the first entry as if it had been certified."""
    record("base", encode_base(base_at(ENTRIES[0].position)))(connection)
    record("certificate", b"")(connection)
    connection.execute("DELETE FROM entries WHERE log_index = 1")


def inherited_with(payload: bytes) -> Forge:
    """Let the store have begun with a payload, and hold this one for it."""

    def forge(connection: sqlite3.Connection) -> None:
        put_record(connection, "founding", encode_founding(INHERITED))
        put_record(connection, "head", payload)

    return forge


FORGERIES: dict[str, tuple[Forge, str]] = {
    "promise below the log": (
        record("promise", encode_promise(Promise(Epoch(0), None))),
        "epoch 0 is promised, below that of entry 4",
    ),
    "certificate above the log": (
        record(
            "certificate",
            encode_certificate(a_certificate(CHAIN.fork(ENTRIES[3].position).payload())),
        ),
        "certified entry 5 is not in its log",
    ),
    "certificate of another entry": (
        record(
            "certificate",
            encode_certificate(a_certificate(Chain(ENTRIES[1].position).payload(b"x"))),
        ),
        "certified entry 3 is not in its log",
    ),
    "pruned without a certificate": (pruned_without_certificate, "pruned or certified without"),
    "another genesis": (record("genesis", a_genesis("abd").to_bytes()), "begin at its genesis"),
    "hash of another size": (
        statement("UPDATE entries SET previous_digest = x'00'"),
        "malformed: the digests",
    ),
    "no genesis": (record("genesis", b""), "not its genesis"),
    "genesis cut": (record("genesis", GENESIS.to_bytes()[:-1]), "malformed: not a genesis"),
    "other base": (record("base", encode_base(base_at(FOREIGN))), "certified entry 2 is not in"),
    "no base": (record("base", b""), "not its genesis and base"),
    "tail of another log": (record("tail", encode_tail(Tail(9, FOREIGN))), "does not end where"),
    "record of a later format": (record("promise", b"\x02"), "format 02, not 01"),
    "record too long": (
        record("promise", encode_promise(Promise(Epoch(3), None)) + b"x"),
        "longer than what it says",
    ),
    "record cut": (record("promise", b"\x01\x00"), "cut short"),
    "record without its checksum": (statement("UPDATE records SET checksum = x'00'"), "record of"),
    "record missing": (statement("DELETE FROM records WHERE name = 'promise'"), "of its promise"),
    "record of another": (
        statement(
            "INSERT OR REPLACE INTO records "
            "SELECT 'base', value, checksum FROM records WHERE name = 'certificate'"
        ),
        "of its base",
    ),
    "last entry missing": (
        statement("DELETE FROM entries WHERE log_index = 4"),
        "does not end where",
    ),
    "entry missing": (
        statement("DELETE FROM entries WHERE log_index = 3"),
        "entry 4 stands after entry 2",
    ),
    "entry moved": (
        statement("UPDATE entries SET log_index = 5 WHERE log_index = 4"),
        "header of entry 5",
    ),
    "entry of another chain": (row_of_another_chain, "chain is broken before entry 3"),
    "entry of a later kind": (statement("UPDATE entries SET kind = 9"), "is of kind 9"),
    "height changed": (statement("UPDATE entries SET height = height + 1"), "header of entry 1"),
    "block forgotten": (statement("UPDATE entries SET block_hash = NULL"), "header of entry 1"),
    "digest changed": (statement("UPDATE entries SET digest = x'00'"), "header of entry 1"),
    "size changed": (statement("UPDATE entries SET body_size = 1"), "header of entry 1"),
    "body changed": (statement("UPDATE entries SET body = x'00'"), "body of entry 1"),
    "column of another type": (statement("UPDATE entries SET epoch = 'one'"), "other types"),
    "founding cut": (record_of("founding", encode_founding(FOUNDING)[:-1]), "cut short"),
    "founding of nobody": (
        record_of("founding", b"\x01" + bytes(8 + 4 + 1)),
        "malformed: 0 voters",
    ),
    "founding without its checksum": (
        statement("INSERT INTO records VALUES ('founding', x'01', x'00')"),
        "the record of its founding",
    ),
    "payload of the founding missing": (
        record_of("founding", encode_founding(INHERITED)),
        "the record of its head",
    ),
    "payload of the founding changed": (inherited_with(b"another payload"), "that it began with"),
    "table missing": (statement("DROP TABLE entries"), "no such table"),
    "schema version of the header": (statement("PRAGMA user_version = 7"), "schema version 7"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_store_that_contradicts_itself_is_refused(disk: DirectoryDisk, name: str) -> None:
    forge, problem = FORGERIES[name]
    connection = sqlite3.connect(disk.path / "store.db")
    forge(connection)
    connection.commit()
    connection.close()

    with pytest.raises(StoreDamaged, match=problem) as found:
        disk.boot().load()

    assert "--new-incarnation" in str(found.value)
