"""The bytes that are hashed and signed: fixed vectors, and no two values with the same encoding.

The vectors were computed with nothing but SHA-256 and the formulas of rule 5.2. A change that
breaks one makes every existing log and certificate unreadable.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor.core import encoding
from conductor.core.certificate import Acknowledgement
from conductor.core.messages import HandOverOrder
from conductor.core.values import (
    ID_BYTES_MAX,
    MEMBERS_MAX,
    Entry,
    EntryKind,
    Epoch,
    EpochStart,
    Genesis,
    Head,
    Incarnation,
    Index,
    Member,
    ServerId,
)
from conductor.errors import InvalidArgument
from tests.core.builders import a_block, a_genesis, a_member, key_of


def vector_member(name: str, key_byte: int) -> Member:
    return Member(
        server_id=ServerId(name),
        incarnation=Incarnation(f"incarnation-of-{name}"),
        public_key=bytes([key_byte]) * 32,
        grpc_address=f"{name}.example:18080",
        gateway_address=f"{name}.example:8080",
    )


ALPHA, BETA = vector_member("alpha", 1), vector_member("beta", 2)
GENESIS = Genesis("vectors", 0, (ALPHA, BETA, vector_member("gamma", 3)))
START = EpochStart(ALPHA.key, "first leader").to_bytes()
FIRST = Entry(
    index=Index(1),
    epoch=Epoch(7),
    kind=EntryKind.EPOCH_START,
    previous_digest=GENESIS.cluster_id,
    body_hash=encoding.sha256(START),
    body_size=len(START),
    block=None,
    control=START,
)
SECOND = Entry(
    index=Index(2),
    epoch=Epoch(7),
    kind=EntryKind.PAYLOAD,
    previous_digest=FIRST.digest,
    body_hash=encoding.sha256(b"payload"),
    body_size=7,
    block=None,
)
ACKNOWLEDGEMENT = Acknowledgement(BETA.key, Epoch(7), Index(2), SECOND.digest)
ORDER = HandOverOrder(GENESIS.cluster_id, Epoch(7), ALPHA.key, BETA.key)

CLUSTER_ID = "7cf533d9582fd62fc32e023ebec46fbad57825cd8313b122d3dafbfc9fcfbba5"
SECOND_DIGEST = "007fd76505eb988304c36f1342de2515422eaefbf0607b95be1959bc45e329e1"


# Vectors


def test_the_cluster_id_has_not_changed() -> None:
    """Rule 5.2: digest(0) is the hash of the tagged genesis."""
    assert GENESIS.cluster_id.hex() == CLUSTER_ID


def test_entry_digests_have_not_changed() -> None:
    """Rule 5.2: digest(i) covers digest(i-1), epoch, index, kind and the body's hash."""
    assert FIRST.digest.hex() == "afd3980448a7662d483b995d5246025784eb91b8bdc8b270c5063f6fba0d416e"
    assert SECOND.digest.hex() == SECOND_DIGEST


def test_what_an_acknowledgement_signs_has_not_changed() -> None:
    """Rule 5.2: tag, cluster, server, incarnation, epoch, index, digest, in this order."""
    message = ACKNOWLEDGEMENT.message(GENESIS.cluster_id)

    assert message.hex() == (
        "00000013" + b"op-conductor/ack/v1".hex() + "00000020" + CLUSTER_ID + "00000004"
        "62657461" + "00000013" + b"incarnation-of-beta".hex() + "0000000000000007"
        "0000000000000002" + "00000020" + SECOND_DIGEST
    )
    assert hashlib.sha256(message).hexdigest() == (
        "0a4e772f9468900cd7ae9543b8b91e5da578d5b1be2270aa83ffa732920db1d7"
    )


def test_what_a_hand_over_order_signs_has_not_changed() -> None:
    assert ORDER.message().hex() == (
        "00000019" + b"op-conductor/hand-over/v1".hex() + "00000020" + CLUSTER_ID + ""
        "0000000000000007" + "00000004" + "62657461" + "00000013" + b"incarnation-of-beta".hex()
    )


