"""Acknowledgements as callers bring them, in JSON or protobuf.

Invariant: what comes out of here is well formed, so that its signature can be checked; whether that
is good, and who may sign, is for the inside to judge.
"""

from __future__ import annotations

import re

import msgspec

from conductor.api.json_input import U64_MAX, decode
from conductor.core.certificate import Acknowledgement
from conductor.core.encoding import DIGEST_BYTES
from conductor.core.values import (
    ID_BYTES_MAX,
    Digest,
    Epoch,
    Incarnation,
    Index,
    MemberKey,
    ServerId,
)
from conductor.errors import InvalidArgument
from conductor.v1 import types_pb2

SIGNATURE_BYTES = 64

_HEX = re.compile(r"(?:0x)?((?:[0-9a-fA-F]{2})*)")


class _Document(msgspec.Struct):
    server_id: str
    incarnation: str
    epoch: int
    index: int
    digest: str
    signature: str


_DECODER = msgspec.json.Decoder(_Document)


def acknowledgement_from_json(raw: bytes) -> Acknowledgement:
    """The acknowledgement in a JSON object; `digest` and `signature` are hex, with 0x or without.

    InvalidArgument names the member that is missing or wrong.
    """
    document = decode(_DECODER, raw)
    return _checked(
        document.server_id,
        document.incarnation,
        document.epoch,
        document.index,
        _bytes("digest", document.digest),
        _bytes("signature", document.signature),
    )


def acknowledgement_from_wire(wire: types_pb2.Acknowledgement) -> Acknowledgement:
    """The acknowledgement in a protobuf message. InvalidArgument names the field that is wrong."""
    return _checked(
        wire.server_id, wire.incarnation, wire.epoch, wire.index, wire.digest, wire.signature
    )


def _checked(
    server_id: str, incarnation: str, epoch: int, index: int, digest: bytes, signature: bytes
) -> Acknowledgement:
    for field, name in (("server_id", server_id), ("incarnation", incarnation)):
        if not 0 < len(name.encode()) <= ID_BYTES_MAX:
            raise InvalidArgument(f"{field}: must have 1 to {ID_BYTES_MAX} bytes")
    for field, number in (("epoch", epoch), ("index", index)):
        if not 0 < number <= U64_MAX:
            raise InvalidArgument(f"{field}: is not between 1 and 2^64 - 1")
    for field, data, size in (
        ("digest", digest, DIGEST_BYTES),
        ("signature", signature, SIGNATURE_BYTES),
    ):
        if len(data) != size:
            raise InvalidArgument(f"{field}: has {len(data)} bytes, it must have {size}")
    return Acknowledgement(
        member=MemberKey(ServerId(server_id), Incarnation(incarnation)),
        epoch=Epoch(epoch),
        index=Index(index),
        digest=Digest(digest),
        signature=signature,
    )


def _bytes(field: str, text: str) -> bytes:
    match = _HEX.fullmatch(text)
    if match is None:
        raise InvalidArgument(f"{field}: is not hex of whole bytes")
    return bytes.fromhex(match[1])
