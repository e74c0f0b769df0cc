"""`op-conductor-init diff`: have two state directories compared, show in what they differ."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from conductor.errors import NotFound
from conductor.exit_codes import ExitCode
from raft_state.cli.options import environment_option
from raft_state.cli.output import output_option, print_json, printable_text
from raft_state.cli.reading import lock_timeout_option, readable

if TYPE_CHECKING:
    from raft_state.diff import NodeDifference, StateDifference, ValueDifference

_EXAMPLES = """\b
Examples:
  Two nodes of one cluster:
  op-conductor-init diff ./raft-state/sequencer-1 ./raft-state/sequencer-2
\b
  What has changed since a backup; the conductors run:
  op-conductor-init diff --live ./backups/raft-backup-20250707-120000 /data/raft
\b
  In a script:
  op-conductor-init diff -o json A B > difference.json || echo "they differ, or an error"
\b
Exit codes, as of diff: 0 they are equal, 1 they differ, 2 usage, or there is no such
state; 7 one is damaged or in use.
"""


@click.command(epilog=_EXAMPLES)
@click.argument("a", type=click.Path(path_type=Path), metavar="A")
@click.argument("b", type=click.Path(path_type=Path), metavar="B")
@lock_timeout_option
@environment_option(
    "--live",
    # No value of its own, which could be one of the two paths.
    is_flag=True,
    default=False,
    default_text="false",
    meaning="Compare copies instead of the files themselves, so that conductors may run.",
)
@output_option
def diff(a: Path, b: Path, lock_timeout: float, live: bool, output: str) -> int:
    """Compare two nodes' directories, two folders of them, or backups: A with B.

    Logs are compared entry by entry, then terms and votes, members, snapshots. How a value is
    encoded, and the time in a snapshot's name, is no difference. Nodes of a cluster are compared
    with those of the same id.
    """
    # Imported here so that `--help` waits for nothing.
    from raft_state.diff import compare_states

    try:
        with readable(a, live=live) as one, readable(b, live=live) as other:
            found = compare_states(one, other, lock_timeout_s=lock_timeout)
    except NotFound as error:
        # Its own code is that of a difference.
        raise click.UsageError(str(error)) from error
    if output == "json":
        print_json(_document(found, a, b))
    else:
        click.echo(printable_text("\n".join(_lines(found, a, b))))
    return ExitCode.OK if found.is_equal else ExitCode.ERROR


def _document(found: StateDifference, a: Path, b: Path) -> dict[str, object]:
    return {
        "equal": found.is_equal,
        "a": a,
        "b": b,
        "only_a": found.only_a,
        "only_b": found.only_b,
        "nodes": [
            {
                "a": node.a.name,
                "b": node.b.name,
                "equal": node.is_equal,
                "entries": node.entries,
                "more_entries": node.more_entries,
                "equal_entries": node.equal_entries,
                "stable": node.stable,
                "configuration": node.configuration,
                "snapshots": node.snapshots,
                "remarks": node.remarks,
            }
            for node in found.nodes
        ],
    }


def _lines(found: StateDifference, a: Path, b: Path) -> Iterator[str]:
    yield f"A: {a}"
    yield f"B: {b}"
    yield from (f"{name}: only in A" for name in found.only_a)
    yield from (f"{name}: only in B" for name in found.only_b)
    for node in found.nodes:
        yield from _node_lines(node)
    yield "equal" if found.is_equal else "they differ"


def _node_lines(node: NodeDifference) -> Iterator[str]:
    name = node.a.name if node.a.name == node.b.name else f"{node.a.name} and {node.b.name}"
    same = f"{node.equal_entries} entries are equal"
    yield f"{name}: {'equal' if node.is_equal else 'they differ'}, {same}"
    for each in node.entries:
        span = f"entry {each.first}" if each.first == each.last else f"entries {each.first} to "
        span += "" if each.first == each.last else f"{each.last}"
        many = "" if each.first == each.last else "the first "
        differs = each.kind if each.kind.startswith("only") else f"differ in {each.kind}"
        yield f"  {span}: {differs} ({many}{each.detail})"
    if node.more_entries:
        yield f"  and {node.more_entries} more entries behind them"
    for values in (node.stable, node.configuration, node.snapshots):
        yield from map(_value_line, values)
    yield from (f"  remark: {remark}" for remark in node.remarks)


def _value_line(each: ValueDifference) -> str:
    return f"  {each.what}: A has {each.a}; B has {each.b}"
