"""The nouns of the protocol, as immutable values that check themselves.

Invariant: a value that exists is well formed. What its bytes hash to is computed from its fields
and never taken from anyone's word.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NewType

from conductor.core import encoding
from conductor.core.quorum import is_split_brain_safe, quorum_size
from conductor.errors import InvalidArgument

ServerId = NewType("ServerId", str)
Incarnation = NewType("Incarnation", str)
Epoch = NewType("Epoch", int)
Index = NewType("Index", int)
Height = NewType("Height", int)
Digest = NewType("Digest", bytes)

ID_BYTES_MAX = 256
MEMBERS_MAX = 64


@dataclass(frozen=True, slots=True, order=True)
class MemberKey:
    """One life of one server: a wiped disk comes back with another incarnation."""

    server_id: ServerId
    incarnation: Incarnation


@dataclass(frozen=True, slots=True)
class Member:
    """One server of the cluster, as every node knows it."""

    server_id: ServerId
    incarnation: Incarnation
    public_key: bytes
    """ed25519, 32 bytes."""
    grpc_address: str
    """`host:port` where peers reach it."""
    gateway_address: str
    """`host:port` of its HTTP gateway, for people and op-node."""
    voter: bool = True

    @property
    def key(self) -> MemberKey:
        """The server in its present incarnation."""
        return MemberKey(self.server_id, self.incarnation)


@dataclass(frozen=True, slots=True)
class Membership:
    """Who belongs to the cluster, and how many voters make a quorum."""

    members: tuple[Member, ...]
    """Sorted by server id."""
    quorum_rule: int
    """MAJORITY (0) or a number of voters."""
    version: Index = Index(0)
    """The index of the entry that brought it; 0 for the genesis."""
    voters: tuple[Member, ...] = field(init=False, repr=False, compare=False)
    """The members whose promises and acknowledgements count."""

    def __post_init__(self) -> None:
        voters = tuple(member for member in self.members if member.voter)
        object.__setattr__(self, "voters", voters)

    @property
    def quorum(self) -> int:
        """How many distinct voters make a quorum."""
        return quorum_size(self.quorum_rule, len(self.voters))

    @property
    def quorum_safe(self) -> bool:
        """Whether two sides of a partition can never both have a quorum."""
        return is_split_brain_safe(self.quorum, len(self.voters))

    def member(self, server_id: ServerId) -> Member | None:
        """The member of that name, in whatever incarnation."""
        return next((member for member in self.members if member.server_id == server_id), None)

    def has_voter(self, key: MemberKey) -> bool:
        """Whether that server, in that incarnation, is a voter."""
        return any(member.key == key for member in self.voters)

    def has_member(self, key: MemberKey) -> bool:
        """Whether that server, in that incarnation, is a member."""
        return any(member.key == key for member in self.members)

    def is_quorum(self, keys: Collection[MemberKey]) -> bool:
        """Whether the voters among `keys` are a quorum."""
        return sum(1 for member in self.voters if member.key in keys) >= self.quorum


@dataclass(frozen=True, slots=True)
class BlockReference:
    """What the protocol needs to know of a payload."""

    height: Height
    block_hash: bytes
    parent_hash: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The block that a cluster goes on from: what the cluster before it came to."""

    block: BlockReference
    body_hash: bytes
    """SHA-256 of the payload's SSZ bytes."""

    def to_bytes(self) -> bytes:
        """The canonical encoding: height as 8 bytes, three hashes of 32 bytes."""
        block = self.block
        return _HEAD.pack(block.height, block.block_hash, block.parent_hash, self.body_hash)

    @classmethod
    def from_bytes(cls, data: bytes) -> Head:
        """The head of `to_bytes`; InvalidArgument when the bytes are of another size."""
        if len(data) != _HEAD.size:
            raise InvalidArgument(f"a head has {_HEAD.size} bytes, not {len(data)}")
        height, block_hash, parent_hash, body_hash = _HEAD.unpack(data)
        return cls(BlockReference(Height(height), block_hash, parent_hash), body_hash)


_HEAD = struct.Struct(">Q32s32s32s")


