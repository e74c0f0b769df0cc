"""Clusters that lost their quorum, and recovering them with little to say."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from raft_state.node import LOG_FILE, SNAPSHOTS, LogStore, NodeState, open_node
from raft_state.raft import Configuration, LogEntry, StableState
from raft_state.recover import RecoveryPlan, RecoveryReport, parse_members, plan_recovery, recover
from tests.raft_state.flawed_states import IDS, command, make_node, noop, sets

NOW = datetime(2025, 7, 7, 12, tzinfo=UTC)
BACKUP = Path("/the/backup")

ONE, TWO, THREE = IDS
MEMBERS_TEXT = ("sequencer-1=10.0.0.1:1", "sequencer-2=10.0.0.2:2", "sequencer-4=10.0.0.4:4")
NEW_MEMBERS = parse_members(MEMBERS_TEXT)


def settled() -> None:
    """No conductor comes."""


def entries(last: int, *, term: int = 1, since: int = 0) -> list[LogEntry]:
    """A log: members, a no-op, payloads; from the entry `since` on, if given, in this term."""
    made = [sets(1), noop(2), *(command(index) for index in range(3, last + 1))]
    return [
        command(each.index, term=term) if since and each.index >= since else each for each in made
    ]


def make_survivors(root: Path, *logs: Iterable[LogEntry], term: int = 5) -> Path:
    """Nodes named by IDS with these logs, all of them in this term."""
    for server_id, log in zip(IDS, logs, strict=False):
        make_node(root, log, server_id=server_id, stable=StableState(term, term, b"10.0.0.1:1"))
    return root


def carry_out(
    plan: RecoveryPlan,
    *,
    save: Callable[[], Path] = lambda: BACKUP,
    settled: Callable[[], None] = settled,
) -> RecoveryReport:
    """Do what a plan says, at a time that never changes."""
    return recover(plan, save=save, now=NOW, settled=settled)


def recovered(
    root: Path, configuration: Configuration = NEW_MEMBERS, *, source_id: str | None = None
) -> RecoveryReport:
    """Plan and do it."""
    return carry_out(plan_recovery(root, configuration, source_id=source_id))


def log_of(node: NodeState) -> LogStore:
    """The log, which is there."""
    assert node.log is not None
    return node.log


def members_of(directory: Path) -> Configuration:
    """Whom a node takes for members."""
    with open_node(directory) as node:
        latest = node.latest_configuration()
        assert latest is not None
        return latest.configuration


def names_in(directory: Path) -> list[str]:
    """What is in a node's directory, snapshots by their names."""
    snapshots = directory / SNAPSHOTS
    inside = snapshots.iterdir() if snapshots.is_dir() else ()
    return sorted([*(path.name for path in directory.iterdir()), *(path.name for path in inside)])


def remove_log(directory: Path) -> None:
    """The log database is lost."""
    (directory / LOG_FILE).unlink()
