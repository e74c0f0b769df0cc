"""The JSON-RPC methods about payloads: commit them, read them, and prove that they are certified.

A commit that fails begins with the text of the Go op-conductor, where it has one.
Reference: `op-conductor/conductor/service.go` of ethereum-optimism/optimism.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

import msgspec
from jsonrpcserver import JsonRpcError

from conductor.api.calls import worked_out
from conductor.api.documents import (
    AcknowledgedDocument,
    CertificateDocument,
    certificate_document,
)
from conductor.api.error_map import SERVER_ERROR, failure_of
from conductor.api.jsonrpc_method import Services
from conductor.core.certificate import Acknowledgement
from conductor.core.values import Height
from conductor.errors import (
    ConductorError,
    LeadershipLost,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    Refused,
    ShuttingDown,
    Unavailable,
)
from conductor.payload import json_from_ssz
from conductor.service import StoredPayload

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


async def commit_unsafe_payload(services: Services, ssz: bytes) -> None:
    """Certify a payload."""
    try:
        await services.calls.run(services.conductor.commit(ssz))
    except (Refused, OutcomeUnknown, Unavailable) as error:
        text = failure_of(error, COMMIT).message
        known = COMMIT_TEXTS.get(type(error), "")
        if not text.startswith(known):
            text = f"{known}: {text}"
        raise JsonRpcError(SERVER_ERROR, f"{COMMIT_FAILED}: {text}") from error


async def latest_unsafe_payload(services: Services, consistent: bool) -> msgspec.Raw:
    """The newest certified payload."""
    return await _envelope(services, lambda: services.conductor.latest(consistent=consistent))


async def payload_by_height(services: Services, height: Height) -> msgspec.Raw:
    """A certified payload of the present chain."""
    return await _envelope(services, lambda: services.conductor.payload_by_height(height))


async def certificate(services: Services) -> CertificateDocument:
    """The newest certificate."""
    return certificate_document(services.conductor.certificate())


async def acknowledge(services: Services, word: Acknowledgement) -> AcknowledgedDocument:
    """Count an acknowledgement that came this way."""
    receipt = await services.calls.run(services.conductor.acknowledge(word))
    return AcknowledgedDocument(certified=receipt.certified, height=receipt.height)


async def _envelope(
    services: Services, read: Callable[[], Awaitable[StoredPayload]]
) -> msgspec.Raw:
    """A payload as op-node's envelope JSON."""
    async with services.payload_reads:
        stored = await read()
        return msgspec.Raw(await worked_out(json_from_ssz, stored.ssz))
