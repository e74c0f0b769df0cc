"""Files that the Go libraries wrote are read to exactly what Go reads in them."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from raft_state.bolt import Bucket, Database, DatabaseCheck, PageMap, Use, layout, open_database
from raft_state.bolt.pages import Page

GOLDEN = Path(__file__).parent / "golden"
FILES: dict[str, dict[str, Any]] = json.loads((GOLDEN / "manifest.json").read_text("utf-8"))[
    "files"
]
TORN = "r173-bb139/torn_meta/raft-log.db"


@pytest.fixture(params=sorted(FILES))
def name(request: pytest.FixtureRequest) -> str:
    """Each of the files."""
    return str(request.param)


@pytest.fixture
def database(name: str) -> Iterator[Database]:
    with open_database(GOLDEN / name) as database:
        yield database


def test_files_are_those_of_the_manifest(name: str) -> None:
    data = (GOLDEN / name).read_bytes()
    assert hashlib.sha256(data).hexdigest() == FILES[name]["sha256"]
    assert len(data) == FILES[name]["size"]


def test_both_meta_pages_hold_what_go_reads(name: str) -> None:
    expected = FILES[name]
    data = (GOLDEN / name).read_bytes()
    for number in (0, 1):
        start = number * expected["page_size"] + layout.PAGE_HEADER_BYTES
        stored = layout.unpack_meta(data[start : start + layout.META_BYTES])
        assert {
            "checksum": f"{stored.checksum:016x}",
            "flags": stored.meta.flags,
            "freelist": str(stored.meta.freelist_page),
            "high_water_pgid": stored.meta.page_count,
            "magic": f"{stored.meta.magic:08x}",
            "page_size": stored.meta.page_bytes,
            "root_pgid": stored.meta.root_page,
            "root_sequence": stored.meta.root_sequence,
            "txid": stored.meta.transaction_id,
            "version": stored.meta.version,
        } == expected[f"meta{number}"]


def test_the_same_transaction_counts(name: str, database: Database) -> None:
    expected = FILES[name]
    assert database.meta.transaction_id == expected["active_txid"]
    assert database.page_bytes == expected["page_size"]
    assert database.meta.page_count * database.page_bytes == expected["tx_size"]
    assert database.file_bytes == expected["size"]
    assert [warning.page for warning in database.warnings] == ([0] if name == TORN else [])


def test_pages_are_used_as_go_says(name: str, database: Database) -> None:
    expected = FILES[name]
    check = DatabaseCheck(database)
    assert [finding for finding in check.findings() if finding.severity == "error"] == []
    free = Use.FREE if database.meta.freelist_page != layout.NO_FREELIST else Use.UNKNOWN
    assert free_pages(check.page_map, free) == expected["free_pages"]
    kinds = {"free": free} | {
        use.name.lower(): use
        for use in (Use.META, Use.BRANCH, Use.LEAF, Use.OVERFLOW, Use.FREELIST)
    }
    counts = {kind: check.page_map.count(use) for kind, use in kinds.items()}
    assert counts == dict.fromkeys(kinds, 0) | expected["page_types"]


def free_pages(page_map: PageMap, use: Use) -> list[int]:
    """The pages of this use, one by one."""
    return [page for first, last in page_map.runs(use) for page in range(first, last + 1)]


@dataclass
class Shape:
    """What a bucket is made of."""

    depth: int = 0
    branch_pages: int = 0
    leaf_pages: int = 0
    leaf_overflow: int = 0

    def add(self, bucket: Bucket, page: Page, depth: int) -> None:
        """Count a page and all below it."""
        self.depth = max(self.depth, depth)
        if not page.is_leaf:
            self.branch_pages += 1
            for index in range(page.count):
                self.add(bucket, bucket.pages.tree_page(page.child(index)), depth + 1)
        elif page.pages:
            self.leaf_pages += 1
            self.leaf_overflow += page.pages - 1


def test_buckets_have_the_same_shape(name: str, database: Database) -> None:
    found = {}
    for bucket_name, bucket in database.buckets():
        shape = Shape()
        shape.add(bucket, bucket.root, 1)
        found[bucket_name.decode()] = {
            "branch_pages": shape.branch_pages,
            "depth": shape.depth,
            "inline": bucket.is_inline,
            "keys": bucket.count(),
            "leaf_overflow": shape.leaf_overflow,
            "leaf_pages": shape.leaf_pages,
            "root_pgid": bucket.root_page,
            "sequence": bucket.sequence,
        }
    assert found == FILES[name]["buckets"]


def bucket_of(database: Database, name: bytes) -> Bucket:
    bucket = database.bucket(name)
    assert bucket is not None
    return bucket


def test_stable_values_are_the_same(name: str, database: Database) -> None:
    found = [(key.decode(), value.hex()) for key, value in bucket_of(database, b"conf").items()]
    assert found == [(each["key"], each["value_hex"]) for each in FILES[name]["conf"]]


def log_digests(expected: dict[str, Any]) -> Iterator[tuple[bytes, str]]:
    """Key and SHA-256 of each value, from either of the two forms of the manifest."""
    for row in expected.get("logs_compact", ()):
        yield struct.pack(">Q", row[0]), row[-1]
    for entry in expected.get("logs", ()):
        raw = entry.get("raw_hex")
        digest = hashlib.sha256(bytes.fromhex(raw)).hexdigest() if raw else entry["raw_sha256"]
        yield struct.pack(">Q", entry["index"]), digest


def test_log_entries_are_the_same_bytes(name: str, database: Database) -> None:
    logs = bucket_of(database, b"logs")
    expected = list(log_digests(FILES[name]))
    assert len(expected) == FILES[name]["log_count"]
    assert [(key, hashlib.sha256(value).hexdigest()) for key, value in logs.items()] == expected
    backwards = [
        (key, hashlib.sha256(value).hexdigest()) for key, value in logs.items(reverse=True)
    ]
    assert backwards == expected[::-1]


def test_ends_and_single_entries_are_found(name: str, database: Database) -> None:
    logs = bucket_of(database, b"logs")
    keys = [key for key, _ in logs.items()]
    first, last = logs.first(), logs.last()
    assert [each[0] for each in (first, last) if each] == keys[:1] + keys[-1:]
    for key in keys:
        value = logs.get(key)
        assert value is not None
        assert next(logs.items(start=key)) == (key, value)
        assert next(logs.items(start=key + b"\0", reverse=True)) == (key, value)
    assert logs.get(b"\xff" * 8) is None
    assert logs.get(b"\0") is None


def test_reading_changes_neither_bytes_nor_times(tmp_path: Path, name: str) -> None:
    path = tmp_path / "raft.db"
    path.write_bytes((GOLDEN / name).read_bytes())
    before = path.stat()
    with open_database(path) as database:
        assert not [each for each in DatabaseCheck(database).findings() if each.severity == "error"]
    after = path.stat()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == FILES[name]["sha256"]
    assert (after.st_mtime_ns, after.st_mode) == (before.st_mtime_ns, before.st_mode)
    assert list(tmp_path.iterdir()) == [path]
