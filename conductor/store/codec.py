"""The bytes of the records in the store: everything but the log itself.

Invariant: each record begins with its format, and the formats that were ever written stay readable.
Integers are big-endian and of fixed size, strings and byte strings stand behind their length.
A record that is not what was written fails its checksum before it gets here.
"""

from __future__ import annotations

import dataclasses
import struct
from dataclasses import dataclass

from conductor.core.certificate import Acknowledgement, Certificate
from conductor.core.encoding import sha256, sized, u64
from conductor.core.founding import Founding, FoundingVoter, RaftEnd
from conductor.core.values import (
    Base,
    Digest,
    EntryKind,
    Epoch,
    Head,
    Incarnation,
    Index,
    Member,
    MemberKey,
    Membership,
    Position,
    Promise,
    ServerId,
)
from conductor.store.error_map import damaged

FORMAT = b"\x01"
FORMAT_WITH_RAFT_END = b"\x02"
"""Of a founding that says how far its server had come."""
RECORD_TAG = b"op-conductor/store-record/v1"


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of what is stored. It moves with every transaction, so that a lost one shows."""

    transactions: int
    """How many were committed since the store was made."""
    last: Position | None
    """The end of the log; None before the genesis."""


def record_checksum(name: str, value: bytes) -> bytes:
    """What is stored beside a record: it fits neither other bytes nor another name."""
    return sha256(RECORD_TAG + sized(name.encode()) + value)


# Records


def encode_number(number: int) -> bytes:
    """A number of its own, as the schema version."""
    return FORMAT + u64(number)


def decode_number(data: bytes) -> int:
    """The number of `encode_number`; StoreDamaged when it is none."""
    reader = _Reader(data)
    number = reader.number()
    reader.finish()
    return number


def encode_member_key(key: MemberKey) -> bytes:
    """The identity of the server whose store this is."""
    return FORMAT + _key(key)


def decode_member_key(data: bytes) -> MemberKey:
    """The identity of `encode_member_key`; StoreDamaged when it is none."""
    reader = _Reader(data)
    key = reader.key()
    reader.finish()
    return key


def encode_promise(promise: Promise) -> bytes:
    """A promise, to somebody or to nobody."""
    to = promise.promised_to
    return FORMAT + u64(promise.epoch) + (b"\x00" if to is None else b"\x01" + _key(to))


def decode_promise(data: bytes) -> Promise:
    """The promise of `encode_promise`; StoreDamaged when it is none."""
    reader = _Reader(data)
    epoch = Epoch(reader.number())
    promised_to = reader.key() if reader.flag() else None
    reader.finish()
    return Promise(epoch, promised_to)


def encode_founding(founding: Founding) -> bytes:
    """What a Raft state said when the store was made from it."""
    end = founding.raft_end
    parts = [FORMAT if end is None else FORMAT_WITH_RAFT_END, u64(founding.first_promise)]
    parts.append(struct.pack(">I", len(founding.voters)))
    for voter in founding.voters:
        parts.append(sized(voter.server_id.encode()))
        parts.append(sized(voter.grpc_address.encode()))
    initial_leader = founding.initial_leader
    parts.append(b"\x00" if initial_leader is None else b"\x01" + sized(initial_leader.encode()))
    if end is not None:
        parts.append(struct.pack(">QQ", end.term, end.index))
        parts.append(b"\x00" if end.head is None else b"\x01" + sized(end.head.to_bytes()))
    return b"".join(parts)


def decode_founding(data: bytes) -> Founding:
    """The value of `encode_founding`; StoreDamaged or InvalidArgument when it is none."""
    reader = _Reader(data, FORMAT, FORMAT_WITH_RAFT_END)
    first_promise = Epoch(reader.number())
    (count,) = reader.unpack(">I")
    voters = tuple(FoundingVoter(ServerId(reader.text()), reader.text()) for _ in range(count))
    initial_leader = ServerId(reader.text()) if reader.flag() else None
    raft_end = reader.raft_end() if reader.format == FORMAT_WITH_RAFT_END else None
    reader.finish()
    return Founding(voters, first_promise, initial_leader, raft_end)


def encode_base(base: Base) -> bytes:
    """A base with its membership."""
    membership = base.membership
    parts = [FORMAT, _position(base.position), u64(membership.version)]
    parts.append(struct.pack(">II", membership.quorum_rule, len(membership.members)))
    for member in membership.members:
        parts.append(_key(member.key))
        parts.append(sized(member.public_key))
        parts.append(sized(member.grpc_address.encode()))
        parts.append(sized(member.gateway_address.encode()))
        parts.append(b"\x01" if member.voter else b"\x00")
    return b"".join(parts)


def decode_base(data: bytes) -> Base:
    """The base of `encode_base`; StoreDamaged when it is none."""
    reader = _Reader(data)
    position = reader.position()
    version = Index(reader.number())
    quorum_rule, count = reader.unpack(">II")
    members = tuple(reader.member() for _ in range(count))
    reader.finish()
    return Base(position, Membership(members, quorum_rule, version))


def encode_certificate(certificate: Certificate) -> bytes:
    """A certificate; the position in its acknowledgements is its own and is not repeated."""
    parts = [
        FORMAT,
        struct.pack(">QQB", certificate.epoch, certificate.index, certificate.kind),
        sized(certificate.previous_digest),
        sized(certificate.body_hash),
        struct.pack(">I", len(certificate.acknowledgements)),
    ]
    for acknowledgement in certificate.acknowledgements:
        parts.append(_key(acknowledgement.member))
        parts.append(sized(acknowledgement.signature))
    return b"".join(parts)


def decode_certificate(data: bytes) -> Certificate:
    """The certificate of `encode_certificate`; StoreDamaged when it is none."""
    reader = _Reader(data)
    epoch, index, kind = reader.unpack(">QQB")
    certificate = Certificate(
        epoch=Epoch(epoch),
        index=Index(index),
        kind=entry_kind(kind),
        previous_digest=Digest(reader.sized()),
        body_hash=reader.sized(),
        acknowledgements=(),
    )
    (count,) = reader.unpack(">I")
    where = certificate.position
    acknowledgements = tuple(
        Acknowledgement(reader.key(), where.epoch, where.index, where.digest, reader.sized())
        for _ in range(count)
    )
    reader.finish()
    return dataclasses.replace(certificate, acknowledgements=acknowledgements)


def encode_tail(tail: Tail) -> bytes:
    """The end of what is stored."""
    last = b"\x00" if tail.last is None else b"\x01" + _position(tail.last)
    return FORMAT + u64(tail.transactions) + last


def decode_tail(data: bytes) -> Tail:
    """The tail of `encode_tail`; StoreDamaged when it is none."""
    reader = _Reader(data)
    transactions = reader.number()
    last = reader.position() if reader.flag() else None
    reader.finish()
    return Tail(transactions, last)


# Parts


def _key(key: MemberKey) -> bytes:
    return sized(key.server_id.encode()) + sized(key.incarnation.encode())


def _position(position: Position) -> bytes:
    return struct.pack(">QQ", position.index, position.epoch) + sized(position.digest)


def entry_kind(number: int) -> EntryKind:
    """The kind of that number; StoreDamaged when this version knows none."""
    try:
        return EntryKind(number)
    except ValueError as error:
        raise damaged(f"an entry is of kind {number}, which this version does not know") from error


class _Reader:
    """Reads what this module wrote; StoreDamaged when it is anything else."""

    def __init__(self, data: bytes, *formats: bytes) -> None:
        """`formats`: those that the record may have, if not FORMAT alone."""
        self._data = data
        self._offset = len(FORMAT)
        self.format = data[: len(FORMAT)]
        known = formats or (FORMAT,)
        if self.format not in known:
            names = " or ".join(one.hex() for one in known)
            raise damaged(f"a record has format {self.format.hex() or 'none'}, not {names}")

    def unpack(self, layout: str) -> tuple[int, ...]:
        size = struct.calcsize(layout)
        numbers: tuple[int, ...] = struct.unpack(layout, self._take(size))
        return numbers

    def number(self) -> int:
        (number,) = self.unpack(">Q")
        return number

    def flag(self) -> bool:
        (number,) = self.unpack(">B")
        return number == 1

    def sized(self) -> bytes:
        (size,) = self.unpack(">I")
        return self._take(size)

    def text(self) -> str:
        try:
            return self.sized().decode()
        except UnicodeDecodeError as error:
            raise damaged(f"a record holds a text that is none: {error}") from error

    def key(self) -> MemberKey:
        return MemberKey(ServerId(self.text()), Incarnation(self.text()))

    def position(self) -> Position:
        index, epoch = self.unpack(">QQ")
        return Position(Index(index), Epoch(epoch), Digest(self.sized()))

    def member(self) -> Member:
        key = self.key()
        return Member(
            server_id=key.server_id,
            incarnation=key.incarnation,
            public_key=self.sized(),
            grpc_address=self.text(),
            gateway_address=self.text(),
            voter=self.flag(),
        )

    def raft_end(self) -> RaftEnd:
        term, index = self.unpack(">QQ")
        return RaftEnd(term, index, Head.from_bytes(self.sized()) if self.flag() else None)

    def finish(self) -> None:
        if self._offset != len(self._data):
            raise damaged("a record is longer than what it says")

    def _take(self, size: int) -> bytes:
        taken = self._data[self._offset : self._offset + size]
        if len(taken) < size:
            raise damaged("a record is cut short")
        self._offset += size
        return taken
