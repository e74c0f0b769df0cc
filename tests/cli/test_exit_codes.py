"""The exit code of every error."""

from __future__ import annotations

import pytest

from conductor import errors
from conductor.exit_codes import ExitCode, exit_code_of


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.ConfigError(""), 2),
        (errors.InvalidPayload("blockHash", "missing"), 2),
        (errors.NotFound(""), 1),
        (errors.NotLeader(), 5),
        (errors.TransferRefused(""), 5),
        (errors.CommitTimeout(""), 6),
        (errors.LeadershipLost(""), 4),
        (errors.NotFormed(""), 4),
        (errors.PeerUnreachable(""), 6),
        (errors.PeerRejected(""), 5),
        (errors.StoreDamaged(""), 7),
        (errors.StoreLocked(""), 7),
        (errors.InvariantViolation(""), 1),
    ],
)
def test_error_has_its_exit_code(error: errors.ConductorError, expected: int) -> None:
    assert exit_code_of(error) == expected


def test_no_error_looks_like_success() -> None:
    kinds = [errors.ConductorError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())

    made = [kind.__new__(kind) for kind in kinds]

    assert len(kinds) > 20
    assert all(exit_code_of(error) not in (ExitCode.OK, ExitCode.DEGRADED) for error in made)