def test_an_epoch_start_body_has_not_changed() -> None:
    assert START.hex() == (
        "00000005" + b"alpha".hex() + "00000014" + b"incarnation-of-alpha".hex() + "0000000c"
        "6669727374206c6561646572"
    )


# No two values with one encoding

ACKNOWLEDGED: dict[str, Any] = {
    "cluster_id": bytes(32),
    "server_id": "ab",
    "incarnation": "cd",
    "epoch": 1,
    "index": 2,
    "digest": bytes(32),
}


@pytest.mark.parametrize(
    "changes",
    [
        {"cluster_id": bytes([1]) * 32},
        {"server_id": "abc", "incarnation": "d"},
        {"server_id": "ac"},
        {"incarnation": "ce"},
        {"epoch": 2, "index": 1},
        {"epoch": 2},
        {"index": 3},
        {"digest": bytes([1]) * 32},
    ],
    ids="+".join,
)
def test_each_field_changes_what_an_acknowledgement_signs(changes: dict[str, Any]) -> None:
    """Trap T12: a signature that leaves a field out can be replayed where that field differs."""
    message = encoding.acknowledgement_message(**ACKNOWLEDGED)

    assert encoding.acknowledgement_message(**{**ACKNOWLEDGED, **changes}) != message


def test_an_order_and_an_acknowledgement_never_sign_the_same_bytes() -> None:
    """Trap T12: each kind of signed message begins with a tag of its own."""
    assert ACKNOWLEDGEMENT.message(GENESIS.cluster_id)[:23] != ORDER.message()[:23]


HEADER: dict[str, Any] = {"epoch": 1, "index": 2, "kind": 1, "body_hash": bytes(32)}


@pytest.mark.parametrize(
    "changes",
    [{"epoch": 2}, {"index": 3}, {"epoch": 2, "index": 1}, {"kind": 2}, {"body_hash": b"x" * 32}],
)
def test_each_field_changes_the_digest_of_an_entry(changes: dict[str, Any]) -> None:
    digest = encoding.entry_digest(bytes(32), **HEADER)

    assert encoding.entry_digest(bytes(32), **{**HEADER, **changes}) != digest
    assert encoding.entry_digest(b"x" * 32, **HEADER) != digest


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_digest_of_the_wrong_size_is_refused(size: int) -> None:
    """Without lengths in the encoding, bytes could be moved from one field to the next."""
    with pytest.raises(InvalidArgument, match="32 bytes"):
        encoding.entry_digest(bytes(size), **HEADER)
    with pytest.raises(InvalidArgument, match="32 bytes"):
        encoding.entry_digest(bytes(32), **{**HEADER, "body_hash": bytes(size)})


# Reading back


def test_a_genesis_can_be_read_back() -> None:
    assert Genesis.from_bytes(GENESIS.to_bytes()) == GENESIS


LED_GENESIS = replace(GENESIS, initial_leader=BETA.server_id)


def test_an_initial_leader_can_be_read_back_and_makes_another_cluster() -> None:
    """Stores from before there was one are read as they were."""
    data = LED_GENESIS.to_bytes()

    assert data == GENESIS.to_bytes() + encoding.sized(b"beta")
    assert Genesis.from_bytes(data) == LED_GENESIS
    assert LED_GENESIS.cluster_id != GENESIS.cluster_id


def test_no_initial_leader_is_cut_off() -> None:
    data, shorter = LED_GENESIS.to_bytes(), len(GENESIS.to_bytes())

    for size in range(shorter + 1, len(data)):
        with pytest.raises(InvalidArgument, match="not a genesis"):
            Genesis.from_bytes(data[:size])


HEAD = Head(a_block(258), b"\x07" * 32)
HEAD_BYTES = (
    (258).to_bytes(8, "big") + HEAD.block.block_hash + HEAD.block.parent_hash + b"\x07" * 32
)


