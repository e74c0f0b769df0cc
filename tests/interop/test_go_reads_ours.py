"""Databases of our writer pass the check of bbolt, read the same in Go, and bear Go's writes."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from raft_state.bolt import write_database
from raft_state.raft import (
    CONF,
    LOGS,
    AppendedAt,
    Configuration,
    EntryForm,
    EntryType,
    LogEntry,
    Server,
    Suffrage,
    encode_configuration,
    encode_entry,
    encode_peers,
    index_key,
)
from tests.interop.go import Raftkit
from tests.interop.views import database_view, entry_view

EMPTY_ENTRY_BYTES = len(encode_entry(LogEntry(1, 1, 0, b"")))
INLINE_HEADERS_BYTES = 16 + 16 + 8
"""Of a bucket with one item beside that item: page header, element, key."""

CONFIGURATION = Configuration(
    (
        Server("sequencer-1", "10.0.0.1:50050"),
        Server("sequencer-2", "[::1]:50050", Suffrage.NONVOTER),
        Server("sequencer-3", "sequencer-3.some-namespace.svc.cluster.local:50050", 2),
    )
)


@dataclass(frozen=True, slots=True)
class Shape:
    """A log to write, and how."""

    name: str
    entries: int = 1
    value_bytes: int = 100
    page_bytes: int = 4096
    fill_percent: int = 100
    first_index: int = 1
    transaction_id: int = 2

    @property
    def is_inline(self) -> bool:
        """Whether bolt would put the log into the page that names it."""
        items_bytes = sum(16 + 8 + len(encode_entry(entry)) for entry in self.log())
        return 16 + items_bytes <= self.page_bytes // 4

    def log(self) -> list[LogEntry]:
        """Its entries; no two hold the same data."""
        return [
            LogEntry(
                index,
                1 + index // 100,
                EntryType.COMMAND,
                data_of(index, self.value_bytes),
                None,
                AppendedAt(1_752_244_856 + index, 123_456_789),
            )
            for index in range(self.first_index, self.first_index + self.entries)
        ]


def data_of(seed: int, size: int) -> bytes:
    """Bytes that tell where they are from."""
    block = hashlib.sha256(seed.to_bytes(8, "big")).digest()
    return (block * (size // len(block) + 1))[:size]


def inline_border(page_bytes: int) -> int:
    """How much data a single entry has that fills an inline bucket to its limit."""
    # Data of this size has two bytes more of header than the empty one.
    return page_bytes // 4 - INLINE_HEADERS_BYTES - EMPTY_ENTRY_BYTES - 2


def shapes() -> Iterator[Shape]:
    for entries in (0, 1, 2, 10, 1000, 20_000):
        yield Shape(f"{entries} entries", entries=entries, value_bytes=60)
    for value_bytes in (0, 31, 32, 255, 256, 65_535, 65_536, 100_000, 1 << 20):
        yield Shape(f"values of {value_bytes}", entries=12, value_bytes=value_bytes)
    for page_bytes in (512, 1024, 2048, 8192, 16_384, 65_536):
        yield Shape(f"pages of {page_bytes}", 700, value_bytes=150, page_bytes=page_bytes)
        yield Shape(f"one entry, pages of {page_bytes}", page_bytes=page_bytes)
    for beyond in (-1, 0, 1):
        for page_bytes in (4096, 16_384):
            size = inline_border(page_bytes) + beyond
            yield Shape(f"inline border {beyond:+}, pages of {page_bytes}", 1, size, page_bytes)
    # An element is as large as a page, a byte less, a byte more; likewise two of them.
    for value_bytes in range(3955, 3985, 3):
        yield Shape(f"page border {value_bytes}", entries=5, value_bytes=value_bytes)
    # Pages of 512 bytes have room for two such entries, and for 20 children: at these numbers of
    # leaves a level of branches is full, or one child is left over.
    for leaves in (2, 20, 21, 22, 40, 41, 399, 400, 401, 421):
        yield Shape(f"{leaves} leaves", 2 * leaves, value_bytes=100, page_bytes=512)
    yield Shape("half full", entries=3000, fill_percent=50)
    yield Shape("deep tree", entries=9000, value_bytes=90, page_bytes=512)
    yield Shape("far indexes", entries=300, first_index=2**40)
    yield Shape("other meta page", entries=30, transaction_id=3)
    yield Shape("late transaction", entries=30, transaction_id=2**40)


STABLE = [
    (b"CurrentTerm", index_key(5)),
    (b"LastVoteCand", b"127.0.0.1:50050"),
    (b"LastVoteTerm", index_key(5)),
]


def write(path: Path, shape: Shape, log: list[LogEntry]) -> None:
    write_database(
        path,
        {LOGS: ((index_key(entry.index), encode_entry(entry)) for entry in log), CONF: STABLE},
        page_bytes=shape.page_bytes,
        fill_percent=shape.fill_percent,
        transaction_id=shape.transaction_id,
    )


@pytest.mark.parametrize("shape", list(shapes()), ids=lambda shape: shape.name)
def test_go_reads_what_we_wrote_and_goes_on_writing(
    raftkit: Raftkit, shape: Shape, tmp_path: Path
) -> None:
    path = tmp_path / "raft-log.db"
    log = shape.log()
    write(path, shape, log)
    expected = [entry_view(entry) for entry in log]

    report = raftkit.dump(path)
    logs = report["database"]["buckets"][1]
    assert logs["path"] == [LOGS.hex()]
    assert logs["inline"] == shape.is_inline
    assert report["database"]["check_errors"] == []
    assert report["database"]["page_bytes"] == shape.page_bytes
    assert report["database"]["transaction_id"] == shape.transaction_id
    assert report["entries"] == expected
    assert report["conf"] == [{"key": k.hex(), "value": v.hex()} for k, v in STABLE]
    assert_go_can_grow(raftkit, path, expected)


def assert_go_can_grow(raftkit: Raftkit, path: Path, before: list[dict[str, Any]]) -> None:
    """Each write of Go leaves a sound database, and what it does not delete as it was."""
    grown = path.with_name("grown.db")
    shutil.copyfile(path, grown)

    growth = raftkit.run("grow", grown)  # checks the database after every step
    after = raftkit.dump(grown)
    kept = [e for e in before if growth["deleted_to"] < e["key"] < growth["added_from"]]
    assert after["entries"][: len(kept)] == kept
    added = [entry["key"] for entry in after["entries"][len(kept) :]]
    assert added == list(range(growth["added_from"], growth["added_to"] + 1))
    assert after["database"]["check_errors"] == []
    # And we read what became of it.
    assert database_view(grown)["check_errors"] == []


def odd_log() -> list[LogEntry]:
    """Every form of a field, at the borders of its encodings."""
    configuration = encode_configuration(CONFIGURATION)
    peers = encode_peers(["10.0.0.1:7000", "sequencer-2.internal:7000"])
    numbers = (127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**63, 2**64 - 1)
    times = [
        AppendedAt(1_752_244_856, 123_456_789, offset)
        for offset in (None, 0, 7200, -25_200, 19_830, 50_400)
    ]
    times += [AppendedAt(0), AppendedAt(-1, 999_999_999), AppendedAt(2**34, 5)]
    log = [
        LogEntry(1, 1, EntryType.CONFIGURATION, configuration),
        LogEntry(2, 1, EntryType.CONFIGURATION, encode_configuration(Configuration())),
        LogEntry(3, 1, EntryType.CONFIGURATION, encode_configuration(Configuration())),
        LogEntry(4, 1, EntryType.ADD_PEER, peers),
        LogEntry(5, 1, EntryType.REMOVE_PEER, peers),
        LogEntry(6, 1, EntryType.NOOP),
        LogEntry(7, 1, EntryType.BARRIER),
        LogEntry(8, 1, EntryType.COMMAND, b""),
        LogEntry(9, 1, EntryType.COMMAND, b"data", b"extensions"),
        LogEntry(10, 1, 255, b"of another version", b""),
    ]
    log += [LogEntry(20 + number, term, 0, b"") for number, term in enumerate(numbers)]
    log += [LogEntry(40 + number, 1, 0, b"", None, time) for number, time in enumerate(times)]
    log += [LogEntry(index, 1, 0, b"far") for index in numbers[:-1]]
    return log


@pytest.mark.parametrize("form", EntryForm)
def test_go_decodes_every_form_of_entry_that_we_encode(
    raftkit: Raftkit, form: EntryForm, tmp_path: Path
) -> None:
    path = tmp_path / "raft-log.db"
    log = odd_log()
    items = [(index_key(entry.index), encode_entry(entry, form)) for entry in log]
    write_database(path, {LOGS: items, CONF: []})

    expected = [entry_view(entry) for entry in log]
    for entry in expected:
        if form is EntryForm.UNTIMED:
            entry["appended_at"] = None
        elif form is EntryForm.TIMESTAMP and entry["appended_at"]:
            entry["appended_at"]["zone_offset_s"] = None
    assert raftkit.dump(path)["entries"] == expected
