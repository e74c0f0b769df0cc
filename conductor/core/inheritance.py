"""Which block a cluster goes on from when it takes the place of a Raft cluster, and who leads it.

Law: what the Raft cluster had committed is that block or an ancestor of it. Raft sees to that: the
best log of any majority (highest last term, then longest) holds everything committed, so a majority
of the voters has to say how its log ends. A log without a payload does not count, whatever its
term: if it is the best of a majority, no payload was ever committed.

Where only a log that is not the best has a payload, nobody was told that this one is safe.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from conductor.core.founding import RaftEnd
from conductor.core.quorum import MAJORITY, quorum_size
from conductor.core.values import Head, ServerId


@dataclass(frozen=True, slots=True)
class Estate:
    """What the voters that form a cluster bring along."""

    ends: Mapping[ServerId, RaftEnd | None]
    """How the log of each ends; None for one that began without a Raft state."""
    voters_count: int
    """Of all that are configured, these and the absent."""

    @property
    def head(self) -> Head | None:
        """The block to go on from; None when nobody holds a payload."""
        best = self._best
        return best.head if best is not None else None

    @property
    def heirs(self) -> tuple[ServerId, ...]:
        """Who holds that block, in the order of their ids."""
        head = self.head
        ends = sorted(self.ends.items())
        return tuple(name for name, end in ends if head and end and end.head == head)

    def first_leader(self, named: ServerId | None) -> ServerId | None:
        """Who should lead first: the one named, unless it lacks the block and another has it."""
        heirs = self.heirs
        is_held_by_all = len(heirs) == len(self.ends)
        if not heirs or is_held_by_all or named in heirs:
            return named
        return heirs[0]

    def objections(self) -> Iterator[str]:
        """Why no block can be chosen, in sentences for operators."""
        best = self._best
        if best is None:
            return
        for name, end in sorted(self.ends.items()):
            if end is not None and end.rank == best.rank and end.head != best.head:
                yield (
                    f"the Raft states of these servers end alike, at entry {best.index} of term "
                    f"{best.term}, but in that of '{name}' the newest payload is "
                    f"{head_text(end.head)}, in another {head_text(best.head)}: they are not of "
                    "one cluster. Look at them with `op-conductor-init info`, and make the store "
                    "of the wrong one anew"
                )
        told = sum(1 for end in self.ends.values() if end is not None)
        needed = quorum_size(MAJORITY, self.voters_count)
        if told < needed:
            yield (
                f"{told} of {self.voters_count} voters began with a Raft state, and the newest "
                f"block in it is {head_text(best.head)}: it takes {needed} to be sure that the "
                "Raft cluster had committed nothing newer. Begin the others with theirs, too; if "
                "they are lost, run `op-conductor-init recover` on what is left before"
            )

    @property
    def _best(self) -> RaftEnd | None:
        """The best of the logs with a payload; the lowest server id decides among equals."""
        held = [end for _, end in sorted(self.ends.items()) if end is not None and end.head]
        return max(held, key=lambda end: end.rank, default=None)


def head_text(head: Head | None) -> str:
    """A block for people: `block 100 (0x12ab...)`."""
    if head is None:
        return "none"
    return f"block {head.block.height} (0x{head.block.block_hash.hex()})"
