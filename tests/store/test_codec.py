"""The bytes on disk, pinned: a store written today is read by every later version."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor.core.certificate import Acknowledgement, Certificate
from conductor.core.founding import FIRST_PROMISE_MAX, Founding, FoundingVoter, RaftEnd
from conductor.core.values import (
    Base,
    BlockReference,
    Digest,
    EntryKind,
    Epoch,
    Head,
    Height,
    Incarnation,
    Index,
    Member,
    MemberKey,
    Membership,
    Position,
    Promise,
    ServerId,
)
from conductor.errors import StoreDamaged
from conductor.store.codec import (
    Tail,
    decode_base,
    decode_certificate,
    decode_founding,
    decode_member_key,
    decode_number,
    decode_promise,
    decode_tail,
    encode_base,
    encode_certificate,
    encode_founding,
    encode_member_key,
    encode_number,
    encode_promise,
    encode_tail,
    record_checksum,
)
from conductor.store.rows import decode_entry, encode_entry
from tests.store.builders import Chain

KEY = MemberKey(ServerId("id"), Incarnation("fe"))
KEY_BYTES = "00000002" + b"id".hex() + "00000002" + b"fe".hex()
POSITION = Position(Index(5), Epoch(3), Digest(b"\xdd\xee"))
POSITION_BYTES = "0000000000000005000000000000000300000002ddee"
MEMBER = Member(KEY.server_id, KEY.incarnation, b"\x07", "g:1", "w:2", voter=False)
FOUNDING = Founding((FoundingVoter(KEY.server_id, "g:1"),), Epoch(9), KEY.server_id)
HEAD = Head(BlockReference(Height(7), b"\x11" * 32, b"\x22" * 32), b"\x33" * 32)

U64 = st.integers(min_value=0, max_value=2**64 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DIGESTS = st.binary(min_size=32, max_size=32)
KEYS = st.builds(MemberKey, TEXTS.map(ServerId), TEXTS.map(Incarnation))
HEADS = st.builds(
    Head, st.builds(BlockReference, U64.map(Height), DIGESTS, DIGESTS), body_hash=DIGESTS
)
POSITIONS = st.builds(Position, U64.map(Index), U64.map(Epoch), DIGESTS.map(Digest))
MEMBERS = st.builds(
    Member,
    server_id=TEXTS.map(ServerId),
    incarnation=TEXTS.map(Incarnation),
    public_key=DIGESTS,
    grpc_address=TEXTS,
    gateway_address=TEXTS,
    voter=st.booleans(),
)


def a_certificate(*keys: MemberKey) -> Certificate:
    """A certificate of these servers at index 5."""
    certificate = Certificate(
        epoch=Epoch(3),
        index=Index(5),
        previous_digest=Digest(b"\x01" * 32),
        kind=EntryKind.EPOCH_START,
        body_hash=b"\x03" * 32,
        acknowledgements=(),
    )
    said = (
        Acknowledgement(key, Epoch(3), Index(5), certificate.digest, b"\x55\x66") for key in keys
    )
    return replace(certificate, acknowledgements=tuple(said))


def test_records_have_the_bytes_that_they_always_had() -> None:
    """Change a format only by adding one: these bytes are on disks."""
    base = Base(POSITION, Membership((MEMBER,), 2, Index(4)))

    assert encode_number(258).hex() == "010000000000000102"
    assert encode_member_key(KEY).hex() == "01" + KEY_BYTES
    assert encode_promise(Promise(Epoch(9), None)).hex() == "01000000000000000900"
    assert encode_promise(Promise(Epoch(9), KEY)).hex() == "01000000000000000901" + KEY_BYTES
    assert encode_base(base).hex() == (
        "01" + POSITION_BYTES + "00000000000000040000000200000001" + KEY_BYTES
    ) + ("000000010700000003" + b"g:1".hex() + "00000003" + b"w:2".hex() + "00")
    assert encode_certificate(a_certificate(KEY)).hex() == (
        "010000000000000003000000000000000502" + "00000020" + "01" * 32 + "00000020" + "03" * 32
    ) + ("00000001" + KEY_BYTES + "000000025566")
    assert encode_tail(Tail(6, None)).hex() == "01000000000000000600"
    assert encode_tail(Tail(6, POSITION)).hex() == "01000000000000000601" + POSITION_BYTES
    voters_bytes = "00000001" + "00000002" + b"id".hex() + "00000003" + b"g:1".hex()
    assert encode_founding(FOUNDING).hex() == (
        "010000000000000009" + voters_bytes + "01" + "00000002" + b"id".hex()
    )
    assert encode_founding(replace(FOUNDING, initial_leader=None)).hex() == (
        "010000000000000009" + voters_bytes + "00"
    )
    headless = replace(FOUNDING, raft_end=RaftEnd(3, 258, None))
    assert encode_founding(headless).hex() == (
        ("020000000000000009" + voters_bytes + "01" + "00000002" + b"id".hex())
        + ("0000000000000003" + "0000000000000102" + "00")
    )
    inherited = replace(FOUNDING, initial_leader=None, raft_end=RaftEnd(3, 258, HEAD))
    assert encode_founding(inherited).hex() == (
        ("020000000000000009" + voters_bytes + "00" + "0000000000000003" + "0000000000000102")
        + ("01" + "00000068" + "0000000000000007" + "11" * 32 + "22" * 32 + "33" * 32)
    )


def test_checksums_are_what_they_always_were() -> None:
    checksum = record_checksum("promise", b"\x01")
    entry = Chain().payload(b"pinned", height=3)

    assert checksum.hex() == ("f6006b9232e88a5e47781edfc0cd28668f4cfcff4f46e219b029c3cf12f7ce38")
    assert entry.digest.hex() == (
        "ad31bf88ca0baa348592608831e4833719f9fadd10871fb03cf113ae1b00e539"
    )
    checksum_of_row = encode_entry(entry, b"pinned")[10]
    assert isinstance(checksum_of_row, bytes)
    assert checksum_of_row.hex() == (
        "b102dde61947026fa446108fa618a31104700c9caf1e3d75e5deb520135d4013"
    )


@given(U64, KEYS, st.none() | POSITIONS)
def test_small_records_come_back(number: int, key: MemberKey, last: Position | None) -> None:
    assert decode_number(encode_number(number)) == number
    assert decode_member_key(encode_member_key(key)) == key
    for promised_to in (key, None):
        promise = Promise(Epoch(number), promised_to)
        assert decode_promise(encode_promise(promise)) == promise
    assert decode_tail(encode_tail(Tail(number, last))) == Tail(number, last)


@given(POSITIONS, st.lists(MEMBERS, max_size=4), st.integers(0, 64), U64)
def test_bases_come_back(
    position: Position, members: list[Member], quorum_rule: int, version: int
) -> None:
    base = Base(position, Membership(tuple(members), quorum_rule, Index(version)))

    assert decode_base(encode_base(base)) == base


@given(
    st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=4),
    st.integers(0, FIRST_PROMISE_MAX),
    st.booleans(),
    st.none() | st.builds(RaftEnd, U64, U64, st.none() | HEADS),
)
def test_foundings_come_back(
    ids: dict[str, str], first_promise: int, is_led: bool, raft_end: RaftEnd | None
) -> None:
    by_address = {address: server_id for server_id, address in ids.items()}
    voters = sorted((server_id, address) for address, server_id in by_address.items())
    founding = Founding(
        tuple(FoundingVoter(ServerId(server_id), address) for server_id, address in voters),
        Epoch(first_promise),
        ServerId(voters[0][0]) if is_led else None,
        raft_end,
    )

    assert decode_founding(encode_founding(founding)) == founding


@given(st.lists(KEYS, max_size=4))
def test_certificates_come_back(keys: list[MemberKey]) -> None:
    certificate = a_certificate(*keys)

    assert decode_certificate(encode_certificate(certificate)) == certificate


@given(st.integers(1, 2**63 - 2), U64, U64, st.binary(min_size=1, max_size=50))
def test_entries_come_back(index: int, epoch: int, height: int, body: bytes) -> None:
    chain = Chain(Position(Index(index - 1), Epoch(0), Digest(bytes(32))))
    payload = chain.payload(body, epoch=epoch, height=height)
    start = chain.epoch_start(epoch=epoch)

    assert decode_entry(encode_entry(payload, body)) == payload
    assert decode_entry(encode_entry(start, start.control)) == start


@pytest.mark.parametrize(
    ("data", "decode"),
    [
        (encode_promise(Promise(Epoch(9), KEY)), decode_promise),
        (encode_base(Base(POSITION, Membership((MEMBER,), 2))), decode_base),
        (encode_certificate(a_certificate(KEY)), decode_certificate),
        (encode_tail(Tail(6, POSITION)), decode_tail),
        (encode_member_key(KEY), decode_member_key),
        (encode_founding(FOUNDING), decode_founding),
        (encode_founding(replace(FOUNDING, raft_end=RaftEnd(3, 258, HEAD))), decode_founding),
    ],
)
def test_record_that_was_cut_is_damage(data: bytes, decode: object) -> None:
    assert callable(decode)
    for size in range(len(data)):
        with pytest.raises(StoreDamaged):
            decode(data[:size])
    with pytest.raises(StoreDamaged, match="longer"):
        decode(data + b"\x00")


def test_text_that_is_none_is_damage() -> None:
    with pytest.raises(StoreDamaged, match="a text that is none"):
        decode_member_key(encode_member_key(KEY).replace(b"id", b"\xff\xfe"))
