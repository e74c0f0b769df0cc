"""Finds a payload in one node: the newest, that of a height, or that of an entry.

Law: the SSZ bytes are those that op-conductor stored, byte for byte. What was asked for and is
there more than once, differently, is not chosen from.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from conductor.errors import NotFound, Refused, StoreDamaged
from conductor.payload import PayloadHeader, json_from_ssz
from raft_state.node import NodeState, certain_index, newest_payload
from raft_state.raft import CommandPayload, EntryType, decode_command, entry_type_name

_ROOT_BYTES = 32
_NOTE_V3 = (
    "a V3 payload has no withdrawals root: op-conductor stores an Isthmus payload whose root is "
    "that of the empty trie as V3, without it, and this is what is exported"
)
_NOTE_LEGACY = (
    "it was stored in the format of before 2024, which op-conductor does not read any more; the "
    "parent beacon block root, which was not stored, is zero in what is exported"
)


class PayloadFormat(enum.Enum):
    """How a payload is written."""

    JSON = "json"
    """The envelope as op-node sends it."""
    SSZ = "ssz"
    """The envelope as op-conductor stores it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which payload is wanted: of a height, of an entry, or with neither the newest."""

    height: int | None = None
    index: int | None = None


@dataclass(frozen=True, slots=True)
class FoundPayload:
    """A payload, and where it was found."""

    server_id: str
    directory: Path
    is_from_snapshot: bool
    index: int
    """Of its entry; of the snapshot when it is in one."""
    term: int
    is_certain: bool
    """Whether it is committed for sure; else no file says whether it is."""
    height: int
    block_hash: str
    version: int
    """Of the payload, as stored."""
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    """What of other nodes speaks against it, or is given up by choosing it; a sentence each."""
    stored: bytes = field(repr=False)
    """As it is in the log or snapshot."""
    ssz: bytes = field(repr=False)
    """As it is exported: the same, but for a payload of before 2024."""

    def encoded(self, how: PayloadFormat) -> bytes:
        """The payload in a format."""
        return json_from_ssz(self.ssz) if how is PayloadFormat.JSON else self.ssz


def find_in_node(node: NodeState, choice: Choice) -> FoundPayload:
    """Find it. NotFound: it is not there, and the text says what is.

    Refused: there are several that differ. StoreDamaged: what is there is no payload, or cannot be
    read; other StoreError; InvalidArgument for an index that no entry can have.
    """
    if choice.index is not None:
        return _at_index(node, choice.index)
    if choice.height is not None:
        return _of_height(node, choice.height)
    newest = newest_payload(node)
    if newest is None:
        raise NotFound(
            f"{node.server_id} holds no payload that op-conductor reads, neither in its log nor in "
            "a snapshot"
        )
    if newest.is_from_snapshot:
        return _of_snapshot(node)
    return _of_entry(node, newest.index, newest.data)


def _at_index(node: NodeState, index: int) -> FoundPayload:
    stored = node.log.entry(index) if node.log is not None else None
    if stored is None:
        for snapshot in node.snapshots.usable[:1]:
            if snapshot.meta.index == index:
                return _of_snapshot(node)
        raise NotFound(f"{node.server_id} has no entry {index}: {_what_there_is(node)}")
    if stored.decoded is None:
        raise StoreDamaged(
            f"entry {index} of {node.server_id} cannot be read: {stored.damage}: take it from "
            "another node"
        )
    entry = stored.decoded.entry
    if entry.type != EntryType.COMMAND:
        kind = entry_type_name(entry.type)
        raise NotFound(
            f"entry {index} of {node.server_id} is a {kind}, which holds no payload: "
            "op-conductor-init info --type command shows those that may"
        )
    return _of_entry(node, index, entry.data if entry.data is not None else b"")


def _of_height(node: NodeState, height: int) -> FoundPayload:
    """The payload of a height; Refused when there are several that differ."""
    here = [
        (index, bytes(data))
        for index, data, payload in _payloads(node)
        if payload.header is not None and payload.header.height == height
    ]
    if len({data for _, data in here}) > 1:
        indices = ", ".join(str(index) for index, _ in here)
        raise Refused(
            f"{node.server_id} holds different payloads of height {height}, in the entries "
            f"{indices}: choose one with --index"
        )
    if here:
        return _of_entry(node, *here[0])
    for snapshot in node.snapshots.usable[:1]:
        header = snapshot.payload().header
        if header is not None and header.height == height:
            return _of_snapshot(node)
    raise NotFound(f"{node.server_id} has no payload of height {height}: {_what_there_is(node)}")


def _of_entry(node: NodeState, index: int, data: bytes | memoryview) -> FoundPayload:
    stored = node.log.entry(index) if node.log is not None else None
    term = stored.decoded.entry.term if stored is not None and stored.decoded is not None else 0
    return _found(node, index, term, bytes(data), is_from_snapshot=False)


def _of_snapshot(node: NodeState) -> FoundPayload:
    snapshot = node.snapshots.usable[0]
    state, meta = snapshot.read_state(), snapshot.meta
    return _found(node, meta.index, meta.term, state, is_from_snapshot=True)


def _found(
    node: NodeState, index: int, term: int, data: bytes, *, is_from_snapshot: bool
) -> FoundPayload:
    """StoreDamaged when it is no payload."""
    payload = decode_command(data, all_transactions=True)
    if payload.header is None:
        where = "the snapshot" if is_from_snapshot else f"entry {index}"
        raise StoreDamaged(
            f"{where} of {node.server_id} holds no payload: {payload.problem}: choose another with "
            "--height or --index"
        )
    return FoundPayload(
        server_id=node.server_id,
        directory=node.directory,
        is_from_snapshot=is_from_snapshot,
        index=index,
        term=term,
        is_certain=index <= certain_index(node),
        height=payload.header.height,
        block_hash=f"0x{payload.header.block_hash.hex()}",
        version=payload.header.version,
        notes=tuple(_notes(payload, payload.header)),
        warnings=(),
        stored=data,
        ssz=bytes(_ROOT_BYTES) + data[1:] if payload.is_legacy else data,
    )


def _notes(payload: CommandPayload, header: PayloadHeader) -> Iterator[str]:
    if payload.is_legacy:
        yield _NOTE_LEGACY
    elif payload.problem:
        yield payload.problem
    elif header.version == 3:
        yield _NOTE_V3


def _payloads(node: NodeState) -> Iterator[tuple[int, bytes | memoryview, CommandPayload]]:
    """All commands in the log, also those that a snapshot holds already."""
    for stored in node.log.entries() if node.log is not None else ():
        if stored.index is None or stored.decoded is None:
            continue
        entry = stored.decoded.entry
        if entry.type == EntryType.COMMAND and entry.data is not None:
            yield stored.index, entry.data, decode_command(entry.data)


def _what_there_is(node: NodeState) -> str:
    """The range of entries and heights that a node holds."""
    heights = [each.header.height for *_, each in _payloads(node) if each.header is not None]
    parts = []
    if node.log is not None and node.log.first_index is not None:
        parts.append(f"its log has the entries {node.log.first_index} to {node.log.last_index}")
    if heights:
        parts.append(f"with payloads of the heights {min(heights)} to {max(heights)}")
    for snapshot in node.snapshots.usable[:1]:
        header = snapshot.payload().header
        what = f"height {header.height}" if header is not None else "no payload"
        parts.append(f"its snapshot of entry {snapshot.meta.index} holds {what}")
    return ", ".join(parts) or "its log is empty, and there is no snapshot"
