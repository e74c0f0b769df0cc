"""Envelopes and envelope JSON with plain defaults; a test names only what it is about."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from conductor.payload import Envelope, Withdrawal

EMPTY_TRIE_ROOT = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"


def an_envelope(version: int = 4, **changes: Any) -> Envelope:
    """An envelope of a version whose fields all differ, so that none passes for another."""
    envelope = Envelope(
        parent_beacon_block_root=bytes([0x11]) * 32 if version >= 3 else bytes(32),
        parent_hash=bytes([0x22]) * 32,
        fee_recipient=bytes([0x33]) * 20,
        state_root=bytes([0x44]) * 32,
        receipts_root=bytes([0x55]) * 32,
        logs_bloom=bytes([0x66]) * 256,
        prev_randao=bytes([0x77]) * 32,
        height=1000,
        gas_limit=60_000_000,
        gas_used=21_000,
        timestamp=1_800_000_000,
        extra_data=bytes([0x88]) * 9,
        base_fee_per_gas=2**200 + 7,
        block_hash=bytes([0x99]) * 32,
        transactions=(b"\x7e\x01\x02", b"", b"\x02" * 300),
        withdrawals=a_withdrawal_pair() if version >= 2 else None,
        blob_gas_used=131_072 if version >= 3 else None,
        excess_blob_gas=5 if version >= 3 else None,
        withdrawals_root=bytes([0xAA]) * 32 if version >= 4 else None,
    )
    return replace(envelope, **changes)


def a_withdrawal_pair() -> tuple[Withdrawal, ...]:
    """Two withdrawals, one at the bounds of its numbers."""
    highest = 2**64 - 1
    return (
        Withdrawal(1, 2, bytes([0xBB]) * 20, 3),
        Withdrawal(highest, highest, bytes([0xCC]) * 20, highest),
    )


def a_document(version: int = 4, *, root: str | None = None, **changes: Any) -> dict[str, Any]:
    """Envelope JSON as a dictionary, written out by hand. A change to None removes the field."""
    payload: dict[str, Any] = {
        "parentHash": "0x" + "22" * 32,
        "feeRecipient": "0x" + "33" * 20,
        "stateRoot": "0x" + "44" * 32,
        "receiptsRoot": "0x" + "55" * 32,
        "logsBloom": "0x" + "66" * 256,
        "prevRandao": "0x" + "77" * 32,
        "blockNumber": "0x3e8",
        "gasLimit": "0x3938700",
        "gasUsed": "0x5208",
        "timestamp": "0x6b49d200",
        "extraData": "0x" + "88" * 9,
        "baseFeePerGas": "0x100000000000000000000000000000000000000000000000007",
        "blockHash": "0x" + "99" * 32,
        "transactions": ["0x7e0102", "0x", "0x" + "02" * 300],
    }
    if version >= 2:
        payload["withdrawals"] = [
            {
                "index": "0x1",
                "validatorIndex": "0x2",
                "address": "0x" + "bb" * 20,
                "amount": "0x3",
            },
            {
                "index": "0xffffffffffffffff",
                "validatorIndex": "0xffffffffffffffff",
                "address": "0x" + "cc" * 20,
                "amount": "0xffffffffffffffff",
            },
        ]
    if version >= 3:
        payload |= {"blobGasUsed": "0x20000", "excessBlobGas": "0x5"}
        root = root or "0x" + "11" * 32
    if version >= 4:
        payload["withdrawalsRoot"] = "0x" + "aa" * 32
    payload |= changes
    payload = {name: value for name, value in payload.items() if value is not None}
    beside = {"parentBeaconBlockRoot": root} if root else {}
    return {**beside, "executionPayload": payload}


def as_bytes(document: object) -> bytes:
    """Compact JSON, as a Go encoder writes it."""
    return json.dumps(document, separators=(",", ":")).encode()
