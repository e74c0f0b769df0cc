"""`op-conductor-init info`: have a state directory described, show it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from conductor.exit_codes import ExitCode
from raft_state.cli.options import environment_option
from raft_state.cli.output import as_json, output_option, print_json
from raft_state.cli.reading import readable, reading_options

if TYPE_CHECKING:
    from raft_state.info import NodeView, StateView

LIMIT_DEFAULT = 20

TYPES = ("command", "noop", "addpeer", "removepeer", "barrier", "configuration")
"""The types of entries by their numbers, as they are asked for."""

_EXAMPLES = """\b
Examples:
  op-conductor-init info --state-dir ./raft-state/sequencer-1
\b
  Every change of the members, and the last hundred entries:
  op-conductor-init info --state-dir ./raft-state/sequencer-1 --type configuration
  op-conductor-init info --state-dir ./raft-state/sequencer-1 --from 9901 --limit 0
\b
  One entry in full, its payload decoded:
  op-conductor-init info --state-dir ./raft-state/sequencer-1 --index 9984
\b
  All nodes of a cluster, briefly; a node whose conductor runs:
  op-conductor-init info --state-dir ./raft-state
  op-conductor-init info --live --state-dir /data/raft/sequencer-1
\b
  The height of the newest payload in the log, for a script:
  op-conductor-init info --state-dir ./raft-state/sequencer-1 --type command --limit 2 \\
      -o json | jq '.nodes[0].log.entries.rows[-1].payload.height'
\b
Exit codes: 0 ok, 1 there is no node's directory, 7 a database is missing, damaged
or in use: then what could be read is shown all the same.
"""


class EntryTypes(click.ParamType[frozenset[int]]):
    """A comma list of types of entries, as their numbers."""

    name = "types"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> frozenset[int]:
        """Read the list; anything that is no type is a usage error."""
        if isinstance(value, frozenset):
            return value
        names = [name.strip().lower() for name in str(value).split(",")]
        unknown = [name for name in names if name not in TYPES]
        if unknown:
            self.fail(f"{unknown[0]!r} is no type; there are {', '.join(TYPES)}", param, ctx)
        return frozenset(map(TYPES.index, names))


_INDEX = click.IntRange(min=0, max=2**64 - 1)


@click.command(epilog=_EXAMPLES)
@reading_options
@environment_option("--index", type=_INDEX, metavar="N", meaning="Show this entry alone.")
@environment_option(
    # Another variable than that of `recover --from`, which is an id.
    "--from-index",
    "--from",
    "first",
    type=_INDEX,
    metavar="N",
    meaning="Show entries from this index on.",
)
@environment_option(
    "--to", "last", type=_INDEX, metavar="N", meaning="Show entries up to this index."
)
@environment_option(
    "--type",
    "types",
    type=EntryTypes(),
    metavar="TYPE,...",
    default=frozenset(),
    meaning=f"Show entries of these types: {', '.join(TYPES)}.",
)
@environment_option(
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    default=LIMIT_DEFAULT,
    default_text=str(LIMIT_DEFAULT),
    meaning="Show at most so many entries, half of them the last ones; 0: all.",
)
@output_option
def info(
    state_dir: Path,
    lock_timeout: float,
    live: bool,
    index: int | None,
    first: int | None,
    last: int | None,
    types: frozenset[int],
    limit: int,
    output: str,
) -> int:
    """Show what is in a node's Raft state: term, vote, log, members, snapshots, payloads.

    The vote is what the node has on record. Which node leads is stored nowhere, and neither is how
    much of the log is committed.

    Nothing is written, and nothing is judged: for that there is `verify`.
    """
    # Imported here so that `--help` waits for nothing.
    from raft_state.info import EntryQuery, describe

    if index is not None:
        if first is not None or last is not None:
            raise click.UsageError("--index asks for one entry: leave out --from and --to")
        first = last = index
    query = EntryQuery(first=first, last=last, types=types, limit=limit)
    with readable(state_dir, live=live) as directory:
        view = describe(directory, query, lock_timeout_s=lock_timeout)
        view = _of(view, directory, state_dir)
    if output == "json":
        print_json(_document(view))
    else:
        from raft_state.cli.info_text import print_view

        print_view(view)
    is_incomplete = any(node.is_incomplete for node in view.nodes)
    return ExitCode.STORE_REFUSED if is_incomplete else ExitCode.OK


def _of(view: StateView, read: Path, state_dir: Path) -> StateView:
    """The view of what was asked for, when it was a copy that was read."""
    nodes = [
        replace(node, directory=state_dir / node.directory.relative_to(read)) for node in view.nodes
    ]
    return replace(view, state_dir=state_dir, nodes=tuple(nodes))


def _document(view: StateView) -> dict[str, object]:
    """The view for programs, with what is left out in numbers."""
    document: dict[str, object] = as_json(view)
    document["nodes"] = [_node_document(node) for node in view.nodes]
    return document


def _node_document(node: NodeView) -> dict[str, object]:
    document: dict[str, object] = as_json(node)
    if node.log is not None and node.log.entries is not None:
        log: dict[str, object] = as_json(node.log)
        log["entries"] = {**as_json(node.log.entries), "left_out": node.log.entries.left_out}
        document["log"] = log
    return document
