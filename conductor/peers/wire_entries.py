"""Entries with their bodies as protobuf messages, both ways.

Received entries chain, their hashes are computed from the bytes that came, and their bodies are
what their kind says; anything else is `InvalidArgument` naming the field. To be sent, they are
framed by hand: a leader sends every body to every member from its event loop, and protobuf would
copy it thrice each time. What is framed is an ordinary protobuf field, appended to the message.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from conductor.core.encoding import sha256
from conductor.core.values import (
    BlockReference,
    Entry,
    EntryKind,
    Epoch,
    EpochStart,
    Height,
    Index,
    Position,
)
from conductor.errors import InvalidArgument, RequestError, ensure
from conductor.payload import validate_ssz
from conductor.peers import fields
from conductor.peers.wire_values import kind_from_wire
from conductor.ports import Bodies
from conductor.v1 import types_pb2

_LENGTH_DELIMITED = 2
"""The wire type of byte strings and messages (protobuf encoding guide)."""


def with_entries(
    message: bytes, field_number: int, entries: Iterable[Entry], bodies: Bodies
) -> bytes:
    """A serialised message, and entries as its repeated field of that number.

    `bodies` holds those of all payload entries. Each is copied once.
    """
    chunks = [message]
    for entry in entries:
        chunks.extend(_framed(entry, field_number, bodies))
    return b"".join(chunks)


def _framed(entry: Entry, field_number: int, bodies: Bodies) -> Iterator[bytes]:
    body = _body_of(entry, bodies)
    header = types_pb2.Entry(
        index=entry.index,
        epoch=entry.epoch,
        kind=types_pb2.EntryKind.ValueType(entry.kind),
        previous_digest=entry.previous_digest,
    ).SerializeToString()
    header += _prefix(types_pb2.Entry.BODY_FIELD_NUMBER, len(body))
    yield _prefix(field_number, len(header) + len(body))
    yield header
    yield body


def _prefix(field_number: int, size: int) -> bytes:
    return _varint(field_number << 3 | _LENGTH_DELIMITED) + _varint(size)


def _varint(number: int) -> bytes:
    """Seven bits a byte, lowest first; the top bit says that more follow."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _body_of(entry: Entry, bodies: Bodies) -> bytes:
    if entry.kind is not EntryKind.PAYLOAD:
        return entry.control
    body = bodies.get(entry.body_hash)
    ensure(body is not None, f"entry {entry.index} is to be sent without its body")
    assert body is not None
    return body


def entries_from_wire(
    wires: Sequence[types_pb2.Entry], previous: Position | None
) -> tuple[tuple[Entry, ...], dict[bytes, bytes]]:
    """Entries that chain from `previous` (None: from wherever they begin), and payload bodies."""
    entries: list[Entry] = []
    bodies: dict[bytes, bytes] = {}
    for place, wire in enumerate(wires):
        entry = _entry_from_wire(wire, f"entries[{place}]", bodies)
        if previous is not None:
            _check_follows(entry, previous, f"entries[{place}]")
        entries.append(entry)
        previous = entry.position
    return tuple(entries), bodies


def _entry_from_wire(wire: types_pb2.Entry, field: str, bodies: dict[bytes, bytes]) -> Entry:
    if wire.index == 0:
        raise InvalidArgument(f"{field}.index: is 0, entries count from 1")
    kind = kind_from_wire(wire.kind, f"{field}.kind")
    previous_digest = fields.digest(wire.previous_digest, f"{field}.previous_digest")
    body = wire.body
    body_hash = sha256(body)
    block: BlockReference | None = None
    control = b""
    if kind is EntryKind.PAYLOAD:
        block = _block_of(body, f"{field}.body")
        bodies[body_hash] = body
    else:
        control = _checked_epoch_start(body, f"{field}.body")
    return Entry(
        index=Index(wire.index),
        epoch=Epoch(wire.epoch),
        kind=kind,
        previous_digest=previous_digest,
        body_hash=body_hash,
        body_size=len(body),
        block=block,
        control=control,
    )


def _block_of(body: bytes, field: str) -> BlockReference:
    try:
        header = validate_ssz(body)
    except RequestError as error:
        raise InvalidArgument(f"{field}: {error}") from error
    return BlockReference(Height(header.height), header.block_hash, header.parent_hash)


def _checked_epoch_start(body: bytes, field: str) -> bytes:
    try:
        leader = EpochStart.from_bytes(body).leader
    except RequestError as error:
        raise InvalidArgument(f"{field}: {error}") from error
    fields.name(leader.server_id, f"{field}.leader.server_id")
    fields.name(leader.incarnation, f"{field}.leader.incarnation")
    return body


def _check_follows(entry: Entry, previous: Position, field: str) -> None:
    if entry.index != previous.index + 1:
        raise InvalidArgument(f"{field}.index: is {entry.index}, {previous.index + 1} is next")
    if entry.previous_digest != previous.digest:
        raise InvalidArgument(f"{field}.previous_digest: does not chain to {previous.index}")
    if entry.epoch < previous.epoch:
        raise InvalidArgument(f"{field}.epoch: falls from {previous.epoch} to {entry.epoch}")
