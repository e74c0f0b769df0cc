"""Shows what is in a state directory to people: plain where there is no terminal.

Invariant: every number and name is as it is stored; nothing is guessed, such as who leads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from raft_state.cli.node_text import size_text
from raft_state.cli.reading import PLAIN_WIDTH, plain_text
from raft_state.info import (
    EntryRow,
    EntryTable,
    LogView,
    Member,
    Members,
    NodeView,
    PayloadView,
    SnapshotView,
    StateView,
)

ENTRY_COLUMNS = ("INDEX", "TERM", "TYPE", "BYTES", "APPENDED", "CONTENT")
NODE_COLUMNS = ("SERVER ID", "TERM", "VOTE", "LOG", "MEMBERS", "SNAPSHOT")
MEMBER_COLUMNS = ("SERVER ID", "ADDRESS", "SUFFRAGE")
_DASH = "-"


def print_view(view: StateView) -> None:
    """Print it to stdout: a node in full, a cluster as one line for each node."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    if view.is_cluster:
        _print_cluster(console, view)
    else:
        for node in view.nodes:
            _print_node(console, node)


def _print_cluster(console: Console, view: StateView) -> None:
    rows = [
        (
            node.server_id,
            _number(node.current_term),
            _vote(node),
            _DASH if node.log is None else _range(node.log),
            _member_counts(node.latest),
            f"to {node.snapshots[0].index}" if node.snapshots else "none",
        )
        for node in view.nodes
    ]
    _print_table(console, NODE_COLUMNS, rows)
    for node in view.nodes:
        _print_problems(console, node, f"{node.server_id}: ")
    _say(console, f"One node in full: op-conductor-init info --state-dir {view.nodes[0].directory}")


def _print_node(console: Console, node: NodeView) -> None:
    facts = [
        ("node", f"{node.server_id} in {node.directory}"),
        ("current term", _number(node.current_term)),
        ("last vote", _vote(node)),
        ("log", _DASH if node.log is None else _log(node.log)),
        ("snapshots", "; ".join(map(_snapshot, node.snapshots)) or "none"),
    ]
    for name, text in facts:
        _say(console, f"{name:<14}{text}")
    _print_members(console, node)
    if node.log is not None and node.log.entries is not None:
        _print_entries(console, node.log.entries)
    _print_problems(console, node, "")


def _print_members(console: Console, node: NodeView) -> None:
    """The members that count for Raft, and those that are certain if these are others."""
    if node.latest is None:
        _say(console, f"{'members':<14}none known")
        return
    is_certain = node.committed == node.latest
    remark = "" if is_certain else "; not certain to be committed"
    _headline(console, f"members by the {_source(node.latest)}{remark}:")
    _print_table(console, MEMBER_COLUMNS, map(_member_cells, node.latest.servers))
    if is_certain:
        return
    if node.committed is None:
        _headline(console, "no earlier members are stored that are certain to be committed")
        return
    _headline(
        console, f"members that are certain to be committed, by the {_source(node.committed)}:"
    )
    _print_table(console, MEMBER_COLUMNS, map(_member_cells, node.committed.servers))


def _print_entries(console: Console, table: EntryTable) -> None:
    if not table.matching:
        _headline(console, "no entry fits")
        return
    _headline(console, f"{_count(table.matching, 'entry', 'entries')}:")
    rows = [_entry_cells(row) for row in table.rows]
    if table.left_out:
        gap = ("...", "", "", "", "", f"{table.left_out:,} left out; --limit 0 shows all")
        rows.insert(table.rows_before_gap, gap)
    _print_table(console, ENTRY_COLUMNS, rows)


def _print_problems(console: Console, node: NodeView, prefix: str) -> None:
    for problem in node.problems:
        console.print(plain_text(f"problem: {prefix}{problem}", "yellow"))


def _say(console: Console, text: str) -> None:
    console.print(plain_text(text))


def _headline(console: Console, text: str) -> None:
    console.print()
    _say(console, text)


def _print_table(console: Console, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    plain = not console.is_terminal
    table = Table(*columns, box=None if plain else box.SIMPLE_HEAD, pad_edge=not plain)
    for row in rows:
        table.add_row(*map(plain_text, row))
    console.print(table)


def _entry_cells(row: EntryRow) -> tuple[str, ...]:
    return (
        _number(row.index),
        _number(row.term),
        row.type or _DASH,
        f"{row.value_bytes:,}",
        row.appended_at or _DASH,
        _content(row),
    )


def _content(row: EntryRow) -> str:
    parts = []
    if row.payload is not None:
        parts.append(_payload(row.payload))
    if row.members is not None:
        parts.append(", ".join(map(_member, row.members)) or "no members")
    if row.note:
        parts.append(row.note)
    return "; ".join(parts) or _DASH


def _payload(payload: PayloadView) -> str:
    return (
        f"payload of height {payload.height}, "
        f"{_count(payload.transactions_count, 'transaction', 'transactions')}, "
        f"hash {payload.block_hash}, parent {payload.parent_hash}"
    )


def _snapshot(snapshot: SnapshotView) -> str:
    parts = [f"{snapshot.snapshot_id}, to index {snapshot.index}, term {snapshot.term}"]
    if snapshot.state_bytes is not None:
        parts.append(size_text(snapshot.state_bytes))
    if snapshot.payload is not None:
        parts.append(_payload(snapshot.payload))
    if snapshot.note:
        parts.append(snapshot.note)
    return ", ".join(parts)


def _vote(node: NodeView) -> str:
    if node.vote is None:
        return "none recorded"
    term = "without a term" if node.vote.term is None else f"in term {node.vote.term}"
    return f"vote recorded for {node.vote.candidate or 'nobody'} {term}"


def _log(log: LogView) -> str:
    file = f"file of {size_text(log.file_bytes)}, pages of {log.page_bytes:,} bytes"
    if log.count == 0:
        return f"empty; {file}"
    last = "last term unknown" if log.last_term is None else f"last term {log.last_term}"
    return f"{_range(log)}, {last}; {file}"


def _range(log: LogView) -> str:
    if log.first_index is None:
        return "empty" if log.count == 0 else f"{log.count:,} keys that are no indexes"
    entries = _count(log.count, "entry", "entries")
    return f"{entries}, index {log.first_index} to {log.last_index}"


def _source(members: Members) -> str:
    if members.source == "snapshot":
        return f"snapshot, of index {members.index}"
    return f"entry of index {members.index}, term {members.term}"


def _member(member: Member) -> str:
    return f"{member.server_id} at {member.address} ({member.suffrage})"


def _member_cells(member: Member) -> tuple[str, ...]:
    return member.server_id, member.address, member.suffrage


def _member_counts(members: Members | None) -> str:
    if members is None:
        return "none known"
    voters = sum(1 for member in members.servers if member.suffrage == "Voter")
    others = len(members.servers) - voters
    text = _count(voters, "voter", "voters")
    return f"{text}, {_count(others, 'other', 'others')}" if others else text


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _number(number: int | None) -> str:
    return _DASH if number is None else str(number)
