"""The rules of snapshots: which one Raft would restore, and why it would not restore the others.

Invariant: what is chosen is what Raft would choose: the newest that it lists, whose checksum is
right and whose state op-conductor can read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from conductor.errors import StoreError
from raft_state.raft import Ignored, Snapshot, list_snapshots, shown
from raft_state.verify.finding import Findings, KnownConfiguration, SnapshotPoint
from raft_state.verify.payloads import review_state
from raft_state.verify.rules import Rule


@dataclass(frozen=True, slots=True)
class Restorable:
    """The snapshot that a node would begin with."""

    point: SnapshotPoint
    configuration: KnownConfiguration


def review_snapshots(snapshots_dir: Path, findings: Findings) -> Restorable | None:
    """Judge all snapshots of a node; the one that Raft would restore, if there is any."""
    try:
        listing = list_snapshots(snapshots_dir)
    except StoreError as error:
        findings.add(Rule.FILE_UNREADABLE, str(error), place=snapshots_dir.name)
        return None
    for ignored in listing.ignored:
        _review_ignored(ignored, findings)
    _review_count(listing.listed, findings)
    found: Restorable | None = None
    for snapshot in listing.listed:
        restorable = _review_listed(snapshot, findings)
        found = found or restorable
    return found


def review_snapshot_term(
    restorable: Restorable, current_term: int | None, findings: Findings
) -> None:
    """Hold the term of the newest snapshot against the stored term."""
    term = restorable.point.term
    if term > (current_term or 0):
        stored = "missing" if current_term is None else str(current_term)
        findings.add(
            Rule.SNAPSHOT_TERM_BEYOND_CURRENT,
            f"the snapshot has term {term}, the stored current term is {stored}",
            place=restorable.configuration.place,
        )


def place_of(path: Path) -> str:
    """How findings name a snapshot or what lies beside it."""
    return f"{path.parent.name}/{shown(path.name)}"


def _review_ignored(ignored: Ignored, findings: Findings) -> None:
    rule = Rule.SNAPSHOT_SKIPPED if ignored.is_finished else Rule.SNAPSHOT_LEFTOVER
    name = shown(ignored.path.name)
    findings.add(rule, f"{name} ({ignored.reason})", place=place_of(ignored.path))


def _review_count(listed: Sequence[Snapshot], findings: Findings) -> None:
    if len(listed) > 1:
        newest = listed[0].meta
        findings.add(
            Rule.SNAPSHOT_SEVERAL,
            f"there are {len(listed)} snapshots; the newest ends at index {newest.index}, term "
            f"{newest.term}",
            place=place_of(listed[0].directory),
        )


def _review_listed(snapshot: Snapshot, findings: Findings) -> Restorable | None:
    """Judge one that Raft lists; what it is if it can be restored."""
    meta, place = snapshot.meta, place_of(snapshot.directory)
    for problem in snapshot.problems:
        findings.add(Rule.SNAPSHOT_UNUSABLE, problem, place=place)
    for remark in snapshot.remarks:
        findings.add(Rule.SNAPSHOT_ODD, remark, place=place)
    if meta.version == 0:
        findings.add(Rule.SNAPSHOT_VERSION_OLD, "it is of version 0", place=place)
    if meta.configuration_index > meta.index:
        findings.add(
            Rule.SNAPSHOT_CONFIGURATION_INDEX,
            f"it ends at index {meta.index}, and its members are those of index "
            f"{meta.configuration_index}",
            place=place,
        )
    height, is_readable = _review_state(snapshot, findings, place)
    if snapshot.problems or not is_readable:
        return None
    return Restorable(
        SnapshotPoint(meta.index, meta.term, meta.crc or b"", height),
        KnownConfiguration(meta.configuration_index, meta.term, place, snapshot.configuration),
    )


def _review_state(snapshot: Snapshot, findings: Findings, place: str) -> tuple[int | None, bool]:
    """The height of the payload in the state, and whether op-conductor can restore it."""
    if snapshot.state_bytes is None:
        return None, False
    try:
        seen, height = review_state(snapshot.payload())
    except StoreError:
        return None, False  # then it is among the problems of the snapshot
    for rule, detail in seen:
        findings.add(rule, detail, place=place)
    return height, not seen
