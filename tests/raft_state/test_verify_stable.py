"""`verify`, the stable store: term and vote, right and wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from raft_state.raft import CURRENT_TERM, LAST_VOTE_CANDIDATE, LAST_VOTE_TERM
from raft_state.verify import Rule, verify_state
from raft_state.verify.stable import is_address
from tests.raft_state.flawed_states import ID, make_node


def number(value: int) -> bytes:
    """A number as the stable store has it."""
    return value.to_bytes(8, "big")


TERM = {CURRENT_TERM: number(5)}
VOTE = {LAST_VOTE_TERM: number(5), LAST_VOTE_CANDIDATE: b"10.0.0.1:50050"}

FLAWS: dict[str, tuple[dict[bytes, bytes], tuple[Rule, ...]]] = {
    "term of 7 bytes": (
        {CURRENT_TERM: b"\0" * 7},
        (Rule.STABLE_SHORT, Rule.LOG_TERM_BEYOND_CURRENT),
    ),
    "term of no bytes": (
        {CURRENT_TERM: b""},
        (Rule.STABLE_SHORT, Rule.LOG_TERM_BEYOND_CURRENT),
    ),
    "vote term of 1 byte": (
        {**TERM, **VOTE, LAST_VOTE_TERM: b"\5"},
        (Rule.STABLE_SHORT,),
    ),
    "term of 9 bytes": ({CURRENT_TERM: number(5) + b"\0"}, (Rule.STABLE_LONG,)),
    "vote in a later term": (
        {**TERM, **VOTE, LAST_VOTE_TERM: number(6)},
        (Rule.STABLE_VOTE_BEYOND_TERM,),
    ),
    "vote without a current term": (
        VOTE,
        (Rule.STABLE_VOTE_BEYOND_TERM, Rule.LOG_TERM_BEYOND_CURRENT),
    ),
    "vote term without a candidate": (
        {**TERM, LAST_VOTE_TERM: number(5)},
        (Rule.STABLE_VOTE_HALF,),
    ),
    "vote term with an empty candidate": (
        {**TERM, **VOTE, LAST_VOTE_CANDIDATE: b""},
        (Rule.STABLE_VOTE_HALF,),
    ),
    "candidate without a vote term": (
        {**TERM, LAST_VOTE_CANDIDATE: b"10.0.0.1:50050"},
        (Rule.STABLE_VOTE_WITHOUT_TERM,),
    ),
    "candidate that is a server id": (
        {**TERM, **VOTE, LAST_VOTE_CANDIDATE: b"sequencer-1"},
        (Rule.STABLE_CANDIDATE_FORM,),
    ),
    "candidate that is no text, and long": (
        {**TERM, **VOTE, LAST_VOTE_CANDIDATE: b"\xff" * 3000},
        (Rule.STABLE_CANDIDATE_FORM,),
    ),
    "unknown key": ({**TERM, b"Nothing\xff": b"?"}, (Rule.STABLE_KEY_UNKNOWN,)),
}


@pytest.mark.parametrize("name", FLAWS)
def test_flaw_of_the_stable_store_is_found_and_nothing_else(name: str, tmp_path: Path) -> None:
    items, rules = FLAWS[name]

    report = verify_state(make_node(tmp_path, stable=items.items()))

    assert {finding.rule for finding in report.findings} == {rule.code for rule in rules}
    found = next(finding for finding in report.findings if finding.rule == rules[0].code)
    assert (found.severity, found.server_id) == (rules[0].severity, ID)
    assert found.place == "raft-stable.db"
    assert rules[0].meaning in found.text
    assert found.text.isprintable()
    assert len(found.text) < 1000


@pytest.mark.parametrize(
    "vote",
    [
        {},
        VOTE,
        {**VOTE, LAST_VOTE_TERM: number(3)},
        {**VOTE, LAST_VOTE_CANDIDATE: b"[fd00::1]:50050"},
    ],
)
def test_votes_that_raft_writes_are_sound(vote: dict[bytes, bytes], tmp_path: Path) -> None:
    report = verify_state(make_node(tmp_path, stable={**TERM, **vote}.items()))

    assert report.findings == ()
    assert report.nodes[0].current_term == 5


def test_vote_is_reported_without_a_role(tmp_path: Path) -> None:
    report = verify_state(make_node(tmp_path, stable={**TERM, **VOTE}.items()))

    vote = report.nodes[0].vote
    assert vote is not None
    assert (vote.term, vote.candidate) == (5, "10.0.0.1:50050")


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ({}, None),
        ({LAST_VOTE_TERM: number(3)}, (3, None)),
        ({LAST_VOTE_CANDIDATE: b"x"}, (None, "x")),
    ],
)
def test_half_a_vote_is_reported_as_such(
    items: dict[bytes, bytes], expected: tuple[int | None, str | None] | None, tmp_path: Path
) -> None:
    vote = verify_state(make_node(tmp_path, stable={**TERM, **items}.items())).nodes[0].vote

    assert (vote and (vote.term, vote.candidate)) == expected


def test_vote_beyond_the_term_says_which_that_is(tmp_path: Path) -> None:
    vote = {**VOTE, LAST_VOTE_TERM: number(6)}
    later = verify_state(make_node(tmp_path / "a", stable={**TERM, **vote}.items())).findings
    alone = verify_state(make_node(tmp_path / "b", (), stable=vote.items())).findings

    assert later[0].text.startswith("a vote in term 6 although the current term is 5")
    assert alone[0].text.startswith("a vote in term 6 although there is no current term")


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        (b"10.1.2.3:50050", True),
        (b"[::1]:1", True),
        (b"[fe80::1%eth0]:65535", True),
        (b"10.1.2.3", False),
        (b"10.1.2.3:0", False),
        (b"10.1.2.3:65536", False),
        (b"10.1.2.3:999999999999999999999", False),
        (b"10.1.2.3:+1", False),
        (b"::1:50050", False),
        (b"[10.1.2.3]:1", False),
        (b"[::1:5", False),
        (b"sequencer-1:50050", False),
        (b"sequencer-1", False),
        (b"", False),
        (b"\xff:1", False),
    ],
)
def test_candidate_of_raft_is_an_ip_and_a_port(candidate: bytes, expected: bool) -> None:
    assert is_address(candidate) is expected
