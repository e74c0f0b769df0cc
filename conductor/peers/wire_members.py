"""Members, memberships, greetings and orders as protobuf messages, both ways.

A greeting comes from anyone who can reach the port: whatever it holds, what comes out of here is
well formed, and a genesis or a membership has a quorum. Errors are `InvalidArgument` naming the
field.
"""

from __future__ import annotations

from collections.abc import Sequence

from conductor.core.encoding import DIGEST_BYTES
from conductor.core.founding import RaftEnd
from conductor.core.greeting import Greeting
from conductor.core.messages import HandOverOrder
from conductor.core.quorum import quorum_size
from conductor.core.values import (
    MEMBERS_MAX,
    Base,
    BlockReference,
    Digest,
    Epoch,
    Genesis,
    Head,
    Height,
    Incarnation,
    Index,
    Member,
    MemberKey,
    Membership,
    ServerId,
)
from conductor.errors import ConfigError, InvalidArgument
from conductor.peers import fields
from conductor.peers.wire_values import (
    SIGNATURE_BYTES,
    key_from_wire,
    position_from_wire,
    position_to_wire,
)
from conductor.v1 import replication_pb2, types_pb2

PUBLIC_KEY_BYTES = 32


def member_to_wire(member: Member) -> types_pb2.Member:
    """`Member`."""
    return types_pb2.Member(
        server_id=member.server_id,
        incarnation=member.incarnation,
        public_key=member.public_key,
        grpc_address=member.grpc_address,
        gateway_address=member.gateway_address,
        voter=member.voter,
    )


def member_from_wire(wire: types_pb2.Member, field: str) -> Member:
    """`Member`."""
    key = key_from_wire(wire.server_id, wire.incarnation, field)
    member = Member(
        server_id=key.server_id,
        incarnation=key.incarnation,
        public_key=wire.public_key,
        grpc_address=wire.grpc_address,
        gateway_address=wire.gateway_address,
        voter=wire.voter,
    )
    _check_member(member, field)
    return member


def _check_member(member: Member, field: str) -> None:
    fields.name(member.server_id, f"{field}.server_id")
    fields.name(member.incarnation, f"{field}.incarnation")
    fields.fixed(member.public_key, PUBLIC_KEY_BYTES, f"{field}.public_key")
    fields.address(member.grpc_address, f"{field}.grpc_address")
    fields.address(member.gateway_address, f"{field}.gateway_address")


def _check_members(members: Sequence[Member], quorum_rule: int, field: str, list_name: str) -> None:
    """Refuse what is no membership: no voter, too long, unsorted, double or without a quorum."""
    rule_field, field = f"{field}.quorum_rule", f"{field}.{list_name}"
    fields.at_most(len(members), MEMBERS_MAX, field)
    for place, member in enumerate(members):
        _check_member(member, f"{field}[{place}]")
    ids = [member.server_id for member in members]
    if ids != sorted(set(ids)):
        raise InvalidArgument(f"{field}: are not in the order of their ids, each once")
    voters_count = sum(1 for member in members if member.voter)
    if voters_count == 0:
        raise InvalidArgument(f"{field}: hold no voter")
    try:
        quorum_size(quorum_rule, voters_count)
    except ConfigError as error:
        raise InvalidArgument(f"{rule_field}: {error}") from error


def base_to_wire(base: Base) -> replication_pb2.Base:
    """`Base`."""
    membership = base.membership
    return replication_pb2.Base(
        position=position_to_wire(base.position),
        membership=types_pb2.Membership(
            members=[member_to_wire(member) for member in membership.members],
            quorum_rule=membership.quorum_rule,
            version=membership.version,
        ),
    )


def base_from_wire(wire: replication_pb2.Base, field: str) -> Base:
    """`Base`."""
    fields.present(wire, "position", f"{field}.position")
    fields.present(wire, "membership", f"{field}.membership")
    position = position_from_wire(wire.position, f"{field}.position")
    membership = _membership_from_wire(wire.membership, f"{field}.membership")
    if membership.version > position.index:
        raise InvalidArgument(
            f"{field}.membership.version: {membership.version} is above index {position.index}"
        )
    return Base(position, membership)


def _membership_from_wire(wire: types_pb2.Membership, field: str) -> Membership:
    members = tuple(
        member_from_wire(member, f"{field}.members[{place}]")
        for place, member in enumerate(wire.members[: MEMBERS_MAX + 1])
    )
    _check_members(members, wire.quorum_rule, field, "members")
    return Membership(members, wire.quorum_rule, Index(wire.version))


def greeting_to_wire(greeting: Greeting) -> replication_pb2.Greeting:
    """`Greeting`."""
    return replication_pb2.Greeting(
        cluster_name=greeting.cluster_name,
        member=member_to_wire(greeting.member),
        configured_voters=greeting.configured_voters,
        quorum_rule=greeting.quorum_rule,
        genesis=greeting.genesis.to_bytes() if greeting.genesis is not None else b"",
        proposed_cluster_id=greeting.proposed_cluster_id or b"",
        paused=greeting.paused,
        version=greeting.version,
        initial_leader=greeting.initial_leader or "",
        raft_end=_raft_end_to_wire(greeting.raft_end) if greeting.raft_end is not None else None,
    )


