"""The payload codec: op-node's envelope JSON, its SSZ bytes, and a cheap view of their header.

Law of this package: it is pure (no I/O, clock or randomness), and whatever bytes it is given, it
returns a result or raises `InvalidPayload` (naming the field) or `TooLarge`, never anything else.
Every SSZ text that it accepts is canonical: decoded and encoded again it is the same bytes.
What it does not judge: block hashes, state, gas or the contents of a transaction.
"""

from conductor.payload.envelope import Envelope, Withdrawal
from conductor.payload.header import PayloadHeader, payload_header
from conductor.payload.json_codec import json_from_ssz, ssz_from_json
from conductor.payload.layout import PAYLOAD_JSON_BYTES_MAX, PAYLOAD_SSZ_BYTES_MAX
from conductor.payload.ssz import decode, encode, validate_ssz

__all__ = [
    "PAYLOAD_JSON_BYTES_MAX",
    "PAYLOAD_SSZ_BYTES_MAX",
    "Envelope",
    "PayloadHeader",
    "Withdrawal",
    "decode",
    "encode",
    "json_from_ssz",
    "payload_header",
    "ssz_from_json",
    "validate_ssz",
]
