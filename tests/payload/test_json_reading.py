"""op-node's JSON in: what is taken, how it is stored, and that every refusal names the field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor.errors import InvalidPayload, TooLarge
from conductor.payload import (
    PAYLOAD_JSON_BYTES_MAX,
    PAYLOAD_SSZ_BYTES_MAX,
    decode,
    encode,
    payload_header,
    ssz_from_json,
    validate_ssz,
)
from tests.payload.builders import EMPTY_TRIE_ROOT, a_document, an_envelope, as_bytes

_REQUIRED = (
    "parentHash",
    "feeRecipient",
    "stateRoot",
    "receiptsRoot",
    "logsBloom",
    "prevRandao",
    "blockNumber",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "extraData",
    "baseFeePerGas",
    "blockHash",
    "transactions",
)
_QUANTITIES = ("blockNumber", "gasLimit", "gasUsed", "timestamp", "blobGasUsed", "excessBlobGas")
_BAD_QUANTITIES = (
    *("", "0x", "0", "1", "0x00", "0x01", "0X1", "0x-1", "-0x1", " 0x1", "0x1 ", "0x1_0", "0xg"),
    *("0x1\n", "0x1.0", "0x\u0661", "\ud7ff", "0x" + "f" * 65, "0x" + "f" * 10_000),
)
_SIZED = {
    "parentHash": 32,
    "feeRecipient": 20,
    "stateRoot": 32,
    "receiptsRoot": 32,
    "logsBloom": 256,
    "prevRandao": 32,
    "blockHash": 32,
    "withdrawalsRoot": 32,
}


def refusal(document: object) -> InvalidPayload:
    """The error that a document (or its JSON bytes) is refused with."""
    raw = document if isinstance(document, bytes) else as_bytes(document)
    with pytest.raises(InvalidPayload) as caught:
        ssz_from_json(raw)
    return caught.value


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_envelope_is_stored_as_its_version(version: int) -> None:
    assert ssz_from_json(as_bytes(a_document(version))) == encode(an_envelope(version))


@pytest.mark.parametrize("version", [1, 2])
def test_bare_payload_before_ecotone_is_stored_with_a_zero_root(version: int) -> None:
    bare = a_document(version)["executionPayload"]

    assert ssz_from_json(as_bytes(bare)) == encode(an_envelope(version))


@pytest.mark.parametrize("version", [3, 4])
def test_payload_since_ecotone_needs_the_root(version: int) -> None:
    document = a_document(version)
    del document["parentBeaconBlockRoot"]

    for without_root in (document, document["executionPayload"]):
        error = refusal(without_root)
        assert error.field == "parentBeaconBlockRoot"
        assert f"is missing, V{version} needs it" in error.problem


def test_root_of_an_early_payload_is_kept() -> None:
    ssz = ssz_from_json(as_bytes(a_document(2, root="0x" + "11" * 32)))

    assert payload_header(ssz).parent_beacon_block_root == b"\x11" * 32


def test_root_beside_bare_fields_is_refused() -> None:
    """Neither form has it there; to ignore it would lose it without a word."""
    document = a_document(3)
    flat = document["executionPayload"] | {"parentBeaconBlockRoot": "0x" + "11" * 32}

    assert refusal(flat).field == "executionPayload"


def test_empty_trie_root_makes_a_v4_all_the_same() -> None:
    ssz = ssz_from_json(as_bytes(a_document(4, withdrawalsRoot=EMPTY_TRIE_ROOT)))

    assert payload_header(ssz).version == 4
    assert decode(ssz).withdrawals_root == bytes.fromhex(EMPTY_TRIE_ROOT[2:])


@pytest.mark.parametrize("field", _REQUIRED)
def test_missing_field_is_named(field: str) -> None:
    error = refusal(a_document(4, **{field: None}))

    assert (error.field, error.problem) == (field, "is missing")


@pytest.mark.parametrize("field", [*_REQUIRED, "withdrawals", "blobGasUsed", "excessBlobGas"])
def test_null_is_the_same_as_absent(field: str) -> None:
    document = a_document(4)
    document["executionPayload"][field] = None

    assert refusal(document).field == field


@pytest.mark.parametrize(
    ("version", "removed", "named"),
    [
        (3, ["excessBlobGas"], "excessBlobGas"),
        (3, ["blobGasUsed"], "blobGasUsed"),
        (3, ["withdrawals"], "withdrawals"),
        (4, ["excessBlobGas"], "excessBlobGas"),
        (4, ["blobGasUsed"], "blobGasUsed"),
        (4, ["withdrawals"], "withdrawals"),
        (4, ["blobGasUsed", "excessBlobGas"], "blobGasUsed"),
        (4, ["withdrawals", "blobGasUsed", "excessBlobGas"], "withdrawals"),
    ],
)
def test_field_of_a_later_fork_needs_the_earlier_ones(
    version: int, removed: list[str], named: str
) -> None:
    assert refusal(a_document(version, **dict.fromkeys(removed))).field == named


@pytest.mark.parametrize("field", [*_QUANTITIES, "baseFeePerGas"])
@pytest.mark.parametrize(
    "text",
    _BAD_QUANTITIES,
)
def test_quantity_in_another_form_is_refused(field: str, text: str) -> None:
    error = refusal(a_document(4, **{field: text}))

    assert error.field == field
    assert "is no hex quantity" in error.problem
    assert len(str(error)) < 200
    assert str(error).isascii()


@pytest.mark.parametrize("field", _QUANTITIES)
def test_quantity_bounds_are_those_of_64_bits(field: str) -> None:
    ssz_from_json(as_bytes(a_document(4, **{field: "0xffffffffffffffff"})))
    ssz_from_json(as_bytes(a_document(4, **{field: "0x0"})))

    assert refusal(a_document(4, **{field: "0x10000000000000000"})).field == field


def test_base_fee_bounds_are_those_of_256_bits() -> None:
    highest = ssz_from_json(as_bytes(a_document(4, baseFeePerGas="0x" + "f" * 64)))

    assert payload_header(highest).base_fee_per_gas == 2**256 - 1
    assert refusal(a_document(4, baseFeePerGas="0x1" + "0" * 64)).field == "baseFeePerGas"


@pytest.mark.parametrize(("field", "size"), _SIZED.items())
def test_data_of_another_length_is_refused(field: str, size: int) -> None:
    for wrong in (0, size - 1, size + 1):
        error = refusal(a_document(4, **{field: "0x" + "00" * wrong}))
        assert (error.field, error.problem) == (
            field,
            f"has {wrong} bytes, it must have {size}",
        )


@pytest.mark.parametrize("field", [*_SIZED, "extraData"])
@pytest.mark.parametrize(
    "text", ["", "00", "0x0", "0xzz", "0X00", "0x 00", "0x0 0 ", "0x\u0661\u0661"]
)
def test_data_that_is_no_hex_is_refused(field: str, text: str) -> None:
    assert refusal(a_document(4, **{field: text})).field == field


def test_root_is_checked_like_any_hash() -> None:
    assert refusal(a_document(4, root="0x1234")).field == "parentBeaconBlockRoot"
    assert refusal(a_document(4, root="1234")).field == "parentBeaconBlockRoot"


def test_extra_data_has_at_most_32_bytes() -> None:
    ssz_from_json(as_bytes(a_document(4, extraData="0x" + "00" * 32)))

    error = refusal(a_document(4, extraData="0x" + "00" * 33))
    assert str(error) == "extraData: has 33 bytes, at most 32 may be"


def test_upper_case_digits_are_taken() -> None:
    ssz = ssz_from_json(as_bytes(a_document(4, blockHash="0x" + "AB" * 32, gasUsed="0xAB")))

    assert payload_header(ssz).block_hash == b"\xab" * 32
    assert payload_header(ssz).gas_used == 0xAB


@pytest.mark.parametrize("text", ["", "00", "0x0", "0xzz", "0X00", "0x 0"])
def test_bad_transaction_is_named_by_its_position(text: str) -> None:
    assert refusal(a_document(4, transactions=["0x00", "0x", text])).field == "transactions[2]"


def test_two_odd_transactions_do_not_make_an_even_one() -> None:
    assert refusal(a_document(4, transactions=["0x1", "0x2"])).field == "transactions[0]"


def test_too_many_transactions_are_refused() -> None:
    raw = as_bytes(a_document(4, transactions=["T"])).replace(b'"T"', b'"0x",' * 2**20 + b'"0x"')

    error = refusal(raw)
    assert str(error) == "transactions: has 1048577 entries, at most 1048576 may be"


def test_withdrawal_is_checked_and_named_by_its_position() -> None:
    good = a_document(4)["executionPayload"]["withdrawals"][0]
    for field, text in (
        ("index", "0x01"),
        ("validatorIndex", "0x1" + "0" * 16),
        ("address", "0x00"),
        ("amount", None),
    ):
        error = refusal(a_document(4, withdrawals=[good, good | {field: text}]))
        assert error.field == f"withdrawals[1].{field}"


def test_seventeen_withdrawals_are_refused() -> None:
    good = a_document(4)["executionPayload"]["withdrawals"][0]

    assert validate_ssz(ssz_from_json(as_bytes(a_document(4, withdrawals=[good] * 16))))
    assert refusal(a_document(4, withdrawals=[good] * 17)).field == "withdrawals"


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("blockNumber", 7, "blockNumber"),
        ("transactions", "0x00", "transactions"),
        ("transactions", ["0x00", 1], "transactions[1]"),
        ("transactions", ["0x00", None], "transactions[1]"),
        ("withdrawals", [None], "withdrawals[0]"),
        ("withdrawals", [{"index": 1}], "withdrawals[0].index"),
        ("blockHash", ["0x00"], "blockHash"),
        ("extraData", {}, "extraData"),
        ("timestamp", True, "timestamp"),
    ],
)
def test_value_of_another_type_is_named(field: str, value: Any, named: str) -> None:
    error = refusal(a_document(4, **{field: value}))

    assert error.field == named
    assert error.problem.startswith("Expected")


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (b"", "payload"),
        (b"null", "payload"),
        (b"[]", "payload"),
        (b'"0x00"', "payload"),
        (b"{", "payload"),
        (b"{}", "parentHash"),
        (b'{"executionPayload":null}', "parentHash"),
        (b'{"executionPayload":{}}', "parentHash"),
        (b'{"executionPayload":[]}', "executionPayload"),
        (b'{"parentBeaconBlockRoot":7}', "parentBeaconBlockRoot"),
        (b"{} {}", "payload"),
        (b"\xef\xbb\xbf{}", "payload"),
        (b'{"x":NaN}', "payload"),
        (b'{"x":Infinity}', "payload"),
        (b'{"x":01}', "payload"),
        (b'{"blockHash":"\xff"}', "payload"),
        (b'{"blockHash":"\\ud800"}', "payload"),
        (b'{"executionPayload":{"blockHash":"\xed\xa0\x80"}}', "payload"),
        (b'{"transactions":["0x\xc3\x28"]}', "payload"),
        (b'{"x":' + b"[" * 200_000, "payload"),
        (b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "payload"),
        (b'{"x":' + b'{"x":' * 200_000, "payload"),
        (b'{"executionPayload":{"transactions":' + b"[" * 200_000, "transactions[0]"),
        (b'{"transactions":' + b"[" * 200_000, "payload"),
        (b"\x00" * 100, "payload"),
        ("{}".encode("utf-16"), "payload"),
    ],
    ids=lambda value: repr(value[:30]),
)
def test_broken_json_is_refused(raw: bytes, named: str) -> None:
    assert refusal(raw).field == named


def test_unknown_fields_are_skipped_whatever_they_hold() -> None:
    document = a_document(4, uncles=[[], {}], requestsHash=None, size="SIZE", hash="HASH")
    document |= {"executionPayloadValue": 5, "timestamp": [1.5], "blobsBundle": {"blobs": [[]]}}
    raw = as_bytes(document).replace(b'"SIZE"', b"1e999").replace(b'"HASH"', b"9" * 5_000)

    assert ssz_from_json(raw) == encode(an_envelope(4))


def test_of_a_repeated_name_the_last_counts() -> None:
    raw = as_bytes(a_document(4)).replace(b'"gasUsed":', b'"gasUsed":"0x1","gasUsed":')

    assert ssz_from_json(raw) == encode(an_envelope(4))


def test_white_space_and_escapes_do_not_matter() -> None:
    raw = json.dumps(a_document(4), indent=3).encode()
    escaped = raw.replace(b'"0x5208"', b'"\\u0030x5208"').replace(b'"gasUsed"', b'"gas\\u0055sed"')

    assert escaped != raw
    assert ssz_from_json(escaped) == encode(an_envelope(4))


def test_json_over_the_limit_is_too_large() -> None:
    with pytest.raises(TooLarge, match="the JSON has 35651585 bytes"):
        ssz_from_json(b" " * (PAYLOAD_JSON_BYTES_MAX + 1))


def test_payload_over_the_limit_is_too_large() -> None:
    transactions = ["0x" + "00" * PAYLOAD_SSZ_BYTES_MAX]

    with pytest.raises(TooLarge, match="bytes as SSZ"):
        ssz_from_json(as_bytes(a_document(4, transactions=transactions)))


def test_flood_of_tiny_values_is_refused_unread() -> None:
    raw = b'{"transactions":[' + b'"",' * (3 * 2**20) + b'""]}'

    with pytest.raises(TooLarge, match="more than any payload needs"):
        ssz_from_json(raw)


_JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["0x", "0x0", "0x00", "0x" + "00" * 32, "0x" + "f" * 16]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=4), below),
    max_leaves=6,
)
_FIELDS = st.sampled_from([*a_document(4)["executionPayload"], "parentBeaconBlockRoot"])


@settings(deadline=None)
@given(st.integers(1, 4), st.dictionaries(_FIELDS, _JSON_VALUES, max_size=3), st.booleans())
def test_any_change_to_a_document_is_taken_or_refused(
    version: int, changes: dict[str, Any], bare: bool
) -> None:
    document = a_document(version)
    document["executionPayload"] |= changes
    judge(as_bytes(document["executionPayload"] if bare else document))


@settings(deadline=None)
@given(st.data())
def test_any_damage_to_the_bytes_is_taken_or_refused(data: st.DataObject) -> None:
    raw = as_bytes(a_document(data.draw(st.integers(1, 4))))
    start = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(start, min(start + 20, len(raw))))
    judge(raw[:start] + data.draw(st.binary(max_size=6)) + raw[end:])


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_any_bytes_are_refused(raw: bytes) -> None:
    refusal(raw)


def judge(raw: bytes) -> None:
    """Whatever the bytes: good SSZ, or our own error with a printable text."""
    refused = None
    try:
        validate_ssz(ssz_from_json(raw))
    except InvalidPayload as error:
        refused = error
    assert refused is None or (refused.field and str(refused).isprintable())
