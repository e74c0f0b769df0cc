"""What a database holds as plain values, to compare two readings of it."""

from __future__ import annotations

from pathlib import Path

from raft_state.bolt import Damage, Database, check_database, open_database

Contents = dict[bytes, list[tuple[bytes, bytes]]]
"""The items of each bucket, in order; nested buckets are not told apart."""


def contents_of(database: Database) -> Contents:
    """Read everything at the top two levels, forwards; backwards has to agree."""
    contents = {}
    for name, bucket in database.buckets():
        items = [(key, bytes(value)) for key, value in bucket.items()]
        assert [key for key, _ in bucket.items(reverse=True)] == [key for key, _ in items][::-1]
        contents[name] = items
    return contents


def contents_at(path: Path) -> Contents:
    """The same for a file that is at rest."""
    with open_database(path) as database:
        return contents_of(database)


def findings_at(path: Path) -> list[Damage]:
    """What the check says about a file."""
    with open_database(path) as database:
        return list(check_database(database))


def findings_in(tmp_path: Path, data: bytes) -> list[Damage]:
    """What the check says about a file with these bytes."""
    path = tmp_path / "checked.db"
    path.write_bytes(data)
    return findings_at(path)
