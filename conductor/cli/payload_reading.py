"""Reads a payload with its certificate from the first server that has them.

Invariant: payload and certificate are of one server, and of one moment if the cluster lets them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from conductor.cli.client import (
    GET_CERTIFICATE,
    GET_STATUS,
    Conductors,
    get_latest_payload,
    get_payload,
)
from conductor.cli.words import say
from conductor.config import Address
from conductor.errors import ConductorError, ensure

if TYPE_CHECKING:
    from conductor.cli.payload_proof import Claim
    from conductor.v1.conductor_pb2 import GetCertificateResponse

ATTEMPTS_MAX = 10
"""How often a busy cluster may get ahead between two calls."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A payload as a server gave it."""

    server: Address
    ssz: bytes
    index: int
    epoch: int
    certificate: GetCertificateResponse | None


@dataclass(frozen=True, slots=True)
class Wish:
    """What to read."""

    height: int | None
    """None: the newest."""
    consistent: bool
    with_certificate: bool


def read_payload(conductors: Conductors, servers: Sequence[Address], wish: Wish) -> Reading:
    """From the first of the servers that has it; says why the others were passed over.

    Raises the error of the last one when none has it.
    """
    *others, last = servers
    for server in others:
        try:
            return _read(conductors, server, wish)
        except ConductorError as error:
            say(f"warning: {error}")
    return _read(conductors, last, wish)


def _read(conductors: Conductors, server: Address, wish: Wish) -> Reading:
    reading = _read_alone(conductors, server, wish)
    if not wish.with_certificate:
        return reading
    for _ in range(ATTEMPTS_MAX):
        response = conductors.ask(GET_CERTIFICATE, server)
        certified_index = response.certificate.index
        if wish.height is None and reading.index < certified_index:
            # What is certified has moved on meanwhile, and perhaps does so again.
            reading = _read_alone(conductors, server, wish)
        if reading.index <= certified_index:
            break
    return Reading(server, reading.ssz, reading.index, reading.epoch, response)


def _read_alone(conductors: Conductors, server: Address, wish: Wish) -> Reading:
    stored: Any
    if wish.height is None:
        stored = conductors.ask(get_latest_payload(consistent=wish.consistent), server)
    else:
        stored = conductors.ask(get_payload(wish.height), server)
    return Reading(server, stored.payload, stored.index, stored.epoch, None)


def claim_of(conductors: Conductors, reading: Reading, wish: Wish) -> Claim:
    """What the server said, as values to check; InvalidArgument for what is not well formed."""
    from conductor.cli.payload_proof import Claim
    from conductor.core.values import Digest
    from conductor.peers.wire_members import base_from_wire, head_from_wire
    from conductor.peers.wire_values import certificate_from_wire
    from conductor.v1.replication_pb2 import Base
    from conductor.v1.types_pb2 import Position

    response = reading.certificate
    ensure(response is not None, "a claim without its certificate")
    assert response is not None
    certificate = certificate_from_wire(response.certificate, "certificate")
    position = certificate.position
    place = Position(index=position.index, epoch=position.epoch, digest=position.digest)
    base = base_from_wire(Base(position=place, membership=response.membership), "certificate")
    return Claim(
        ssz=reading.ssz,
        height=wish.height,
        index=reading.index,
        epoch=reading.epoch,
        cluster_name=conductors.ask(GET_STATUS, reading.server).cluster_name,
        cluster_id=Digest(response.cluster_id),
        membership=base.membership,
        certificate=certificate,
        head=head_from_wire(response.head, "head") if response.HasField("head") else None,
    )
