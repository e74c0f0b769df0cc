"""Rule 5.6: what op-nodes gossip is one chain, unless L1 itself was reorganised."""

from __future__ import annotations

from conductor.simulation.chain import Block, Chain
from conductor.simulation.checkers.checker import fail


class Continuity:
    """Hears of every block that some op-node tells the world about."""

    def __init__(self, chain: Chain, *, allows_forks: bool, head: Block | None = None) -> None:
        """`head`: the last block that the world has heard of before."""
        self._chain = chain
        self._allows_forks = allows_forks
        self._head = head
        self.gossiped = 0
        """How many blocks were told."""

    def gossip(self, block: Block) -> None:
        """A block that a conductor has let pass."""
        self.gossiped += 1
        head, self._head = self._head, block
        if head is None:
            return
        known = {older.reference.block_hash for older in self._chain.ancestry(head)}
        if block.reference.block_hash in known:
            self._head = head
            return
        is_reorganised = False
        for newer in self._chain.ancestry(block):
            is_reorganised = is_reorganised or newer.by_reorg
            if newer.reference.parent_hash in known:
                break
        extends = newer.reference.parent_hash == head.reference.block_hash
        if not (extends or is_reorganised or self._allows_forks):
            height, before = block.reference.height, head.reference.height
            fail(
                "the gossiped chain never forks", f"block {height} of another chain after {before}"
            )
