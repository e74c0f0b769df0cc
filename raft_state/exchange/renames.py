"""Renames directories, all of them or none.

Law: until the last rename is durable, and nobody has come for what lost its name, any failure takes
all of them back. Only a process that is killed leaves the renames that it made.

Locks: a conductor that starts meanwhile and waits for the lock of an old database would run on a
file that has lost its name. So the locks are held for the renames only, then let go for longer than
such a conductor takes to ask again; if one has come, everything is put back beneath it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from conductor.errors import StoreError
from raft_state.exchange.disk import disk_errors, sync_directory
from raft_state.exchange.locks import DatabaseLocks, require_unlocked

Rename = tuple[Path, Path]
"""What a directory or file is called, and what it shall be called on the same file system."""


def exchange(
    renames: Sequence[Rename], locks: DatabaseLocks, *, settled: Callable[[], None]
) -> None:
    """Make all renames, in order. StoreLocked, StoreError: all is as before.

    `locks`: of the databases that are there now, locked; afterwards they are again. `settled` waits
    until a conductor that has begun to start must have shown itself.
    """
    begun: list[Rename] = []
    completed = False
    try:
        for source, target in renames:
            begun.append((source, target))
            with disk_errors(f"rename {source} to {target}"):
                source.rename(target)
        with disk_errors("make the new directories durable"):
            for parent in sorted({path.parent for pair in renames for path in pair}):
                sync_directory(parent)
        if len(locks):
            locks.unlock()
            settled()
            require_unlocked(locks)
        completed = True
    finally:
        if not completed:
            _take_back(begun)


def _take_back(begun: list[Rename]) -> None:
    """Undo renames, the last one first. StoreError names those that a person has to undo."""
    if begun and os.path.lexists(begun[-1][0]):
        begun.pop()  # It was not made any more.
    stuck = []
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
