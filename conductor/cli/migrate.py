"""`op-conductor migrate`: from a Raft state of Go op-conductors to a store, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from conductor.cli.migrate_options import FROM_RAFT_OPTIONS, TO_RAFT_OPTIONS
from conductor.exit_codes import ExitCode

_EXAMPLES = """\b
Examples:
  From Raft, on each server, its op-conductor stopped:
    op-conductor migrate from-raft --state-dir /raft/sequencer-1 --data-dir /var/lib/op-conductor
  Back to Raft, all conductors stopped, their data directories on one machine:
    op-conductor migrate to-raft --data-dir a --data-dir b --data-dir c --output-dir /raft \\
      --nodes sequencer-1=seq-1:50050,sequencer-2=seq-2:50050,sequencer-3=seq-3:50050
"""


@click.group(epilog=_EXAMPLES)
def migrate() -> None:
    """Move a cluster between Go op-conductors and this one, in either direction.

    Both sides stand still meanwhile. What is read is never changed.
    """


@migrate.command("from-raft", params=list(FROM_RAFT_OPTIONS))
def from_raft(
    state_dir: Path, data_dir: Path, server_id: str | None, dry_run: bool, output: str
) -> int:
    """Make the store of a server from its Raft state, as `run --raft-state-dir` does at its start.

    Members, the epoch to begin after, who leads first and the newest payload are taken over. The
    server is then started with this --data-dir, and needs neither --peers nor the Raft state.
    """
    # Imported here so that `--help` does not wait for SQLite and the Raft formats.
    from conductor.cli import migrate_showing
    from conductor.cli.node_config import named_by_folder
    from conductor.config import Config
    from conductor.migration import make_store

    config = Config(server_id=server_id or named_by_folder(state_dir, "--state-dir"))
    report = make_store(config, state_dir, data_dir, dry_run=dry_run)
    migrate_showing.show_from_raft(report, as_json=output == "json")
    return ExitCode.OK


@migrate.command("to-raft", params=list(TO_RAFT_OPTIONS))
def to_raft(
    data_dir: tuple[Path, ...],
    output_dir: Path,
    nodes: tuple[Mapping[str, str], ...],
    without_quorum: bool,
    dry_run: bool,
    output: str,
) -> int:
    """Make Raft states for all members from the stores of a stopped cluster.

    Every node gets the same log: the members, and the newest payload. The term is the highest epoch
    that any of the stores knows of.
    """
    from conductor.cli import migrate_showing
    from conductor.migration import write_raft_states

    report = write_raft_states(
        data_dir,
        output_dir,
        addresses={name: address for part in nodes for name, address in part.items()},
        without_quorum=without_quorum,
        dry_run=dry_run,
    )
    migrate_showing.show_to_raft(report, as_json=output == "json")
    return ExitCode.OK
