"""Puts new node directories in the place of old ones, all of them or none.

Law: an old directory is removed only after every new one is durable under its name. Until then any
failure puts back what was there; and a crash at any point leaves each node with its old directory
or its new one, under its own name or, between two renames, as `<id>.replaced-<time>` beside it,
where `leftovers` of the next run finds it and says what to do.

    build   <id>.restoring-<time>   the new directory, complete and durable
    rename  <id>                 -> <id>.replaced-<time>
    rename  <id>.restoring-<time> -> <id>
    turn    away whoever waits for the lock of an old database
    remove  <id>.replaced-<time> -> <id>.discarded-<time>, and then that
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from conductor.errors import StoreLocked
from raft_state.exchange import (
    DatabaseLocks,
    Rename,
    disk_errors,
    exchange,
    require_unlocked,
    settle,
    sync_directory,
)
from raft_state.node import DISCARDED, REPLACED, RESTORING


@dataclass(frozen=True, slots=True)
class Swap:
    """One node directory to be replaced. All three paths are in one parent."""

    target: Path
    """Where the node's directory is, or will be when there is none yet."""
    fresh: Path
    """The new one, complete and durable."""
    replaced: Path
    """What the old one is called meanwhile; nothing is there yet."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """A directory that an interrupted restore left beside a node's, and what to do about it."""

    path: Path
    text: str


def new_swap(target: Path, stamp: str) -> Swap:
    """Names beside the target that nothing has. StoreLocked when there are none left."""
    for number in range(1, 1000):
        suffix = stamp if number == 1 else f"{stamp}-{number}"
        swap = Swap(
            target,
            fresh=target.with_name(target.name + RESTORING + suffix),
            replaced=target.with_name(target.name + REPLACED + suffix),
        )
        if not os.path.lexists(swap.fresh) and not os.path.lexists(swap.replaced):
            return swap
    raise StoreLocked(f"too many leftovers of restores beside {target}: remove them")


def swap_directories(swaps: Sequence[Swap], *, settled: Callable[[], None] = settle) -> None:
    """Rename every new directory into its place. StoreLocked, StoreError: all is as before.

    But the new ones are spoilt then. `settled`: waits until a conductor that waits for the lock of
    an old database must have asked again.
    """
    with (
        DatabaseLocks((swap.target for swap in swaps), exclusive=True, writable=True) as old,
        DatabaseLocks((swap.fresh for swap in swaps), exclusive=True, writable=True) as new,
    ):
        require_unlocked(old)
        renames: list[Rename] = []
        for swap in swaps:
            if os.path.lexists(swap.target):
                renames.append((swap.target, swap.replaced))
            renames.append((swap.fresh, swap.target))
        exchange(renames, old, new)
        new.close()
        old.turn_away(settled)


def discard(replaced: Path) -> None:
    """Remove an old directory; its name first, so that no half of it looks whole. OSError."""
    target_name, _, stamp = replaced.name.rpartition(REPLACED)
    discarded = replaced.with_name(target_name + DISCARDED + stamp)
    replaced.rename(discarded)
    sync_directory(discarded.parent)
    shutil.rmtree(discarded)


def leftovers_in(parent: Path, of: str | None = None) -> list[Leftover]:
    """What interrupted restores left in a directory, each with its meaning and the way out.

    `of`: only what belongs to the node directory of this name.
    """
    if not parent.is_dir():
        return []
    with disk_errors(f"list {parent}"):
        names = sorted(path.name for path in parent.iterdir())
    found = []
    for name in names:
        for mark in (RESTORING, REPLACED, DISCARDED):
            target, marked, _ = name.rpartition(mark)
            if marked and of in (None, target):
                path = parent / name
                found.append(Leftover(path, _meaning(mark, parent / target, path)))
    return found


def _meaning(mark: str, target: Path, path: Path) -> str:
    if mark == RESTORING:
        return f"{path} is the unfinished work of an interrupted restore: remove it"
    if mark == DISCARDED:
        return f"{path} is the rest of a state that was replaced: remove it"
    if target.exists():
        return f"{path} is what an earlier restore replaced: remove it once it is not needed"
    return (
        f"{target} is missing: a restore was interrupted while it was being replaced. Its state "
        f"of before is whole in {path}: start no conductor, and restore again, or put it back "
        f"with: mv {path} {target}"
    )
