"""Makes the new files of one node: what Raft's own recovery would leave, complete and durable.

Law: with a payload there are an empty log and one snapshot of the last entry, with the new members
at configuration index 1, as Raft writes it. Without one there is no snapshot, since op-conductor
cannot start from an empty one, but a log whose first entry sets the members. A term never falls,
and a stable store whose term is high enough is copied as it is.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from raft_state.bolt import DatabaseDamaged, new_file, write_database
from raft_state.bolt.layout import PAGE_BYTES_DEFAULT
from raft_state.exchange import give, sync_directory
from raft_state.node import LOG_FILE, SNAPSHOTS, STABLE_FILE, NodeState, open_node
from raft_state.raft import (
    CONF,
    LOGS,
    Configuration,
    EntryType,
    LogEntry,
    StableState,
    encode_configuration,
    encode_entry,
    index_key,
    read_stable,
    stable_items,
    write_snapshot,
)
from raft_state.recover.plan import RecoveryPlan, Target

FIRST_INDEX = 1
CONFIGURATION_INDEX = 1
"""What Raft's own recovery puts into the snapshot."""

_DIRECTORY_MODE = 0o755


@dataclass(frozen=True, slots=True)
class NewState:
    """The state that all targets get."""

    configuration: Configuration
    state: bytes
    """Of the snapshot; empty: a log with one entry is written instead."""
    last_index: int
    last_term: int
    current_term: int
    """The lowest that a target may have."""
    unix_ms: int
    """In the name of the snapshot."""

    @classmethod
    def of(cls, plan: RecoveryPlan, now: datetime) -> NewState:
        """The state that a plan asks for, in a snapshot that sorts behind all that are there."""
        outlook = plan.outlook
        prefix = f"{outlook.last_term}-{outlook.last_index}-"
        unix_ms = int(now.timestamp() * 1000)
        for target in outlook.targets:
            for path in (target.directory / SNAPSHOTS).glob(f"{prefix}*"):
                rest = path.name.removeprefix(prefix)
                if rest.isdecimal():
                    unix_ms = max(unix_ms, int(rest) + 1)
        return cls(
            configuration=outlook.configuration,
            state=plan.state,
            last_index=outlook.last_index,
            last_term=outlook.last_term,
            current_term=outlook.current_term,
            unix_ms=unix_ms,
        )


def build(state: NewState, target: Target, new: Path) -> bool:
    """Fill a directory with what is to be put in place; whether all could be given to its owner.

    OSError, StoreError. Nothing but `new` is written to; the target's databases are locked by us.
    """
    with open_node(target.directory, lock=False) as node:
        log = node.databases.get(LOG_FILE)
        page_bytes = PAGE_BYTES_DEFAULT if log is None else log.page_bytes
        stable = _new_stable(node, state.current_term)
    write_database(new / LOG_FILE, {CONF: (), LOGS: _entries(state)}, page_bytes=page_bytes)
    if stable is None:
        # A copy all the same: whoever waits for the lock of a database must wait for an old one.
        _copy(target.directory / STABLE_FILE, new / STABLE_FILE)
    else:
        items = stable_items(stable)
        write_database(new / STABLE_FILE, {CONF: items, LOGS: ()}, page_bytes=page_bytes)
    if state.state:
        (new / SNAPSHOTS).mkdir(_DIRECTORY_MODE)
        write_snapshot(
            new / SNAPSHOTS,
            index=state.last_index,
            term=state.last_term,
            configuration=state.configuration,
            configuration_index=CONFIGURATION_INDEX,
            state=state.state,
            unix_ms=state.unix_ms,
        )
    sync_directory(new)
    return _give_all(target.directory, new)


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as stream, new_file(target) as copy:
        shutil.copyfileobj(stream, copy)


def _entries(state: NewState) -> list[tuple[bytes, bytes]]:
    if state.state:
        return []
    data = encode_configuration(state.configuration)
    entry = LogEntry(FIRST_INDEX, state.last_term, EntryType.CONFIGURATION, data)
    return [(index_key(FIRST_INDEX), encode_entry(entry))]


def _new_stable(node: NodeState, lowest_term: int) -> StableState | None:
    """The stable store to write; None when the one that is there is as it shall be."""
    known = node.stable or StableState()
    term = max(known.current_term or 0, lowest_term)
    if known.current_term == term and not known.problems and known == _own_stable(node):
        return None
    return StableState(term, known.last_vote_term, known.last_vote_candidate, (), known.unknown)


def _own_stable(node: NodeState) -> StableState | None:
    """What is where Raft reads it; `node.stable` may be from elsewhere."""
    database = node.databases.get(STABLE_FILE)
    try:
        bucket = database.bucket(CONF) if database is not None else None
        return read_stable(bucket.items()) if bucket is not None else None
    except DatabaseDamaged:
        return None


def _give_all(old: Path, new: Path) -> bool:
    """Give everything in `new` the owner and mode of what it replaces. OSError."""
    of_directory = old.stat()
    files = [old / name for name in (LOG_FILE, STABLE_FILE) if (old / name).is_file()]
    of_files = files[0].stat() if files else of_directory
    given = True
    for parent, folders, names in os.walk(new):
        for name in folders:
            path = Path(parent, name)
            given &= give(path, _DIRECTORY_MODE, of_directory.st_uid, of_directory.st_gid)
        for name in names:
            path = Path(parent, name)
            mode = of_files.st_mode & 0o777 if files else 0o600
            if path.suffix != ".db":
                mode = path.stat().st_mode & 0o777
            given &= give(path, mode, of_files.st_uid, of_files.st_gid)
    return given
