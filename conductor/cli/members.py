"""`op-conductor members`: who belongs to the cluster, and how to know each of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from conductor.cli.client_options import CLIENT_OPTIONS, ServerLists, named_servers
from conductor.exit_codes import ExitCode

if TYPE_CHECKING:
    from conductor.cli.status_report import StatusAnswer
    from conductor.v1.conductor_pb2 import GetStatusResponse

KEY_SHOWN = 16
INCARNATION_SHOWN = 8
"""Hex digits, enough to tell members apart; JSON has them all."""

_EXAMPLES = """\b
Examples:
  op-conductor members --server seq-1:18080
  Do two servers agree on who belongs?
    op-conductor members --server seq-1:18080,seq-2:18080
  Whole keys, to compare with `op-conductor keygen --show FILE` on each machine:
    op-conductor members -o json | jq -r '.members[] | [.server_id, .public_key] | @tsv'
"""


@click.command(params=list(CLIENT_OPTIONS), epilog=_EXAMPLES)
def members(server: ServerLists, output: str, timeout_ms: int) -> int:
    """Show who belongs to the cluster: roles, addresses, keys and incarnations.

    KEY is the beginning of the public key, INCARNATION that of the number which a server draws
    when its data directory is made: a new one there means that the old directory is gone.

    Exits with 0 when all named servers answer and agree, 3 when one does not, 4 when the cluster
    has not formed yet, 6 when no server answers.
    """
    # Imported here so that `--help` waits for neither gRPC nor the tables.
    from conductor.cli.answers import exit_code_of_answers, failures
    from conductor.cli.client import GET_STATUS, Conductors
    from conductor.cli.status_report import best_view
    from conductor.cli.words import print_json

    with Conductors(timeout_ms) as conductors:
        answers = conductors.ask_each(GET_STATUS, named_servers(server))
    view = best_view(answers)
    problems = [*map(str, failures(answers)), *_disagreements(view, answers)]
    exit_code = exit_code_of_answers(answers)
    if view is not None and not view.members:
        why = "; ".join(view.reasons)
        problems.append("the cluster has not formed yet" + (f": {why}" if why else ""))
        exit_code = ExitCode.NO_LEADER
    elif problems and exit_code is ExitCode.OK:
        exit_code = ExitCode.DEGRADED
    if output == "json":
        print_json(_as_json(view, problems, exit_code))
    else:
        _print(view, problems)
    return exit_code


def _disagreements(view: GetStatusResponse | None, answers: list[StatusAnswer]) -> Iterator[str]:
    """Servers that name other members than the one that knows most."""
    from conductor.cli.answers import answered

    for server, status in answered(answers):
        if view is not None and _identities(status) != _identities(view):
            yield (
                f"{status.server_id} ({server}) names other members than {view.server_id}: "
                "it is behind, or of another cluster"
            )


def _identities(status: GetStatusResponse) -> object:
    return status.cluster_id, [member.member.SerializeToString() for member in status.members]


def _as_json(
    view: GetStatusResponse | None, problems: list[str], exit_code: ExitCode
) -> dict[str, Any]:
    from conductor.cli.status_json import member_as_json

    return {
        "exit_code": int(exit_code),
        "problems": problems,
        "cluster_name": view.cluster_name if view is not None else "",
        "cluster_id": view.cluster_id.hex() if view is not None else "",
        "quorum": view.quorum if view is not None else 0,
        "members": [
            {**member_as_json(status.member), "role": status.role}
            for status in (view.members if view is not None else ())
        ],
    }


def _print(view: GetStatusResponse | None, problems: list[str]) -> None:
    from conductor.cli.terminal import stdout_console, table_of, text

    console = stdout_console()
    if view is not None and view.members:
        console.print(
            text(
                f"cluster {view.cluster_name}, id {view.cluster_id.hex()}, "
                f"quorum {view.quorum}, as {view.server_id} sees it"
            )
        )
        columns = ("SERVER", "ROLE", "VOTER", "GRPC", "GATEWAY", "KEY", "INCARNATION")
        console.print(table_of(console, columns, _rows(view)))
    for problem in problems:
        console.print(text(f"- {problem}"))


def _rows(view: GetStatusResponse) -> Iterator[tuple[str, ...]]:
    for status in view.members:
        member = status.member
        yield (
            member.server_id,
            status.role,
            "yes" if member.voter else "no",
            member.grpc_address,
            member.gateway_address,
            member.public_key.hex()[:KEY_SHOWN],
            member.incarnation[:INCARNATION_SHOWN],
        )
