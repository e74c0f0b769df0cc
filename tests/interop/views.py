"""What our packages read in a file, in the shape in which `raftkit` reports it.

The reports are compared whole: a field that one side does not know of is a difference.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raft_state.bolt import Bucket, Database, check_database, open_database
from raft_state.raft import (
    CONF,
    LOGS,
    AppendedAt,
    Configuration,
    LogEntry,
    configuration_of,
    decode_entry,
)
from raft_state.verify import Severity, verify_state


def database_view(path: Path) -> dict[str, Any]:
    """The database as such: sizes, transaction, buckets with digests of their items."""
    with open_database(path) as database:
        return {
            "file_bytes": database.file_bytes,
            "page_bytes": database.page_bytes,
            "page_count": database.meta.page_count,
            "transaction_id": database.meta.transaction_id,
            "buckets": list(_bucket_views(database)),
            "check_errors": [str(damage) for damage in check_database(database)],
        }


def store_view(path: Path) -> dict[str, Any]:
    """The log and the stable store, decoded."""
    with open_database(path) as database:
        logs, conf = database.bucket(LOGS), database.bucket(CONF)
        assert logs is not None
        assert conf is not None
        first, last = logs.first(), logs.last()
        return {
            "first_index": int.from_bytes(first[0], "big") if first else 0,
            "last_index": int.from_bytes(last[0], "big") if last else 0,
            "conf": [{"key": key.hex(), "value": value.hex()} for key, value in conf.items()],
            "entries": [stored_entry_view(key, value) for key, value in logs.items()],
        }


def stored_entry_view(key: bytes, value: bytes | memoryview) -> dict[str, Any]:
    """An entry as it lies in a log; nothing that Go writes may draw a remark."""
    decoded = decode_entry(value)
    assert decoded.remarks == (), decoded
    return entry_view(decoded.entry, key)


def entry_view(entry: LogEntry, key: bytes | None = None) -> dict[str, Any]:
    """An entry, stored under its own index unless a key is given."""
    data = b"" if entry.data is None else entry.data
    configuration = configuration_of(entry)
    return {
        "key": entry.index if key is None else int.from_bytes(key, "big"),
        "index": entry.index,
        "term": entry.term,
        "type": entry.type,
        "data_bytes": len(data),
        "data_is_nil": entry.data is None,
        "data_sha256": hashlib.sha256(data).hexdigest(),
        "extensions": None if entry.extensions is None else bytes(entry.extensions).hex(),
        "appended_at": _time_view(entry.appended_at),
        "servers": None if configuration is None else servers_view(configuration),
    }


def servers_view(configuration: Configuration) -> list[dict[str, Any]]:
    """The members of a configuration, in its order."""
    return [
        {"id": server.server_id, "address": server.address, "suffrage": server.suffrage}
        for server in configuration.servers
    ]


def _time_view(time: AppendedAt | None) -> dict[str, Any] | None:
    if time is None or time.is_zero:
        return None
    return {
        "unix_seconds": time.unix_seconds,
        "nanoseconds": time.nanoseconds,
        "zone_offset_s": time.zone_offset_s,
    }


def assert_no_errors(state_dir: Path) -> None:
    """What `verify` says of directories that are fine: warnings at most."""
    findings = verify_state(state_dir).findings
    assert [finding for finding in findings if finding.severity is Severity.ERROR] == []


@dataclass(frozen=True, slots=True)
class _Named:
    """A bucket and the names on the way to it."""

    names: tuple[bytes, ...]
    bucket: Bucket


def _bucket_views(database: Database) -> Iterator[dict[str, Any]]:
    """All buckets, each before those inside it."""
    pending = [_Named((name,), bucket) for name, bucket in database.buckets()]
    while pending:
        named = pending.pop(0)
        items = list(named.bucket.items())
        digest = hashlib.sha256()
        for part in (part for item in items for part in item):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
        yield {
            "path": [name.hex() for name in named.names],
            "items": len(items),
            "inline": named.bucket.root_page == 0,
            "sequence": named.bucket.sequence,
            "sha256": digest.hexdigest(),
        }
        inner = [_Named((*named.names, name), bucket) for name, bucket in named.bucket.buckets()]
        pending = inner + pending
