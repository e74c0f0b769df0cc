"""Which folders are nodes: by what is in them, since their names are the operator's."""

from __future__ import annotations

from pathlib import Path

from conductor.errors import NotFound, StoreError
from raft_state.node.own_folders import is_own_folder

LOG_FILE = "raft-log.db"
STABLE_FILE = "raft-stable.db"
SNAPSHOTS = "snapshots"

DATABASES = (LOG_FILE, STABLE_FILE)
STATE_NAMES = (*DATABASES, SNAPSHOTS)
"""What Raft keeps in a node's directory."""


def is_node_directory(path: Path) -> bool:
    """Whether a directory holds any part of a node's state. StoreError when it cannot be seen."""
    try:
        has_database = any((path / name).is_file() for name in DATABASES)
        return has_database or (path / SNAPSHOTS).is_dir()
    except OSError as error:
        raise StoreError(f"{error.filename}: {error.strerror}") from error


def server_id_of(directory: Path) -> str:
    """A node's id: the name under which its directory was reached, be it that of a symbolic link.

    Names that are none, such as `.` and `..`, stand for the name of the directory itself.
    """
    name = directory.absolute().name
    return directory.resolve().name if name in ("", "..") else name


def node_directories(state_dir: Path) -> list[Path]:
    """The node directories in a state directory, by name: itself if it is one, else its children.

    Symbolic links are followed; what this tool itself has left or saved in there is passed over.
    NotFound when there is none, with a hint where to look.
    """
    if not state_dir.is_dir():
        raise NotFound(
            f"{state_dir}: no such directory; name the one that holds the nodes' folders"
        )
    try:
        if is_node_directory(state_dir):
            return [state_dir]
        children = _children(state_dir)
        found = list(filter(is_node_directory, children))
        if nodes := [path for path in found if not is_own_folder(path.name)]:
            return nodes
        deeper = next(
            (path for path in children if any(map(is_node_directory, _children(path)))), None
        )
    except OSError as error:
        raise StoreError(f"{error.filename}: {error.strerror}") from error
    if found:
        raise NotFound(
            f"{state_dir}: it holds no node, only backups or what was left by runs that were "
            f"interrupted, such as {found[0]}; name that one if you mean it"
        )
    hint = f"; {deeper} does, try that one" if deeper is not None else ""
    raise NotFound(
        f"{state_dir}: neither it nor a folder in it holds a {LOG_FILE} or {STABLE_FILE}{hint}"
    )


def _children(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.is_dir())
