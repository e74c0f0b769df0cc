"""How long the payload codec takes, as a ratio to `json.loads` of the same body in the same run.

Absolute times say more about the machine than about the code; the ratio travels. The payload is a
V4 envelope of random transactions. Run from the repository root: python -m benchmarks.payload_codec
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from conductor.payload import (
    Envelope,
    encode,
    json_from_ssz,
    payload_header,
    ssz_from_json,
    validate_ssz,
)

_SIZES_BYTES = (10_000, 100_000, 500_000, 1_000_000, 2_000_000)
_TRANSACTION_BYTES = (120, 1_000)
_ROUNDS = 200
_TIME_PER_ROW_S_MAX = 3.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Two quantiles of one operation."""

    p50_ms: float
    p99_ms: float


def measure(operation: Callable[[], object]) -> Timing:
    """Run until there are enough rounds or the time is up, the first round not counted."""
    operation()
    samples_ms: list[float] = []
    deadline = time.perf_counter() + _TIME_PER_ROW_S_MAX
    while len(samples_ms) < _ROUNDS and time.perf_counter() < deadline:
        start = time.perf_counter()
        operation()
        samples_ms.append((time.perf_counter() - start) * 1000)
    samples_ms.sort()
    return Timing(samples_ms[len(samples_ms) // 2], samples_ms[int(len(samples_ms) * 0.99)])


def envelope_of(size_bytes: int, transaction_bytes: int) -> Envelope:
    """A V4 envelope whose transactions together have about `size_bytes`, the same in every run."""
    source = random.Random(size_bytes)
    transactions = [
        source.randbytes(transaction_bytes) for _ in range(size_bytes // transaction_bytes)
    ]
    return Envelope(
        parent_beacon_block_root=source.randbytes(32),
        parent_hash=source.randbytes(32),
        fee_recipient=source.randbytes(20),
        state_root=source.randbytes(32),
        receipts_root=source.randbytes(32),
        logs_bloom=source.randbytes(256),
        prev_randao=source.randbytes(32),
        height=30_000_000,
        gas_limit=60_000_000,
        gas_used=42_000_000,
        timestamp=1_800_000_000,
        extra_data=bytes(9),
        base_fee_per_gas=1_000_000,
        block_hash=source.randbytes(32),
        transactions=tuple(transactions),
        withdrawals=(),
        blob_gas_used=0,
        excess_blob_gas=0,
        withdrawals_root=source.randbytes(32),
    )


def report(size_bytes: int, transaction_bytes: int) -> None:
    """Print one row for each operation on one payload."""
    ssz = encode(envelope_of(size_bytes, transaction_bytes))
    body = json_from_ssz(ssz)
    operations: dict[str, Callable[[], object]] = {
        "ssz_from_json": partial(ssz_from_json, body),
        "json_from_ssz": partial(json_from_ssz, ssz),
        "validate_ssz": partial(validate_ssz, ssz),
        "payload_header": partial(payload_header, ssz),
    }
    floor = measure(partial(json.loads, body))
    for name, operation in operations.items():
        timing = measure(operation)
        print(
            f"{size_bytes:>13} {transaction_bytes:>11}  {name:<14}"
            f" {timing.p50_ms:>8.3f} {timing.p99_ms:>8.3f}"
            f" {timing.p50_ms / floor.p50_ms:>10.3f} {timing.p99_ms / floor.p99_ms:>10.3f}"
        )


def main() -> None:
    """Print the table; the floor of a ratio is `json.loads` of that row's JSON body."""
    print("payload bytes bytes of tx  operation        p50 ms   p99 ms  p50/floor  p99/floor")
    for transaction_bytes in _TRANSACTION_BYTES:
        for size_bytes in _SIZES_BYTES:
            report(size_bytes, transaction_bytes)


if __name__ == "__main__":
    main()
