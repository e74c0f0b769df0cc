"""What is counted of a call's end is what its caller was told of it."""

from __future__ import annotations

import asyncio

import pytest

from conductor.api.error_map import WIRE_ERRORS
from conductor.errors import ConductorError, InvalidPayload
from conductor.ports import Outcome
from conductor.runtime.outcomes import outcome_of, outcome_told


@pytest.mark.parametrize("kind", WIRE_ERRORS, ids=lambda kind: kind.__name__)
def test_error_counts_as_what_its_caller_is_told(kind: type[ConductorError]) -> None:
    error = InvalidPayload("field", "problem") if kind is InvalidPayload else kind("text")

    assert outcome_of(error) == WIRE_ERRORS[kind].outcome


def test_block_that_ends_is_a_success_and_is_told_once() -> None:
    told: list[Outcome] = []

    with outcome_told(told.append):
        assert told == []

    assert told == ["success"]


@pytest.mark.parametrize("error", [asyncio.CancelledError(), RuntimeError("a bug")])
def test_block_that_is_cancelled_or_fails_unforeseen_ends_unknown(error: BaseException) -> None:
    told: list[Outcome] = []

    with pytest.raises(type(error)), outcome_told(told.append):
        raise error

    assert told == ["unknown"]
