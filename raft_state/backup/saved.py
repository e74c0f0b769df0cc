"""Opens backups: ours with their manifest, and those of the Go tool, which had none.

Invariant: opening reads names and sizes, and changes nothing; `check_files` reads every byte. What
the Go tool saved is described as if it had a manifest, without checksums, so that all that follows
knows one kind of backup.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from conductor.errors import NotFound, StoreDamaged, StoreMismatch
from raft_state.backup.files import Meter, content_of
from raft_state.backup.manifest import (
    MANIFEST_FILE,
    FileRecord,
    Layout,
    NodeFacts,
    NodeRecord,
    permissions_of,
    read_manifest,
)
from raft_state.exchange import disk_errors
from raft_state.node import BACKUP_PREFIX, DATABASES, LOG_FILE, STABLE_FILE

GO_METADATA_FILE = "backup-metadata.txt"
GO_METADATA_BYTES_MAX = 64 * 1024
GO_TOOL = "op-conductor-init in Go"
GO_REMARK = (
    f"made by {GO_TOOL}: it holds no snapshots, its files were copied without a lock and never had "
    "checksums, so their structure is all that can be checked"
)


@dataclass(frozen=True, slots=True)
class SavedNode:
    """One node of a backup, and the folder that its files are in."""

    directory: Path
    record: NodeRecord


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was opened; its files are not checked yet."""

    path: Path
    tool: str
    created_at: str
    source: str
    layout: Layout
    nodes: tuple[SavedNode, ...]
    remarks: tuple[str, ...]
    """What whoever restores it should know, a sentence each."""

    @property
    def size_bytes(self) -> int:
        """Of all files of all nodes."""
        return sum(node.record.size_bytes for node in self.nodes)


def open_backup(path: Path) -> Backup:
    """Open a backup. NotFound: the text says what is there instead. StoreDamaged, StoreMismatch."""
    with disk_errors(f"read the backup {path}"):
        if not path.is_dir():
            raise NotFound(f"{path}: no such directory: --backup-dir names one backup")
        directory = path.resolve()
        if (directory / MANIFEST_FILE).is_file():
            return _open_ours(directory)
        if (directory / GO_METADATA_FILE).is_file():
            return _open_of_go(directory)
        raise NotFound(_what_else(directory))


def check_files(node: SavedNode, meter: Meter) -> None:
    """Compare every file of a node with its record. StoreDamaged, StoreError."""
    for file in node.record.files:
        path = node.directory / file.path
        with disk_errors(f"read {path}"):
            content = content_of(path, meter)
        if content.size_bytes != file.size_bytes:
            raise StoreDamaged(
                f"{path}: {content.size_bytes} bytes, and the manifest says {file.size_bytes}: "
                "the backup is damaged; use another one"
            )
        if file.sha256 is not None and content.sha256 != file.sha256:
            raise StoreDamaged(
                f"{path}: its SHA-256 is not that of the manifest: the backup is damaged; use "
                "another one"
            )


def _open_ours(directory: Path) -> Backup:
    manifest = read_manifest(directory / MANIFEST_FILE)
    nodes = tuple(SavedNode(directory / node.server_id, node) for node in manifest.nodes)
    for node in nodes:
        for file in node.record.files:
            _require_plain(node.directory, file)
    return Backup(
        path=directory,
        tool=f"op-conductor-init {manifest.tool_version}",
        created_at=manifest.created_at,
        source=manifest.source,
        layout=manifest.layout,
        nodes=nodes,
        remarks=tuple(_strangers(directory, nodes)),
    )


def _require_plain(directory: Path, file: FileRecord) -> None:
    """The file is there, and no link on the way to it leads out of the backup."""
    at = directory
    for part in PurePosixPath(file.path).parts:
        if at.is_symlink():
            raise StoreMismatch(f"{at}: a symbolic link in a backup: not followed")
        at = at / part
    if not os.path.lexists(at):
        raise StoreDamaged(f"{at} is missing: the backup is damaged; use another one")
    if not stat.S_ISREG(at.lstat().st_mode):
        raise StoreMismatch(f"{at}: not a plain file")


