"""What passes for a certificate: to someone who knows the membership and trusts nobody (trap T12).

Every test runs with real ed25519 keys and with fakes, so that the fakes which all other tests use
are known to be no more lenient than the real thing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from conductor.core.certificate import Acknowledgement, Certificate, VerifySignature
from conductor.core.values import (
    Digest,
    Entry,
    EntryKind,
    Epoch,
    Genesis,
    Incarnation,
    Index,
    Membership,
)
from conductor.errors import InvalidArgument, Unauthenticated
from tests.core.builders import (
    NAMES,
    a_chain,
    a_member,
    elsewhere,
    fake_signature,
    fake_verify,
    key_of,
    sha256,
)


@dataclass(frozen=True, slots=True)
class Scheme:
    """A way to sign and to verify."""

    public_key: Callable[[str], bytes]
    sign: Callable[[str, bytes], bytes]
    verify: VerifySignature

    def acknowledge(
        self, name: str, entry: Entry, genesis: Genesis, **changes: object
    ) -> Acknowledgement:
        """What that member signs; a change is a field of Acknowledgement."""
        unsigned = Acknowledgement(key_of(name), entry.epoch, entry.index, entry.digest)
        unsigned = dataclasses.replace(unsigned, **changes)  # type: ignore[arg-type]
        signature = self.sign(name, unsigned.message(genesis.cluster_id))
        return dataclasses.replace(unsigned, signature=signature)


def private_key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(sha256(f"private key of {name}"))


def ed25519_verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


SCHEMES = {
    "ed25519": Scheme(
        public_key=lambda name: private_key(name).public_key().public_bytes_raw(),
        sign=lambda name, message: private_key(name).sign(message),
        verify=ed25519_verify,
    ),
    "fake": Scheme(
        public_key=lambda name: a_member(name).public_key,
        sign=lambda name, message: fake_signature(a_member(name).public_key, message),
        verify=fake_verify,
    ),
}


@pytest.fixture(params=SCHEMES.values(), ids=list(SCHEMES))
def scheme(request: pytest.FixtureRequest) -> Scheme:
    """Real keys, and fakes."""
    assert isinstance(request.param, Scheme)
    return request.param


@pytest.fixture
def genesis(scheme: Scheme) -> Genesis:
    """Three voters with keys of the scheme."""
    voters = tuple(a_member(name, public_key=scheme.public_key(name)) for name in NAMES[:3])
    return Genesis("test", 0, voters)


@pytest.fixture
def membership(scheme: Scheme, genesis: Genesis) -> Membership:
    """The three voters of the genesis, and the nonvoter "d"."""
    nonvoter = a_member("d", public_key=scheme.public_key("d"), voter=False)
    return Membership((*genesis.voters, nonvoter), 0)


ENTRY = a_chain([1, 1, 2])[2]
"""Of epoch 2, after two entries of epoch 1."""


def assembled(scheme: Scheme, genesis: Genesis, names: str) -> Certificate:
    return Certificate.assemble(ENTRY, (scheme.acknowledge(name, ENTRY, genesis) for name in names))


@pytest.mark.parametrize("names", ["ab", "ac", "bc", "abc"])
def test_a_quorum_of_signatures_certifies(
    scheme: Scheme, genesis: Genesis, membership: Membership, names: str
) -> None:
    """Rule 5.4.3."""
    certificate = assembled(scheme, genesis, names)

    certificate.check(genesis.cluster_id, membership, scheme.verify)

    assert certificate.position == ENTRY.position


def test_signers_stand_in_order_whoever_came_first(scheme: Scheme, genesis: Genesis) -> None:
    assert assembled(scheme, genesis, "ba") == assembled(scheme, genesis, "ab")


@pytest.mark.parametrize("names", ["", "a", "c"])
def test_too_few_signatures_certify_nothing(
    scheme: Scheme, genesis: Genesis, membership: Membership, names: str
) -> None:
    with pytest.raises(InvalidArgument, match="no quorum"):
        assembled(scheme, genesis, names).check(genesis.cluster_id, membership, scheme.verify)


def check_with(
    scheme: Scheme, genesis: Genesis, membership: Membership, *signed: Acknowledgement
) -> None:
    """Judge a certificate in which these stand beside the good word of "a"."""
    good = scheme.acknowledge("a", ENTRY, genesis)
    certificate = Certificate.assemble(ENTRY, (good, *signed))
    certificate.check(genesis.cluster_id, membership, scheme.verify)


def test_a_forged_signature_is_refused(
    scheme: Scheme, genesis: Genesis, membership: Membership
) -> None:
    forged = dataclasses.replace(
        scheme.acknowledge("c", ENTRY, genesis), member=key_of("b")
    )  # Signed with another's key.

    with pytest.raises(Unauthenticated, match="signature of b"):
        check_with(scheme, genesis, membership, forged)


@pytest.mark.parametrize("signature", [b"", bytes(64), bytes(10)])
def test_a_signature_that_is_none_is_refused(
    scheme: Scheme, genesis: Genesis, membership: Membership, signature: bytes
) -> None:
    signed = dataclasses.replace(scheme.acknowledge("b", ENTRY, genesis), signature=signature)

    with pytest.raises(Unauthenticated, match="signature of b"):
        check_with(scheme, genesis, membership, signed)


def test_a_replayed_acknowledgement_of_another_entry_is_refused(
    scheme: Scheme, genesis: Genesis, membership: Membership
) -> None:
    earlier = scheme.acknowledge("b", a_chain([1, 1, 2])[1], genesis)

    with pytest.raises(InvalidArgument, match="another entry"):
        check_with(scheme, genesis, membership, earlier)


def test_a_replayed_signature_under_another_position_is_refused(
    scheme: Scheme, genesis: Genesis, membership: Membership
) -> None:
    earlier = scheme.acknowledge("b", a_chain([1, 1, 2])[1], genesis)
    moved = dataclasses.replace(earlier, epoch=ENTRY.epoch, index=ENTRY.index, digest=ENTRY.digest)

    with pytest.raises(Unauthenticated, match="signature of b"):
        check_with(scheme, genesis, membership, moved)


def test_a_signature_of_a_foreign_cluster_is_refused(
    scheme: Scheme, genesis: Genesis, membership: Membership
) -> None:
    """The same servers with the same keys, formed another time."""
    foreign = dataclasses.replace(genesis, cluster_name="another")

    with pytest.raises(Unauthenticated, match="signature of b"):
        check_with(scheme, genesis, membership, scheme.acknowledge("b", ENTRY, foreign))


def test_an_acknowledgement_of_another_incarnation_is_refused(
    scheme: Scheme, genesis: Genesis, membership: Membership
) -> None:
    """Rule 5.8: signed with the right key, by a store that was made anew."""
    renewed = scheme.acknowledge("b", ENTRY, genesis, member=key_of("b", "made anew"))

    with pytest.raises(Unauthenticated, match="another incarnation"):
        check_with(scheme, genesis, membership, renewed)


def test_a_signature_for_another_incarnation_is_refused(
    scheme: Scheme, genesis: Genesis, membership: Membership
) -> None:
    renewed = scheme.acknowledge("b", ENTRY, genesis, member=key_of("b", "made anew"))
    disguised = dataclasses.replace(renewed, member=key_of("b"))

    with pytest.raises(Unauthenticated, match="signature of b"):
        check_with(scheme, genesis, membership, disguised)


def test_acknowledgements_of_different_epochs_never_mix(
    scheme: Scheme, genesis: Genesis, membership: Membership
) -> None:
    """Rule 5.4.3: "b" acknowledged the same entry to a later leader."""
    later = scheme.acknowledge("b", ENTRY, genesis, epoch=Epoch(3))

    with pytest.raises(InvalidArgument, match="another entry"):
        check_with(scheme, genesis, membership, later)


def test_an_entry_of_an_older_epoch_is_not_certified_by_a_later_leaders_quorum(
    scheme: Scheme, genesis: Genesis, membership: Membership
) -> None:
    """Trap T1: a quorum holds an old entry under a new leader. Its header shows its age."""
    later = [scheme.acknowledge(name, ENTRY, genesis, epoch=Epoch(3)) for name in "ab"]
    with pytest.raises(InvalidArgument, match="another entry"):
        Certificate.assemble(ENTRY, later).check(genesis.cluster_id, membership, scheme.verify)

    pretended = dataclasses.replace(Certificate.assemble(ENTRY, later), epoch=Epoch(3))
    with pytest.raises(InvalidArgument, match="another entry"):
        pretended.check(genesis.cluster_id, membership, scheme.verify)


def test_one_member_twice_is_no_quorum(
    scheme: Scheme, genesis: Genesis, membership: Membership
) -> None:
    again = scheme.acknowledge("a", ENTRY, genesis)

    with pytest.raises(InvalidArgument, match="twice"):
        check_with(scheme, genesis, membership, again)


@pytest.mark.parametrize("others", ["d", "bd"])
def test_a_nonvoter_signs_no_certificate(
    scheme: Scheme, genesis: Genesis, membership: Membership, others: str
) -> None:
    """Whether or not the voters beside it are a quorum without it."""
    signed = [scheme.acknowledge(name, ENTRY, genesis) for name in others]

    with pytest.raises(Unauthenticated, match="d is not a voter"):
        check_with(scheme, genesis, membership, *signed)


def test_a_stranger_signs_no_certificate(
    scheme: Scheme, genesis: Genesis, membership: Membership
) -> None:
    with pytest.raises(Unauthenticated, match="g is not a member"):
        check_with(scheme, genesis, membership, scheme.acknowledge("g", ENTRY, genesis))


@pytest.mark.parametrize(
    "changes",
    [
        {"previous_digest": elsewhere(2).digest},
        {"kind": EntryKind.EPOCH_START},
        {"body_hash": sha256("another body")},
        {"index": Index(4)},
        {"epoch": Epoch(3)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_header_of_another_entry_is_refused(
    scheme: Scheme, genesis: Genesis, membership: Membership, changes: dict[str, object]
) -> None:
    certificate = assembled(scheme, genesis, "ab")
    altered = dataclasses.replace(certificate, **changes)  # type: ignore[arg-type]

    with pytest.raises(InvalidArgument, match="another entry"):
        altered.check(genesis.cluster_id, membership, scheme.verify)


def test_a_degraded_quorum_of_one_is_enough_where_it_was_asked_for(
    scheme: Scheme, genesis: Genesis, membership: Membership
) -> None:
    alone = dataclasses.replace(membership, quorum_rule=1)

    assembled(scheme, genesis, "c").check(genesis.cluster_id, alone, scheme.verify)


def test_an_acknowledgement_is_checked_alone_as_well(
    scheme: Scheme, genesis: Genesis, membership: Membership
) -> None:
    """What comes over `POST /acknowledge`: also of a nonvoter, which counts for nothing."""
    for name in "abcd":
        signed = scheme.acknowledge(name, ENTRY, genesis)
        signed.check(genesis.cluster_id, membership, scheme.verify)

    renewed = dataclasses.replace(membership.members[1], incarnation=Incarnation("made anew"))
    other = dataclasses.replace(membership, members=(membership.members[0], renewed))
    with pytest.raises(Unauthenticated, match="another incarnation"):
        scheme.acknowledge("b", ENTRY, genesis).check(genesis.cluster_id, other, scheme.verify)


def test_the_digest_is_computed_from_the_header(scheme: Scheme, genesis: Genesis) -> None:
    certificate = assembled(scheme, genesis, "ab")

    assert certificate.digest == Digest(ENTRY.digest)
