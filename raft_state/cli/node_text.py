"""How what a backup knows of a node reads in a sentence.

Invariant: text of files is made printable here, so that what is returned can be printed as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from raft_state.cli.output import printable

if TYPE_CHECKING:
    from raft_state.backup import NodeFacts

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def facts_text(facts: NodeFacts) -> str:
    """Term, log and snapshots of a node, in a few words."""
    parts = ["no term" if facts.current_term is None else f"term {facts.current_term}"]
    if facts.log is None:
        parts.append("no readable log")
    elif not facts.log.entries:
        parts.append("an empty log")
    else:
        parts.append(f"entries {facts.log.first_index} to {facts.log.last_index}")
    if facts.snapshots:
        newest = facts.snapshots[0]
        more = f" and {len(facts.snapshots) - 1} older" if len(facts.snapshots) > 1 else ""
        parts.append(f"snapshot {printable(newest.snapshot_id)}{more}")
    return ", ".join(parts)


def size_text(size_bytes: int) -> str:
    """A size as people read it."""
    size = float(size_bytes)
    for unit in _UNITS[:-1]:
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == _UNITS[0] else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} {_UNITS[-1]}"
