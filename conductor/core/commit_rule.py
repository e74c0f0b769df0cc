"""What a commit accepts (rule 5.6): which payload may follow which.

Invariant: an accepted payload cannot make op-node gossip two siblings, unless op-node itself
reorganises under the leader that let it (`reorg`), or the operator asked for no check (`any`).

A cluster that takes the place of another goes on from the head that its genesis names. While the
log is without payloads that block counts as the last one, certified though it is not in the log:
the first payload is the block itself, so that it gets into the log, or its child.
"""

from __future__ import annotations

from dataclasses import dataclass

from conductor.core.log import Log
from conductor.core.values import BlockReference, Head, Index
from conductor.errors import Conflict


@dataclass(frozen=True, slots=True)
class Accepted:
    """The payload is new: append it."""

    extends_last: bool
    """It is the child of the last payload, or the very first."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """These bytes are in the chain already: wait for the certificate of that entry."""

    index: Index


def judge(
    rule: str, log: Log, block: BlockReference, body_hash: bytes, *, continuity_proven: bool
) -> Accepted | Duplicate:
    """Decide about a payload. Conflict says what was expected and what came.

    `continuity_proven`: in this epoch a payload extended the last one, or this conductor started
    its sequencer there. Before that a sequencer of a past leadership could still be building on an
    old block, and its first payload must not fork the chain.
    """
    last = log.last_payload
    if last is None or last.block is None:
        return _judge_first(rule, log.head, block, body_hash)
    known = log.payloads_of_block(block.block_hash)
    if any(entry.body_hash != body_hash for entry in known):
        raise Conflict(f"block 0x{block.block_hash.hex()} is in the log with other contents")
    for entry in log.ancestry(last) if known else ():
        if entry.body_hash == body_hash:
            return Duplicate(entry.index)
    if _is_child(last.block, block):
        return Accepted(extends_last=True)
    if rule == "any":
        return Accepted(extends_last=False)
    if rule == "reorg" and _has_certified_parent(log, block):
        if continuity_proven:
            return Accepted(extends_last=False)
        raise Conflict(
            f"{_expected(last.block)}; {_came(block)}, which reorganises the chain: refused until "
            "a payload has extended the last one under this leadership"
        )
    raise Conflict(f"{_expected(last.block)}; {_came(block)}")


def _judge_first(rule: str, head: Head | None, block: BlockReference, body_hash: bytes) -> Accepted:
    """Decide about a payload while there is none in the log."""
    if head is None:
        return Accepted(extends_last=True)
    if block.block_hash == head.block.block_hash and body_hash != head.body_hash:
        raise Conflict(
            f"block 0x{block.block_hash.hex()} is the one that the cluster goes on from, and came "
            "with other contents"
        )
    if body_hash == head.body_hash or _is_child(head.block, block):
        return Accepted(extends_last=True)
    if rule == "any":
        return Accepted(extends_last=False)
    raise Conflict(
        f"expected the block that the cluster goes on from, of height {head.block.height} with "
        f"hash 0x{head.block.block_hash.hex()}, or its child; {_came(block)}"
    )


def _is_child(parent: BlockReference, block: BlockReference) -> bool:
    return block.parent_hash == parent.block_hash and block.height == parent.height + 1


def _has_certified_parent(log: Log, block: BlockReference) -> bool:
    """Whether it is the child of a certified payload that is held, or of the head before them."""
    is_whole = log.base.position.index == 0
    if log.head is not None and is_whole and _is_child(log.head.block, block):
        return True
    return any(
        parent.index <= log.certified.index
        and parent.block is not None
        and _is_child(parent.block, block)
        for parent in log.payloads_of_block(block.parent_hash)
    )


def _expected(last: BlockReference) -> str:
    return f"expected height {last.height + 1} with parent 0x{last.block_hash.hex()}"


def _came(block: BlockReference) -> str:
    return (
        f"got height {block.height}, hash 0x{block.block_hash.hex()}, "
        f"parent 0x{block.parent_hash.hex()}"
    )
