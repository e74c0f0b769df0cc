"""The JSON-RPC methods that say how things are: who leads, who is a member, what is well.

Names, results and texts are those of the Go op-conductor where it has the method.
Reference: `op-conductor/rpc/api.go` of ethereum-optimism/optimism.
"""

from __future__ import annotations

from conductor.api.documents import (
    ServerDocument,
    ServersDocument,
    StatusDocument,
    status_document,
)
from conductor.api.jsonrpc_method import Services
from conductor.core.values import Member, Membership, ServerId
from conductor.errors import NotFormed
from conductor.service import Conductor

VOTER, NONVOTER = 0, 1

OVERRIDDEN_LEADER = ServerDocument(id="N/A (Leader overridden)", addr="N/A", suffrage=VOTER)


async def leader(services: Services) -> bool:
    """Whether this node leads, or is to say so."""
    view = services.conductor.leader()
    return view.is_leader or view.is_overridden


async def leader_with_id(services: Services) -> ServerDocument:
    """The leader as a server; empty texts while none is known."""
    view = services.conductor.leader()
    if view.is_overridden:
        return OVERRIDDEN_LEADER
    member = member_of(services.conductor, view.leader_id)
    address = member.grpc_address if member else ""
    return ServerDocument(id=view.leader_id, addr=address, suffrage=VOTER)


async def leader_overridden(services: Services) -> bool:
    """Whether an operator makes this node say that it leads."""
    return services.conductor.is_leader_overridden()


async def cluster_membership(services: Services) -> ServersDocument:
    """Every server."""
    membership = _membership_of(services.conductor)
    if membership is None:
        return ServersDocument(servers=None, version=0)
    servers = [_server(member) for member in membership.members]
    return ServersDocument(servers=servers, version=membership.version)


async def active(services: Services) -> bool:
    """Whether the node runs and is not paused."""
    return services.conductor.is_active()


async def paused(services: Services) -> bool:
    """Whether an operator has paused the node."""
    return services.conductor.is_paused()


async def stopped(services: Services) -> bool:
    """Whether the end of the node has begun."""
    return services.conductor.is_stopped()


async def sequencer_healthy(services: Services) -> bool:
    """Whether the sequencer is healthy."""
    return services.conductor.is_sequencer_healthy()


async def epoch(services: Services) -> int:
    """The epoch of the leadership that is known, or the highest promised one."""
    return services.conductor.leader().epoch


async def status(services: Services) -> StatusDocument:
    """All of it."""
    return status_document(services.conductor.status())


async def health_status(services: Services) -> str:
    """The version of the program."""
    return services.conductor.health().version


def member_of(conductor: Conductor, server_id: str) -> Member | None:
    """The member of that name; None when there is none, or no cluster yet."""
    membership = _membership_of(conductor)
    return membership.member(ServerId(server_id)) if membership else None


def _membership_of(conductor: Conductor) -> Membership | None:
    try:
        return conductor.genesis().membership
    except NotFormed:
        return None


def _server(member: Member) -> ServerDocument:
    suffrage = VOTER if member.voter else NONVOTER
    return ServerDocument(id=member.server_id, addr=member.grpc_address, suffrage=suffrage)
