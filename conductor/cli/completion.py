"""Completes the names of servers by asking a conductor.

Invariant: quick, and never an error: whoever presses the tabulator key has not asked for one.
"""

from __future__ import annotations

import click

from conductor.cli.client_options import SERVER, named_servers

TIMEOUT_MS = 300


def complete_voters(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """The ids of the voters, of which one that does not lead is a target of `transfer`."""
    from conductor.cli.client import GET_STATUS, Conductors
    from conductor.cli.status_report import best_view

    lists = context.params.get("server") or SERVER.process_value(context, SERVER.default)
    with Conductors(TIMEOUT_MS) as conductors:
        view = best_view(conductors.ask_each(GET_STATUS, named_servers(lists)))
    if view is None:
        return []
    return [
        status.member.server_id
        for status in view.members
        if status.member.voter
        and status.member.server_id != view.leader_id
        and status.member.server_id.startswith(incomplete)
    ]
