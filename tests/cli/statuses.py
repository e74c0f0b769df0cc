"""Builds the answers of a small cluster: servers a, b and c, of which a leads in epoch 3."""

from __future__ import annotations

from conductor.cli.answers import Answer
from conductor.config import Address
from conductor.errors import PeerUnreachable
from conductor.v1.conductor_pb2 import GetStatusResponse, MemberStatus
from conductor.v1.types_pb2 import Member, Position


def member(
    server_id: str,
    role: str = "follower",
    *,
    voter: bool = True,
    reachable: bool = True,
    serving: bool = True,
    match_index: int = 0,
) -> MemberStatus:
    """One member as a node sees it."""
    return MemberStatus(
        member=Member(
            server_id=server_id,
            incarnation="0f" * 16,
            public_key=b"\x01" * 32,
            grpc_address=f"{server_id}:18080",
            gateway_address=f"{server_id}:8080",
            voter=voter,
        ),
        role=role,
        reachable=reachable,
        serving=serving,
        match_index=match_index,
    )


def position(index: int) -> Position:
    """A place in the log of epoch 3."""
    return Position(index=index, epoch=3, digest=b"\x02" * 32)


def healthy_members() -> list[MemberStatus]:
    """All three, as the leader sees them: c has not yet stored the newest certified entry."""
    return [
        member("a", "leader", match_index=12),
        member("b", match_index=11),
        member("c", match_index=10),
    ]


def status(
    server_id: str = "a",
    *,
    leader_id: str = "a",
    epoch: int = 3,
    members: list[MemberStatus] | None = None,
    reasons: tuple[str, ...] = (),
    quorum_safe: bool = True,
    serving: bool = True,
    paused: bool = False,
    overridden: bool = False,
    version: str = "0.1.0",
    cluster: int = 3,
    quorum: int = 2,
) -> GetStatusResponse:
    """What that server answers."""
    is_leader = server_id == leader_id
    return GetStatusResponse(
        cluster_name="chain-7",
        cluster_id=bytes([cluster]) * 32,
        server_id=server_id,
        incarnation="0f" * 16,
        role="leader" if is_leader else "follower",
        is_leader=is_leader or overridden,
        leader_id=leader_id,
        epoch=epoch,
        last=position(12),
        certified=position(11),
        certified_height=110,
        base_index=2,
        serving=serving,
        reasons=reasons,
        quorum_safe=quorum_safe,
        quorum=quorum,
        members=healthy_members() if members is None else members,
        version=version,
        paused=paused,
        leader_overridden=overridden,
    )


def forming() -> GetStatusResponse:
    """What a server answers whose cluster has not formed."""
    return GetStatusResponse(
        cluster_name="chain-7",
        server_id="a",
        role="forming",
        quorum=2,
        reasons=["waiting for b:18080"],
        version="0.1.0",
    )


def answer(outcome: GetStatusResponse) -> Answer[GetStatusResponse]:
    """It came from the server that it speaks of."""
    return Answer(Address(outcome.server_id, 18080), outcome)


def silence(host: str = "c") -> Answer[GetStatusResponse]:
    """No answer from that host."""
    return Answer(Address(host, 18080), PeerUnreachable(f"{host}:18080 does not answer"))
