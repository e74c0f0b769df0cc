"""Where the members of a cluster are, from what some of them say.

Invariant: pure. An address that cannot be one is passed over: it came from a server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from conductor.cli.answers import Answer, answered
from conductor.cli.status_report import best_view
from conductor.config import Address, parse_address
from conductor.errors import ConfigError

if TYPE_CHECKING:
    from conductor.v1.conductor_pb2 import GetStatusResponse


def unasked_members(answers: Sequence[Answer[GetStatusResponse]]) -> list[Address]:
    """The gRPC addresses of the members that have not answered, as the best answer names them."""
    view = best_view(answers)
    if view is None:
        return []
    known = {status.server_id for _, status in answered(answers)}
    asked = {answer.server for answer in answers}
    addresses = [
        _address(status.member.grpc_address)
        for status in view.members
        if status.member.server_id not in known
    ]
    return [address for address in addresses if address is not None and address not in asked]


def address_of(server_id: str, answers: Sequence[Answer[GetStatusResponse]]) -> Address | None:
    """Where to ask that member: where it has just answered, else where the best answer says."""
    for server, status in answered(answers):
        if status.server_id == server_id:
            return server
    view = best_view(answers)
    for member in view.members if view is not None else ():
        if member.member.server_id == server_id:
            return _address(member.member.grpc_address)
    return None


def _address(text: str) -> Address | None:
    try:
        return parse_address(text)
    except ConfigError:
        return None
