"""`op-conductor-init export-payload`: write one payload to a file or to stdout, say what it is."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

from raft_state.cli.options import GO_BOOLEAN, environment_option
from raft_state.cli.output import output_option, print_json, printable
from raft_state.cli.payload_file import require_writable, write_payload
from raft_state.cli.reading import readable, reading_options

if TYPE_CHECKING:
    from raft_state.export import FoundPayload

_EXAMPLES = """\b
Examples:
  The newest payload that a cluster's directories hold, as JSON:
  op-conductor-init export-payload --state-dir ./raft-state > newest.json
\b
  The one of a height, as SSZ, and what it is, for a script:
  op-conductor-init export-payload --state-dir ./raft-state/sequencer-1 --height 1200345 \\
      --format ssz --out payload.ssz -o json | jq -r .block_hash
\b
  Of a node whose conductor runs:
  op-conductor-init export-payload --live --state-dir /data/raft/sequencer-1 --out newest.json
"""

_UNTOLD = {"stored", "ssz", "directory"}


@click.command("export-payload", epilog=_EXAMPLES)
@reading_options
@environment_option(
    "--height",
    type=click.IntRange(min=0),
    metavar="N",
    default_text="the newest",
    meaning="The payload of this height.",
)
@environment_option(
    "--index",
    type=click.IntRange(min=0),
    metavar="N",
    meaning="The payload in the entry of this index.",
)
@environment_option(
    "--format",
    "format_name",
    type=click.Choice(("json", "ssz"), case_sensitive=False),
    default="json",
    default_text="json",
    meaning="json: the envelope as op-node sends it; ssz: the bytes that op-conductor stored.",
)
@environment_option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    default_text="stdout",
    meaning="Where to write it, a new file.",
)
@environment_option(
    "--force", **GO_BOOLEAN, default_text="false", meaning="Replace the file of --out."
)
@output_option
def export_payload(
    state_dir: Path,
    lock_timeout: float,
    live: bool,
    height: int | None,
    index: int | None,
    format_name: str,
    out: Path | None,
    force: bool,
    output: str,
) -> None:
    """Write a payload that Raft state holds: the newest, or that of a height or an entry.

    The newest is what op-conductor would hold if its whole log is committed, from log and snapshot
    together. Says where the payload was found and whether it is committed for sure, on stderr when
    the payload itself goes to stdout. With -o json and no --out that alone is printed, and no
    payload.
    """
    # Imported here so that `--help` waits for nothing.
    from raft_state.export import Choice, PayloadFormat, find_payload
    from raft_state.node import node_directories

    if format_name == "ssz" and out is None and output != "json" and _is_terminal():
        raise click.UsageError(
            "SSZ is binary and stdout is a terminal: give --out FILE, send it to a file or a "
            "program, or use --format json"
        )
    how = PayloadFormat(format_name)
    if height is not None and index is not None:
        raise click.UsageError("--height and --index exclude each other: give one of them")
    if out is not None:
        require_writable(out, node_directories(state_dir), force=force)
    with readable(state_dir, live=live) as directory:
        found = find_payload(directory, Choice(height, index), lock_timeout_s=lock_timeout)
    data = found.encoded(how)
    if how is PayloadFormat.JSON:
        data += b"\n"
    for warning in found.warnings:
        click.echo(f"warning: {printable(warning)}", err=True)
    if out is not None:
        write_payload(out, data, force=force)
    if output == "json":
        print_json({**_facts(found), "format": how, "out": out, "size_bytes": len(data)})
    elif out is None:
        click.echo(_text(found), err=True)
        click.echo(data, nl=False)
    else:
        click.echo(_text(found))
        click.echo(f"Wrote {len(data)} bytes of {how.value.upper()} to {printable(str(out))}")


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _facts(found: FoundPayload) -> dict[str, object]:
    """All that is known of a payload, but not the payload."""
    return {
        each.name: getattr(found, each.name) for each in fields(found) if each.name not in _UNTOLD
    }


def _text(found: FoundPayload) -> str:
    place = "snapshot" if found.is_from_snapshot else "log"
    sure = "committed for sure" if found.is_certain else "not known whether it is committed"
    lines = [
        f"Payload of height {found.height}, {found.block_hash}, V{found.version}",
        f"  from the {place} of {found.server_id}: entry {found.index}, term {found.term}; {sure}",
        *(f"  note: {note}" for note in found.notes),
    ]
    return "\n".join(map(printable, lines))
