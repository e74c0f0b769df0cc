"""Which payload a commit accepts, as tables (rule 5.6).

The log under test: blocks 1 to 5, of which 1 to 4 are certified and 5 is pending.
"""

from __future__ import annotations

import pytest

from conductor.core.commit_rule import Accepted, Duplicate, judge
from conductor.core.log import Log
from conductor.core.values import BlockReference, Head
from conductor.errors import Conflict
from tests.core.builders import (
    a_base,
    a_block,
    a_certificate,
    a_chain,
    a_log,
    a_payload,
    an_epoch_start,
    beginning,
    sha256,
)

RULES = ("strict", "reorg", "any")

CHILD = Accepted(extends_last=True)
SIBLING = Accepted(extends_last=False)
REFUSED = "refused"


def five_blocks(certified: int = 4) -> Log:
    return a_log(a_chain([1] * 5), certified)


def verdict(
    rule: str, log: Log, block: BlockReference, *, body: str = "", proven: bool = True
) -> Accepted | Duplicate | str:
    """The verdict, or that it is refused."""
    body_hash = sha256(body or f"body of {block.block_hash.hex()}")
    try:
        return judge(rule, log, block, body_hash, continuity_proven=proven)
    except Conflict:
        return REFUSED


WRONG_HEIGHT = BlockReference(a_block(7).height, a_block(6).block_hash, a_block(6).parent_hash)


@pytest.mark.parametrize(
    ("block", "strict", "reorg", "fenced", "free"),
    [
        pytest.param(a_block(6), CHILD, CHILD, CHILD, CHILD, id="child of the last"),
        pytest.param(
            a_block(5, "x", ""), REFUSED, SIBLING, REFUSED, SIBLING, id="sibling of the last"
        ),
        pytest.param(
            a_block(2, "x", ""), REFUSED, SIBLING, REFUSED, SIBLING, id="child of a certified"
        ),
        pytest.param(
            a_block(1, "x", ""), REFUSED, REFUSED, REFUSED, SIBLING, id="child of what is not held"
        ),
        pytest.param(a_block(7), REFUSED, REFUSED, REFUSED, SIBLING, id="one is missing"),
        pytest.param(
            a_block(6, "x"), REFUSED, REFUSED, REFUSED, SIBLING, id="next height, other parent"
        ),
        pytest.param(
            WRONG_HEIGHT, REFUSED, REFUSED, REFUSED, SIBLING, id="child with a wrong height"
        ),
        pytest.param(
            BlockReference(a_block(9).height, a_block(9).block_hash, a_block(3).block_hash),
            REFUSED,
            REFUSED,
            REFUSED,
            SIBLING,
            id="child of a certified, wrong height",
        ),
        pytest.param(a_block(5), *[Duplicate(a_chain([1] * 5)[4].index)] * 4, id="the last, again"),
        pytest.param(
            a_block(2), *[Duplicate(a_chain([1] * 5)[1].index)] * 4, id="an ancestor, again"
        ),
    ],
)
def test_verdicts_by_rule(
    block: BlockReference, strict: object, reorg: object, fenced: object, free: object
) -> None:
    """`fenced` is `reorg` before a payload has extended the last one in this epoch."""
    log = five_blocks()

    assert verdict("strict", log, block) == strict
    assert verdict("reorg", log, block) == reorg
    assert verdict("reorg", log, block, proven=False) == fenced
    assert verdict("any", log, block, proven=False) == free


@pytest.mark.parametrize("rule", RULES)
def test_an_empty_log_takes_any_height(rule: str) -> None:
    assert verdict(rule, Log(a_base()), a_block(1000), proven=False) == CHILD


@pytest.mark.parametrize("rule", RULES)
def test_a_log_with_epoch_starts_only_is_empty(rule: str) -> None:
    log = a_log((an_epoch_start(beginning()),), certified=1)

    assert verdict(rule, log, a_block(1000), proven=False) == CHILD


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("height", [5, 2])
def test_the_same_block_with_other_bytes_is_refused(rule: str, height: int) -> None:
    """Trap T8: it would be acknowledged as what it is not."""
    assert verdict(rule, five_blocks(), a_block(height), body="other bytes") == REFUSED


@pytest.mark.parametrize("rule", RULES)
def test_a_pending_payload_may_come_again(rule: str) -> None:
    """Trap T8: op-node was not answered in time. The same payload counts once."""
    log = five_blocks(certified=1)

    assert verdict(rule, log, a_block(5), proven=False) == Duplicate(log.last.index)


