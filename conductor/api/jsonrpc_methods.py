"""The JSON-RPC methods: those of the Go op-conductor, with its names, results and error texts.

Each method is a plain function of the services and its arguments; the table at the end is all of
them. Reference: `op-conductor/rpc/api.go` of ethereum-optimism/optimism.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import msgspec
from jsonrpcserver import JsonRpcError

from conductor.api.calls import LastingCalls
from conductor.api.error_map import SERVER_ERROR, failure_of
from conductor.core.values import Member, Membership, ServerId
from conductor.errors import (
    ConductorError,
    LeadershipLost,
    NotFormed,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    Refused,
    ShuttingDown,
    Unavailable,
)
from conductor.payload import ssz_from_json
from conductor.service import Conductor

COMMIT = "conductor_commitUnsafePayload"
COMMIT_FAILED = "failed to apply payload envelope"

COMMIT_TEXTS: Mapping[type[ConductorError], str] = MappingProxyType(
    {
        NotLeader: "node is not the leader",
        LeadershipLost: "leadership lost while committing log",
        Overloaded: "timed out enqueuing operation",
        ShuttingDown: "raft is already shutdown",
    }
)
"""What the Go op-conductor says when a commit fails so; our own text follows."""

VOTER, NONVOTER = 0, 1


@dataclass(frozen=True, slots=True)
class Services:
    """What the methods work with."""

    conductor: Conductor
    calls: LastingCalls


@dataclass(frozen=True, slots=True)
class Method:
    """A method. `readers` read its arguments, all of which it needs, perhaps in another thread."""

    run: Callable[..., Awaitable[object]]
    readers: tuple[Callable[[msgspec.Raw], object], ...] = ()


async def _leader(services: Services) -> bool:
    return services.conductor.leader().is_leader


async def _leader_with_id(services: Services) -> dict[str, object]:
    leader_id = services.conductor.leader().leader_id
    membership = _membership(services)
    leader = membership.member(ServerId(leader_id)) if membership else None
    address = leader.grpc_address if leader else ""
    return {"id": leader_id, "addr": address, "suffrage": VOTER}


async def _cluster_membership(services: Services) -> dict[str, object]:
    membership = _membership(services)
    if membership is None:
        return {"servers": None, "version": 0}
    servers = [_server(member) for member in membership.members]
    return {"servers": servers, "version": membership.version}


async def _active(services: Services) -> bool:
    return services.conductor.is_active()


async def _sequencer_healthy(services: Services) -> bool:
    return services.conductor.is_sequencer_healthy()


async def _commit_unsafe_payload(services: Services, ssz: bytes) -> None:
    try:
        await services.calls.run(services.conductor.commit(ssz))
    except (Refused, OutcomeUnknown, Unavailable) as error:
        text = failure_of(error, COMMIT).message
        known = COMMIT_TEXTS.get(type(error), "")
        if not text.startswith(known):
            text = f"{known}: {text}"
        raise JsonRpcError(SERVER_ERROR, f"{COMMIT_FAILED}: {text}") from error


async def _health_status(services: Services) -> str:
    return services.conductor.health().version


async def _rpc_modules(_: Services) -> dict[str, str]:
    return {name.partition("_")[0]: "1.0" for name in sorted(METHODS)}


def _membership(services: Services) -> Membership | None:
    """Who belongs to the cluster; None before it has formed."""
    try:
        return services.conductor.genesis().membership
    except NotFormed:
        return None


def _server(member: Member) -> dict[str, object]:
    suffrage = VOTER if member.voter else NONVOTER
    return {"id": member.server_id, "addr": member.grpc_address, "suffrage": suffrage}


def _ssz(envelope: msgspec.Raw) -> bytes:
    return ssz_from_json(bytes(envelope))


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "conductor_active": Method(_active),
        "conductor_clusterMembership": Method(_cluster_membership),
        COMMIT: Method(_commit_unsafe_payload, readers=(_ssz,)),
        "conductor_leader": Method(_leader),
        "conductor_leaderWithID": Method(_leader_with_id),
        "conductor_sequencerHealthy": Method(_sequencer_healthy),
        "health_status": Method(_health_status),
        "rpc_modules": Method(_rpc_modules),
    }
)
