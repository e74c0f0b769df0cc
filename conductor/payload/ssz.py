"""An envelope to SSZ bytes and back, and the check of bytes that somebody else made.

Invariant: `encode(decode(ssz)) == ssz` for all bytes that `validate_ssz` accepts, so there is one
way to write an envelope and equal envelopes have equal hashes. A block whose `withdrawalsRoot` is
the root of the empty trie is written as V3 by Go and V4 here; both are read as what they are.
"""

from __future__ import annotations

import struct
from itertools import accumulate, pairwise

from conductor.errors import InvalidPayload
from conductor.payload.envelope import Envelope, Withdrawal
from conductor.payload.header import PayloadHeader, header_at
from conductor.payload.layout import (
    FIXED_BYTES,
    FIXED_V1,
    FIXED_V2,
    FIXED_V3,
    FIXED_V3_AT,
    FIXED_V4,
    FIXED_V4_AT,
    WITHDRAWAL,
    Layout,
    check_ssz_size,
    locate,
)

_OFFSET_BYTES = 4
_BASE_FEE_BYTES = 32


def validate_ssz(ssz: bytes) -> PayloadHeader:
    """Check the structure of untrusted bytes completely and return their header.

    Transactions are neither copied nor looked into. Raises `InvalidPayload` naming the field, or
    `TooLarge`.
    """
    layout = locate(ssz)
    _transaction_bounds(ssz, layout)
    return header_at(ssz, layout)


def decode(ssz: bytes) -> Envelope:
    """The envelope in SSZ bytes, trusted or not. Raises `InvalidPayload` or `TooLarge`."""
    layout = locate(ssz)
    bounds = _transaction_bounds(ssz, layout)
    start = layout.transactions
    (
        parent_beacon_block_root,
        parent_hash,
        fee_recipient,
        state_root,
        receipts_root,
        logs_bloom,
        prev_randao,
        height,
        gas_limit,
        gas_used,
        timestamp,
        _extra_data_offset,
        base_fee_per_gas,
        block_hash,
        _transactions_offset,
    ) = FIXED_V1.unpack_from(ssz)
    blob_gas_used, excess_blob_gas = _blob_gas(ssz, layout)
    return Envelope(
        parent_beacon_block_root=parent_beacon_block_root,
        parent_hash=parent_hash,
        fee_recipient=fee_recipient,
        state_root=state_root,
        receipts_root=receipts_root,
        logs_bloom=logs_bloom,
        prev_randao=prev_randao,
        height=height,
        gas_limit=gas_limit,
        gas_used=gas_used,
        timestamp=timestamp,
        extra_data=ssz[layout.extra_data : layout.transactions],
        base_fee_per_gas=int.from_bytes(base_fee_per_gas, "little"),
        block_hash=block_hash,
        transactions=tuple([ssz[start + low : start + high] for low, high in pairwise(bounds)]),
        withdrawals=_withdrawals(ssz, layout),
        blob_gas_used=blob_gas_used,
        excess_blob_gas=excess_blob_gas,
        withdrawals_root=_withdrawals_root(ssz, layout),
    )


def encode(envelope: Envelope) -> bytes:
    """The SSZ bytes of an envelope. Raises `TooLarge`."""
    transactions = envelope.transactions
    ends = list(accumulate(map(len, transactions), initial=_OFFSET_BYTES * len(transactions)))
    extra_data_offset = FIXED_BYTES[envelope.version]
    transactions_offset = extra_data_offset + len(envelope.extra_data)
    withdrawals_offset = transactions_offset + ends.pop()
    withdrawals = [
        WITHDRAWAL.pack(entry.index, entry.validator_index, entry.address, entry.amount)
        for entry in envelope.withdrawals or ()
    ]
    check_ssz_size(
        len(envelope.parent_beacon_block_root)
        + withdrawals_offset
        + WITHDRAWAL.size * len(withdrawals)
    )
    return b"".join(
        (
            _fixed_v1(envelope, extra_data_offset, transactions_offset),
            _fixed_later(envelope, withdrawals_offset),
            envelope.extra_data,
            struct.pack(f"<{len(ends)}I", *ends),
            *transactions,
            *withdrawals,
        )
    )


def _fixed_v1(envelope: Envelope, extra_data_offset: int, transactions_offset: int) -> bytes:
    return FIXED_V1.pack(
        envelope.parent_beacon_block_root,
        envelope.parent_hash,
        envelope.fee_recipient,
        envelope.state_root,
        envelope.receipts_root,
        envelope.logs_bloom,
        envelope.prev_randao,
        envelope.height,
        envelope.gas_limit,
        envelope.gas_used,
        envelope.timestamp,
        extra_data_offset,
        envelope.base_fee_per_gas.to_bytes(_BASE_FEE_BYTES, "little"),
        envelope.block_hash,
        transactions_offset,
    )


def _fixed_later(envelope: Envelope, withdrawals_offset: int) -> bytes:
    """The fixed parts that V2, V3 and V4 add, as far as this envelope has them."""
    fixed = b""
    if envelope.withdrawals is not None:
        fixed += FIXED_V2.pack(withdrawals_offset)
    if envelope.blob_gas_used is not None and envelope.excess_blob_gas is not None:
        fixed += FIXED_V3.pack(envelope.blob_gas_used, envelope.excess_blob_gas)
    if envelope.withdrawals_root is not None:
        fixed += FIXED_V4.pack(envelope.withdrawals_root)
    return fixed


def _transaction_bounds(ssz: bytes, layout: Layout) -> tuple[int, ...]:
    """Where each transaction starts and the last one ends, counted from the list's first byte."""
    size = layout.withdrawals - layout.transactions
    offsets = struct.unpack_from(f"<{layout.transactions_count}I", ssz, layout.transactions)
    bounds = (*offsets, size)
    # Sorting what is sorted already is the quickest comparison of all neighbours there is.
    if list(bounds) != sorted(bounds):
        position = next(i for i, (low, high) in enumerate(pairwise(bounds)) if low > high)
        problem = f"begins at {bounds[position]} and ends at {bounds[position + 1]}"
        raise InvalidPayload(f"transactions[{position}]", problem)
    return bounds


def _withdrawals(ssz: bytes, layout: Layout) -> tuple[Withdrawal, ...] | None:
    if layout.version < 2:
        return None
    records = WITHDRAWAL.iter_unpack(ssz[layout.withdrawals :])
    return tuple([Withdrawal(*record) for record in records])


def _blob_gas(ssz: bytes, layout: Layout) -> tuple[int, int] | tuple[None, None]:
    if layout.version < 3:
        return None, None
    blob_gas_used, excess_blob_gas = FIXED_V3.unpack_from(ssz, FIXED_V3_AT)
    return blob_gas_used, excess_blob_gas


def _withdrawals_root(ssz: bytes, layout: Layout) -> bytes | None:
    if layout.version < 4:
        return None
    (root,) = FIXED_V4.unpack_from(ssz, FIXED_V4_AT)
    return bytes(root)
