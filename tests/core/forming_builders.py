"""Nodes that want to form a cluster, for the tests of forming."""

from __future__ import annotations

import dataclasses
import hashlib

from conductor.core.forming import Formed, Forming, Waiting
from conductor.core.founding import RaftEnd
from conductor.core.greeting import Greeting
from conductor.core.pinning import OwnFacts
from conductor.core.quorum import MAJORITY
from conductor.core.values import Genesis, Incarnation, Member, ServerId

ADDRESSES = ("host-a:18080", "host-b:18080", "host-c:18080")


def a_member(name: str, incarnation: int = 0, **changes: object) -> Member:
    """The member `name` at `host-name`, in its n-th incarnation."""
    member = Member(
        server_id=ServerId(name),
        incarnation=Incarnation(f"{name}{incarnation}"),
        public_key=hashlib.sha256(name.encode()).digest(),
        grpc_address=f"host-{name}:18080",
        gateway_address=f"host-{name}:8080",
    )
    return dataclasses.replace(member, **changes)  # type: ignore[arg-type]


def facts(
    member: Member,
    *,
    voters: tuple[str, ...] = ADDRESSES,
    rule: int = MAJORITY,
    cluster_name: str = "test",
    initial_leader: str | None = None,
    raft_end: RaftEnd | None = None,
) -> OwnFacts:
    """What that member knows of itself."""
    named = ServerId(initial_leader) if initial_leader is not None else None
    return OwnFacts(cluster_name, member, voters, rule, "0.0.0", named, raft_end)


def exchange(*nodes: Forming, rounds: int = 3) -> None:
    """Everyone greets everyone that it can find among `nodes`, a few times."""
    by_address = {node.greeting(paused=False).member.grpc_address: node for node in nodes}
    for _ in range(rounds):
        for node in nodes:
            for address in node.addresses:
                if address in by_address:
                    node.heard(address, by_address[address].greeting(paused=False))
                else:
                    node.unreachable(address, "connection refused")


def greeting_of(node: Forming, **changes: object) -> Greeting:
    """What the node says now, with some of it changed."""
    return dataclasses.replace(node.greeting(paused=False), **changes)  # type: ignore[arg-type]


def genesis_of(node: Forming) -> Genesis:
    """The genesis that the node stores now."""
    verdict = node.verdict()
    assert isinstance(verdict, Formed), verdict
    node.stored()
    return verdict.genesis


def reasons_of(node: Forming) -> str:
    """Why the node waits."""
    verdict = node.verdict()
    assert isinstance(verdict, Waiting), verdict
    assert verdict.reasons
    return "\n".join(verdict.reasons)
