"""What came of asking several conductors: an answer or an error for each, none left out.

Invariant: pure. The exit code of a command that asked several follows from their outcomes here, and
nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from conductor.config import Address
from conductor.errors import ConductorError
from conductor.exit_codes import ExitCode, exit_code_of

Response = TypeVar("Response", covariant=True)


@dataclass(frozen=True, slots=True)
class Answer(Generic[Response]):
    """What one server answered, or why it did not."""

    server: Address
    outcome: Response | ConductorError


def answered(answers: Sequence[Answer[Response]]) -> list[tuple[Address, Response]]:
    """The servers that answered, with what they said."""
    return [
        (answer.server, answer.outcome)
        for answer in answers
        if not isinstance(answer.outcome, ConductorError)
    ]


def failures(answers: Sequence[Answer[Any]]) -> list[ConductorError]:
    """The errors of those that did not."""
    return [answer.outcome for answer in answers if isinstance(answer.outcome, ConductorError)]


def exit_code_of_answers(answers: Sequence[Answer[Any]]) -> ExitCode:
    """OK when all went well, DEGRADED when some did, else the code of the first error."""
    errors = failures(answers)
    if not errors:
        return ExitCode.OK
    return ExitCode.DEGRADED if len(errors) < len(answers) else exit_code_of(errors[0])


def error_as_json(error: ConductorError) -> dict[str, str]:
    """The error as documents show it: its code for programs, its text for people."""
    return {"code": error.code, "message": str(error)}
