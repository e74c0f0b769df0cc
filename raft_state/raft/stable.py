"""The stable store: the term a node has reached and the vote it gave, in the bucket `conf`.

Invariant: whatever is in the bucket is read without an error; a value that Raft would stop at has a
problem in words. Numbers are of 8 bytes, big-endian. A vote names the *address* of the candidate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from raft_state.raft.keys import NUMBER_BYTES, pack_number, shown

CURRENT_TERM = b"CurrentTerm"
LAST_VOTE_TERM = b"LastVoteTerm"
LAST_VOTE_CANDIDATE = b"LastVoteCand"

UNKNOWN_MAX = 100
"""How many unknown keys are kept."""
VALUE_BYTES_MAX = 65_536
"""How much of a value is kept: what Raft writes has less than 300 bytes."""


@dataclass(frozen=True, slots=True)
class StableState:
    """What the stable store says. None stands for a key that is missing or cannot be read."""

    current_term: int | None = None
    last_vote_term: int | None = None
    last_vote_candidate: bytes | None = None
    """The address of the candidate as it was sent; its id in what op-conductor-init wrote."""
    problems: tuple[str, ...] = ()
    """Values that are not what Raft writes. What they mean together is not judged here."""
    unknown: Mapping[bytes, bytes] = field(default_factory=lambda: MappingProxyType({}))
    """Keys that Raft does not have."""

    @property
    def is_empty(self) -> bool:
        """Whether there is no key at all, as in the store of a node that never started."""
        return self == StableState()


def read_stable(items: Iterable[tuple[bytes, bytes | memoryview]]) -> StableState:
    """The state in the items of the bucket `conf`; values are copied, at most 64 KiB of each."""
    numbers: dict[bytes, int | None] = {}
    candidate: bytes | None = None
    problems: list[str] = []
    unknown: dict[bytes, bytes] = {}
    unknown_dropped = 0
    for key, value in items:
        if len(value) > VALUE_BYTES_MAX:
            problems.append(
                f"{shown(key[:40])} has {len(value)} bytes, "
                f"of which the first {VALUE_BYTES_MAX} are read"
            )
        kept = bytes(value[:VALUE_BYTES_MAX])
        if key in (CURRENT_TERM, LAST_VOTE_TERM):
            numbers[key] = _read_number(key, kept, problems)
        elif key == LAST_VOTE_CANDIDATE:
            candidate = kept
        elif len(unknown) < UNKNOWN_MAX:
            unknown[key] = kept
        else:
            unknown_dropped += 1
    if unknown_dropped:
        problems.append(f"there are {unknown_dropped} more unknown keys than are read")
    return StableState(
        current_term=numbers.get(CURRENT_TERM),
        last_vote_term=numbers.get(LAST_VOTE_TERM),
        last_vote_candidate=candidate,
        problems=tuple(problems),
        unknown=MappingProxyType(unknown),
    )


def stable_items(state: StableState) -> list[tuple[bytes, bytes]]:
    """The items of the bucket `conf` for a state, sorted by key.

    InvalidArgument when a term does not fit 64 bits.
    """
    items = dict(state.unknown)
    if state.current_term is not None:
        items[CURRENT_TERM] = pack_number(state.current_term)
    if state.last_vote_term is not None:
        items[LAST_VOTE_TERM] = pack_number(state.last_vote_term)
    if state.last_vote_candidate is not None:
        items[LAST_VOTE_CANDIDATE] = state.last_vote_candidate
    return sorted(items.items())


def _read_number(key: bytes, value: bytes, problems: list[str]) -> int | None:
    if len(value) < NUMBER_BYTES:
        problems.append(
            f"{key.decode()} has {len(value)} bytes instead of {NUMBER_BYTES}: Raft stops at it"
        )
        return None
    if len(value) > NUMBER_BYTES:
        problems.append(
            f"{key.decode()} has {len(value)} bytes: Raft reads the first {NUMBER_BYTES}"
        )
    return int.from_bytes(value[:NUMBER_BYTES], "big")
