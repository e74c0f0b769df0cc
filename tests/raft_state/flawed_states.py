"""Node directories for the tests of `verify` and `info`: sound ones, and ones with a flaw."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from conductor.payload import decode, encode
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
    Suffrage,
    encode_configuration,
    encode_entry,
    index_key,
    stable_items,
    write_snapshot,
)
from raft_state.verify import Report, verify_state

GOLDEN = Path(__file__).parent / "golden"
SSZ = GOLDEN / "ssz"

ID = "sequencer-1"
IDS = (ID, "sequencer-2", "sequencer-3")

Items = Iterable[tuple[bytes, bytes]]


def members(*ids: str, nonvoters: Iterable[str] = ()) -> Configuration:
    """A configuration of these members, each at an address of its own."""
    voters = [Server(name, f"{name}:50050") for name in ids]
    others = [Server(name, f"{name}:50050", Suffrage.NONVOTER) for name in nonvoters]
    return Configuration((*voters, *others))


MEMBERS = members(*IDS)
STABLE = StableState(current_term=1)


def payload(height: int, file: str = "envelope_v4_1.bin") -> bytes:
    """The SSZ bytes of a payload of this height."""
    envelope = decode((SSZ / file).read_bytes())
    return encode(dataclasses.replace(envelope, height=height))


def sets(index: int, configuration: Configuration = MEMBERS, *, term: int = 1) -> LogEntry:
    """An entry that sets the members."""
    return LogEntry(index, term, EntryType.CONFIGURATION, encode_configuration(configuration))


def noop(index: int, term: int = 1) -> LogEntry:
    """What a new leader appends."""
    return LogEntry(index, term, EntryType.NOOP)


def command(index: int, data: bytes | None = None, *, term: int = 1) -> LogEntry:
    """A command; unless told otherwise with a payload whose height is the index."""
    return LogEntry(index, term, EntryType.COMMAND, payload(index) if data is None else data)


SOUND = (sets(1), noop(2), command(3), command(4))
"""A log with nothing wrong about it."""


def log_items(entries: Iterable[LogEntry]) -> list[tuple[bytes, bytes]]:
    """Entries as they are stored under their own indexes."""
    return [(index_key(entry.index), encode_entry(entry)) for entry in entries]


def make_node(
    root: Path,
    entries: Iterable[LogEntry] = SOUND,
    *,
    server_id: str = ID,
    items: Items = (),
    stable: StableState | Items = STABLE,
    log_buckets: Mapping[bytes, Items] | None = None,
    stable_buckets: Mapping[bytes, Items] | None = None,
) -> Path:
    """A node's directory with these entries, and with `items` put over what they give."""
    directory = root / server_id
    directory.mkdir(parents=True)
    logs = sorted({**dict(log_items(entries)), **dict(items)}.items())
    conf = stable_items(stable) if isinstance(stable, StableState) else stable
    write_database(directory / LOG_FILE, log_buckets or {LOGS: logs, CONF: ()})
    write_database(directory / STABLE_FILE, stable_buckets or {LOGS: (), CONF: sorted(conf)})
    return directory


def make_cluster(root: Path, *logs: Iterable[LogEntry]) -> Path:
    """Nodes named by IDS, each with one of these logs."""
    for server_id, entries in zip(IDS, logs, strict=False):
        make_node(root, entries, server_id=server_id)
    return root


def add_snapshot(
    directory: Path,
    index: int = 4,
    *,
    term: int = 1,
    state: bytes | None = None,
    configuration: Configuration = MEMBERS,
    configuration_index: int = 1,
    unix_ms: int = 1,
) -> Path:
    """Add a snapshot to a node, by default with a payload whose height is the index."""
    (directory / SNAPSHOTS).mkdir(exist_ok=True)
    return write_snapshot(
        directory / SNAPSHOTS,
        index=index,
        term=term,
        configuration=configuration,
        configuration_index=configuration_index,
        state=payload(index) if state is None else state,
        unix_ms=unix_ms,
    )


def rules_of(state_dir: Path) -> Counter[str]:
    """How often each rule is broken in a state directory."""
    return broken_rules(verify_state(state_dir))


def broken_rules(report: Report) -> Counter[str]:
    """How often each rule is broken according to a report."""
    return Counter(finding.rule for finding in report.findings)