def test_a_child_of_a_payload_that_is_only_pending_is_no_reorg() -> None:
    """It may still be replaced by the next leader."""
    log = five_blocks(certified=3)

    assert verdict("reorg", log, a_block(4, "x", "")) == SIBLING
    assert verdict("reorg", log, a_block(5, "x", "")) == REFUSED


def reorganised(certified: int = 7) -> Log:
    """Blocks 1 to 5; then 3', 4' on block 2."""
    log = a_log(a_chain([1] * 5))
    for block in (a_block(3, "x", ""), a_block(4, "x")):
        log.append(a_payload(log.last, 1, block))
    return a_log(tuple(log.entries), certified)


@pytest.mark.parametrize(
    ("block", "strict", "reorg", "free"),
    [
        pytest.param(a_block(5, "x"), CHILD, CHILD, CHILD, id="child of the new branch"),
        pytest.param(a_block(3), REFUSED, SIBLING, SIBLING, id="left behind, its parent is held"),
        pytest.param(a_block(5), REFUSED, SIBLING, SIBLING, id="left behind with its parent"),
        pytest.param(a_block(6), REFUSED, SIBLING, SIBLING, id="new on what was left behind"),
    ],
)
def test_a_payload_that_a_reorg_left_behind_is_judged_like_a_new_one(
    block: BlockReference, strict: object, reorg: object, free: object
) -> None:
    log = reorganised()

    assert verdict("strict", log, block) == strict
    assert verdict("reorg", log, block) == reorg
    assert verdict("any", log, block) == free


def test_a_payload_that_came_back_is_a_duplicate_of_its_second_entry() -> None:
    log = reorganised()
    log.append(a_payload(log.last, 1, a_block(3)))

    assert verdict("reorg", log, a_block(3)) == Duplicate(log.last.index)
    assert verdict("reorg", log, a_block(2)) == Duplicate(a_chain([1] * 2)[1].index)


def test_left_behind_with_other_bytes_is_refused() -> None:
    assert verdict("any", reorganised(), a_block(5), body="other bytes") == REFUSED


def pruned() -> Log:
    """Blocks 4 and 5 of the five, with 1 to 3 pruned."""
    return a_log(a_chain([1] * 5)[3:], certified=5, base=a_base(a_chain([1] * 3)[2].position))


@pytest.mark.parametrize(
    ("height", "strict", "reorg"),
    [(5, REFUSED, SIBLING), (4, REFUSED, REFUSED), (3, REFUSED, REFUSED)],
)
def test_no_sibling_is_taken_below_the_window(height: int, strict: object, reorg: object) -> None:
    """Its parent is pruned: nobody can tell whether it was certified."""
    block = a_block(height, "x", "")

    assert verdict("strict", pruned(), block) == strict
    assert verdict("reorg", pruned(), block) == reorg


@pytest.mark.parametrize("rule", ["strict", "reorg"])
def test_a_pruned_payload_that_comes_again_is_refused(rule: str) -> None:
    assert verdict(rule, pruned(), a_block(2)) == REFUSED


def test_a_refusal_says_what_was_expected_and_what_came() -> None:
    with pytest.raises(Conflict) as refusal:
        judge("strict", five_blocks(), a_block(9), bytes(32), continuity_proven=True)

    text = str(refusal.value)
    assert f"expected height 6 with parent 0x{a_block(5).block_hash.hex()}" in text
    assert f"got height 9, hash 0x{a_block(9).block_hash.hex()}" in text
    assert f"parent 0x{a_block(8).block_hash.hex()}" in text


def test_a_fenced_reorg_says_what_it_waits_for() -> None:
    with pytest.raises(Conflict, match="until a payload has extended the last one"):
        judge("reorg", five_blocks(), a_block(5, "x", ""), bytes(32), continuity_proven=False)


def test_the_other_contents_are_named() -> None:
    with pytest.raises(Conflict, match=f"0x{a_block(5).block_hash.hex()} is in the log with other"):
        judge("any", five_blocks(), a_block(5), bytes(32), continuity_proven=True)


# A cluster that goes on from a block of another


HEAD = Head(a_block(100), sha256(f"body of {a_block(100).block_hash.hex()}"))


