"""What `pause`, `resume` and `override-leader` have in common: look, ask, do, look again.

Invariant: only servers that have just told their state are told to change it, only after a yes, and
what became of each is said, whatever became of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from conductor.cli.answers import Answer, answered, error_as_json, exit_code_of_answers
from conductor.cli.client import GET_STATUS, Call, Conductors
from conductor.cli.confirmation import check_can_ask, confirm
from conductor.cli.status_report import leads
from conductor.cli.waiting import wait_until
from conductor.cli.words import print_json, say, say_error
from conductor.config import Address
from conductor.errors import ConductorError
from conductor.exit_codes import ExitCode

if TYPE_CHECKING:
    from conductor.v1.conductor_pb2 import GetStatusResponse

SETTLE_MS_MAX = 5000
"""How long to watch a leader that steps aside."""


@dataclass(frozen=True, slots=True)
class Action:
    """Something to tell a server."""

    question: Callable[[str], str]
    """Of the names of the servers: what would happen."""
    call: Call[Any]
    is_so: Callable[[GetStatusResponse], bool]
    """Whether the server is already as it should be."""
    gives_leadership_away: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one server."""

    server: Address
    before: GetStatusResponse | None = None
    after: GetStatusResponse | None = None
    changed: bool = False
    error: ConductorError | None = None


def steer(
    action: Action, servers: Sequence[Address], *, timeout_ms: int, output: str, yes: bool
) -> ExitCode:
    """Do it to the servers, and print what became of each; the exit code of the command."""
    check_can_ask(yes=yes)
    with Conductors(timeout_ms) as conductors:
        changes = [_looked_at(answer) for answer in conductors.ask_each(GET_STATUS, servers)]
        if output == "table":
            _print("before", changes)
        changes = _done(action, changes, conductors, yes=yes)
        changes = _looked_at_again(action, changes, conductors)
    outcomes = [Answer(change.server, change.error or change) for change in changes]
    exit_code = exit_code_of_answers(outcomes)
    if output == "json":
        print_json(
            {"exit_code": int(exit_code), "servers": [_as_json(change) for change in changes]}
        )
    else:
        _print("after", [change for change in changes if change.changed])
    _tell(action, changes)
    return exit_code


def _looked_at(answer: Answer[GetStatusResponse]) -> Change:
    if isinstance(answer.outcome, ConductorError):
        return Change(answer.server, error=answer.outcome)
    return Change(answer.server, before=answer.outcome)


def _done(
    action: Action, changes: Sequence[Change], conductors: Conductors, *, yes: bool
) -> list[Change]:
    """The changes with what came of the call, for the servers that need one."""
    wanted = [
        change
        for change in changes
        if change.before is not None and not action.is_so(change.before)
    ]
    if not wanted:
        return list(changes)
    names = ", ".join(f"{change.before.server_id}" for change in wanted if change.before)
    confirm(action.question(names), yes=yes)
    answers = conductors.ask_each(action.call, [change.server for change in wanted])
    errors = {
        answer.server: answer.outcome
        for answer in answers
        if isinstance(answer.outcome, ConductorError)
    }
    return [
        replace(change, error=errors.get(change.server), changed=change.server not in errors)
        if change in wanted
        else change
        for change in changes
    ]


def _looked_at_again(
    action: Action, changes: Sequence[Change], conductors: Conductors
) -> list[Change]:
    """The changes with the state afterwards: of a leader, once it has been relieved."""
    servers = [change.server for change in changes if change.changed]
    if not servers:
        return list(changes)
    leaders = _relieved(changes) if action.gives_leadership_away else set()

    def look() -> dict[Address, GetStatusResponse]:
        return dict(answered(conductors.ask_each(GET_STATUS, servers)))

    def has_settled(after: dict[Address, GetStatusResponse]) -> bool:
        return not any(
            leads(after[server]) or not after[server].leader_id for server in leaders & after.keys()
        )

    after = wait_until(look, has_settled, timeout_ms=SETTLE_MS_MAX)
    return [replace(change, after=after.get(change.server)) for change in changes]


def _relieved(changes: Sequence[Change]) -> set[Address]:
    """The changed leaders that another voter can relieve."""
    told = {change.before.server_id for change in changes if change.changed and change.before}
    return {
        change.server
        for change in changes
        if change.changed
        and change.before is not None
        and leads(change.before)
        and any(
            status.member.voter and status.serving and status.member.server_id not in told
            for status in change.before.members
        )
    }


def _tell(action: Action, changes: Sequence[Change]) -> None:
    """What the tables do not say, on stderr."""
    relieved = _relieved(changes)
    for change in changes:
        if change.error is not None:
            say_error(change.error)
        elif not change.changed and change.before is not None:
            say(_left_alone(action, change.server, change.before))
        elif change.changed and change.after is None:
            say(f"{change.server} has done it, and does not tell its state now")
        elif action.gives_leadership_away and change.after and leads(change.after):
            name = change.after.server_id
            what = (
                f"{name} still leads after {SETTLE_MS_MAX // 1000} s."
                if change.server in relieved
                else f"{name} leads on: no other voter can take over."
            )
            say(f"{what} See op-conductor status --all --server {change.server}")


def _left_alone(action: Action, server: Address, status: GetStatusResponse) -> str:
    if action.gives_leadership_away and leads(status):
        return (
            f"{status.server_id} was so already, and leads all the same. Pass the leadership on: "
            f"op-conductor transfer --server {server}"
        )
    return f"{status.server_id} was so already: nothing was changed"


def _as_json(change: Change) -> dict[str, Any]:
    from conductor.cli.status_json import status_as_json

    return {
        "server": str(change.server),
        "error": error_as_json(change.error) if change.error is not None else None,
        "changed": change.changed,
        "before": status_as_json(change.before) if change.before is not None else None,
        "after": status_as_json(change.after) if change.after is not None else None,
    }


def _print(title: str, changes: Sequence[Change]) -> None:
    from conductor.cli.terminal import stdout_console, table_of, text

    rows = list(_rows(title, changes))
    if rows:
        console = stdout_console()
        console.print(text(f"{title}:"))
        columns = ("SERVER", "ROLE", "SERVING", "PAUSED", "OVERRIDDEN", "LEADER", "EPOCH")
        console.print(table_of(console, columns, rows))


def _rows(title: str, changes: Sequence[Change]) -> Iterator[tuple[str, ...]]:
    for change in changes:
        status = change.before if title == "before" else change.after
        if status is not None:
            yield (
                status.server_id,
                status.role,
                "yes" if status.serving else "no",
                "yes" if status.paused else "no",
                "yes" if status.leader_overridden else "no",
                status.leader_id or "none",
                str(status.epoch),
            )
