"""Node directories with chosen content, written by the product's own writer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from conductor.payload import encode
from raft_state.bolt import write_database
from raft_state.node import LOG_FILE, STABLE_FILE
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
)
from tests.payload.builders import an_envelope

Items = Iterable[tuple[bytes, bytes]]

ONE = Configuration((Server("seq-1", "10.0.0.1:50050"),))
TWO = Configuration((*ONE.servers, Server("seq-2", "10.0.0.2:50050")))


def a_configuration_entry(index: int, configuration: Configuration = ONE) -> LogEntry:
    """An entry that sets the members."""
    data = encode_configuration(configuration)
    return LogEntry(index=index, term=1, type=EntryType.CONFIGURATION, data=data)


def a_payload_entry(index: int, height: int, *, version: int = 4) -> LogEntry:
    """A command with a payload."""
    data = encode(an_envelope(version, height=height))
    return LogEntry(index=index, term=1, type=EntryType.COMMAND, data=data)


def log_items(*entries: LogEntry) -> list[tuple[bytes, bytes]]:
    """The items of the bucket `logs` for entries in order."""
    return [(index_key(entry.index), encode_entry(entry)) for entry in entries]


def write_log(directory: Path, items: Items, *, conf: Items = ()) -> None:
    """Write raft-log.db, the directory with it."""
    _write(directory / LOG_FILE, {CONF: conf, LOGS: items})


def write_stable(directory: Path, state: StableState, *, logs: Items = ()) -> None:
    """Write raft-stable.db, the directory with it."""
    _write(directory / STABLE_FILE, {CONF: stable_items(state), LOGS: logs})


def _write(path: Path, buckets: Mapping[bytes, Items]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_database(path, buckets)
