"""Does what a plan says: backup, new files, and all of them into place at once.

Law: nothing is changed before the backup is durable; the new files are complete and durable before
the first of them gets its name; and whatever fails before the last one has, puts all back.

    save    all that is there, by the caller's backup
    build   <id>/.recovering-<time>/new    the new files of each target
    link    <id>/<database>             -> <id>/.recovering-<time>/old
    rename  new/raft-stable.db, new/snapshots/<new>, new/raft-log.db  into place
    rename  <id>/snapshots/<old>        -> <id>/.recovering-<time>/old/snapshots
    turn    away whoever waits for the lock of an old database
    remove  <id>/.recovering-<time>

A process that is killed in between leaves directories that Raft starts from, each with its old
members or with the new ones, because a term may always rise, a snapshot of the last entry only
repeats the log, and a log may be empty behind a snapshot. The next run names what was left.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from conductor.errors import Refused, StoreError
from raft_state.exchange import (
    NO_LINKS,
    DatabaseLocks,
    Rename,
    disk_errors,
    exchange,
    require_unlocked,
    settle,
    sync_directory,
)
from raft_state.node import DATABASES, SNAPSHOTS
from raft_state.recover.files import NewState, build
from raft_state.recover.plan import RECOVERING, Outlook, RecoveryPlan, Target, fingerprint_of

_STAMP = "%Y%m%d-%H%M%S"
_DIRECTORY_MODE = 0o755


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """What was done."""

    outlook: Outlook
    backup: Path
    """What was there before, whole."""
    remarks: tuple[str, ...]
    """What could not be finished and does no harm."""


@dataclass(slots=True)
class _Staging:
    """The working directory of one target."""

    target: Target
    directory: Path
    linked: list[Rename] = field(default_factory=list)
    """A database and its second name in here: replacing it loses nothing."""

    @property
    def new(self) -> Path:
        """Where the new files are made."""
        return self.directory / "new"

    @property
    def old(self) -> Path:
        """Where the old ones go."""
        return self.directory / "old"

    def make(self) -> None:
        """Make the directories. OSError."""
        self.directory.mkdir(_DIRECTORY_MODE)
        for path in (self.new, self.old, self.old / SNAPSHOTS):
            path.mkdir(_DIRECTORY_MODE)

    def set_aside(self, name: str) -> list[Rename]:
        """Keep what a new file will replace: by a link, or else by a rename to be made."""
        place, kept = self.target.directory / name, self.old / name
        if not os.path.lexists(place):
            return []
        try:
            kept.hardlink_to(place)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            return [(place, kept)]
        self.linked.append((place, kept))
        return []

    def put_back(self) -> None:
        """Give databases that were replaced their names again. OSError."""
        for place, kept in self.linked:
            if os.path.lexists(kept):
                kept.replace(place)
        sync_directory(self.target.directory)


def recover(
    plan: RecoveryPlan,
    *,
    save: Callable[[], Path],
    now: datetime,
    settled: Callable[[], None] = settle,
) -> RecoveryReport:
    """Carry out a plan. StoreLocked, Refused, StoreFull, other StoreError: all is as before.

    `save`: makes a backup of all nodes here and says where it is. `settled`: waits until a
    conductor that waits for the lock of an old database must have asked again.
    """
    with DatabaseLocks(plan.directories, exclusive=True) as locks:
        require_unlocked(locks)
    backup = save()
    state = NewState.of(plan, now)
    unowned: list[str] = []
    places = [target.directory for target in plan.outlook.targets]
    others = [path for path in plan.directories if path not in places]
    with (
        DatabaseLocks(others, exclusive=True) as bystanders,
        DatabaseLocks(places, exclusive=True, writable=True) as old,
        ExitStack() as undo,
    ):
        require_unlocked(bystanders)
        require_unlocked(old)
        _require_unchanged(plan)
        stagings = [_new_staging(target, now) for target in plan.outlook.targets]
        renames: list[Rename] = []
        for staging in stagings:
            directory = staging.target.directory
            undo.callback(shutil.rmtree, staging.directory, ignore_errors=True)
            with disk_errors(f"make the new state of {directory}"):
                staging.make()
                if not build(state, staging.target, staging.new):
                    unowned.append(
                        f"what is new in {directory} belongs to the user that recovered it: give "
                        "it to the conductor's with chown"
                    )
                renames += _renames(staging)
        made = (staging.new for staging in stagings)
        with DatabaseLocks(made, exclusive=True, writable=True) as new:
            _exchange(renames, stagings, old, new, undo)
        undo.pop_all()
        old.turn_away(settled)
    return RecoveryReport(plan.outlook, backup, (*unowned, *_cleared(stagings)))


def _require_unchanged(plan: RecoveryPlan) -> None:
    if tuple(map(fingerprint_of, plan.directories)) != plan.fingerprints:
        raise Refused(
            "the state has changed since it was read, nothing was changed by this run: stop the "
            "conductors (and whatever would start them again), then run it again"
        )


def _new_staging(target: Target, now: datetime) -> _Staging:
    """A working directory of a name that nothing has yet."""
    stamp = now.astimezone(UTC).strftime(_STAMP)
    number = 1
    while True:
        suffix = stamp if number == 1 else f"{stamp}-{number}"
        directory = target.directory / f"{RECOVERING}{suffix}"
        if not os.path.lexists(directory):
            return _Staging(target, directory)
        number += 1


def _renames(staging: _Staging) -> list[Rename]:
    """The renames of one target, in an order that leaves it startable after each. OSError."""
    place, new, old = staging.target.directory, staging.new, staging.old
    renames: list[Rename] = []
    held = sorted(path for path in _children(place / SNAPSHOTS) if path.is_dir())
    made = _children(new / SNAPSHOTS)
    for name in reversed(DATABASES):  # the stable store first: whatever follows needs its term
        if name == DATABASES[0]:
            if made and (place / SNAPSHOTS).is_dir():
                renames += [(path, place / SNAPSHOTS / path.name) for path in made]
            elif made:
                renames.append((new / SNAPSHOTS, place / SNAPSHOTS))
        if (new / name).exists():
            renames += [*staging.set_aside(name), (new / name, place / name)]
    return renames + [(path, old / SNAPSHOTS / path.name) for path in held]


def _children(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


def _exchange(
    renames: list[Rename],
    stagings: list[_Staging],
    old: DatabaseLocks,
    new: DatabaseLocks,
    undo: ExitStack,
) -> None:
    """Make all renames, or leave everything as it was. StoreLocked, StoreError."""
    completed = taken_back = False
    try:
        exchange(renames, old, new)
        completed = True
    finally:
        if not completed:
            try:
                for staging in stagings:
                    staging.put_back()
                taken_back = all(not _children(each.old / SNAPSHOTS) for each in stagings)
            except OSError as error:
                raise StoreError(
                    f"it failed and could not all be taken back ({error.strerror}): start no "
                    f"conductor; the old files are in "
                    f"{', '.join(str(each.old) for each in stagings)}: move them back"
                ) from error
            finally:
                if not taken_back:
                    undo.pop_all()  # What is in there is needed to put it right by hand.


def _cleared(stagings: list[_Staging]) -> list[str]:
    """Remove the working directories, which hold what was replaced: remarks on those that stay."""
    remarks = []
    for staging in stagings:
        try:
            shutil.rmtree(staging.directory)
        except OSError as error:
            remarks.append(
                f"{staging.directory} cannot be removed ({error.strerror}); it holds what was "
                "replaced, which is in the backup too: remove it"
            )
    return remarks