def _strangers(directory: Path, nodes: tuple[SavedNode, ...]) -> Iterator[str]:
    """What lies in a backup and is not in its manifest."""
    known = {directory / MANIFEST_FILE}
    known |= {node.directory / file.path for node in nodes for file in node.record.files}
    for parent, _, names in os.walk(directory):
        for name in sorted(names):
            path = Path(parent, name)
            if path not in known:
                relative = path.relative_to(directory)
                yield f"{relative} is not in the manifest: it is not restored"


def _open_of_go(directory: Path) -> Backup:
    """A backup of `*.db` files in the folders where they were, with three lines of text."""
    created_at, source = _go_metadata(directory / GO_METADATA_FILE)
    alone = _is_go_node(directory)
    layout: Layout = "node" if alone else "cluster"
    folders = [directory] if alone else [path for path in _folders(directory) if _is_go_node(path)]
    if not folders:
        raise NotFound(f"{directory}: a backup without {LOG_FILE} or {STABLE_FILE} in it")
    remarks = [GO_REMARK]
    remarks += [f"{name} is not restored" for name in _go_strangers(directory, folders)]
    return Backup(
        path=directory,
        tool=GO_TOOL,
        created_at=created_at,
        source=source,
        layout=layout,
        nodes=tuple(
            SavedNode(path, _go_record(path, Path(source).name if alone else path.name))
            for path in folders
        ),
        remarks=tuple(remarks),
    )


def _go_metadata(path: Path) -> tuple[str, str]:
    """When it was made and of what, as far as the three lines say."""
    with path.open("rb") as file:
        text = file.read(GO_METADATA_BYTES_MAX).decode("utf-8", "replace")
    pairs = (line.partition(":") for line in text.splitlines())
    lines = {name.strip().casefold(): value.strip() for name, _, value in pairs}
    return lines.get("backup created", ""), lines.get("source directory", "")


def _is_go_node(directory: Path) -> bool:
    return any((directory / name).is_file() for name in DATABASES)


def _folders(directory: Path) -> list[Path]:
    return sorted(
        Path(entry.path) for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)
    )


def _go_record(directory: Path, server_id: str) -> NodeRecord:
    """A record of what is there. Empty server id: the backup does not say whose it is."""
    files = []
    for name in DATABASES:
        path = directory / name
        if os.path.lexists(path):
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode):
                raise StoreMismatch(f"{path}: not a plain file")
            files.append(FileRecord(name, status.st_size, None, permissions_of(status)))
    return NodeRecord(
        server_id="" if server_id in {"", ".", ".."} else server_id,
        source="live",
        permissions=permissions_of(directory.stat()),
        facts=NodeFacts(),
        files=tuple(files),
    )


def _go_strangers(directory: Path, folders: list[Path]) -> Iterator[str]:
    """Other databases in it, such as those of backups that it took in."""
    known = {folder / name for folder in folders for name in DATABASES}
    for parent, _, names in os.walk(directory):
        for name in sorted(names):
            path = Path(parent, name)
            if path not in known and path != directory / GO_METADATA_FILE:
                yield str(path.relative_to(directory))


def _what_else(directory: Path) -> str:
    """Why a directory is no backup, and which of those inside it was perhaps meant."""
    names = [path.name for path in _folders(directory) if path.name.startswith(BACKUP_PREFIX)]
    if names:
        return (
            f"{directory} holds {len(names)} backups and is none itself: name one of them, such "
            f"as --backup-dir {directory / names[-1]}"
        )
    if _is_go_node(directory):
        return f"{directory} is a node's directory, not a backup: it has no {MANIFEST_FILE}"
    return f"{directory} is no backup: it has neither {MANIFEST_FILE} nor {GO_METADATA_FILE}"
