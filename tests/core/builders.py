"""Protocol values with plain defaults; a test names only what it is about.

Nodes are called "a" to "g", their incarnations are their names eight times over. Signatures are
fakes that bind a key to a message, unless a test brings real keys.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence

from conductor.core.certificate import Acknowledgement, Certificate
from conductor.core.log import Log
from conductor.core.messages import Append, LogReport
from conductor.core.quorum import MAJORITY
from conductor.core.values import (
    Base,
    BlockReference,
    Digest,
    Entry,
    EntryKind,
    Epoch,
    EpochStart,
    Genesis,
    Height,
    Incarnation,
    Index,
    Member,
    MemberKey,
    Position,
    ServerId,
)

NAMES = "abcdefg"


def sha256(text: str) -> bytes:
    """32 bytes that stand for a text."""
    return hashlib.sha256(text.encode()).digest()


# Members and clusters


def key_of(name: str, incarnation: str = "") -> MemberKey:
    """A server in its first incarnation, or in another."""
    return MemberKey(ServerId(name), Incarnation(incarnation or name * 8))


def a_member(name: str = "a", **changes: object) -> Member:
    """A voter; a change is a field of Member."""
    member = Member(
        server_id=ServerId(name),
        incarnation=key_of(name).incarnation,
        public_key=sha256(f"public key of {name}"),
        grpc_address=f"{name}:18080",
        gateway_address=f"{name}:8080",
    )
    return dataclasses.replace(member, **changes)  # type: ignore[arg-type]


def a_genesis(count: int = 3, quorum_rule: int = MAJORITY) -> Genesis:
    """A cluster of the first `count` nodes."""
    return Genesis("test", quorum_rule, tuple(a_member(name) for name in NAMES[:count]))


def beginning() -> Position:
    """The position before the first entry: one for clusters of any size, so that chains fit all."""
    return Position(Index(0), Epoch(0), a_genesis().cluster_id)


def a_base(at: Position | None = None, genesis: Genesis | None = None) -> Base:
    """Where a window begins: the beginning, or anywhere else."""
    return Base(at or beginning(), (genesis or a_genesis()).membership)


def fake_signature(public_key: bytes, message: bytes) -> bytes:
    """What only the holder of the key is taken to be able to make."""
    return hashlib.sha512(public_key + message).digest()


def fake_verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `fake_signature` made it."""
    return signature == fake_signature(public_key, message)


# Entries


def a_block(height: int, branch: str = "", parent_branch: str | None = None) -> BlockReference:
    """A block of a chain; one of another branch is a sibling of that of the same height."""
    parent = branch if parent_branch is None else parent_branch
    return BlockReference(
        Height(height), sha256(f"block {branch}{height}"), sha256(f"block {parent}{height - 1}")
    )


def a_payload(
    after: Position, epoch: int = 1, block: BlockReference | None = None, size: int = 100
) -> Entry:
    """A payload entry; without a block its height is its index, in a chain named by nothing."""
    block = block or a_block(after.index + 1)
    return Entry(
        index=Index(after.index + 1),
        epoch=Epoch(epoch),
        kind=EntryKind.PAYLOAD,
        previous_digest=after.digest,
        body_hash=sha256(f"body of {block.block_hash.hex()}"),
        body_size=size,
        block=block,
    )


def an_epoch_start(after: Position, epoch: int = 1, leader: str = "a") -> Entry:
    """The first entry of a leadership."""
    body = EpochStart(key_of(leader), "a test").to_bytes()
    return Entry(
        index=Index(after.index + 1),
        epoch=Epoch(epoch),
        kind=EntryKind.EPOCH_START,
        previous_digest=after.digest,
        body_hash=hashlib.sha256(body).digest(),
        body_size=len(body),
        block=None,
        control=body,
    )


def a_chain(
    epochs: Iterable[int], after: Position | None = None, branch: str = "", size: int = 100
) -> tuple[Entry, ...]:
    """Payload entries of these epochs, one after the other; heights are indexes."""
    entries: list[Entry] = []
    position = after or beginning()
    for epoch in epochs:
        block = a_block(position.index + 1, branch)
        entries.append(a_payload(position, epoch, block, size))
        position = entries[-1].position
    return tuple(entries)


def an_acknowledgement(name: str, entry: Entry, epoch: int | None = None) -> Acknowledgement:
    """A member's signed word, in the epoch of the entry unless told otherwise."""
    unsigned = Acknowledgement(
        member=key_of(name),
        epoch=Epoch(entry.epoch if epoch is None else epoch),
        index=entry.index,
        digest=entry.digest,
    )
    message = unsigned.message(a_genesis().cluster_id)
    return dataclasses.replace(
        unsigned, signature=fake_signature(a_member(name).public_key, message)
    )


def a_certificate(entry: Entry, signers: str = "ab") -> Certificate:
    """A certificate of that entry, signed by these members of the cluster of three."""
    return Certificate.assemble(entry, (an_acknowledgement(name, entry) for name in signers))


def a_log(
    entries: Sequence[Entry] = (), certified: int = 0, base: Base | None = None, signers: str = "ab"
) -> Log:
    """A log, certified up to an index of one of its entries."""
    certificates = [a_certificate(entry, signers) for entry in entries if entry.index == certified]
    return Log.restored(base or a_base(), entries, certificates[0] if certificates else None)


def a_report(log: Log) -> LogReport:
    """What a member with that log says of it."""
    return LogReport(log.last, log.certified, log.base.position.index)


# Messages


def an_append(
    entries: Sequence[Entry] = (),
    *,
    epoch: int = 1,
    previous: Position | None = None,
    certificate: Certificate | None = None,
    sequence: int = 1,
    fit: bool = True,
) -> Append:
    """A leader's message; its entries follow the beginning of the log unless told otherwise."""
    previous = previous or beginning()
    return Append(Epoch(epoch), sequence, previous, tuple(entries), certificate, fit)


def elsewhere(index: int, epoch: int = 1) -> Position:
    """A position of a log that nobody here has."""
    return Position(Index(index), Epoch(epoch), Digest(sha256(f"elsewhere {index} {epoch}")))
