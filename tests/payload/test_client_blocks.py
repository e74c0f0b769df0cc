"""Blocks of a real execution client: what comes out of the codecs still hashes to their hash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conductor.payload import decode, json_from_ssz, payload_header, ssz_from_json
from tests.payload.builders import as_bytes
from tests.payload.ethereum import block_hash, keccak, list_root

_FIXTURES = [
    (fork, json.loads((Path(__file__).parent / "fixtures" / f"{fork}.json").read_text("utf-8")))
    for fork in ("bedrock", "canyon", "ecotone", "isthmus")
]
_CASES = [
    pytest.param(fixture["version"], entry["block"], entry["envelope"], id=f"{fork}-{height}")
    for fork, fixture in _FIXTURES
    for height, entry in enumerate(fixture["blocks"], start=1)
]


@pytest.mark.parametrize(("version", "block", "envelope"), _CASES)
def test_block_hash_follows_from_the_stored_bytes(
    version: int, block: dict[str, Any], envelope: dict[str, Any]
) -> None:
    """Recomputed from nothing but the SSZ bytes: a lost or altered field would change it."""
    stored = decode(ssz_from_json(as_bytes(envelope)))

    assert stored.version == version
    assert list_root(stored.transactions).hex() == block["transactionsRoot"][2:]
    assert block_hash(stored).hex() == block["hash"][2:]


@pytest.mark.parametrize(("version", "block", "envelope"), _CASES)
def test_transactions_keep_their_hashes(
    version: int, block: dict[str, Any], envelope: dict[str, Any]
) -> None:
    stored = decode(ssz_from_json(as_bytes(envelope)))

    hashes = ["0x" + keccak(data).hex() for data in stored.transactions]
    assert hashes == [transaction["hash"] for transaction in block["transactions"]]


@pytest.mark.parametrize(("version", "block", "envelope"), _CASES)
def test_header_agrees_with_the_client(
    version: int, block: dict[str, Any], envelope: dict[str, Any]
) -> None:
    header = payload_header(ssz_from_json(as_bytes(envelope)))

    assert header.version == version
    assert header.height == int(block["number"], 16)
    assert header.timestamp == int(block["timestamp"], 16)
    assert header.gas_limit == int(block["gasLimit"], 16)
    assert header.gas_used == int(block["gasUsed"], 16)
    assert header.base_fee_per_gas == int(block["baseFeePerGas"], 16)
    assert header.parent_hash.hex() == block["parentHash"][2:]
    assert header.block_hash.hex() == block["hash"][2:]
    assert header.state_root.hex() == block["stateRoot"][2:]
    assert header.fee_recipient.hex() == block["miner"][2:]
    assert header.transactions_count == len(block["transactions"])


@pytest.mark.parametrize(("version", "block", "envelope"), _CASES)
def test_envelope_comes_back_as_it_was(
    version: int, block: dict[str, Any], envelope: dict[str, Any]
) -> None:
    assert json.loads(json_from_ssz(ssz_from_json(as_bytes(envelope)))) == envelope


def test_fixtures_hold_transactions_of_four_types() -> None:
    """Guards the tests above against fixtures that show less than they should."""
    types = {
        transaction["type"]
        for _, fixture in _FIXTURES
        for transaction in fixture["blocks"][0]["block"]["transactions"]
    }

    assert types == {"0x0", "0x1", "0x2", "0x7e"}
