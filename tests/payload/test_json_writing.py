"""op-node's JSON out: the very bytes that the Go op-node writes, and nothing lost on the way."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings

from conductor.payload import Envelope, encode, json_from_ssz, ssz_from_json
from tests.payload.builders import a_document, an_envelope, as_bytes
from tests.payload.strategies import envelopes


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_json_is_byte_for_byte_what_go_writes(version: int) -> None:
    """The builder writes its document in Go's field order, so the bytes must agree."""
    assert json_from_ssz(encode(an_envelope(version))) == as_bytes(a_document(version))


def test_fields_of_later_forks_are_left_out() -> None:
    document = json.loads(json_from_ssz(encode(an_envelope(1))))

    assert document.keys() == {"executionPayload"}
    later = {"withdrawals", "blobGasUsed", "excessBlobGas", "withdrawalsRoot"}
    assert not later & document["executionPayload"].keys()


@pytest.mark.parametrize(("version", "written"), [(1, False), (2, False), (3, True), (4, True)])
def test_zero_root_is_written_since_ecotone_only(version: int, written: bool) -> None:
    ssz = encode(an_envelope(version, parent_beacon_block_root=bytes(32)))

    assert (b"parentBeaconBlockRoot" in json_from_ssz(ssz)) is written


@pytest.mark.parametrize("version", [1, 2])
def test_root_of_an_early_payload_is_written_unless_zero(version: int) -> None:
    ssz = encode(an_envelope(version, parent_beacon_block_root=b"\x11" * 32))

    assert json.loads(json_from_ssz(ssz))["parentBeaconBlockRoot"] == "0x" + "11" * 32


def test_empty_lists_and_zeros_are_written_out() -> None:
    envelope = an_envelope(
        4, transactions=(), withdrawals=(), extra_data=b"", height=0, excess_blob_gas=0
    )
    payload = json.loads(json_from_ssz(encode(envelope)))["executionPayload"]

    assert payload["transactions"] == []
    assert payload["withdrawals"] == []
    assert payload["extraData"] == "0x"
    assert payload["blockNumber"] == "0x0"
    assert payload["excessBlobGas"] == "0x0"


@settings(deadline=None)
@given(envelopes())
def test_every_envelope_survives_json(envelope: Envelope) -> None:
    ssz = encode(envelope)
    written = json_from_ssz(ssz)

    assert ssz_from_json(written) == ssz
    assert json_from_ssz(ssz_from_json(written)) == written
