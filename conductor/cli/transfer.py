"""`op-conductor transfer`: find the leader, have it pass the leadership on, tell what came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from conductor.cli.client_options import TRANSFER_OPTIONS, ServerLists, named_servers
from conductor.cli.completion import complete_voters
from conductor.cli.words import print_json, say, say_error
from conductor.errors import ConductorError, PeerUnreachable, TransferRefused, Unavailable
from conductor.exit_codes import ExitCode, exit_code_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conductor.cli.client import Conductors
    from conductor.cli.status_report import StatusAnswer
    from conductor.config import Address
    from conductor.v1.admin_pb2 import TransferLeaderResponse
    from conductor.v1.conductor_pb2 import GetStatusResponse

SETTLE_MS_MAX = 2000
"""How long to wait until the servers that were asked know the new leader."""

_EXAMPLES = """\b
Examples:
  To the best voter, asked at any member:
    op-conductor transfer
  To a named one, without a question:
    op-conductor transfer sequencer-2 --yes --server seq-1:18080
  Also if it says that it is not fit to lead:
    op-conductor transfer sequencer-2 --force
"""

TARGET = click.Argument(
    ["target"], required=False, default="", metavar="[TARGET]", shell_complete=complete_voters
)


@click.command(params=[TARGET, *TRANSFER_OPTIONS], epilog=_EXAMPLES)
def transfer(
    target: str, server: ServerLists, output: str, timeout_ms: int, yes: bool, force: bool
) -> int:
    """Pass the leadership to the voter TARGET, or to the best one.

    Any member can be named as --server: the leader is found through it, and asked at the gRPC
    address that the member knows. The leader first brings its successor up to date; if that does
    not come to lead, the old leader leads on, and you are told.

    Exits with 0 when TARGET leads, 4 when there is no leader, 5 when the leader refuses or you
    said no, 6 when no server answers, or not in time: the outcome is then unknown.
    """
    # Imported here so that `--help` does not wait for gRPC.
    from conductor.cli.client import Conductors
    from conductor.cli.confirmation import check_can_ask

    check_can_ask(yes=yes)
    servers = named_servers(server)
    try:
        with Conductors(timeout_ms) as conductors:
            document = _transfer(conductors, servers, target, output=output, yes=yes, force=force)
    except ConductorError as error:
        if output == "json":
            print_json(_error_document(error))
        say_error(error)
        return exit_code_of(error)
    if output == "json":
        print_json(document)
    return ExitCode.OK


def _transfer(
    conductors: Conductors,
    servers: Sequence[Address],
    target: str,
    *,
    output: str,
    yes: bool,
    force: bool,
) -> dict[str, Any]:
    """The whole of it; the document for programs. Raises what came in between."""
    from conductor.cli.client import GET_STATUS, transfer_leader
    from conductor.cli.confirmation import confirm

    answers = conductors.ask_each(GET_STATUS, servers)
    before = _view(answers)
    if output == "table":
        click.echo(f"before: {_in_words(before)}")
    if before.leader_id == target:
        say(f"{target} leads already: nothing was changed")
        return _document(before, before, before.leader_id)
    _check_target(target, before)
    leader = _leader_address(before, answers)
    confirm(
        f"Pass the leadership from {before.leader_id} to {target or 'the best voter'}"
        f"{', fit or not' if force else ''}?",
        yes=yes,
    )
    receipt = conductors.ask(transfer_leader(target, force=force), leader)
    after = _settled(conductors, servers, receipt) or before
    if output == "table":
        click.echo(f"after:  leader {receipt.leader_id}, epoch {receipt.epoch}")
    if after.leader_id != receipt.leader_id:
        say("the servers that were asked do not know it yet: op-conductor status")
    return _document(before, after, receipt.previous_leader_id, receipt)


def _view(answers: Sequence[StatusAnswer]) -> GetStatusResponse:
    """The answer that knows most, when it knows a leader; says which servers did not answer."""
    from conductor.cli.answers import failures
    from conductor.cli.status_report import best_view

    errors, view = failures(answers), best_view(answers)
    if view is None:
        if len(errors) == 1:
            raise errors[0]
        raise PeerUnreachable("; ".join(map(str, errors)))
    for error in errors:
        say(f"warning: {error}")
    if not view.leader_id:
        raise Unavailable(
            f"no leader is known to {view.server_id}: there is nothing to pass on. See "
            "op-conductor status --all"
        )
    return view


def _check_target(target: str, view: GetStatusResponse) -> None:
    voters = [status.member.server_id for status in view.members if status.member.voter]
    if target and target not in voters:
        raise TransferRefused(f"{target!r} is no voter: the voters are {', '.join(voters)}")


def _leader_address(view: GetStatusResponse, answers: Sequence[StatusAnswer]) -> Address:
    """Where the leader is; says so when it is none of the named servers."""
    from conductor.cli.answers import answered
    from conductor.cli.finding import address_of

    address = address_of(view.leader_id, answers)
    if address is None:
        raise PeerUnreachable(
            f"{view.leader_id} leads, and {view.server_id} knows no address of it: name it with "
            "--server"
        )
    if all(status.server_id != view.leader_id for _, status in answered(answers)):
        say(f"{view.server_id} does not lead: asking the leader, {view.leader_id} at {address}")
    return address


def _settled(
    conductors: Conductors, servers: Sequence[Address], receipt: TransferLeaderResponse
) -> GetStatusResponse | None:
    """The best answer once it names the new leader, or a while later; None without any."""
    from conductor.cli.client import GET_STATUS
    from conductor.cli.status_report import best_view
    from conductor.cli.waiting import wait_until

    return wait_until(
        lambda: best_view(conductors.ask_each(GET_STATUS, servers)),
        lambda view: view is not None and view.leader_id == receipt.leader_id,
        timeout_ms=SETTLE_MS_MAX,
    )


def _in_words(view: GetStatusResponse) -> str:
    from conductor.cli.words import printable

    return printable(f"leader {view.leader_id}, epoch {view.epoch}, as {view.server_id} sees it")


def _document(
    before: GetStatusResponse,
    after: GetStatusResponse,
    previous_leader_id: str,
    receipt: TransferLeaderResponse | None = None,
) -> dict[str, Any]:
    from conductor.cli.status_json import status_as_json

    return {
        "exit_code": int(ExitCode.OK),
        "error": None,
        "changed": receipt is not None,
        "previous_leader_id": previous_leader_id,
        "leader_id": receipt.leader_id if receipt is not None else before.leader_id,
        "epoch": receipt.epoch if receipt is not None else before.epoch,
        "before": status_as_json(before),
        "after": status_as_json(after),
    }


def _error_document(error: ConductorError) -> dict[str, Any]:
    from conductor.cli.answers import error_as_json

    return {"exit_code": int(exit_code_of(error)), "error": error_as_json(error)}