@dataclass(frozen=True, slots=True)
class Genesis:
    """What a cluster is formed with, once. Its hash is the cluster id."""

    cluster_name: str
    quorum_rule: int
    voters: tuple[Member, ...]
    """Sorted by server id."""
    initial_leader: ServerId | None = None
    """The voter that is to lead before any other, if an operator has named one."""
    head: Head | None = None
    """The block that its first payload is, or is a child of; None when any payload may be first."""
    cluster_id: Digest = field(init=False, repr=False, compare=False)
    """digest(0) of the log of this cluster."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "cluster_id", Digest(encoding.cluster_id(self.to_bytes())))

    def to_bytes(self) -> bytes:
        """The canonical encoding, which is hashed and stored.

        What came later than the rest takes no bytes where it is not there: neither an initial
        leader nor a head. An empty name stands before a head where nobody is to lead first.
        """
        parts = [encoding.sized(self.cluster_name.encode())]
        parts.append(struct.pack(">II", self.quorum_rule, len(self.voters)))
        for voter in self.voters:
            parts.append(encoding.sized(voter.server_id.encode()))
            parts.append(encoding.sized(voter.incarnation.encode()))
            parts.append(encoding.sized(voter.public_key))
            parts.append(encoding.sized(voter.grpc_address.encode()))
            parts.append(encoding.sized(voter.gateway_address.encode()))
        if self.initial_leader is not None or self.head is not None:
            parts.append(encoding.sized((self.initial_leader or "").encode()))
        if self.head is not None:
            parts.append(self.head.to_bytes())
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> Genesis:
        """The genesis of `to_bytes`; InvalidArgument when the bytes are anything else."""
        try:
            genesis = _read_genesis(data)
        except (struct.error, UnicodeDecodeError, InvalidArgument) as error:
            raise InvalidArgument(f"not a genesis: {error}") from error
        if genesis.to_bytes() != data:
            raise InvalidArgument("not a genesis: bytes left over")
        names = [voter.server_id for voter in genesis.voters]
        if not names or names != sorted(set(names)):
            raise InvalidArgument("not a genesis: its voters are not distinct and in order")
        rule = genesis.quorum_rule
        if rule > len(names):
            raise InvalidArgument(f"not a genesis: a quorum of {rule} among {len(names)} voters")
        if genesis.initial_leader is not None and genesis.initial_leader not in names:
            raise InvalidArgument("not a genesis: its initial leader is none of its voters")
        return genesis

    @property
    def membership(self) -> Membership:
        """The membership that the cluster begins with."""
        return Membership(self.voters, self.quorum_rule)


class _Reader:
    """Reads length-prefixed fields; struct.error when one reaches past the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    def numbers(self, layout: str) -> tuple[int, ...]:
        values: tuple[int, ...] = struct.unpack_from(layout, self._data, self._offset)
        self._offset += struct.calcsize(layout)
        return values

    def sized(self) -> bytes:
        (size,) = self.numbers(">I")
        if size > len(self._data) - self._offset:
            raise struct.error("a length reaches past the end")
        self._offset += size
        return self._data[self._offset - size : self._offset]

    def text(self) -> str:
        return self.sized().decode()

    def rest(self) -> bytes:
        taken, self._offset = self._data[self._offset :], len(self._data)
        return taken

    @property
    def is_at_end(self) -> bool:
        return self._offset == len(self._data)


def _read_genesis(data: bytes) -> Genesis:
    reader = _Reader(data)
    cluster_name = reader.text()
    quorum_rule, count = reader.numbers(">II")
    if count > MEMBERS_MAX:
        raise struct.error(f"{count} voters, more than {MEMBERS_MAX}")
    voters = tuple(
        Member(
            server_id=ServerId(reader.text()),
            incarnation=Incarnation(reader.text()),
            public_key=reader.sized(),
            grpc_address=reader.text(),
            gateway_address=reader.text(),
        )
        for _ in range(count)
    )
    initial_leader = None if reader.is_at_end else ServerId(reader.text())
    if reader.is_at_end:
        return Genesis(cluster_name, quorum_rule, voters, initial_leader)
    head = Head.from_bytes(reader.rest())
    return Genesis(cluster_name, quorum_rule, voters, initial_leader or None, head)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a log: equal digests mean logs equal up to there."""

    index: Index
    epoch: Epoch
    digest: Digest

    @classmethod
    def nowhere(cls) -> Position:
        """The place of a node that has no log yet."""
        return cls(Index(0), Epoch(0), Digest(b""))

    @property
    def rank(self) -> tuple[Epoch, Index]:
        """The order in which logs are better: newest epoch first, then length."""
        return (self.epoch, self.index)


class EntryKind(enum.IntEnum):
    """What an entry's body is."""

    PAYLOAD = 1
    """An SSZ execution payload envelope."""
    EPOCH_START = 2
    """The first entry of a leadership: who leads, and why."""


@dataclass(frozen=True, slots=True)
class EpochStart:
    """The body of an epoch-start entry."""

    leader: MemberKey
    reason: str
    """Why this server leads, for people: at most ID_BYTES_MAX bytes are kept."""

    def to_bytes(self) -> bytes:
        """The encoding that is stored and hashed."""
        reason = self.reason.encode()[:ID_BYTES_MAX].decode(errors="ignore")
        texts = (self.leader.server_id, self.leader.incarnation, reason)
        return b"".join(encoding.sized(text.encode()) for text in texts)

    @classmethod
    def from_bytes(cls, data: bytes) -> EpochStart:
        """The body of `to_bytes`; InvalidArgument when the bytes are anything else."""
        try:
            reader = _Reader(data)
            leader = MemberKey(ServerId(reader.text()), Incarnation(reader.text()))
            start = cls(leader, reader.text())
        except (struct.error, UnicodeDecodeError) as error:
            raise InvalidArgument(f"not an epoch start: {error}") from error
        if start.to_bytes() != data:
            raise InvalidArgument("not an epoch start: bytes left over or too long a reason")
        return start


@dataclass(frozen=True, slots=True)
class Entry:
    """One log record without its body. `digest` follows from the other fields."""

    index: Index
    epoch: Epoch
    kind: EntryKind
    previous_digest: Digest
    body_hash: bytes
    """SHA-256 of the body."""
    body_size: int
    """Bytes."""
    block: BlockReference | None
    """Set iff the entry is a payload."""
    control: bytes = b""
    """The whole body, when the protocol itself wrote it; empty for a payload."""
    digest: Digest = field(init=False)

    def __post_init__(self) -> None:
        """Compute the digest that chains this entry to the one before it."""
        digest = encoding.entry_digest(
            self.previous_digest,
            epoch=self.epoch,
            index=self.index,
            kind=self.kind,
            body_hash=self.body_hash,
        )
        object.__setattr__(self, "digest", Digest(digest))

    @property
    def position(self) -> Position:
        """The place in the log that this entry makes."""
        return Position(self.index, self.epoch, self.digest)


@dataclass(frozen=True, slots=True)
class Base:
    """The position just before the entries that a node still holds, and the membership there."""

    position: Position
    membership: Membership


@dataclass(frozen=True, slots=True)
class Promise:
    """A durable vow to refuse lower epochs. `promised_to` is None when nobody asked for it."""

    epoch: Epoch
    promised_to: MemberKey | None
