"""How the outside calls a conductor: one HTTP gateway and one gRPC service over the same use cases.

Law of this package: it decides nothing. It reads a request, makes one call of
`conductor.service.Conductor`, and writes the answer; what an error is on each wire stands in
`error_map` alone. Bad input of any kind gets a clear error, within bounded time and memory.
"""

from conductor.api.gateway import create_gateway, gateway_runner
from conductor.api.grpc_service import register

__all__ = ["create_gateway", "gateway_runner", "register"]
