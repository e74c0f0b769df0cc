"""The stable store: term and vote, and every way in which their bytes can be wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor.errors import InvalidArgument
from raft_state.raft import (
    CURRENT_TERM,
    LAST_VOTE_CANDIDATE,
    LAST_VOTE_TERM,
    StableState,
    index_key,
    index_of_key,
    read_stable,
    stable_items,
)


def test_store_of_a_node_that_voted_is_read() -> None:
    state = read_stable(
        [
            (b"CurrentTerm", memoryview(bytes.fromhex("0000000000000005"))),
            (b"LastVoteCand", memoryview(b"10.1.2.3:50050")),
            (b"LastVoteTerm", memoryview(bytes.fromhex("0000000000000004"))),
        ]
    )
    assert state == StableState(5, 4, b"10.1.2.3:50050")
    assert not state.is_empty


def test_empty_store_has_nothing() -> None:
    assert read_stable([]) == StableState()
    assert read_stable([]).is_empty
    assert stable_items(StableState()) == []


def test_items_are_sorted_and_keep_unknown_keys() -> None:
    state = StableState(1, 1, b"sequencer-1", unknown={b"Zone": b"z", b"Alpha": b""})
    assert stable_items(state) == [
        (b"Alpha", b""),
        (b"CurrentTerm", bytes.fromhex("0000000000000001")),
        (b"LastVoteCand", b"sequencer-1"),
        (b"LastVoteTerm", bytes.fromhex("0000000000000001")),
        (b"Zone", b"z"),
    ]
    assert read_stable(stable_items(state)) == state


@pytest.mark.parametrize("key", [CURRENT_TERM, LAST_VOTE_TERM])
@pytest.mark.parametrize("size", range(8))
def test_number_that_is_too_short_stops_raft(key: bytes, size: int) -> None:
    state = read_stable([(key, bytes(size))])
    assert state.current_term is None
    assert state.last_vote_term is None
    assert state.problems == (f"{key.decode()} has {size} bytes instead of 8: Raft stops at it",)
    assert not state.is_empty


def test_of_a_number_that_is_too_long_the_beginning_counts() -> None:
    state = read_stable([(CURRENT_TERM, bytes(7) + b"\x05\xff")])
    assert state.current_term == 5
    assert state.problems == ("CurrentTerm has 9 bytes: Raft reads the first 8",)


def test_half_a_vote_is_read_as_it_stands() -> None:
    assert read_stable([(LAST_VOTE_TERM, bytes(8))]) == StableState(last_vote_term=0)
    only_candidate = read_stable([(LAST_VOTE_CANDIDATE, b"")])
    assert only_candidate == StableState(last_vote_candidate=b"")
    assert not only_candidate.is_empty


def test_unknown_keys_are_kept_up_to_a_limit() -> None:
    state = read_stable([(f"key-{n:03}".encode(), b"v") for n in range(150)])
    assert len(state.unknown) == 100
    assert state.problems == ("there are 50 more unknown keys than are read",)


def test_of_an_enormous_value_only_the_beginning_is_copied() -> None:
    state = read_stable([(LAST_VOTE_CANDIDATE, memoryview(bytes(1 << 20)))])
    assert state.last_vote_candidate == bytes(65536)
    (problem,) = state.problems
    assert problem.startswith("LastVoteCand has 1048576 bytes")


def test_terms_must_fit_64_bits() -> None:
    with pytest.raises(InvalidArgument):
        stable_items(StableState(current_term=2**64))


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_keys_of_the_log_sort_as_their_indices_do(one: int, other: int) -> None:
    assert (index_key(one) < index_key(other)) == (one < other)
    assert index_of_key(index_key(one)) == one


@pytest.mark.parametrize("size", [0, 3, 7, 9])
def test_key_of_another_size_is_no_index(size: int) -> None:
    assert index_of_key(bytes(size)) is None
