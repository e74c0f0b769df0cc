"""What a recovery would do: found out without changing anything, and then certain.

Law: there is no plan for a cluster that some conductor still uses, or for a state that cannot be
told. Every member whose directory is here gets the same state; any other member starts empty.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from conductor.errors import NotFound, Refused, StoreMismatch
from raft_state.exchange import DatabaseLocks, disk_errors, require_unlocked
from raft_state.node import (
    DATABASES,
    SNAPSHOTS,
    STATE_NAMES,
    is_node_directory,
    node_directories,
)
from raft_state.raft import Configuration
from raft_state.recover.advice import next_steps, warnings
from raft_state.recover.choice import choose_source, divergences
from raft_state.recover.divergence import Divergence
from raft_state.recover.survivor import Survivor, examine_survivor

RECOVERING = ".recovering-"
"""How the folder begins, inside a node's directory, in which its new files are made."""

Fingerprint = tuple[tuple[str, int, int, int], ...]
"""Of each file: name, number, size, time of the last change."""


@dataclass(frozen=True, slots=True)
class Entries:
    """Entries from one index to another, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Target:
    """A directory that gets the recovered state."""

    server_id: str
    directory: Path
    """Symbolic links resolved."""
    before: Survivor


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a recovery does, for people and programs."""

    state_dir: Path
    source: Survivor
    configuration: Configuration
    targets: tuple[Target, ...]
    absent: tuple[str, ...]
    """The members without a directory here."""
    bystanders: tuple[str, ...]
    """The nodes here that are no members any more; their directories stay as they are."""
    is_snapshot: bool
    """Whether a snapshot is written; without any payload it is a log of one entry instead."""
    last_index: int
    last_term: int
    """Where the recovered cluster goes on from."""
    current_term: int
    """What each target's term is raised to, if it is lower."""
    commits: Entries | None
    """The entries that were perhaps not committed, and then are."""
    divergences: tuple[Divergence, ...]
    warnings: tuple[str, ...]
    next_steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecoveryPlan:
    """An outlook, with what is needed to make it true."""

    outlook: Outlook
    state: bytes = field(repr=False)
    """The SSZ bytes of the newest payload; empty when there is none."""
    directories: tuple[Path, ...]
    """Of all nodes here: none of them may be in use."""
    fingerprints: tuple[Fingerprint, ...]
    """Of each, as it was read."""

    @property
    def beside(self) -> Path:
        """The folder that the nodes' folders are in."""
        return self.directories[0].parent


def plan_recovery(
    state_dir: Path, configuration: Configuration, *, source_id: str | None = None
) -> RecoveryPlan:
    """Read one node's directory, or those of a cluster, and say what recovering would do.

    NotFound, Refused, StoreMismatch, StoreDamaged: it cannot be, and the text says what can.
    StoreLocked: a conductor runs on one of them.
    """
    directories = [path.resolve() for path in node_directories(state_dir)]
    _require_distinct(directories)
    with DatabaseLocks(directories, exclusive=True) as locks:
        require_unlocked(locks)
    leftovers = [text for path in directories for text in _leftovers(path)]
    fingerprints = tuple(map(fingerprint_of, directories))
    survivors: list[Survivor] = []
    states: dict[str, bytes] = {}
    for directory in directories:
        survivor, states[survivor.server_id] = examine_survivor(directory)
        survivors.append(survivor)
    source = choose_source(survivors, source_id)
    is_explained = source_id is not None or bool(leftovers)
    found = divergences(source, survivors, is_explained=is_explained)
    targets = tuple(_targets(state_dir, survivors, configuration))
    outlook = _outlook(state_dir, source, configuration, survivors, targets, found, leftovers)
    return RecoveryPlan(outlook, states[source.server_id], tuple(directories), fingerprints)


