"""Verifies a state directory: each node by itself, then all of them together.

Invariant: the second pass opens a log only if the first could; whatever is wrong with one node has
been said by then, and is not said again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from conductor.errors import NotFound, StoreError
from raft_state.bolt import Bucket, Database, DatabaseDamaged, open_database
from raft_state.node import LOG_FILE, STABLE_FILE, NodeLog, node_directories, server_id_of
from raft_state.raft import LOGS, index_of_key
from raft_state.verify.cluster import enforced_followers, review_logs, review_summaries
from raft_state.verify.finding import Finding, Findings, NodeSummary, Report
from raft_state.verify.meter import Meter, Progress
from raft_state.verify.node import review_node
from raft_state.verify.rules import Rule, Severity

_PASSES = {LOG_FILE: 2, STABLE_FILE: 1}
"""How often each file is gone through for one node: structure, and what it means."""

_OF_FOLLOWERS = (Rule.CONFIGURATION_SELF_NONVOTER.code, Rule.CONFIGURATION_VOTERS_ONE.code)
"""Not true of the followers of an enforced layout for longer than until the leader starts."""


def verify_state(
    state_dir: Path, *, lock_timeout_s: float = 0.0, progress: Progress | None = None
) -> Report:
    """Verify one node's directory or a folder of them.

    `progress` is told of bytes. Raises NotFound when there is no node's directory; anything else
    that is wrong is in the report.
    """
    directories = node_directories(state_dir)
    meter = Meter(_work_bytes(directories), progress)
    reviewed = [
        review_node(directory, server_id_of(directory), meter, lock_timeout_s=lock_timeout_s)
        for directory in directories
    ]
    nodes = tuple(node.summary for node in reviewed)
    findings = [finding for node in reviewed for finding in node.findings]
    if len(nodes) > 1:
        followers = enforced_followers(nodes)
        findings = [
            finding
            for finding in findings
            if finding.server_id not in followers or finding.rule not in _OF_FOLLOWERS
        ]
        findings += _review_together(nodes, meter, lock_timeout_s)
    meter.finish()
    order = list(Severity)
    findings.sort(key=lambda finding: order.index(finding.severity))
    return Report(state_dir, nodes, tuple(findings))


def _review_together(
    nodes: Sequence[NodeSummary], meter: Meter, lock_timeout_s: float
) -> tuple[Finding, ...]:
    findings = Findings()
    review_summaries(nodes, findings)
    with ExitStack() as opened:
        logs = []
        for node, label in zip(nodes, _labels(nodes), strict=True):
            if not node.is_log_read:
                continue
            # Gone or locked since the first pass: then there is nothing to compare.
            with suppress(NotFound, StoreError):
                path = node.directory / LOG_FILE
                database = opened.enter_context(open_database(path, lock_timeout_s=lock_timeout_s))
                told = meter.stage(database.file_bytes)
                logs.append(NodeLog(label, _items(database, told, node.entry_count)))
        review_logs(logs, findings)
    return findings.result()


def _labels(nodes: Sequence[NodeSummary]) -> list[str]:
    """What to call each node: its id, with the folder where two have the same."""
    counts = Counter(node.server_id for node in nodes)
    return [
        node.server_id if counts[node.server_id] == 1 else f"{node.server_id} in {node.directory}"
        for node in nodes
    ]


def _items(database: Database, told: Progress, count: int) -> Iterator[tuple[int, memoryview]]:
    """The entries of a log as far as they can be read: damage was found in the first pass."""
    with suppress(DatabaseDamaged):
        bucket: Bucket | None = database.bucket(LOGS)
        if bucket is None:
            return
        for seen, (key, value) in enumerate(bucket.items()):
            index = index_of_key(key)
            if index is not None:
                yield index, value
            told(seen + 1, count)


def _work_bytes(directories: Sequence[Path]) -> int:
    """How much there is to go through, in bytes."""
    total = 0
    for directory in directories:
        for name, passes in _PASSES.items():
            path = directory / name
            if path.is_file():
                compared = name == LOG_FILE and len(directories) > 1
                total += (passes + compared) * path.stat().st_size
    return total
