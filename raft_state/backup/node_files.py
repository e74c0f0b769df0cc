"""The files of one node: which there are, and each copied into a backup.

Invariant: only what Raft would read is copied: the two databases and finished snapshots. All else
in the directory is named as left out, so that nobody misses it only when it is needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conductor.errors import StoreDamaged
from raft_state.backup.files import PRIVATE_DIRECTORY, Content, Meter, content_of, copy_file
from raft_state.backup.manifest import FileRecord, Permissions, permissions_of
from raft_state.bolt import DatabaseDamaged, copy_database
from raft_state.exchange import sync_directory
from raft_state.node import DATABASES, SNAPSHOTS
from raft_state.raft import META_FILE, STATE_FILE, UNFINISHED_SUFFIX

SNAPSHOT_FILES = (META_FILE, STATE_FILE)
DATABASE_MODE = "0600"


@dataclass(frozen=True, slots=True)
class NodeSource:
    """A node to be saved: its id, which its folder's name gives, and where its files are."""

    server_id: str
    directory: Path

    @property
    def size_bytes(self) -> int:
        """Of the files that would be saved now."""
        paths = [self.directory / name for name in DATABASES]
        paths += [
            snapshot / name
            for snapshot in snapshot_folders(self.directory)
            for name in SNAPSHOT_FILES
        ]
        return sum(path.stat().st_size for path in paths if path.is_file())


def snapshot_folders(directory: Path) -> list[Path]:
    """The folders of the snapshots that Raft has finished, by name. OSError."""
    try:
        entries = sorted(os.scandir(directory / SNAPSHOTS), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [
        Path(entry.path)
        for entry in entries
        if entry.is_dir(follow_symlinks=False) and not entry.name.endswith(UNFINISHED_SUFFIX)
    ]


def copy_still_database(
    directory: Path, name: str, target: Path, meter: Meter
) -> Iterator[FileRecord]:
    """Copy a database that nobody writes to, byte by byte; none if there is none. OSError."""
    if (directory / name).exists():
        yield _copied(directory, name, target, meter)


def copy_live_database(
    directory: Path, name: str, target: Path, meter: Meter, *, allow_damaged: bool
) -> Iterator[FileRecord]:
    """Copy a database as one transaction left it; none if there is none. OSError, StoreLocked.

    StoreDamaged; with `allow_damaged`, what cannot be copied so is copied byte by byte.
    """
    source = directory / name
    if not source.exists():
        return
    try:
        copy_database(source, target / name, progress=meter.part(source.stat().st_size))
    except DatabaseDamaged as error:
        if not allow_damaged:
            raise StoreDamaged(
                f"{error}: nothing was saved; --allow-damaged saves it as it is"
            ) from error
        yield _copied(directory, name, target, meter)
    else:
        yield _record(source, name, content_of(target / name, meter))


def copy_snapshots(directory: Path, target: Path, meter: Meter) -> Iterator[FileRecord]:
    """Copy all finished snapshots. FileNotFoundError: one was removed meanwhile. OSError."""
    snapshots = snapshot_folders(directory)
    for snapshot in snapshots:
        folder = target / SNAPSHOTS / snapshot.name
        folder.mkdir(PRIVATE_DIRECTORY, parents=True)
        for name in SNAPSHOT_FILES:
            path = f"{SNAPSHOTS}/{snapshot.name}/{name}"
            # A missing file is damage to a snapshot that is there, and a race with one that is not.
            if (directory / path).exists() or not snapshot.exists():
                yield _copied(directory, path, target, meter)
        sync_directory(folder)
    if snapshots:
        sync_directory(target / SNAPSHOTS)


def left_out(directory: Path) -> Iterator[str]:
    """What is in a node's directory and not in its backup, with the reason. OSError."""
    for entry in sorted(directory.iterdir()):
        if entry.name not in (*DATABASES, SNAPSHOTS):
            yield f"{entry.name}: not a file of Raft"
    if not (directory / SNAPSHOTS).is_dir():
        return
    folders = snapshot_folders(directory)
    for entry in sorted((directory / SNAPSHOTS).iterdir()):
        path = f"{SNAPSHOTS}/{entry.name}"
        if entry.name.endswith(UNFINISHED_SUFFIX):
            yield f"{path}: a snapshot that was never finished"
        elif entry not in folders:
            yield f"{path}: not a snapshot"
    for folder in folders:
        for entry in sorted(folder.iterdir()):
            if entry.name not in SNAPSHOT_FILES:
                yield f"{SNAPSHOTS}/{folder.name}/{entry.name}: not a file of a snapshot"


def _copied(directory: Path, path: str, target: Path, meter: Meter) -> FileRecord:
    content = copy_file(directory / path, target / path, meter, follow=True)
    return _record(directory / path, path, content)


def _record(source: Path, path: str, content: Content) -> FileRecord:
    found = permissions_of(source.stat())
    mode = DATABASE_MODE if path in DATABASES else found.mode
    permissions = Permissions(mode, found.user_id, found.group_id)
    return FileRecord(path, content.size_bytes, content.sha256, permissions)
