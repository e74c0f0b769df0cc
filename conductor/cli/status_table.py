"""Shows a report to people: words that stand without colour, plain where there is no terminal.

Invariant: what servers say of themselves cannot steer the terminal.
"""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from conductor.cli.status_report import Report, State, missing_entries

PLAIN_WIDTH = 1000
"""Columns where there is no terminal: enough to wrap nothing."""

COLUMNS = ("SERVER", "ROLE", "SERVING", "REACHABLE", "CERTIFIED LAG", "GRPC", "GATEWAY")

_VERDICTS = {
    State.HEALTHY: ("healthy", "green"),
    State.DEGRADED: ("degraded: the cluster works, and the next failure may stop it", "yellow"),
    State.NO_LEADER: ("no leader: no payload can be certified", "red"),
    State.UNREACHABLE: ("unreachable: no server answered", "red"),
}


def print_report(report: Report) -> None:
    """Print it to stdout."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    if report.view is not None:
        console.print(_text(_headline(report)))
        console.print(_table(report, plain=not console.is_terminal))
    verdict, color = _VERDICTS[report.state]
    console.print(_text(verdict, color))
    for problem in report.problems:
        console.print(_text(f"- {problem}"))


def _headline(report: Report) -> str:
    view = report.view
    assert view is not None
    voters = sum(1 for status in view.members if status.member.voter)
    certified = f"certified height {view.certified_height} (index {view.certified.index})"
    if not view.certified_height:
        certified = "no payload certified"
    return (
        f"cluster {view.cluster_name}: leader {view.leader_id or 'none'}, epoch {view.epoch}, "
        f"quorum {view.quorum} of {voters} voters, "
        f"{certified}, as {view.server_id} sees it"
    )


def _table(report: Report, *, plain: bool) -> Table:
    table = Table(*COLUMNS, box=None if plain else box.SIMPLE_HEAD, pad_edge=not plain)
    assert report.view is not None
    for status in report.view.members:
        member = status.member
        lag = missing_entries(report, status)
        table.add_row(
            _text(member.server_id),
            _text(status.role if member.voter else f"{status.role} (nonvoter)"),
            _yes_or_no(status.serving),
            _yes_or_no(status.reachable),
            _text("unknown" if lag is None else str(lag)),
            _text(member.grpc_address),
            _text(member.gateway_address),
        )
    return table


def _yes_or_no(good: bool) -> Text:
    return _text("yes", "green") if good else _text("no", "red")


def _text(text: str, style: str = "") -> Text:
    printable = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return Text("".join(printable), style=style)
