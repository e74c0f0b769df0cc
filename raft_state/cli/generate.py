"""`op-conductor-init generate`: have the state of a new cluster written, say what is next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from raft_state.cli.options import GO_BOOLEAN, environment_option, items_of
from raft_state.cli.output import output_option, print_json, printable, printable_text

if TYPE_CHECKING:
    from raft_state.generate import GenerateReport

DEFAULT_OUTPUT_DIR = "./raft-state"

_EXAMPLES = """\b
Examples:
  op-conductor-init generate \\
      --nodes seq-1.example.org:50050,seq-2.example.org:50050,seq-3.example.org:50050 \\
      --server-ids sequencer-1,sequencer-2,sequencer-3 --initial-leader sequencer-1
\b
  A fourth node that follows without a vote, and sequencer-1 leads first for certain:
  op-conductor-init generate --leader-mode enforced --nonvoters archive \\
      --nodes 10.0.0.1:50050,10.0.0.2:50050,10.0.0.3:50050,[fd00::4]:50050 \\
      --server-ids sequencer-1,sequencer-2,sequencer-3,archive --initial-leader sequencer-1
\b
  What would be written, for a program:
  op-conductor-init generate --dry-run -o json ...
"""


@click.command(epilog=_EXAMPLES)
@environment_option(
    "--nodes",
    metavar="HOST:PORT,...",
    default="",
    meaning="Required: the Raft address of every node, as the other nodes reach it.",
)
@environment_option(
    "--server-ids",
    metavar="ID,...",
    default="",
    meaning="Required: the id of every node, in the same order; each is a folder's name.",
)
@environment_option(
    "--initial-leader",
    metavar="ID",
    default="",
    meaning="Required: the node that shall lead first. See --leader-mode.",
)
@environment_option(
    "--output-dir",
    metavar="DIR",
    default=DEFAULT_OUTPUT_DIR,
    default_text=DEFAULT_OUTPUT_DIR,
    meaning="Where to make <server id>/raft-log.db and <server id>/raft-stable.db.",
)
@environment_option(
    "--initial-term",
    type=int,
    metavar="N",
    default=1,
    default_text="1",
    meaning="The term in which the cluster begins. The first election is for the next one.",
)
@environment_option(
    "--network",
    metavar="NAME",
    default="",
    meaning="A label, repeated in the output and nowhere else.",
)
@environment_option(
    "--nonvoters",
    metavar="ID,...",
    default="",
    meaning="Those of --server-ids that follow without a vote.",
)
@environment_option(
    "--leader-mode",
    type=click.Choice(("vote", "enforced"), case_sensitive=False),
    default="vote",
    default_text="vote",
    meaning="vote: the original layout, a vote for the leader is on record, which Raft does not "
    "heed. enforced: the leader wins the first election every time.",
)
@environment_option(
    "--force",
    **GO_BOOLEAN,
    default_text="false",
    meaning="Replace what is there under the nodes' names: entries, votes and snapshots are gone.",
)
@environment_option(
    "--dry-run",
    **GO_BOOLEAN,
    default_text="false",
    meaning="Check everything, write nothing.",
)
@output_option
def generate(
    nodes: str,
    server_ids: str,
    initial_leader: str,
    output_dir: str,
    initial_term: int,
    network: str,
    nonvoters: str,
    leader_mode: str,
    force: bool,
    dry_run: bool,
    output: str,
) -> None:
    """Write the Raft state of a new cluster, so that all its conductors start as equals.

    No conductor has to bootstrap, and no member has to be added by hand. Everything is checked
    before anything is written, and the nodes' directories appear all together or not at all.
    """
    # Imported here so that `--help` waits for nothing.
    from raft_state.generate import ClusterRequest, LeaderMode, generate_cluster

    if not output_dir:
        raise click.UsageError("--output-dir is empty: name a directory")
    request = ClusterRequest(
        addresses=items_of(nodes),
        server_ids=items_of(server_ids),
        initial_leader=initial_leader.strip(),
        initial_term=initial_term,
        nonvoters=items_of(nonvoters),
        leader_mode=LeaderMode(leader_mode),
        network=network.strip(),
    )
    report = generate_cluster(request, Path(output_dir), force=force, dry_run=dry_run)
    if output == "json":
        print_json(report)
    else:
        _print_text(report)


def _print_text(report: GenerateReport) -> None:
    for warning in report.warnings:
        click.echo(f"warning: {printable(warning)}", err=True)
    click.echo(printable_text(_text(report)))


def _text(report: GenerateReport) -> str:
    done = "Wrote" if report.written else "Nothing was written. A real run would write"
    lines = [f"{done} the Raft state of {len(report.members)} nodes, term {report.initial_term}:"]
    for member in report.members:
        leader = ", initial leader" if member.server_id == report.initial_leader else ""
        lines.append(f"  {member.directory}  {member.address}  {member.suffrage}{leader}")
    if report.network:
        lines.append(f"Network: {report.network} (a label: no file holds it)")
    if report.replaced:
        replaced = "Replaced" if report.written else "It would replace"
        lines.append(f"{replaced} the earlier state of {', '.join(report.replaced)}.")
    lines += ["", f"Leader mode {report.leader_mode.value}: {report.effect}", "", "Next steps:"]
    lines += [f"  {number}. {step}" for number, step in enumerate(report.next_steps, 1)]
    return "\n".join(lines)
