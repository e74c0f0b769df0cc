"""The JSON-RPC methods of operators: pause, resume, stop, override and hand over the leadership.

Invariant: what was begun runs to its end, also when the client hangs up. Every method answers null,
as at the Go op-conductor; a transfer answers once it is known what became of it.
"""

from __future__ import annotations

from conductor.api.jsonrpc_cluster import member_of
from conductor.api.jsonrpc_method import Services
from conductor.core.values import Member, ServerId
from conductor.errors import NotLeader, TransferRefused


async def pause(services: Services) -> None:
    """Step aside."""
    await services.calls.run(services.conductor.pause())


async def resume(services: Services) -> None:
    """Take part again."""
    await services.calls.run(services.conductor.resume())


async def stop(services: Services) -> None:
    """End the process."""
    await services.calls.run(services.conductor.stop())


async def override_leader(services: Services, overridden: bool) -> None:
    """Say that this node leads, or the truth again."""
    await services.calls.run(services.conductor.override_leader(overridden))


async def transfer_leader(services: Services) -> None:
    """Pass the leadership to the best voter; a node that does not lead has nothing to do."""
    try:
        await services.calls.run(services.conductor.transfer(None))
    except NotLeader:
        return


async def transfer_leader_to_server(services: Services, server_id: str, address: str) -> None:
    """Pass the leadership to the server of that id, which must be at that address."""
    conductor = services.conductor
    target = member_of(conductor, server_id)
    if target is not None and target.server_id != conductor.health().server_id:
        _refuse_other_address(services, target, address)
    await services.calls.run(conductor.transfer(ServerId(server_id)))


def _refuse_other_address(services: Services, target: Member, address: str) -> None:
    """The Go op-conductor would call whoever is at the address; here that must be the target.

    An empty address is none that could be wrong.
    """
    if address in ("", target.grpc_address, target.gateway_address):
        return
    leader = services.conductor.leader()
    if not leader.is_leader:
        raise NotLeader(leader_id=leader.leader_id)
    raise TransferRefused(
        f"{target.server_id} is at {target.grpc_address}, not at {address}: "
        "see conductor_clusterMembership"
    )
