"""The simulated chain: valid envelopes that link, and never two that are equal."""

from __future__ import annotations

import json

import pytest

from conductor.devnet.payloads import GENESIS, TRANSACTIONS_BYTES_MIN, Block, BlockBuilder
from conductor.payload import decode, json_from_ssz, ssz_from_json, validate_ssz


def a_builder(seed: int = 1, builder: str = "node-1", size: int = 1000) -> BlockBuilder:
    return BlockBuilder(seed=seed, builder=builder, transactions_bytes=size)


def a_chain(length: int, builder: BlockBuilder) -> list[Block]:
    blocks: list[Block] = []
    for _ in range(length):
        blocks.append(builder.build(blocks[-1].head if blocks else GENESIS))
    return blocks


def test_blocks_link_from_genesis_on() -> None:
    blocks = a_chain(4, a_builder())

    assert [block.head.height for block in blocks] == [1, 2, 3, 4]
    parents = [GENESIS.block_hash, *(block.head.block_hash for block in blocks[:-1])]
    assert [block.parent_hash for block in blocks] == parents


def test_head_and_ssz_of_a_block_say_the_same() -> None:
    block = a_builder().build(GENESIS)

    header = validate_ssz(block.ssz)

    assert header.version == 4
    assert (header.height, header.block_hash, header.timestamp) == (
        block.head.height,
        block.head.block_hash,
        block.head.timestamp,
    )
    assert header.parent_hash == block.parent_hash == GENESIS.block_hash
    assert header.timestamp == GENESIS.timestamp + 1


def test_json_of_a_block_is_the_envelope_that_op_node_sends() -> None:
    block = a_builder().build(GENESIS)

    document = json.loads(block.envelope_json)

    assert ssz_from_json(block.envelope_json) == block.ssz
    assert json_from_ssz(block.ssz) == block.envelope_json
    assert document.keys() == {"parentBeaconBlockRoot", "executionPayload"}
    assert document["executionPayload"]["withdrawals"] == []
    assert document["executionPayload"]["transactions"][0].startswith("0x7e")


def test_transactions_have_the_wanted_size_together() -> None:
    block = a_builder(size=12_345).build(GENESIS)

    assert sum(map(len, decode(block.ssz).transactions)) == 12_345


def test_too_small_a_size_still_leaves_room_for_a_deposit_and_more() -> None:
    transactions = decode(a_builder(size=1).build(GENESIS).ssz).transactions

    assert sum(map(len, transactions)) == TRANSACTIONS_BYTES_MIN
    assert len(transactions) > 1


def test_same_seed_builds_the_same_chain() -> None:
    assert a_chain(3, a_builder(seed=7)) == a_chain(3, a_builder(seed=7))


@pytest.mark.parametrize(
    "other", [a_builder(seed=2), a_builder(builder="node-2")], ids=["seed", "builder"]
)
def test_another_seed_or_builder_builds_another_block_on_the_same_parent(
    other: BlockBuilder,
) -> None:
    assert a_builder().build(GENESIS).head.block_hash != other.build(GENESIS).head.block_hash


def test_one_builder_never_builds_the_same_block_twice() -> None:
    builder = a_builder()

    first, second = builder.build(GENESIS), builder.build(GENESIS)

    assert first.head.height == second.head.height
    assert first.head.block_hash != second.head.block_hash
    assert first.payload_hash != second.payload_hash
