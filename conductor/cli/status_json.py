"""What conductors say of themselves, as JSON.

Invariant: nothing is left out. Bytes are hex, words are those of the protobuf files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conductor.cli.answers import Answer, error_as_json
from conductor.cli.status_report import Report
from conductor.errors import ConductorError

if TYPE_CHECKING:
    from conductor.v1.conductor_pb2 import GetStatusResponse, MemberStatus
    from conductor.v1.types_pb2 import Member, Position


def report_as_json(report: Report) -> dict[str, Any]:
    """The verdict and everything that it was made from."""
    return {
        "state": report.state.value,
        "exit_code": int(report.exit_code),
        "problems": list(report.problems),
        "servers": [_answer_as_json(answer) for answer in report.answers],
    }


def _answer_as_json(answer: Answer[GetStatusResponse]) -> dict[str, Any]:
    outcome = answer.outcome
    if isinstance(outcome, ConductorError):
        return {"server": str(answer.server), "error": error_as_json(outcome), "status": None}
    return {"server": str(answer.server), "error": None, "status": status_as_json(outcome)}


def status_as_json(status: GetStatusResponse) -> dict[str, Any]:
    """`GetStatusResponse`."""
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
        "members": [_member_status_as_json(member) for member in status.members],
        "version": status.version,
        "paused": status.paused,
        "leader_overridden": status.leader_overridden,
    }


def member_as_json(member: Member) -> dict[str, Any]:
    """`Member`."""
    return {
        "server_id": member.server_id,
        "incarnation": member.incarnation,
        "public_key": member.public_key.hex(),
        "grpc_address": member.grpc_address,
        "gateway_address": member.gateway_address,
        "voter": member.voter,
    }


def _member_status_as_json(status: MemberStatus) -> dict[str, Any]:
    return {
        **member_as_json(status.member),
        "role": status.role,
        "reachable": status.reachable,
        "serving": status.serving,
        "match_index": status.match_index,
    }


def _position_as_json(position: Position) -> dict[str, Any]:
    return {"index": position.index, "epoch": position.epoch, "digest": position.digest.hex()}
