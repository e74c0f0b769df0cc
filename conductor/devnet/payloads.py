"""Builds the blocks of a chain that exists only here, shaped as op-node's since Isthmus (V4).

Invariant: no two built blocks are equal, not even two by one builder on one parent, so that a
fork can never hide behind equal bytes. The same seed builds the same blocks in the same order.

What is not real: the block hash is SHA-256 of the block's SSZ with that field zero, not the
Keccak hash of an execution header (conductors do not recompute it), the transactions and roots
are random bytes, and each block is a second younger than its parent, however fast blocks come.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, replace

from conductor.payload import Envelope, encode, json_from_ssz, payload_header

TRANSACTIONS_BYTES_MIN = 256
GAS_LIMIT = 60_000_000
BASE_FEE_PER_GAS = 1_000_000

_DEPOSIT_TYPE = b"\x7e"
_DYNAMIC_FEE_TYPE = b"\x02"
_TRANSACTION_BYTES = 160
# Holocene puts a version byte and the two EIP-1559 parameters there.
_EXTRA_DATA = bytes.fromhex("00000000fa00000006")


@dataclass(frozen=True, slots=True)
class Head:
    """The block to build on."""

    height: int
    block_hash: bytes
    timestamp: int
    """Seconds since the Unix epoch."""

    @classmethod
    def of(cls, ssz: bytes) -> Head:
        """The head that a payload is; InvalidPayload or TooLarge when it is none."""
        header = payload_header(ssz)
        return cls(header.height, header.block_hash, header.timestamp)


GENESIS = Head(0, hashlib.sha256(b"op-conductor/devnet/genesis").digest(), 1_800_000_000)
"""What the first block builds on. It is no payload: nothing certifies it."""


@dataclass(frozen=True, slots=True)
class Block:
    """One built block."""

    head: Head
    """What a child of it builds on."""
    parent_hash: bytes
    ssz: bytes
    """The envelope, as conductors store it."""

    @property
    def payload_hash(self) -> bytes:
        """SHA-256 of the SSZ bytes: what a conductor's log calls the body hash."""
        return hashlib.sha256(self.ssz).digest()

    @property
    def envelope_json(self) -> bytes:
        """The envelope as op-node writes it."""
        return json_from_ssz(self.ssz)


class BlockBuilder:
    """Builds the blocks of one sequencer."""

    def __init__(self, *, seed: int, builder: str, transactions_bytes: int) -> None:
        """`transactions_bytes`: the size of a block's transactions together."""
        self._random = random.Random(f"{seed}/{builder}")
        self._transactions_bytes = max(transactions_bytes, TRANSACTIONS_BYTES_MIN)

    def build(self, parent: Head) -> Block:
        """A new child of `parent`, unlike any block before."""
        envelope = Envelope(
            parent_beacon_block_root=self._random.randbytes(32),
            parent_hash=parent.block_hash,
            fee_recipient=self._random.randbytes(20),
            state_root=self._random.randbytes(32),
            receipts_root=self._random.randbytes(32),
            logs_bloom=bytes(256),
            prev_randao=self._random.randbytes(32),
            height=parent.height + 1,
            gas_limit=GAS_LIMIT,
            gas_used=self._random.randrange(GAS_LIMIT),
            timestamp=parent.timestamp + 1,
            extra_data=_EXTRA_DATA,
            base_fee_per_gas=BASE_FEE_PER_GAS,
            block_hash=bytes(32),
            transactions=self._transactions(),
            withdrawals=(),
            blob_gas_used=0,
            excess_blob_gas=0,
            withdrawals_root=self._random.randbytes(32),
        )
        block_hash = hashlib.sha256(encode(envelope)).digest()
        ssz = encode(replace(envelope, block_hash=block_hash))
        return Block(Head.of(ssz), parent.block_hash, ssz)

    def _transactions(self) -> tuple[bytes, ...]:
        """A deposit, as every block of an OP Stack chain begins with, then ordinary ones."""
        transactions: list[bytes] = []
        left = self._transactions_bytes
        while left:
            kind = _DYNAMIC_FEE_TYPE if transactions else _DEPOSIT_TYPE
            size = min(left, _TRANSACTION_BYTES)
            transactions.append(kind + self._random.randbytes(size - 1))
            left -= size
        return tuple(transactions)
