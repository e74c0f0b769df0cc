"""One node's directory: `raft-log.db`, `raft-stable.db` and `snapshots/`, read together.

Law: nothing is created or changed. What cannot be read is told in `problems` beside what can be;
only a lock ends the reading of a node. The log is walked, never loaded.

Both databases have both buckets, and Raft reads the log from the first and the stable store from
the second. A bucket that is empty or missing where Raft reads it is taken from the other file if it
holds something there (stores merged into one file, or a file that is gone), with a problem that
says so; if both hold something, the one that Raft reads counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType

from conductor.errors import NotFound, StoreError, StoreLocked
from raft_state.bolt import Bucket, Database, DatabaseDamaged, open_database
from raft_state.node.directories import (
    LOG_FILE,
    SNAPSHOTS,
    STABLE_FILE,
    is_node_directory,
    server_id_of,
)
from raft_state.node.log_store import LogStore
from raft_state.raft import (
    CONF,
    LOGS,
    Configuration,
    SnapshotListing,
    StableState,
    list_snapshots,
    read_stable,
)


@dataclass(frozen=True, slots=True)
class CurrentConfiguration:
    """The members as Raft would see them after a start."""

    index: int
    term: int
    """Of the entry; of the snapshot when it comes from one."""
    configuration: Configuration
    is_from_snapshot: bool


class NodeState:
    """What is in a node's directory. Use it as a context manager, or close it."""

    def __init__(self, directory: Path, *, lock_timeout_s: float = 0.0, lock: bool = True) -> None:
        """Use `open_node`. Raises StoreLocked."""
        self.directory = directory
        self.server_id = server_id_of(directory)
        """The name of the folder, which op-conductor takes from `--raft.server.id`."""
        self._problems: list[str] = []
        self._failures: dict[str, NotFound | StoreError] = {}
        self._databases: dict[str, Database] = {}
        with ExitStack() as undo:
            for name in (LOG_FILE, STABLE_FILE):
                self._open(name, undo, lock_timeout_s, lock)
            self.log = self._read_log()
            """None when there is no log to be read."""
            self.stable = self._read_stable()
            """None when there is no stable store to be read."""
            self.snapshots = self._read_snapshots()
            self._undo = undo.pop_all()

    @property
    def problems(self) -> tuple[str, ...]:
        """What is missing, damaged or in the wrong file."""
        return tuple(self._problems)

    @property
    def databases(self) -> Mapping[str, Database]:
        """The databases that are open, by file name."""
        return MappingProxyType(self._databases)

    @property
    def failures(self) -> Mapping[str, NotFound | StoreError]:
        """Why a database is not open, by file name."""
        return MappingProxyType(self._failures)

    def latest_configuration(self) -> CurrentConfiguration | None:
        """The members as Raft would see them: the newest configuration behind the newest usable
        snapshot, else the one in that snapshot. Raises DatabaseDamaged."""
        snapshot = next(iter(self.snapshots.usable), None)
        after = snapshot.meta.index if snapshot is not None else 0
        found = self.log.latest_configuration(after=after) if self.log is not None else None
        if found is not None:
            index, term, configuration = found
            return CurrentConfiguration(index, term, configuration, is_from_snapshot=False)
        if snapshot is None:
            return None
        meta = snapshot.meta
        return CurrentConfiguration(
            meta.configuration_index, meta.term, snapshot.configuration, is_from_snapshot=True
        )

    def close(self) -> None:
        """Give the files back; no view of them may be used afterwards."""
        self._undo.close()

    def __enter__(self) -> NodeState:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self, name: str, undo: ExitStack, lock_timeout_s: float, lock: bool) -> None:
        path = self.directory / name
        try:
            database = open_database(path, lock_timeout_s=lock_timeout_s, lock=lock)
        except StoreLocked:
            raise
        except (NotFound, StoreError) as error:
            self._failures[name] = error
            self._problems.append(str(error))
            return
        self._databases[name] = undo.enter_context(database)

    def _read_log(self) -> LogStore | None:
        found = self._find(LOGS, LOG_FILE, STABLE_FILE, "log entries")
        if found is None:
            return None
        return LogStore(*found)

    def _read_stable(self) -> StableState | None:
        found = self._find(CONF, STABLE_FILE, LOG_FILE, "term and vote")
        if found is None:
            return None
        _database, bucket = found
        try:
            return StableState() if bucket is None else read_stable(bucket.items())
        except DatabaseDamaged as error:
            self._problems.append(str(error))
            return None

    def _read_snapshots(self) -> SnapshotListing:
        path = self.directory / SNAPSHOTS
        try:
            return list_snapshots(path)
        except StoreError as error:
            self._problems.append(str(error))
            return SnapshotListing(path)

    def _find(
        self, name: bytes, home: str, other: str, content: str
    ) -> tuple[Database, Bucket | None] | None:
        """The bucket `name` with its database, by the rule at the top of this module."""
        at_home, is_used = self._bucket(name, home)
        elsewhere, is_used_elsewhere = self._bucket(name, other)
        if is_used_elsewhere and elsewhere is not None and not is_used:
            self._problems.append(
                f"{content} are in {other} and not in {home}, where Raft reads them"
            )
            return self._databases[other], elsewhere
        if is_used_elsewhere:
            self._problems.append(f"{other} holds {content} too; Raft reads those in {home}")
        if home not in self._databases or (is_used and at_home is None):
            return None
        if at_home is None:
            self._problems.append(f"{home} has no bucket {name.decode()}, as if it were new")
        return self._databases[home], at_home

    def _bucket(self, name: bytes, file_name: str) -> tuple[Bucket | None, bool]:
        """A bucket, and whether something is in it; damage counts as something where Raft reads."""
        database = self._databases.get(file_name)
        if database is None:
            return None, False
        bucket: Bucket | None = None
        try:
            bucket = database.bucket(name)
            return bucket, bucket is not None and bucket.first() is not None
        except DatabaseDamaged as error:
            self._problems.append(str(error))
            return bucket, True


def open_node(directory: Path, *, lock_timeout_s: float = 0.0, lock: bool = True) -> NodeState:
    """Read a node's directory. Close the result, or use it as a context manager.

    NotFound when it is no node's directory; StoreLocked when a process that writes has one of the
    databases for longer than `lock_timeout_s`. With `lock=False` nothing is locked: only for files
    that nobody writes to. Everything else that is wrong is among the `problems` of the result.
    """
    if not is_node_directory(directory):
        raise NotFound(
            f"{directory}: no node's directory, it holds neither {LOG_FILE} nor {STABLE_FILE}"
        )
    return NodeState(directory, lock_timeout_s=lock_timeout_s, lock=lock)
