"""Builds the new directory of one node out of a backup.

Invariant: when `build_node` returns, everything in the new directory is durable, was read back and
is what the backup says; and it belongs to whom the old directory belonged, so that the conductor's
user can open it.
"""

from __future__ import annotations

from pathlib import Path

from conductor.errors import StoreDamaged
from raft_state.backup.files import PRIVATE_DIRECTORY, Meter, content_of, copy_file
from raft_state.backup.manifest import FileRecord, Permissions, permissions_of
from raft_state.backup.saved import SavedNode
from raft_state.exchange import give
from raft_state.node import DATABASES


def build_node(node: SavedNode, fresh: Path, old: Path, meter: Meter) -> bool:
    """Make `fresh`, complete and durable; whether it could be given to its owner. OSError.

    `old`: the directory to be replaced, whose owner the new one gets; if there is none, the owner
    of what was saved. StoreDamaged: backup or disk gave other bytes than before.
    """
    fresh.mkdir(PRIVATE_DIRECTORY)
    folders = [fresh]
    for file in node.record.files:
        path = fresh / file.path
        folders += _make_folders(path.parent, fresh)
        _copy(node.directory / file.path, path, file, meter)
    for_folders, for_files = _owners(old, node.record.permissions)
    given = True
    for file in node.record.files:
        owner = for_files or file.permissions
        given &= _give(fresh / file.path, file.permissions, owner)
    for folder in reversed(folders):
        given &= _give(folder, for_folders, for_folders)
    return given


def _make_folders(folder: Path, fresh: Path) -> list[Path]:
    """Make a folder inside `fresh` and what is missing between; those made, from above."""
    missing = [path for path in (folder, *folder.parents) if path.is_relative_to(fresh)]
    made = [path for path in reversed(missing) if not path.exists()]
    for path in made:
        path.mkdir(PRIVATE_DIRECTORY)
    return made


def _copy(source: Path, target: Path, record: FileRecord, meter: Meter) -> None:
    written = copy_file(source, target, meter)
    if written.size_bytes != record.size_bytes or record.sha256 not in (None, written.sha256):
        raise StoreDamaged(f"{source} was changed after it was checked: nothing was restored")
    if content_of(target, meter) != written:
        raise StoreDamaged(
            f"{target} reads differently from what was written: nothing was restored; "
            "check the disk"
        )


def _owners(old: Path, saved: Permissions) -> tuple[Permissions, Permissions | None]:
    """For the directories and for the files. None: each file has its own in the backup."""
    if not old.is_dir():
        return saved, None
    for name in DATABASES:
        if (old / name).is_file():
            return permissions_of(old.stat()), permissions_of((old / name).stat())
    found = permissions_of(old.stat())
    return found, found


def _give(path: Path, permissions: Permissions, owner: Permissions) -> bool:
    return give(path, int(permissions.mode, 8), owner.user_id, owner.group_id)
