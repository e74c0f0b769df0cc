"""The folders that this tool itself makes beside those of nodes, by their names.

Invariant: none of them is a node, even if it holds all that a node does. Who looks for nodes passes
over them; who names one of them means it.
"""

from __future__ import annotations

GENERATING = ".generating-"
"""How the name of the folder begins in which new nodes are made."""

RESTORING = ".restoring-"
REPLACED = ".replaced-"
DISCARDED = ".discarded-"
"""What follows a node's name while its folder is made, is replaced, and is removed after that."""

BACKUP_PREFIX = "raft-backup-"
UNFINISHED_BACKUP_PREFIX = f".{BACKUP_PREFIX}"

_BEGINNINGS = (GENERATING, BACKUP_PREFIX, UNFINISHED_BACKUP_PREFIX)
_MARKS = (RESTORING, REPLACED, DISCARDED)


def is_own_folder(name: str) -> bool:
    """Whether a folder of this name is a backup, or was left by a run that was interrupted."""
    return name.startswith(_BEGINNINGS) or any(mark in name for mark in _MARKS)
