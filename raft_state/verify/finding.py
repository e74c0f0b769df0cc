"""What a verification says: findings, the nodes that it saw, and the report of both.

Invariant: a finding never holds more than text. Its sentences are whole (what was found, what Raft
makes of it, what to do), so that whoever reads one needs no other page; its rule is a stable name
for programs.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from raft_state.raft import Configuration
from raft_state.verify.rules import Rule, Severity

FINDINGS_PER_RULE_MAX = 5
"""Findings of one rule in one file; what follows is counted in one more."""
DETAIL_MAX = 1000
"""Characters of what was seen: names in a damaged file can have any length."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that an operator should know."""

    rule: str
    """Stable name, like `log-gap`."""
    severity: Severity
    server_id: str
    """Of the node; empty when it concerns the cluster."""
    place: str
    """File or folder inside the node's directory; empty when it is no single one."""
    text: str
    page: int | None = None
    """Page of the database file, for damage to its structure."""
    index: int | None = None
    """Index of the log entry."""


@dataclass(frozen=True, slots=True)
class SnapshotPoint:
    """A snapshot that Raft would restore: the last entry that is in it."""

    index: int
    term: int
    checksum: bytes
    """CRC-64 of its state, 8 bytes as in meta.json."""
    height: int | None = None
    """Of the payload in its state."""


@dataclass(frozen=True, slots=True)
class KnownConfiguration:
    """A configuration, and where it was found."""

    index: int
    term: int
    place: str
    configuration: Configuration


@dataclass(frozen=True, slots=True)
class Vote:
    """The last vote that a node gave. It says nothing of who leads."""

    term: int | None
    candidate: str | None
    """The address, or in what op-conductor-init wrote the id, as printable text."""


@dataclass(frozen=True, slots=True)
class NodeSummary:
    """What a node's directory holds, as far as it can be read."""

    server_id: str
    directory: Path
    current_term: int | None = None
    vote: Vote | None = None
    first_index: int | None = None
    last_index: int | None = None
    last_term: int | None = None
    """Of the last entry of the log."""
    entry_count: int = 0
    snapshot: SnapshotPoint | None = None
    configuration: KnownConfiguration | None = None
    """The one that Raft would go by."""
    height: int | None = None
    """Of the highest payload in log and snapshot."""
    is_log_read: bool = False
    """Whether the log could be opened at all."""

    @property
    def position(self) -> tuple[int, int]:
        """Term and index of the newest entry, in log or snapshot: Raft's order of who is ahead."""
        newest = (self.last_term or 0, self.last_index or 0)
        if self.snapshot is not None and self.snapshot.index > newest[1]:
            return self.snapshot.term, self.snapshot.index
        return newest


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of verifying one node's directory, or a folder of them."""

    state_dir: Path
    nodes: tuple[NodeSummary, ...]
    findings: tuple[Finding, ...]
    """Worst first; those of one severity by node."""

    def count(self, severity: Severity) -> int:
        """How many findings have this severity."""
        return sum(1 for finding in self.findings if finding.severity is severity)

    @property
    def has_errors(self) -> bool:
        """Whether anything must be mended before a conductor should run on this."""
        return self.count(Severity.ERROR) > 0

    @property
    def is_all_locked(self) -> bool:
        """Whether nothing could be checked, only because every database is in use."""
        errors = [finding for finding in self.findings if finding.severity is Severity.ERROR]
        return (
            bool(errors)
            and all(finding.rule == Rule.FILE_LOCKED.code for finding in errors)
            and not any(node.is_log_read or node.current_term is not None for node in self.nodes)
        )


class Findings:
    """Collects what is found at one node or across them: few of each rule, the rest as a number."""

    def __init__(self, server_id: str = "") -> None:
        self._server_id = server_id
        self._found: list[Finding] = []
        self._counts: Counter[tuple[str, Rule]] = Counter()

    def add(
        self,
        rule: Rule,
        detail: str,
        *,
        place: str = "",
        page: int | None = None,
        index: int | None = None,
    ) -> None:
        """Take in a finding. `detail` is what was seen; the rule adds what it means."""
        self._counts[place, rule] += 1
        if self._counts[place, rule] > FINDINGS_PER_RULE_MAX:
            return
        if len(detail) > DETAIL_MAX:
            detail = f"{detail[:DETAIL_MAX]}..."
        text = f"{detail}: {rule.meaning}"
        found = Finding(rule.code, rule.severity, self._server_id, place, text, page, index)
        self._found.append(found)

    def result(self) -> tuple[Finding, ...]:
        """All of them, in the order in which they came, and how many more there are."""
        more = [
            Finding(
                rule.code,
                rule.severity,
                self._server_id,
                place,
                f"{count - FINDINGS_PER_RULE_MAX:,} more findings of {rule.code} are not listed",
            )
            for (place, rule), count in self._counts.items()
            if count > FINDINGS_PER_RULE_MAX
        ]
        return (*self._found, *more)
