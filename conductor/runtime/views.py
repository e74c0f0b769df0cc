"""What a node says of itself to its callers, put together from the core, the probes and the
monitors.
"""

from __future__ import annotations

from collections.abc import Mapping

from conductor import __version__
from conductor.core.machine import Machine
from conductor.core.values import Epoch, Member, Position, ServerId
from conductor.ports import MemberObservation
from conductor.runtime.monitor import Condition
from conductor.service import HealthView, LeaderView, MemberView, StatusView


def epoch_of(machine: Machine) -> Epoch:
    """The epoch of the leadership that is known, or the highest promised one."""
    leader = machine.known_leader
    return leader.epoch if leader else machine.node.promise.epoch


def certified_height(machine: Machine) -> int | None:
    """The newest certified height; None while no payload is certified."""
    entry = machine.node.log.certified_payload
    return entry.block.height if entry and entry.block else None


def leader_view(machine: Machine | None) -> LeaderView:
    """The leadership; nobody's, in epoch 0, before the cluster has formed."""
    if machine is None:
        return LeaderView(False, False, Epoch(0), "", "", 0)
    leader = machine.known_leader
    member = machine.node.log.membership.member(leader.server_id) if leader else None
    height = certified_height(machine)
    return LeaderView(
        is_leader=machine.is_established,
        is_overridden=False,
        epoch=epoch_of(machine),
        leader_id=leader.server_id if leader else "",
        leader_address=member.gateway_address if member else "",
        next_height=0 if height is None else height + 1,
    )


def health_view(
    machine: Machine | None, own: Member, condition: Condition, *, quorum_safe: bool
) -> HealthView:
    """Whether the node is fit to lead, and why not."""
    leader = leader_view(machine)
    height = certified_height(machine) if machine else None
    return HealthView(
        serving=condition.serving,
        identity=own.public_key.hex(),
        epoch=leader.epoch,
        is_leader=leader.is_leader,
        server_id=own.server_id,
        leader_id=leader.leader_id,
        certified_height=height or 0,
        quorum_safe=quorum_safe,
        reasons=(*condition.reasons, *condition.remarks),
        version=__version__,
    )


def member_views(
    machine: Machine, observed: Mapping[ServerId, MemberObservation]
) -> tuple[MemberView, ...]:
    """Every member as this node sees it."""
    views = []
    for member in machine.node.log.membership.members:
        observation = observed.get(member.server_id)
        views.append(
            MemberView(
                server_id=member.server_id,
                incarnation=member.incarnation,
                public_key=member.public_key,
                grpc_address=member.grpc_address,
                gateway_address=member.gateway_address,
                voter=member.voter,
                role=_role(machine, member.server_id, observation),
                reachable=observation is not None and observation.reachable,
                serving=observation is not None and observation.serving,
                match_index=_match_index(machine, member.server_id),
            )
        )
    return tuple(views)


def _role(machine: Machine, server_id: ServerId, observation: MemberObservation | None) -> str:
    if server_id == machine.node.key.server_id:
        return machine.role.value
    if machine.known_leader is not None and machine.known_leader.server_id == server_id:
        return "leader"
    return "follower" if observation is not None and observation.reachable else "unknown"


def _match_index(machine: Machine, server_id: ServerId) -> int:
    if machine.leadership is None:
        return 0
    if server_id == machine.node.key.server_id:
        return machine.node.log.last.index
    progress = machine.leadership.replication.progress.get(server_id)
    return progress.match if progress else 0


def status_view(
    machine: Machine | None,
    own: Member,
    cluster_name: str,
    health: HealthView,
    observed: Mapping[ServerId, MemberObservation],
) -> StatusView:
    """Everything at a glance."""
    if machine is None:
        nowhere = Position.nowhere()
        return StatusView(
            cluster_name=cluster_name,
            cluster_id=b"",
            incarnation=own.incarnation,
            role="forming",
            health=health,
            last=nowhere,
            certified=nowhere,
            base_index=nowhere.index,
            quorum=0,
            members=(),
            paused=False,
            leader_overridden=False,
        )
    log = machine.node.log
    return StatusView(
        cluster_name=cluster_name,
        cluster_id=machine.node.cluster_id,
        incarnation=own.incarnation,
        role=machine.role.value,
        health=health,
        last=log.last,
        certified=log.certified,
        base_index=log.base.position.index,
        quorum=log.membership.quorum,
        members=member_views(machine, observed),
        paused=False,
        leader_overridden=False,
    )
