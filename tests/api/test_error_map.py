"""Every error has one meaning on every wire, and our own faults show nobody their insides."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from structlog.testing import capture_logs

from conductor import errors
from conductor.api.error_map import INTERNAL, INTERNAL_TEXT, WIRE_ERRORS, failure_of


def tree(root: type[errors.ConductorError]) -> Iterator[type[errors.ConductorError]]:
    """The class and everything below it that `conductor.errors` defines."""
    yield root
    for kind in root.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield from tree(kind)


def test_every_error_class_has_a_row_and_every_row_a_class() -> None:
    assert set(WIRE_ERRORS) == set(tree(errors.ConductorError))


@pytest.mark.parametrize("branch", [errors.RequestError, errors.Refused, errors.Unavailable])
def test_what_changed_nothing_is_called_refused(branch: type[errors.ConductorError]) -> None:
    assert {WIRE_ERRORS[kind].outcome for kind in tree(branch)} == {"refused"}


def test_what_may_still_be_certified_is_called_unknown() -> None:
    outcomes = {WIRE_ERRORS[kind].outcome for kind in tree(errors.OutcomeUnknown)}
    assert outcomes == {"unknown"}


def test_no_error_passes_for_success() -> None:
    for kind, wire in WIRE_ERRORS.items():
        assert 400 <= wire.http_status < 600, kind
        assert wire.grpc_status is not grpc.StatusCode.OK, kind
        assert wire.jsonrpc_code < 0, kind


def test_failure_carries_code_and_text_of_the_error() -> None:
    failure = failure_of(errors.InvalidPayload("gasUsed", "is missing"), "commit")
    assert (failure.code, failure.message) == ("invalid_payload", "gasUsed: is missing")


def test_failure_says_who_leads_unless_the_text_does() -> None:
    unnamed = failure_of(errors.NotLeader(leader_id="b"), "commit")
    named = failure_of(errors.NotLeader("node is not the leader: b is", leader_id="b"), "commit")
    assert unnamed.message == "node is not the leader: b leads"
    assert named.message == "node is not the leader: b is"
    assert unnamed.leader_id == named.leader_id == "b"


def test_failure_without_a_text_says_its_code() -> None:
    assert failure_of(errors.Stale(), "acknowledge").message == "stale"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvariantViolation("secret"), "invariant_violation"),
        (errors.ConductorError("secret"), "internal"),
        (KeyError("secret"), "internal"),
    ],
)
def test_own_fault_is_logged_with_its_traceback_and_hidden(error: Exception, code: str) -> None:
    with capture_logs() as logs:
        failure = failure_of(error, "commit")
    assert (failure.code, failure.message) == (code, INTERNAL_TEXT)
    assert failure.wire.jsonrpc_code == INTERNAL
    (line,) = logs
    assert (line["call"], line["exc_info"], line["log_level"]) == ("commit", error, "error")


def test_ordinary_error_is_not_logged() -> None:
    with capture_logs() as logs:
        failure_of(errors.NotLeader(), "commit")
    assert logs == []


def test_error_of_a_class_below_ours_counts_as_ours() -> None:
    class Special(errors.Conflict):
        pass

    assert failure_of(Special("no"), "commit").code == "conflict"
