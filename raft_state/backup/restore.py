"""Puts a backup back: first a plan that changes nothing, then the deed.

Invariant: a plan exists only for a backup whose every byte was checked, and for directories that no
running conductor uses. The deed builds whole new directories, checks them again, and leaves the
rest to `swap`: nothing of an old log or of old snapshots survives beside the new state.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from conductor.errors import StoreDamaged, StoreLocked
from raft_state.backup.examine import examine, facts_of
from raft_state.backup.files import STAMP, Meter, Progress, remove_tree, require_space
from raft_state.backup.manifest import NodeFacts
from raft_state.backup.rebuild import build_node
from raft_state.backup.saved import Backup, SavedNode, check_files, open_backup
from raft_state.backup.swap import (
    Swap,
    discard,
    leftovers_in,
    new_swap,
    swap_directories,
)
from raft_state.backup.targets import Target, find_targets, nodes_inside, strangers
from raft_state.exchange import (
    DatabaseLocks,
    disk_errors,
    make_directories,
    remove_directories,
    require_unlocked,
    settle,
)

_UNOWNED = "{} belongs to the user that restored it: give it to the conductor's with chown"


@dataclass(frozen=True, slots=True)
class Replacement:
    """One node directory that a restore makes, and what it replaces."""

    server_id: str
    """Of the saved node; empty when the backup does not say."""
    target: Path
    replaces: bool
    """Whether there is something now."""
    before: NodeFacts | None
    """What is there now, as far as it can be read."""
    after: NodeFacts
    size_bytes: int
    strangers: tuple[str, ...]
    """What is there now and is not Raft's: because of it, the old directory will not be removed."""


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore would do. Nothing was changed yet."""

    backup: Backup
    state_dir: Path
    targets: tuple[Target, ...]
    replacements: tuple[Replacement, ...]
    warnings: tuple[str, ...]

    @property
    def replaces(self) -> bool:
        """Whether anything that exists would go."""
        return any(replacement.replaces for replacement in self.replacements)


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What was restored."""

    backup: Path
    replacements: tuple[Replacement, ...]
    kept: tuple[Path, ...]
    """Old directories that are still there, under their new names."""
    warnings: tuple[str, ...]


def plan_restore(
    backup_dir: Path,
    state_dir: Path,
    *,
    server_id: str | None = None,
    allow_other_server: bool = False,
    allow_damaged: bool = False,
    progress: Progress | None = None,
) -> RestorePlan:
    """Check a backup wholly and say what restoring it would do.

    NotFound, StoreMismatch: it does not fit there. StoreLocked: a conductor runs there.
    StoreDamaged: the backup, or what was saved in it, is not fit for Raft (`allow_damaged`).
    """
    backup = open_backup(backup_dir)
    targets = find_targets(
        backup, state_dir, server_id=server_id, allow_other_server=allow_other_server
    )
    with DatabaseLocks((target.directory for target in targets), exclusive=True) as locks:
        require_unlocked(locks)
    size = sum(target.node.record.size_bytes for target in targets)
    meter = Meter(progress, 2 * size)
    facts = [_checked(target.node, meter, allow_damaged) for target in targets]
    with disk_errors(f"look into {state_dir}"):
        replacements = tuple(
            _replacement(target, after) for target, after in zip(targets, facts, strict=True)
        )
        warnings = (*backup.remarks, *_warnings(state_dir, targets, replacements))
    return RestorePlan(backup, state_dir, targets, replacements, warnings)


def restore(
    plan: RestorePlan,
    *,
    now: datetime,
    keep_replaced: bool = False,
    progress: Progress | None = None,
    settled: Callable[[], None] = settle,
) -> RestoreReport:
    """Do what the plan says. StoreLocked, StoreFull, other StoreError: everything is as before.

    `keep_replaced`: the old directories stay beside the new ones. `settled`: waits until a
    conductor that waits for the lock of an old database must have asked again.
    """
    stamp = now.astimezone(UTC).strftime(STAMP)
    meter = Meter(progress, 2 * sum(part.size_bytes for part in plan.replacements))
    with ExitStack() as undo:
        parents = sorted({target.directory.parent for target in plan.targets})
        for parent in parents:
            with disk_errors(f"make {parent}"):
                undo.callback(remove_directories, make_directories(parent))
            undo.enter_context(_alone_in(parent))
            size = sum(
                part.size_bytes for part in plan.replacements if part.target.parent == parent
            )
            require_space(parent, size, f"restore into {parent}")
        swaps = [new_swap(target.directory, stamp) for target in plan.targets]
        unowned: list[str] = []
        for target, swap in zip(plan.targets, swaps, strict=True):
            undo.callback(remove_tree, swap.fresh)
            with disk_errors(f"restore into {swap.fresh}"):
                if not build_node(target.node, swap.fresh, target.directory, meter):
                    unowned.append(_UNOWNED.format(target.directory))
        swap_directories(swaps, settled=settled)
        undo.pop_all()
    kept, remarks = _remove_replaced(plan.replacements, swaps, keep_replaced)
    return RestoreReport(
        plan.backup.path, plan.replacements, kept, (*plan.warnings, *unowned, *remarks)
    )


