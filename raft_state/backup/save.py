"""Makes backups: a node, or all nodes of a cluster, in one new directory.

Invariant: a directory with the name of a backup is a whole and durable one. It is built under
another name beside it, read back from the disk, and renamed last; whatever goes wrong before that
leaves nothing.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from conductor.errors import StoreDamaged, StoreMismatch
from raft_state.backup.capture import PASSES, capture
from raft_state.backup.files import STAMP, Meter, Progress, remove_tree, require_space, write_file
from raft_state.backup.manifest import (
    FORMAT,
    MANIFEST_FILE,
    VERSION,
    Layout,
    Manifest,
    NodeRecord,
    encode_manifest,
)
from raft_state.backup.node_files import NodeSource
from raft_state.backup.saved import SavedNode, check_files
from raft_state.backup.swap import leftovers_in
from raft_state.exchange import disk_errors, make_directories, remove_directories, sync_directory
from raft_state.node import (
    BACKUP_PREFIX,
    UNFINISHED_BACKUP_PREFIX,
    is_node_directory,
    node_directories,
)

UNFINISHED = ".unfinished"


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What was saved, and where."""

    backup: Path
    source: Path
    created_at: str
    layout: Layout
    nodes: tuple[NodeRecord, ...]
    size_bytes: int
    warnings: tuple[str, ...]


def back_up(
    state_dir: Path,
    backup_dir: Path,
    *,
    now: datetime,
    tool_version: str,
    allow_damaged: bool = False,
    progress: Progress | None = None,
) -> BackupReport:
    """Save a state directory into a new directory inside `backup_dir`, which is made if missing.

    `allow_damaged`: save what Raft could not run on, too, as it is. NotFound: there is no state.
    StoreDamaged, StoreLocked, StoreFull, other StoreError: nothing was saved and nothing is left.
    """
    layout, nodes = _sources(state_dir)
    with disk_errors(f"read {state_dir}"):
        size = sum(node.size_bytes for node in nodes)
    stamp = now.astimezone(UTC).strftime(STAMP)
    meter = Meter(progress, PASSES * size)
    with ExitStack() as undo:
        with disk_errors(f"make a backup in {backup_dir}"):
            undo.callback(remove_directories, make_directories(backup_dir))
            beginning = f"{UNFINISHED_BACKUP_PREFIX}{stamp}."
            work = Path(tempfile.mkdtemp(UNFINISHED, beginning, backup_dir.resolve()))
            undo.callback(remove_tree, work)
        require_space(work, size, f"save {state_dir}")
        records = capture(nodes, work, meter, allow_damaged=allow_damaged)
        manifest = Manifest(
            format=FORMAT,
            version=VERSION,
            tool_version=tool_version,
            created_at=now.astimezone(UTC).isoformat(timespec="seconds"),
            source=str(state_dir.resolve()),
            layout=layout,
            nodes=records,
        )
        for record in records:
            _require_readable(SavedNode(work / record.server_id, record), meter)
        with disk_errors(f"finish the backup in {backup_dir}"):
            write_file(work / MANIFEST_FILE, encode_manifest(manifest))
            sync_directory(work)
            backup = _named(work, f"{BACKUP_PREFIX}{stamp}")
            undo.pop_all()
            sync_directory(backup.parent)
    return BackupReport(
        backup=backup,
        source=state_dir.resolve(),
        created_at=manifest.created_at,
        layout=layout,
        nodes=records,
        size_bytes=manifest.size_bytes,
        warnings=tuple(_warnings(state_dir, layout, backup.parent)),
    )


def _sources(state_dir: Path) -> tuple[Layout, list[NodeSource]]:
    """The nodes to be saved."""
    directories = node_directories(state_dir)
    with disk_errors(f"read {state_dir}"):
        if is_node_directory(state_dir):
            root = state_dir.resolve()
            return "node", [_source(root.name, root)]
    # A node has the name that its folder has here, not that of what a link leads to.
    return "cluster", [_source(directory.name, directory) for directory in directories]


def _source(server_id: str, directory: Path) -> NodeSource:
    try:
        server_id.encode()
    except UnicodeEncodeError as error:
        raise StoreMismatch(f"{server_id!r}: a server id that is not UTF-8") from error
    return NodeSource(server_id, directory)


def _require_readable(node: SavedNode, meter: Meter) -> None:
    """What was written is read again. StoreDamaged: the disk of the backup cannot be trusted."""
    try:
        check_files(node, meter)
    except StoreDamaged as error:
        raise StoreDamaged(
            f"the copy of {node.record.server_id} reads differently from what was written: "
            "nothing was saved; use another disk"
        ) from error


def _named(work: Path, name: str) -> Path:
    """Give a finished backup the first of its names that is free. OSError."""
    for number in range(1, 1000):
        backup = work.with_name(name if number == 1 else f"{name}-{number}")
        if backup.exists():
            continue
        try:
            return work.rename(backup)
        except OSError as error:
            # Another backup took the name in this moment: directories with content stay.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    raise FileExistsError(errno.EEXIST, "a thousand backups in one second", str(work.parent / name))


def _warnings(state_dir: Path, layout: Layout, backup_dir: Path) -> Iterator[str]:
    root = state_dir.resolve()
    found = leftovers_in(root.parent, root.name) if layout == "node" else leftovers_in(root)
    yield from (leftover.text for leftover in found)
    for path in sorted(backup_dir.glob(f"{UNFINISHED_BACKUP_PREFIX}*{UNFINISHED}")):
        yield f"{path} is of a backup that was interrupted, or still runs: remove it if none does"