def fingerprint_of(directory: Path) -> Fingerprint:
    """What changes with every change of a node's state. StoreError."""
    with disk_errors(f"look into {directory}"):
        paths = [directory / name for name in DATABASES if (directory / name).exists()]
        if (directory / SNAPSHOTS).is_dir():
            paths += sorted((directory / SNAPSHOTS).iterdir())
        stats = [(path.name, path.stat()) for path in paths]
    return tuple((name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def _require_distinct(directories: Sequence[Path]) -> None:
    names = [path.name for path in directories]
    for name in names:
        if names.count(name) > 1:
            raise StoreMismatch(
                f"{name!r} is the folder of two nodes here, by symbolic links: take one away"
            )


def _targets(
    state_dir: Path, survivors: Sequence[Survivor], configuration: Configuration
) -> Iterator[Target]:
    """Those of the nodes that are members. NotFound: none is. StoreMismatch: cannot be replaced."""
    members = [server.server_id for server in configuration.servers]
    chosen = [each for each in survivors if each.server_id in members]
    if not chosen:
        here = ", ".join(each.server_id for each in survivors)
        alone = is_node_directory(state_dir)
        what = f"the folder is of {here}" if alone else f"the folders here are of {here}"
        raise NotFound(
            f"{state_dir}: none of --members ({', '.join(members)}) is here, {what}: name the "
            "members by the ids that their folders have"
        )
    for each in chosen:
        for name in STATE_NAMES:
            if (each.directory / name).is_symlink():
                raise StoreMismatch(
                    f"{each.directory / name} is a symbolic link, and could only be replaced "
                    "itself: move what it leads to here"
                )
        yield Target(each.server_id, each.directory, each)


def _leftovers(directory: Path) -> Iterator[str]:
    """What interrupted recoveries left in a node's directory. Refused: a file is only there."""
    with disk_errors(f"look into {directory}"):
        found = sorted(directory.glob(f"{RECOVERING}*"))
    for path in found:
        for name in DATABASES:
            kept, place = path / "old" / name, directory / name
            if os.path.lexists(kept) and not os.path.lexists(place):
                raise Refused(
                    f"{place} is missing: a recovery was interrupted while it was being replaced. "
                    f"Start no conductor; put it back with: mv {kept} {place}"
                )
        yield (
            f"{path} was left by a recovery that was interrupted; the backup that it made before "
            "has all that is in it: remove it when this one is done"
        )


def _outlook(
    state_dir: Path,
    source: Survivor,
    configuration: Configuration,
    survivors: Sequence[Survivor],
    targets: tuple[Target, ...],
    found: tuple[Divergence, ...],
    leftovers: Sequence[str],
) -> Outlook:
    here = {target.server_id for target in targets}
    absent = [each.server_id for each in configuration.servers if each.server_id not in here]
    bystanders = [each.server_id for each in survivors if each.server_id not in here]
    has_payload = source.payload is not None
    commits = None
    if source.certain_index < source.last_index:
        commits = Entries(source.certain_index + 1, source.last_index)
    floor = max(source.last_term, source.current_term)
    if not has_payload:
        # The new first entry must win against every log of before.
        floor = max(
            1, *(term for each in survivors for term in (each.last_term, each.current_term))
        )
    before = source.configuration.servers if source.configuration is not None else ()
    members = {server.server_id for server in configuration.servers}
    former = dict.fromkeys([*bystanders, *(each.server_id for each in before)])
    steps = next_steps(
        state_dir,
        configuration,
        [target.directory for target in targets],
        absent,
        [server_id for server_id in former if server_id not in members],
    )
    return Outlook(
        state_dir=state_dir,
        source=source,
        configuration=configuration,
        targets=targets,
        absent=tuple(absent),
        bystanders=tuple(bystanders),
        is_snapshot=has_payload,
        last_index=source.last_index if has_payload else 1,
        last_term=source.last_term if has_payload else floor,
        current_term=floor,
        commits=commits,
        divergences=found,
        warnings=(*leftovers, *warnings(source, configuration, survivors, found)),
        next_steps=tuple(steps),
    )