def greeting_from_wire(wire: replication_pb2.Greeting) -> Greeting:
    """`Greeting`."""
    fields.present(wire, "member", "greeting.member")
    return Greeting(
        cluster_name=fields.name(wire.cluster_name, "greeting.cluster_name"),
        member=member_from_wire(wire.member, "greeting.member"),
        configured_voters=_voters_from_wire(wire.configured_voters),
        quorum_rule=wire.quorum_rule,
        genesis=_genesis_from_wire(wire.genesis) if wire.genesis else None,
        proposed_cluster_id=_proposal_from_wire(wire.proposed_cluster_id),
        paused=wire.paused,
        version=fields.name(wire.version, "greeting.version"),
        initial_leader=_initial_leader_from_wire(wire.initial_leader),
        raft_end=_raft_end_from_wire(wire.raft_end) if wire.HasField("raft_end") else None,
    )


def _voters_from_wire(addresses: Sequence[str]) -> tuple[str, ...]:
    field = "greeting.configured_voters"
    fields.at_most(len(addresses), MEMBERS_MAX, field)
    voters = tuple(
        fields.name(address, f"{field}[{place}]") for place, address in enumerate(addresses)
    )
    if list(voters) != sorted(set(voters)):
        raise InvalidArgument(f"{field}: are not sorted, each once")
    return voters


def _genesis_from_wire(data: bytes) -> Genesis:
    field = "greeting.genesis"
    try:
        genesis = Genesis.from_bytes(data)
    except InvalidArgument as error:
        raise InvalidArgument(f"{field}: {error}") from error
    fields.name(genesis.cluster_name, f"{field}.cluster_name")
    _check_members(genesis.voters, genesis.quorum_rule, field, "voters")
    return genesis


def _initial_leader_from_wire(name: str) -> ServerId | None:
    return ServerId(fields.name(name, "greeting.initial_leader")) if name else None


def _raft_end_to_wire(end: RaftEnd) -> replication_pb2.RaftEnd:
    head = head_to_wire(end.head) if end.head is not None else None
    return replication_pb2.RaftEnd(term=end.term, index=end.index, head=head)


def _raft_end_from_wire(wire: replication_pb2.RaftEnd) -> RaftEnd:
    head = head_from_wire(wire.head, "greeting.raft_end.head") if wire.HasField("head") else None
    return RaftEnd(wire.term, wire.index, head)


def head_to_wire(head: Head) -> types_pb2.Head:
    """`Head`."""
    return types_pb2.Head(
        height=head.block.height,
        block_hash=head.block.block_hash,
        parent_hash=head.block.parent_hash,
        body_hash=head.body_hash,
    )


def head_from_wire(wire: types_pb2.Head, field: str) -> Head:
    """`Head`."""
    block = BlockReference(
        height=Height(wire.height),
        block_hash=fields.fixed(wire.block_hash, DIGEST_BYTES, f"{field}.block_hash"),
        parent_hash=fields.fixed(wire.parent_hash, DIGEST_BYTES, f"{field}.parent_hash"),
    )
    return Head(block, fields.fixed(wire.body_hash, DIGEST_BYTES, f"{field}.body_hash"))


def _proposal_from_wire(data: bytes) -> Digest | None:
    return fields.digest(data, "greeting.proposed_cluster_id") if data else None


def order_to_wire(order: HandOverOrder) -> replication_pb2.HandOverOrder:
    """`HandOverOrder`. Its cluster id is that of the message's sender."""
    return replication_pb2.HandOverOrder(
        epoch=order.epoch,
        leader_id=order.leader.server_id,
        leader_incarnation=order.leader.incarnation,
        target_id=order.target.server_id,
        target_incarnation=order.target.incarnation,
        signature=order.signature,
    )


def order_from_wire(
    wire: replication_pb2.HandOverOrder, cluster_id: Digest, field: str
) -> HandOverOrder:
    """`HandOverOrder`, for the cluster that the message's sender speaks for."""
    return HandOverOrder(
        cluster_id=cluster_id,
        epoch=Epoch(wire.epoch),
        leader=MemberKey(
            ServerId(fields.name(wire.leader_id, f"{field}.leader_id")),
            Incarnation(fields.name(wire.leader_incarnation, f"{field}.leader_incarnation")),
        ),
        target=MemberKey(
            ServerId(fields.name(wire.target_id, f"{field}.target_id")),
            Incarnation(fields.name(wire.target_incarnation, f"{field}.target_incarnation")),
        ),
        signature=fields.fixed(wire.signature, SIGNATURE_BYTES, f"{field}.signature"),
    )
