"""The journal keeps what it was told, and finds all blocks that cannot be of one chain."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from conductor.devnet.journal import Journal, Record, find_forks, read_journal
from conductor.devnet.payloads import GENESIS
from conductor.errors import InvalidArgument
from tests.devnet.builders import gossip, some_blocks, start


def a_journal(path: Path, told: list[Record] | None = None) -> Journal:
    records = told if told is not None else []
    return Journal(path, lambda: 5, records.append)


async def test_journal_on_disk_is_the_journal_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    told: list[Record] = []
    journal = a_journal(path, told)
    first, second = some_blocks(2)

    await journal.start("node-1", GENESIS)
    await journal.gossip("node-1", first)
    await journal.gossip("node-2", second)

    assert journal.records == tuple(told)
    assert [(record.event, record.node, record.height) for record in told] == [
        ("start", "node-1", 0),
        ("gossip", "node-1", 1),
        ("gossip", "node-2", 2),
    ]
    assert told[2].payload_hash == second.payload_hash.hex()
    assert told[2].at_ms == 5
    assert journal.gossiped_count == 2
    assert journal.last_gossip == told[2]
    assert await asyncio.to_thread(read_journal, path) == journal.records


async def test_journal_only_adds_to_its_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    first, second = some_blocks(2)

    await a_journal(path).gossip("node-1", first)
    before = path.read_bytes()
    await a_journal(path).gossip("node-1", second)

    assert path.read_bytes().startswith(before)
    assert len(await asyncio.to_thread(read_journal, path)) == 2


def test_journal_that_was_never_written_is_empty(tmp_path: Path) -> None:
    assert read_journal(tmp_path / "journal.jsonl") == ()


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"event":"gossip"}', b'{"event":"other"}'])
def test_line_that_is_no_record_is_refused(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(line + b"\n")

    with pytest.raises(InvalidArgument, match="is no journal"):
        read_journal(path)


def test_one_chain_by_several_nodes_is_no_fork() -> None:
    blocks = some_blocks(4)
    records = [start(GENESIS), *(gossip(block) for block in blocks[:2])]
    records += [start(blocks[1].head, "node-2"), *(gossip(block, "node-2") for block in blocks[2:])]

    assert find_forks(records) == ()


def test_same_block_gossiped_twice_is_no_fork() -> None:
    (block,) = some_blocks(1)

    assert find_forks([gossip(block), gossip(block, "node-2")]) == ()


def test_gap_in_the_heights_is_no_fork() -> None:
    """A block may be certified although nobody lived to gossip it."""
    first, _, third = some_blocks(3)

    assert find_forks([gossip(first), start(third.head, "node-2"), gossip(third, "node-2")]) == ()


def test_two_blocks_at_one_height_are_a_fork() -> None:
    blocks = some_blocks(2)
    (sibling,) = some_blocks(1, builder="node-2", on=blocks[0].head)

    (fork,) = find_forks([*map(gossip, blocks), gossip(sibling, "node-2")])

    assert fork.startswith("height 2: node-1 has ")
    assert sibling.head.block_hash.hex() in fork


def test_start_at_another_block_than_the_gossiped_one_is_a_fork() -> None:
    (block,) = some_blocks(1)
    (sibling,) = some_blocks(1, builder="node-2")

    (fork,) = find_forks([gossip(block), start(sibling.head, "node-2")])

    assert fork.startswith("height 1: ")


def test_child_of_another_parent_is_a_fork() -> None:
    (block,) = some_blocks(1)
    stranger = some_blocks(2, builder="node-2")[1]

    (fork,) = find_forks([gossip(block), gossip(stranger, "node-2")])

    assert fork.startswith("height 2: the block of node-2 has parent ")


def test_fork_is_found_in_whatever_order_it_was_written() -> None:
    blocks = some_blocks(2)
    stranger = some_blocks(2, builder="node-2")[1]

    assert len(find_forks([gossip(stranger, "node-2"), gossip(blocks[0])])) == 1


def test_each_height_counts_once_however_many_blocks_it_has() -> None:
    siblings = [some_blocks(1, builder=f"node-{number}")[0] for number in range(4)]

    assert len(find_forks(map(gossip, siblings))) == 1