@pytest.mark.parametrize(
    ("genesis", "leader"), [(GENESIS, b""), (LED_GENESIS, b"beta")], ids=["nobody", "beta"]
)
def test_a_head_can_be_read_back_and_makes_another_cluster(genesis: Genesis, leader: bytes) -> None:
    """It stands behind the initial leader; an empty name where there is none."""
    headed = replace(genesis, head=HEAD)
    data = headed.to_bytes()

    assert data == GENESIS.to_bytes() + encoding.sized(leader) + HEAD_BYTES
    assert Genesis.from_bytes(data) == headed
    assert headed.cluster_id != genesis.cluster_id
    assert Head.from_bytes(HEAD_BYTES) == HEAD


@pytest.mark.parametrize("genesis", [GENESIS, LED_GENESIS], ids=["nobody", "beta"])
def test_no_head_is_cut_off(genesis: Genesis) -> None:
    data, head_size = replace(genesis, head=HEAD).to_bytes(), len(HEAD_BYTES)

    for size in range(len(data) - head_size + 1, len(data)):
        with pytest.raises(InvalidArgument, match="not a genesis"):
            Genesis.from_bytes(data[:size])
    with pytest.raises(InvalidArgument, match="not a genesis"):
        Genesis.from_bytes(data + b"\0")


def test_an_empty_name_without_a_head_is_no_genesis() -> None:
    with pytest.raises(InvalidArgument, match="not a genesis"):
        Genesis.from_bytes(GENESIS.to_bytes() + encoding.sized(b""))


def test_no_cut_off_genesis_is_read() -> None:
    data = GENESIS.to_bytes()

    for size in range(len(data)):
        with pytest.raises(InvalidArgument, match="not a genesis"):
            Genesis.from_bytes(data[:size])


@pytest.mark.parametrize(
    "genesis",
    [
        Genesis("t", 0, (BETA, ALPHA)),
        Genesis("t", 0, (ALPHA, ALPHA)),
        Genesis("t", 0, ()),
        Genesis("t", 0, tuple(vector_member(f"n{n:02}", 1) for n in range(MEMBERS_MAX + 1))),
        Genesis("t", 3, (ALPHA, BETA)),
        Genesis("t", 0, (ALPHA, BETA), ServerId("gamma")),
        Genesis("t", 0, (ALPHA, BETA), ServerId("")),
    ],
    ids=[
        "out of order",
        "twice the same",
        "nobody",
        "too many",
        "a threshold above all voters",
        "a stranger to lead",
        "no name to lead",
    ],
)
def test_a_genesis_that_cannot_be_is_not_read(genesis: Genesis) -> None:
    """Rule 5.0: voters are sorted by server id, distinct, and enough for the quorum rule."""
    with pytest.raises(InvalidArgument, match="not a genesis"):
        Genesis.from_bytes(genesis.to_bytes())


@given(st.binary(max_size=200))
def test_bytes_that_are_no_genesis_are_refused_without_a_crash(data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        Genesis.from_bytes(LED_GENESIS.to_bytes() + b"\0" + data)
    with pytest.raises(InvalidArgument):
        Genesis.from_bytes(data)


def test_another_incarnation_makes_another_cluster() -> None:
    renewed = a_member("b", incarnation=Incarnation("another"))
    voters = (a_member("a"), renewed, a_member("c"))

    assert Genesis("test", 0, voters).cluster_id != a_genesis(3).cluster_id


def test_an_epoch_start_can_be_read_back() -> None:
    start = EpochStart(key_of("a"), "déjà vu")

    assert EpochStart.from_bytes(start.to_bytes()) == start


def test_a_long_reason_is_cut_between_characters() -> None:
    start = EpochStart(key_of("a"), "x" + "é" * ID_BYTES_MAX)

    kept = EpochStart.from_bytes(start.to_bytes()).reason

    assert kept == "x" + "é" * ((ID_BYTES_MAX - 1) // 2)


@given(st.binary(max_size=60))
def test_bytes_that_are_no_epoch_start_are_refused_without_a_crash(data: bytes) -> None:
    try:
        start = EpochStart.from_bytes(data)
    except InvalidArgument:
        return
    assert start.to_bytes() == data
