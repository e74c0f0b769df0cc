"""Puts new node directories into place: all of them, or none.

Invariant: whatever fails before the last directory is in place puts everything back. A process that
is killed between two renames leaves whole directories, new ones and old ones, in a working
directory called `.generating-...`, and the next run points at it.

    build   .generating-<random>/new/<id>     complete and durable
    rename  <id>                              -> .generating-<random>/old/<id>
    rename  .generating-<random>/new/<id>     -> <id>
    settle  no conductor has come meanwhile to use the old databases
    remove  .generating-<random>
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from conductor.errors import StoreError
from raft_state.exchange import (
    DatabaseLocks,
    Rename,
    disk_errors,
    exchange,
    make_directories,
    remove_directories,
    require_unlocked,
    sync_directory,
)
from raft_state.generate.target import Target, names_in
from raft_state.node import GENERATING, STATE_NAMES

DIRECTORY_MODE = 0o755
"""As op-conductor makes its own."""


def put_into_place(
    target: Target,
    server_ids: Sequence[str],
    build: Callable[[Path], None],
    *,
    settled: Callable[[], None],
) -> None:
    """Have `build` fill the directory of each server, then swap all in.

    StoreLocked when a conductor runs on one of the old ones; StoreError, StoreFull for what the
    system refuses. After any of them everything is as it was.
    """
    held = [target.directory / name for name in target.held]
    with (
        disk_errors(f"write {target.directory}"),
        DatabaseLocks(held, exclusive=True) as locks,
    ):
        require_unlocked(locks)
        with _parents(target) as above, _staging(above) as staging:
            for server_id in server_ids:
                (staging / "new" / server_id).mkdir(DIRECTORY_MODE)
                build(staging / "new" / server_id)
            sync_directory(staging / "new")
            exchange(_renames(target, staging, server_ids), locks, settled=settled)


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
def _staging(above: Path) -> Iterator[Path]:
    """A working directory; removed in the end, unless old directories are stuck in it."""
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
        raise StoreError(
            f"the new state is in place, but what it replaced cannot be removed from {staging}: "
            f"{error.strerror}"
        ) from error


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
