"""Untrusted SSZ bytes: whatever is wrong with them is an `InvalidPayload` that names the field."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor.errors import InvalidPayload, TooLarge
from conductor.payload import (
    PAYLOAD_SSZ_BYTES_MAX,
    decode,
    encode,
    json_from_ssz,
    payload_header,
    ssz_from_json,
    validate_ssz,
)
from tests.payload.builders import an_envelope

_BIT_FLIPS = 5_000
_READERS: list[Callable[[bytes], object]] = [validate_ssz, decode, payload_header, json_from_ssz]


def accepted(ssz: bytes) -> bool:
    """Whether the bytes are valid: all readers must agree, and take canonical bytes only."""
    try:
        header = validate_ssz(ssz)
    except InvalidPayload:
        for reader in (decode, json_from_ssz):
            with pytest.raises(InvalidPayload):
                reader(ssz)
        return False
    assert payload_header(ssz) == header
    assert encode(decode(ssz)) == ssz
    assert ssz_from_json(json_from_ssz(ssz)) == ssz
    return True


def patched(position: int, number: int, version: int = 4) -> bytes:
    """A good envelope with one u32 replaced."""
    ssz = bytearray(encode(an_envelope(version)))
    struct.pack_into("<I", ssz, position, number)
    return bytes(ssz)


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_every_truncation_is_refused_or_canonical(version: int) -> None:
    ssz = encode(an_envelope(version))
    taken = [size for size in range(len(ssz)) if accepted(ssz[:size])]

    # V1 ends with its transactions: gone altogether, or with less of the last one, they are a list.
    # The others end with the two withdrawals: one or none of them is a list too.
    no_transactions = 540 + 9
    shorter_last_transaction = range(len(ssz) - 300, len(ssz))
    fewer_withdrawals = [len(ssz) - 88, len(ssz) - 44]
    assert taken == (
        [no_transactions, *shorter_last_transaction] if version == 1 else fewer_withdrawals
    )


@pytest.mark.parametrize("version", [1, 4])
def test_bit_flips_never_raise_anything_else(version: int) -> None:
    source = random.Random(version)
    ssz = encode(an_envelope(version))
    verdicts = set()
    for _ in range(_BIT_FLIPS // 2):
        flipped = bytearray(ssz)
        bit = source.randrange(len(ssz) * 8)
        flipped[bit // 8] ^= 1 << bit % 8
        verdicts.add(accepted(bytes(flipped)))

    assert verdicts == {True, False}


@pytest.mark.parametrize("position", [468, 536, 540, 601, 605, 609])
@pytest.mark.parametrize("step", [-4, -1, 1, 4, 2**31])
def test_offset_that_is_off_is_refused_or_canonical(position: int, step: int) -> None:
    (number,) = struct.unpack_from("<I", encode(an_envelope(4)), position)

    accepted(patched(position, (number + step) % 2**32))


@settings(deadline=None)
@given(st.binary(max_size=700))
def test_random_bytes_are_refused(data: bytes) -> None:
    assert not accepted(data)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_random_lists_behind_a_good_head_are_refused_or_canonical(tail: bytes) -> None:
    accepted(encode(an_envelope(4))[: 592 + 9] + tail)


@pytest.mark.parametrize(
    ("ssz", "field", "problem"),
    [
        (b"", "payload", "has 0 bytes"),
        (encode(an_envelope(1))[:539], "payload", "the smallest envelope has 540"),
        (encode(an_envelope(4))[:591], "payload", "V4 has at least 592"),
        (patched(468, 509), "extraData", "offset 509 is that of no version"),
        (patched(468, 0), "extraData", "offset 0 is that of no version"),
        (patched(536, 559), "transactions", "offset 559 is inside the fixed part"),
        (patched(536, 2**32 - 1), "transactions", "is beyond the end"),
        (patched(536, 560 + 33), "extraData", "has 33 bytes, at most 32"),
        (patched(540, 568), "withdrawals", "offset 568 is out of order"),
        (patched(540, 884 - 44 * 8), "withdrawals", "offset 532 is out of order"),
        (patched(540, 2**32 - 1), "withdrawals", "is out of order"),
        (patched(540, 884 - 1), "withdrawals", "89 bytes are no multiple of 44"),
        (patched(601, 0), "transactions", "first offset 0 does not fit 315 bytes"),
        (patched(601, 13), "transactions", "first offset 13 does not fit"),
        (patched(601, 400), "transactions", "first offset 400 does not fit"),
        (patched(605, 11), "transactions[0]", "begins at 12 and ends at 11"),
        (patched(609, 14), "transactions[1]", "begins at 15 and ends at 14"),
        (patched(609, 316), "transactions[2]", "begins at 316 and ends at 315"),
    ],
)
def test_structural_error_names_the_field(ssz: bytes, field: str, problem: str) -> None:
    with pytest.raises(InvalidPayload) as caught:
        validate_ssz(ssz)

    assert caught.value.field == field
    assert problem in caught.value.problem


def test_too_many_withdrawals_are_refused() -> None:
    ssz = encode(an_envelope(4)) + bytes(44 * 15)

    with pytest.raises(InvalidPayload, match="withdrawals: has 17 entries, at most 16 may be"):
        validate_ssz(ssz)


def test_too_many_transactions_are_refused() -> None:
    count = 2**20 + 1
    head = encode(an_envelope(1, extra_data=b"", transactions=()))
    ssz = head + struct.pack("<I", 4 * count) * count

    with pytest.raises(InvalidPayload, match=f"transactions: has {count} entries"):
        validate_ssz(ssz)


def test_transactions_shorter_than_an_offset_are_refused() -> None:
    ssz = encode(an_envelope(1, extra_data=b"", transactions=())) + b"\x04\x00\x00"

    with pytest.raises(InvalidPayload, match="transactions: 3 bytes are too few"):
        validate_ssz(ssz)


def test_envelope_of_exactly_the_limit_is_taken() -> None:
    head = len(encode(an_envelope(1, transactions=(b"",))))
    ssz = encode(an_envelope(1, transactions=(bytes(PAYLOAD_SSZ_BYTES_MAX - head),)))

    assert len(ssz) == PAYLOAD_SSZ_BYTES_MAX
    assert validate_ssz(ssz).transactions_count == 1


@pytest.mark.parametrize("reader", _READERS)
def test_bytes_over_the_limit_are_too_large(reader: Callable[[bytes], object]) -> None:
    with pytest.raises(TooLarge, match="16777217 bytes"):
        reader(bytes(PAYLOAD_SSZ_BYTES_MAX + 1))


def test_envelope_over_the_limit_is_not_encoded() -> None:
    with pytest.raises(TooLarge):
        encode(an_envelope(1, transactions=(bytes(PAYLOAD_SSZ_BYTES_MAX),)))
