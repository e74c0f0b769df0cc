"""`op-conductor history`: who led when, and why, as each server saw it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from conductor.cli.client_options import HISTORY_OPTIONS, ServerLists, named_servers

if TYPE_CHECKING:
    from conductor.cli.answers import Answer
    from conductor.v1.conductor_pb2 import GetHistoryResponse, LeadershipRecord

    HistoryAnswer = Answer[GetHistoryResponse]

_EXAMPLES = """\b
Examples:
  The last ten leaderships that this machine's conductor saw:
    op-conductor history
  The last three, as two servers saw them:
    op-conductor history --last 3 --server seq-1:18080,seq-2:18080
  Why did the leadership move last?
    op-conductor history --last 1 -o json | jq -r '.servers[0].records[-1].reason'
"""


@click.command(params=list(HISTORY_OPTIONS), epilog=_EXAMPLES)
def history(server: ServerLists, output: str, timeout_ms: int, last: int) -> int:
    """Show the last leaderships with their reasons, the newest at the bottom.

    Every named server answers for itself, by its own clock, since it was started last. A time
    without a leader that it knew of is a row of its own.

    Exits with 0 when all named servers answer, 3 when some do, 6 when none does.
    """
    # Imported here so that `--help` waits for neither gRPC nor the tables.
    from conductor.cli.answers import exit_code_of_answers
    from conductor.cli.client import GET_HISTORY, Conductors
    from conductor.cli.words import print_json

    with Conductors(timeout_ms) as conductors:
        answers = conductors.ask_each(GET_HISTORY, named_servers(server))
    exit_code = exit_code_of_answers(answers)
    if output == "json":
        servers = [_answer_as_json(answer, last) for answer in answers]
        print_json({"exit_code": int(exit_code), "servers": servers})
    else:
        _print(answers, last)
    return exit_code


def _answer_as_json(answer: HistoryAnswer, last: int) -> dict[str, Any]:
    from conductor.cli.answers import error_as_json
    from conductor.errors import ConductorError

    if isinstance(answer.outcome, ConductorError):
        error = error_as_json(answer.outcome)
        return {"server": str(answer.server), "error": error, "records": []}
    records = [
        {
            "leader_id": record.leader_id,
            "epoch": record.epoch,
            "reason": record.reason,
            "began_at_ms": record.began_at_ms,
            "began_at": _time(record.began_at_ms),
        }
        for record in answer.outcome.records[-last:]
    ]
    return {"server": str(answer.server), "error": None, "records": records}


def _print(answers: Sequence[HistoryAnswer], last: int) -> None:
    from conductor.cli.terminal import stdout_console, table_of, text
    from conductor.errors import ConductorError

    console = stdout_console()
    for answer in answers:
        if isinstance(answer.outcome, ConductorError):
            console.print(text(f"- {answer.outcome}"))
            continue
        records = answer.outcome.records
        console.print(text(f"{answer.server}: {min(last, len(records))} of {len(records)}"))
        columns = ("BEGAN", "EPOCH", "LEADER", "LASTED", "REASON")
        console.print(table_of(console, columns, _rows(records[-last:])))


def _rows(records: Sequence[LeadershipRecord]) -> Iterator[tuple[str, ...]]:
    for place, record in enumerate(records):
        lasted = "until now"
        if place + 1 < len(records):
            lasted = _duration(records[place + 1].began_at_ms - record.began_at_ms)
        yield (
            _time(record.began_at_ms),
            str(record.epoch),
            record.leader_id or "nobody",
            lasted,
            record.reason,
        )


def _time(unix_ms: int) -> str:
    """In UTC and to the millisecond, whatever the time zones of servers and operators are."""
    try:
        time = datetime.fromtimestamp(unix_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{unix_ms} ms"
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _duration(milliseconds: int) -> str:
    """In at most two units; clocks can be set back."""
    if milliseconds < 0:
        return "unknown"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min {int(seconds % 60)} s"
    hours = minutes // 60
    if hours < 48:
        return f"{hours} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"