def heir(*blocks: BlockReference, certified: int = 0) -> Log:
    """The log of a cluster that goes on from block 100; it has these payloads."""
    entries = [an_epoch_start(beginning())]
    for block in blocks:
        entries.append(a_payload(entries[-1].position, 1, block))
    certificates = [a_certificate(entry) for entry in entries if entry.index == certified]
    return Log.restored(a_base(), entries, certificates[0] if certificates else None, HEAD)


@pytest.mark.parametrize(
    ("block", "safe", "free"),
    [
        pytest.param(a_block(100), CHILD, CHILD, id="the block itself"),
        pytest.param(a_block(101), CHILD, CHILD, id="its child"),
        pytest.param(a_block(101, "x", ""), CHILD, CHILD, id="another child of it"),
        pytest.param(a_block(100, "x", ""), REFUSED, SIBLING, id="its sibling"),
        pytest.param(a_block(101, "x"), REFUSED, SIBLING, id="next height, other parent"),
        pytest.param(a_block(102), REFUSED, SIBLING, id="one is missing"),
        pytest.param(a_block(99), REFUSED, SIBLING, id="its parent"),
        pytest.param(a_block(1), REFUSED, SIBLING, id="from the beginning"),
        pytest.param(
            BlockReference(a_block(107).height, a_block(101).block_hash, a_block(100).block_hash),
            REFUSED,
            SIBLING,
            id="child with a wrong height",
        ),
    ],
)
def test_the_first_payload_is_the_head_of_the_genesis_or_its_child(
    block: BlockReference, safe: object, free: object
) -> None:
    for log in (heir(), Log(a_base(), HEAD)):
        assert verdict("strict", log, block, proven=False) == safe
        assert verdict("reorg", log, block, proven=False) == safe
        assert verdict("reorg", log, block, proven=True) == safe
        assert verdict("any", log, block, proven=False) == free


@pytest.mark.parametrize("rule", RULES)
def test_the_head_of_the_genesis_with_other_bytes_is_refused(rule: str) -> None:
    assert verdict(rule, heir(), a_block(100), body="other bytes") == REFUSED


def test_a_refusal_says_which_block_the_cluster_goes_on_from() -> None:
    with pytest.raises(Conflict) as refusal:
        judge("reorg", heir(), a_block(7), bytes(32), continuity_proven=True)

    text = str(refusal.value)
    assert f"goes on from, of height 100 with hash 0x{a_block(100).block_hash.hex()}" in text
    assert f"got height 7, hash 0x{a_block(7).block_hash.hex()}" in text


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("certified", [1, 2])
def test_the_head_of_the_genesis_in_the_log_is_a_payload_like_any(
    rule: str, certified: int
) -> None:
    log = heir(a_block(100), certified=certified)

    assert verdict(rule, log, a_block(100), proven=False) == Duplicate(log.last.index)
    assert verdict(rule, log, a_block(101), proven=False) == CHILD


@pytest.mark.parametrize("rule", ["strict", "reorg"])
def test_only_the_last_payload_has_children_once_there_is_one(rule: str) -> None:
    """The head is not taken any more when its child is pending: it would come after it."""
    log = heir(a_block(101))

    assert verdict(rule, log, a_block(102)) == CHILD
    assert verdict(rule, log, a_block(100)) == REFUSED
    assert verdict(rule, log, a_block(1)) == REFUSED


def test_a_reorganisation_may_go_back_to_the_head_of_the_genesis() -> None:
    """It is certified, by the cluster before: as good as a certified payload of this one."""
    log = heir(a_block(101), a_block(102), certified=3)
    block = a_block(101, "x", "")

    assert verdict("strict", log, block) == REFUSED
    assert verdict("reorg", log, block) == SIBLING
    assert verdict("reorg", log, block, proven=False) == REFUSED


def test_below_the_head_nothing_is_known() -> None:
    log = heir(a_block(101), certified=2)

    assert verdict("reorg", log, a_block(100, "x", "")) == REFUSED


def test_a_log_that_is_pruned_has_left_the_head_of_the_genesis_behind() -> None:
    whole = heir(a_block(101), a_block(102), a_block(103), certified=4)
    base = a_base(whole.entries[1].position)
    entries = whole.entries[2:]
    log = Log.restored(base, entries, a_certificate(entries[-1]), HEAD)

    assert verdict("reorg", whole, a_block(101, "x", "")) == SIBLING
    assert verdict("reorg", log, a_block(101, "x", "")) == REFUSED
