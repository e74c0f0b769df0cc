"""Puts whole directories in the place of others, durably, under conductors that may be starting.

Law: all renames of an exchange are made or none; and nobody comes to use a database that has lost
its name. What to make of the directories, before and after, is the commands' own.
"""

from raft_state.exchange.disk import (
    disk_errors,
    make_directories,
    remove_directories,
    sync_directory,
)
from raft_state.exchange.locks import POLL_S, DatabaseLocks, require_unlocked, settle
from raft_state.exchange.owners import give
from raft_state.exchange.renames import NO_LINKS, Rename, exchange, somebody_came

__all__ = [
    "NO_LINKS",
    "POLL_S",
    "DatabaseLocks",
    "Rename",
    "disk_errors",
    "exchange",
    "give",
    "make_directories",
    "remove_directories",
    "require_unlocked",
    "settle",
    "somebody_came",
    "sync_directory",
]
