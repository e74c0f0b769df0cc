"""Which block a cluster goes on from, by what its voters bring along of a Raft cluster."""

from __future__ import annotations

import pytest

from conductor.core.forming import Forming
from conductor.core.founding import RaftEnd
from conductor.core.inheritance import Estate, head_text
from conductor.core.values import Genesis, Head, ServerId
from tests.core.builders import a_block, sha256
from tests.core.forming_builders import a_member, exchange, facts, genesis_of, reasons_of

Ends = dict[str, RaftEnd | None]


def a_head(height: int, branch: str = "") -> Head:
    block = a_block(height, branch, "")
    return Head(block, sha256(f"body of {block.block_hash.hex()}"))


def an_end(term: int, index: int, height: int | None = None, branch: str = "") -> RaftEnd:
    """A log that ends there; its newest payload is of that height."""
    return RaftEnd(term, index, a_head(height, branch) if height is not None else None)


def an_estate(ends: Ends, voters_count: int | None = None) -> Estate:
    named = {ServerId(name): end for name, end in ends.items()}
    return Estate(named, voters_count or len(ends))


SAME = an_end(3, 50, 100)

CHOICES: list[tuple[str, Ends, Head | None]] = [
    ("nobody has a Raft state", {"a": None, "b": None, "c": None}, None),
    (
        "nobody has a payload",
        {"a": an_end(1, 1), "b": an_end(1, 1), "c": an_end(9, 2)},
        None,
    ),
    ("all are level", {"a": SAME, "b": SAME, "c": SAME}, a_head(100)),
    (
        "one is ahead in the same term",
        {"a": SAME, "b": an_end(3, 51, 101), "c": SAME},
        a_head(101),
    ),
    (
        "a deposed leader holds a block that was never committed",
        {"a": an_end(3, 60, 101, "x"), "b": an_end(4, 55, 101), "c": an_end(4, 55, 101)},
        a_head(101),
    ),
    (
        "the chain was reorganised to a lower height",
        {"a": an_end(4, 60, 99, "x"), "b": an_end(3, 58, 105), "c": an_end(4, 60, 99, "x")},
        a_head(99, "x"),
    ),
    (
        "a state that was made anew has the highest term and no payload",
        {"a": SAME, "b": SAME, "c": an_end(9000, 1)},
        a_head(100),
    ),
    ("one has no Raft state", {"a": None, "b": SAME, "c": an_end(2, 70, 90)}, a_head(100)),
]


@pytest.mark.parametrize(
    ("ends", "head"), [choice[1:] for choice in CHOICES], ids=[choice[0] for choice in CHOICES]
)
def test_head_is_that_of_the_best_log_with_a_payload(ends: Ends, head: Head | None) -> None:
    estate = an_estate(ends)

    assert estate.head == head
    assert list(estate.objections()) == []


def test_logs_that_end_alike_with_other_payloads_are_refused() -> None:
    estate = an_estate({"a": SAME, "b": an_end(3, 50, 100, "x"), "c": an_end(2, 50, 99)})

    (objection,) = estate.objections()

    assert "end alike, at entry 50 of term 3" in objection
    assert f"in that of 'b' the newest payload is {head_text(a_head(100, 'x'))}" in objection
    assert "info" in objection


def test_log_that_ends_alike_without_a_payload_is_refused() -> None:
    (objection,) = an_estate({"a": SAME, "b": an_end(3, 50), "c": SAME}).objections()

    assert "in that of 'b' the newest payload is none" in objection


@pytest.mark.parametrize(
    ("ends", "voters_count", "is_refused"),
    [
        ({"a": SAME, "b": None, "c": None}, 3, True),
        ({"a": SAME, "b": SAME, "c": None}, 3, False),
        ({"a": SAME, "b": an_end(9, 1), "c": None}, 3, False),
        ({"a": SAME, "b": SAME}, 4, True),
        ({"a": SAME, "b": SAME, "c": SAME}, 5, False),
        ({"a": SAME}, 1, False),
        ({"a": SAME, "b": None}, 2, True),
        ({"a": an_end(3, 1), "b": None, "c": None}, 3, False),
    ],
)
def test_majority_of_the_voters_has_to_say_how_its_log_ends(
    ends: Ends, voters_count: int, is_refused: bool
) -> None:
    """Only then is something committed on one of them at least. No payload, no danger."""
    objections = list(an_estate(ends, voters_count).objections())

    assert bool(objections) == is_refused
    assert all("recover" in objection for objection in objections)


