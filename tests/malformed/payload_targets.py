"""Payloads, as JSON and as SSZ."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from functools import partial

from conductor.errors import InvalidPayload, TooLarge
from conductor.payload import (
    decode,
    encode,
    json_from_ssz,
    payload_header,
    ssz_from_json,
    validate_ssz,
)
from tests.malformed.byte_mutation import noise, spoiled_bytes
from tests.malformed.json_mutation import spoiled_json
from tests.malformed.target import TAKEN, Target, outcome_of
from tests.payload.builders import a_document, an_envelope, as_bytes

MIB = 2**20
VERSIONS = (1, 2, 3, 4)

_SSZ = tuple(encode(an_envelope(version)) for version in VERSIONS)
_OFFSETS_AT = (468, 536, 540)
"""Of extraData, transactions and withdrawals; `layout` of the codec has them."""
_OFFSETS = (0, 1, 3, 4, 507, 508, 509, 512, 528, 560, 569, 2**24, 2**31, 2**32 - 1)


def spoiled_ssz(chance: random.Random) -> bytes:
    """An envelope with wrong offsets, or bytes changed without a plan."""
    sample = chance.choice(_SSZ)
    if chance.random() < 0.05:
        return noise(chance)
    if chance.random() < 0.4:
        return spoiled_bytes(chance, sample)
    data = bytearray(sample)
    for _ in range(1 + chance.randrange(3)):
        (begin,) = struct.unpack_from("<I", sample, 536)
        at = chance.choice((*_OFFSETS_AT, *(32 + begin + 4 * place for place in range(4))))
        offset = chance.choice((*_OFFSETS, len(sample), len(sample) - 32, begin, begin + 12))
        struct.pack_into("<I", data, at, offset)
    return bytes(data[: chance.randrange(len(data))] if chance.random() < 0.1 else data)


def spoiled_payload_json(chance: random.Random) -> bytes:
    """An envelope or a bare payload as op-node writes them, with something wrong."""
    document = a_document(chance.choice(VERSIONS))
    return spoiled_json(chance, document if chance.random() < 0.8 else document["executionPayload"])


def _take_json(data: bytes) -> str:
    outcome = outcome_of(ssz_from_json, data, InvalidPayload, TooLarge)
    if outcome == TAKEN:
        ssz = ssz_from_json(data)
        assert encode(decode(ssz)) == ssz
    return outcome


def _take_ssz(data: bytes) -> str:
    """All that read SSZ agree, and what they accept is canonical."""
    outcome = outcome_of(decode, data, InvalidPayload, TooLarge)
    assert outcome_of(validate_ssz, data, InvalidPayload, TooLarge) == outcome
    assert outcome_of(json_from_ssz, data, InvalidPayload, TooLarge) == outcome
    outcome_of(payload_header, data, InvalidPayload, TooLarge)
    if outcome == TAKEN:
        assert encode(decode(data)) == data
    return outcome


def heavy_json(valid: bytes) -> Iterator[bytes]:
    """Large bodies of JSON, each hard in another way."""
    yield b"[" * (4 * MIB)
    yield b'{"a":' * MIB
    yield b"[" + b"[]," * MIB + b"[]]"
    yield b"[" + b"1," * (2 * MIB) + b"1]"
    yield b"9" * (4 * MIB)
    yield b"1e" + b"9" * (4 * MIB)
    yield b'"' + b"\\u00e9" * MIB + b'"'
    yield b'"' + b"\\" * (4 * MIB)
    yield b"{" + b",".join(b'"%d":0' % number for number in range(MIB // 4)) + b"}"
    yield b'{"method":"' + b"x" * (4 * MIB) + b'","jsonrpc":"2.0","id":1}'
    yield b" " * (8 * MIB) + valid
    yield valid[:-1] + b"," * (4 * MIB)
    yield valid * 2000


def _heavy_ssz() -> Iterator[bytes]:
    sample = _SSZ[-1]
    (begin,) = struct.unpack_from("<I", sample, 536)
    many = b"".join(struct.pack("<I", 4 * MIB) for _ in range(MIB)) + bytes(MIB)
    falling = struct.pack("<I", 4 * MIB) + b"".join(
        struct.pack("<I", 8 * MIB - place) for place in range(MIB - 1)
    )
    head = bytearray(sample[: 32 + begin])
    for transactions in (many, falling, bytes(8 * MIB)):
        struct.pack_into("<I", head, 540, begin + len(transactions))
        yield bytes(head) + transactions
    yield sample + bytes(17 * MIB)


TARGETS = (
    Target(
        "payload JSON",
        10,
        spoiled_payload_json,
        _take_json,
        partial(heavy_json, as_bytes(a_document())),
    ),
    Target("payload SSZ", 8, spoiled_ssz, _take_ssz, _heavy_ssz),
)
