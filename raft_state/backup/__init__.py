"""Saves Raft state directories and puts them back.

Law: a backup is whole or not there; a restore replaces whole node directories or nothing; and no
state that was there is removed before the one that replaces it is durable in its place.
"""

from raft_state.backup.manifest import (
    FileRecord,
    LogRange,
    Manifest,
    NodeFacts,
    NodeRecord,
    SnapshotRecord,
)
from raft_state.backup.restore import (
    Replacement,
    RestorePlan,
    RestoreReport,
    plan_restore,
    restore,
)
from raft_state.backup.save import BackupReport, back_up
from raft_state.backup.saved import Backup, open_backup

__all__ = [
    "Backup",
    "BackupReport",
    "FileRecord",
    "LogRange",
    "Manifest",
    "NodeFacts",
    "NodeRecord",
    "Replacement",
    "RestorePlan",
    "RestoreReport",
    "SnapshotRecord",
    "back_up",
    "open_backup",
    "plan_restore",
    "restore",
]
