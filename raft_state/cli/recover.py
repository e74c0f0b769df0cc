"""`op-conductor-init recover`: show what a recovery would do, ask, save all, have it done."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

import conductor
from conductor.errors import Refused
from raft_state.cli.backup import directory_of
from raft_state.cli.options import GO_BOOLEAN, environment_option, items_of
from raft_state.cli.output import output_option, print_json, printable, printable_text, progress

if TYPE_CHECKING:
    from raft_state.recover import Outlook, RecoveryReport

_EXAMPLES = """\b
Examples:
  What would happen, with the directories of all survivors in one folder:
  op-conductor-init recover --dry-run --state-dir ./survivors \\
      --members sequencer-1=10.0.0.1:50050,sequencer-2=10.0.0.2:50050
\b
  One survivor, on its own machine; the other members start with empty directories:
  op-conductor-init recover --state-dir /data/raft/sequencer-1 \\
      --members sequencer-1=10.0.0.1:50050,sequencer-4=10.0.0.4:50050,archive=10.0.0.9:50050 \\
      --nonvoters archive
\b
  Without a question, from a node that is named, for a script:
  op-conductor-init recover --yes --from sequencer-2 -o json --state-dir ./survivors \\
      --members sequencer-2=10.0.0.2:50050 | jq -r .backup
"""


@click.command(epilog=_EXAMPLES)
@environment_option(
    "--state-dir",
    metavar="DIR",
    required=True,
    meaning="One survivor's directory, or better a folder with those of all survivors.",
)
@environment_option(
    "--members",
    metavar="ID=HOST:PORT,...",
    default="",
    meaning="Required: all members of the cluster from now on, with their Raft addresses.",
)
@environment_option(
    "--nonvoters",
    metavar="ID,...",
    default="",
    meaning="Those of --members that follow without a vote.",
)
@environment_option(
    "--from",
    "source",
    metavar="ID",
    default_text="the most advanced",
    meaning="The survivor whose state shall hold.",
)
@environment_option(
    "--backup-dir",
    metavar="DIR",
    default_text="beside the nodes' folders",
    meaning="Where to make the backup of what was there before.",
)
@environment_option(
    "--force",
    "--yes",
    "force",
    **GO_BOOLEAN,
    default_text="false",
    meaning="Do it without asking.",
)
@environment_option(
    "--dry-run",
    **GO_BOOLEAN,
    default_text="false",
    meaning="Check everything, say what would be done, change nothing.",
)
@output_option
def recover(
    state_dir: str,
    members: str,
    nonvoters: str,
    source: str | None,
    backup_dir: str | None,
    force: bool,
    dry_run: bool,
    output: str,
) -> None:
    """Bring back a cluster that lost its quorum, with new members. Stop all conductors first.

    Does offline what Raft calls RecoverCluster: everything in the log of the most advanced survivor
    counts from then on, committed or not; the newest payload goes into a snapshot with the new
    members, and the log begins anew behind it. All members whose directories are here get this same
    state; the others must start with empty directories, or with copies of it.

    All that is here is saved first, as by the command backup. Whatever fails leaves everything as
    it was.
    """
    # Imported here so that `--help` waits for nothing.
    from raft_state.backup import back_up
    from raft_state.recover import parse_members, plan_recovery
    from raft_state.recover import recover as carry_out

    root = directory_of("--state-dir", state_dir)
    configuration = parse_members(items_of(members), items_of(nonvoters))
    with progress("reading"):
        plan = plan_recovery(root, configuration, source_id=source)
    _show(plan.outlook, output, dry_run=dry_run)
    if dry_run:
        return
    if not force:
        _ask()
    now = datetime.now(UTC)
    backups = directory_of("--backup-dir", backup_dir) if backup_dir is not None else None

    def save() -> Path:
        with progress("saving") as advance:
            saved = back_up(
                root,
                backups or plan.beside,
                now=now,
                tool_version=conductor.__version__,
                allow_damaged=True,
                progress=advance,
            )
        return saved.backup

    _tell(carry_out(plan, save=save, now=now), output)


def _show(outlook: Outlook, output: str, *, dry_run: bool) -> None:
    """The outlook: the answer of a dry run; otherwise for whoever watches, so not on stdout."""
    for warning in outlook.warnings:
        click.echo(f"warning: {printable(warning)}", err=True)
    if output == "json":
        if dry_run:
            print_json(outlook)
        return
    click.echo(printable_text("\n".join(_lines(outlook))), err=not dry_run)
    if dry_run:
        click.echo(printable_text("\n".join(_step_lines(outlook))))
        click.echo("\nNothing was changed: a dry run.")


def _lines(outlook: Outlook) -> list[str]:
    source = outlook.source
    lines = [f"Recover from {source.server_id}: {source.position_text} ({source.directory})"]
    payload = source.payload
    if payload is not None:
        sure = "committed for sure" if payload.is_certain else "perhaps not committed yet"
        lines.append(f"  newest payload: height {payload.height} {payload.block_hash}, {sure}")
    else:
        lines.append("  no payload: the cluster begins anew, with a log of one entry")
    if outlook.commits is not None:
        first, last = outlook.commits.first, outlook.commits.last
        lines.append(
            f"  entries {first} to {last} were perhaps not committed; all of them count from now on"
        )
    lines.append(f"Members from then on, going on behind entry {outlook.last_index}:")
    here = {target.server_id: target for target in outlook.targets}
    for server in outlook.configuration.servers:
        target = here.get(server.server_id)
        what = "no directory here, must start empty"
        if target is not None and target.before is source:
            what = f"keeps its state ({target.directory})"
        elif target is not None:
            what = f"{target.before.position_text} is replaced ({target.directory})"
        lines.append(f"  {server.server_id} at {server.address}, {server.suffrage_name}: {what}")
    for server_id in outlook.bystanders:
        lines.append(f"  {server_id} is no member any more; its directory stays as it is")
    return lines


def _step_lines(outlook: Outlook) -> list[str]:
    steps = [f"  {number}. {step}" for number, step in enumerate(outlook.next_steps, 1)]
    return ["", "Next steps:", *steps]


def _ask() -> None:
    """Refused unless somebody says yes; a usage error when nobody is there to be asked."""
    if not _can_ask():
        raise click.UsageError(
            "the state would be replaced, and there is no terminal to ask at: nothing was changed; "
            "--yes does it without asking"
        )
    if not click.confirm("All conductors are stopped: recover?", default=False, err=True):
        raise Refused("declined: nothing was changed")


def _can_ask() -> bool:
    return sys.stdin.isatty()


def _tell(report: RecoveryReport, output: str) -> None:
    for remark in report.remarks:
        click.echo(f"warning: {printable(remark)}", err=True)
    if output == "json":
        print_json(report)
        return
    outlook = report.outlook
    lines = [f"Recovered from {outlook.source.server_id}:"]
    what = "a snapshot and an empty log" if outlook.is_snapshot else "a log of one entry"
    for target in outlook.targets:
        lines.append(f"  {target.directory}: {what}, going on behind entry {outlook.last_index}")
    lines += [f"Backup of before: {report.backup}", *_step_lines(outlook)]
    click.echo(printable_text("\n".join(lines)))
