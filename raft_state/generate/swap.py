"""Puts new node directories into place: all of them, or none.

Invariant: whatever fails before the last directory is in place puts everything back. A process that
is killed between two renames leaves whole directories, new ones and old ones, in a working
directory called `.generating-...`, and the next run points at it.

    build   .generating-<random>/new/<id>     complete and durable
    rename  <id>                              -> .generating-<random>/old/<id>
    rename  .generating-<random>/new/<id>     -> <id>
    turn    away whoever waits for the lock of an old database
    remove  .generating-<random>
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from raft_state.exchange import (
    DatabaseLocks,
    Rename,
    disk_errors,
    exchange,
    give,
    make_directories,
    remove_directories,
    require_unlocked,
    somebody_came,
    sync_directory,
)
from raft_state.generate.target import Target, names_in
from raft_state.node import DATABASES, GENERATING, STATE_NAMES

DIRECTORY_MODE = 0o755
"""As op-conductor makes its own."""
FILE_MODE = 0o600


def put_into_place(
    target: Target,
    server_ids: Sequence[str],
    build: Callable[[Path], None],
    *,
    settled: Callable[[], None],
) -> list[str]:
    """Have `build` fill the directory of each server, then swap all in; what is left to be done.

    StoreLocked when a conductor runs on one of the old ones, or one appeared meanwhile; StoreError,
    StoreFull for what the system refuses. After any of them everything is as it was. `settled`
    waits until a conductor that waits for the lock of an old database must have asked again.
    """
    remarks: list[str] = []
    with (
        disk_errors(f"write {target.directory}"),
        lock_held(target) as old,
        _parents(target) as above,
        _staging(above, remarks) as staging,
    ):
        for server_id in server_ids:
            fresh, place = staging / "new" / server_id, target.directory / server_id
            fresh.mkdir(DIRECTORY_MODE)
            build(fresh)
            if server_id in target.present and not _give_like(place, fresh):
                remarks.append(
                    f"{place} belongs to the user that generated it: give it to the conductor's "
                    "with chown"
                )
        sync_directory(staging / "new")
        made = [staging / "new" / server_id for server_id in server_ids]
        with DatabaseLocks(made, exclusive=True, writable=True) as new:
            exchange(
                _renames(target, staging, server_ids),
                old,
                new,
                check=lambda: _require_no_more(target, staging),
            )
        old.turn_away(settled)
    return remarks


@contextmanager
def lock_held(target: Target) -> Iterator[DatabaseLocks]:
    """The databases to be replaced, locked. StoreLocked, StoreError."""
    held = [target.directory / name for name in target.held]
    with DatabaseLocks(held, exclusive=True, writable=True) as locks:
        require_unlocked(locks)
        yield locks


def _give_like(old: Path, new: Path) -> bool:
    """Give a new node directory the owners and modes of the old; whether that could be. OSError."""
    folder = old.stat()
    stores = [(old / name).stat() for name in DATABASES if (old / name).is_file()]
    owner = stores[0] if stores else folder
    mode = owner.st_mode & 0o777 if stores else FILE_MODE
    given = [give(new / name, mode, owner.st_uid, owner.st_gid) for name in DATABASES]
    return all([*given, give(new, folder.st_mode & 0o777, folder.st_uid, folder.st_gid)])


def _require_no_more(target: Target, staging: Path) -> None:
    """StoreLocked when a folder that was moved away holds more than what was seen in it."""
    for name in target.present:
        expected = STATE_NAMES if name in target.held else ()
        for more in sorted(names_in(staging / "old" / name).difference(expected)):
            raise somebody_came(target.directory / name / more)


def _renames(target: Target, staging: Path, server_ids: Sequence[str]) -> list[Rename]:
    if target.is_new:
        return [(staging / "new", target.directory)]
    renames: list[Rename] = []
    for server_id in server_ids:
        place, old = target.directory / server_id, staging / "old" / server_id
        if server_id in target.present:
            renames.append((place, old))
        renames.append((staging / "new" / server_id, place))
        if server_id in target.present:
            # Not Raft's, so not ours to remove.
            renames += [
                (old / name, place / name)
                for name in sorted(names_in(place).difference(STATE_NAMES))
            ]
    return renames


@contextmanager
def _staging(above: Path, remarks: list[str]) -> Iterator[Path]:
    """A working directory; removed in the end, unless old directories are stuck in it.

    A remark tells what could not be removed although the new state is in place.
    """
    staging = above / f"{GENERATING}{secrets.token_hex(4)}"
    staging.mkdir(DIRECTORY_MODE)
    finished = False
    try:
        (staging / "new").mkdir(DIRECTORY_MODE)
        (staging / "old").mkdir(DIRECTORY_MODE)
        yield staging
        finished = True
    finally:
        if not finished and not _holds_anything(staging / "old"):
            shutil.rmtree(staging, ignore_errors=True)
    try:
        shutil.rmtree(staging)
    except OSError as error:
        remarks.append(
            f"what was replaced cannot be removed: {error.strerror} ({error.filename}): remove "
            f"{staging}"
        )


def _holds_anything(directory: Path) -> bool:
    return directory.is_dir() and bool(names_in(directory))


@contextmanager
def _parents(target: Target) -> Iterator[Path]:
    """The directory to work in, on the file system of the target; made if missing, or undone."""
    if not target.is_new:
        yield target.directory
        return
    above = target.directory.parent
    with ExitStack() as undo:
        undo.callback(remove_directories, make_directories(above, DIRECTORY_MODE))
        yield above
        undo.pop_all()