def _checked(node: SavedNode, meter: Meter, allow_damaged: bool) -> NodeFacts:
    """What a saved node says, after every check of it."""
    check_files(node, meter)
    examination = examine(node.directory, progress=meter.part(node.record.size_bytes))
    if examination.problems and not allow_damaged:
        name = node.record.server_id or node.directory.name
        raise StoreDamaged(
            f"{name} in {node.directory} is not fit for Raft, so nothing was changed: "
            f"{'; '.join(examination.problems)}. Use another backup, or --allow-damaged to put it "
            "back as it is"
        )
    return examination.facts


def _replacement(target: Target, after: NodeFacts) -> Replacement:
    directory = target.directory
    occupied = directory.is_dir() and any(directory.iterdir())
    return Replacement(
        server_id=target.node.record.server_id,
        target=directory,
        replaces=occupied,
        before=facts_of(directory) if occupied else None,
        after=after,
        size_bytes=target.node.record.size_bytes,
        strangers=strangers(directory),
    )


def _warnings(
    state_dir: Path, targets: Sequence[Target], replacements: Sequence[Replacement]
) -> Iterator[str]:
    places = {target.directory for target in targets}
    root = state_dir.resolve()
    inside = nodes_inside(root) if root not in places else []
    for path in inside:
        if path.resolve() not in places:
            yield f"{path} is not in what is restored and stays as it is"
    if root in places:
        yield from (leftover.text for leftover in leftovers_in(root.parent, root.name))
    else:
        yield from (leftover.text for leftover in leftovers_in(root))
    for replacement in replacements:
        yield from _warnings_of_node(replacement)


def _warnings_of_node(replacement: Replacement) -> Iterator[str]:
    name = replacement.target.name
    if replacement.server_id not in ("", name):
        yield (
            f"{name} gets the state of {replacement.server_id}, with its term and vote: start only "
            "one of the two on it"
        )
    before = replacement.before
    if before is not None and _goes_back(before, replacement.after):
        yield (
            f"{name} goes back from {_point(before)} to {_point(replacement.after)}: it forgets "
            "what it acknowledged and voted since. Safe only if all conductors are stopped and the "
            "others restored from this backup too, or their directories emptied; beside others "
            "that go on, empty this one instead and let it rejoin"
        )
    if replacement.strangers:
        yield (
            f"{replacement.target} holds what is not Raft's ({', '.join(replacement.strangers)}): "
            "the old directory is kept beside the new one"
        )


def _goes_back(before: NodeFacts, after: NodeFacts) -> bool:
    return before.position > after.position or (before.current_term or 0) > (
        after.current_term or 0
    )


def _point(facts: NodeFacts) -> str:
    return f"entry {facts.position[1]}, term {facts.current_term or facts.position[0]},"


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Keep other restores out of a directory. StoreLocked."""
    with disk_errors(f"lock {directory}"):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with disk_errors(f"lock {directory}"):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StoreLocked(f"another restore works in {directory}") from error
        yield
    finally:
        os.close(descriptor)


def _remove_replaced(
    replacements: Sequence[Replacement], swaps: Sequence[Swap], keep_replaced: bool
) -> tuple[tuple[Path, ...], list[str]]:
    """Remove the old directories: those that stay, and why. The new ones are in place by now."""
    kept: list[Path] = []
    remarks: list[str] = []
    for replacement, swap in zip(replacements, swaps, strict=True):
        if not swap.replaced.exists():
            continue
        if keep_replaced or replacement.strangers:
            kept.append(swap.replaced)
            continue
        try:
            discard(swap.replaced)
        except OSError as error:
            text = f"what was replaced cannot be removed: {error.strerror} ({error.filename})"
            remarks.append(text)
    return tuple(kept), remarks
