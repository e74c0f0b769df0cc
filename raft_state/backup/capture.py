"""Copies the files of nodes, in the order in which Raft can start on the copies.

Law, over all nodes that run: first all logs and snapshots, last all stable stores; and the copy
counts only if no snapshot came or went between the first look at them and the last log.

- One node. Were the log newer than the snapshots, a compaction could have removed what an older
  snapshot needs: a hole, and Raft panics. Were the snapshots newer, entries that another leader has
  replaced since could lie below them in the log, and Raft would send them on as committed. With no
  change of the snapshots, both are of one moment.
- Its stable store is newer than both. Raft makes a term durable before any entry or snapshot of it,
  so the copied CurrentTerm is no lower than any term in the copied log; the other way round it
  could be, and such a node later gives an old term to new entries. A vote that is newer than the
  log does no harm: it only keeps the node from voting otherwise in that term.
- All nodes together. Whoever led in a term that is in any of the logs had its votes durable on a
  majority before; all stable stores are newer, so they hold those votes or later terms, and nobody
  can win that term again and give its entries another content. What is in any snapshot was on a
  majority before the first log was copied, so it is in a majority of the copies: no node comes back
  with a state that the others can outvote.

Such a copy is what a power failure of all nodes would have left, with terms and votes of a moment
later. Nodes that do not run are copied byte by byte, and cannot start until all is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from conductor.errors import StoreDamaged, StoreLocked
from raft_state.backup.examine import Examination, examine
from raft_state.backup.files import PRIVATE_DIRECTORY, Meter, remove_tree
from raft_state.backup.manifest import FileRecord, NodeRecord, Source, permissions_of
from raft_state.backup.node_files import (
    NodeSource,
    copy_live_database,
    copy_snapshots,
    copy_still_database,
    left_out,
    snapshot_folders,
)
from raft_state.exchange import DatabaseLocks, disk_errors, sync_directory
from raft_state.node import LOG_FILE, STABLE_FILE

ATTEMPTS = 5
"""How often running nodes may finish a snapshot during one backup: it takes hours to fill one."""

PASSES = 3
"""How often every byte is read: for its structure, to be copied, and the copy again."""

Files = dict[str, list[FileRecord]]
"""What was copied, by server id."""


def capture(
    nodes: Sequence[NodeSource], work: Path, meter: Meter, *, allow_damaged: bool
) -> tuple[NodeRecord, ...]:
    """Copy nodes into folders of their names in `work`. StoreDamaged, StoreLocked, StoreError.

    `allow_damaged`: also what Raft could not run on; the records say so.
    """
    live: list[NodeSource] = []
    stopped: list[NodeSource] = []
    records: dict[str, NodeRecord] = {}
    with ExitStack() as held:
        for node in nodes:
            locks = held.enter_context(DatabaseLocks([node.directory], exclusive=False))
            (stopped if locks.try_lock() is None else live).append(node)
        for node in stopped:
            records[node.server_id] = _capture_stopped(node, work, meter, allow_damaged)
        if live:
            records |= _capture_live(live, work, meter, allow_damaged)
    return tuple(records[node.server_id] for node in nodes)


def _capture_stopped(node: NodeSource, work: Path, meter: Meter, allow_damaged: bool) -> NodeRecord:
    with disk_errors(f"read {node.directory}"):
        size = node.size_bytes
    examination = examine(node.directory, progress=meter.part(size))
    _require_sound(node, examination, allow_damaged)
    target = work / node.server_id
    with disk_errors(f"copy {node.directory}"):
        target.mkdir(PRIVATE_DIRECTORY)
        files = [
            *copy_still_database(node.directory, LOG_FILE, target, meter),
            *copy_snapshots(node.directory, target, meter),
            *copy_still_database(node.directory, STABLE_FILE, target, meter),
        ]
        sync_directory(target)
        return _record(node, "stopped", files, examination)


def _capture_live(
    nodes: Sequence[NodeSource], work: Path, meter: Meter, allow_damaged: bool
) -> dict[str, NodeRecord]:
    found: dict[str, Examination] = {}
    files: Files | None = None
    for _ in range(ATTEMPTS):
        for node in nodes:
            remove_tree(work / node.server_id)
        files = _copied_at_once(nodes, work, meter, allow_damaged)
        if files is None:
            continue
        found = {node.server_id: examine(work / node.server_id) for node in nodes}
        if not any(examination.problems for examination in found.values()):
            break
    if files is None:
        raise StoreLocked(
            f"a snapshot was finished during each of {ATTEMPTS} attempts to copy "
            f"{', '.join(node.server_id for node in nodes)}: try again, or stop the conductors"
        )
    records = {}
    for node in nodes:
        name = node.server_id
        _require_sound(node, found[name], allow_damaged)
        with disk_errors(f"read {node.directory}"):
            records[name] = _record(node, "live", files[name], found[name])
    return records


def _copied_at_once(
    nodes: Sequence[NodeSource], work: Path, meter: Meter, allow_damaged: bool
) -> Files | None:
    """All files of running nodes, by the law; None when a snapshot came or went meanwhile."""
    files: Files = {}
    before = _snapshots_of(nodes)
    for node in nodes:
        target = work / node.server_id
        with disk_errors(f"copy {node.directory}"):
            target.mkdir(PRIVATE_DIRECTORY)
            files[node.server_id] = list(
                copy_live_database(
                    node.directory, LOG_FILE, target, meter, allow_damaged=allow_damaged
                )
            )
            try:
                files[node.server_id] += copy_snapshots(node.directory, target, meter)
            except FileNotFoundError:
                return None
    if _snapshots_of(nodes) != before:
        return None
    for node in nodes:
        target = work / node.server_id
        with disk_errors(f"copy {node.directory}"):
            files[node.server_id] += copy_live_database(
                node.directory, STABLE_FILE, target, meter, allow_damaged=allow_damaged
            )
            sync_directory(target)
    return files


def _snapshots_of(nodes: Sequence[NodeSource]) -> list[list[Path]]:
    with disk_errors("list snapshots"):
        return [snapshot_folders(node.directory) for node in nodes]


def _record(
    node: NodeSource, source: Source, files: list[FileRecord], examination: Examination
) -> NodeRecord:
    return NodeRecord(
        server_id=node.server_id,
        source=source,
        permissions=permissions_of(node.directory.stat()),
        facts=examination.facts,
        files=tuple(files),
        problems=examination.problems,
        left_out=tuple(left_out(node.directory)),
    )


def _require_sound(node: NodeSource, examination: Examination, allow_damaged: bool) -> None:
    if not examination.problems or allow_damaged:
        return
    raise StoreDamaged(
        f"{node.directory} is not fit for Raft, so nothing was saved: "
        f"{'; '.join(examination.problems)}. --allow-damaged saves it as it is"
    )
