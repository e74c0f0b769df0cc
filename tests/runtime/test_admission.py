"""What is repeated is checked once; what differs in anything is checked."""

from __future__ import annotations

import dataclasses

import pytest

from conductor.config import Config
from conductor.core.certificate import Acknowledgement
from conductor.core.messages import Acknowledged
from conductor.core.values import Digest, Epoch, Index
from conductor.errors import Unauthenticated
from conductor.identity import verify_signature
from conductor.runtime.admission import Admission
from conductor.runtime.member import machine_of
from tests.runtime.kit import formed_store, genesis_of, member_of, signer_of


class CountingVerifier:
    """Verifies, and counts how often."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        self.asked += 1
        return verify_signature(public_key, message, signature)


def acknowledged(sequence: int, *, index: int = 1, by: str = "b") -> Acknowledged:
    """Signed by that node."""
    plain = Acknowledgement(member_of(by).key, Epoch(1), Index(index), Digest(bytes(32)))
    signature = signer_of(by).sign(plain.message(genesis_of(3).cluster_id))
    return Acknowledged(sequence, dataclasses.replace(plain, signature=signature))


def forged(message: Acknowledged) -> Acknowledged:
    """The same with another signature."""
    acknowledgement = dataclasses.replace(message.acknowledgement, signature=bytes(64))
    return dataclasses.replace(message, acknowledgement=acknowledgement)


def gate(verify: CountingVerifier) -> Admission:
    """In front of a member of three."""
    return Admission(machine_of(formed_store(3).load(), Config()), verify)


def test_repeated_acknowledgement_is_verified_once() -> None:
    verify = CountingVerifier()
    admission = gate(verify)
    for sequence in range(3):
        for name in ("b", "c"):
            admission.check(member_of(name).key, acknowledged(sequence, by=name))

    assert verify.asked == 2
    admission.check(member_of("b").key, acknowledged(9, index=2))
    assert verify.asked == 3


def test_signature_is_verified_although_the_rest_was_admitted() -> None:
    verify = CountingVerifier()
    admission = gate(verify)
    good = acknowledged(1)
    admission.check(member_of("b").key, good)
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            admission.check(member_of("b").key, forged(good))

    assert verify.asked == 3


def test_acknowledgement_is_verified_anew_under_another_membership() -> None:
    """The same words mean nothing where their speaker has another key."""
    verify = CountingVerifier()
    machine = machine_of(formed_store(3).load(), Config())
    admission = Admission(machine, verify)
    admission.check(member_of("b").key, acknowledged(1))
    base = machine.node.log.base
    members = tuple(
        dataclasses.replace(member, public_key=signer_of("c").public_key)
        if member.server_id == "b"
        else member
        for member in base.membership.members
    )
    membership = dataclasses.replace(base.membership, members=members)
    machine.node.log.base = dataclasses.replace(base, membership=membership)

    with pytest.raises(Unauthenticated):
        admission.check(member_of("b").key, acknowledged(2))
