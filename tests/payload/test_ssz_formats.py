"""The SSZ bytes are those of others: Go's, remerkleable's and the layout table's."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from conductor.payload import (
    Envelope,
    decode,
    encode,
    json_from_ssz,
    payload_header,
    ssz_from_json,
    validate_ssz,
)
from tests.payload.builders import an_envelope
from tests.payload.reference import reference_decode, reference_encode
from tests.payload.strategies import envelopes

_GOLDEN = Path(__file__).parent / "golden"
_MANIFEST: list[dict[str, Any]] = json.loads((_GOLDEN / "manifest.json").read_text("utf-8"))


def golden_id(entry: dict[str, Any]) -> str:
    return str(entry["file"])


def golden_ssz(entry: dict[str, Any]) -> bytes:
    """A golden file as an envelope: the old format has a version byte where the root is now."""
    data = (_GOLDEN / golden_id(entry)).read_bytes()
    assert hashlib.sha256(data).hexdigest() == entry["sha256"]
    return bytes(32) + data[1:] if golden_id(entry).startswith("legacy") else data


@pytest.mark.parametrize("entry", _MANIFEST, ids=golden_id)
def test_golden_file_decodes_to_what_go_says(entry: dict[str, Any]) -> None:
    envelope = decode(golden_ssz(entry))

    words = enumerate(entry["base_fee_words_le"])
    assert envelope.version == entry["version"]
    assert envelope.height == entry["block_number"]
    assert envelope.timestamp == entry["timestamp"]
    assert envelope.gas_used == entry["gas_used"]
    assert envelope.base_fee_per_gas == sum(word << 64 * place for place, word in words)
    assert envelope.block_hash.hex() == entry["block_hash"]
    assert envelope.parent_hash.hex() == entry["parent_hash"]
    assert envelope.state_root.hex() == entry["state_root"]
    assert envelope.extra_data.hex() == entry["extra_data"]
    assert [data.hex() for data in envelope.transactions] == entry["transactions"]
    withdrawals = None if envelope.withdrawals is None else len(envelope.withdrawals)
    assert withdrawals == entry.get("withdrawals")
    root = None if envelope.withdrawals_root is None else envelope.withdrawals_root.hex()
    assert root == entry.get("withdrawals_root")


@pytest.mark.parametrize("entry", _MANIFEST, ids=golden_id)
def test_golden_file_survives_both_codecs(entry: dict[str, Any]) -> None:
    ssz = golden_ssz(entry)

    assert encode(decode(ssz)) == ssz
    assert ssz_from_json(json_from_ssz(ssz)) == ssz


@pytest.mark.parametrize("entry", _MANIFEST, ids=golden_id)
def test_header_of_golden_file_agrees_with_manifest(entry: dict[str, Any]) -> None:
    header = payload_header(golden_ssz(entry))

    assert header.version == entry["version"]
    assert header.height == entry["block_number"]
    assert header.block_hash.hex() == entry["block_hash"]
    assert header.parent_hash.hex() == entry["parent_hash"]
    assert header.state_root.hex() == entry["state_root"]
    assert header.timestamp == entry["timestamp"]
    assert header.gas_used == entry["gas_used"]
    assert header.transactions_count == len(entry["transactions"])


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_reference_implementation_writes_the_same_bytes(version: int) -> None:
    envelope = an_envelope(version)

    assert encode(envelope) == reference_encode(envelope)


@settings(deadline=None)
@given(envelopes())
def test_reference_implementation_agrees_both_ways(envelope: Envelope) -> None:
    ssz = encode(envelope)

    assert ssz == reference_encode(envelope)
    assert reference_decode(ssz, envelope.version) == envelope


@settings(deadline=None)
@given(envelopes())
def test_every_envelope_survives_ssz(envelope: Envelope) -> None:
    assert decode(encode(envelope)) == envelope


@settings(deadline=None)
@given(envelopes())
def test_header_agrees_with_the_whole_envelope(envelope: Envelope) -> None:
    ssz = encode(envelope)
    header = payload_header(ssz)

    assert validate_ssz(ssz) == header
    assert header.transactions_count == len(envelope.transactions)
    for field in header.__slots__:
        if field != "transactions_count":
            assert getattr(header, field) == getattr(envelope, field), field


@pytest.mark.parametrize(("version", "fixed_size"), [(1, 508), (2, 512), (3, 528), (4, 560)])
def test_extra_data_offset_names_the_version(version: int, fixed_size: int) -> None:
    ssz = encode(an_envelope(version))

    assert int.from_bytes(ssz[468:472], "little") == fixed_size
    assert ssz[32 + fixed_size :].startswith(b"\x88" * 9)


def test_smallest_envelope_is_its_fixed_part() -> None:
    ssz = encode(an_envelope(1, extra_data=b"", transactions=()))

    assert len(ssz) == 540
    assert validate_ssz(ssz).transactions_count == 0


def test_block_with_empty_trie_root_stored_by_go_is_read_as_v3() -> None:
    """Go leaves the field out when it is the root of the empty trie: what it stored is plain V3."""
    envelope = an_envelope(4)
    stored_by_go = encode(an_envelope(3))

    assert validate_ssz(stored_by_go).version == 3
    assert validate_ssz(stored_by_go).block_hash == envelope.block_hash
    assert b"withdrawalsRoot" not in json_from_ssz(stored_by_go)
