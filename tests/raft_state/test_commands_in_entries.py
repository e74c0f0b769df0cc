"""Payloads inside command entries: all versions, the format of before 2024, and damage."""

from __future__ import annotations

import struct
import tracemalloc
from typing import Any

import pytest

from conductor.payload import PAYLOAD_SSZ_BYTES_MAX, encode, payload_header
from raft_state.raft import decode_command
from tests.payload.builders import EMPTY_TRIE_ROOT, an_envelope
from tests.raft_state.raft_samples import GOLDEN, payload_manifest

FIXED_BYTES = {1: 508, 2: 512, 3: 528, 4: 560}


@pytest.mark.parametrize("expected", payload_manifest(), ids=lambda expected: expected["file"])
@pytest.mark.parametrize("all_transactions", [False, True])
def test_golden_payloads_are_read_as_go_read_them(
    expected: dict[str, Any], all_transactions: bool
) -> None:
    data = (GOLDEN / "ssz" / expected["file"]).read_bytes()
    payload = decode_command(memoryview(data), all_transactions=all_transactions)

    header = payload.header
    assert header is not None
    assert payload.data_bytes == expected["len"]
    assert header.version == expected["version"]
    assert header.height == expected["block_number"]
    assert header.block_hash.hex() == expected["block_hash"]
    assert header.parent_hash.hex() == expected["parent_hash"]
    assert header.state_root.hex() == expected["state_root"]
    assert header.gas_used == expected["gas_used"]
    assert header.timestamp == expected["timestamp"]
    words = header.base_fee_per_gas.to_bytes(32, "little")
    assert list(struct.unpack("<4Q", words)) == expected["base_fee_words_le"]
    assert header.transactions_count == len(expected["transactions"])
    is_legacy = expected["file"].startswith("legacy")
    assert payload.is_legacy == is_legacy
    assert payload.is_applied != is_legacy
    assert ("before 2024" in payload.problem) == is_legacy


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_envelope_of_every_version_is_read(version: int) -> None:
    payload = decode_command(encode(an_envelope(version)))
    assert payload.header is not None
    assert payload.header.version == version
    assert payload.header.transactions_count == 3
    assert payload.is_applied == (version >= 3)
    assert payload.problem == (
        "" if version >= 3 else f"a V{version} payload, which op-conductor does not read any more"
    )


def test_v4_payload_with_the_empty_root_is_a_v4_payload() -> None:
    envelope = an_envelope(4, withdrawals_root=bytes.fromhex(EMPTY_TRIE_ROOT[2:]))
    payload = decode_command(encode(envelope))
    assert payload.header is not None
    assert payload.header.version == 4
    assert payload.is_applied


@pytest.mark.parametrize("data", [None, b"", memoryview(b"")])
def test_command_without_data_changes_nothing(data: bytes | memoryview | None) -> None:
    payload = decode_command(data)
    assert (payload.header, payload.data_bytes) == (None, 0)
    assert payload.problem == "empty: op-conductor ignores it"
    assert not payload.is_applied


@pytest.mark.parametrize("version", [1, 2, 3, 4])
@pytest.mark.parametrize("change", [-1, 1])
def test_every_wrong_offset_is_named(version: int, change: int) -> None:
    data = encode(an_envelope(version))
    places = {"extraData": 468, "transactions": 536, "withdrawals": 540}
    for field, place in places.items():
        if field == "withdrawals" and version == 1:
            continue
        (offset,) = struct.unpack_from("<I", data, place)
        changed = bytearray(data)
        struct.pack_into("<I", changed, place, offset + change)
        payload = decode_command(bytes(changed), all_transactions=True)
        assert payload.header is None, field
        # A moved neighbour makes the list of transactions begin or end in the wrong place.
        assert payload.problem.startswith((field, "transactions", "withdrawals")), payload.problem


@pytest.mark.parametrize("change", [-1, 1])
def test_wrong_first_offset_of_transactions_is_named(change: int) -> None:
    data = bytearray(encode(an_envelope(4)))
    start = 32 + FIXED_BYTES[4] + 9
    (offset,) = struct.unpack_from("<I", data, start)
    struct.pack_into("<I", data, start, offset + change)
    assert decode_command(bytes(data)).problem.startswith("transactions: first offset")


def test_transactions_out_of_order_are_seen_when_all_are_asked_for() -> None:
    data = bytearray(encode(an_envelope(4)))
    struct.pack_into("<I", data, 32 + FIXED_BYTES[4] + 9 + 4, 2**31)
    assert decode_command(bytes(data)).is_applied
    checked = decode_command(bytes(data), all_transactions=True)
    assert checked.header is None
    assert checked.problem.startswith("transactions[1]")


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_truncated_payload_is_named_at_every_boundary(version: int) -> None:
    data = encode(an_envelope(version))
    fixed_end = 32 + FIXED_BYTES[version]
    for size in (1, 31, 32, 467, 468, 472, 539, 540, fixed_end - 1, fixed_end, fixed_end + 8):
        payload = decode_command(data[:size], all_transactions=True)
        assert payload.header is None, size
        assert payload.problem.startswith(("payload: ", "transactions: ", "withdrawals: ")), size


@pytest.mark.parametrize("version", [1, 2, 3])
def test_payload_behind_a_version_byte_is_of_before_2024(version: int) -> None:
    envelope = encode(an_envelope(version))
    payload = decode_command(bytes([version - 1]) + envelope[32:])

    assert payload.is_legacy
    assert payload.header is not None
    assert payload.header.parent_beacon_block_root == bytes(32)
    assert payload.header.block_hash == payload_header(envelope).block_hash
    assert not payload.is_applied


def test_version_byte_must_fit_the_payload() -> None:
    bare = encode(an_envelope(2))[32:]
    for byte in (0, 2, 3, 255):
        payload = decode_command(bytes([byte]) + bare)
        assert payload.header is None
        assert not payload.is_legacy


def test_oversized_data_are_named_and_not_copied() -> None:
    data = memoryview(bytes(PAYLOAD_SSZ_BYTES_MAX + 1))
    tracemalloc.start()
    try:
        payload = decode_command(data)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    assert payload.header is None
    assert payload.problem == (
        f"the payload has {PAYLOAD_SSZ_BYTES_MAX + 1} bytes as SSZ, "
        f"at most {PAYLOAD_SSZ_BYTES_MAX} may be"
    )


@pytest.mark.parametrize("all_transactions", [False, True])
def test_payload_of_a_megabyte_is_read_from_a_view_without_a_copy(all_transactions: bool) -> None:
    data = memoryview(encode(an_envelope(4, transactions=(bytes(1 << 20),))))
    tracemalloc.start()
    try:
        payload = decode_command(data, all_transactions=all_transactions)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    assert payload.header == payload_header(bytes(data))
    assert payload.header is not None
    assert isinstance(payload.header.block_hash, bytes)
