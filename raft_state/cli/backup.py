"""`op-conductor-init backup`: have a state directory saved, say what is in the backup."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

import conductor
from raft_state.cli.node_text import facts_text, size_text
from raft_state.cli.options import GO_BOOLEAN, environment_option
from raft_state.cli.output import output_option, print_json, printable, progress

if TYPE_CHECKING:
    from raft_state.backup import BackupReport

_EXAMPLES = """\b
Examples:
  The whole cluster's directory, into ./backups/raft-backup-20250707-120000:
  op-conductor-init backup --state-dir ./raft-state --backup-dir ./backups
\b
  One node, whether its conductor runs or not:
  op-conductor-init backup --state-dir /data/raft/sequencer-1 --backup-dir /backups
\b
  The name of the new backup, for a script:
  op-conductor-init backup --state-dir ./raft-state --backup-dir ./backups -o json \\
      | jq -r .backup
"""


@click.command(epilog=_EXAMPLES)
@environment_option(
    "--state-dir",
    metavar="DIR",
    required=True,
    meaning="What to save: one node's directory, or the folder with those of a cluster.",
)
@environment_option(
    "--backup-dir",
    metavar="DIR",
    required=True,
    meaning="Where to make the backup, a new folder in here; made if it is missing.",
)
@environment_option(
    "--allow-damaged",
    **GO_BOOLEAN,
    default_text="false",
    meaning="Save what Raft could not run on as well, byte by byte, and say so in the manifest.",
)
@output_option
def backup(state_dir: str, backup_dir: str, allow_damaged: bool, output: str) -> None:
    """Save Raft state: databases and snapshots, with a manifest of sizes and SHA-256.

    Makes raft-backup-YYYYMMDD-HHMMSS, a time in UTC; -2 and so on follow it when that name is
    taken. The files are checked before they are copied and read back afterwards, and the backup has
    its name only when all of it is on the disk.

    Conductors may run meanwhile: their nodes are saved as a power failure of all of them would have
    left them. Stopped ones cannot start until the backup is done.

    Save all nodes of a cluster in one run where you can. Backups of single nodes that ran on in
    between do not fit together: restore one of them and empty the directories of the others.
    """
    # Imported here so that `--help` waits for nothing.
    from raft_state.backup import back_up

    with progress("saving") as advance:
        report = back_up(
            directory_of("--state-dir", state_dir),
            directory_of("--backup-dir", backup_dir),
            now=datetime.now(UTC),
            tool_version=conductor.__version__,
            allow_damaged=allow_damaged,
            progress=advance,
        )
    for warning in report.warnings:
        click.echo(f"warning: {printable(warning)}", err=True)
    if output == "json":
        print_json(report)
    else:
        _print_text(report)


def directory_of(flag: str, text: str) -> Path:
    """The directory that an option names. An empty text would be the current one: usage error."""
    if not text.strip():
        raise click.UsageError(f"{flag} is empty: name a directory")
    return Path(text)


def _print_text(report: BackupReport) -> None:
    number = len(report.nodes)
    what = "1 node" if number == 1 else f"{number} nodes"
    click.echo(f"Saved {what} of {printable(str(report.source))}, {size_text(report.size_bytes)}:")
    for node in report.nodes:
        how = "" if node.source == "stopped" else ", while its conductor was running"
        files = "1 file" if len(node.files) == 1 else f"{len(node.files)} files"
        click.echo(f"  {printable(node.server_id)}: {facts_text(node.facts)}; {files}{how}")
        for problem in node.problems:
            click.echo(f"    damaged: {printable(problem)}")
        for left_out in node.left_out:
            click.echo(f"    left out: {printable(left_out)}")
    click.echo(f"\nBackup: {printable(str(report.backup))}")
