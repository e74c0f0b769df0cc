"""The peer adapter: greetings, replication streams, health probes, all over gRPC.

Law of this package: bytes of others become core values in the `wire_` modules, `codec` and `calls`
alone; gRPC errors become ours in `error_map` alone; every task has an owner that stops it.
"""

from conductor.peers.channels import server_options
from conductor.peers.checked_requests import CheckedRequests
from conductor.peers.grpc_log import refuse_quietly
from conductor.peers.health import LocalHealth
from conductor.peers.probes import Prober
from conductor.peers.transport import GrpcPeers

__all__ = [
    "CheckedRequests",
    "GrpcPeers",
    "LocalHealth",
    "Prober",
    "refuse_quietly",
    "server_options",
]
