"""Finds out whom a node believes to be members: the newest configuration, the newest certain one.

Law: Raft goes by the newest configuration in log or snapshot, committed or not, and stores nowhere
what is committed. Certain is what a snapshot holds, the configuration before the newest (Raft
appends one only after the one before was committed), and the one that a cluster began with.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from raft_state.bolt import Bucket
from raft_state.info.entries import CONFIGURATION_TYPES, entry_type
from raft_state.info.report import Members
from raft_state.info.values import member_of
from raft_state.raft import EncodingDamaged, configuration_of, decode_entry, index_of_key

SEARCHED_ENTRIES_MAX = 500_000
"""From the newest backwards; op-conductor keeps fewer than 20,000."""

FIRST_INDEX = 1


@dataclass(frozen=True, slots=True)
class FoundMembers:
    """The newest configuration and the newest that is certain, with what stood in the way."""

    latest: Members | None
    committed: Members | None
    problems: tuple[str, ...]


def find_members(bucket: Bucket, snapshot: Members | None, snapshot_index: int) -> FoundMembers:
    """Search a log backwards, down to the snapshot whose members are given.

    Raises DatabaseDamaged.
    """
    problems: list[str] = []
    found = _configurations(bucket, snapshot_index, problems)
    latest = next(found, None)
    if latest is None:
        return FoundMembers(snapshot, snapshot, tuple(problems))
    committed = next(found, snapshot)
    if committed is None and latest.index == FIRST_INDEX:
        committed = latest
    return FoundMembers(latest, committed, tuple(problems))


def _configurations(bucket: Bucket, snapshot_index: int, problems: list[str]) -> Iterator[Members]:
    """Those in the log after the snapshot, newest first."""
    for searched, (key, value) in enumerate(bucket.items(reverse=True)):
        index = index_of_key(key)
        if index is None:
            continue
        if index <= snapshot_index:
            return
        if searched == SEARCHED_ENTRIES_MAX:
            problems.append(
                f"members: only the newest {SEARCHED_ENTRIES_MAX:,} entries were searched"
            )
            return
        if entry_type(value) not in CONFIGURATION_TYPES:
            continue
        try:
            entry = decode_entry(value).entry
            configuration = configuration_of(entry)
        except EncodingDamaged as error:
            problems.append(f"members: the entry at index {index} cannot be read: {error}")
            continue
        if configuration is not None:
            servers = tuple(map(member_of, configuration.servers))
            yield Members(index, entry.term, "log", servers)
