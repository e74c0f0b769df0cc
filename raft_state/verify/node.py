"""Verifies one node: its snapshots, its stable store, its log, and how these fit together.

Invariant: one database is open at a time, and nothing of it is kept but the summary.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from raft_state.bolt import Database, DatabaseDamaged
from raft_state.node import LOG_FILE, SNAPSHOTS, STABLE_FILE, LogStore
from raft_state.raft import CONF, LOGS
from raft_state.verify.files import add_damage, open_file, review_buckets, review_structure
from raft_state.verify.finding import Finding, Findings, NodeSummary
from raft_state.verify.log import LogReview, Surroundings
from raft_state.verify.meter import Meter, Progress
from raft_state.verify.rules import Rule
from raft_state.verify.snapshots import Restorable, review_snapshot_term, review_snapshots
from raft_state.verify.stable import review_stable


@dataclass(frozen=True, slots=True)
class ReviewedNode:
    """What came of verifying one node."""

    summary: NodeSummary
    findings: tuple[Finding, ...]


def review_node(
    directory: Path, server_id: str, meter: Meter, *, lock_timeout_s: float
) -> ReviewedNode:
    """Verify a node's directory. Damage of any kind is a finding, never an error."""
    review = _NodeReview(directory, server_id, meter, lock_timeout_s)
    review.run()
    return ReviewedNode(review.summary, review.findings.result())


class _NodeReview:
    """The steps of one review, in the order in which they depend on each other."""

    def __init__(
        self, directory: Path, server_id: str, meter: Meter, lock_timeout_s: float
    ) -> None:
        self.findings = Findings(server_id)
        self.summary = NodeSummary(server_id, directory)
        self._directory = directory
        self._meter = meter
        self._lock_timeout_s = lock_timeout_s
        self._restorable: Restorable | None = None
        self._is_stable_read = False

    def run(self) -> None:
        """Snapshots first: the log must fit to them; then the term, which both must keep to."""
        self._restorable = review_snapshots(self._directory / SNAPSHOTS, self.findings)
        if self._restorable is not None:
            self.summary = replace(
                self.summary,
                snapshot=self._restorable.point,
                configuration=self._restorable.configuration,
                height=self._restorable.point.height,
            )
        self._review_stable()
        self._review_log()
        if self._restorable is not None and self._is_stable_read:
            review_snapshot_term(self._restorable, self.summary.current_term, self.findings)
        self._review_presence()

    def _review_presence(self) -> None:
        """Tell of a node that Raft would take for a new one."""
        is_read = self._is_stable_read and self.summary.is_log_read
        if is_read and not self.summary.current_term and self.summary.position == (0, 0):
            self.findings.add(Rule.NODE_EMPTY, "there is neither a term nor an entry or snapshot")

    def _review_stable(self) -> None:
        database = self._open(STABLE_FILE)
        if database is None:
            return
        with closing(database):
            is_whole = self._review_structure(database)
            try:
                bucket = review_buckets(database, self.findings, STABLE_FILE, wanted=CONF)
                items = () if bucket is None else bucket.items()
                term, vote = review_stable(items, self.findings, STABLE_FILE)
            except DatabaseDamaged as error:
                self._add_damage(error, STABLE_FILE, is_whole)
                return
        self.summary = replace(self.summary, current_term=term, vote=vote)
        self._is_stable_read = True

    def _review_log(self) -> None:
        database = self._open(LOG_FILE)
        if database is None:
            return
        with closing(database):
            is_whole = self._review_structure(database)
            told = self._meter.stage(database.file_bytes)
            try:
                bucket = review_buckets(database, self.findings, LOG_FILE, wanted=LOGS)
                self._review_entries(LogStore(database, bucket), told)
            except DatabaseDamaged as error:
                self._add_damage(error, LOG_FILE, is_whole)

    def _review_entries(self, log: LogStore, told: Progress) -> None:
        review = LogReview(self._surroundings(), self.findings)
        count = log.count
        try:
            for seen, stored in enumerate(log.entries()):
                review.see(stored)
                told(seen + 1, count)
            review.finish()
        finally:
            self.summary = replace(
                self.summary,
                first_index=review.first_index,
                last_index=review.last_index,
                last_term=review.last_term,
                entry_count=count,
                configuration=review.configuration or self.summary.configuration,
                height=review.height,
                is_log_read=True,
            )

    def _surroundings(self) -> Surroundings:
        restorable = self._restorable
        return Surroundings(
            server_id=self.summary.server_id,
            place=LOG_FILE,
            current_term=self.summary.current_term,
            is_term_known=self._is_stable_read,
            snapshot=None if restorable is None else restorable.point,
            snapshot_configuration=None if restorable is None else restorable.configuration,
        )

    def _open(self, name: str) -> Database | None:
        return open_file(self._directory / name, self.findings, self._lock_timeout_s)

    def _review_structure(self, database: Database) -> bool:
        told = self._meter.stage(database.file_bytes)
        return review_structure(database, self.findings, database.path.name, told)

    def _add_damage(self, error: DatabaseDamaged, place: str, is_whole: bool) -> None:
        """What ends a reading was found by the check before, unless the check has a gap."""
        if is_whole:
            add_damage(error, self.findings, place)
