"""Decides which directory each saved node belongs in, or refuses to guess.

Invariant: a node's state never lands under another server's id unless that was asked for, and a
directory that holds nodes is never taken for one of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conductor.errors import NotFound, StoreMismatch
from raft_state.backup.saved import Backup, SavedNode
from raft_state.exchange import disk_errors
from raft_state.node import STATE_NAMES, is_node_directory, is_own_folder


@dataclass(frozen=True, slots=True)
class Target:
    """Where a saved node goes."""

    node: SavedNode
    directory: Path
    """Resolved; it may not exist yet."""


def find_targets(
    backup: Backup, state_dir: Path, *, server_id: str | None, allow_other_server: bool
) -> tuple[Target, ...]:
    """A directory for every chosen node. NotFound, StoreMismatch: the text says what to name."""
    chosen = _chosen(backup, server_id)
    with disk_errors(f"look into {state_dir}"):
        root = state_dir.resolve()
        if os.path.lexists(root) and not root.is_dir():
            raise StoreMismatch(f"{state_dir} is not a directory")
        if _is_one_node(root, backup, chosen, server_id, allow_other_server):
            targets: tuple[Target, ...] = (_as_whole(chosen, root, state_dir, allow_other_server),)
        else:
            targets = tuple(_inside(root, chosen))
        for target in targets:
            _require_replaceable(target.directory, backup)
    return targets


def nodes_inside(directory: Path) -> list[Path]:
    """The node directories in the directory of a cluster."""
    if not directory.is_dir():
        return []
    return sorted(
        path for path in directory.iterdir() if not is_own_folder(path.name) and _is_node(path)
    )


def strangers(directory: Path) -> tuple[str, ...]:
    """What in a node's directory is not Raft's own: names, and links wherever they are."""
    if not directory.is_dir():
        return ()
    return tuple(
        path.name
        for path in sorted(directory.iterdir())
        if path.name not in STATE_NAMES or path.is_symlink()
    )


def _chosen(backup: Backup, server_id: str | None) -> tuple[SavedNode, ...]:
    if server_id is None:
        return backup.nodes
    chosen = tuple(node for node in backup.nodes if node.record.server_id == server_id)
    if not chosen:
        there = ", ".join(node.record.server_id or "a node without a name" for node in backup.nodes)
        raise NotFound(f"{backup.path} does not hold server {server_id!r}: it holds {there}")
    return chosen


def _is_one_node(
    root: Path,
    backup: Backup,
    chosen: tuple[SavedNode, ...],
    server_id: str | None,
    allow_other_server: bool,
) -> bool:
    """Whether `root` is, or is to become, the directory of one node and not of a cluster."""
    if _is_node(root):
        return True
    if nodes_inside(root):
        return False
    wanted = chosen[0].record.server_id
    meant_alone = backup.layout == "node" or server_id is not None
    if not meant_alone or wanted in ("", root.name) or allow_other_server:
        return meant_alone
    raise StoreMismatch(
        f"{root} would become the directory of a server {root.name!r}, and this is the state of "
        f"{wanted!r}: give --state-dir {root / wanted}, or --allow-other-server if it is meant"
    )


def _as_whole(
    chosen: tuple[SavedNode, ...], root: Path, state_dir: Path, allow_other_server: bool
) -> Target:
    if len(chosen) != 1:
        raise StoreMismatch(
            f"{state_dir} is one node's directory, and the backup holds {len(chosen)} nodes: "
            f"choose one with --server-id, or give the directory above as --state-dir"
        )
    wanted = chosen[0].record.server_id
    if wanted not in ("", root.name) and not allow_other_server:
        raise StoreMismatch(
            f"{state_dir} is the directory of server {root.name!r}, and this is the state of "
            f"{wanted!r}, with its votes: --allow-other-server if it is meant"
        )
    return Target(chosen[0], root)


def _inside(root: Path, chosen: tuple[SavedNode, ...]) -> Iterator[Target]:
    taken: set[Path] = set()
    for node in chosen:
        if not node.record.server_id:
            raise StoreMismatch(
                f"the backup does not say whose state it is, and {root} is the directory of a "
                "cluster: give the node's own directory as --state-dir"
            )
        directory = (root / node.record.server_id).resolve()
        if directory in taken:
            raise StoreMismatch(f"two nodes share {directory} by symbolic links")
        taken.add(directory)
        yield Target(node, directory)


def _require_replaceable(directory: Path, backup: Backup) -> None:
    if directory.is_relative_to(backup.path):
        raise StoreMismatch(f"{directory} is inside the backup itself: name another --state-dir")
    if os.path.lexists(directory) and not directory.is_dir():
        raise StoreMismatch(f"{directory} is not a directory")
    if directory.is_dir() and directory.is_mount():
        raise StoreMismatch(
            f"{directory} is a mount point, which cannot be replaced as a whole: mount the "
            "directory above it, so that the node's directory is a plain one"
        )


def _is_node(directory: Path) -> bool:
    return directory.is_dir() and is_node_directory(directory)
