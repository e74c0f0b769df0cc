"""Renames directories and files, all of them or none.

Law: nobody comes to use a database that has lost its name. Until the last rename is durable, any
failure takes all of them back. Only a process that is killed leaves the renames that it made.

Locks: all databases are locked before the first rename, the old ones and the new ones, so that a
conductor that starts meanwhile waits: for one that keeps its name, or for one that loses it. It
cannot be told which, and to be given its old directory back does not help one that has opened a
file of the new one too. So whatever loses its name is made no database before its lock is let go:
the new ones before they are taken back, the old ones by `DatabaseLocks.turn_away` once the new ones
are in place. A conductor that waited for one of them then ends with "invalid database", and finds
at its next start what has the name. The old ones become readable again, since some are kept.

What appears meanwhile was made by somebody else, and is neither replaced nor removed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from conductor.errors import StoreError, StoreLocked
from raft_state.exchange.disk import disk_errors, sync_directory
from raft_state.exchange.locks import DatabaseLocks, require_unlocked
from raft_state.node import DATABASES

NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK)
"""What file systems without hard links answer."""

Rename = tuple[Path, Path]
"""What a directory or file is called, and what it shall be called on the same file system."""


def exchange(
    renames: Sequence[Rename],
    old: DatabaseLocks,
    new: DatabaseLocks,
    *,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Make all renames, in order. StoreLocked, StoreError: all is as before, but `new` is spoilt.

    `old`: all databases that lose their names, locked. `new`: those that take their places, open;
    they are locked here. `check` looks at what has been renamed, before it is too late to refuse.
    Afterwards the caller has to turn away whoever waits for `old`, and to close `new`.
    """
    begun: list[Rename] = []
    completed = False
    try:
        require_unlocked(new)
        for source, target in renames:
            begun.append((source, target))
            with disk_errors(f"rename {source} to {target}"):
                if source.name in DATABASES and not (old.holds(source) or new.holds(source)):
                    raise somebody_came(source)
                _rename(source, target, old)
        with disk_errors("make the new directories durable"):
            for parent in sorted({path.parent for pair in renames for path in pair}):
                sync_directory(parent)
            for _, target in renames:
                _require_known(target, old, new)
            check()
        completed = True
    finally:
        if not completed:
            try:
                new.spoil()
            finally:
                _take_back(begun)


def somebody_came(path: Path) -> StoreLocked:
    """The error for what has appeared meanwhile."""
    return StoreLocked(
        f"{path} appeared while files were being replaced: a conductor started. Nothing was "
        "replaced: stop it now (and whatever would start it again), then run this again"
    )


def _rename(source: Path, target: Path, old: DatabaseLocks) -> None:
    """Rename; what is there is replaced only if it is an old database. StoreLocked, OSError."""
    if target.is_file() and not old.holds(target):
        raise somebody_came(target)
    if target.name in DATABASES and not os.path.lexists(target):
        try:
            # Unlike a rename, a link never replaces what appears at this moment.
            target.hardlink_to(source)
        except FileExistsError as error:
            raise somebody_came(target) from error
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
        else:
            source.unlink()
            return
    source.rename(target)


def _require_known(directory: Path, old: DatabaseLocks, new: DatabaseLocks) -> None:
    """StoreLocked when a directory that was renamed holds a database that was made meanwhile."""
    for path in (directory / name for name in DATABASES):
        if path.is_file() and not (old.holds(path) or new.holds(path)):
            raise somebody_came(path)


def _take_back(begun: list[Rename]) -> None:
    """Undo renames, the last one first. StoreError names those that a person has to undo."""
    stuck = []
    if begun and os.path.lexists(begun[-1][0]):
        source, target = begun.pop()  # It was not made any more, or only half.
        if target.name in DATABASES and target.exists() and target.samefile(source):
            target.unlink()
    for source, target in reversed(begun):
        try:
            target.rename(source)
            sync_directory(source.parent)
        except OSError as error:
            stuck.append(f"{target} to {source} ({error.strerror})")
    if stuck:
        raise StoreError(
            "it failed and could not all be taken back: start no conductor before you have "
            f"renamed, in this order: {'; '.join(stuck)}"
        )
