"""The header of a payload, read from its SSZ bytes at fixed positions.

It exists so that the commit path can judge a payload (height, parent, hash) in microseconds: no
transaction is looked at, however many there are.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from conductor.payload.layout import Layout, locate

# Skips logsBloom, prevRandao and the two offsets; receiptsRoot likewise.
_HEADER = struct.Struct("<32s 32s 20s 32s 32x 256x 32x Q Q Q Q 4x 32s 32s")


@dataclass(frozen=True, slots=True)
class PayloadHeader:
    """What the system needs to know of a payload. Hashes and roots are 32 bytes, as on the wire."""

    version: int
    """1 Bedrock, 2 Canyon, 3 Ecotone, 4 Isthmus and later."""
    parent_beacon_block_root: bytes
    parent_hash: bytes
    fee_recipient: bytes
    """20 bytes."""
    state_root: bytes
    height: int
    """The block number."""
    gas_limit: int
    gas_used: int
    timestamp: int
    """Seconds since the Unix epoch."""
    base_fee_per_gas: int
    """In wei, below 2^256."""
    block_hash: bytes
    """As the sender says it; not recomputed."""
    transactions_count: int


def payload_header(ssz: bytes) -> PayloadHeader:
    """The header of SSZ bytes that were validated when they came in.

    Only the offsets of single transactions go unchecked, so bytes that were never validated do no
    harm either. Raises `InvalidPayload` or `TooLarge`.
    """
    return header_at(ssz, locate(ssz))


def header_at(ssz: bytes, layout: Layout) -> PayloadHeader:
    """The header of SSZ bytes whose layout is known already."""
    (
        parent_beacon_block_root,
        parent_hash,
        fee_recipient,
        state_root,
        height,
        gas_limit,
        gas_used,
        timestamp,
        base_fee_per_gas,
        block_hash,
    ) = _HEADER.unpack_from(ssz)
    return PayloadHeader(
        version=layout.version,
        parent_beacon_block_root=parent_beacon_block_root,
        parent_hash=parent_hash,
        fee_recipient=fee_recipient,
        state_root=state_root,
        height=height,
        gas_limit=gas_limit,
        gas_used=gas_used,
        timestamp=timestamp,
        base_fee_per_gas=int.from_bytes(base_fee_per_gas, "little"),
        block_hash=block_hash,
        transactions_count=layout.transactions_count,
    )
