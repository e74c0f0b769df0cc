"""Shows a report to people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.text import Text

from conductor.cli.status_report import Report, State, missing_entries
from conductor.cli.terminal import stdout_console, table_of, text, yes_or_no

COLUMNS = ("SERVER", "ROLE", "SERVING", "REACHABLE", "CERTIFIED LAG", "GRPC", "GATEWAY", "NOTES")

_VERDICTS = {
    State.HEALTHY: ("healthy", "green"),
    State.DEGRADED: ("degraded: the cluster works, and the next failure may stop it", "yellow"),
    State.NO_LEADER: ("no leader: no payload can be certified", "red"),
    State.UNREACHABLE: ("unreachable: no server answered", "red"),
}


def print_report(report: Report) -> None:
    """Print it to stdout."""
    console = stdout_console()
    console.print(draw(report, console))


def draw(report: Report, console: Console) -> Group:
    """The report for this console: who leads, the members, the verdict, what is wrong."""
    return Group(*_parts(report, console))


def _parts(report: Report, console: Console) -> Iterator[RenderableType]:
    if report.view is not None:
        yield text(_headline(report))
        yield table_of(console, COLUMNS, _rows(report))
    yield text(*_VERDICTS[report.state])
    for problem in report.problems:
        yield text(f"- {problem}")


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


def _rows(report: Report) -> Iterator[tuple[Text, ...]]:
    assert report.view is not None
    for status in report.view.members:
        member = status.member
        lag = missing_entries(report, status)
        yield (
            text(member.server_id),
            text(status.role, "bold" if status.role == "leader" else ""),
            yes_or_no(status.serving),
            yes_or_no(status.reachable),
            text("unknown" if lag is None else str(lag)),
            text(member.grpc_address),
            text(member.gateway_address),
            text(", ".join(_notes(report, member.server_id, voter=member.voter)), "yellow"),
        )


def _notes(report: Report, server_id: str, *, voter: bool) -> Iterator[str]:
    """What makes a member special. Whether it is paused is known only from itself."""
    if not voter:
        yield "nonvoter"
    own = report.statuses.get(server_id)
    if own is not None and own.paused:
        yield "paused"
    if own is not None and own.leader_overridden:
        yield "overridden"
