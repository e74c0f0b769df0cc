"""Holds the journal of the sequencers against the disks of the nodes, after all has ended.

Invariant: what cannot be shown counts against the conductors. A payload is lost unless a quorum
of disks holds it and no disk is certified past it without it; anything beyond one chain is a
fork.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from conductor.core.quorum import MAJORITY, quorum_size
from conductor.devnet.evidence import Evidence
from conductor.devnet.journal import Record, Sighting, find_forks

_SHOWN_MAX = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of the payloads that were gossiped. Every finding is a sentence."""

    gossiped_count: int
    lost: tuple[str, ...]
    """One for each payload."""
    forked: tuple[str, ...]
    """One for each height, or each pair of logs."""
    problems: tuple[str, ...]
    """What else the disks should not show."""
    pruned_count: int
    """So many payloads no disk holds any more, because they were pruned: they are not judged."""
    evidence: tuple[Evidence, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return not (self.lost or self.forked or self.problems)

    @property
    def summary(self) -> str:
        """The whole of it in a line."""
        counts = f"{len(self.lost)} lost, {len(self.forked)} forked"
        if self.problems:
            counts += f", {len(self.problems)} other problems"
        if self.pruned_count:
            counts += f"; {self.pruned_count} of them were pruned and not judged"
        return f"{self.gossiped_count} payloads gossiped, {counts}"

    def lines(self) -> Iterator[str]:
        """A line for each node, then the findings, then the summary."""
        for evidence in self.evidence:
            yield _describe(evidence)
        for kind, found in (("lost", self.lost), ("forked", self.forked), ("", self.problems)):
            for sentence in found[:_SHOWN_MAX]:
                yield f"{kind} {sentence}".lstrip()
            if len(found) > _SHOWN_MAX:
                yield f"... and {len(found) - _SHOWN_MAX} more"
        yield self.summary


def judge(records: Sequence[Record], evidence: Sequence[Evidence]) -> Verdict:
    """The verdict on what the journal says, given the evidence of all nodes."""
    gossips = [record for record in records if record.event == "gossip"]
    hashes = {held.payload_hash for node in evidence for held in node.payloads}
    pruned_height = max((node.pruned_height for node in evidence), default=0)
    sightings: list[Sighting] = list(records)
    for node in evidence:
        sightings.extend(node.certified_payloads)
    return Verdict(
        gossiped_count=len(gossips),
        lost=tuple(_losses(gossips, evidence)),
        forked=(*find_forks(sightings), *_diverging_logs(evidence)),
        problems=(*_problems(evidence), *_unproven(gossips, evidence)),
        pruned_count=sum(
            1
            for gossip in gossips
            if gossip.height <= pruned_height and gossip.payload_hash not in hashes
        ),
        evidence=tuple(evidence),
    )


def _losses(gossips: Sequence[Record], evidence: Sequence[Evidence]) -> Iterator[str]:
    quorum = quorum_size(MAJORITY, len(evidence))
    hashes = [{held.payload_hash for held in node.payloads} for node in evidence]
    for gossip in gossips:
        holders, without = 0, []
        for node, held_hashes in zip(evidence, hashes, strict=True):
            if gossip.payload_hash in held_hashes or gossip.height <= node.pruned_height:
                holders += 1
            elif gossip.height <= node.certified_height:
                without.append(node.server_id)
        what = f"height {gossip.height}, gossiped by {gossip.node}"
        if without:
            yield f"{what}: certified past it without it: {', '.join(without)}"
        elif holders < quorum:
            yield f"{what}: on {holders} of {len(evidence)} disks, a quorum is {quorum}"


def _diverging_logs(evidence: Sequence[Evidence]) -> Iterator[str]:
    """Pairs of nodes whose certified logs are not each the beginning of the other."""
    for one, other in itertools.combinations(evidence, 2):
        certified_index = min(one.certified_index, other.certified_index)
        for index in sorted(one.digests.keys() & other.digests.keys()):
            if index <= certified_index and one.digests[index] != other.digests[index]:
                yield f"index {index}: the logs of {one.server_id} and {other.server_id} differ"
                break


def _problems(evidence: Sequence[Evidence]) -> Iterator[str]:
    for node in evidence:
        for problem in node.problems:
            yield f"{node.server_id}: {problem}"


def _unproven(gossips: Sequence[Record], evidence: Sequence[Evidence]) -> Iterator[str]:
    """A certificate reaches a disk with the next payload: only that of the last may be missing."""
    proven_height = max((node.certified_height for node in evidence), default=0)
    heights = sorted(gossip.height for gossip in gossips)
    for height in heights[:-1]:
        if height > proven_height:
            yield f"height {height}: no certificate on any disk goes beyond {proven_height}"


def _describe(node: Evidence) -> str:
    if not node.certified_index:
        return f"{node.server_id}: nothing proven"
    pruned = f" above pruned height {node.pruned_height}" if node.pruned_height else ""
    return (
        f"{node.server_id}: {len(node.certified_payloads)} payloads{pruned}, certified to height "
        f"{node.certified_height} (index {node.certified_index}, epoch {node.certified_epoch}), "
        f"signed by {', '.join(node.signers)}"
    )
