"""What the answers of conductors say about the cluster, for people and for programs.

Invariant: pure. The verdict and the exit code follow from the answers alone, and the JSON leaves
nothing of them out.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from conductor.cli.exit_codes import ExitCode
from conductor.config import Address
from conductor.errors import ConductorError

if TYPE_CHECKING:
    from conductor.v1.conductor_pb2 import GetStatusResponse, MemberStatus
    from conductor.v1.types_pb2 import Position


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking one server: its status, or why there is none."""

    server: Address
    outcome: GetStatusResponse | ConductorError


class State(enum.Enum):
    """The cluster in a word."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    NO_LEADER = "no_leader"
    UNREACHABLE = "unreachable"


EXIT_CODES = {
    State.HEALTHY: ExitCode.OK,
    State.DEGRADED: ExitCode.DEGRADED,
    State.NO_LEADER: ExitCode.NO_LEADER,
    State.UNREACHABLE: ExitCode.UNREACHABLE,
}


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict on the cluster, and what it was made from."""

    state: State
    problems: tuple[str, ...]
    """Sentences for people: why the state is not healthy, and what else the servers tell."""
    answers: tuple[Answer, ...]

    @property
    def view(self) -> GetStatusResponse | None:
        """The answer that knows most: a leader's, else that of the highest epoch."""
        return max(
            _statuses(self.answers),
            key=lambda status: (status.is_leader, status.epoch),
            default=None,
        )

    @property
    def exit_code(self) -> ExitCode:
        """What `status` exits with."""
        return EXIT_CODES[self.state]


def make_report(answers: Sequence[Answer]) -> Report:
    """Judge the answers of one or more servers of one cluster."""
    unjudged = Report(State.UNREACHABLE, tuple(_failures(answers)), tuple(answers))
    view = unjudged.view
    if view is None:
        return unjudged
    troubles = [*unjudged.problems, *_sick_voters(view), *_rival_leaders(answers)]
    if not view.leader_id:
        state = State.NO_LEADER
        troubles.insert(0, f"no leader: one needs {view.quorum} voters that reach each other")
    else:
        state = State.DEGRADED if troubles else State.HEALTHY
    return Report(state, (*troubles, *_remarks(answers)), tuple(answers))


def missing_entries(report: Report, member: MemberStatus) -> int | None:
    """How many certified entries a member lacks on its disk; None when no answer tells."""
    view = report.view
    own = {status.server_id: status.last.index for status in _statuses(report.answers)}
    index = member.match_index or own.get(member.member.server_id)
    if view is None or index is None:
        return None
    return max(0, int(view.certified.index) - int(index))


def report_as_json(report: Report) -> dict[str, Any]:
    """Everything, in JSON's own types: bytes as hex, words as in the protobuf files."""
    return {
        "state": report.state.value,
        "exit_code": int(report.exit_code),
        "problems": list(report.problems),
        "servers": [_answer_as_json(answer) for answer in report.answers],
    }


def _statuses(answers: Sequence[Answer]) -> Iterator[GetStatusResponse]:
    for answer in answers:
        if not isinstance(answer.outcome, ConductorError):
            yield answer.outcome


def _failures(answers: Sequence[Answer]) -> Iterator[str]:
    for answer in answers:
        if isinstance(answer.outcome, ConductorError):
            yield str(answer.outcome)


def _sick_voters(view: GetStatusResponse) -> Iterator[str]:
    for status in view.members:
        if status.member.voter and not status.reachable:
            yield f"voter {status.member.server_id} is unreachable from {view.server_id}"
        elif status.member.voter and not status.serving:
            yield f"voter {status.member.server_id} is not serving"


def _rival_leaders(answers: Sequence[Answer]) -> Iterator[str]:
    leaders = {status.server_id: status for status in _statuses(answers) if status.is_leader}
    if len(leaders) > 1:
        names = ", ".join(f"{name} (epoch {leaders[name].epoch})" for name in sorted(leaders))
        yield f"more than one server answered that it leads: {names}"


def _remarks(answers: Sequence[Answer]) -> Iterator[str]:
    """What the servers say of themselves."""
    for status in _statuses(answers):
        for reason in status.reasons:
            yield f"{status.server_id} says: {reason}"
        if not status.quorum_safe and status.cluster_id:
            yield (
                f"{status.server_id} says: the quorum of {status.quorum} is not split-brain-safe"
            )


def _answer_as_json(answer: Answer) -> dict[str, Any]:
    outcome = answer.outcome
    if isinstance(outcome, ConductorError):
        error = {"code": outcome.code, "message": str(outcome)}
        return {"server": str(answer.server), "error": error, "status": None}
    return {"server": str(answer.server), "error": None, "status": _status_as_json(outcome)}


def _status_as_json(status: GetStatusResponse) -> dict[str, Any]:
    return {
        "cluster_name": status.cluster_name,
        "cluster_id": status.cluster_id.hex(),
        "server_id": status.server_id,
        "incarnation": status.incarnation,
        "role": status.role,
        "is_leader": status.is_leader,
        "leader_id": status.leader_id,
        "epoch": status.epoch,
        "last": _position_as_json(status.last),
        "certified": _position_as_json(status.certified),
        "certified_height": status.certified_height,
        "base_index": status.base_index,
        "serving": status.serving,
        "reasons": list(status.reasons),
        "quorum_safe": status.quorum_safe,
        "quorum": status.quorum,
        "members": [_member_as_json(member) for member in status.members],
        "version": status.version,
    }


def _member_as_json(status: MemberStatus) -> dict[str, Any]:
    return {
        "server_id": status.member.server_id,
        "incarnation": status.member.incarnation,
        "public_key": status.member.public_key.hex(),
        "grpc_address": status.member.grpc_address,
        "gateway_address": status.member.gateway_address,
        "voter": status.member.voter,
        "role": status.role,
        "reachable": status.reachable,
        "serving": status.serving,
        "match_index": status.match_index,
    }


def _position_as_json(position: Position) -> dict[str, Any]:
    return {"index": position.index, "epoch": position.epoch, "digest": position.digest.hex()}
