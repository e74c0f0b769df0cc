"""What counts as a proof that a payload is certified: each lie of a server is found out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conductor.cli.payload_proof import Claim, check_claim
from conductor.core.values import Digest, EntryKind, Epoch, Head, Index, Membership
from tests.api.fakes import HEAD
from tests.cli.certified import SIGNERS, VOTERS, SignedLog, a_log


def claim_of(log: SignedLog, height: int | None = None) -> Claim:
    """What an honest server says."""
    entry, block = log.blocks[height or max(log.blocks)]
    return Claim(
        ssz=block.ssz,
        height=height,
        index=entry.index,
        epoch=entry.epoch,
        cluster_name=log.genesis.cluster_name,
        cluster_id=log.genesis.cluster_id,
        membership=log.genesis.membership,
        certificate=log.certificate(),
        head=log.genesis.head,
    )


@pytest.mark.parametrize("initial_leader", [None, "node-2"])
@pytest.mark.parametrize("head", [None, HEAD])
def test_honest_claim_is_proven(initial_leader: str | None, head: Head | None) -> None:
    log = a_log(initial_leader=initial_leader, head=head)

    proof = check_claim(claim_of(log), log.genesis.cluster_id)

    assert proof.holds, proof.problem
    assert "the cluster id is that of --cluster-id" in proof.verified
    assert not any("cluster id" in sentence for sentence in proof.trusted)


def test_without_a_cluster_id_the_servers_is_trusted() -> None:
    proof = check_claim(claim_of(a_log()), None)

    assert proof.holds
    assert any("cluster id" in sentence for sentence in proof.trusted)


def lie(claim: Claim, log: SignedLog, name: str) -> Claim:
    """The claim with one thing changed."""
    certificate, membership = claim.certificate, claim.membership
    first, second = certificate.acknowledgements
    other = a_log(4)
    changes = {
        "other bytes": replace(claim, ssz=other.blocks[4][1].ssz),
        "flipped byte": replace(claim, ssz=claim.ssz[:-1] + bytes([claim.ssz[-1] ^ 1])),
        "no payload": replace(claim, ssz=b""),
        "other height": replace(claim, height=7),
        "other epoch": replace(claim, epoch=2),
        "earlier index": replace(claim, index=claim.index - 1),
        "later index": replace(claim, index=claim.index + 1),
        "one signature": replace(
            claim, certificate=replace(certificate, acknowledgements=(first,))
        ),
        "one signature twice": replace(
            claim, certificate=replace(certificate, acknowledgements=(first, first))
        ),
        "bad signature": replace(
            claim,
            certificate=replace(
                certificate, acknowledgements=(first, replace(second, signature=first.signature))
            ),
        ),
        "other body hash": replace(claim, certificate=replace(certificate, body_hash=bytes(32))),
        "other kind": replace(claim, certificate=replace(certificate, kind=EntryKind.EPOCH_START)),
        "other header": replace(claim, certificate=replace(certificate, epoch=Epoch(2))),
        "other cluster": replace(claim, cluster_id=Digest(bytes(32))),
        "head that is none": replace(claim, head=HEAD),
        "other name": replace(claim, cluster_name="other"),
        "other quorum rule": replace(claim, membership=replace(membership, quorum_rule=1)),
        "fewer voters": replace(claim, membership=Membership(VOTERS[:1], membership.quorum_rule)),
        "nonvoters": replace(
            claim,
            membership=Membership(
                (VOTERS[0], *(replace(voter, voter=False) for voter in VOTERS[1:])), 0
            ),
            certificate=replace(certificate, acknowledgements=(first,)),
        ),
        "other key": replace(
            claim,
            membership=Membership(
                (replace(VOTERS[0], public_key=SIGNERS[3].public_key), *VOTERS[1:]), 0
            ),
        ),
        "later membership": replace(claim, membership=replace(membership, version=Index(2))),
    }
    return changes[name]


LIES = (
    "other bytes",
    "flipped byte",
    "no payload",
    "other height",
    "other epoch",
    "earlier index",
    "later index",
    "one signature",
    "one signature twice",
    "bad signature",
    "other body hash",
    "other kind",
    "other header",
    "other cluster",
    "head that is none",
    "other name",
    "other quorum rule",
    "fewer voters",
    "nonvoters",
    "other key",
    "later membership",
)


@pytest.mark.parametrize("name", LIES)
def test_lie_is_found_out_without_knowing_the_cluster(name: str) -> None:
    log = a_log()

    assert not check_claim(lie(claim_of(log), log, name), None).holds


def test_cluster_of_its_own_does_not_pass_for_a_known_one() -> None:
    """A server can make up genesis, keys and all: only the cluster id tells."""
    made_up, known = a_log(), a_log(initial_leader="node-1")

    assert check_claim(claim_of(made_up), None).holds
    proof = check_claim(claim_of(made_up), known.genesis.cluster_id)
    assert "not of the one of --cluster-id" in proof.problem


def test_older_payload_is_the_servers_word() -> None:
    proof = check_claim(claim_of(a_log(), height=2), None)

    assert proof.problem.startswith(
        "not proven: the newest certificate is that of entry 4, a later"
    )
    assert len(proof.verified) == 2, "the certificate itself holds"


def test_payload_before_a_new_leadership_is_the_servers_word() -> None:
    log = a_log()
    log.begin_epoch()

    assert "entry 5, the beginning of epoch 2" in check_claim(claim_of(log), None).problem


def test_entry_of_another_kind_is_no_payload_though_a_quorum_signed_it() -> None:
    log = a_log()
    claim = claim_of(log)
    entry = log.append(claim.certificate.epoch, EntryKind.EPOCH_START, claim.ssz, None)
    certificate = log.certificate(entry=entry)

    proof = check_claim(replace(claim, index=entry.index, certificate=certificate), None)

    assert proof.problem == "the certified entry 5 is another than this"
