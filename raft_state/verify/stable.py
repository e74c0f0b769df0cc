"""The rules of the stable store: the term and the vote that a node must not forget.

Invariant: pure, over keys and values. A value is looked at only as far as it is expected to reach,
whatever size a damaged file gives it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from raft_state.raft import CURRENT_TERM, LAST_VOTE_CANDIDATE, LAST_VOTE_TERM, shown
from raft_state.verify.finding import Findings, Vote
from raft_state.verify.rules import Rule

NUMBER_BYTES = 8
_SHOWN_BYTES_MAX = 100
_KNOWN = (CURRENT_TERM, LAST_VOTE_TERM, LAST_VOTE_CANDIDATE)


def review_stable(
    items: Iterable[tuple[bytes, bytes | memoryview]], findings: Findings, place: str
) -> tuple[int | None, Vote | None]:
    """Judge the contents of the bucket `conf`; the current term and the vote, if there are any."""
    known: dict[bytes, bytes | memoryview] = {}
    for key, value in items:
        if key in _KNOWN:
            known[key] = value
        else:
            name = shown(key[:_SHOWN_BYTES_MAX])
            detail = f"the key {name} ({len(value)} bytes) is not one of Raft's"
            findings.add(Rule.STABLE_KEY_UNKNOWN, detail, place=place)
    current = _number(known, CURRENT_TERM, findings, place)
    vote = _number(known, LAST_VOTE_TERM, findings, place)
    _review_vote_term(current, vote, findings, place)
    candidate = known.get(LAST_VOTE_CANDIDATE)
    _review_candidate(candidate, LAST_VOTE_TERM in known, findings, place)
    chosen = shown(candidate[:_SHOWN_BYTES_MAX]) if candidate else None
    return current, None if vote is None and chosen is None else Vote(vote, chosen)


def is_address(candidate: bytes) -> bool:
    """Whether these bytes are a candidate as Raft stores it: the text of an ip and a port."""
    try:
        host, _, port = candidate.decode("ascii").rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        address = ipaddress.ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        return False
    is_port = port.isdecimal() and 0 < int(port[:6]) < 2**16
    return is_port and bracketed == (address.version == 6)


def _number(
    known: dict[bytes, bytes | memoryview], key: bytes, findings: Findings, place: str
) -> int | None:
    value = known.get(key)
    if value is None:
        return None
    if len(value) != NUMBER_BYTES:
        rule = Rule.STABLE_SHORT if len(value) < NUMBER_BYTES else Rule.STABLE_LONG
        detail = f"{key.decode()} has {len(value)} bytes instead of {NUMBER_BYTES}"
        findings.add(rule, detail, place=place)
        if len(value) < NUMBER_BYTES:
            return None
    return int.from_bytes(value[:NUMBER_BYTES], "big")


def _review_vote_term(
    current: int | None, vote: int | None, findings: Findings, place: str
) -> None:
    if vote is not None and vote > (current or 0):
        have = "there is no current term" if current is None else f"the current term is {current}"
        findings.add(
            Rule.STABLE_VOTE_BEYOND_TERM, f"a vote in term {vote} although {have}", place=place
        )


def _review_candidate(
    candidate: bytes | memoryview | None, has_term: bool, findings: Findings, place: str
) -> None:
    if not candidate:
        if has_term:
            detail = "a vote's term is stored without its candidate"
            findings.add(Rule.STABLE_VOTE_HALF, detail, place=place)
        return
    start = bytes(candidate[:_SHOWN_BYTES_MAX])
    if not has_term:
        detail = f"a vote for {shown(start)} is stored without its term"
        findings.add(Rule.STABLE_VOTE_WITHOUT_TERM, detail, place=place)
    if len(candidate) > _SHOWN_BYTES_MAX or not is_address(start):
        detail = f"the vote is for {shown(start)}, which is no ip:port"
        findings.add(Rule.STABLE_CANDIDATE_FORM, detail, place=place)
