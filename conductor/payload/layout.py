"""Where things are in the SSZ bytes of an envelope, and the checks that cost the same at any size.

Nothing in the bytes names the version. What tells them apart is the offset of `extraData`: it must
equal the size of the payload's fixed part, and each version has another. An envelope is the 32
bytes of `parentBeaconBlockRoot` and the payload, with nothing between; offsets inside the payload
count from the payload's first byte, positions here from the envelope's.

Format: `op-service/eth/ssz.go` of ethereum-optimism/optimism.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from conductor.errors import InvalidPayload, TooLarge

PAYLOAD_SSZ_BYTES_MAX = 16 * 1024 * 1024
PAYLOAD_JSON_BYTES_MAX = 34 * 1024 * 1024

ROOT_BYTES = 32
EXTRA_DATA_BYTES_MAX = 32
TRANSACTIONS_MAX = 1 << 20
WITHDRAWALS_MAX = 16

# Each version appends to the fixed part of the one before.
FIXED_V1 = struct.Struct("<32s 32s 20s 32s 32s 256s 32s Q Q Q Q I 32s 32s I")  # from the root on
FIXED_V2 = struct.Struct("<I")  # offset of withdrawals
FIXED_V3 = struct.Struct("<Q Q")  # blobGasUsed, excessBlobGas
FIXED_V4 = struct.Struct("<32s")  # withdrawalsRoot
WITHDRAWAL = struct.Struct("<Q Q 20s Q")

# Positions in the envelope; each fixed part begins where the one before ends.
EXTRA_DATA_OFFSET_AT = 468
TRANSACTIONS_OFFSET_AT = 536
FIXED_V2_AT = FIXED_V1.size
FIXED_V3_AT = FIXED_V2_AT + FIXED_V2.size
FIXED_V4_AT = FIXED_V3_AT + FIXED_V3.size

FIXED_BYTES: Mapping[int, int] = MappingProxyType({1: 508, 2: 512, 3: 528, 4: 560})
"""Size of the payload's fixed part (the root not counted) by version."""

_VERSIONS: Mapping[int, int] = MappingProxyType(
    {size: version for version, size in FIXED_BYTES.items()}
)
_OFFSET = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Layout:
    """Positions in one envelope. Invariant: each is at or after the one before it, up to `end`."""

    version: int
    extra_data: int
    transactions: int
    withdrawals: int
    """Where the transactions end; V1 has no withdrawals and ends here."""
    end: int
    transactions_count: int


def locate(ssz: bytes) -> Layout:
    """The layout of an envelope, fully checked but for the offsets of single transactions.

    Raises `TooLarge`, or `InvalidPayload` naming the field whose position or size is wrong.
    """
    end = len(ssz)
    check_ssz_size(end)
    version = _version(ssz)
    (transactions_offset,) = _OFFSET.unpack_from(ssz, TRANSACTIONS_OFFSET_AT)
    extra_data = ROOT_BYTES + FIXED_BYTES[version]
    transactions = ROOT_BYTES + transactions_offset
    withdrawals = end
    if version >= 2:
        (withdrawals_offset,) = FIXED_V2.unpack_from(ssz, FIXED_V2_AT)
        withdrawals = ROOT_BYTES + withdrawals_offset
    if transactions < extra_data:
        raise InvalidPayload(
            "transactions", f"offset {transactions_offset} is inside the fixed part"
        )
    if transactions > end:
        raise InvalidPayload("transactions", f"offset {transactions_offset} is beyond the end")
    check_at_most("extraData", transactions - extra_data, EXTRA_DATA_BYTES_MAX, "bytes")
    if not transactions <= withdrawals <= end:
        raise InvalidPayload("withdrawals", f"offset {withdrawals - ROOT_BYTES} is out of order")
    _check_withdrawals_size(end - withdrawals)
    count = _transactions_count(ssz, transactions, withdrawals)
    return Layout(version, extra_data, transactions, withdrawals, end, count)


def check_at_most(field: str, size: int, limit: int, unit: str) -> None:
    """Refuse a field with more `unit` than the format allows. Raises `InvalidPayload`."""
    if size > limit:
        raise InvalidPayload(field, f"has {size} {unit}, at most {limit} may be")


def check_ssz_size(size: int) -> None:
    """Refuse an envelope over the limit. Raises `TooLarge`."""
    if size > PAYLOAD_SSZ_BYTES_MAX:
        raise TooLarge(
            f"the payload has {size} bytes as SSZ, at most {PAYLOAD_SSZ_BYTES_MAX} may be"
        )


def _version(ssz: bytes) -> int:
    if len(ssz) < FIXED_V1.size:
        problem = f"has {len(ssz)} bytes as SSZ, the smallest envelope has {FIXED_V1.size}"
        raise InvalidPayload("payload", problem)
    (offset,) = _OFFSET.unpack_from(ssz, EXTRA_DATA_OFFSET_AT)
    version = _VERSIONS.get(offset)
    if version is None:
        problem = f"offset {offset} is that of no version (known: {sorted(_VERSIONS)})"
        raise InvalidPayload("extraData", problem)
    if len(ssz) < ROOT_BYTES + offset:
        problem = f"has {len(ssz)} bytes as SSZ, V{version} has at least {ROOT_BYTES + offset}"
        raise InvalidPayload("payload", problem)
    return version


def _check_withdrawals_size(size: int) -> None:
    if size % WITHDRAWAL.size:
        raise InvalidPayload("withdrawals", f"{size} bytes are no multiple of {WITHDRAWAL.size}")
    check_at_most("withdrawals", size // WITHDRAWAL.size, WITHDRAWALS_MAX, "entries")


def _transactions_count(ssz: bytes, start: int, end: int) -> int:
    """How many transactions the list holds: its first offset says where the offsets end."""
    size = end - start
    if size == 0:
        return 0
    if size < _OFFSET.size:
        raise InvalidPayload("transactions", f"{size} bytes are too few for an offset")
    (first,) = _OFFSET.unpack_from(ssz, start)
    # Go reads a first offset of 0 as an empty list with rubbish behind it; nothing writes that.
    if first == 0 or first % _OFFSET.size or first > size:
        raise InvalidPayload("transactions", f"first offset {first} does not fit {size} bytes")
    count: int = first // _OFFSET.size
    check_at_most("transactions", count, TRANSACTIONS_MAX, "entries")
    return count
