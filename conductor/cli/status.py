"""`op-conductor status`: ask, judge, print, and exit with the verdict."""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from typing import TYPE_CHECKING

import click

from conductor.cli.client_options import STATUS_OPTIONS, ServerLists, named_servers
from conductor.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from conductor.cli.client import Conductors
    from conductor.cli.status_report import Report
    from conductor.config import Address

_EXAMPLES = """\b
Examples:
  What the conductor on this machine sees:
    op-conductor status
  Two servers, each asked on its own; or one, and all members that it names:
    op-conductor status --server seq-1:18080,seq-2:18080
    op-conductor status --server seq-1:18080 --all
  Refreshed every second until Ctrl-C:
    op-conductor status --all --watch
  For scripts: the verdict, and every refresh as a line:
    op-conductor status -o json | jq -r .state
    op-conductor status --watch -o json | jq -r '[.state, .problems[0]] | @tsv'
"""


@click.command(params=list(STATUS_OPTIONS), epilog=_EXAMPLES)
def status(
    server: ServerLists,
    output: str,
    timeout_ms: int,
    all: bool,  # noqa: A002  # the option is called so
    watch: bool,
    interval_ms: int,
) -> int:
    """Show who leads, who follows, what is wrong, and the command that mends it.

    Whether a server is paused, or why it is not serving, only that server tells: name it, or add
    --all. CERTIFIED LAG counts the certified entries that a member has not stored yet.

    Exits with 0 when the cluster is healthy, 3 when it has a leader but a voter or a named server
    is unreachable or not serving, paused or overridden, 4 when it has no leader, 6 when no server
    answers. With --watch, the verdict of the last refresh.
    """
    # Imported here so that `--help` waits for neither gRPC nor the tables.
    from conductor.cli.client import Conductors

    servers = named_servers(server)
    with Conductors(timeout_ms) as conductors:
        look = functools.partial(_look, conductors, servers, everybody=all)
        if watch:
            return _watch(look, output, interval_ms)
        report = look()
        _print(report, output)
    return report.exit_code


def _look(conductors: Conductors, servers: list[Address], *, everybody: bool) -> Report:
    from conductor.cli.client import GET_STATUS
    from conductor.cli.finding import unasked_members
    from conductor.cli.status_report import make_report

    answers = conductors.ask_each(GET_STATUS, servers)
    if everybody:
        answers += conductors.ask_each(GET_STATUS, unasked_members(answers))
    return make_report(answers)


def _print(report: Report, output: str, *, repeated: bool = False) -> None:
    if output == "json":
        from conductor.cli.status_json import report_as_json
        from conductor.cli.words import print_json

        print_json(report_as_json(report), in_one_line=repeated)
    else:
        from conductor.cli.status_table import print_report

        print_report(report)
        if repeated:
            click.echo()


def _watch(look: Callable[[], Report], output: str, interval_ms: int) -> int:
    """Show it again and again: in place on a terminal, one after the other elsewhere."""
    pause = threading.Event()
    exit_code = ExitCode.INTERRUPTED
    with contextlib.ExitStack() as stack:
        show: Callable[[Report], None]
        show = functools.partial(_print, output=output, repeated=True)
        if output == "table" and sys.stdout.isatty():
            from conductor.cli.watching import live_screen

            show = stack.enter_context(live_screen(interval_ms))
        try:
            while True:
                report = look()
                exit_code = report.exit_code
                show(report)
                pause.wait(interval_ms / 1000)
        except KeyboardInterrupt:
            return exit_code
