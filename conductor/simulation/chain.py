"""Blocks that sequencers build: a tree, of which the world should hear of one branch only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from conductor.core.values import BlockReference, Head, Height

OLDER = BlockReference(Height(99), b"\xee" * 32, b"\xed" * 32)
NEWEST = BlockReference(Height(100), b"\xef" * 32, OLDER.block_hash)
"""The last two blocks of the cluster before this one."""

HEAD = Head(NEWEST, hashlib.sha256(NEWEST.block_hash).digest())
"""What a cluster that takes the place of another goes on from."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block that some sequencer made."""

    reference: BlockReference
    by_reorg: bool
    """It took the place of another because L1 reorganised: op-node says so to everyone."""

    @property
    def body_hash(self) -> bytes:
        """The hash of its envelope."""
        return hashlib.sha256(self.reference.block_hash).digest()


class Chain:
    """All blocks ever built."""

    def __init__(self) -> None:
        self._blocks: dict[bytes, Block] = {}

    def add(self, reference: BlockReference) -> Block:
        """A block that was built elsewhere, before."""
        block = self._blocks[reference.block_hash] = Block(reference, by_reorg=False)
        return block

    def build(self, parent: BlockReference | None, *, by_reorg: bool = False) -> Block:
        """A new block on that parent; each is different."""
        number = len(self._blocks) + 1
        reference = BlockReference(
            height=Height(parent.height + 1 if parent else 1),
            block_hash=number.to_bytes(32, "big"),
            parent_hash=parent.block_hash if parent else bytes(32),
        )
        block = self._blocks[reference.block_hash] = Block(reference, by_reorg)
        return block

    def parent(self, reference: BlockReference) -> BlockReference | None:
        """The block before that one; None before the first."""
        parent = self._blocks.get(reference.parent_hash)
        return parent.reference if parent else None

    def ancestry(self, block: Block) -> Iterator[Block]:
        """That block and all before it, newest first."""
        newer: Block | None = block
        while newer is not None:
            yield newer
            newer = self._blocks.get(newer.reference.parent_hash)
