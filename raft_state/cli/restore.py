"""`op-conductor-init restore`: show what a backup would replace, ask, have it put back."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from conductor.errors import Refused
from raft_state.cli.backup import directory_of
from raft_state.cli.node_text import facts_text, size_text
from raft_state.cli.options import GO_BOOLEAN, environment_option, variable_of
from raft_state.cli.output import output_option, print_json, printable, progress

if TYPE_CHECKING:
    from raft_state.backup import RestorePlan, RestoreReport

FORCE_VARIABLES = (variable_of("--force"), variable_of("--restore-force"))
"""The second is what the original tool reads."""

_EXAMPLES = """\b
Examples:
  The whole cluster, all its conductors stopped:
  op-conductor-init restore --backup-dir ./backups/raft-backup-20250707-120000 \\
      --state-dir ./raft-state
\b
  What would happen:
  op-conductor-init restore --dry-run --backup-dir ./backups/raft-backup-20250707-120000 \\
      --state-dir ./raft-state
\b
  One node of a cluster's backup, without a question:
  op-conductor-init restore --force --server-id sequencer-2 \\
      --backup-dir ./backups/raft-backup-20250707-120000 --state-dir ./raft-state
"""


@click.command(epilog=_EXAMPLES)
@environment_option(
    "--backup-dir",
    metavar="DIR",
    required=True,
    meaning="The backup: a folder raft-backup-..., of this tool or of the original one in Go.",
)
@environment_option(
    "--state-dir",
    metavar="DIR",
    required=True,
    meaning="Where it goes: what --state-dir of the backup was, a node's directory or a cluster's.",
)
@environment_option(
    "--server-id",
    metavar="ID",
    meaning="Restore this node alone.",
)
@click.option(
    "--force",
    **GO_BOOLEAN,
    envvar=FORCE_VARIABLES,
    help=f"Replace what is there without asking. [{' or '.join(FORCE_VARIABLES)}; default: false]",
)
@environment_option(
    "--dry-run",
    **GO_BOOLEAN,
    default_text="false",
    meaning="Check everything, say what would be replaced, change nothing.",
)
@environment_option(
    "--keep-replaced",
    **GO_BOOLEAN,
    default_text="false",
    meaning="Leave the old directories beside the new ones, as ID.replaced-TIME.",
)
@environment_option(
    "--allow-other-server",
    **GO_BOOLEAN,
    default_text="false",
    meaning="Put a node's state into the directory of another server id.",
)
@environment_option(
    "--allow-damaged",
    **GO_BOOLEAN,
    default_text="false",
    meaning="Put back what Raft cannot run on, too. Bytes that differ from the manifest never.",
)
@output_option
def restore(
    backup_dir: str,
    state_dir: str,
    server_id: str | None,
    force: bool,
    dry_run: bool,
    keep_replaced: bool,
    allow_other_server: bool,
    allow_damaged: bool,
    output: str,
) -> None:
    """Put a backup back in the place of what is there. Stop the conductors first.

    The backup is checked to the last byte, then whole directories are replaced: no entry, vote or
    snapshot of before stays beside the new ones. What was there is removed only when everything
    new is in place; a failure before that leaves everything as it was.

    A node that goes back forgets what it acknowledged and voted since. Restore all nodes of a
    cluster together; to mend one node beside others that went on, empty its directory instead and
    let it rejoin.
    """
    # Imported here so that `--help` waits for nothing.
    from raft_state.backup import plan_restore
    from raft_state.backup import restore as carry_out

    with progress("checking") as advance:
        plan = plan_restore(
            directory_of("--backup-dir", backup_dir),
            directory_of("--state-dir", state_dir),
            server_id=server_id,
            allow_other_server=allow_other_server,
            allow_damaged=allow_damaged,
            progress=advance,
        )
    _show(plan, output, dry_run=dry_run)
    if dry_run:
        return
    if plan.replaces and not force:
        _ask()
    with progress("restoring") as advance:
        report = carry_out(
            plan, now=datetime.now(UTC), keep_replaced=keep_replaced, progress=advance
        )
    _tell(plan, report, output)


def _show(plan: RestorePlan, output: str, *, dry_run: bool) -> None:
    """The plan: the answer of a dry run; otherwise for whoever watches, so not on stdout."""
    for warning in plan.warnings:
        click.echo(f"warning: {printable(warning)}", err=True)
    if output == "json":
        if dry_run:
            print_json(plan)
        return
    made = f" of {printable(plan.backup.created_at)}" if plan.backup.created_at else ""
    to_stderr = not dry_run
    click.echo(f"Backup {printable(str(plan.backup.path))}{made}", err=to_stderr)
    for each in plan.replacements:
        click.echo(f"  {printable(str(each.target))}", err=to_stderr)
        if each.before is not None:
            click.echo(f"    replaced: {facts_text(each.before)}", err=to_stderr)
        size = size_text(each.size_bytes)
        click.echo(f"    restored: {facts_text(each.after)}; {size}", err=to_stderr)
    if dry_run:
        click.echo("\nNothing was changed: a dry run.")


def _ask() -> None:
    """Refused unless somebody says yes; a usage error when nobody is there to be asked."""
    if not _can_ask():
        raise click.UsageError(
            "there is state to be replaced, and no terminal to ask at: nothing was changed; "
            "--force replaces it without asking"
        )
    if not click.confirm("Replace it?", default=False, err=True):
        raise Refused("declined: nothing was changed")


def _can_ask() -> bool:
    return sys.stdin.isatty()


def _tell(plan: RestorePlan, report: RestoreReport, output: str) -> None:
    for warning in report.warnings[len(plan.warnings) :]:
        click.echo(f"warning: {printable(warning)}", err=True)
    if output == "json":
        print_json(report)
        return
    number = len(report.replacements)
    click.echo(f"Restored {'1 node' if number == 1 else f'{number} nodes'}:")
    for each in report.replacements:
        click.echo(f"  {printable(str(each.target))}: {facts_text(each.after)}")
    for path in report.kept:
        click.echo(f"Kept what was there: {printable(str(path))}")
