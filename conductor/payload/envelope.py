"""An execution payload envelope as a value, valid by construction.

Both codecs meet here, so that every limit on a field is written once: an `Envelope` that exists
can be encoded, whichever way it was made. Errors name the field as op-node's JSON does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from conductor.errors import InvalidPayload
from conductor.payload.layout import (
    EXTRA_DATA_BYTES_MAX,
    TRANSACTIONS_MAX,
    WITHDRAWALS_MAX,
    check_at_most,
)

_QUANTITY_BITS = 64
_BASE_FEE_BITS = 256
_HASH_BYTES = 32
_ADDRESS_BYTES = 20
_BLOOM_BYTES = 256

_NEEDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "blobGasUsed": ("withdrawals", "excessBlobGas"),
        "excessBlobGas": ("withdrawals", "blobGasUsed"),
        "withdrawalsRoot": ("withdrawals", "blobGasUsed", "excessBlobGas"),
    }
)
"""Which optional fields a later fork's field cannot be without."""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """One withdrawal of a block. OP Stack chains have none, but the format has a place for them."""

    index: int
    validator_index: int
    address: bytes
    """20 bytes."""
    amount: int
    """In gwei."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A block as op-node hands it over. Hashes and roots are 32 bytes.

    The optional fields came one fork after the other, so each of them needs those before it; which
    are present makes the version. Raises `InvalidPayload` naming the first field that cannot be.
    """

    parent_beacon_block_root: bytes = bytes(_HASH_BYTES)
    parent_hash: bytes
    fee_recipient: bytes
    """20 bytes."""
    state_root: bytes
    receipts_root: bytes
    logs_bloom: bytes
    """256 bytes."""
    prev_randao: bytes
    height: int
    """The block number."""
    gas_limit: int
    gas_used: int
    timestamp: int
    """Seconds since the Unix epoch."""
    extra_data: bytes
    """At most 32 bytes."""
    base_fee_per_gas: int
    """In wei, below 2^256."""
    block_hash: bytes
    transactions: tuple[bytes, ...]
    """Each as EIP-2718 encodes it; opaque here."""
    withdrawals: tuple[Withdrawal, ...] | None = None
    """Since Canyon (V2)."""
    blob_gas_used: int | None = None
    """Since Ecotone (V3); Jovian keeps the DA footprint in it."""
    excess_blob_gas: int | None = None
    """Since Ecotone (V3)."""
    withdrawals_root: bytes | None = None
    """Since Isthmus (V4)."""

    def __post_init__(self) -> None:
        _check_forks(self)
        for field, data, size in _sized_data(self):
            _check_size(field, data, size)
        for field, number, bits in _numbers(self):
            _check_number(field, number, bits)
        check_at_most("extraData", len(self.extra_data), EXTRA_DATA_BYTES_MAX, "bytes")
        check_at_most("transactions", len(self.transactions), TRANSACTIONS_MAX, "entries")
        withdrawals = self.withdrawals or ()
        check_at_most("withdrawals", len(withdrawals), WITHDRAWALS_MAX, "entries")
        for position, withdrawal in enumerate(withdrawals):
            _check_withdrawal(f"withdrawals[{position}]", withdrawal)

    @property
    def version(self) -> int:
        """1 Bedrock, 2 Canyon, 3 Ecotone, 4 Isthmus and later."""
        if self.withdrawals_root is not None:
            return 4
        if self.blob_gas_used is not None:
            return 3
        return 1 if self.withdrawals is None else 2


def _check_forks(envelope: Envelope) -> None:
    optional = {
        "withdrawals": envelope.withdrawals,
        "blobGasUsed": envelope.blob_gas_used,
        "excessBlobGas": envelope.excess_blob_gas,
        "withdrawalsRoot": envelope.withdrawals_root,
    }
    for present, needed in _NEEDS.items():
        if optional[present] is None:
            continue
        for field in needed:
            if optional[field] is None:
                raise InvalidPayload(field, f"is missing although {present} is there")


def _sized_data(envelope: Envelope) -> tuple[tuple[str, bytes, int], ...]:
    root = envelope.withdrawals_root
    return (
        ("parentBeaconBlockRoot", envelope.parent_beacon_block_root, _HASH_BYTES),
        ("parentHash", envelope.parent_hash, _HASH_BYTES),
        ("feeRecipient", envelope.fee_recipient, _ADDRESS_BYTES),
        ("stateRoot", envelope.state_root, _HASH_BYTES),
        ("receiptsRoot", envelope.receipts_root, _HASH_BYTES),
        ("logsBloom", envelope.logs_bloom, _BLOOM_BYTES),
        ("prevRandao", envelope.prev_randao, _HASH_BYTES),
        ("blockHash", envelope.block_hash, _HASH_BYTES),
        *((("withdrawalsRoot", root, _HASH_BYTES),) if root is not None else ()),
    )


def _numbers(envelope: Envelope) -> tuple[tuple[str, int, int], ...]:
    return (
        ("blockNumber", envelope.height, _QUANTITY_BITS),
        ("gasLimit", envelope.gas_limit, _QUANTITY_BITS),
        ("gasUsed", envelope.gas_used, _QUANTITY_BITS),
        ("timestamp", envelope.timestamp, _QUANTITY_BITS),
        ("baseFeePerGas", envelope.base_fee_per_gas, _BASE_FEE_BITS),
        ("blobGasUsed", envelope.blob_gas_used or 0, _QUANTITY_BITS),
        ("excessBlobGas", envelope.excess_blob_gas or 0, _QUANTITY_BITS),
    )


def _check_withdrawal(field: str, withdrawal: Withdrawal) -> None:
    _check_number(f"{field}.index", withdrawal.index, _QUANTITY_BITS)
    _check_number(f"{field}.validatorIndex", withdrawal.validator_index, _QUANTITY_BITS)
    _check_size(f"{field}.address", withdrawal.address, _ADDRESS_BYTES)
    _check_number(f"{field}.amount", withdrawal.amount, _QUANTITY_BITS)


def _check_size(field: str, data: bytes, size: int) -> None:
    if len(data) != size:
        raise InvalidPayload(field, f"has {len(data)} bytes, it must have {size}")


def _check_number(field: str, number: int, bits: int) -> None:
    if not 0 <= number < 1 << bits:
        raise InvalidPayload(field, f"is not between 0 and 2^{bits} - 1")
