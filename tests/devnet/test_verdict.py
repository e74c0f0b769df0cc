"""The verdict: what was planted on the disks or in the journal is found, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from conductor.core.quorum import MAJORITY
from conductor.core.values import Base, Genesis
from conductor.devnet.evidence import Evidence, read_evidence
from conductor.devnet.verdict import judge
from conductor.errors import StoreDamaged
from conductor.identity import development_signer
from conductor.ports import Store, StoredState
from tests.devnet.builders import (
    CLUSTER,
    NODES,
    PUBLIC_KEYS,
    HandMadeStore,
    a_certificate,
    a_log,
    a_state,
    a_store,
    evidence_of,
    gossip,
    some_blocks,
    start,
)

BLOCKS = some_blocks(4)
RECORDS = [gossip(block) for block in BLOCKS]


def full_stores() -> list[HandMadeStore]:
    return [a_store(name, BLOCKS) for name in NODES]


def evidence_with(changed: HandMadeStore) -> list[Evidence]:
    """Two good disks, and in the place of node-3 a changed one."""
    return [evidence_of(store) for store in (*full_stores()[:2], changed)]


def test_everything_on_every_disk_passes() -> None:
    verdict = judge(RECORDS, [evidence_of(store) for store in full_stores()])

    assert verdict.passed
    assert verdict.summary == "4 payloads gossiped, 0 lost, 0 forked"
    assert list(verdict.lines()) == [
        "node-1: 4 payloads, certified to height 4 (index 5, epoch 1), signed by node-1, node-2",
        "node-2: 4 payloads, certified to height 4 (index 5, epoch 1), signed by node-1, node-2",
        "node-3: 4 payloads, certified to height 4 (index 5, epoch 1), signed by node-1, node-2",
        "4 payloads gossiped, 0 lost, 0 forked",
    ]


def test_store_is_closed_after_reading() -> None:
    store = a_store("node-1", BLOCKS)

    evidence_of(store)

    assert store.is_closed


# Lost


def test_payload_on_fewer_disks_than_a_quorum_is_lost() -> None:
    stores = [a_store("node-1", BLOCKS), *(a_store(name, BLOCKS[:3]) for name in NODES[1:])]

    verdict = judge(RECORDS, [evidence_of(store) for store in stores])

    assert verdict.lost == ("height 4, gossiped by node-1: on 1 of 3 disks, a quorum is 2",)
    assert not verdict.passed
    assert verdict.summary == "4 payloads gossiped, 1 lost, 0 forked"


def test_payload_on_no_disk_is_lost() -> None:
    stores = [a_store(name, BLOCKS[:2]) for name in NODES]

    verdict = judge(RECORDS, [evidence_of(store) for store in stores])

    assert [text.partition(",")[0] for text in verdict.lost] == ["height 3", "height 4"]


def test_node_that_is_behind_loses_nothing() -> None:
    verdict = judge(RECORDS, evidence_with(a_store("node-3", BLOCKS[:1])))

    assert verdict.passed


def test_payload_that_is_durable_but_not_yet_known_as_certified_is_not_lost() -> None:
    stores = [a_store(name, BLOCKS, certified_count=3) for name in NODES]

    assert judge(RECORDS, [evidence_of(store) for store in stores]).passed


def test_certified_log_without_a_gossiped_payload_loses_it() -> None:
    """Another block was certified in its place on one disk: that is a fork as well."""
    others = [*BLOCKS[:3], *some_blocks(1, builder="node-2", on=BLOCKS[2].head)]

    verdict = judge(RECORDS, evidence_with(a_store("node-3", others)))

    assert verdict.lost == ("height 4, gossiped by node-1: certified past it without it: node-3",)
    assert verdict.forked[0].startswith("height 4: ")
    assert verdict.forked[1:] == (
        "index 5: the logs of node-1 and node-3 differ",
        "index 5: the logs of node-2 and node-3 differ",
    )


def test_payload_that_was_certified_and_never_gossiped_is_no_complaint() -> None:
    verdict = judge(RECORDS[:3], [evidence_of(store) for store in full_stores()])

    assert verdict.passed
    assert verdict.gossiped_count == 3


def test_pruned_payloads_are_counted_and_not_called_lost() -> None:
    entries = a_log(BLOCKS)
    base = Base(entries[2].position, CLUSTER.membership)
    bodies = {block.payload_hash: block.ssz for block in BLOCKS}
    stores = [
        HandMadeStore(a_state(name, entries[3:], a_certificate(entries[-1]), base=base), bodies)
        for name in NODES
    ]

    verdict = judge(RECORDS, [evidence_of(store) for store in stores])

    assert verdict.passed
    assert verdict.pruned_count == 2
    assert verdict.summary.endswith("0 lost, 0 forked; 2 of them were pruned and not judged")


# Forked


def test_fork_in_the_journal_is_found() -> None:
    (sibling,) = some_blocks(1, builder="node-2", on=BLOCKS[2].head)

    verdict = judge(
        [*RECORDS, gossip(sibling, "node-2")], [evidence_of(store) for store in full_stores()]
    )

    assert len(verdict.forked) == 1
    assert not verdict.passed


def test_sequencer_that_starts_elsewhere_than_on_the_certified_chain_forks() -> None:
    (sibling,) = some_blocks(1, builder="node-2", on=BLOCKS[2].head)

    verdict = judge(
        [*RECORDS[:3], start(sibling.head, "node-2")],
        [evidence_of(store) for store in full_stores()],
    )

    assert verdict.forked[0].startswith("height 4: ")


def test_certified_logs_that_differ_beside_their_payloads_fork() -> None:
    verdict = judge(RECORDS, evidence_with(a_store("node-3", BLOCKS, leader="node-2")))

    assert verdict.forked == (
        "index 1: the logs of node-1 and node-3 differ",
        "index 1: the logs of node-2 and node-3 differ",
    )


def test_uncertified_tail_that_differs_is_no_fork() -> None:
    others = [*BLOCKS[:3], *some_blocks(1, builder="node-2", on=BLOCKS[2].head)]

    verdict = judge(RECORDS, evidence_with(a_store("node-3", others, certified_count=3)))

    assert verdict.passed


# What a disk claims without proof


def with_state(change: Callable[[StoredState], StoredState]) -> HandMadeStore:
    store = a_store("node-3", BLOCKS)
    store.state = change(store.state)
    return store


def bad_signature(state: StoredState) -> StoredState:
    assert state.certificate is not None
    good, other = state.certificate.acknowledgements
    forged = replace(other, signature=good.signature)
    certificate = replace(state.certificate, acknowledgements=(good, forged))
    return replace(state, certificate=certificate)


def too_few_signers(state: StoredState) -> StoredState:
    return replace(state, certificate=a_certificate(state.entries[-1], NODES[:1]))


def certificate_of_another_log(state: StoredState) -> StoredState:
    other = a_log(some_blocks(4, builder="node-2"))
    return replace(state, certificate=a_certificate(other[-1]))


def missing_entry(state: StoredState) -> StoredState:
    return replace(state, entries=(*state.entries[:2], *state.entries[3:]))


def other_genesis_below(state: StoredState) -> StoredState:
    return replace(state, genesis=replace(CLUSTER, cluster_name="other"))


def keys_of_strangers(state: StoredState) -> StoredState:
    voters = (
        *CLUSTER.voters[:2],
        replace(CLUSTER.voters[2], public_key=development_signer(99).public_key),
    )
    return replace(state, genesis=Genesis("devnet", MAJORITY, voters))


def fewer_voters(state: StoredState) -> StoredState:
    return replace(state, genesis=Genesis("devnet", MAJORITY, CLUSTER.voters[:2]))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (bad_signature, "its certificate proves nothing: the signature of node-2 does not fit"),
        (too_few_signers, "its certificate proves nothing: 1 acknowledgements are no quorum of 2"),
        (certificate_of_another_log, "for an entry 5 that is not in its log"),
        (missing_entry, "entry 4 of its log does not follow entry 2"),
        (other_genesis_below, "its log does not begin at its genesis"),
        (keys_of_strangers, "another public key for node-3 than the devnet gave it"),
        (fewer_voters, "its genesis names the voters node-1, node-2"),
        (lambda state: replace(state, genesis=None), "it never became part of the cluster"),
    ],
)
def test_disk_that_proves_nothing_is_a_problem(
    change: Callable[[StoredState], StoredState], problem: str
) -> None:
    evidence = evidence_of(with_state(change))

    assert evidence.certified_index == 0
    assert any(problem in found for found in evidence.problems)
    verdict = judge(RECORDS, evidence_with(with_state(change)))
    assert not verdict.passed
    assert verdict.problems[0].startswith("node-3: ")
    assert "other problems" in verdict.summary


@pytest.mark.parametrize(
    "body", [BLOCKS[1].ssz, b"", BLOCKS[0].ssz[:-1]], ids=["exchanged", "empty", "cut short"]
)
def test_body_that_is_not_what_its_entry_names_is_a_problem(body: bytes) -> None:
    store = a_store("node-3", BLOCKS)
    store.bodies = {**store.bodies, BLOCKS[0].payload_hash: body}

    verdict = judge(RECORDS, evidence_with(store))

    assert verdict.problems[0].startswith("node-3: the body of entry 2: ")
    assert verdict.lost == ("height 1, gossiped by node-1: certified past it without it: node-3",)


def test_missing_body_is_a_problem() -> None:
    store = a_store("node-3", BLOCKS)
    store.bodies = {}

    assert len(judge(RECORDS, evidence_with(store)).problems) == len(BLOCKS)


def test_store_that_cannot_be_opened_is_a_problem_and_no_error() -> None:
    def damaged() -> Store:
        raise StoreDamaged("its pages are torn")

    evidence = read_evidence("node-3", damaged, PUBLIC_KEYS)

    assert evidence.problems == ("its store cannot be read: its pages are torn",)


def test_only_the_last_gossiped_payload_may_lack_a_certificate() -> None:
    stores = [a_store(name, BLOCKS, certified_count=2) for name in NODES]

    verdict = judge(RECORDS, [evidence_of(store) for store in stores])

    assert verdict.problems == ("height 3: no certificate on any disk goes beyond 2",)


def test_long_list_of_findings_is_cut() -> None:
    blocks = some_blocks(30)
    stores = [a_store(name, []) for name in NODES]

    verdict = judge([gossip(block) for block in blocks], [evidence_of(store) for store in stores])

    assert len(verdict.lost) == 30
    assert sum(line.startswith("lost ") for line in verdict.lines()) == 10
    assert "... and 20 more" in verdict.lines()
