"""`op-conductor-init verify`: have a state directory checked, show what was found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from conductor.exit_codes import ExitCode
from raft_state.cli.output import output_option, print_json, progress
from raft_state.cli.reading import PLAIN_WIDTH, plain_text, readable, reading_options

if TYPE_CHECKING:
    from rich.console import Console

    from raft_state.verify import Finding, NodeSummary, Report, Vote

_EXAMPLES = """\b
Examples:
  A whole cluster before its first start, or one node of it:
  op-conductor-init verify --state-dir ./raft-state
  op-conductor-init verify --state-dir ./raft-state/sequencer-1
\b
  A node whose conductor runs:
  op-conductor-init verify --live --state-dir /data/raft/sequencer-1
\b
  The errors alone, for a script:
  op-conductor-init verify --state-dir ./raft-state -o json \\
      | jq '.findings[] | select(.severity == "error")'
\b
Exit codes: 0 no error was found (warnings may have been), 1 there are errors,
7 nothing could be checked because conductors have all of it in use.
"""

_STYLES = {"error": "red", "warning": "yellow", "info": ""}


@click.command(epilog=_EXAMPLES)
@reading_options
@output_option
def verify(state_dir: Path, lock_timeout: float, live: bool, output: str) -> int:
    """Check Raft state: the files' structure, what is in them, and whether nodes agree.

    Says for each finding what Raft makes of it and what to do. An error is what Raft or
    op-conductor does not start from, later dies of, loses data by, or could not have written; a
    warning starts and is hardly what you want; an info is worth knowing, also of a healthy node.

    Nothing is written. While it reads, a conductor cannot open the same files and waits.
    """
    # Imported here so that `--help` waits for nothing.
    from raft_state.verify import verify_state

    with readable(state_dir, live=live) as directory, progress("verifying") as told:
        report = verify_state(directory, lock_timeout_s=lock_timeout, progress=told)
        report = _of(report, directory, state_dir)
    if output == "json":
        print_json(_document(report))
    else:
        _print_text(report)
    if report.is_all_locked:
        return ExitCode.STORE_REFUSED
    return ExitCode.ERROR if report.has_errors else ExitCode.OK


def _of(report: Report, read: Path, state_dir: Path) -> Report:
    """The report on what was asked for, when it was a copy that was read."""
    nodes = [
        replace(node, directory=state_dir / node.directory.relative_to(read))
        for node in report.nodes
    ]
    return replace(report, state_dir=state_dir, nodes=tuple(nodes))


def _document(report: Report) -> dict[str, object]:
    """The report for programs."""
    from raft_state.verify import Severity

    return {
        "state_dir": report.state_dir,
        "errors": report.count(Severity.ERROR),
        "warnings": report.count(Severity.WARNING),
        "infos": report.count(Severity.INFO),
        "nodes": report.nodes,
        "findings": report.findings,
    }


def _print_text(report: Report) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    for node in report.nodes:
        console.print(plain_text(_node_line(node)))
        console.print(plain_text(f"  {_members_line(node)}"))
    for finding in report.findings:
        _print_finding(console, finding)
    console.print(plain_text(_verdict(report), "red" if report.has_errors else "green"))


def _print_finding(console: Console, finding: Finding) -> None:
    line = plain_text(f"{finding.severity.value:<8}", _STYLES[finding.severity.value])
    line.append_text(plain_text(f"{_place(finding)}: {finding.text}  [{finding.rule}]"))
    console.print(line)


def _place(finding: Finding) -> str:
    """Node and file; the cluster where there is no node."""
    return " ".join(part for part in (finding.server_id or "cluster", finding.place) if part)


def _node_line(node: NodeSummary) -> str:
    """What was read of a node, in a line."""
    term = "unknown" if node.current_term is None else str(node.current_term)
    parts = [f"current term {term}"]
    if node.vote is not None:
        parts.append(_vote_text(node.vote))
    if not node.is_log_read:
        parts.append("no log read")
    elif node.first_index is None:
        parts.append("empty log")
    else:
        parts.append(
            f"entries {node.first_index} to {node.last_index} with last term {node.last_term}"
        )
    if node.snapshot is not None:
        parts.append(f"snapshot to {node.snapshot.index}")
    if node.height is not None:
        parts.append(f"payloads up to height {node.height}")
    return f"{node.server_id}: {', '.join(parts)}"


def _vote_text(vote: Vote) -> str:
    term = "no term" if vote.term is None else f"term {vote.term}"
    return f"vote recorded for {vote.candidate or 'nobody'} in {term}"


def _members_line(node: NodeSummary) -> str:
    """The members that Raft would go by."""
    known = node.configuration
    if known is None:
        return "no members known"
    members = ", ".join(
        f"{server.server_id} at {server.address} ({server.suffrage_name})"
        for server in known.configuration.servers
    )
    return f"members by {known.place}, index {known.index}: {members or 'none'}"


def _verdict(report: Report) -> str:
    from raft_state.verify import Severity

    counts = [(report.count(severity), severity.value) for severity in Severity]
    found = ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for count, name in counts)
    nodes = f"{len(report.nodes)} node{'' if len(report.nodes) == 1 else 's'}"
    return f"{nodes} verified: {found if report.findings else 'nothing found'}"
