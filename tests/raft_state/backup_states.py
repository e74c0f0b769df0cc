"""Node directories for the tests of backup and restore: locked, compared, cut off midway."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from conductor.errors import ConductorError
from raft_state.bolt import write_database
from raft_state.node import LOG_FILE, SNAPSHOTS, STABLE_FILE
from raft_state.raft import (
    CONF,
    LOGS,
    Configuration,
    EntryType,
    LogEntry,
    Server,
    StableState,
    encode_configuration,
    encode_entry,
    index_key,
    stable_items,
    write_snapshot,
)

NOW = datetime(2025, 7, 7, 12, 0, 0, tzinfo=UTC)
STAMP = "20250707-120000"
IDS = ("sequencer-1", "sequencer-2", "sequencer-3")
MEMBERS = Configuration(
    tuple(Server(name, f"{name}:50050", 0) for name in IDS),
)
REFUSED = 5
KILLED = 77
"""Exit codes of a process of `in_child`: it ended with an error of ours; it was cut off."""


def make_node(
    directory: Path,
    *,
    first: int = 1,
    last: int = 3,
    term: int = 1,
    current_term: int | None = None,
    snapshot: int | None = None,
) -> Path:
    """A sound node: entries `first` to `last` of `term`; a snapshot at an index if asked for."""
    directory.mkdir(parents=True)
    write_log(directory / LOG_FILE, range(first, last + 1), term)
    write_stable(directory / STABLE_FILE, term if current_term is None else current_term)
    if snapshot is not None:
        make_snapshot(directory, snapshot, term)
    return directory


def make_cluster(root: Path, *, last: int = 3, term: int = 1) -> Path:
    """Three sound nodes in one folder."""
    for name in IDS:
        make_node(root / name, last=last, term=term)
    return root


def make_snapshot(directory: Path, index: int, term: int = 1, *, unix_ms: int = 1) -> Path:
    """Add a snapshot to a node."""
    snapshots = directory / SNAPSHOTS
    snapshots.mkdir(exist_ok=True)
    return write_snapshot(
        snapshots,
        index=index,
        term=term,
        configuration=MEMBERS,
        configuration_index=1,
        state=b"state at %d" % index,
        unix_ms=unix_ms,
    )


def write_log(path: Path, indices: range, term: int = 1, *, replace: bool = False) -> None:
    """A log database with these entries; the one of index 1 is the configuration."""
    items = [(index_key(index), encode_entry(_entry(index, term))) for index in indices]
    write_database(path, {CONF: (), LOGS: items}, replace=replace)


def write_stable(path: Path, term: int, *, vote_term: int | None = None) -> None:
    """A stable database; a vote for sequencer-1 if a term for it is given."""
    candidate = None if vote_term is None else b"10.0.0.1:50050"
    state = StableState(term, vote_term, candidate)
    write_database(path, {CONF: stable_items(state), LOGS: ()}, replace=path.exists())


def _entry(index: int, term: int) -> LogEntry:
    if index == 1:
        return LogEntry(1, term, EntryType.CONFIGURATION, encode_configuration(MEMBERS))
    return LogEntry(index, term, EntryType.COMMAND, b"payload %d" % index)


def tree(directory: Path) -> dict[str, bytes | None]:
    """Everything in a directory by relative path: the content of files, None for folders."""
    return {
        path.relative_to(directory).as_posix(): None if path.is_dir() else path.read_bytes()
        for path in sorted(directory.rglob("*"))
    }


def set_byte(path: Path, offset: int) -> None:
    """Change one byte of a file."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


@contextmanager
def running(*directories: Path) -> Iterator[None]:
    """Hold the locks that a running conductor holds on its databases."""
    held = [
        os.open(directory / name, os.O_RDWR)
        for directory in directories
        for name in (LOG_FILE, STABLE_FILE)
    ]
    try:
        for descriptor in held:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)


def in_child(work: Callable[[], object], hook: Callable[[str, tuple[object, ...]], None]) -> int:
    """Run `work` in a forked process that tells `hook` before every change to the file system.

    Returns the process's exit code: 0 when the work came to its end, REFUSED after an error of
    ours, 1 after any other.
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        sys.addaudithook(hook)
        work()
        code = 0
    except ConductorError:
        code = REFUSED
    finally:
        os._exit(code)


CHANGES = frozenset(
    {"os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.chmod", "os.chown", "os.truncate"}
)


def is_change(event: str, details: tuple[object, ...]) -> bool:
    """Whether an audit event is a change to names, modes or owners, or a file opened to be made."""
    if event == "open":
        flags = details[2]
        return isinstance(flags, int) and bool(flags & (os.O_CREAT | os.O_WRONLY))
    return event in CHANGES


def killed_at(number: int) -> Callable[[str, tuple[object, ...]], None]:
    """A hook that ends the process, as SIGKILL would, before the change of this number (from 0)."""
    left = number

    def hook(event: str, details: tuple[object, ...]) -> None:
        nonlocal left
        if is_change(event, details):
            if left == 0:
                os._exit(KILLED)
            left -= 1

    return hook


def failing_at(number: int, error: OSError) -> Callable[[str, tuple[object, ...]], None]:
    """A hook that lets the change of this number fail (from 0)."""
    left = number

    def hook(event: str, details: tuple[object, ...]) -> None:
        nonlocal left
        if is_change(event, details):
            left -= 1
            if left == -1:
                raise error

    return hook
