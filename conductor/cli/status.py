"""`op-conductor status`: ask, judge, print, and exit with the verdict."""

from __future__ import annotations

import itertools
import json

import click

from conductor.cli.client_options import CLIENT_OPTIONS
from conductor.config import Address

_EXAMPLES = """\b
Examples:
  op-conductor status
  op-conductor status --server seq-1:18080 --server seq-2:18080
  op-conductor status -o json | jq .state
"""


@click.command(params=list(CLIENT_OPTIONS), epilog=_EXAMPLES)
def status(server: tuple[tuple[Address, ...], ...], output: str, timeout_ms: int) -> int:
    """Show who leads, who follows, and what is wrong.

    Exits with 0 when the cluster is healthy, 3 when it has a leader but a voter or a named server
    is unreachable or not serving, 4 when it has no leader, 6 when no server answers.
    """
    # Imported here so that `--help` waits for neither gRPC nor the tables.
    from conductor.cli.client import ask_status
    from conductor.cli.status_report import make_report, report_as_json

    servers = list(dict.fromkeys(itertools.chain.from_iterable(server)))
    report = make_report(ask_status(servers, timeout_ms))
    if output == "json":
        click.echo(json.dumps(report_as_json(report), indent=2))
    else:
        from conductor.cli.status_table import print_report

        print_report(report)
    return report.exit_code
