"""Holds what clients were told during transfers against the disks, after all has ended.

Invariant: nothing here is taken from a conductor's word; what was answered with *unknown* may have
happened or not, and is never untrue.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.transfer_load import REFUSED, SUCCESS, Sent
from conductor.core.values import EntryKind, EpochStart, ServerId
from conductor.devnet.evidence import read_evidence
from conductor.devnet.processes import NodePlan
from conductor.devnet.verdict import Verdict, judge
from conductor.identity import development_signer
from conductor.runtime.election import TRANSFER_REASON
from conductor.store import open_store


@dataclass(frozen=True, slots=True)
class Transfer:
    """One request for a transfer, and its answer."""

    source: str
    target: str
    began_s: float
    """Of `time.perf_counter`, as the next."""
    ended_s: float
    outcome: str
    """`success`, `refused` or `unknown`."""
    leader_id: str = ""
    """With a success: who leads, in which epoch."""
    epoch: int = 0
    error: str = ""
    """Without one: why."""

    @property
    def took_ms(self) -> float:
        """From the call to its answer."""
        return (self.ended_s - self.began_s) * 1000


@dataclass(frozen=True, slots=True)
class Leadership:
    """An epoch of the log."""

    leader_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Disks:
    """What the conductors' disks say."""

    verdict: Verdict
    """On the payloads that were certified."""
    leaderships: Mapping[int, Leadership]
    """By epoch."""
    epochs: Mapping[str, int]
    """Of the entry of each payload, by the payload's hash."""


def read_disks(plans: Sequence[NodePlan], certified: Sequence[Sent]) -> Disks:
    """Examine the stores of conductors that do not run any more and have pruned nothing."""
    keys = {plan.server_id: development_signer(plan.identity).public_key for plan in plans}
    evidence = [
        read_evidence(
            plan.server_id, partial(open_store, plan.data_dir, ServerId(plan.server_id)), keys
        )
        for plan in plans
    ]
    # The verdict says whether the logs are alike, so one of them tells the epochs.
    first = plans[0]
    store = open_store(first.data_dir, ServerId(first.server_id))
    try:
        entries = store.load().entries
    finally:
        store.close()
    starts = {
        int(entry.epoch): EpochStart.from_bytes(entry.control)
        for entry in entries
        if entry.kind is EntryKind.EPOCH_START
    }
    return Disks(
        verdict=judge([sent.record for sent in certified], evidence),
        leaderships={
            epoch: Leadership(start.leader.server_id, start.reason)
            for epoch, start in starts.items()
        },
        epochs={
            entry.body_hash.hex(): int(entry.epoch)
            for entry in entries
            if entry.kind is EntryKind.PAYLOAD
        },
    )


def untruths(
    transfers: Sequence[Transfer], certified: Sequence[Sent], disks: Disks
) -> tuple[str, ...]:
    """Every answer that the disks contradict, as a sentence. Losses are in the verdict."""
    return (*_of_transfers(transfers, disks), *_of_commits(certified, disks))


def _of_transfers(transfers: Sequence[Transfer], disks: Disks) -> Iterator[str]:
    """Each success is a leadership of its own, and no more transfers happened than may have."""
    by_transfer = {
        epoch
        for epoch, leadership in disks.leaderships.items()
        if leadership.reason.startswith(TRANSFER_REASON)
    }
    for transfer in transfers:
        if transfer.outcome != SUCCESS:
            continue
        leadership = disks.leaderships.get(transfer.epoch)
        led_by = leadership.leader_id if leadership is not None else "nobody"
        if transfer.leader_id != transfer.target or led_by != transfer.target:
            yield (
                f"a transfer to {transfer.target} was answered with {transfer.leader_id} in epoch "
                f"{transfer.epoch}, which {led_by} led"
            )
        elif transfer.epoch not in by_transfer:
            yield f"two transfers were answered with epoch {transfer.epoch}, or it was none of them"
        by_transfer.discard(transfer.epoch)
    unknown_count = sum(transfer.outcome not in (SUCCESS, REFUSED) for transfer in transfers)
    if len(by_transfer) > unknown_count:
        yield (
            f"{len(by_transfer)} transfers came about without a success, "
            f"but only {unknown_count} were unknown"
        )


def _of_commits(certified: Sequence[Sent], disks: Disks) -> Iterator[str]:
    """What a leader refused, and nothing else, is in no epoch of its own."""
    for sent in certified:
        epoch = disks.epochs.get(sent.payload_hash)
        leadership = disks.leaderships.get(epoch) if epoch is not None else None
        if leadership is None:
            yield f"height {sent.height}: its epoch is not on the disk"
            continue
        outcomes = {
            given.outcome for given in sent.answers if given.server_id == leadership.leader_id
        }
        if outcomes == {REFUSED}:
            yield f"height {sent.height}: refused by {leadership.leader_id}, and certified by it"