@pytest.mark.parametrize(
    ("ends", "named", "first"),
    [
        ({"a": SAME, "b": SAME, "c": SAME}, None, None),
        ({"a": SAME, "b": SAME, "c": SAME}, "b", "b"),
        ({"a": an_end(3, 49, 99), "b": SAME, "c": SAME}, "c", "c"),
        ({"a": an_end(3, 49, 99), "b": SAME, "c": SAME}, "a", "b"),
        ({"a": an_end(3, 49, 99), "b": SAME, "c": SAME}, None, "b"),
        ({"a": None, "b": None, "c": None}, "a", "a"),
    ],
)
def test_who_holds_the_block_leads_first(ends: Ends, named: str | None, first: str | None) -> None:
    leader = an_estate(ends).first_leader(ServerId(named) if named is not None else None)

    assert leader == first


# Among nodes that form


def group(
    ends: Ends, *, form_with_quorum: bool = False, leader: str | None = None
) -> list[Forming]:
    return [
        Forming(
            facts(a_member(name), raft_end=end, initial_leader=leader),
            form_with_quorum=form_with_quorum,
        )
        for name, end in ends.items()
    ]


def formed(nodes: list[Forming]) -> Genesis:
    exchange(*nodes)
    (genesis,) = {genesis_of(node) for node in nodes}
    return genesis


def test_all_nodes_put_the_same_head_into_the_genesis() -> None:
    ends: Ends = {"a": SAME, "b": an_end(3, 51, 101), "c": an_end(2, 70, 90)}

    genesis = formed(group(ends, leader="c"))

    assert genesis.head == a_head(101)
    assert genesis.initial_leader == "b"


def test_without_payloads_the_genesis_is_as_it_always_was() -> None:
    plain = formed(group({"a": None, "b": None, "c": None}))

    assert formed(group({"a": an_end(5, 1), "b": an_end(5, 1), "c": an_end(5, 1)})) == plain
    assert plain.head is None


def test_node_that_crashed_before_storing_takes_the_head_of_the_others() -> None:
    ends: Ends = {"a": SAME, "b": an_end(3, 49, 99), "c": SAME}
    nodes = group(ends)
    genesis = formed(nodes)
    (restarted,) = group({"b": ends["b"]})
    restarted.heard("host-a:18080", nodes[0].greeting(paused=False))

    assert genesis_of(restarted) == genesis
    assert genesis.head == a_head(100)


def test_nodes_of_different_clusters_do_not_form_and_each_says_why() -> None:
    nodes = group({"a": SAME, "b": an_end(3, 50, 100, "x"), "c": SAME})
    exchange(*nodes)

    for node in nodes:
        assert "they are not of one cluster" in reasons_of(node)


def test_reasons_wait_until_all_voters_have_been_heard() -> None:
    """Until then a state that is still missing is no reason: its node is."""
    a, b, _ = nodes = group({"a": SAME, "b": None, "c": SAME})
    exchange(a, b)
    assert reasons_of(a) == "host-c:18080 cannot be reached: connection refused"

    assert formed(nodes).head == a_head(100)


def test_majority_of_states_is_enough_to_form_with_a_quorum() -> None:
    genesis = formed(group({"a": SAME, "b": an_end(3, 49, 99)}, form_with_quorum=True))

    assert genesis.head == a_head(100)
    assert genesis.initial_leader == "a"


def test_fewer_states_are_not_enough_to_form_with_a_quorum() -> None:
    nodes = group({"a": SAME, "b": None}, form_with_quorum=True)
    exchange(*nodes)

    for node in nodes:
        assert "1 of 3 voters began with a Raft state" in reasons_of(node)
